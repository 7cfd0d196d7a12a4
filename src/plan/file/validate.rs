//! One twin of a plan file, held against itself: would applying it do what it shows, all of it and nothing else?
//!
//! A twin as the plan saw it is made up from what the changes say was there, and patch and inverse are tried on it. Where a file
//! holds no value, since it is sensitive, one is made up that fits what the file calls the change.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use serde_json::Value;

use crate::manifest::FleetName;
use crate::plan::intern::Interner;
use crate::plan::ownership::{OwnershipRecord, RECORDS_KEY, Wanted, read_entry, records_path, value_hash, verdict};
use crate::plan::rebase::{RecordSides, becomes_object, record_sides};
use crate::plan::redact::{ChangePhase, redact};
use crate::plan::restore::fill;
use crate::plan::target::{RecordWrite, TwinSections, TwinTarget, is_filled_object};
use crate::plan::{Action, PlannedChange, Side, TwinPlan, Verdict};
use iothub_model::twin::limits::check_values;
use iothub_model::twin::patch::merge;
use iothub_model::twin::path::leaves;
use iothub_model::twin::{ETag, MergePatch, Object, Section, TwinPath};

type Validity = Result<(), String>;

/// Checks twins one by one, and what they share once.
pub(super) struct Validator<'p> {
    /// The plan's.
    revision: &'p str,
    /// What was found to be right, by where it is held: the plan is there as long as its validator is.
    right: HashSet<(Action, [usize; 4])>,
}

impl<'p> Validator<'p> {
    pub(super) fn new(revision: &'p str) -> Self {
        Self { revision, right: HashSet::new() }
    }

    pub(super) fn check(&mut self, twin: &'p TwinPlan) -> Validity {
        check_shape(twin)?;
        let shared = [
            twin.changes.as_ptr().addr(),
            twin.taken.as_ptr().addr(),
            Arc::as_ptr(&twin.patch).addr(),
            Arc::as_ptr(&twin.inverse).addr(),
        ];
        if !self.right.contains(&(twin.action, shared)) {
            check_nothing_sensitive(twin)?;
            check_shared(&made_up(twin), self.revision)?;
            self.right.insert((twin.action, shared));
        }
        Ok(())
    }
}

/// That it has no sensitive value, nor a hash of one.
fn check_nothing_sensitive(twin: &TwinPlan) -> Validity {
    for change in twin.changes.iter() {
        let (path, sensitive) = (&change.path, twin.sensitive.covers(&change.path));
        ensure(change.sensitive == sensitive, || format!("{path} is sensitive in one place and not in another"))?;
        let is_known = change.before.known().is_some() || change.after.known().is_some();
        ensure(!(sensitive && is_known), || format!("it holds the value of {path}, which is sensitive"))?;
    }
    for patch in [&twin.patch, &twin.inverse] {
        ensure(*redact(patch, &twin.sensitive) == **patch, || {
            "it holds a sensitive value, or a hash of one".to_owned()
        })?;
    }
    Ok(())
}

/// Puts values and hashes where they are withheld, such that verdicts and records agree if they can.
fn made_up(twin: &TwinPlan) -> TwinPlan {
    if twin.sensitive.is_empty() {
        return twin.clone();
    }
    let (before, after) = (Value::from("what was there"), Value::from("what will be there"));
    let in_place = |side: &Side, value: &Value| Side::from(side.has_value().then(|| value.clone()));
    let sides = |change: &PlannedChange| match change.verdict {
        Verdict::Adopt | Verdict::Released => (in_place(&change.before, &before), in_place(&change.after, &before)),
        _ => (in_place(&change.before, &before), in_place(&change.after, &after)),
    };
    let hash = |side: ChangePhase, fleet: &FleetName, path: &TwinPath| {
        let at = twin.changes.binary_search_by(|change| change.path.cmp(path)).ok();
        let Some(change) = at.map(|at| &twin.changes[at]).filter(|_| *fleet == twin.fleet) else { return UNCHANGED };
        let (before, after) = sides(change);
        match (side, change.verdict) {
            (ChangePhase::After, _) | (ChangePhase::Before, Verdict::Drift) => value_hash(after.known()),
            (ChangePhase::Before, Verdict::Edit | Verdict::Removed | Verdict::Moved) => value_hash(before.known()),
            (ChangePhase::Before, _) => OTHERWISE,
        }
    };
    let filled: Result<_, Infallible> =
        fill(twin, |change| Ok(sides(change)), |side, fleet, path| Ok(hash(side, fleet, path)));
    let decision = filled.unwrap_or_else(|never| match never {});
    Interner::default().twin_plan(twin.clone(), decision)
}

/// A hash of nothing that is made up here.
const OTHERWISE: u16 = 0x0000;
const UNCHANGED: u16 = 0x0001;

fn check_shared(twin: &TwinPlan, revision: &str) -> Validity {
    check_changes(twin)?;
    for (name, patch) in [("patch", &twin.patch), ("inverse patch", &twin.inverse)] {
        let violations = Section::ALL.into_iter().flat_map(|section| check_values(patch.section(section)));
        if let Some(violation) = violations.into_iter().next() {
            return fail(format!("the hub would refuse its {name}: {}: {}", violation.keys.join("."), violation.rule));
        }
    }
    check_patches_against_changes(twin)?;
    check_records(twin, revision)?;
    check_by_trying(twin)
}

fn fail(problem: impl Into<String>) -> Validity {
    Err(problem.into())
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Validity {
    if holds { Ok(()) } else { Err(problem()) }
}

/// What goes together: action, etag, patch and conflicts.
fn check_shape(twin: &TwinPlan) -> Validity {
    let is_bare = twin.changes.is_empty() && twin.taken.is_empty() && twin.patch.is_empty() && twin.inverse.is_empty();
    match (twin.action, &twin.etag) {
        (Action::Update | Action::Release, None) => return fail("it has no etag, and nothing is written without one"),
        (Action::Update | Action::Release, Some(etag)) => ensure(is_plain(etag), || "its etag is none".to_owned())?,
        (Action::Register | Action::Missing | Action::Skip, Some(_)) => {
            return fail("it has an etag, but is said not to be there");
        }
        (Action::Register | Action::Missing | Action::Skip, None) => {}
    }
    if !twin.conflicts.is_empty() {
        return ensure(is_bare && !matches!(twin.action, Action::Missing | Action::Skip), || {
            "it has conflicts, and changes none the less".to_owned()
        });
    }
    match twin.action {
        Action::Update | Action::Release => ensure(twin.is_sent(), || "it has an empty patch".to_owned()),
        Action::Missing | Action::Skip => ensure(is_bare, || "it is said not to be there, and is changed".to_owned()),
        Action::Register => {
            ensure(twin.changes.iter().all(|change| !change.before.has_value()) && twin.taken.is_empty(), || {
                "it is to be registered, and something is said to be there".to_owned()
            })
        }
    }
}

/// Etags are base64 as the hub makes them; what matters is that none is a header of another meaning, such as `*`.
fn is_plain(etag: &ETag) -> bool {
    let text = etag.as_str();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'*')
}

/// What was there, and what is to be there.
const SIDES: [fn(&PlannedChange) -> &Side; 2] = [|change| &change.before, |change| &change.after];

/// That the changes by themselves are such as a plan has.
fn check_changes(twin: &TwinPlan) -> Validity {
    let changes = &*twin.changes;
    ensure(changes.is_sorted_by(|a, b| a.path < b.path), || {
        "its changes are not sorted by path, or one is there twice".to_owned()
    })?;
    for change in changes {
        let PlannedChange { path, verdict, before, after, moved_from, origin: _, sensitive: _ } = change;
        let is_declarable = path.keys().next().is_some() && !records_path().overlaps(path);
        ensure(is_declarable, || format!("{path} is not for a manifest to change"))?;
        let is_leaf = |side: &Side| match side {
            Side::Absent => true,
            Side::Known(value) => !value.is_null() && !is_filled_object(value),
            Side::Redacted => false,
        };
        ensure(is_leaf(before) && is_leaf(after), || format!("{path} has a value that is no leaf"))?;
        // Nothing is redacted by now.
        let is_same = before.is_same(after.known());
        let (has_before, has_after) = (before.has_value(), after.has_value());
        let fits = match verdict {
            Verdict::Adopt => is_same,
            Verdict::Released => is_same && has_before,
            Verdict::New => !has_before && has_after,
            Verdict::Moved if change.is_moved_away() => has_before,
            Verdict::Moved => !has_before && has_after,
            Verdict::Overwrite => has_before && !is_same,
            Verdict::Edit | Verdict::Drift | Verdict::EditOverDrift => !is_same,
            Verdict::Removed | Verdict::RemovedOverDrift | Verdict::Undeclared => has_before && !has_after,
        };
        ensure(fits, || format!("{path} is called {verdict}, which its values are not"))?;
        let may_be = match verdict {
            Verdict::Removed | Verdict::RemovedOverDrift | Verdict::Released => true,
            _ => twin.action != Action::Release,
        };
        ensure(may_be, || format!("{path} is changed in a twin that is to be released"))?;
        let comes_here = *verdict == Verdict::Moved && !change.is_moved_away();
        ensure(comes_here == moved_from.is_some(), || format!("{path} is moved, and from nowhere"))?;
    }
    check_moves(changes)?;
    for side in SIDES {
        let paths: Vec<_> =
            changes.iter().filter(|change| side(change).has_value()).map(|change| &change.path).collect();
        // What lies under a path follows it directly.
        if let Some(pair) = paths.windows(2).find(|pair| pair[0].covers(pair[1])) {
            return fail(format!("{} cannot be there together with {}", pair[1], pair[0]));
        }
    }
    Ok(())
}

/// That each rename has its two ends, and each end one rename.
fn check_moves(changes: &[PlannedChange]) -> Validity {
    let away: Vec<_> = changes.iter().filter(|change| change.is_moved_away()).map(|change| &change.path).collect();
    let mut from: Vec<_> = changes.iter().filter_map(|change| change.moved_from.as_ref()).collect();
    from.sort_unstable();
    ensure(away == from, || "its renames do not have two ends each".to_owned())
}

/// That whatever the two patches say outside the records is said by a change.
fn check_patches_against_changes(twin: &TwinPlan) -> Validity {
    let [before, after] = SIDES;
    for (name, patch, from, to) in
        [("patch", &twin.patch, before, after), ("inverse patch", &twin.inverse, after, before)]
    {
        let mut result = Ok(());
        patch.paths(|path, value| {
            if result.is_err() || records_path().covers(&path) {
                return;
            }
            let is_shown = if value.is_null() {
                let goes = |change: &PlannedChange| {
                    from(change).has_value() && !to(change).has_value() && path.covers(&change.path)
                };
                twin.changes.iter().any(goes)
            } else {
                let comes = |change: &PlannedChange| to(change).is_same(Some(value));
                twin.changes
                    .binary_search_by(|change| change.path.cmp(&path))
                    .is_ok_and(|at| twin.changes[at].verdict.touches_value() && comes(&twin.changes[at]))
            };
            result = ensure(is_shown, || format!("its {name} touches {path}, which is not among its changes"));
        });
        result?;
    }
    Ok(())
}

/// That the records written claim what was shown, for this fleet, and take what was shown from others.
fn check_records(twin: &TwinPlan, revision: &str) -> Validity {
    let sides = record_sides(twin);
    check_records_part(twin, &sides)?;
    ensure(twin.taken.is_sorted_by(|a, b| a < b), || "what it takes over is not sorted".to_owned())?;
    ensure(twin.taken.iter().all(|taken| taken.fleet != twin.fleet), || "it takes over from itself".to_owned())?;
    for (fleet, sides) in &sides {
        if *fleet == twin.fleet {
            check_own_record(twin, sides, revision)?;
        } else {
            check_other_record(twin, fleet, sides)?;
        }
    }
    if twin.action == Action::Release {
        let is_removed = sides.get(&twin.fleet).is_some_and(|sides| sides.before.is_some() && sides.after.is_none());
        return ensure(is_removed, || "it is to be released, and keeps its record".to_owned());
    }
    if sides.get(&twin.fleet).is_some_and(writes_entries) {
        return Ok(());
    }
    // Without the record, this is all that there can be: drift that is set back, or a fleet that keeps no record.
    let bare = |change: &PlannedChange| {
        matches!(change.verdict, Verdict::Drift | Verdict::New | Verdict::Overwrite | Verdict::Undeclared)
    };
    match twin.changes.iter().find(|change| !bare(change)) {
        Some(change) => fail(format!("{} is {}, and the record is not written", change.path, change.verdict)),
        None => Ok(()),
    }
}

fn writes_entries(sides: &RecordSides) -> bool {
    let has = |side: &Option<Object>| side.as_ref().is_some_and(|record| record.contains_key("owns"));
    has(&sides.before) || has(&sides.after)
}

/// That whatever the two patches say under `tags.twinctl` is about the records that were found there.
fn check_records_part(twin: &TwinPlan, sides: &BTreeMap<FleetName, RecordSides>) -> Validity {
    let part = |patch: &MergePatch| patch.tags.get(RECORDS_KEY).cloned();
    let (patch, inverse) = (part(&twin.patch), part(&twin.inverse));
    ensure(patch.is_some() == inverse.is_some(), || {
        "its patch writes records that its inverse does not, or the other way round".to_owned()
    })?;
    for part in [&patch, &inverse] {
        let known = |key: &String| key.parse::<FleetName>().is_ok_and(|fleet| sides.contains_key(&fleet));
        match part {
            None => {}
            Some(Value::Null) => ensure(!sides.is_empty(), || "it removes tags.twinctl".to_owned())?,
            Some(Value::Object(records)) => {
                let is_record = |(key, value): (&String, &Value)| known(key) && (value.is_null() || value.is_object());
                ensure(!records.is_empty() && records.iter().all(is_record), || {
                    "it writes something under tags.twinctl that is no record".to_owned()
                })?;
            }
            Some(_) => return fail("it makes tags.twinctl something else than records"),
        }
    }
    Ok(())
}

/// Reads one side's entries, where the side has any. They must be well-formed even where they are only what was there.
fn read_entries(side: Option<&Object>) -> Result<BTreeMap<TwinPath, u16>, String> {
    let Some(owns) = side.and_then(|record| record.get("owns")) else { return Ok(BTreeMap::new()) };
    let bad = || "a record in it has entries that are none".to_owned();
    let list = owns.as_array().ok_or_else(bad)?;
    let owned: Option<BTreeMap<_, _>> = list.iter().map(|entry| entry.as_str().and_then(read_entry)).collect();
    owned.filter(|owned| owned.len() == list.len()).ok_or_else(bad)
}

fn is_whole(side: Option<&Object>) -> bool {
    side.is_some_and(|record| OwnershipRecord::read(&record.clone().into()).is_ok())
}

/// That two sides are one record's: either one of them is a whole record and the other none, or both have the same of its
/// members, none of which is the version.
fn check_sides(sides: &RecordSides) -> Validity {
    let (before, after) = (sides.before.as_ref(), sides.after.as_ref());
    let fits = match (before, after) {
        (Some(before), Some(after)) => {
            before.keys().eq(after.keys())
                && !after.is_empty()
                && after.keys().all(|key| matches!(key.as_str(), "rev" | "owns"))
                && [before, after].iter().all(|record| record.get("rev").is_none_or(Value::is_string))
        }
        (Some(_), None) => is_whole(before),
        (None, Some(_)) => is_whole(after),
        (None, None) => false,
    };
    ensure(fits, || "it writes a record that is none".to_owned())
}

fn check_own_record(twin: &TwinPlan, sides: &RecordSides, revision: &str) -> Validity {
    check_sides(sides)?;
    let (before, after) = (read_entries(sides.before.as_ref())?, read_entries(sides.after.as_ref())?);
    if let Some(rev) = sides.after.as_ref().and_then(|record| record.get("rev")) {
        ensure(rev.as_str() == Some(revision), || "its record has another revision than the plan".to_owned())?;
    }
    if !writes_entries(sides) {
        return Ok(());
    }
    for change in twin.changes.iter() {
        let (applied, owned) = (before.get(&change.path).copied(), after.get(&change.path).copied());
        let undeclared = || verdict(applied, Wanted::Undeclared, change.before.known());
        let fits = match change.verdict {
            Verdict::Undeclared => owned.is_none() && applied.is_none(),
            Verdict::Released => owned.is_none() && applied.is_some(),
            // A rename is of what is live as it was applied.
            Verdict::Moved if change.is_moved_away() => owned.is_none() && undeclared() == Some(Verdict::Removed),
            _ if change.is_removal() => owned.is_none() && undeclared() == Some(change.verdict),
            _ if becomes_object(&twin.changes, change) => change.verdict == Verdict::Overwrite && owned.is_none(),
            called => {
                let wanted = change.after.known().map_or(Wanted::Absent, Wanted::Value);
                let called = if called == Verdict::Moved { Verdict::New } else { called };
                owned == Some(value_hash(change.after.known()))
                    && verdict(applied, wanted, change.before.known()) == Some(called)
            }
        };
        ensure(fits, || format!("its record does not agree with the change of {}", change.path))?;
    }
    for (path, hash) in after.iter().filter(|&(path, hash)| before.get(path) != Some(hash)) {
        let is_shown = twin.changes.binary_search_by(|change| change.path.cmp(path)).is_ok();
        ensure(is_shown, || format!("its record claims {path}={hash:04x}, which is not among its changes"))?;
    }
    Ok(())
}

fn check_other_record(twin: &TwinPlan, fleet: &FleetName, sides: &RecordSides) -> Validity {
    check_sides(sides)?;
    let (mut left, after) = (read_entries(sides.before.as_ref())?, read_entries(sides.after.as_ref())?);
    let only_entries = sides.after.as_ref().is_none_or(|record| record.keys().eq(["owns"]));
    let mut taken = twin.taken.iter().filter(|taken| taken.fleet == *fleet).peekable();
    let takes_something = taken.peek().is_some();
    let all_were_there = taken.all(|taken| left.remove(&taken.path).is_some());
    ensure(takes_something && all_were_there && only_entries && sides.before.is_some() && left == after, || {
        format!("it changes the record of {fleet} by more or less than it says it takes over")
    })
}

/// That on a twin that holds just what the changes say was there, the patch arrives at what they say is to be, and the inverse
/// takes that back.
fn check_by_trying(twin: &TwinPlan) -> Validity {
    let nothing = Object::new();
    let mut seen = TwinTarget::reach(TwinSections { tags: &nothing, desired: &nothing }, &[], &[]);
    for change in twin.changes.iter() {
        if let Some(value) = change.before.known() {
            seen.set(&change.path, value.clone());
        }
    }
    let sides = record_sides(twin);
    for (fleet, sides) in &sides {
        if let Some(record) = &sides.before {
            seen.set(&records_path().child(fleet.as_str()), record.clone().into());
        }
    }
    let writes: Vec<RecordWrite> = sides
        .iter()
        .map(|(fleet, sides)| RecordWrite { fleet: fleet.clone(), after: sides.after.clone().map(Value::Object) })
        .collect();
    let planned = TwinTarget::reach(seen.sections(), &twin.changes, &writes);
    let patched = patched(&seen, &twin.patch);
    ensure(leaf_map(&patched, twin) == leaf_map(&planned, twin), || {
        "its patch does not do what its changes say".to_owned()
    })?;
    let back = self::patched(&patched, &twin.inverse);
    ensure(leaf_map(&back, twin) == leaf_map(&seen, twin), || "its inverse patch does not take it back".to_owned())
}

fn patched(target: &TwinTarget, patch: &MergePatch) -> TwinTarget {
    let mut patched = target.clone();
    merge(&mut patched.tags, &patch.tags);
    merge(&mut patched.desired, &patch.desired);
    patched
}

/// The leaves, without the empty objects that stand there only since the siblings that a real twin has are not known.
fn leaf_map(target: &TwinTarget, twin: &TwinPlan) -> BTreeMap<TwinPath, String> {
    let mut found = BTreeMap::new();
    let is_shown = |path: &TwinPath| twin.changes.binary_search_by(|change| change.path.cmp(path)).is_ok();
    for section in Section::ALL {
        leaves(section, target.sections().section(section), |path, value| {
            if !matches!(value, Value::Object(_)) || is_shown(&path) {
                found.insert(path, iothub_model::twin::value::canonical(value));
            }
        });
    }
    found
}
