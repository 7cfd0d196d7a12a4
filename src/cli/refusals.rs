//! Clients of MQTT and AMQP that the embedded hub refuses, as lines for the user: some at a time, and a count of the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::render::{escape, number};
use iothub_emulator::RequestRecord;

/// Lines in one stretch of time, at most.
const LINES_MAX: u64 = 10;
/// How long that is.
const STRETCH: Duration = Duration::from_secs(10);

/// The refusals that are still to be shown.
pub(super) struct Refusals {
    lines: mpsc::Receiver<String>,
    /// Refusals that came when so many waited that they are only counted.
    uncounted: Arc<AtomicU64>,
    /// When the stretch began, and the lines in it.
    stretch: Option<(Instant, u64)>,
    hidden: u64,
}

/// Returns what tells of refusals, and where they arrive.
pub(super) fn listen() -> (impl Fn(&RequestRecord) + Send + Sync + 'static, Refusals) {
    let (sender, lines) = mpsc::channel(64);
    let uncounted = Arc::new(AtomicU64::new(0));
    let overflow = uncounted.clone();
    let observer = move |record: &RequestRecord| {
        if let Some(line) = line(record)
            && sender.try_send(line).is_err()
        {
            overflow.fetch_add(1, Ordering::Relaxed);
        }
    };
    (observer, Refusals { lines, uncounted, stretch: None, hidden: 0 })
}

/// Writes a refusal, or what ended a connection from outside; `None` for requests of other protocols and for connections that were cut
/// for what their client did not do.
fn line(record: &RequestRecord) -> Option<String> {
    let RequestRecord { method, path, status, error_code, reason, .. } = record;
    let is_connection = matches!(method.as_str(), "MQTT" | "AMQP" | "TLS");
    let reason = reason.as_deref().filter(|_| is_connection)?;
    // The service has no code for some statuses that a fault may have.
    let of_fault = (*status >= 400).then(|| status.to_string());
    let code = error_code.as_ref().or(of_fault.as_ref())?;
    Some(format!("{method} {}: {code}: {}", escape::line(path), escape::line(reason)))
}

impl Refusals {
    /// Waits for the next line.
    pub(super) async fn next(&mut self) -> String {
        loop {
            let over = self.stretch.map(|(begun, _)| begun + STRETCH);
            let line = tokio::select! {
                line = self.lines.recv() => line,
                () = async { sleep_until(over.unwrap_or_else(Instant::now)).await }, if over.is_some() => {
                    self.stretch = None;
                    let hidden = self.hidden + self.uncounted.swap(0, Ordering::Relaxed);
                    self.hidden = 0;
                    match hidden {
                        0 => continue,
                        count => {
                            let count = number::grouped(usize::try_from(count).unwrap_or(usize::MAX));
                            return format!("and {count} more refusals; --request-log FILE keeps them all");
                        }
                    }
                }
            };
            let Some(line) = line else { std::future::pending().await };
            let (begun, shown) = self.stretch.unwrap_or_else(|| (Instant::now(), 0));
            if shown < LINES_MAX {
                self.stretch = Some((begun, shown + 1));
                return line;
            }
            self.hidden += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: u16, reason: Option<&str>) -> RequestRecord {
        let mut record = RequestRecord::default();
        record.method = "MQTT".to_owned();
        record.path = "/devices/d\u{1b}/connect".to_owned();
        record.status = status;
        record.error_code = Some("IotHubUnauthorized".to_owned());
        record.reason = reason.map(str::to_owned);
        record
    }

    fn over(method: &str, mut record: RequestRecord) -> RequestRecord {
        record.method = method.to_owned();
        record
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted() {
        let (observer, mut refusals) = listen();
        // Cuts that broke no rule have no code, and requests over HTTPS tell their clients.
        let mut silent = record(0, Some("it was silent"));
        silent.error_code = None;
        observer(&silent);
        observer(&over("GET", record(401, Some("over HTTPS"))));
        silent.status = 204;
        observer(&silent);
        observer(&record(401, None));
        for _ in 0..500 {
            observer(&record(401, Some("no key of its own")));
        }
        for _ in 0..LINES_MAX {
            let line = refusals.next().await;
            assert_eq!(line, "MQTT /devices/d\\u001b/connect: IotHubUnauthorized: no key of its own");
        }
        let begun = Instant::now();
        assert_eq!(refusals.next().await, "and 490 more refusals; --request-log FILE keeps them all");
        assert_eq!(begun.elapsed(), STRETCH);
        observer(&over("TLS", record(0, Some("again"))));
        assert!(refusals.next().await.ends_with("again"));
    }
}
