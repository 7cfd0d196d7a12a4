//! What differs between two states of a fleet's declarations: what a pull request changes, without a hub. Pure.
//!
//! The unit is the declared leaf, as in a plan, and twins with the same difference make a cluster. What comes of a difference on
//! the hub is the plan's to say: here nothing is known of live twins. Read [`compare`] first.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::check::Check;
use crate::manifest::{Body, Declaration, Declarations, Origin};
use crate::twin::{TwinId, TwinPath};

/// What differs.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// The head of the manifests: `fleet`, `hub`, `missing`, `ownership`.
    pub settings: Vec<SettingChange>,
    /// Twins with the same difference: changed ones first, then those that came, then those that went; large clusters first.
    pub clusters: Vec<Cluster>,
    /// Checks by name, in the order of the later state; those that went last.
    pub checks: Vec<CheckChange>,
    /// How many twins are declared as before.
    pub unchanged: usize,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingChange {
    /// Its name in the manifest.
    pub name: &'static str,
    /// What it was.
    pub before: Value,
    /// What it is.
    pub after: Value,
}

/// What happened to a twin's declaration, or to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Declared before and after, otherwise.
    Changed,
    /// Declared only now.
    Added,
    /// No longer declared.
    Gone,
}

/// Twins with the same difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// What happened to them.
    pub kind: Kind,
    /// Their leaves that differ, sorted by path, with the lines of the first twin. Of a twin that went there are none.
    pub leaves: Arc<[LeafChange]>,
    /// Which, sorted; never empty.
    pub ids: Vec<TwinId>,
}

/// One leaf that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafChange {
    /// Where in the twin.
    pub path: TwinPath,
    /// What was declared; `None` for nothing.
    pub before: Option<Declared>,
    /// What is declared; `None` for nothing.
    pub after: Option<Declared>,
    /// The line of the later state, where it has one.
    pub origin: Option<Origin>,
}

/// What is declared for a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Declared {
    /// It must be absent.
    Absent,
    /// It must be this.
    Value(Value),
}

impl Declared {
    fn of(value: Option<&Value>) -> Self {
        value.map_or(Self::Absent, |value| Self::Value(value.clone()))
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckChange {
    /// What happened to it.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its query before, when it had another.
    pub before: Option<String>,
    /// Its query now.
    pub after: Option<String>,
}

impl Differences {
    /// Says whether nothing differs.
    pub fn is_empty(&self) -> bool {
        let Self { settings, clusters, checks, unchanged: _ } = self;
        settings.is_empty() && clusters.is_empty() && checks.is_empty()
    }

    /// Counts the twins of one kind.
    pub fn twins(&self, kind: Kind) -> usize {
        self.clusters.iter().filter(|cluster| cluster.kind == kind).map(|cluster| cluster.ids.len()).sum()
    }
}

/// Says what differs in `after`. Without a `before` everything is new.
pub fn compare(before: Option<&Declarations>, after: &Declarations) -> Differences {
    let nothing = BTreeMap::new();
    let twins_before = before.map_or(&nothing, |before| &before.twins);
    let mut clusters = Clusters::default();
    let mut unchanged = 0;
    for (id, declaration) in &after.twins {
        let (kind, leaves) = match twins_before.get(id) {
            Some(before) => (Kind::Changed, clusters.difference(Some(&before.body), &declaration.body)),
            None => (Kind::Added, clusters.difference(None, &declaration.body)),
        };
        match (kind, leaves.is_empty()) {
            (Kind::Changed, true) => unchanged += 1,
            _ => clusters.add(kind, leaves, id),
        }
    }
    let gone = |(id, _): &(&TwinId, &Declaration)| !after.twins.contains_key(*id);
    for (id, _) in twins_before.iter().filter(gone) {
        clusters.add(Kind::Gone, Arc::new([]), id);
    }
    Differences {
        settings: before.map(|before| settings(before, after)).unwrap_or_default(),
        clusters: clusters.sorted(),
        checks: checks(before.map_or(&[], |before| &before.checks), &after.checks),
        unchanged,
    }
}

fn settings(before: &Declarations, after: &Declarations) -> Vec<SettingChange> {
    let of = |declarations: &Declarations| {
        let Declarations { fleet, hub, ownership, missing, .. } = declarations;
        [("fleet", json!(fleet)), ("hub", json!(hub)), ("missing", json!(missing)), ("ownership", json!(ownership))]
    };
    let pairs = of(before).into_iter().zip(of(after));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((name, before), (_, after))| SettingChange { name, before, after })
        .collect()
}

fn checks(before: &[Check], after: &[Check]) -> Vec<CheckChange> {
    let known = |checks: &[Check], name: &str| checks.iter().find(|check| check.name == name).cloned();
    let query = |check: &Check| Some(check.query.text().to_owned());
    let mut changes = Vec::new();
    for check in after {
        let kind = match known(before, &check.name) {
            Some(old) if same(&old, check) => continue,
            Some(_) => Kind::Changed,
            None => Kind::Added,
        };
        let was = known(before, &check.name).and_then(|old| query(&old)).filter(|was| was != check.query.text());
        changes.push(CheckChange { kind, name: check.name.clone(), before: was, after: query(check) });
    }
    for check in before.iter().filter(|check| known(after, &check.name).is_none()) {
        changes.push(CheckChange { kind: Kind::Gone, name: check.name.clone(), before: query(check), after: None });
    }
    changes
}

fn same(a: &Check, b: &Check) -> bool {
    let Check { name, query, expect, within, severity, gate } = a;
    *name == b.name
        && query.text() == b.query.text()
        && *expect == b.expect
        && *within == b.within
        && *severity == b.severity
        && *gate == b.gate
}

/// Clusters in the making.
#[derive(Default)]
struct Clusters {
    /// By the two bodies' addresses: twins share bodies, so that most need not be compared again.
    known: std::collections::HashMap<(usize, usize), Arc<[LeafChange]>>,
    /// By what makes two differences the same to a reader: all but the lines.
    found: BTreeMap<(Kind, Vec<(TwinPath, String)>), Cluster>,
}

impl Clusters {
    fn difference(&mut self, before: Option<&Arc<Body>>, after: &Arc<Body>) -> Arc<[LeafChange]> {
        let key = (before.map_or(0, |body| Arc::as_ptr(body).addr()), Arc::as_ptr(after).addr());
        let leaves = || leaf_changes(before.map(|body| &**body), after).into();
        self.known.entry(key).or_insert_with(leaves).clone()
    }

    fn add(&mut self, kind: Kind, leaves: Arc<[LeafChange]>, id: &TwinId) {
        let side = |side: &Option<Declared>| match side {
            None => "-".to_owned(),
            Some(Declared::Absent) => "absent".to_owned(),
            Some(Declared::Value(value)) => value.to_string(),
        };
        let words = |leaf: &LeafChange| (leaf.path.clone(), format!("{} {}", side(&leaf.before), side(&leaf.after)));
        let key = (kind, leaves.iter().map(words).collect());
        self.found.entry(key).or_insert_with(|| Cluster { kind, leaves, ids: Vec::new() }).ids.push(id.clone());
    }

    fn sorted(self) -> Vec<Cluster> {
        let mut clusters: Vec<Cluster> = self.found.into_values().collect();
        clusters.sort_by_key(|cluster| (cluster.kind, std::cmp::Reverse(cluster.ids.len()), cluster.ids[0].clone()));
        clusters
    }
}

/// What two states declare for one path.
#[derive(Default)]
struct Sides {
    before: Option<Declared>,
    after: Option<Declared>,
    origin: Option<Origin>,
}

impl Sides {
    fn are_equal(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(Declared::Value(before)), Some(Declared::Value(after))) => crate::twin::value::equal(before, after),
            (before, after) => before == after,
        }
    }
}

fn leaf_changes(before: Option<&Body>, after: &Body) -> Vec<LeafChange> {
    let mut all: BTreeMap<&TwinPath, Sides> = BTreeMap::new();
    for leaf in before.iter().flat_map(|body| &body.leaves) {
        all.entry(&leaf.path).or_default().before = Some(Declared::of(leaf.value.as_ref()));
    }
    for leaf in &after.leaves {
        let sides = all.entry(&leaf.path).or_default();
        sides.after = Some(Declared::of(leaf.value.as_ref()));
        sides.origin = Some(leaf.origin.clone());
    }
    let differing = all.into_iter().filter(|(_, sides)| !sides.are_equal());
    differing
        .map(|(path, Sides { before, after, origin })| LeafChange { path: path.clone(), before, after, origin })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load_texts;

    fn fleet(text: &str) -> Declarations {
        load_texts(&[("f.yaml", &format!("fleet: f\n{text}"))], &|_| None).expect("a good manifest").declarations
    }

    fn lines(of: &Differences) -> Vec<String> {
        let side = |side: &Option<Declared>| match side {
            None => "-".to_owned(),
            Some(Declared::Absent) => "absent".to_owned(),
            Some(Declared::Value(value)) => value.to_string(),
        };
        let cluster = |cluster: &Cluster| {
            let leaves = cluster.leaves.iter().map(|leaf| {
                let line = leaf.origin.as_ref().map_or(0, |origin| origin.line);
                format!(" {} {}>{} :{line}", leaf.path, side(&leaf.before), side(&leaf.after))
            });
            let ids: Vec<_> = cluster.ids.iter().map(ToString::to_string).collect();
            format!("{:?} {}{}", cluster.kind, ids.join(","), leaves.collect::<String>())
        };
        let check = |check: &CheckChange| format!("{:?} check {}", check.kind, check.name);
        let setting = |setting: &SettingChange| format!("{} {}>{}", setting.name, setting.before, setting.after);
        let settings = of.settings.iter().map(setting);
        settings.chain(of.clusters.iter().map(cluster)).chain(of.checks.iter().map(check)).collect()
    }

    #[test]
    fn twins_with_the_same_difference_stand_together() {
        let before = fleet(
            "missing: fail\ngroups: { g: { desired: { p: 1, q: 1, r: 1 } } }\ndevices:\n  'd-{1..4}': { groups: [g] }\n  \
             e: { groups: [g], desired: { p: 2 } }\n  gone: {}\nchecks:\n  - { name: a, query: SELECT * FROM devices, \
             expect: none }\n  - { name: b, query: SELECT * FROM devices, expect: none }\n",
        );
        let after = fleet(
            "missing: register\n\ngroups: { g: { desired: { p: 2, q: 1.0, s: null } } }\ndevices:\n  'd-{1..4}': { groups: [g] }\n  \
             e: { groups: [g] }\n  'new-{1..2}': { groups: [g] }\nchecks:\n  - { name: c, query: SELECT * FROM devices, \
             expect: none }\n  - { name: b, query: SELECT * FROM devices, expect: some }\n",
        );
        assert_eq!(
            lines(&compare(Some(&before), &after)),
            [
                "missing \"fail\">\"register\"",
                "Changed d-1,d-2,d-3,d-4 desired.p 1>2 :4 desired.r 1>- :0 desired.s ->absent :4",
                "Changed e desired.r 1>- :0 desired.s ->absent :4",
                "Added new-1,new-2 desired.p ->2 :4 desired.q ->1.0 :4 desired.s ->absent :4",
                "Gone gone",
                "Added check c",
                "Changed check b",
                "Gone check a",
            ]
        );
        assert!(compare(Some(&after), &after).is_empty());
        assert_eq!(compare(Some(&after), &after).unchanged, 7);
        assert_eq!(compare(None, &before).twins(Kind::Added), 6);
    }
}
