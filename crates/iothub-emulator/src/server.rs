//! Starting and stopping the hub as a server: listener, TLS, connections.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::server::graceful::Watcher;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::access::authority::Authority;
use crate::access::entra::Entra;
use crate::access::{Access, Policies};
use crate::background::{Background, Rhythm};
use crate::clock::EmulatorClock;
use crate::core::session::Fingerprints;
use crate::core::state::Hub;
use crate::faults::injection::FaultInjector;
use crate::frontends::https::Service;
use crate::frontends::mqtt::Gate;
use crate::frontends::{amqp, mqtt};
use crate::handle::HubHandle;
use crate::limits::admission::Admission;
use crate::options::HubOptions;
use crate::policy::Policy;
use crate::request_log;
use crate::request_log::{ConnectionLog, RequestObserver};
use crate::start_error::HubStartError;
use crate::store::folder::Folder;
use crate::store::{Committer, Store};
use crate::transport::first_byte_timeout::Prompt;
use crate::transport::listener;
use crate::transport::tls::TlsPort;
use crate::transport::web_socket;
use crate::transport::web_socket::{ClientCertificate, WebSocketHandlers};
use iothub_model::tiers::Limits;
use iothub_model::twin::HubHost;
use iothub_model::wire::Secret;

/// A client whose next request has not come by then is let go. Longer than clients keep an idle connection, so that they and
/// not the hub are the ones to close it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// A client that agreed on HTTP/2 and has not begun it by then is let go; after that it is asked now and then.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often an HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Requests under way have so long when the hub is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections without a request under way have so long to be ended by their clients.
const IDLE_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// How often it is looked whether requests are under way.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After a failed accept (no file descriptors left, say) some connections may end before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A hub that listens. [`RunningHub::stop`] ends it in good order; dropped, it ends without waiting for anybody.
pub(crate) struct RunningHub {
    pub(crate) live: Arc<HubHandle>,
    access: Arc<Access>,
    pub(crate) faults: Arc<FaultInjector>,
    pub(crate) admission: Arc<Admission>,
    /// The host name with its port (none for 443), as connection strings and tokens have it.
    pub(crate) host_name: String,
    /// The addresses that are listened on.
    pub(crate) https: SocketAddr,
    pub(crate) mqtt: Option<SocketAddr>,
    pub(crate) amqp: Option<SocketAddr>,
    /// Where MQTT and AMQP over WebSocket are spoken.
    pub(crate) websocket: String,
    /// The certificate of the authority to trust, and its file where there is one.
    pub(crate) ca_pem: String,
    pub(crate) ca_file: Option<PathBuf>,
    shutdown: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl RunningHub {
    /// Returns the connection string of a policy.
    pub(crate) fn connection_string(&self, policy: Policy) -> Secret {
        self.access.connection_string(policy)
    }

    /// Stops it: no new request, those under way finish (within ten seconds), the store is closed, the folder is free.
    pub(crate) async fn stop(self) {
        let Self { live, shutdown, accepting, .. } = self;
        // The server's tasks are the last to have it.
        drop(live);
        let _ = shutdown.send(true);
        let _ = accepting.await;
    }
}

/// Starts a hub. When this returns it listens.
///
/// # Errors
///
/// When the data folder is not usable or in use, or the address cannot be listened on.
pub(crate) async fn start(options: HubOptions, emulator_clock: EmulatorClock) -> Result<RunningHub, HubStartError> {
    let clock = emulator_clock.of_machine();
    let HubOptions {
        data,
        https,
        mqtt,
        amqp,
        host_name,
        request_observers,
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
    let entra = entra_issuer.map(|path| Entra::open(&path)).transpose()?;
    let host_name = host_name.map(|name| name.parse::<HubHost>()).transpose().map_err(HubStartError::HostName)?;
    let folder = data.map(|data| Folder::open(&data)).transpose()?.map(Arc::new);
    if let Some(folder) = &folder {
        folder.announce(None)?;
    }
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
    let (store, hub) = match folder.clone() {
        None => (None, Hub::default()),
        Some(folder) => match tokio::task::spawn_blocking(move || Store::open(folder)).await {
            Ok(opened) => opened.map(|(store, hub)| (Some(store), hub))?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        },
    };
    let names = names(address, others, host_name.as_ref());
    let authority = folder.as_deref().map_or_else(Authority::new, Authority::open)?;
    let tls = authority.server_config(&names, tls_files.as_ref(), clock())?;
    let policies = folder.as_deref().map_or_else(Policies::new, Policies::open)?;
    let (ca_file, ca_pem) = match tls_files.and_then(|files| files.authority) {
        None => (authority.file().cloned(), authority.pem().to_owned()),
        Some(path) => match std::fs::read(&path) {
            Ok(pem) => (Some(path), String::from_utf8_lossy(&pem).into_owned()),
            Err(source) => return Err(HubStartError::File { path, source }),
        },
    };
    let host_name = told_name(address, host_name.as_ref());
    let access = Access::new(policies, &host_name, &names, address.port()).with_entra(entra);
    let access = Arc::new(access);
    if let Some(folder) = &folder {
        folder.announce(Some(&host_name))?;
    }
    // The store holds it from here on.
    drop(folder);

    let mut observers = request_observers;
    if let Some(path) = request_log {
        // Before those of the owner, which may panic.
        observers.insert(0, request_log::to_file(&path)?);
    }
    let observers: Arc<[RequestObserver]> = observers.into();
    let log = ConnectionLog::new(observers.clone(), clock.clone());
    let committer = match store {
        None => Committer::without_disk().0,
        Some(store) => Committer::start(store).map_err(HubStartError::Thread)?,
    };
    let live = Arc::new(HubHandle::new(hub.with_query_lag(query_lag), committer, clock));
    let (shutdown, stopping) = watch::channel(false);
    let faults = Arc::new(FaultInjector::new(latency, faults));
    let admission = Arc::new(Admission::new(limits));
    let (alive, connections) = mpsc::channel(1);
    let gate = Gate::new(faults.clone(), admission.clone());
    let mqtt_front = mqtt::MqttFront::new(live.clone(), access.clone(), stopping.clone(), alive.clone())
        .behind(gate)
        .observed_by(log.clone());
    let amqp_front = amqp::AmqpFront::new(live.clone(), access.clone(), stopping.clone(), alive)
        .observed_by(log.clone())
        .limited_by(admission.clone());
    let web_sockets = WebSocketHandlers { mqtt: mqtt_front.handler(), amqp: amqp_front.handler() };
    let without_alpn = {
        let mut tls = tls.clone();
        // Clients of other protocols than HTTP offer none, or a name of their own.
        tls.alpn_protocols.clear();
        Arc::new(tls)
    };
    let port = |front| TlsPort::new(front, without_alpn.clone(), log.clone());
    if let Some((listener, _)) = mqtt {
        let serve = move |source, sink, certificate| mqtt_front.clone().serve(source, sink, certificate);
        tokio::spawn(listener::accept(listener, port("mqtt"), stopping.clone(), serve));
    }
    if let Some((listener, _)) = amqp {
        let serve = move |source, sink, _| amqp_front.clone().serve(source, sink);
        tokio::spawn(listener::accept(listener, port("amqp"), stopping.clone(), serve));
    }
    let background = Background::start(&live, Rhythm { evaluate_configurations }, admission.clone(), emulator_clock);
    let service = Service::new(
        live.clone(),
        access.clone(),
        web_sockets,
        active_jobs,
        admission.clone(),
        faults.clone(),
        observers,
    );
    let tls = TlsPort::new("https", Arc::new(tls), log).with_unused_connections();
    let accepting = tokio::spawn(accept(listener, tls, service, background, connections, stopping));
    let [mqtt, amqp] = others;
    let websocket = format!("wss://{host_name}{}", web_socket::PATH);
    Ok(RunningHub {
        live,
        access,
        faults,
        admission,
        host_name,
        https: address,
        mqtt,
        amqp,
        websocket,
        ca_pem,
        ca_file,
        shutdown,
        accepting,
    })
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

/// Returns the name by which clients are told to reach the hub.
fn told_name(address: SocketAddr, host_name: Option<&HubHost>) -> String {
    let port = address.port();
    match host_name {
        // A port that was given with the name is that of a forwarder, which clients are to use.
        Some(host) if host.as_str() != host.name() => host.as_str().to_owned(),
        // Some SDKs cannot be told a port, and for this one they need not be.
        Some(host) if port == 443 => host.name().to_owned(),
        Some(host) => format!("{}:{port}", host.name()),
        None => match SocketAddr::new(reached_at(address), port) {
            at if port == 443 => at.to_string().trim_end_matches(":443").to_owned(),
            at => at.to_string(),
        },
    }
}

/// Takes connections until it is told to stop, or until the hub is dropped.
async fn accept(
    listener: TcpListener,
    tls: TlsPort,
    service: Service,
    background: Background,
    mut others: mpsc::Receiver<()>,
    mut stopping: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let under_way = RequestsUnderWay::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tls, service) = (tls.clone(), service.clone());
                    let (watcher, under_way) = (graceful.watcher(), under_way.clone());
                    connections.spawn(serve(stream, tls, service, under_way, watcher, stopping.clone()));
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
    tokio::select! {
        _ = tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()) => {}
        () = under_way.none_for(IDLE_STOP_TIMEOUT) => {}
    }
    connections.shutdown().await;
    background.stop().await;
    // The last owner of the store closes it, which waits for the disk. Connections of MQTT and AMQP own it too.
    let _ = tokio::task::spawn_blocking(move || drop(service)).await;
    let _ = tokio::time::timeout(STOP_TIMEOUT, others.recv()).await;
}

/// Counts the requests that are under way.
#[derive(Clone, Default)]
struct RequestsUnderWay(Arc<()>);

impl RequestsUnderWay {
    /// Counts a request for as long as what this returns lives.
    fn begin(&self) -> Weak<()> {
        Arc::downgrade(&self.0)
    }

    /// Returns when there was no request for so long.
    async fn none_for(&self, time: Duration) {
        let mut since = Instant::now();
        while since.elapsed() < time {
            tokio::time::sleep(LOOK_EVERY).await;
            if Arc::weak_count(&self.0) > 0 {
                since = Instant::now();
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    tls: TlsPort,
    service: Service,
    under_way: RequestsUnderWay,
    watcher: Watcher,
    mut stopping: watch::Receiver<bool>,
) {
    let stream = tokio::select! {
        accepted = tls.accept(stream) => match accepted {
            Some(stream) => stream,
            None => return,
        },
        // It has asked for nothing yet.
        _ = stopping.changed() => return,
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // What TLS agreed on is known; to find it out from the first bytes would wait for them without end.
    let is_http_2 = stream.get_ref().get_ref().1.alpn_protocol() == Some(b"h2");
    builder = if is_http_2 { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY);
    let certificate = stream.get_ref().get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = ClientCertificate(certificate.map(|leaf| Fingerprints::of(leaf)));
    let answer = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let service = service.clone();
        request.extensions_mut().insert(certificate.clone());
        let under_way = under_way.clone();
        async move {
            let _one = under_way.begin();
            service.answer(request).await
        }
    });
    let stream = match is_http_2 {
        true => Prompt::for_http_2(stream, PREFACE_TIMEOUT),
        false => Prompt::for_http_1(stream, HEADER_TIMEOUT),
    };
    // How a connection ends is its client's business.
    let _ = watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), answer).into_owned()).await;
}
