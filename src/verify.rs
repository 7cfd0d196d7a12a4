//! Asks checks of a hub, until they hold or their time is over.
//!
//! Owns when to ask again: a query's answer lags behind writes (docs: IoT Hub query language), so that a check that does not
//! hold may only not hold yet. What the rows must be is `check`'s, how a query is asked `client`'s. Read [`run_checks`].

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::check::{Check, CheckResult, CheckStatus, Difference, Expectation, evaluate};
use crate::client::{Error, HubClient};
use crate::manifest::Sensitive;
use iothub_model::query::BoundQuery;
use iothub_model::wire::query::MAX_PAGE;

/// How checks are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VerifyOptions {
    /// Whether to ask again until a check's `within` is over; otherwise each is asked once.
    pub wait: bool,
    /// How many queries may be under way at once.
    pub concurrency: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { wait: true, concurrency: 4 }
    }
}

/// Something that happened, in the past tense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum VerifyEvent {
    /// A check did not hold yet, and is asked again.
    NotYet {
        /// The check's name.
        check: String,
        /// How many times it was asked.
        attempts: u32,
        /// What was different.
        difference: Difference,
        /// After how long it is asked again.
        again_in: Duration,
    },
    /// A check is done with.
    Done(CheckResult),
}

/// Asks all checks at the same time, each until it holds or cannot hold in time any more, and returns what they came to in
/// their order.
///
/// Once `stop` is done no more is asked: a check that was asked before keeps its last answer.
pub(crate) async fn run_checks(
    client: &HubClient,
    checks: &[Check],
    sensitive: &Sensitive,
    options: VerifyOptions,
    stop: impl Future<Output = ()>,
    on_event: &mut (dyn FnMut(VerifyEvent) + Send),
) -> Vec<CheckResult> {
    let permits = Semaphore::new(options.concurrency.max(1));
    let ask = async |check: &Check| {
        let _permit = permits.acquire().await.expect("the semaphore is never closed");
        ask(client, check).await.map_err(|error| error.in_a_line())
    };
    until_they_hold(checks, sensitive, options.wait, ask, stop, on_event).await
}

/// The answer to a check's one or two queries.
struct Asked {
    rows: Vec<Value>,
    whole: Option<Vec<Value>>,
    /// How many requests it took.
    pages: usize,
}

async fn ask(client: &HubClient, check: &Check) -> Result<Asked, Error> {
    let whole_rows_count = matches!(check.expect, Expectation::Rows(_) | Expectation::Columns(_));
    let (rows, mut pages) = all_rows(client, &check.query, whole_rows_count).await?;
    let mut whole = None;
    if let Some(of) = check.expect.whole() {
        let (rows, more) = all_rows(client, of, false).await?;
        whole = Some(rows);
        pages += more;
    }
    Ok(Asked { rows, whole, pages })
}

/// Reads all pages. Of whole twins no more is kept than which they are, where nobody looks at more.
async fn all_rows(client: &HubClient, query: &BoundQuery, keep: bool) -> Result<(Vec<Value>, usize), Error> {
    let mut pages = client.query(query.text(), MAX_PAGE);
    let (mut rows, mut count) = (Vec::new(), 0);
    while let Some(page) = pages.next().await? {
        count += 1;
        if keep || !query.selects_documents() {
            rows.extend(page.rows);
        } else {
            rows.extend(page.rows.iter().map(|row| json!({ "deviceId": row.get("deviceId") })));
        }
    }
    Ok((rows, count))
}

/// How many queries a hub takes in a minute before it makes its clients wait, at the least (docs: IoT Hub quotas and
/// throttling: 20 a minute and unit). Others may want some, too.
const GENTLE: usize = 20;

/// Returns how long to wait before asking a check again that was asked `attempts` times, when `asked` requests were made and
/// `pending` checks do not hold yet: soon at first, and then no more often than the hub takes gladly.
fn pause(attempts: u32, asked: usize, pending: usize) -> Duration {
    let growing = Duration::from_millis(250 << attempts.saturating_sub(1).min(10)).min(Duration::from_secs(5));
    if asked < GENTLE { growing } else { growing.max(Duration::from_secs(60) / GENTLE as u32 * pending as u32) }
}

/// The loop: `ask` is how a check is asked.
async fn until_they_hold(
    checks: &[Check],
    sensitive: &Sensitive,
    wait: bool,
    ask: impl AsyncFn(&Check) -> Result<Asked, String>,
    stop: impl Future<Output = ()>,
    on_event: &mut (dyn FnMut(VerifyEvent) + Send),
) -> Vec<CheckResult> {
    let started = Instant::now();
    let ask = &ask;
    let ask_after = |index: usize, pause: Duration| async move {
        tokio::time::sleep(pause).await;
        (index, ask(&checks[index]).await)
    };
    let mut under_way: FuturesUnordered<_> = (0..checks.len()).map(|index| ask_after(index, Duration::ZERO)).collect();
    let mut states: Vec<CheckProgress> = checks.iter().map(|_| CheckProgress::default()).collect();
    let mut asked = 0;
    let mut stop = pin!(stop);
    loop {
        let answered = tokio::select! {
            biased;
            () = &mut stop => break,
            answered = under_way.next() => answered,
        };
        let Some((index, answer)) = answered else { break };
        let (check, state) = (&checks[index], &mut states[index]);
        state.attempts += 1;
        let elapsed = started.elapsed();
        let status = match answer {
            Ok(Asked { rows, whole, pages }) => {
                asked += pages;
                match evaluate(check, &rows, whole.as_deref(), sensitive.paths()) {
                    Ok(()) => CheckStatus::Held,
                    Err(difference) => CheckStatus::Failed(difference),
                }
            }
            Err(reason) => CheckStatus::Errored(reason),
        };
        match status {
            CheckStatus::Failed(difference) if wait && elapsed < check.within => {
                // The last time is when the time is over, and not some seconds before.
                let again_in = pause(state.attempts, asked, under_way.len() + 1).min(check.within - elapsed);
                state.last = Some((CheckStatus::Failed(difference.clone()), elapsed));
                let attempts = state.attempts;
                on_event(VerifyEvent::NotYet { check: check.name.clone(), attempts, difference, again_in });
                under_way.push(ask_after(index, again_in));
            }
            status => {
                state.last = Some((status, elapsed));
                state.is_done = true;
                on_event(VerifyEvent::Done(state.result(check)));
            }
        }
    }
    let results = checks.iter().zip(&states).map(|(check, state)| {
        let result = state.result(check);
        if !state.is_done {
            on_event(VerifyEvent::Done(result.clone()));
        }
        result
    });
    results.collect()
}

#[derive(Default)]
struct CheckProgress {
    attempts: u32,
    /// The last answer, and when it came.
    last: Option<(CheckStatus, Duration)>,
    is_done: bool,
}

impl CheckProgress {
    fn result(&self, check: &Check) -> CheckResult {
        let never = || (CheckStatus::Errored("stopped before there was an answer".to_owned()), Duration::ZERO);
        let (status, waited) = self.last.clone().unwrap_or_else(never);
        CheckResult {
            name: check.name.clone(),
            query: check.query.text().to_owned(),
            severity: check.severity,
            status,
            attempts: self.attempts,
            waited,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::check::{Bound, Severity};
    use crate::client::tests::hub::TestHub;
    use iothub_model::query::compile;

    #[test]
    fn pauses() {
        for (attempts, asked, pending, seconds) in [
            (1, 1, 1, 0.25),
            (2, 2, 1, 0.5),
            (3, 3, 9, 1.0),
            (5, 5, 1, 4.0),
            (6, 6, 1, 5.0),
            (u32::MAX, 6, 1, 5.0),
            // From here on, all checks together ask twenty times a minute.
            (6, 20, 1, 5.0),
            (6, 20, 4, 12.0),
            (1, 20, 1, 3.0),
        ] {
            assert_eq!(pause(attempts, asked, pending).as_secs_f64(), seconds, "{attempts} {asked} {pending}");
        }
    }

    fn check(name: &str, seconds: u64) -> Check {
        Check {
            name: name.to_owned(),
            query: compile("SELECT deviceId FROM devices").expect("a query"),
            expect: Expectation::Some,
            within: Duration::from_secs(seconds),
            severity: Severity::Error,
            gate: false,
        }
    }

    /// Asks checks whose name says when they begin to hold, and tells what happened when.
    async fn tell(checks: &[Check], wait: bool, stop: impl Future<Output = ()>) -> String {
        let started = Instant::now();
        let ask = async |check: &Check| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let rows = match check.name.parse() {
                Ok(seconds) if started.elapsed() < Duration::from_secs(seconds) => Vec::new(),
                Ok(_) => vec![json!({})],
                Err(_) => return Err("the hub answers 400".to_owned()),
            };
            Ok(Asked { rows, whole: None, pages: 1 })
        };
        let (send, receive) = std::sync::mpsc::channel();
        let results = until_they_hold(checks, &Sensitive::default(), wait, ask, stop, &mut |event| {
            send.send((started.elapsed(), event)).expect("received");
        })
        .await;
        let mut text = String::new();
        for (at, event) in receive.try_iter() {
            let at = at.as_secs_f64();
            match event {
                VerifyEvent::NotYet { check, attempts, again_in, .. } => {
                    writeln!(text, "{at}: {check} not yet ({attempts}), again in {again_in:?}").expect("written");
                }
                VerifyEvent::Done(result) => writeln!(text, "{at}: {} done", result.name).expect("written"),
            }
        }
        for result in results {
            let status = match result.status {
                CheckStatus::Held => "held".to_owned(),
                CheckStatus::Failed(difference) => difference.summary,
                CheckStatus::Errored(reason) => reason,
            };
            writeln!(text, "{} after {} in {:?}: {status}", result.name, result.attempts, result.waited)
                .expect("written");
        }
        text
    }

    #[tokio::test(start_paused = true)]
    async fn checks_are_asked_until_they_hold_or_their_time_is_over() {
        let checks = [check("0", 60), check("2", 60), check("9", 4), check("bad", 60), check("1", 0)];
        insta::assert_snapshot!(tell(&checks, true, std::future::pending()).await, @r"
        0.1: 0 done
        0.1: 2 not yet (1), again in 250ms
        0.1: 9 not yet (1), again in 250ms
        0.1: bad done
        0.1: 1 done
        0.45: 2 not yet (2), again in 500ms
        0.45: 9 not yet (2), again in 500ms
        1.05: 2 not yet (3), again in 1s
        1.05: 9 not yet (3), again in 1s
        2.15: 2 done
        2.15: 9 not yet (4), again in 1.85s
        4.1: 9 done
        0 after 1 in 100ms: held
        2 after 4 in 2.15s: held
        9 after 5 in 4.1s: expected at least one row, found none
        bad after 1 in 100ms: the hub answers 400
        1 after 1 in 100ms: expected at least one row, found none
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn checks_are_asked_once_where_nobody_waits() {
        insta::assert_snapshot!(tell(&[check("0", 60), check("2", 60)], false, std::future::pending()).await, @r"
        0.1: 0 done
        0.1: 2 done
        0 after 1 in 100ms: held
        2 after 1 in 100ms: expected at least one row, found none
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_keeps_what_is_known() {
        let stop = tokio::time::sleep(Duration::from_millis(150));
        insta::assert_snapshot!(tell(&[check("0", 60), check("2", 60)], true, stop).await, @r"
        0.1: 0 done
        0.1: 2 not yet (1), again in 250ms
        0.15: 2 done
        0 after 1 in 100ms: held
        2 after 1 in 100ms: expected at least one row, found none
        ");
        let stop = std::future::ready(());
        insta::assert_snapshot!(tell(&[check("0", 60)], true, stop).await, @r"
        0: 0 done
        0 after 0 in 0ns: stopped before there was an answer
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn many_checks_are_gentle_to_the_hub() {
        let checks: Vec<_> = (0..12).map(|_| check("999", 60)).collect();
        let text = tell(&checks, true, std::future::pending()).await;
        let asked = text.lines().filter(|line| line.contains("not yet") || line.ends_with("done")).count();
        // Two rounds and a half within a second, then as often as the hub takes gladly, and once more at the end.
        assert_eq!(asked, 12 + 12 + 7 + 12 + 12, "{text}");
    }

    #[tokio::test]
    async fn checks_are_asked_of_a_hub() {
        let hub = TestHub::start().await;
        let client = hub.client();
        let all = "SELECT * FROM devices";
        let check = |expect, query: &str| Check { query: compile(query).expect("a query"), expect, ..check(query, 20) };
        let share = |bound, of| Expectation::Share {
            bound: Bound::parse_percent(bound).expect(bound),
            of: Box::new(compile(of).expect("a query")),
        };
        let checks = [
            check(Expectation::Devices(["a".to_owned(), "b".to_owned()].into()), all),
            check(share("= 50%", all), "SELECT COUNT() AS n FROM devices WHERE deviceId = 'a'"),
        ];
        // The devices come to be while the checks are being asked.
        let make = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            for id in ["a", "b"] {
                client.create_device(&id.parse().expect("an id")).await.expect("made");
            }
        };
        let mut on_event = |_| {};
        let secrets = Sensitive::default();
        let run =
            run_checks(&client, &checks, &secrets, VerifyOptions::default(), std::future::pending(), &mut on_event);
        let (results, ()) = tokio::join!(run, make);
        for result in results {
            assert_eq!(result.status, CheckStatus::Held, "{}", result.query);
            assert!(result.attempts > 1);
        }
    }
}
