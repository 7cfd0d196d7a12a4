//! Misbehaviour that one may ask the hub for, to see what a client makes of it, be it one of the service API or a device.
//!
//! A [`FaultSpec`] is rules in a small language of its own: which requests, what happens to them, how often. Rules are tried
//! in their order. Each counts the requests that it is for; the first that is due decides what happens, and a `slow` that is due
//! delays and lets the rules after it go on. What is due follows from the rules, their seed and these counts alone.
//!
//! ```text
//! # methods     path                what           how often
//! PATCH,PUT     /twins/*            429            20%
//! GET           /twins/press-*      503            first 3
//! *             /devices/query      half           every 5th
//! PATCH         *                   reset-after    5%
//! MQTT          twin/patch          429            10%
//! MQTT          /devices/press-*/connect  503      first 3
//! *             *                   slow 20ms..2s
//! seed 7
//! ```
//!
//! - *methods*: one, or several with commas between, or `*` for all. `MQTT` is whatever a device or module asks for.
//! - *path*: `*` for any, or one that begins with `/`, in which `*` stands for any characters of one segment and `**` for any
//!   at all. It is compared with the request's path with its escapes resolved and without a slash at its end; the words of a route
//!   count in any case, and ids do not. What is asked for
//!   over MQTT has the path `/devices/ID/WHAT`, of a module `/devices/ID/modules/ID/WHAT`, where
//!   `WHAT` is `connect`, `twin/get`, `twin/patch`, `telemetry`, `method` (the answer to one), `subscribe` or `unsubscribe`; that
//!   alone, without a slash before it, is the path of everybody's.
//! - *what*: a status from 400 to 599 in place of doing what was asked; `reset-before` and `reset-after`, the connection breaks
//!   (HTTP/2: the stream) before or after it is done; `slow TIME` or `slow TIME..TIME`; `half`, it is done and half of the
//!   answer comes; `garbage`, it is done and the answer's body is nonsense; `no-answer`, it is done and nothing comes. What
//!   these are over MQTT is described in `frontends::mqtt::admission`.
//! - *how often*: `P%` by chance, `first N`, `every Nth`, or always when nothing is said.
//!
//! Rules end with their line or with a `;`, which a path may have inside, and a word that begins with `#` begins a comment. The last `seed N`
//! counts; without one it is 0.

pub(crate) mod by_message;
mod error;
pub(crate) mod injection;
mod pattern;
mod syntax;

use std::fmt;
use std::time::Duration;

use http::Method;

use iothub_model::duration;
use iothub_model::twin::TwinId;
use iothub_model::wire::faults::FaultsReport;
use iothub_model::wire::faults::RuleReport;

use pattern::{Pattern, RequestPath};

pub use error::FaultsError;
pub(crate) use error::read_faults;

/// The method of rules for what devices do.
pub(crate) const MQTT: &str = "MQTT";
/// What there is to do over MQTT, as paths have it.
pub(crate) const MQTT_ROUTES: [&str; 7] =
    ["connect", "twin/get", "twin/patch", "telemetry", "method", "subscribe", "unsubscribe"];

/// Rules and their seed. Its text is the language that it is read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultSpec {
    seed: u64,
    rules: Vec<Rule>,
}

impl FaultSpec {
    /// Says whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            writeln!(f, "{rule}")?;
        }
        if self.seed != 0 {
            writeln!(f, "seed {}", self.seed)?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// None for all.
    methods: Vec<&'static str>,
    path: Pattern,
    fault: Fault,
    when: When,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.methods.as_slice() {
            [] => f.write_str("*")?,
            methods => f.write_str(&methods.join(","))?,
        }
        write!(f, " {} {}", self.path.0, self.fault)?;
        match self.when {
            When::Always => Ok(()),
            _ => write!(f, " {}", self.when),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Status(u16),
    ResetBefore,
    ResetAfter,
    Slow(Duration, Duration),
    Half,
    Garbage,
    NoAnswer,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::ResetBefore => f.write_str("reset-before"),
            Self::ResetAfter => f.write_str("reset-after"),
            Self::Slow(least, most) if least == most => write!(f, "slow {}", duration::exact(*most)),
            Self::Slow(least, most) => write!(f, "slow {}..{}", duration::exact(*least), duration::exact(*most)),
            Self::Half => f.write_str("half"),
            Self::Garbage => f.write_str("garbage"),
            Self::NoAnswer => f.write_str("no-answer"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// In a million.
    Share(u32),
    First(u64),
    Every(u64),
}

/// What is certain, in the measure of [`When::Share`].
const WHOLE: u32 = 1_000_000;

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("100%"),
            Self::Share(share) => write!(f, "{}%", f64::from(*share) / f64::from(WHOLE / 100)),
            Self::First(count) => write!(f, "first {count}"),
            Self::Every(nth) => {
                let ending = match (nth % 10, nth % 100) {
                    (_, 11..=13) => "th",
                    (1, _) => "st",
                    (2, _) => "nd",
                    (3, _) => "rd",
                    _ => "th",
                };
                write!(f, "every {nth}{ending}")
            }
        }
    }
}

/// What the rules do to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InjectedFault {
    /// How much later it is done.
    pub(crate) delay: Duration,
    /// As much of that as rules ask for.
    pub(crate) slow: Duration,
    pub(crate) action: Option<FaultAction>,
}

impl InjectedFault {
    /// Returns what a log has of it; `None` if no rule was due.
    pub(crate) fn name(self) -> Option<String> {
        let slow = (!self.slow.is_zero()).then(|| format!("slow {}", duration::exact(self.slow)));
        match (slow, self.action.map(FaultAction::name)) {
            (Some(slow), Some(action)) => Some(format!("{slow}, {action}")),
            (slow, action) => slow.or(action),
        }
    }
}

/// What a rule does to a request or its response, apart from a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultAction {
    /// Not done; this is the answer's status.
    Status(u16),
    ResetBefore,
    ResetAfter,
    Half,
    /// The number of the malformed response.
    Garbage(u64),
    NoAnswer,
}

impl FaultAction {
    /// Returns what a log says.
    fn name(self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::ResetBefore => Fault::ResetBefore.to_string(),
            Self::ResetAfter => Fault::ResetAfter.to_string(),
            Self::Half => Fault::Half.to_string(),
            Self::Garbage(_) => Fault::Garbage.to_string(),
            Self::NoAnswer => Fault::NoAnswer.to_string(),
        }
    }
}

/// Rules and how often each was for a request, and was due.
#[derive(Debug)]
pub(crate) struct Faults {
    spec: FaultSpec,
    counts: Vec<Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    matched: u64,
    fired: u64,
}

impl Faults {
    pub(crate) fn new(spec: FaultSpec) -> Self {
        let counts = vec![Count::default(); spec.rules.len()];
        Self { spec, counts }
    }

    /// Says what happens to the next request over HTTP; `path` is as it came.
    pub(crate) fn meet(&mut self, method: &Method, path: &str) -> InjectedFault {
        let path = iothub_model::wire::decode_segment(path).unwrap_or_else(|| path.to_owned());
        self.meet_decoded(method.as_str(), if path.len() > 1 { path.trim_end_matches('/') } else { &path })
    }

    /// Says what happens to the next thing that a device asks for.
    pub(crate) fn meet_mqtt(&mut self, id: &TwinId, route: &str) -> InjectedFault {
        let path = match &id.module {
            None => format!("/devices/{}/{route}", id.device),
            Some(module) => format!("/devices/{}/modules/{module}/{route}", id.device),
        };
        self.meet_decoded(MQTT, &path)
    }

    fn meet_decoded(&mut self, method: &str, path: &str) -> InjectedFault {
        let path = RequestPath::new(path);
        let mut injected = InjectedFault::default();
        for (at, (rule, count)) in self.spec.rules.iter().zip(&mut self.counts).enumerate() {
            if !(rule.methods.is_empty() || rule.methods.contains(&method)) || !rule.path.matches(&path) {
                continue;
            }
            count.matched += 1;
            let draw = |what: u64| draw(self.spec.seed, at as u64, count.matched, what);
            let due = match rule.when {
                When::Always => true,
                When::Share(share) => draw(0) % u64::from(WHOLE) < u64::from(share),
                When::First(first) => count.matched <= first,
                When::Every(nth) => count.matched.is_multiple_of(nth),
            };
            if !due {
                continue;
            }
            count.fired += 1;
            injected.action = Some(match rule.fault {
                Fault::Slow(least, most) => {
                    injected.slow += between(least, most, draw(1));
                    injected.delay = injected.slow;
                    continue;
                }
                Fault::Status(status) => FaultAction::Status(status),
                Fault::ResetBefore => FaultAction::ResetBefore,
                Fault::ResetAfter => FaultAction::ResetAfter,
                Fault::Half => FaultAction::Half,
                Fault::Garbage => FaultAction::Garbage(draw(1)),
                Fault::NoAnswer => FaultAction::NoAnswer,
            });
            break;
        }
        injected
    }

    /// Says which rules there are and what they came to.
    pub(crate) fn report(&self) -> FaultsReport {
        let rules = self.spec.rules.iter().zip(&self.counts).map(|(rule, count)| RuleReport {
            rule: rule.to_string(),
            matched: count.matched,
            fired: count.fired,
        });
        FaultsReport { spec: self.spec.to_string(), rules: rules.collect() }
    }
}

/// Draws a time from a range.
pub(crate) fn between(least: Duration, most: Duration, draw: u64) -> Duration {
    let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX - 1);
    least + Duration::from_micros(draw % (span + 1))
}

/// Returns a number that looks random and is always the same for the same arguments (SplitMix64's mixing, over each).
pub(crate) fn draw(seed: u64, stream: u64, nth: u64, what: u64) -> u64 {
    [stream, nth, what].into_iter().fold(seed, |state, part| {
        let mut z = state.wrapping_add(part.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use iothub_model::diagnostic::Source;

    use super::*;

    fn spec(text: &str) -> FaultSpec {
        FaultSpec::parse(&Source::new("<faults>", text)).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
    }

    /// What happens to ten requests in a row.
    #[test]
    fn how_often() {
        let get = Method::GET;
        for (rules, expected) in [
            ("* * 503", "xxxxxxxxxx"),
            ("GET /twins/* 503 first 3", "xxx......."),
            ("* * 503 every 4th", "...x...x.."),
            ("* * 503 0%", ".........."),
            ("* * 503 100%", "xxxxxxxxxx"),
            ("PATCH * 503", ".........."),
            ("PATCH,GET * 503", "xxxxxxxxxx"),
            ("* /devices/* 503", ".........."),
            // The second counts only what the first let through.
            ("* * 503 every 2nd; * * 500 every 2nd", ".xxx.xxx.x"),
        ] {
            let mut faults = Faults::new(spec(rules));
            let met: String =
                (0..10).map(|_| if faults.meet(&get, "/twins/a%23b/").action.is_some() { 'x' } else { '.' }).collect();
            assert_eq!(met, expected, "{rules}");
        }
    }

    #[test]
    fn which_devices_and_what_they_do() {
        for (rule, id, route, expected) in [
            ("MQTT * 503", "d", "connect", true),
            ("* * 503", "d", "connect", true),
            ("GET,PATCH * 503", "d", "connect", false),
            ("GET,MQTT * 503", "d", "connect", true),
            ("MQTT twin/get 503", "d", "twin/get", true),
            ("* twin/get 503", "d/m", "twin/get", true),
            ("MQTT twin/get 503", "d", "twin/patch", false),
            ("MQTT /devices/press-*/** 503", "press-1/m", "telemetry", true),
            ("MQTT /devices/press-*/telemetry 503", "press-1/m", "telemetry", false),
            // Ids have no escapes here.
            ("MQTT /devices/a%23b/connect 503", "a%23b", "connect", true),
        ] {
            let met = Faults::new(spec(rule)).meet_mqtt(&id.parse().expect(id), route);
            assert_eq!(met.action.is_some(), expected, "{rule} {id} {route}");
        }
        assert_eq!(Faults::new(spec("MQTT * 503")).meet(&Method::GET, "/devices/d"), InjectedFault::default());
    }

    #[test]
    fn chance_follows_the_seed() {
        let run = |text: &str| {
            let mut faults = Faults::new(spec(text));
            (0..2000).map(|_| faults.meet(&Method::GET, "/").action.is_some()).collect::<Vec<_>>()
        };
        let (one, again, other) = (run("* * 429 20%"), run("* * 429 20%"), run("* * 429 20%; seed 1"));
        assert_eq!(one, again);
        assert_ne!(one, other);
        for met in [one, other] {
            let share = met.iter().filter(|met| **met).count();
            assert!((320..480).contains(&share), "{share} of 2000");
        }
        // Two rules draw apart: a fifth of the rest, too.
        let mut faults = Faults::new(spec("* * 429 20%; * * 500 20%"));
        let actions: Vec<_> = (0..2000).filter_map(|_| faults.meet(&Method::GET, "/").action).collect();
        let second = actions.iter().filter(|action| **action == FaultAction::Status(500)).count();
        assert!((240..400).contains(&second), "{second} of some 1600");
    }

    #[test]
    fn slow_lets_others_go_on() {
        let mut faults = Faults::new(spec("* * slow 20ms; * * slow 5ms..10ms; * * garbage every 2nd; * * slow 1h"));
        let first = faults.meet(&Method::GET, "/");
        assert_eq!(first.action, None);
        let second = faults.meet(&Method::GET, "/");
        assert!(matches!(second.action, Some(FaultAction::Garbage(_))));
        let range = Duration::from_millis(25)..=Duration::from_millis(30);
        assert!(range.contains(&second.delay), "{second:?}");
        let report = faults.report();
        let counts: Vec<_> = report.rules.iter().map(|rule| (rule.matched, rule.fired)).collect();
        assert_eq!(counts, [(2, 2), (2, 2), (2, 1), (1, 1)]);
        assert_eq!(report.rules[1].rule, "* * slow 5ms..10ms");
        assert_eq!(spec(&report.spec), spec("* * slow 20ms; * * slow 5ms..10ms; * * garbage every 2nd; * * slow 1h"));
    }
}
