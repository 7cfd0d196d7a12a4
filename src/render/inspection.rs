//! One live twin beside its declaration, for people and for programs.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::columns::{Cell, Columns};
use super::json::{Conflict, Origin, document};
use super::number::counted;
use super::style::Palette;
use super::{escape, value, view};
use crate::inspect::{Inspection, Record, Row};
use crate::legible;
use crate::manifest::Sensitive;
use crate::plan::Verdict;
use crate::twin::path::leaves;
use crate::twin::value::equal;
use crate::twin::{HubHost, Object, Section, TwinPath};

/// The longest value that is shown whole unless all are.
const VALUE: usize = 44;

/// Writes it for people. `full` cuts no value.
pub fn text(of: &Inspection, hub: &HubHost, full: bool, palette: Palette) -> String {
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
            let shown = value::cut(view::Shown::at(path, value, &of.sensitive).line(), most).into_owned();
            columns.row([Cell::new(&named, palette.path(&named)), Cell::plain(shown)]);
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
            None if standing.left => {
                writeln!(
                    out,
                    "  fleet {fleet} declares it no more: the next apply removes what it owns, and its record"
                )
            }
            None => writeln!(out, "  fleet {fleet} does not declare it"),
        };
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
fn after(row: &Row) -> Option<Option<&Value>> {
    match (&row.declared, row.verdict) {
        (Some(declared), _) => {
            let same = match (&declared.value, &row.live) {
                (Some(declared), Some(live)) => equal(declared, live),
                (None, None) => true,
                _ => false,
            };
            (!same).then_some(declared.value.as_ref())
        }
        (None, Some(_)) => Some(None),
        (None, None) => None,
    }
}

fn cells(row: &Row, of: &Inspection, most: usize, palette: Palette) -> [Cell; 7] {
    let blocked = of.standing.as_ref().is_some_and(|standing| !standing.conflicts.is_empty());
    let after = after(row);
    let sign = match (row.verdict, after) {
        (Some(Verdict::Adopt), _) => Cell::new("=", palette.aside("=")),
        (Some(_), Some(None)) => Cell::new("-", palette.removed("-")),
        (Some(_), Some(Some(_))) if row.live.is_none() => Cell::new("+", palette.added("+")),
        (Some(_), _) => Cell::new("~", palette.changed("~")),
        (None, Some(_)) if blocked => Cell::new("!", palette.error("!")),
        (None, _) => Cell::plain(""),
    };
    let path = escape::path(row.path.as_str()).into_owned();
    let side = |value: Option<&Value>| match value {
        Some(value) => view::Shown::at(&row.path, value, &of.sensitive).line().to_owned(),
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
    let how = match (row.verdict, &row.declared, &of.standing) {
        (Some(verdict), ..) => verdict.label(),
        (None, Some(_), _) if after.is_some() => "not to be changed",
        (None, Some(_), _) => "as declared",
        (None, None, Some(_)) => "not declared",
        (None, None, None) => "",
    };
    let how = match row.verdict {
        Some(Verdict::Drift | Verdict::EditOverDrift | Verdict::RemovedOverDrift | Verdict::Overwrite) => {
            Cell::new(how, palette.drift(how))
        }
        _ => Cell::plain(how),
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
        Cell::new(&path, palette.path(&path)),
        Cell::plain(shown),
        how,
        Cell::plain(owners),
        Cell::plain(reported),
        Cell::new(&origin, palette.origin(&origin)),
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
    let changes = of.rows.iter().filter(|row| row.verdict.is_some_and(Verdict::touches_value)).count();
    let unacknowledged = of.rows.iter().filter(|row| row.acknowledged() == Some(false)).count();
    let declared = of.rows.iter().filter(|row| row.declared.is_some()).count();
    let to_do = match (standing.conflicts.len(), changes) {
        (0, 0) => "nothing to change".to_owned(),
        (0, changes) => format!("{} to change", counted(changes, "path")),
        (conflicts, _) => format!("nothing is sent to it while there is {}", counted(conflicts, "conflict")),
    };
    _ = writeln!(out, "{} declared; {to_do}; {unacknowledged} desired and not reported so", counted(declared, "path"));
}

/// The published shape of `twinctl show DEVICE --format json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'i> {
    version: u32,
    hub: &'i str,
    /// `DEVICE`, or `DEVICE/MODULE`.
    id: String,
    etag: &'i str,
    desired_version: u64,
    /// What fleet it was held against; left out when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<Fleet<'i>>,
    paths: Vec<Path<'i>>,
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
    origin: Option<Origin<'i>>,
    /// Declared no more, and still carries the record.
    left: bool,
    conflicts: Vec<Conflict<'i>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Path<'i> {
    path: &'i str,
    /// Whether `(sensitive)` stands in the place of each value; left out when not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Cow<'i, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<Declared<'i>>,
    /// As in a plan; left out when nothing would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    owners: Vec<&'i str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported: Option<Cow<'i, Value>>,
    /// Whether the device reports what is desired; left out for tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<bool>,
}

#[derive(Serialize)]
struct Declared<'i> {
    /// Left out when the path must be absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'i, Value>>,
    origin: Origin<'i>,
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
pub fn json(of: &Inspection, hub: &HubHost) -> String {
    let Inspection { twin, standing, rows, records, sensitive } = of;
    document(&Document {
        version: 1,
        hub: hub.as_str(),
        id: twin.id.to_string(),
        etag: twin.etag.as_str(),
        desired_version: twin.desired_version,
        fleet: standing.as_ref().map(|standing| Fleet {
            name: standing.fleet.as_str(),
            origin: standing.origin.as_ref().map(Origin::of),
            left: standing.left,
            conflicts: standing.conflicts.iter().map(Conflict::of).collect(),
        }),
        paths: rows.iter().map(|row| path(row, sensitive)).collect(),
        records: records.iter().map(record).collect(),
        reported: view::reported(&twin.reported.0, sensitive),
        rest: &twin.rest,
    })
}

fn path<'i>(row: &'i Row, sensitive: &Sensitive) -> Path<'i> {
    let Row { path, live, declared, verdict, owners, reported } = row;
    let shown = |value: &'i Option<Value>| value.as_ref().map(|value| view::value(path, value, sensitive));
    Path {
        path: path.as_str(),
        sensitive: sensitive.covers(path),
        live: shown(live),
        declared: declared
            .as_ref()
            .map(|declared| Declared { value: shown(&declared.value), origin: Origin::of(&declared.origin) }),
        verdict: *verdict,
        owners: owners.iter().map(|fleet| fleet.as_str()).collect(),
        reported: shown(reported),
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
