//! Starting and stopping the hub as a server: listener, TLS, connections.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::server::graceful::Watcher;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::access::authority::Authority;
use crate::access::entra::Entra;
use crate::access::tls_files::TlsFiles;
use crate::access::{Access, Policies};
use crate::background::{Background, Rhythm};
use crate::clock::Clock;
use crate::core::session::Fingerprints;
use crate::faults::FaultSpec;
use crate::faults::injection::FaultInjector;
use crate::frontends::https::Service;
use crate::frontends::mqtt::Gate;
use crate::frontends::{amqp, mqtt};
use crate::handle::HubHandle;
use crate::limits::admission::Admission;
use crate::request_log;
use crate::request_log::{ConnectionLog, RequestObserver};
use crate::start_error::HubStartError;
use crate::store::folder::Folder;
use crate::store::{Committer, Store};
use crate::transport::first_byte_timeout::Prompt;
use crate::transport::listener;
use crate::transport::web_socket;
use crate::transport::web_socket::{ClientCertificate, WebSocketHandlers};
use iothub_model::tiers::Limits;
use iothub_model::tiers::Tier;
use iothub_model::twin::HubHost;
use iothub_model::wire::Secret;
use iothub_model::wire::configurations::CONFIGURATIONS_MAX;

/// A client that has not finished its TLS handshake by then is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client whose next request has not come by then is let go. Longer than clients keep an idle connection, so that they and
/// not the hub are the ones to close it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// A client that agreed on HTTP/2 and has not begun it by then is let go; after that it is asked now and then.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often an HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Requests under way have so long when the hub is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// About how often the service evaluates configurations.
const EVALUATE_CONFIGURATIONS: Duration = Duration::from_secs(300);
/// After a failed accept (no file descriptors left, say) some connections may end before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a hub is to be started.
#[derive(Clone)]
pub struct HubOptions {
    /// The data folder, made when it is missing.
    pub data: PathBuf,
    /// Where to listen; port 0 picks a free one.
    pub https: SocketAddr,
    /// Where to listen for devices that speak MQTT over TLS; nowhere when there is none. SDKs cannot be told another port than
    /// 8883, but several hubs can be on several loopback addresses. MQTT over WebSocket is on the port of HTTPS, always.
    pub mqtt: Option<SocketAddr>,
    /// Where to listen for services that speak AMQP over TLS; nowhere when there is none. SDKs cannot be told another port than
    /// 5671. AMQP over WebSocket is on the port of HTTPS, always.
    pub amqp: Option<SocketAddr>,
    /// The name by which clients reach it, where the address is not what they use.
    pub host_name: Option<String>,
    /// Who is told of every request.
    pub request_observer: Option<RequestObserver>,
    /// A file that gets a line of JSON for every request.
    pub request_log: Option<PathBuf>,
    /// How often configurations are evaluated; the service does so about every five minutes, and shortly after one is made.
    pub evaluate_configurations: Duration,
    /// Jobs that may wait or run at once; by the tier where there is none, and 1 without a tier.
    pub active_jobs: Option<usize>,
    /// Whose limits are kept; none are without it.
    pub tier: Option<Tier>,
    /// How many units of the tier.
    pub units: u32,
    /// By how much queries lag behind.
    pub query_lag: Duration,
    /// How long a request takes at least: half of this to one and a half of it, by chance.
    pub latency: Duration,
    /// The misbehaviour to start with.
    pub faults: FaultSpec,
    /// The file of an issuer whose Entra tokens are taken: a JSON Web Key Set with `issuer` (and `audience`, if it is not
    /// `https://iothubs.azure.net`) beside `keys`.
    pub entra_issuer: Option<PathBuf>,
    /// The certificate that it shows, in place of one that it makes.
    pub tls: Option<TlsFiles>,
}

impl HubOptions {
    /// Listens on a free port of 127.0.0.1, without limits and well-behaved.
    pub fn loopback(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            https: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            mqtt: None,
            amqp: None,
            host_name: None,
            request_observer: None,
            request_log: None,
            evaluate_configurations: EVALUATE_CONFIGURATIONS,
            active_jobs: None,
            tier: None,
            units: 1,
            query_lag: Duration::ZERO,
            latency: Duration::ZERO,
            faults: FaultSpec::default(),
            entra_issuer: None,
            tls: None,
        }
    }
}

impl std::fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            data,
            https,
            mqtt,
            amqp,
            host_name,
            request_observer: _,
            request_log,
            evaluate_configurations,
            active_jobs,
            tier,
            units,
            query_lag,
            latency,
            faults,
            entra_issuer,
            tls,
        } = self;
        f.debug_struct("HubOptions")
            .field("data", data)
            .field("https", https)
            .field("mqtt", mqtt)
            .field("amqp", amqp)
            .field("host_name", host_name)
            .field("request_log", request_log)
            .field("evaluate_configurations", evaluate_configurations)
            .field("active_jobs", active_jobs)
            .field("tier", tier)
            .field("units", units)
            .field("query_lag", query_lag)
            .field("latency", latency)
            .field("faults", faults)
            .field("entra_issuer", entra_issuer)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

/// What a client needs to know of a running hub; serialized, the content of a ready file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The host name with its port (none for 443), as connection strings and tokens have it.
    pub host_name: String,
    /// The address that is listened on.
    pub https: SocketAddr,
    /// The address where MQTT over TLS is listened for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<SocketAddr>,
    /// The address where AMQP over TLS is listened for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amqp: Option<SocketAddr>,
    /// Where MQTT and AMQP over WebSocket are spoken.
    pub websocket: String,
    /// The certificate authority to trust, in PEM.
    pub ca_file: PathBuf,
    /// One for each shared access policy.
    pub connection_strings: ConnectionStrings,
}

/// Connection strings with their keys. Serializing them shows the keys, `Debug` does not.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStrings {
    /// All rights.
    #[serde(serialize_with = "expose")]
    pub iothubowner: Secret,
    /// Twins and queries.
    #[serde(serialize_with = "expose")]
    pub service: Secret,
    /// Devices.
    #[serde(serialize_with = "expose")]
    pub device: Secret,
    /// Identities, to read.
    #[serde(serialize_with = "expose")]
    pub registry_read: Secret,
    /// Identities, to read and write.
    #[serde(serialize_with = "expose")]
    pub registry_read_write: Secret,
}

fn expose<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// A hub that listens. [`RunningHub::stop`] ends it in good order; dropped, it ends without waiting for anybody.
pub struct RunningHub {
    address: SocketAddr,
    ready: Ready,
    clock: Clock,
    faults: Arc<FaultInjector>,
    admission: Option<Arc<Admission>>,
    shutdown: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl std::fmt::Debug for RunningHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningHub").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl RunningHub {
    /// Returns the address that it listens on.
    pub fn https_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns what clients need to know.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Lets it misbehave from now on, in place of what it was told before.
    pub fn set_faults(&self, faults: FaultSpec) {
        self.faults.set(faults);
    }

    /// Returns the number of messages that were charged today, in UTC; `None` if the hub was started without a tier.
    pub fn messages_today(&self) -> Option<u64> {
        self.admission.as_ref().map(|admission| admission.used((self.clock)()))
    }

    /// Stops it: no new request, those under way finish (within ten seconds), the store is closed, the folder is free.
    pub async fn stop(self) {
        let _ = self.shutdown.send(true);
        let _ = self.accepting.await;
    }
}

/// Starts a hub. When this returns it listens.
///
/// # Errors
///
/// When the data folder is not usable or in use, or the address cannot be listened on.
pub async fn start(options: HubOptions, clock: Clock) -> Result<RunningHub, HubStartError> {
    let HubOptions {
        data,
        https,
        mqtt,
        amqp,
        host_name,
        request_observer,
        request_log,
        evaluate_configurations,
        active_jobs,
        tier,
        units,
        query_lag,
        latency,
        faults,
        entra_issuer,
        tls: tls_files,
    } = options;
    let limits = tier.map(|tier| Limits::new(tier, units)).transpose().map_err(HubStartError::Limits)?;
    let active_jobs = active_jobs.unwrap_or_else(|| limits.map_or(1, Limits::active_jobs));
    let entra = entra_issuer.map(|path| Entra::open(&path)).transpose()?;
    let host_name = host_name.map(|name| name.parse::<HubHost>()).transpose().map_err(HubStartError::HostName)?;
    let folder = Arc::new(Folder::open(&data)?);
    folder.announce(None)?;
    let (listener, address) = listen(https).await?;
    let mqtt = match mqtt {
        None => None,
        Some(address) => Some(listen(address).await?),
    };
    let amqp = match amqp {
        None => None,
        Some(address) => Some(listen(address).await?),
    };
    let others = [&mqtt, &amqp].map(|listener| listener.as_ref().map(|(_, address)| *address));

    // Before all that is made once there is a store. Reading a large fleet takes its time, and others may be using this runtime.
    let of_store = folder.clone();
    let (store, hub) = match tokio::task::spawn_blocking(move || Store::open(of_store)).await {
        Ok(opened) => opened?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let names = names(address, others, host_name.as_ref());
    let authority = Authority::open(&folder)?;
    let tls = authority.server_config(&names, tls_files.as_ref(), clock())?;
    let policies = Policies::open(&folder)?;
    let mut ready = ready(address, others, host_name.as_ref(), &authority, &policies);
    if let Some(trusted) = tls_files.and_then(|files| files.authority) {
        ready.ca_file = trusted;
    }
    let access = Access::new(policies, &ready.host_name, &names, address.port()).with_entra(entra);
    let access = Arc::new(access);
    folder.announce(Some(&ready.host_name))?;
    // The store holds it from here on.
    drop(folder);

    let mut observers: Vec<RequestObserver> = request_observer.into_iter().collect();
    if let Some(path) = request_log {
        observers.push(request_log::to_file(&path)?);
    }
    let observers: Arc<[RequestObserver]> = observers.into();
    let log = ConnectionLog::new(observers.clone());
    let committer = Committer::start(store).map_err(HubStartError::Thread)?;
    let live = Arc::new(HubHandle::new(hub.with_query_lag(query_lag), committer, clock.clone()));
    let (shutdown, stopping) = watch::channel(false);
    let faults = Arc::new(FaultInjector::new(latency, faults));
    let admission = limits.map(|limits| Arc::new(Admission::new(limits)));
    let (alive, connections) = mpsc::channel(1);
    let gate = Gate::new(faults.clone(), admission.clone());
    let mqtt_front = mqtt::Front::new(live.clone(), access.clone(), stopping.clone(), alive.clone())
        .behind(gate)
        .observed_by(log.clone());
    let amqp_front = amqp::Front::new(live.clone(), access.clone(), stopping.clone(), alive).observed_by(log.clone());
    let web_sockets = WebSocketHandlers { mqtt: mqtt_front.handler(), amqp: amqp_front.handler() };
    let without_alpn = {
        let mut tls = tls.clone();
        // Clients of other protocols than HTTP offer none, or a name of their own.
        tls.alpn_protocols.clear();
        TlsAcceptor::from(Arc::new(tls))
    };
    if let Some((listener, _)) = mqtt {
        let serve = move |source, sink, certificate| mqtt_front.clone().serve(source, sink, certificate);
        tokio::spawn(listener::accept(listener, without_alpn.clone(), stopping.clone(), ("mqtt", log.clone()), serve));
    }
    if let Some((listener, _)) = amqp {
        let serve = move |source, sink, _| amqp_front.clone().serve(source, sink);
        tokio::spawn(listener::accept(listener, without_alpn, stopping.clone(), ("amqp", log.clone()), serve));
    }
    let configurations = limits.map_or(CONFIGURATIONS_MAX, Limits::configurations);
    let background = Background::start(&live, Rhythm { evaluate_configurations }, configurations);
    let service = Service::new(live, access, web_sockets, active_jobs, admission.clone(), faults.clone(), observers);
    let tls = TlsAcceptor::from(Arc::new(tls));
    let accepting = tokio::spawn(accept(listener, tls, service, log, background, connections, stopping));
    Ok(RunningHub { address, ready, clock, faults, admission, shutdown, accepting })
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), HubStartError> {
    let listener = TcpListener::bind(address).await.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    listener.map_err(|source| HubStartError::Listen { address, source })
}

/// Returns the names that the certificate and tokens may have, without ports.
fn names(address: SocketAddr, others: [Option<SocketAddr>; 2], host_name: Option<&HubHost>) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(host) = host_name {
        names.push(host.name().trim_matches(['[', ']']).to_owned());
    }
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    names.extend([reached_at(address).to_string(), "localhost".to_owned()]);
    names.extend(others.into_iter().flatten().map(|address| reached_at(address).to_string()));
    names.extend(loopback.map(|address| address.to_string()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The address that a client on this machine uses for one that is listened on.
fn reached_at(address: SocketAddr) -> IpAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn ready(
    address: SocketAddr,
    [mqtt, amqp]: [Option<SocketAddr>; 2],
    host_name: Option<&HubHost>,
    authority: &Authority,
    policies: &Policies,
) -> Ready {
    let port = address.port();
    let host_name = match host_name {
        // A port that was given with the name is that of a forwarder, which clients are to use.
        Some(host) if host.as_str() != host.name() => host.as_str().to_owned(),
        // Some SDKs cannot be told a port, and for this one they need not be.
        Some(host) if port == 443 => host.name().to_owned(),
        Some(host) => format!("{}:{port}", host.name()),
        None => match SocketAddr::new(reached_at(address), port) {
            at if port == 443 => at.to_string().trim_end_matches(":443").to_owned(),
            at => at.to_string(),
        },
    };
    let of = |policy| policies.connection_string(&host_name, policy).expect("all default policies have keys");
    let connection_strings = ConnectionStrings {
        iothubowner: of("iothubowner"),
        service: of("service"),
        device: of("device"),
        registry_read: of("registryRead"),
        registry_read_write: of("registryReadWrite"),
    };
    let websocket = format!("wss://{host_name}{}", web_socket::PATH);
    Ready { ca_file: authority.file().clone(), https: address, mqtt, amqp, websocket, connection_strings, host_name }
}

/// Takes connections until it is told to stop, or until the hub is dropped.
async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    service: Service,
    log: ConnectionLog,
    background: Background,
    mut others: mpsc::Receiver<()>,
    mut stopping: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tls, service, log) = (tls.clone(), service.clone(), log.clone());
                    connections.spawn(serve(stream, tls, service, log, graceful.watcher(), stopping.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            // Collects those that have ended; disabled while there are none.
            Some(_) = connections.join_next() => {}
            told = stopping.changed() => {
                if told.is_err() {
                    return;
                }
                break;
            }
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await;
    connections.shutdown().await;
    background.stop().await;
    // The last owner of the store closes it, which waits for the disk. Connections of MQTT and AMQP own it too.
    let _ = tokio::task::spawn_blocking(move || drop(service)).await;
    let _ = tokio::time::timeout(STOP_TIMEOUT, others.recv()).await;
}

async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    service: Service,
    log: ConnectionLog,
    watcher: Watcher,
    mut stopping: watch::Receiver<bool>,
) {
    // Answers are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let stream = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return log.no_handshake("https", &error),
            Err(_) => return log.no_handshake("https", &std::io::ErrorKind::TimedOut.into()),
        },
        // It has asked for nothing yet.
        _ = stopping.changed() => return,
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // What TLS agreed on is known; to find it out from the first bytes would wait for them without end.
    let is_http_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    builder = if is_http_2 { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY);
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = ClientCertificate(certificate.map(|leaf| Fingerprints::of(leaf)));
    let answer = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let service = service.clone();
        request.extensions_mut().insert(certificate.clone());
        async move { service.answer(request).await }
    });
    let stream = match is_http_2 {
        true => Prompt::for_http_2(stream, PREFACE_TIMEOUT),
        false => Prompt::for_http_1(stream, HEADER_TIMEOUT),
    };
    // How a connection ends is its client's business.
    let _ = watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), answer).into_owned()).await;
}
