//! Simulated devices over MQTT 3.1.1, as `twinctl device run` runs them: one, or a thousand in one process.
//!
//! A device connects, gets its twin, reports what it is told to, takes desired patches and, on request, reports them back. What
//! it decides about its twin is `session` and `goal`, which are pure; `connection` and `transport` move packets. The codec is
//! not the embedded hub's, so that the two do not share mistakes. Does not own keys' origin nor words for people. Read
//! [`start`] first, then [`Event`].

mod error;
mod event;
mod goal;
mod pause;
pub(crate) mod report;
mod session;
mod options;
mod transport;
mod connection;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use connection::{End, converse, establish};
pub(crate) use error::DeviceError;
use event::Watcher;
pub(crate) use event::{Event, Told};
pub(crate) use options::{Device, DeviceOptions, Endpoint};
pub(crate) use session::Behaviour;
use session::Session;

/// A connection that held so long was a good one: trouble after it is new trouble.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// Events that wait to be looked at; devices wait when there are more.
const EVENTS: usize = 1024;

/// Starts the devices, each on a task of its own. What is returned ends when all of them have.
pub(crate) fn start(devices: Vec<Device>, options: DeviceOptions) -> mpsc::Receiver<Told> {
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
async fn run(
    device: &Device,
    options: &DeviceOptions,
    turns: &Semaphore,
    watcher: &Watcher,
) -> Result<(), DeviceError> {
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
