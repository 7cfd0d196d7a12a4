//! The one HTTP client: the service API of one hub, over HTTPS.
//!
//! Owns connections, trust, signatures, what an answer means and when a read is asked again. Does not own what to read
//! (`refresh`, `verify`) nor when a write is tried again (`apply`): a write is sent once. Paths, headers and bodies are
//! `wire`'s. Read [`HubClient`] first, then [`Error`].

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod retry;
pub(crate) mod send;
mod ca_file;
mod options;
pub(crate) mod pages;
pub(crate) mod probe;
pub(crate) mod raw;
pub(crate) mod tls;
#[cfg(any(test, feature = "embedded"))]
mod faults;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::IF_MATCH;

pub(crate) use auth::Clock;
pub(crate) use ca_file::roots;
pub(crate) use error::{Error, Obstacle, Trouble};
pub(crate) use options::{ClientOptions, ProxySettings, SetupError};
pub(crate) use pages::Pages;
pub(crate) use probe::Right;
pub(crate) use raw::{PagesAhead, RawLookup};
pub(crate) use retry::Backoff;
pub(crate) use send::OnRetry;

use auth::Authority;
use iothub_model::tiers::Usage;
use iothub_model::twin::{DeviceId, ETag, HubHost, Lookup, MergePatch, ModuleId, Twin, TwinId};
use iothub_model::wire::ErrorCode;
use iothub_model::wire::configurations::{self, Configuration};
use iothub_model::wire::modules::{ModuleIdentity, NewModule, module_path};
use iothub_model::wire::registry::{DeviceIdentity, NewDevice, device_path};
use iothub_model::wire::twins::{decode_twin, encode_patch, twin_path};
use send::{Answer, Call, Transport};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an HTTP/2 connection with requests under way is asked whether it lives, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A hub, as a back end sees it. Clones share their connections.
#[derive(Clone)]
pub(crate) struct HubClient {
    transport: Arc<Transport>,
}

impl HubClient {
    /// Makes a client. Nothing is sent until something is asked.
    pub(crate) fn new(options: ClientOptions) -> Result<Self, SetupError> {
        let ClientOptions {
            connection,
            address,
            ca_pem,
            proxy,
            concurrency,
            request_timeout,
            backoff,
            user_agent,
            clock,
            on_retry,
        } = options;
        if connection.policy.is_none() {
            return Err(SetupError::NotAService);
        }
        let host = connection.host.clone();
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(ca_pem.as_deref())?)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            // Whoever sends a write again must know that it may have been done, even where the hub says that it was not.
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(concurrency.max(1))
            .connect_timeout(CONNECT_TIMEOUT)
            // All requests may share one HTTP/2 connection: that it is dead must not be found out by each one's timeout.
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .timeout(request_timeout)
            .user_agent(user_agent);
        let proxy = proxy.filter(|_| !is_loopback(&host));
        let through_proxy = proxy.is_some();
        if let Some(proxy) = proxy {
            http = http.proxy(proxy.for_https()?);
        }
        if let Some(address) = address {
            http = http.resolve(host.name(), address);
        }
        let http = http.build().map_err(|source| SetupError::Http { source })?;
        let authority = Authority::new(connection, clock);
        let transport = Transport::new(host, http, authority, backoff, request_timeout, on_retry, through_proxy);
        Ok(Self { transport: Arc::new(transport) })
    }

    /// Returns which hub it is.
    pub(crate) fn host(&self) -> &HubHost {
        &self.transport.host
    }

    fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Reads a twin, which is current (docs: IoT Hub query language, on what lags).
    ///
    /// It is absent only when the hub itself says so, in a 404 with its own code.
    pub(crate) async fn get_twin(&self, id: &TwinId) -> Result<Lookup, Error> {
        match self.transport.read(&Call::new("GET", twin_path(id))).await {
            Ok(answer) => Ok(Lookup::Found(Box::new(twin(&answer, id)?))),
            Err(error) if says_absent(&error) => Ok(Lookup::Absent(id.clone())),
            Err(error) => Err(error),
        }
    }

    /// Merges a patch into a twin, once, and only if the twin is still what `etag` stands for. Returns the twin as it is then.
    pub(crate) async fn update_twin(&self, id: &TwinId, patch: &MergePatch, etag: &ETag) -> Result<Twin, Error> {
        let call = Call::new("PATCH", twin_path(id)).body(&encode_patch(patch));
        let unsendable = |problem: String| Error::Unsendable { request: self.transport.request(&call), problem };
        // `"*"` in If-Match is no condition at all, so a twin with such an etag could not be guarded.
        if etag.as_str() == "*" || etag.as_str().contains('"') {
            return Err(unsendable(format!("{:?} is no etag of a twin", etag.as_str())));
        }
        let guard = HeaderValue::from_str(&etag.quoted())
            .map_err(|_| unsendable(format!("{:?} is no etag of a twin", etag.as_str())))?;
        let answer = self.transport.once(&call.header(IF_MATCH.as_str(), guard)).await?;
        twin(&answer, id)
    }

    /// Creates a device's identity, enabled and with keys that the hub makes; once. Its twin comes with it.
    pub(crate) async fn create_device(&self, id: &DeviceId) -> Result<DeviceIdentity, Error> {
        let call = Call::new("PUT", device_path(id)).body(&NewDevice::enabled(id.clone()));
        identity(&self.transport.once(&call).await?, id)
    }

    /// Creates an IoT Edge device's identity, with keys that the hub makes; once.
    #[cfg(feature = "embedded")]
    pub(crate) async fn create_edge_device(&self, id: &DeviceId) -> Result<DeviceIdentity, Error> {
        let call = Call::new("PUT", device_path(id)).body(&NewDevice::edge(id.clone()));
        identity(&self.transport.once(&call).await?, id)
    }

    /// Deletes a device's identity, with its twin and modules; once, and whatever its etag is.
    #[cfg(feature = "embedded")]
    pub(crate) async fn delete_device(&self, id: &DeviceId) -> Result<(), Error> {
        let call = Call::new("DELETE", device_path(id)).header(IF_MATCH.as_str(), HeaderValue::from_static("*"));
        self.transport.once(&call).await.map(|_| ())
    }

    /// Creates a module's identity, with keys that the hub makes; once. Its twin comes with it.
    ///
    /// Where the device is missing or disabled the service answers with 401, as if the credentials were wrong.
    pub(crate) async fn create_module(&self, device: &DeviceId, module: &ModuleId) -> Result<ModuleIdentity, Error> {
        let new = NewModule { device_id: device.clone(), module_id: module.clone() };
        let answer = self.transport.once(&Call::new("PUT", module_path(device, module)).body(&new)).await?;
        // Not serde's own words: they could hold a key.
        let identity: ModuleIdentity =
            serde_json::from_value(answer.json()?).map_err(|_| answer.nonsense("it is not a module identity"))?;
        if identity.device_id == *device && identity.module_id == *module {
            Ok(identity)
        } else {
            Err(answer.nonsense(format!("it is the identity of {}/{}", identity.device_id, identity.module_id)))
        }
    }

    /// Reads a device's identity; nothing when the hub says that there is none.
    pub(crate) async fn get_device(&self, id: &DeviceId) -> Result<Option<DeviceIdentity>, Error> {
        match self.transport.read(&Call::new("GET", device_path(id))).await {
            Ok(answer) => identity(&answer, id).map(Some),
            Err(error) if says_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads up to `top` identities, a thousand at most; the service has no pages here.
    #[cfg(any(test, feature = "embedded"))]
    pub(crate) async fn list_devices(&self, top: usize) -> Result<Vec<DeviceIdentity>, Error> {
        let call = Call::new("GET", "/devices".to_owned()).top(top).ceiling(8 << 20);
        let answer = self.transport.read(&call).await?;
        // Not serde's own words: they could hold a key.
        serde_json::from_value(answer.json()?).map_err(|_| answer.nonsense("it is not a list of device identities"))
    }

    /// Reads all configurations; the service has no pages here.
    pub(crate) async fn configurations(&self) -> Result<Vec<Configuration>, Error> {
        let answer = self.transport.read(&Call::new("GET", configurations::PATH.to_owned()).ceiling(32 << 20)).await?;
        serde_json::from_value(answer.json()?)
            .map_err(|error| answer.nonsense(format!("it is not a list of configurations: {error}")))
    }

    /// Returns what has been asked of the hub by this client and its clones.
    pub(crate) fn usage(&self) -> Usage {
        self.transport.usage()
    }
}

impl std::fmt::Debug for HubClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HubClient({})", self.host())
    }
}

/// Says whether a host is this machine: it is never reached by a proxy.
pub(crate) fn is_loopback(host: &HubHost) -> bool {
    let name = host.name();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn says_absent(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { hub, .. } if matches!(hub.code(), Some(ErrorCode::DeviceNotFound | ErrorCode::ModuleNotFound))
    )
}

fn twin(answer: &Answer, id: &TwinId) -> Result<Twin, Error> {
    let twin = decode_twin(answer.json()?)
        .map_err(|error| answer.nonsense(error.to_string().replacen("the answer is", "it is", 1)))?;
    if twin.id == *id { Ok(twin) } else { Err(answer.nonsense(format!("it is the twin of {}", twin.id))) }
}

fn identity(answer: &Answer, id: &DeviceId) -> Result<DeviceIdentity, Error> {
    // Not serde's own words: they could hold a key.
    let identity: DeviceIdentity =
        serde_json::from_value(answer.json()?).map_err(|_| answer.nonsense("it is not a device identity"))?;
    if identity.device_id == *id {
        Ok(identity)
    } else {
        Err(answer.nonsense(format!("it is the identity of {}", identity.device_id)))
    }
}
