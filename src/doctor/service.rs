//! What the hub says: whether it takes the key, what the policy may do, and how it answers.

use std::time::{Duration, Instant};

use super::{Finding, Health};
use crate::client::{Error, HubClient, Right};
use iothub_model::duration;
use iothub_model::wire::ErrorCode;

/// Tokens are made for an hour; a clock this far behind makes them end before they are used.
const TOO_LATE: i64 = 50 * 60;
/// A clock this far off deserves a word.
const OFF: i64 = 60;
/// How many answers are timed.
const ROUNDS: usize = 5;
/// Slower answers than this deserve a word.
const SLOW: Duration = Duration::from_millis(500);

/// Asks the hub.
pub(super) async fn examine(client: &HubClient, tell: &mut (dyn FnMut(Finding) + Send)) {
    let mut answers = Vec::new();
    for right in Right::ALL {
        answers.push((right, client.probe(right).await));
    }
    tell(clock(client.clock_ahead()));
    if !credentials(&answers, tell) {
        return;
    }
    let (mut twins, mut basic) = (false, false);
    for (right, answer) in &answers {
        if matches!(answer, Err(Error::Refused { hub, .. }) if hub.code() == Some(ErrorCode::OperationNotAvailableInCurrentTier))
        {
            basic = true;
            continue;
        }
        twins |= *right == Right::ServiceConnect && answer.is_ok();
        tell(self::right(*right, answer.as_ref().err()));
    }
    if basic {
        let says = "this hub is of a basic tier, which has no device twins";
        tell(
            Finding::new("tier", Health::Fail, says).next(Some("choose a standard tier (S1, S2, S3) or the free one")),
        );
        return;
    }
    if !twins {
        return;
    }
    tell(Finding::new("tier", Health::Ok, "it has device twins"));
    tell(query(client).await);
    tell(latency(client).await);
}

fn clock(ahead: Option<i64>) -> Finding {
    let Some(ahead) = ahead else {
        return Finding::new("clock", Health::Skip, "the hub did not say what time it is");
    };
    let off = match ahead.unsigned_abs() {
        seconds @ 0..180 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    };
    let says = match ahead {
        -1..=1 => "this machine and the hub have the same time".to_owned(),
        2.. => format!("this machine is {off} ahead of the hub"),
        _ => format!("this machine is {off} behind the hub"),
    };
    let health = match ahead {
        _ if ahead <= -TOO_LATE => Health::Fail,
        _ if ahead.abs() >= OFF => Health::Warn,
        _ => Health::Ok,
    };
    let next = match health {
        Health::Ok | Health::Skip => None,
        Health::Warn => Some("set the clock, by NTP best: tokens are good for an hour by the hub's time"),
        Health::Fail => Some("set the clock, by NTP best: tokens made now have ended by the hub's time"),
    };
    Finding::new("clock", health, says).next(next)
}

/// Says whether the hub takes the key for anything.
fn credentials(answers: &[(Right, Result<(), Error>)], tell: &mut (dyn FnMut(Finding) + Send)) -> bool {
    let denied = |answer: &Result<(), Error>| matches!(answer, Err(Error::Unauthorized { .. }));
    let unanswered = answers.iter().find_map(|(_, answer)| match answer {
        Err(error) if error.hub_error().is_none() => Some(error),
        _ => None,
    });
    if let Some(error) = unanswered {
        tell(Finding::new("service", Health::Fail, error.in_a_line()).next(error.advice()));
        return false;
    }
    // Whoever is no hub at all has neither taken nor refused a key.
    let stranger = |answer: &Result<(), Error>| matches!(answer, Err(Error::Refused { hub, .. }) if hub.code().is_none() && hub.code_name.is_none());
    if answers.iter().all(|(_, answer)| stranger(answer)) {
        let error = answers.iter().find_map(|(_, answer)| answer.as_ref().err());
        let says = error.map(Error::in_a_line).unwrap_or_default();
        tell(Finding::new("service", Health::Fail, says).next(error.and_then(Error::advice)));
        return false;
    }
    if !answers.iter().all(|(_, answer)| denied(answer)) {
        tell(Finding::new("credentials", Health::Ok, "the hub takes the policy's key"));
        return true;
    }
    let words = answers.iter().find_map(|(_, answer)| answer.as_ref().err()?.hub_error());
    let words = words.map(|hub| format!("; it says: {}", hub.message)).unwrap_or_default();
    let says = format!("the hub takes them for nothing{words}");
    let next = "look at the clock above, then at key and policy: the portal shows them under \"Shared access policies\", and a \
                renewed key ends the old one";
    tell(Finding::new("credentials", Health::Fail, says).next(Some(next)));
    false
}

fn right(right: Right, error: Option<&Error>) -> Finding {
    // Twins are what everything is about; the registry serves some commands alone.
    let (what, needed, policies, lacking) = match right {
        Right::ServiceConnect => {
            ("right to twins", "ServiceConnect, for twins and queries", "`service` and `iothubowner`", Health::Fail)
        }
        Right::RegistryRead => (
            "right to read",
            "RegistryRead, for `twinctl hub device`",
            "`registryRead`, `registryReadWrite` and `iothubowner`",
            Health::Warn,
        ),
        Right::RegistryWrite => (
            "right to register",
            "RegistryWrite, for `missing: register`, and for automatic configurations in a plan",
            "`registryReadWrite` and `iothubowner`",
            Health::Warn,
        ),
    };
    match error {
        None => Finding::new(what, Health::Ok, format!("the policy has {needed}")),
        Some(Error::Unauthorized { .. }) => Finding::new(what, lacking, format!("the policy lacks {needed}"))
            .next(Some(format!("take another policy, or add the right: {policies} have it by default"))),
        Some(error) => Finding::new(what, lacking, error.in_a_line()).next(error.advice()),
    }
}

async fn query(client: &HubClient) -> Finding {
    let mut pages = client.query("SELECT COUNT() AS n FROM devices", 1);
    let mut count = None;
    loop {
        match pages.next().await {
            Ok(Some(page)) => count = count.or(page.rows.first().and_then(|row| row.get("n")?.as_u64())),
            Ok(None) => break,
            Err(error) => return Finding::new("query", Health::Fail, error.in_a_line()).next(error.advice()),
        }
    }
    match count {
        Some(count) => Finding::new("query", Health::Ok, format!("it counts the devices: {count}")),
        None => Finding::new("query", Health::Warn, "the count of devices is no number"),
    }
}

async fn latency(client: &HubClient) -> Finding {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        if let Err(error) = client.probe(Right::ServiceConnect).await {
            return Finding::new("latency", Health::Fail, error.in_a_line()).next(error.advice());
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let (middle, slowest) = (times[ROUNDS / 2], times[ROUNDS - 1]);
    let says = format!(
        "of {ROUNDS} answers the middle one came in {}, the slowest in {}",
        duration::rounded(middle),
        duration::rounded(slowest)
    );
    match middle > SLOW {
        false => Finding::new("latency", Health::Ok, says),
        true => Finding::new("latency", Health::Warn, says)
            .next(Some("run closer to the hub's region, or with a larger --concurrency")),
    }
}
