//! What a plan will lead to, in words: what the checks will say, who else writes there, what it costs, what was selected.

use std::time::Duration;

use super::redacted::{and_more, named_ids};
use crate::check::Severity;
use crate::manifest::Selection;
use crate::plan::{Cost, Forecast, Prediction, SharedPath, Spent, Writer};
use crate::render::escape;
use crate::render::number::{counted, grouped};
use iothub_model::duration;
use iothub_model::twin::TwinId;

/// Whether a check will hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Foreseen {
    /// It will not.
    WillFail,
    /// It reads what the devices or the hub decide.
    DependsOnDevices,
    /// It could not be predicted.
    Unknown,
    /// It will.
    WillHold,
}

impl Foreseen {
    /// All of them, those first that somebody should look at.
    pub(crate) const ALL: [Self; 4] = [Self::WillFail, Self::DependsOnDevices, Self::Unknown, Self::WillHold];

    /// Returns the words for it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::WillFail => "will fail",
            Self::DependsOnDevices => "depends on devices",
            Self::Unknown => "not predicted",
            Self::WillHold => "will hold",
        }
    }

    /// Returns the words for so many of them: `2 depend on devices`.
    pub(crate) fn counted(self, count: usize) -> String {
        let words = match self {
            Self::DependsOnDevices if count != 1 => "depend on devices",
            _ => self.label(),
        };
        format!("{} {words}", grouped(count))
    }

    /// Returns the sign for it.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::WillFail => "✗",
            Self::DependsOnDevices | Self::Unknown => "?",
            Self::WillHold => "✓",
        }
    }
}

/// One predicted check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckView {
    /// Whether it will hold.
    pub foreseen: Foreseen,
    /// What it means when it does not.
    pub severity: Severity,
    /// Its name.
    pub name: String,
    /// What is asked.
    pub query: String,
    /// Why it will be so, in a line; may be empty.
    pub said: String,
    /// Rows, a line each.
    pub details: Vec<String>,
    /// The devices concerned.
    pub devices: Vec<String>,
}

impl CheckView {
    pub(super) fn of(prediction: &Prediction) -> Self {
        let Prediction { name, query, severity, forecast } = prediction;
        let (foreseen, said, difference) = match forecast {
            Forecast::WillHold => (Foreseen::WillHold, String::new(), None),
            Forecast::WillFail(difference) => (Foreseen::WillFail, difference.summary.clone(), Some(difference)),
            Forecast::DependsOnDevices { reads, as_it_is } => {
                let now = match as_it_is {
                    None => "would hold as they are".to_owned(),
                    Some(difference) => format!("would fail as they are: {}", difference.summary),
                };
                let reads = if reads.is_empty() { String::new() } else { format!(" (reads {})", reads.join(", ")) };
                (Foreseen::DependsOnDevices, now + &reads, as_it_is.as_ref())
            }
            Forecast::Unknown(why) => (Foreseen::Unknown, why.clone(), None),
        };
        let lines = |lines: &[String]| lines.iter().map(|line| escape::line(line).into_owned()).collect();
        Self {
            foreseen,
            severity: *severity,
            name: escape::line(name).into_owned(),
            query: escape::line(query).into_owned(),
            said: escape::line(&said).into_owned(),
            details: difference.map(|found| lines(&found.details)).unwrap_or_default(),
            devices: difference.map(|found| lines(&found.devices)).unwrap_or_default(),
        }
    }
}

/// Somebody else who writes to these twins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriterView {
    /// Whether both write other values to the same place.
    pub fights: bool,
    /// `configuration`, `fleet`, or `unread` for what could not be found out.
    pub kind: &'static str,
    /// Its id, or its name.
    pub name: String,
    /// What is to be known of it, in a line.
    pub said: String,
    /// Where both write, and what comes of it.
    pub paths: Vec<(String, String)>,
    /// The twins concerned, where they are known by name.
    pub twins: Vec<String>,
}

impl WriterView {
    /// Says what could not be found out.
    pub(super) fn unread(why: &str) -> Self {
        Self {
            fights: false,
            kind: "unread",
            name: "configurations".to_owned(),
            said: escape::line(why).into_owned(),
            paths: Vec::new(),
            twins: Vec::new(),
        }
    }

    pub(super) fn of(writer: &Writer) -> Self {
        let line = |text: &str| escape::line(text).into_owned();
        match writer {
            Writer::Configuration { id, priority, condition, paths, twins } => {
                let targets = counted(twins.len(), TwinId::kind_of_all(twins));
                Self {
                    fights: paths.iter().any(|path| !path.agree),
                    kind: "configuration",
                    name: line(id),
                    said: line(&format!("priority {priority}, targets {targets} of this fleet: {condition}")),
                    paths: paths.iter().map(shared).collect(),
                    twins: named_ids(&twins.iter().collect::<Vec<_>>()),
                }
            }
            Writer::Fleet { fleet, revisions, twins, paths } => {
                let (first, more) = (revisions.first(), and_more(revisions.len().saturating_sub(1)));
                let at = first.map(|first| format!(", at revision {first}{more}")).unwrap_or_default();
                let both = if paths.is_empty() { "; no path of it is this fleet's" } else { "" };
                Self {
                    fights: !paths.is_empty(),
                    kind: "fleet",
                    name: fleet.to_string(),
                    said: line(&format!("has its record in {} of this fleet{at}{both}", counted(*twins, "twin"))),
                    paths: paths.iter().map(|path| (line(path.as_str()), "both write it".to_owned())).collect(),
                    twins: Vec::new(),
                }
            }
        }
    }
}

fn shared(path: &SharedPath) -> (String, String) {
    let SharedPath { declared, theirs, agree } = path;
    let at = if theirs == declared { String::new() } else { format!("it writes {theirs}; ") };
    let said =
        if *agree { "both want the same value" } else { "it wants another value, and writes it every few minutes" };
    (escape::path(declared.as_str()).into_owned(), escape::line(&(at + said)).into_owned())
}

/// What a selector found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelectionView {
    /// Its name.
    pub name: String,
    /// Its condition.
    pub condition: String,
    /// The devices.
    pub ids: Vec<String>,
    /// Where in the manifest.
    pub origin: String,
}

impl SelectionView {
    pub(super) fn of(selection: &Selection) -> Self {
        let Selection { name, condition, ids, origin } = selection;
        Self {
            name: escape::line(name).into_owned(),
            condition: escape::line(condition).into_owned(),
            ids: named_ids(&ids.iter().collect::<Vec<_>>()),
            origin: escape::line(&origin.to_string()).into_owned(),
        }
    }
}

/// What a plan has cost and will cost, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CostView {
    /// The throttles that times are reckoned under.
    pub tier: String,
    /// What planning has read.
    pub read: SpentView,
    /// What applying will send; `None` if there is nothing to send.
    pub apply: Option<SpentView>,
    /// The notifications that connected devices get; `None` for no one.
    pub notifications: Option<String>,
}

/// Requests and what they are billed as, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpentView {
    /// `9,992 requests`
    pub requests: String,
    /// `9,992 messages`
    pub messages: String,
    /// `3 min 12 s`
    pub time: String,
}

impl SpentView {
    fn of(spent: &Spent) -> Self {
        let Spent { requests, messages, seconds } = *spent;
        Self {
            requests: counted(size(requests), "request"),
            messages: format!("{} billed", counted(size(messages), "message")),
            time: Duration::try_from_secs_f64(seconds).map_or_else(|_| "for ever".to_owned(), duration::rounded),
        }
    }

    /// Returns it in a line.
    pub(crate) fn line(&self) -> String {
        let Self { requests, messages, time } = self;
        format!("{requests}, {messages}, {time}")
    }
}

impl CostView {
    pub(super) fn of(cost: &Cost) -> Self {
        let Cost { tier, read, apply, notifications } = cost;
        Self {
            tier: escape::line(tier).into_owned(),
            read: SpentView::of(read),
            apply: apply.as_ref().map(SpentView::of),
            notifications: (*notifications > 0).then(|| {
                format!("{} to devices, each a billed message", counted(size(*notifications), "notification"))
            }),
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
