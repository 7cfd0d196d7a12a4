//! One live twin beside its declaration, for people and for programs.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::columns::{AlignedCell, Columns};
use super::json::{ConflictJson, OriginJson, document};
use super::number::counted;
use super::style::Palette;
use super::view::ChangeSign;
use super::{escape, text, value, view};
use crate::inspect::{InspectedPath, Inspection, Record};
use crate::legible;
use crate::manifest::Sensitive;
use crate::plan::{PlannedChange, RecordLoss, Verdict};
use iothub_model::twin::path::leaves;
use iothub_model::twin::value::equal;
use iothub_model::twin::{HubHost, Object, Section, TwinPath};

/// The longest value that is shown whole unless all are.
const VALUE: usize = 44;

/// Writes it for people. `full` cuts no value.
pub(crate) fn text(of: &Inspection, hub: &HubHost, full: bool, palette: Palette) -> String {
    let mut out = String::new();
    head(&mut out, of, hub, palette);
    let most = if full { usize::MAX } else { VALUE };
    let mut columns = Columns::default();
    for row in &of.rows {
        columns.row(cells(row, of, most, palette));
    }
    if !of.rows.is_empty() {
        out.push('\n');
        columns.write(&mut out, "");
    }
    let alone = reported_alone(of);
    if !alone.is_empty() {
        let mut columns = Columns::default();
        for (path, value) in &alone {
            let named = path.as_str().replacen("desired", "reported", 1);
            let named = escape::path(&named);
            let shown = value::cut(view::RedactedValue::at(path, value, &of.sensitive).line(), most).into_owned();
            columns.row([AlignedCell::new(&named, palette.path(&named)), AlignedCell::plain(shown)]);
        }
        _ = writeln!(out, "\n{}", palette.title("Reported, and not desired"));
        columns.write(&mut out, "  ");
    }
    foot(&mut out, of, palette);
    out
}

fn head(out: &mut String, of: &Inspection, hub: &HubHost, palette: Palette) {
    let twin = &of.twin;
    _ = writeln!(out, "{} on {}", palette.title(escape::id(&twin.id)), palette.title(hub));
    let mut facts: Vec<String> = Vec::new();
    for name in ["status", "connectionState"] {
        if let Some(Value::String(text)) = twin.rest.get(name) {
            facts.push(escape::line(text).to_lowercase());
        }
    }
    facts.push(format!("etag {}", escape::line(twin.etag.as_str())));
    facts.push(format!("desired version {}", twin.desired_version));
    _ = writeln!(out, "  {}", palette.aside(facts.join(", ")));
    if let Some(standing) = &of.standing {
        let fleet = &standing.fleet;
        _ = match &standing.origin {
            Some(origin) => writeln!(out, "  fleet {fleet} declares it at {}", escape::line(&origin.to_string())),
            None if standing.left && !standing.conflicts.is_empty() => {
                writeln!(out, "  fleet {fleet} declares it no more, and cannot release it: see the conflicts below")
            }
            None if standing.left => {
                let removes = of.rows.iter().any(|row| row.change.as_ref().is_some_and(PlannedChange::is_removal));
                let paths = if removes { ", and the paths that are marked -" } else { "" };
                writeln!(out, "  fleet {fleet} declares it no more: the next apply removes its record{paths}")
            }
            None => writeln!(out, "  fleet {fleet} does not declare it"),
        };
        if standing.record_loss == Some(RecordLoss::Absent) {
            let how = "the twin was replaced, registered anew, or never applied";
            _ = writeln!(out, "  {} fleet {fleet} has no record in it: {how}", palette.warning("!"));
        }
    }
    for Record { fleet, content } in &of.records {
        let fleet = escape::line(fleet);
        _ = match content {
            Ok(record) if record.revision.is_empty() => {
                writeln!(out, "  fleet {fleet} owns {}", counted(record.owns.len(), "path"))
            }
            Ok(record) => {
                let revision = escape::line(&record.revision);
                writeln!(out, "  fleet {fleet} owns {}, revision {revision}", counted(record.owns.len(), "path"))
            }
            Err(problem) => writeln!(out, "  {} tags.twinctl.{fleet}: {}", palette.error("!"), escape::line(problem)),
        };
    }
}

/// What a row says comes to be, where that is known and differs from what is.
fn after(row: &InspectedPath) -> Option<Option<&Value>> {
    match (&row.declared, &row.change) {
        (_, Some(change)) => change.verdict.touches_value().then_some(change.after.known()),
        (Some(declared), None) => {
            let same = match (&declared.value, &row.live) {
                (Some(declared), Some(live)) => equal(declared, live),
                (None, None) => true,
                _ => false,
            };
            (!same).then_some(declared.value.as_ref())
        }
        (None, None) => None,
    }
}

/// Returns `true` if the values of a row are not shown: what is renamed keeps the secret that it was.
fn is_sensitive(row: &InspectedPath, sensitive: &Sensitive) -> bool {
    let moved_from = row.change.as_ref().and_then(|change| change.moved_from.as_ref());
    sensitive.covers(&row.path) || moved_from.is_some_and(|from| sensitive.covers(from))
}

/// What the next apply does about a row, in a word or a few.
fn how(row: &InspectedPath, of: &Inspection) -> String {
    let Some(change) = &row.change else {
        return match (&row.declared, &of.standing) {
            (Some(_), _) if after(row).is_some() => "not to be changed",
            (Some(_), _) => "as declared",
            (None, Some(_)) if row.is_let_go => "not declared: no longer owned",
            (None, Some(_)) => "not declared",
            (None, None) => "",
        }
        .to_owned();
    };
    let moved_from = |row: &InspectedPath| row.change.as_ref().and_then(|change| change.moved_from.clone());
    match change.verdict {
        Verdict::Released => "released: stays, no longer owned".to_owned(),
        Verdict::Moved => match moved_from(row) {
            Some(from) => format!("moved from {from}"),
            None => match of.rows.iter().find(|other| moved_from(other).as_ref() == Some(&row.path)) {
                Some(to) => format!("moved to {}", to.path),
                None => change.verdict.label().to_owned(),
            },
        },
        verdict => verdict.label().to_owned(),
    }
}

fn cells(row: &InspectedPath, of: &Inspection, most: usize, palette: Palette) -> [AlignedCell; 7] {
    let blocked = of.standing.as_ref().is_some_and(|standing| !standing.conflicts.is_empty());
    let after = after(row);
    let sign = match (&row.change, after) {
        (Some(change), _) => Some(ChangeSign::of(change)),
        (None, Some(_)) if blocked => Some(ChangeSign::Stop),
        (None, _) => None,
    };
    let sign = sign.map_or(AlignedCell::plain(""), |sign| AlignedCell::new(sign.text(), text::sign(sign, palette)));
    let path = escape::path(row.path.as_str()).into_owned();
    let side = |value: Option<&Value>| match value {
        Some(value) => view::RedactedValue::of(value, is_sensitive(row, &of.sensitive)).line().to_owned(),
        None => value::inline(None),
    };
    let mut sides = [row.live.as_ref(), after.flatten(), row.reported.as_ref()].map(side);
    legible::tell_apart(&mut sides);
    let [live, declared, reported] = sides;
    let shown = match after {
        Some(_) => {
            let (live, declared) = value::differences(&live, &declared, most, Palette::PLAIN);
            format!("{live} → {declared}")
        }
        None => value::cut(&live, most).into_owned(),
    };
    let how = escape::line(&how(row, of)).into_owned();
    let how = match row.verdict() {
        Some(Verdict::Drift | Verdict::EditOverDrift | Verdict::RemovedOverDrift | Verdict::Overwrite) => {
            AlignedCell::new(&how, palette.drift(&how))
        }
        _ => AlignedCell::plain(how),
    };
    let owners: Vec<_> = row.owners.iter().map(|fleet| fleet.as_str()).collect();
    let owners = if owners.is_empty() { String::new() } else { format!("owned by {}", owners.join(", ")) };
    let reported = match (row.acknowledged(), &row.reported) {
        (Some(true), _) => "reported too".to_owned(),
        (_, Some(_)) => format!("reports {}", value::cut(&reported, most)),
        (Some(false), None) => "not reported".to_owned(),
        (None, None) => String::new(),
    };
    let origin = row.declared.as_ref().map(|declared| declared.origin.to_string()).unwrap_or_default();
    let origin = escape::line(&origin).into_owned();
    [
        sign,
        AlignedCell::new(&path, palette.path(&path)),
        AlignedCell::plain(shown),
        how,
        AlignedCell::plain(owners),
        AlignedCell::plain(reported),
        AlignedCell::new(&origin, palette.origin(&origin)),
    ]
}

/// What the device reports at paths of which no row speaks.
fn reported_alone(of: &Inspection) -> Vec<(TwinPath, &Value)> {
    let mut found = Vec::new();
    // A path of `desired` names the same keys of `reported`.
    leaves(Section::Desired, &of.twin.reported.0, |path: TwinPath, value| {
        if of.rows.binary_search_by(|row| row.path.cmp(&path)).is_err() {
            found.push((path, value));
        }
    });
    found
}

fn foot(out: &mut String, of: &Inspection, palette: Palette) {
    let Some(standing) = &of.standing else { return };
    out.push('\n');
    for conflict in &standing.conflicts {
        _ = writeln!(out, "{} {}", palette.error("!"), view::conflict_line(conflict));
    }
    let changes = of.rows.iter().filter(|row| row.verdict().is_some_and(Verdict::touches_value)).count();
    let unacknowledged = of.rows.iter().filter(|row| row.acknowledged() == Some(false)).count();
    let declared = of.rows.iter().filter(|row| row.declared.is_some()).count();
    let to_do = match (standing.conflicts.len(), changes) {
        (0, 0) if standing.is_sent => "only the ownership record changes".to_owned(),
        (0, 0) => "nothing to change".to_owned(),
        (0, changes) => format!("{} to change", counted(changes, "path")),
        (conflicts, _) => format!("nothing is sent to it while there is {}", counted(conflicts, "conflict")),
    };
    _ = writeln!(out, "{} declared; {to_do}; {unacknowledged} desired and not reported so", counted(declared, "path"));
}

/// The published shape of `twinctl show DEVICE --format json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InspectionDocument<'i> {
    version: u32,
    hub: &'i str,
    /// `DEVICE`, or `DEVICE/MODULE`.
    id: String,
    etag: &'i str,
    desired_version: u64,
    /// What fleet it was held against; left out when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<Fleet<'i>>,
    paths: Vec<InspectedPathJson<'i>>,
    records: Vec<RecordDocument<'i>>,
    /// With `(sensitive)` in the place of what is.
    reported: Cow<'i, Object>,
    /// `status`, `connectionState` and the rest, as the hub says them.
    rest: &'i Object,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fleet<'i> {
    name: &'i str,
    /// Left out when the fleet does not declare the twin.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginJson<'i>>,
    /// Declared no more, and still carries the record.
    left: bool,
    /// Whether the twin should carry the fleet's record and has none, or one that owns nothing.
    record_lost: bool,
    conflicts: Vec<ConflictJson<'i>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InspectedPathJson<'i> {
    path: &'i str,
    /// Whether `(sensitive)` stands in the place of each value; left out when not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Cow<'i, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<DeclaredJson<'i>>,
    /// As in a plan; left out when nothing would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    /// What will be there: the live value where the verdict is `adopt` or `released`. Left out when nothing will be there, and when
    /// nothing would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Cow<'i, Value>>,
    /// Of a rename's new path, the old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_from: Option<&'i str>,
    owners: Vec<&'i str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported: Option<Cow<'i, Value>>,
    /// Whether the device reports what is desired; left out for tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<bool>,
}

#[derive(Serialize)]
struct DeclaredJson<'i> {
    /// Left out when the path must be absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'i, Value>>,
    origin: OriginJson<'i>,
}

#[derive(Serialize)]
struct RecordDocument<'i> {
    fleet: &'i str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'i str>,
    owns: Vec<&'i str>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'i str>,
}

/// Writes it as JSON, version 1.
pub(crate) fn json(of: &Inspection, hub: &HubHost) -> String {
    let Inspection { twin, standing, rows, records, sensitive } = of;
    document(&InspectionDocument {
        version: 1,
        hub: hub.as_str(),
        id: twin.id.to_string(),
        etag: twin.etag.as_str(),
        desired_version: twin.desired_version,
        fleet: standing.as_ref().map(|standing| Fleet {
            name: standing.fleet.as_str(),
            origin: standing.origin.as_ref().map(OriginJson::of),
            left: standing.left,
            record_lost: standing.record_loss.is_some(),
            conflicts: standing.conflicts.iter().map(ConflictJson::of).collect(),
        }),
        paths: rows.iter().map(|row| path(row, sensitive)).collect(),
        records: records.iter().map(record).collect(),
        reported: view::reported(&twin.reported.0, sensitive),
        rest: &twin.rest,
    })
}

fn path<'i>(row: &'i InspectedPath, sensitive: &Sensitive) -> InspectedPathJson<'i> {
    let InspectedPath { path, live, declared, change, is_let_go: _, owners, reported } = row;
    let is_sensitive = is_sensitive(row, sensitive);
    let shown = |value: Option<&'i Value>| {
        value.map(|value| if is_sensitive { Cow::Owned(Value::from(view::MASK)) } else { Cow::Borrowed(value) })
    };
    InspectedPathJson {
        path: path.as_str(),
        sensitive: is_sensitive,
        live: shown(live.as_ref()),
        declared: declared.as_ref().map(|declared| DeclaredJson {
            value: shown(declared.value.as_ref()),
            origin: OriginJson::of(&declared.origin),
        }),
        verdict: row.verdict(),
        after: change.as_ref().and_then(|change| shown(change.after.known())),
        moved_from: change.as_ref().and_then(|change| change.moved_from.as_ref()).map(TwinPath::as_str),
        owners: owners.iter().map(|fleet| fleet.as_str()).collect(),
        reported: shown(reported.as_ref()),
        acknowledged: row.acknowledged(),
    }
}

fn record(Record { fleet, content }: &Record) -> RecordDocument<'_> {
    match content {
        Ok(record) => RecordDocument {
            fleet,
            revision: Some(&record.revision),
            owns: record.owns.keys().map(TwinPath::as_str).collect(),
            problem: None,
        },
        Err(problem) => RecordDocument { fleet, revision: None, owns: Vec::new(), problem: Some(problem) },
    }
}
