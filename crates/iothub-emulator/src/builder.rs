//! How a hub is to be started.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::access::tls_files::TlsFiles;
use crate::clock::EmulatorClock;
use crate::emulator::{Emulator, History, OwnRuntime};
use crate::faults::read_faults;
use crate::offline::OfflineHub;
use crate::options::HubOptions;
use crate::request_log::{RequestObserver, RequestRecord};
use crate::server;
use crate::start_error::HubStartError;
use iothub_model::tiers::Tier;

/// Requests that are kept for [`Emulator::requests`], unless the builder is told another number.
const HISTORY: usize = 100_000;

/// How an [`Emulator`] is to be started. Made by [`Emulator::builder`].
///
/// Unless it is told otherwise, the hub is in memory, has no limits, behaves well, goes by the system's clock, and listens for HTTPS, MQTT
/// and AMQP on free ports of 127.0.0.1.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use iothub_emulator::{Emulator, Tier};
///
/// let hub = Emulator::builder()
///     .host_name("hub.test")
///     .tier(Tier::S1, 2)
///     .latency(Duration::from_millis(5))
///     .faults("PATCH /twins/* 429 20%")
///     .start()
///     .await?;
/// assert_eq!(hub.host_name(), format!("hub.test:{}", hub.https_addr().port()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder starts nothing by itself"]
pub struct EmulatorBuilder {
    options: HubOptions,
    /// The system's, a new one for each hub, unless the builder was given one.
    clock: Option<EmulatorClock>,
    faults: String,
    history: usize,
}

impl Emulator {
    /// Returns a builder for a hub in memory on free ports of 127.0.0.1.
    ///
    /// ```
    /// let hub = iothub_emulator::Emulator::builder().start_blocking()?;
    /// assert!(hub.https_addr().ip().is_loopback());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }
}

impl EmulatorBuilder {
    fn new() -> Self {
        Self { options: HubOptions::loopback(), clock: None, faults: String::new(), history: HISTORY }
    }

    /// Keeps everything in memory, keys and certificates included: nothing is written to a disk, and all of it is gone with the emulator.
    /// This is what it does unless it is given a [data directory](Self::data_dir).
    pub fn in_memory(mut self) -> Self {
        self.options.data = None;
        self
    }

    /// Keeps everything in a directory, which is made when it is missing. One process at a time can have it open. Keys and certificates
    /// stay the same from start to start, and a write that was answered is on disk.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.data = Some(path.into());
        self
    }

    /// Listens for HTTPS at an address; port 0 picks a free one. WebSockets of MQTT and AMQP are there as well.
    pub fn https(mut self, address: SocketAddr) -> Self {
        self.options.https = address;
        self
    }

    /// Listens for devices that speak MQTT over TLS at an address, or with `None` does not. Most SDKs cannot be told another port than
    /// 8883; several hubs can be on several loopback addresses.
    pub fn mqtt(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.options.mqtt = address.into();
        self
    }

    /// Listens for services that speak AMQP over TLS at an address, or with `None` does not. SDKs cannot be told another port than 5671.
    pub fn amqp(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.options.amqp = address.into();
        self
    }

    /// Names the hub for its clients: connection strings and the certificate have this name, where it is not the address that clients use.
    /// The port is added, unless the name has one.
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.options.host_name = Some(name.into());
        self
    }

    /// Keeps the limits of a tier with so many units: throttles, the daily quota, and the number of jobs and configurations.
    pub fn tier(mut self, tier: Tier, units: u32) -> Self {
        (self.options.tier, self.options.units) = (Some(tier), units);
        self
    }

    /// Lets every request take time: from half of this to one and a half of it, by chance.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.options.latency = latency;
        self
    }

    /// Lets queries see the hub as it was that long ago, as the real service's queries may.
    pub fn query_lag(mut self, by: Duration) -> Self {
        self.options.query_lag = by;
        self
    }

    /// Lets the hub misbehave from the start, by rules such as `PATCH /twins/* 429 20%`. See [`Emulator::set_faults`].
    pub fn faults(mut self, rules: impl Into<String>) -> Self {
        self.faults = rules.into();
        self
    }

    /// Takes the Microsoft Entra tokens of an issuer: a file with a JSON Web Key Set that has `issuer` (and `audience`, if it is not
    /// `https://iothubs.azure.net`) beside `keys`.
    pub fn entra_issuer(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.entra_issuer = Some(path.into());
        self
    }

    /// Shows a certificate of the user's own, in place of one that the hub makes.
    pub fn tls_files(mut self, files: TlsFiles) -> Self {
        self.options.tls = Some(files);
        self
    }

    /// Appends a line of JSON to a file for every request.
    pub fn request_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.request_log = Some(path.into());
        self
    }

    /// Calls a function with every request, before its answer leaves. It must neither block nor panic.
    pub fn on_request(mut self, observer: impl Fn(&RequestRecord) + Send + Sync + 'static) -> Self {
        self.options.request_observers.push(RequestObserver::new(observer));
        self
    }

    /// Keeps so many of the latest requests for [`Emulator::requests`]: 100,000 unless it is told. 0 keeps none.
    pub fn request_history(mut self, requests: usize) -> Self {
        self.history = requests;
        self
    }

    /// Has the time from a clock. Hubs that are started by clones of this builder share it; without this each has its own.
    pub fn clock(mut self, clock: EmulatorClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Evaluates configurations this often, in real time. The service does so about every five minutes, and shortly after one is changed;
    /// so does the hub unless it is told.
    pub fn evaluate_configurations(mut self, every: Duration) -> Self {
        self.options.evaluate_configurations = every;
        self
    }

    /// Lets so many scheduled jobs wait or run at once, whatever the tier allows.
    pub fn active_jobs(mut self, jobs: usize) -> Self {
        self.options.active_jobs = Some(jobs);
        self
    }

    /// Starts the hub on the tokio runtime of the caller, which needs its I/O and its time (`enable_all`). When this returns it listens.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = iothub_emulator::Emulator::builder().in_memory().start().await?;
    /// hub.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no runtime, the data directory is not usable or in use, an address cannot be listened on, or an option is not one that
    /// a hub can have.
    pub async fn start(mut self) -> Result<Emulator, HubStartError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(HubStartError::NoRuntime);
        }
        self.options.faults = read_faults(&self.faults).map_err(HubStartError::Faults)?;
        let history: Option<History> = (self.history > 0).then(|| Arc::new(Mutex::new(VecDeque::new())));
        if let Some(kept) = history.clone() {
            let most = self.history;
            let keep = RequestObserver::new(move |record| {
                let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if kept.len() == most {
                    kept.pop_front();
                }
                kept.push_back(record.clone());
            });
            // Before those of the owner, so that what they ask for has this request.
            self.options.request_observers.insert(0, keep);
        }
        let clock = self.clock.unwrap_or_default();
        let hub = server::start(self.options, clock.clone()).await?;
        Ok(Emulator::new(hub, clock, history))
    }

    /// Starts the hub on a runtime of its own, in a thread of its own: for tests and programs without tokio. When this returns it listens.
    ///
    /// ```
    /// let hub = iothub_emulator::Emulator::builder().start_blocking()?;
    /// hub.create_device("thermostat-001")?;
    /// hub.stop_blocking();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), but for the missing runtime; and when the thread cannot be started.
    pub fn start_blocking(self) -> Result<Emulator, HubStartError> {
        OwnRuntime::start(move || self.start())
    }

    /// Opens the hub of a data directory without a listener, while no server has it. Needs no runtime.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// use iothub_emulator::Emulator;
    ///
    /// let mut hub = Emulator::builder().data_dir(folder.path()).open()?;
    /// hub.add_device(&"thermostat-001".parse()?)?;
    /// assert_eq!(hub.devices()?[0]["deviceId"], "thermostat-001");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`HubStartError::InUse`] while a server, or anybody else, has it open; [`HubStartError::NoFolder`] for a hub in memory.
    pub fn open(self) -> Result<OfflineHub, HubStartError> {
        let data = self.options.data.ok_or(HubStartError::NoFolder)?;
        OfflineHub::open(&data, self.clock.unwrap_or_default().of_machine())
    }
}
