//! What may be shown of a plan: the one step between a plan and text, Markdown and HTML.
//!
//! Owns what is said and in which order, and that nothing sensitive and nothing that steers a terminal gets further: values
//! come out of here as [`RedactedValue`], texts on one line and escaped by [`escape`]. How it looks is the renderers'; they take a
//! [`PlanView`] and never see the plan. Read [`PlanView`] first.

mod counts;
mod redacted;
mod impact;
mod drift;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

pub(crate) use counts::{Counts, read_by};
pub(crate) use impact::{CheckView, CostView, Foreseen, SelectionView, WriterView};
use redacted::named_ids;
pub(crate) use redacted::{MASK, RedactedValue, named, patch, reported, value};

use super::number::counted;
use super::{escape, value as values};
use crate::legible;
use crate::manifest::Origin;
use crate::plan::cluster::cluster;
use crate::plan::{Action, Cluster, Conflict, Impact, Plan, PlannedChange, Side, Taken, TwinPlan, Verdict, guard};
use iothub_model::twin::{TwinId, TwinPath};

/// How many of the leaves that would go a conflict names.
const NAMED: usize = 3;

/// A plan, ready to be shown.
pub(crate) struct PlanView<'p> {
    /// The plan that a review is bound to; `None` for drift.
    plan: Option<&'p Plan>,
    /// What the view is of.
    pub subject: Subject,
    /// Whose plan it is.
    pub fleet: &'p str,
    /// The hub's host name.
    pub hub: &'p str,
    /// The Git revision; may be empty.
    pub revision: String,
    /// Twins for which the same is to be done, those first that keep the plan from being applied.
    pub clusters: Vec<ClusterView>,
    /// It all in numbers.
    pub counts: Counts,
    /// What the manifest asks for and is ignored, as a sentence.
    pub ignored: Option<String>,
    /// Why it may not be applied.
    pub refusals: Vec<String>,
    /// What to do about what stands in the way, once for each kind.
    pub hints: Vec<&'static str>,
    /// What a reader needs to know to understand the clusters.
    pub notes: Vec<NoteView>,
    /// What the manifest's selectors found.
    pub selections: Vec<SelectionView>,
    /// Who else writes to these twins.
    pub writers: Vec<WriterView>,
    /// What the checks will say.
    pub checks: Vec<CheckView>,
    /// What it costs.
    pub cost: Option<CostView>,
}

/// What a view is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A plan.
    Plan,
    /// The drift in a plan.
    Drift,
}

impl Subject {
    /// Returns the command that prints it.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Plan => "twinctl plan",
            Self::Drift => "twinctl drift",
        }
    }
}

/// What happens, as a sign that reads without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ChangeSign {
    /// It comes to be.
    Add,
    /// It becomes something else.
    Change,
    /// It goes.
    Remove,
    /// It stays, and is recorded as this fleet's.
    Keep,
    /// It stands in the way.
    Stop,
    /// It is left out.
    Pass,
}

impl ChangeSign {
    /// Returns the sign.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Change => "~",
            Self::Remove => "-",
            Self::Keep => "=",
            Self::Stop => "!",
            Self::Pass => ".",
        }
    }

    /// Returns the sign of a change.
    pub(crate) fn of(change: &PlannedChange) -> Self {
        match (&change.before, &change.after) {
            _ if !change.verdict.touches_value() => Self::Keep,
            (Side::Absent, _) => Self::Add,
            (_, Side::Absent) => Self::Remove,
            (Side::Known(_) | Side::Redacted, _) => Self::Change,
        }
    }
}

/// Twins for which the same is to be done.
#[derive(Clone, Debug)]
pub(crate) struct ClusterView {
    /// What happens to them.
    pub sign: ChangeSign,
    /// A word for what is to be done, beside the verdicts of the paths; `None` where these say it.
    pub kind: Option<&'static str>,
    /// `thermostat-001`, or `9,987 devices`.
    pub who: String,
    /// What is to be said of all of them, beside the paths; may be empty.
    pub remark: Cow<'static, str>,
    /// What stands in the way, what is taken over, and the paths.
    pub rows: Vec<RowView>,
    /// All of them, sorted; never empty.
    pub ids: Vec<String>,
    /// The layers of the manifest that the changes come from, as in `group redmond43`, over all these twins.
    pub layers: BTreeSet<String>,
}

/// What a reader needs to know beside the clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoteView {
    /// The program's own words.
    pub text: Cow<'static, str>,
    /// The twins that it is about, by name; may be empty.
    pub who: String,
}

/// One line of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowView {
    /// What happens to the path.
    pub sign: ChangeSign,
    /// Where in the twin.
    pub path: String,
    /// What is to be said of it.
    pub what: What,
    /// `file:line` of the manifest, for the first twin; may be empty.
    pub origin: String,
    /// The place itself.
    pub place: Option<(String, u32)>,
}

/// What is to be said of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// It changes, or is recorded.
    Change {
        /// How it came about.
        verdict: Verdict,
        /// What is there.
        before: Option<RedactedValue>,
        /// What will be there.
        after: Option<RedactedValue>,
    },
    /// A conflict, or what is taken over.
    Said(String),
}

impl RowView {
    /// Returns what the path was and will be on one line, or what is to be said of it.
    pub(crate) fn value(&self) -> String {
        match (&self.what, self.sides()) {
            (What::Said(said), _) => said.clone(),
            (What::Change { .. }, Some((before, after))) => format!("{} → {}", before.line(), after.line()),
            (What::Change { before, after, verdict: _ }, None) => {
                after.as_ref().or(before.as_ref()).map_or("absent", RedactedValue::line).to_owned()
            }
        }
    }

    /// Returns the value in so many characters. Where it changes, what differs is among them.
    pub(crate) fn value_within(&self, most: usize) -> String {
        match self.sides() {
            Some((before, after)) => values::both(before.line(), after.line(), most),
            None => values::cut(&self.value(), most).into_owned(),
        }
    }

    /// Returns both sides, where both are there, differ, and can be looked at.
    pub(crate) fn sides(&self) -> Option<(&RedactedValue, &RedactedValue)> {
        match &self.what {
            What::Change { verdict, before: Some(before), after: Some(after) }
                if verdict.touches_value() && !(before.is_hidden() && after.is_hidden()) =>
            {
                Some((before, after))
            }
            _ => None,
        }
    }

    /// Returns how it came about.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match &self.what {
            What::Change { verdict, .. } => Some(*verdict),
            What::Said(_) => None,
        }
    }

    fn of_change(change: &PlannedChange) -> Self {
        let PlannedChange { path, verdict, before: _, after: _, moved_from: _, origin, sensitive: _ } = change;
        let (before, after) = change.shown();
        let (before, after) = RedactedValue::sides(before, after);
        let what = What::Change { verdict: *verdict, before, after };
        Self::new(ChangeSign::of(change), path.as_str(), what, origin.as_ref())
    }

    /// Shows both paths of a rename as one: `desired.freq → desired.interval`.
    fn of_rename(from: &PlannedChange, to: &PlannedChange) -> Self {
        let shown = |side| if from.sensitive || to.sensitive { Side::redacted(side) } else { side };
        let before = if from.before == to.after { &Side::Absent } else { shown(&from.before) };
        let (before, after) = RedactedValue::sides(before, shown(&to.after));
        let what = What::Change { verdict: to.verdict, before, after };
        let mut paths = [&from.path, &to.path].map(|path| escape::path(path.as_str()).into_owned());
        legible::tell_apart(&mut paths);
        Self { path: paths.join(" → "), ..Self::new(ChangeSign::Change, "", what, to.origin.as_ref()) }
    }

    fn of_changes(changes: &[PlannedChange]) -> impl Iterator<Item = Self> {
        let find = |path: &TwinPath| changes.iter().find(|change| change.path == *path);
        changes.iter().filter(|change| !change.is_moved_away()).map(move |change| {
            match change.moved_from.as_ref().and_then(find) {
                Some(from) => Self::of_rename(from, change),
                None => Self::of_change(change),
            }
        })
    }

    fn of_taken(taken: &Taken) -> Self {
        Self::said(ChangeSign::Keep, taken.path.as_str(), format!("taken over from fleet {}", taken.fleet), None)
    }

    fn of_conflict(conflict: &Conflict) -> Self {
        match conflict {
            Conflict::OwnedByOther { path, owned, fleet, revision, origin } => {
                let at = if revision.is_empty() { String::new() } else { format!(" (revision {revision})") };
                let under = if owned == path { String::new() } else { format!(" as {owned}") };
                Self::said(
                    ChangeSign::Stop,
                    path.as_str(),
                    format!("owned by fleet {fleet}{under}{at}"),
                    origin.as_ref(),
                )
            }
            Conflict::WouldDestroy { path, leaves, origin } => {
                let few: Vec<_> = leaves.iter().take(NAMED).map(ToString::to_string).collect();
                let more = redacted::and_more(leaves.len() - few.len());
                let said = format!("would remove {}{more}, not owned by this fleet", few.join(", "));
                Self::said(ChangeSign::Stop, path.as_str(), said, origin.as_ref())
            }
            Conflict::Record { problem } => Self::said(ChangeSign::Stop, "tags.twinctl", problem.clone(), None),
            Conflict::Limit { problem } => Self::said(ChangeSign::Stop, "limit", problem.clone(), None),
        }
    }

    fn said(sign: ChangeSign, path: &str, said: String, origin: Option<&Origin>) -> Self {
        Self::new(sign, path, What::Said(escape::line(&said).into_owned()), origin)
    }

    fn new(sign: ChangeSign, path: &str, what: What, origin: Option<&Origin>) -> Self {
        Self {
            sign,
            path: escape::path(path).into_owned(),
            what,
            origin: origin.map(|origin| escape::line(&origin.to_string()).into_owned()).unwrap_or_default(),
            place: origin.map(|origin| (origin.file.to_string(), origin.line)),
        }
    }
}

/// Says in a line what stands in the way of a twin.
pub(crate) fn conflict_line(conflict: &Conflict) -> String {
    let row = RowView::of_conflict(conflict);
    format!("{}  {}  {}", row.path, row.value(), row.origin).trim_end().to_owned()
}

impl ClusterView {
    fn of(twins: &[TwinPlan], cluster: &Cluster<'_>) -> Self {
        let mut rows: Vec<RowView> = cluster.conflicts.iter().map(RowView::of_conflict).collect();
        rows.extend(cluster.taken.iter().map(RowView::of_taken));
        rows.extend(RowView::of_changes(cluster.changes));
        legible::tell_apart(rows.iter_mut().map(|row| &mut row.path));
        let adopts = !rows.is_empty() && rows.iter().all(|row| row.sign == ChangeSign::Keep);
        let (sign, remark) = match cluster.action {
            _ if !cluster.conflicts.is_empty() => (ChangeSign::Stop, ""),
            Action::Update if rows.is_empty() => (ChangeSign::Keep, "only the ownership record"),
            Action::Update if adopts => (ChangeSign::Keep, ""),
            Action::Update => (ChangeSign::Change, ""),
            Action::Register => (ChangeSign::Add, "to be registered"),
            Action::Release => (ChangeSign::Remove, "left the manifest; the identity stays"),
            Action::Missing => (ChangeSign::Stop, "not on the hub"),
            Action::Skip => (ChangeSign::Pass, "not on the hub, left out"),
        };
        let kind = match cluster.action {
            Action::Missing => Some("missing"),
            _ if sign == ChangeSign::Stop => Some("conflict"),
            Action::Register => Some("register"),
            Action::Release => Some("release"),
            Action::Skip => Some("left out"),
            Action::Update => rows.iter().all(|row| row.verdict().is_none()).then_some("record only"),
        };
        let ids = named_ids(&cluster.ids);
        Self {
            sign,
            kind,
            who: who(&cluster.ids),
            remark: remark.into(),
            rows,
            ids,
            layers: layers(twins, &cluster.ids),
        }
    }

    /// Says whether it keeps the plan from being applied.
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.sign == ChangeSign::Stop
    }

    /// Returns what happens to a value, each word once: the verdicts' labels, and what else is to be done.
    pub(crate) fn kinds(&self) -> BTreeSet<&'static str> {
        self.rows.iter().filter_map(RowView::verdict).map(Verdict::label).chain(self.kind).collect()
    }
}

/// `thermostat-001`, or `9,987 devices`.
fn who(ids: &[&TwinId]) -> String {
    match ids {
        [one] => escape::id(one),
        _ => counted(ids.len(), TwinId::kind_of_all(ids.iter().copied())),
    }
}

/// Twins share their changes in memory, so few have to be looked at.
fn layers(twins: &[TwinPlan], ids: &[&TwinId]) -> BTreeSet<String> {
    let mut seen = HashSet::new();
    let mut layers = BTreeSet::new();
    for id in ids {
        let Ok(at) = twins.binary_search_by(|twin| twin.id.cmp(id)) else { continue };
        let changes = &twins[at].changes;
        if seen.insert(changes.as_ptr()) {
            let origins = changes.iter().filter_map(|change| change.origin.as_ref());
            layers.extend(origins.map(|origin| escape::line(&origin.layer.to_string()).into_owned()));
        }
    }
    layers
}

/// Groups twins, which are sorted by id, into clusters as people tell them apart. Those that differ in nothing but what is kept back
/// are one already.
pub(crate) fn clusters(twins: &[TwinPlan]) -> Vec<ClusterView> {
    cluster(twins).iter().map(|cluster| ClusterView::of(twins, cluster)).collect()
}

/// Names the twins that lost their record: their values are `new` or `overwrite`, which does not show it.
fn notes(plan: &Plan) -> Option<NoteView> {
    let ids: Vec<_> = plan.records.lost_beside_others().map(escape::id).collect();
    let (twins, have) = (counted(ids.len(), "twin"), if ids.len() == 1 { "has" } else { "have" });
    let text = format!(
        "{twins} {have} no record of this fleet, and others have one: replaced, registered anew, or never applied"
    );
    (!ids.is_empty()).then(|| NoteView { text: text.into(), who: named(&ids, NAMED) })
}

fn writers(impact: &Impact) -> Vec<WriterView> {
    let unread = impact.unread.iter().map(|why| WriterView::unread(why));
    impact.writers.iter().map(WriterView::of).chain(unread).collect()
}

/// Returns the sentence that says that a rollout is ignored, where one is.
pub(crate) fn ignored_rollout(plan: &Plan) -> Option<String> {
    let asked = plan.not_carried_out();
    (plan.ignores_rollout && !asked.is_empty()).then(|| {
        format!(
            "the rollout is ignored ({}): all twins are written at once, and the checks run at the end",
            asked.join(", ")
        )
    })
}

impl<'p> PlanView<'p> {
    /// Takes of a plan what may be shown.
    pub(crate) fn of(plan: &'p Plan) -> Self {
        Self {
            plan: Some(plan),
            subject: Subject::Plan,
            fleet: plan.fleet.as_str(),
            hub: plan.hub.as_str(),
            revision: escape::line(&plan.revision).into_owned(),
            clusters: clusters(&plan.twins),
            counts: Counts::of(plan, &plan.summary()),
            ignored: ignored_rollout(plan),
            refusals: guard::refusals(plan).iter().map(|why| escape::line(&why.to_string()).into_owned()).collect(),
            hints: counts::hints(plan),
            notes: notes(plan).into_iter().collect(),
            selections: plan.selections.iter().map(SelectionView::of).collect(),
            writers: writers(&plan.impact),
            checks: plan.impact.predictions.iter().map(CheckView::of).collect(),
            cost: plan.impact.cost.as_ref().map(CostView::of),
        }
    }

    /// Returns the digest that a review is bound to; `None` for drift, which nobody applies. It reads every patch.
    pub(crate) fn digest(&self) -> Option<String> {
        self.plan.map(|plan| plan.review_digest().as_str().to_owned())
    }

    /// Returns how many checks will say what.
    pub(crate) fn foreseen(&self) -> Vec<(Foreseen, usize)> {
        let count = |wanted| self.checks.iter().filter(|check| check.foreseen == wanted).count();
        Foreseen::ALL.into_iter().map(|one| (one, count(one))).filter(|&(_, count)| count > 0).collect()
    }

    /// Returns that in a line: `1 will fail, 12 will hold`.
    pub(crate) fn foreseen_line(&self) -> String {
        let parts: Vec<_> = self.foreseen().into_iter().map(|(one, count)| one.counted(count)).collect();
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::samples::{self, change};

    /// Devices with a secret each.
    fn secrets() -> Plan {
        let twins = (1..=30).map(|n| {
            let (before, after) = (json!(format!("before-{n}")), json!(format!("after-{n}")));
            let mut secret = change("desired.wifi.psk", Verdict::Edit, Some(before), Some(after));
            secret.sensitive = true;
            samples::update(&format!("d-{n:02}"), vec![secret])
        });
        samples::plan(twins.collect())
    }

    #[test]
    fn what_differs_in_secrets_alone_looks_the_same() {
        let plan = secrets();
        assert_eq!(plan.clusters().len(), 1);
        let view = PlanView::of(&plan);
        assert_eq!(view.clusters.len(), 1);
        let cluster = &view.clusters[0];
        assert_eq!((cluster.who.as_str(), cluster.ids.len()), ("30 devices", 30));
        assert!(cluster.ids.is_sorted());
        assert_eq!(cluster.rows[0].value(), "(sensitive)");
        assert_eq!(cluster.rows[0].sides(), None);
        assert!(!format!("{:?}", view.clusters).contains("after-"), "no renderer gets at it");
    }

    #[test]
    fn layers_are_those_of_all_twins() {
        let mut twins = vec![
            samples::update("a", vec![change("tags.x", Verdict::New, None, Some(json!(1)))]),
            samples::update("b", vec![change("tags.x", Verdict::New, None, Some(json!(1)))]),
        ];
        let mut moved = change("tags.x", Verdict::New, None, Some(json!(1)));
        moved.origin.as_mut().expect("an origin").layer = crate::manifest::Layer::Device;
        twins[1].changes = vec![moved].into();
        let plan = samples::plan(twins);
        let view = PlanView::of(&plan);
        assert_eq!(view.clusters.len(), 1);
        assert_eq!(view.clusters[0].layers.iter().collect::<Vec<_>>(), ["device", "group redmond43"]);
    }
}
