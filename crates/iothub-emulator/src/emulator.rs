//! A hub as its owner has it, in the same process: no token, no socket, no certificate.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::clock::EmulatorClock;
use crate::core::ask::Ask;
use crate::core::command::{Refusal, TwinWrite};
use crate::core::requests::devices::{DeleteDevice, GetDevice, PutDevice};
use crate::core::requests::modules::PutModule;
use crate::core::requests::sessions::ReportForClient;
use crate::core::requests::twins::{GetTwin, TwinReply, WriteTwin};
use crate::faults::{FaultsError, read_faults};
use crate::handle;
use crate::policy::Policy;
use crate::request_log::RequestRecord;
use crate::server::RunningHub;
use crate::start_error::HubStartError;
use iothub_model::tiers::{Limits, LimitsError, Tier};
use iothub_model::twin::{DeviceId, IfMatch, OrderedObject, OrderedValue, TwinId};
use iothub_model::wire::ErrorCode;
use iothub_model::wire::modules::ModuleBody;
use iothub_model::wire::registry::DeviceBody;
use iothub_model::wire::twins::TwinBody;

/// The requests that were seen, oldest first.
pub(crate) type History = Arc<Mutex<VecDeque<RequestRecord>>>;

/// An IoT Hub that runs in this process and listens for clients.
///
/// What its methods do to devices and twins is done as by the service API, with the same checks, and without tokens, throttles and faults.
/// They can be called from any thread, in a runtime or not. A hub in memory answers them at once; with a data directory a write blocks the
/// thread until it is on disk.
///
/// Dropped, it ends without waiting for anybody; [`stop`](Self::stop) ends it in good order.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use iothub_emulator::{Emulator, Policy};
/// use serde_json::json;
///
/// let hub = Emulator::builder().in_memory().start().await?;
/// hub.create_device("thermostat-001")?;
/// hub.set_tags("thermostat-001", json!({ "building": "43" }))?;
/// assert_eq!(hub.twin("thermostat-001")?["tags"]["building"], "43");
/// let _for_the_back_end = hub.connection_string(Policy::Service);
/// let _for_the_device = hub.device_connection_string("thermostat-001")?;
/// hub.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Emulator {
    hub: RunningHub,
    clock: EmulatorClock,
    history: Option<History>,
    runtime: Option<OwnRuntime>,
}

impl Emulator {
    pub(crate) fn new(hub: RunningHub, clock: EmulatorClock, history: Option<History>) -> Self {
        Self { hub, clock, history, runtime: None }
    }

    // ---- devices and twins

    /// Registers a device with keys of the hub's making.
    ///
    /// # Errors
    ///
    /// `DeviceAlreadyExists`; `ArgumentInvalid` for a text that is no device id.
    pub fn create_device(&self, id: &str) -> Result<(), Refusal> {
        let entropy = handle::entropy()?;
        let body = Box::new(DeviceBody::default());
        self.ask(PutDevice { id: device_id(id)?, body, if_match: IfMatch::Absent, entropy }).map(drop)
    }

    /// Registers a module of a device, with keys of the hub's making. Its twin is that of `device/module` in the methods below.
    ///
    /// ```
    /// # use serde_json::json;
    /// let hub = iothub_emulator::Emulator::builder().start_blocking()?;
    /// hub.create_device("gateway")?;
    /// hub.create_module("gateway", "camera")?;
    /// hub.set_desired("gateway/camera", json!({ "framesPerSecond": 5 }))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IotHubUnauthorizedAccess` where there is no such device, as the service has it; `ModuleAlreadyExistsOnDevice`;
    /// `TooManyModulesOnDevice`; `ArgumentInvalid` for a text that is no id.
    pub fn create_module(&self, device: &str, module: &str) -> Result<(), Refusal> {
        let (device, module) = (device_id(device)?, module.parse().map_err(invalid)?);
        let (body, entropy) = (Box::new(ModuleBody::default()), handle::entropy()?);
        self.ask(PutModule { device, module, body, if_match: IfMatch::Absent, entropy }).map(drop)
    }

    /// Removes a device with its twin and its modules.
    ///
    /// # Errors
    ///
    /// `DeviceNotFound`; `ArgumentInvalid` for a text that is no device id.
    pub fn delete_device(&self, id: &str) -> Result<(), Refusal> {
        self.ask(DeleteDevice { id: device_id(id)?, if_match: IfMatch::Any }).map(drop)
    }

    /// Returns a twin as `GET /twins/{id}` answers it: `tags`, `properties.desired`, `properties.reported`, `etag` and the rest.
    ///
    /// # Errors
    ///
    /// `DeviceNotFound`; `ArgumentInvalid` for a text that is no device id.
    pub fn twin(&self, id: &str) -> Result<Value, Refusal> {
        read_twin(&self.ask(GetTwin { id: twin_id(id)? })?)
    }

    /// Merges into a twin, as `PATCH /twins/{id}` does: `{"tags": …, "properties": {"desired": …}}`, in which null removes. Returns the twin.
    /// A device that is connected is told.
    ///
    /// ```
    /// # use serde_json::json;
    /// let hub = iothub_emulator::Emulator::builder().start_blocking()?;
    /// hub.create_device("d")?;
    /// hub.patch_twin("d", json!({ "properties": { "desired": { "interval": 30 } } }))?;
    /// let twin = hub.patch_twin("d", json!({ "tags": { "floor": 2 } }))?;
    /// assert_eq!(twin["properties"]["desired"]["interval"], 30);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `DeviceNotFound`; `ArgumentInvalid` and others for a patch that breaks a rule of the service.
    pub fn patch_twin(&self, id: &str, patch: Value) -> Result<Value, Refusal> {
        let body = TwinBody::decode(OrderedValue::from(patch)).map_err(invalid)?;
        let command = WriteTwin { id: twin_id(id)?, how: TwinWrite::Merge, body, if_match: IfMatch::Absent };
        read_twin(&self.ask(command)?)
    }

    /// Merges into the tags of a twin; null removes.
    ///
    /// # Errors
    ///
    /// As [`patch_twin`](Self::patch_twin).
    pub fn set_tags(&self, id: &str, tags: Value) -> Result<(), Refusal> {
        self.patch_twin(id, json!({ "tags": tags })).map(drop)
    }

    /// Merges into the desired properties of a twin; null removes.
    ///
    /// # Errors
    ///
    /// As [`patch_twin`](Self::patch_twin).
    pub fn set_desired(&self, id: &str, desired: Value) -> Result<(), Refusal> {
        self.patch_twin(id, json!({ "properties": { "desired": desired } })).map(drop)
    }

    /// Merges into the reported properties of a twin, as its device would; null removes. A device that is not connected counts as
    /// connected meanwhile.
    ///
    /// ```
    /// # use serde_json::json;
    /// let hub = iothub_emulator::Emulator::builder().start_blocking()?;
    /// hub.create_device("d")?;
    /// hub.report("d", json!({ "battery": 81 }))?;
    /// assert_eq!(hub.twin("d")?["properties"]["reported"]["battery"], 81);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `DeviceNotFound`; `ArgumentInvalid` and others for what breaks a rule of the service; `IotHubUnauthorized` for a disabled device.
    pub fn report(&self, id: &str, reported: Value) -> Result<(), Refusal> {
        let id = twin_id(id)?;
        let Value::Object(reported) = reported else {
            return Err(Refusal::new(ErrorCode::ArgumentInvalid, "reported properties are a JSON object"));
        };
        self.ask(ReportForClient { id, patch: OrderedObject::from(reported) }).map(drop)
    }

    // ---- what clients did, and what they are to meet

    /// Returns the requests that the hub has seen, oldest first: those of the service API, and what it refused over MQTT and AMQP. At most
    /// as many as [`EmulatorBuilder::request_history`](crate::EmulatorBuilder::request_history) says.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.history().map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        if let Some(mut kept) = self.history() {
            kept.clear();
        }
    }

    /// Lets the hub misbehave from now on, in place of what it was told before. A rule is a method, a path, a fault and how often; several
    /// are separated by `;` or by lines. An empty text lets it behave well again. The language is the one of `twinctl hub faults`.
    ///
    /// ```
    /// let hub = iothub_emulator::Emulator::builder().start_blocking()?;
    /// hub.set_faults("PATCH /twins/* 429 20%; GET * slow 50ms")?;
    /// let error = hub.set_faults("PATCH /twins/* 4290").unwrap_err();
    /// assert_eq!(error.to_string(), "a status of a failure is from 400 to 599");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the rules; those from before stay.
    pub fn set_faults(&self, rules: &str) -> Result<(), FaultsError> {
        self.hub.faults.set(read_faults(rules)?);
        Ok(())
    }

    /// Keeps the limits of a tier with so many units from now on. Throttles begin full, and the daily quota unused.
    ///
    /// # Errors
    ///
    /// When no hub of the tier has so many units.
    pub fn set_throttles(&self, tier: Tier, units: u32) -> Result<(), LimitsError> {
        self.hub.admission.set(Some(Limits::new(tier, units)?));
        Ok(())
    }

    /// Keeps no limits from now on.
    pub fn remove_throttles(&self) {
        self.hub.admission.set(None);
    }

    /// Returns the number of messages that were charged on this day, in UTC; `None` while the hub keeps no limits.
    pub fn messages_today(&self) -> Option<u64> {
        self.hub.admission.used(self.clock.now().into())
    }

    /// Returns the clock that the hub goes by.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let hub = iothub_emulator::Emulator::builder().start_blocking()?;
    /// let before = hub.clock().now();
    /// hub.clock().advance(Duration::from_secs(3600));
    /// assert!(hub.clock().now() >= before + Duration::from_secs(3600));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clock(&self) -> &EmulatorClock {
        &self.clock
    }

    // ---- what clients need to know

    /// Returns the connection string of a shared access policy, with its primary key.
    pub fn connection_string(&self, policy: Policy) -> String {
        self.hub.connection_string(policy).expose().to_owned()
    }

    /// Returns the connection string of a device, with its primary key.
    ///
    /// # Errors
    ///
    /// `DeviceNotFound`; `ArgumentInvalid` for a text that is no device id, and for a device without a key.
    pub fn device_connection_string(&self, id: &str) -> Result<String, Refusal> {
        let id = device_id(id)?;
        let device = self.ask(GetDevice { id: id.clone() })?;
        let key = device.identity().authentication.symmetric_key.primary_key;
        let no_key = || Refusal::new(ErrorCode::ArgumentInvalid, format!("the device {id} has no key"));
        let key = key.ok_or_else(no_key)?;
        Ok(format!("HostName={};DeviceId={id};SharedAccessKey={key}", self.host_name()))
    }

    /// Returns the certificate of the authority that clients are to trust, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.hub.ca_pem
    }

    /// Returns the file of that certificate; `None` for a hub in memory, unless it was given a certificate with its authority.
    pub fn ca_file(&self) -> Option<&Path> {
        self.hub.ca_file.as_deref()
    }

    /// Returns the host name with its port (none for 443), as connection strings and tokens have it.
    pub fn host_name(&self) -> &str {
        &self.hub.host_name
    }

    /// Returns the address where HTTPS is listened for.
    pub fn https_addr(&self) -> SocketAddr {
        self.hub.https
    }

    /// Returns the address where MQTT over TLS is listened for; `None` when it is not.
    pub fn mqtt_addr(&self) -> Option<SocketAddr> {
        self.hub.mqtt
    }

    /// Returns the address where AMQP over TLS is listened for; `None` when it is not.
    pub fn amqp_addr(&self) -> Option<SocketAddr> {
        self.hub.amqp
    }

    /// Returns the URL where MQTT and AMQP over WebSocket are spoken.
    pub fn websocket_url(&self) -> &str {
        &self.hub.websocket
    }

    // ---- its end

    /// Stops it: no new request, those under way finish (within ten seconds), the store is closed, the data directory is free.
    pub async fn stop(self) {
        let Self { hub, runtime, .. } = self;
        hub.stop().await;
        // The thread ends at once: nothing runs on it any more.
        drop(runtime);
    }

    /// Stops it in good order, from a thread without a runtime.
    ///
    /// A hub that was [started](crate::EmulatorBuilder::start) on a runtime stops on that one: called from its only thread, this would wait for
    /// ever. Use [`stop`](Self::stop) there.
    pub fn stop_blocking(self) {
        wait(self.stop());
    }

    /// Asks the machine, and waits until what the answer shows is on disk.
    fn ask<A: Ask>(&self, ask: A) -> Result<A::Reply, Refusal> {
        let live = &self.hub.live;
        // A thread of the store's own writes to the disk, so that waiting here holds up no task that it needs.
        wait(live.handle(ask))
    }

    fn history(&self) -> Option<MutexGuard<'_, VecDeque<RequestRecord>>> {
        self.history.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("host_name", &self.host_name())
            .field("https", &self.https_addr())
            .field("mqtt", &self.mqtt_addr())
            .field("amqp", &self.amqp_addr())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

fn invalid(error: impl fmt::Display) -> Refusal {
    Refusal::new(ErrorCode::ArgumentInvalid, error.to_string())
}

fn device_id(id: &str) -> Result<DeviceId, Refusal> {
    id.parse().map_err(invalid)
}

fn twin_id(id: &str) -> Result<TwinId, Refusal> {
    id.parse().map_err(invalid)
}

fn read_twin(reply: &TwinReply) -> Result<Value, Refusal> {
    serde_json::from_str(reply.document().as_str())
        .map_err(|error| Refusal::new(ErrorCode::ServerError, format!("reading the twin: {error}")))
}

/// Runs a future on this thread. Nothing that it waits for may need this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    // A task that has used up its turn would be told to wait until its next one, which cannot come before this returns.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// A runtime in a thread of its own. Dropped, it ends, and with it what runs on it.
pub(crate) struct OwnRuntime {
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl OwnRuntime {
    /// Starts a hub on one.
    pub(crate) fn start<S>(hub: impl FnOnce() -> S + Send + 'static) -> Result<Emulator, HubStartError>
    where
        S: Future<Output = Result<Emulator, HubStartError>>,
    {
        let (end, ended) = oneshot::channel::<()>();
        let (started, start) = mpsc::sync_channel(1);
        let run = move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(1).thread_name("iothub-emulator").enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(HubStartError::Thread(error)))),
            };
            runtime.block_on(async {
                if started.send(hub().await).is_ok() {
                    let _ = ended.await;
                }
            });
            // What runs on it is dropped, sockets and all.
            drop(runtime);
        };
        let thread =
            thread::Builder::new().name("iothub-emulator".to_owned()).spawn(run).map_err(HubStartError::Thread)?;
        // The thread says how it went before it ends, unless it panics.
        let mut hub =
            start.recv().map_err(|_| HubStartError::Thread(std::io::Error::other("the thread panicked")))??;
        hub.runtime = Some(Self { end: Some(end), thread: Some(thread) });
        Ok(hub)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
