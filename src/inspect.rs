//! One live twin beside what it should be: path by path, with who owns what and what the device reports. Pure.
//!
//! What is declared and what would be done about it is asked of the plan, so that `show` and `plan` never disagree. Read
//! [`inspect`] first.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::manifest::{Declarations, FleetName, Origin, Ownership, Sensitive};
use crate::plan::ownership::{OwnershipRecord, RECORDS_KEY, records_path};
use crate::plan::{Action, Conflict, PlanContext, PlannedChange, ReadBy, RecordLoss, TwinPlan, Verdict, plan};
use iothub_model::twin::path::leaves;
use iothub_model::twin::value::equal;
use iothub_model::twin::{HubHost, Lookup, Section, Twin, TwinPath};

/// A live twin and all that is known about it.
#[derive(Clone, Debug)]
pub(crate) struct Inspection {
    /// The twin as it was read.
    pub twin: Twin,
    /// The fleet that it was held against, if one was.
    pub standing: Option<Standing>,
    /// Its paths, sorted: what is live, what is declared, and what a record owns though it is neither.
    pub rows: Vec<InspectedPath>,
    /// What each fleet recorded in it.
    pub records: Vec<Record>,
    /// What of all this is not to be shown.
    pub sensitive: Sensitive,
}

/// What a fleet has to do with the twin.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The fleet.
    pub fleet: FleetName,
    /// Where it declares the twin; `None` when it does not.
    pub origin: Option<Origin>,
    /// Whether the twin carries the fleet's record and is declared no more, so that the next apply releases it.
    pub left: bool,
    /// What keeps the twin from being made as declared. No row then says what would be done.
    pub conflicts: Vec<Conflict>,
    /// Whether the next apply writes to the twin.
    pub is_sent: bool,
    /// How the twin lost the fleet's record, if it should have one.
    pub record_loss: Option<RecordLoss>,
}

/// One path of the twin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InspectedPath {
    /// Where.
    pub path: TwinPath,
    /// What is there; an object only when it is empty, or when it is to be replaced whole.
    pub live: Option<Value>,
    /// What the fleet declares, if it declares the path.
    pub declared: Option<InspectedDeclaration>,
    /// What the next apply does about it; nothing when it is as it should be or nobody's concern.
    pub change: Option<PlannedChange>,
    /// Whether the fleet's record owns it, and the next apply takes it out of the record and does nothing else about it.
    pub is_let_go: bool,
    /// The fleets whose records own it, sorted.
    pub owners: Vec<FleetName>,
    /// What the device reports there; of tags nothing.
    pub reported: Option<Value>,
}

impl InspectedPath {
    /// Returns how the change of the next apply came about.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.change.as_ref().map(|change| change.verdict)
    }

    /// Says whether the device reports what is desired of it. Tags are never reported, and what is not there cannot be.
    pub(crate) fn acknowledged(&self) -> Option<bool> {
        let live = self.live.as_ref().filter(|_| self.path.section() == Section::Desired)?;
        Some(self.reported.as_ref().is_some_and(|reported| equal(live, reported)))
    }
}

/// What is declared for a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InspectedDeclaration {
    /// `None` when it must be absent.
    pub value: Option<Value>,
    /// Where.
    pub origin: Origin,
}

/// A record under `tags.twinctl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Whose: a fleet's name, or whatever else stands there.
    pub fleet: String,
    /// What it says, or why it cannot be read.
    pub content: Result<OwnershipRecord, String>,
}

/// Holds a twin against a fleet, or looks at it alone. `declarations` may be those of the whole fleet. What they call sensitive is so beside
/// what `sensitive` says.
pub(crate) fn inspect(twin: Twin, fleet: Option<(Declarations, HubHost)>, sensitive: &Sensitive) -> Inspection {
    let sensitive = match &fleet {
        Some((declarations, _)) => declarations.policy.sensitive.or(sensitive),
        None => sensitive.clone(),
    };
    let records = records_of(&twin);
    let mut rows: BTreeMap<TwinPath, InspectedPath> = BTreeMap::new();
    let mut row = |path: &TwinPath, change: &mut dyn FnMut(&mut InspectedPath)| {
        let row = rows.entry(path.clone()).or_insert_with(|| InspectedPath {
            path: path.clone(),
            live: None,
            declared: None,
            change: None,
            is_let_go: false,
            owners: Vec::new(),
            reported: None,
        });
        change(row);
    };
    for section in Section::ALL {
        leaves(section, twin.section(section), |path, value| {
            if !records_path().covers(&path) {
                row(&path, &mut |row| row.live = Some(value.clone()));
            }
        });
    }
    for record in &records {
        let (Ok(name), Ok(content)) = (record.fleet.parse::<FleetName>(), &record.content) else { continue };
        for path in content.owns.keys() {
            row(path, &mut |row| row.owners.push(name.clone()));
        }
    }
    let standing = fleet.map(|(mut declarations, hub)| {
        declarations.twins.retain(|id, _| *id == twin.id);
        let context = PlanContext { hub, revision: String::new(), take_ownership: false };
        let planned = plan(&declarations, context, [Lookup::Found(Box::new(twin.clone()))], ReadBy::Get);
        let declaration = declarations.twins.get(&twin.id);
        for leaf in declaration.iter().flat_map(|declaration| declaration.body.leaves().into_owned()) {
            let declared = InspectedDeclaration { value: leaf.value, origin: leaf.origin };
            row(&leaf.path, &mut |row| row.declared = Some(declared.clone()));
        }
        let mine = planned.twins.into_iter().find(|planned| planned.id == twin.id);
        for change in mine.iter().flat_map(|mine| mine.changes.iter()) {
            row(&change.path, &mut |row| {
                row.change = Some(change.clone());
                row.live = row.live.take().or_else(|| change.before.known().cloned());
            });
        }
        let is_sent = mine.as_ref().is_some_and(TwinPlan::is_sent);
        if is_sent && declarations.ownership == Ownership::Record {
            let own = records.iter().find(|record| record.fleet == declarations.fleet.as_str());
            for path in own.iter().filter_map(|own| own.content.as_ref().ok()).flat_map(|own| own.owns.keys()) {
                row(path, &mut |row| row.is_let_go = row.declared.is_none() && row.change.is_none());
            }
        }
        Standing {
            is_sent,
            record_loss: planned.records.lost.get(&twin.id).copied(),
            fleet: declarations.fleet.clone(),
            origin: declaration.map(|declaration| declaration.origin.clone()),
            left: mine.as_ref().is_some_and(|mine| mine.action == Action::Release),
            conflicts: mine.map(|mine| mine.conflicts).unwrap_or_default(),
        }
    });
    let mut rows: Vec<InspectedPath> = rows.into_values().collect();
    for row in rows.iter_mut().filter(|row| row.path.section() == Section::Desired) {
        row.reported = row.path.find(&twin.reported.0).cloned();
    }
    Inspection { twin, standing, rows, records, sensitive }
}

fn records_of(twin: &Twin) -> Vec<Record> {
    let Some(Value::Object(all)) = twin.tags.0.get(RECORDS_KEY) else { return Vec::new() };
    let record = |(fleet, value): (&String, &Value)| {
        let content = match fleet.parse::<FleetName>() {
            Ok(_) => OwnershipRecord::read(value).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Record { fleet: fleet.clone(), content }
    };
    all.iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::load_texts;
    use iothub_model::twin::{Desired, ETag, Object, Reported, Tags};

    fn object(value: Value) -> Object {
        value.as_object().expect("an object").clone()
    }

    fn twin(tags: Value, desired: Value, reported: Value) -> Twin {
        Twin {
            id: "d1".parse().expect("an id"),
            etag: ETag::new("AAAAAAAAAAE="),
            tags: Tags(object(tags)),
            desired: Desired(object(desired)),
            desired_version: 1,
            desired_metadata: Object::new(),
            reported: Reported(object(reported)),
            rest: Object::new(),
        }
    }

    fn fleet(devices: &str) -> (Declarations, HubHost) {
        let text = format!("fleet: f\ndevices: {devices}\n");
        let loaded = load_texts(&[("f.yaml", &text)], &|_| None).expect("a good manifest");
        (loaded.declarations, "hub".parse().expect("a host"))
    }

    /// A line for each path: live, declared, what would be done, owners, whether acknowledged.
    fn lines(of: &Inspection) -> Vec<String> {
        let value = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
        let line = |row: &InspectedPath| {
            let declared = row.declared.as_ref().map_or("?".to_owned(), |declared| value(&declared.value));
            let owners: Vec<_> = row.owners.iter().map(FleetName::as_str).collect();
            format!(
                "{} {} {declared} {} [{}] {:?}",
                row.path,
                value(&row.live),
                row.verdict().map_or("", Verdict::label),
                owners.join(" "),
                row.acknowledged()
            )
        };
        of.rows.iter().map(line).collect()
    }

    #[test]
    fn live_declared_owned_and_reported_stand_side_by_side() {
        let tags = json!({ "a": 1, "twinctl": {
            "f": { "v": 1, "rev": "abc", "owns": ["desired.gone=6b86", "desired.p=6b86"] },
            "other": { "v": 1, "rev": "", "owns": ["tags.a=6b86"] },
            "new": { "v": 9 },
        }});
        let twin = twin(tags, json!({ "p": 2, "same": 1, "left": { "x": {} } }), json!({ "p": 2, "same": 5 }));
        let found = inspect(
            twin.clone(),
            Some(fleet("{ d1: { desired: { p: 1, same: 1, none: null } }, d2: {} }")),
            &Sensitive::default(),
        );
        assert_eq!(
            lines(&found),
            [
                "tags.a 1 ?  [other] None",
                "desired.gone - ?  [f] None",
                "desired.left.x {} ?  [] Some(false)",
                "desired.none - -  [] None",
                "desired.p 2 1  [f] Some(true)",
                "desired.same 1 1  [] Some(false)",
            ],
            "what another fleet owns cannot be read, so nothing would be done"
        );
        let standing = found.standing.expect("declared");
        assert_eq!((standing.left, standing.conflicts.len()), (false, 1));
        assert_eq!(found.records.iter().map(|record| record.content.is_ok()).collect::<Vec<_>>(), [true, false, true]);

        let mut readable = twin;
        readable.tags.0["twinctl"].as_object_mut().expect("records").remove("new");
        let found = inspect(
            readable.clone(),
            Some(fleet("{ d1: { desired: { p: 1, same: 1, none: null } } }")),
            &Sensitive::default(),
        );
        assert_eq!(
            lines(&found)[3..],
            [
                "desired.none - - adopt [] None",
                "desired.p 2 1 drift [f] Some(true)",
                "desired.same 1 1 adopt [] Some(false)"
            ]
        );
        let found = inspect(readable.clone(), Some(fleet("{ d2: {} }")), &Sensitive::default());
        assert!(found.standing.as_ref().is_some_and(|standing| standing.left && standing.origin.is_none()));
        assert_eq!(lines(&found)[3], "desired.p 2 ? removed over drift [f] Some(true)");
        assert!(
            inspect(readable, None, &Sensitive::default())
                .rows
                .iter()
                .all(|row| row.verdict().is_none() && row.declared.is_none())
        );
    }
}
