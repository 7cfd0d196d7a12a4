//! Simulated devices over MQTT 3.1.1, as `twinctl device run` runs them: one, or a thousand in one process.
//!
//! A device connects, gets its twin, reports what it is told to, takes desired patches and, on request, reports them back. What
//! it decides about its twin is `session` and `goal`, which are pure; `connection` and `transport` move packets. The codec is
//! not the embedded hub's, so that the two do not share mistakes. Does not own keys' origin nor words for people. Read
//! [`start`] first, then [`Event`].

mod connection;
mod error;
mod event;
mod goal;
mod pause;
pub(crate) mod report;
mod session;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::apply::Stop;
use crate::client::Clock;
use crate::client::{SetupError, tls};
use connection::{End, converse, establish};
pub(crate) use error::Error;
pub(crate) use event::{Event, Told};
use iothub_model::twin::{HubHost, TwinId};
use iothub_model::wire::sas::Key;
pub(crate) use session::Behaviour;
use session::Session;

/// Where MQTT over TLS is listened for.
pub(crate) const MQTT_PORT: u16 = 8883;
/// How long a token is good for, as Microsoft's SDKs have it by default.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// A connection that held so long was a good one: trouble after it is new trouble.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// Events that wait to be looked at; devices wait when there are more.
const EVENTS: usize = 1024;

/// Who a device is, and how it proves that.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// The device, or a module of one.
    pub id: TwinId,
    /// Its own key, or that of `policy`.
    pub key: Key,
    /// The shared access policy whose key it is, when it is not the device's own.
    pub policy: Option<String>,
}

/// Where the hub is, and how it is trusted.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    host: HubHost,
    port: u16,
    web_socket: bool,
    tls: Arc<rustls::ClientConfig>,
}

impl Endpoint {
    /// Finds where devices of this hub connect to.
    ///
    /// MQTT over TLS goes to port 8883, and WebSockets to where the hub has its HTTPS: the port in the host's name, or 443.
    /// `port` is another for either. `ca_pem` has the only authorities to trust; without it, those of the system are.
    ///
    /// # Errors
    ///
    /// When there are no authorities in `ca_pem`, or none on this system.
    pub(crate) fn new(
        host: &HubHost,
        port: Option<u16>,
        web_socket: bool,
        ca_pem: Option<&[u8]>,
    ) -> Result<Self, SetupError> {
        let in_host = host.as_str().strip_prefix(host.name()).and_then(|rest| rest.strip_prefix(':')?.parse().ok());
        let usual = if web_socket { in_host.unwrap_or(443) } else { MQTT_PORT };
        let tls = Arc::new(tls::trust(ca_pem)?);
        Ok(Self { host: host.clone(), port: port.unwrap_or(usual), web_socket, tls })
    }

    /// Returns the name to look up and to be shown a certificate for.
    fn name(&self) -> &str {
        self.host.name().trim_start_matches('[').trim_end_matches(']')
    }
}

/// What all devices of a run have in common.
#[derive(Clone)]
pub(crate) struct Options {
    /// The hub, as tokens and user names have it.
    pub host: HubHost,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What the devices do.
    pub behaviour: Behaviour,
    /// Whether a device ends when its twin is read and all is reported.
    pub once: bool,
    /// How many connect at a time.
    pub at_a_time: usize,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long the hub may take to answer.
    pub answer_timeout: Duration,
    /// How long a device tries to connect for the first time. One that has been connected tries for ever.
    pub budget: Duration,
    /// How long a token is good for; the connection is renewed before it ends.
    pub token_life: Duration,
    /// The time of day.
    pub clock: Clock,
    /// Makes the devices disconnect and end.
    pub stop: Stop,
}

impl Options {
    /// Returns what suits most.
    pub(crate) fn new(host: HubHost, endpoint: Endpoint, behaviour: Behaviour, clock: Clock) -> Self {
        Self {
            host,
            endpoint,
            behaviour,
            once: false,
            at_a_time: 16,
            connect_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(100),
            budget: Duration::from_secs(300),
            token_life: TOKEN_LIFE,
            clock,
            stop: Stop::new(),
        }
    }
}

/// Where a device's events go.
struct Watcher {
    device: usize,
    events: mpsc::Sender<Told>,
}

impl Watcher {
    async fn tell(&self, event: Event) {
        // When nobody watches any more, the device goes on alone.
        let _ = self.events.send(Told { device: self.device, event }).await;
    }
}

/// Starts the devices, each on a task of its own. What is returned ends when all of them have.
pub(crate) fn start(devices: Vec<Device>, options: Options) -> mpsc::Receiver<Told> {
    let (events, told) = mpsc::channel(EVENTS);
    let turns = Arc::new(Semaphore::new(options.at_a_time.max(1)));
    let options = Arc::new(options);
    for (number, device) in devices.into_iter().enumerate() {
        let watcher = Watcher { device: number, events: events.clone() };
        let (options, turns) = (options.clone(), turns.clone());
        tokio::spawn(async move {
            let end = match run(&device, &options, &turns, &watcher).await {
                Ok(()) => Event::Finished,
                Err(error) => Event::Failed(error),
            };
            watcher.tell(end).await;
        });
    }
    told
}

/// Runs one device until it is stopped, has done all, or is given up.
async fn run(device: &Device, options: &Options, turns: &Semaphore, watcher: &Watcher) -> Result<(), Error> {
    let mut session = Session::new(options.behaviour.clone());
    let (mut met, mut is_renewal) = (false, false);
    let mut failures = 0;
    let mut trying_since = Instant::now();
    loop {
        // Few at a time: a thousand handshakes at once would all be slow.
        let established = tokio::select! {
            established = async {
                let _turn = turns.acquire().await;
                let begun = Instant::now();
                (establish(device, options).await, begun)
            } => established,
            () = options.stop.requested() => return Ok(()),
        };
        let error = match established {
            (Ok(mut link), begun) => {
                met = true;
                session.begin();
                if !is_renewal {
                    watcher.tell(Event::Connected).await;
                }
                let end = converse(&mut link, device, &mut session, options, watcher, begun).await;
                link.close().await;
                if begun.elapsed() >= GOOD_AFTER {
                    failures = 0;
                }
                match end {
                    Ok(End::Stopped | End::Settled) => return Ok(()),
                    Ok(End::Stale) => {
                        is_renewal = true;
                        continue;
                    }
                    Err(error) => {
                        trying_since = Instant::now();
                        error
                    }
                }
            }
            (Err(error), _) => error,
        };
        is_renewal = false;
        let after = pause::pause(failures, pause::random());
        let is_over = !met && trying_since.elapsed() + after > options.budget;
        if error.is_final(met) || is_over {
            return Err(error);
        }
        failures = failures.saturating_add(1);
        watcher.tell(Event::Trying { error, after }).await;
        tokio::select! {
            () = tokio::time::sleep(after) => {}
            () = options.stop.requested() => return Ok(()),
        }
    }
}
