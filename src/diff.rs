//! What differs between two states of a fleet's declarations: what a pull request changes, without a hub. Pure.
//!
//! The unit is the declared leaf, as in a plan, and twins with the same difference make a cluster. What comes of a difference on
//! the hub is the plan's to say: here nothing is known of live twins. Read [`compare`] first.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::check::Check;
use crate::manifest::{Body, Declaration, Declarations, Origin, Selector, Sensitive};
use iothub_model::twin::{TwinId, TwinPath};

/// What differs.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeclarationsDiff {
    /// The head of the manifests and what they say about enforcement, as in `limits.max_changed`.
    pub settings: Vec<SettingChange>,
    /// Selectors by name, in the order of the later state; those that went last.
    pub selectors: Vec<SelectorChange>,
    /// Twins with the same difference: changed ones first, then those that came, then those that went; large clusters first.
    pub clusters: Vec<DiffCluster>,
    /// Checks by name, in the order of the later state; those that went last.
    pub checks: Vec<CheckChange>,
    /// How many twins are declared as before.
    pub unchanged: usize,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SettingChange {
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
pub(crate) enum DiffKind {
    /// Declared before and after, otherwise.
    Changed,
    /// Declared only now.
    Added,
    /// No longer declared.
    Gone,
}

/// Twins with the same difference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiffCluster {
    /// What happened to them.
    pub kind: DiffKind,
    /// Their leaves that differ, sorted by path, with the lines of the first twin. Of a twin that went there are none.
    pub leaves: Arc<[DiffedLeaf]>,
    /// Which, sorted; never empty.
    pub ids: Vec<TwinId>,
}

/// One leaf that differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiffedLeaf {
    /// Where in the twin.
    pub path: TwinPath,
    /// What was declared; `None` for nothing.
    pub before: Option<DiffedValue>,
    /// What is declared; `None` for nothing.
    pub after: Option<DiffedValue>,
    /// The line of the later state, where it has one.
    pub origin: Option<Origin>,
}

/// What is declared for a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DiffedValue {
    /// It must be absent.
    Absent,
    /// It must be this.
    Value(Value),
    /// It must be something that is sensitive in one of the two states.
    Sensitive,
}

/// One selector.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SelectorChange {
    /// What happened to it.
    pub kind: DiffKind,
    /// Its name.
    pub name: Arc<str>,
    /// Its condition before, when it had another.
    pub before: Option<String>,
    /// Its condition now.
    pub after: Option<String>,
    /// What differs for a device that it alone finds and that is not declared otherwise, defaults included. Of a selector that went there
    /// is nothing.
    pub leaves: Vec<DiffedLeaf>,
}

/// One check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CheckChange {
    /// What happened to it.
    pub kind: DiffKind,
    /// Its name.
    pub name: String,
    /// Its query before, when it had another.
    pub before: Option<String>,
    /// Its query now.
    pub after: Option<String>,
    /// Whether it is a gate now, where that is what differs.
    pub gate: Option<bool>,
}

impl DeclarationsDiff {
    /// Says whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { settings, selectors, clusters, checks, unchanged: _ } = self;
        settings.is_empty() && selectors.is_empty() && clusters.is_empty() && checks.is_empty()
    }

    /// Counts the twins of one kind.
    pub(crate) fn twins(&self, kind: DiffKind) -> usize {
        self.clusters.iter().filter(|cluster| cluster.kind == kind).map(|cluster| cluster.ids.len()).sum()
    }
}

/// Says what differs in `after`. Without a `before` everything is new. What is sensitive in one of the two states is so in both, and is compared
/// but not told.
pub(crate) fn compare(before: Option<&Declarations>, after: &Declarations) -> DeclarationsDiff {
    let nothing = BTreeMap::new();
    let twins_before = before.map_or(&nothing, |before| &before.twins);
    let sensitive = match before {
        Some(before) => before.policy.sensitive.or(&after.policy.sensitive),
        None => after.policy.sensitive.clone(),
    };
    let mut clusters = Clusters { sensitive: sensitive.clone(), ..Clusters::default() };
    let mut unchanged = 0;
    for (id, declaration) in &after.twins {
        let (kind, leaves) = match twins_before.get(id) {
            Some(before) => (DiffKind::Changed, clusters.difference(Some(&before.body), &declaration.body)),
            None => (DiffKind::Added, clusters.difference(None, &declaration.body)),
        };
        match (kind, leaves.is_empty()) {
            (DiffKind::Changed, true) => unchanged += 1,
            _ => clusters.add(kind, leaves, id),
        }
    }
    let gone = |(id, _): &(&TwinId, &Declaration)| !after.twins.contains_key(*id);
    for (id, _) in twins_before.iter().filter(gone) {
        clusters.add(DiffKind::Gone, Arc::new([]), id);
    }
    DeclarationsDiff {
        settings: before.map(|before| settings(before, after)).unwrap_or_default(),
        selectors: selectors(before, after, &sensitive),
        clusters: clusters.sorted(),
        checks: checks(before.map_or(&[], |before| &before.checks), &after.checks),
        unchanged,
    }
}

fn settings(before: &Declarations, after: &Declarations) -> Vec<SettingChange> {
    let of = |declarations: &Declarations| {
        let Declarations {
            fleet,
            hub,
            ownership,
            missing,
            policy,
            // Compared by themselves.
            checks: _,
            check_places: _,
            selectors: _,
            twins: _,
            // What they come to is in the twins; who is in a group changes nothing by itself.
            groups: _,
            empty_inventories: _,
            layered: _,
            // No hub is asked.
            selections: _,
            // Of all the above.
            digest: _,
        } = declarations;
        let head = [
            ("fleet", json!(fleet)),
            ("hub", json!(hub)),
            ("missing", json!(missing)),
            ("ownership", json!(ownership)),
        ];
        head.into_iter().chain(policy.settings())
    };
    let pairs = of(before).zip(of(after));
    let differing = pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((name, before), (_, after))| SettingChange { name, before, after });
    differing.chain(selectors_order(before, after)).collect()
}

/// Of selectors that find the same device the later one counts, so that their order says something.
fn selectors_order(before: &Declarations, after: &Declarations) -> Option<SettingChange> {
    let known = |of: &Declarations, name: &str| of.selectors.iter().any(|selector| &*selector.name == name);
    let order = |of: &Declarations, other: &Declarations| -> Vec<Arc<str>> {
        let names = of.selectors.iter().map(|selector| Arc::clone(&selector.name));
        names.filter(|name| known(other, name)).collect()
    };
    let (before, after) = (order(before, after), order(after, before));
    (before != after).then(|| SettingChange {
        name: "the selectors' order",
        before: names(&before),
        after: names(&after),
    })
}

fn names(names: &[Arc<str>]) -> Value {
    names.iter().map(|name| Value::from(&**name)).collect()
}

fn selectors(before: Option<&Declarations>, after: &Declarations, sensitive: &Sensitive) -> Vec<SelectorChange> {
    let none = Vec::new();
    let old = before.map_or(&none, |before| &before.selectors);
    let known =
        |all: &[Selector], name: &str| -> Option<Selector> { all.iter().find(|known| &*known.name == name).cloned() };
    let mut changes = Vec::new();
    for selector in &after.selectors {
        let was = known(old, &selector.name);
        let condition = selector.condition.text();
        let other = was.as_ref().map(|was| was.condition.text().to_owned()).filter(|was| was != condition);
        let body_before = before.and_then(|before| before.found_by(&selector.name));
        let body = after.found_by(&selector.name).unwrap_or_default();
        let leaves = leaf_changes(body_before.as_deref(), &body, sensitive);
        let kind = match was {
            Some(_) if other.is_none() && leaves.is_empty() => continue,
            Some(_) => DiffKind::Changed,
            None => DiffKind::Added,
        };
        let after = (kind == DiffKind::Added || other.is_some()).then(|| condition.to_owned());
        changes.push(SelectorChange { kind, name: Arc::clone(&selector.name), before: other, after, leaves });
    }
    for selector in old.iter().filter(|selector| known(&after.selectors, &selector.name).is_none()) {
        changes.push(SelectorChange {
            kind: DiffKind::Gone,
            name: Arc::clone(&selector.name),
            before: Some(selector.condition.text().to_owned()),
            after: None,
            leaves: Vec::new(),
        });
    }
    changes
}

fn checks(before: &[Check], after: &[Check]) -> Vec<CheckChange> {
    let known = |checks: &[Check], name: &str| checks.iter().find(|check| check.name == name).cloned();
    let query = |check: &Check| Some(check.query.text().to_owned());
    let mut changes = Vec::new();
    for check in after {
        let kind = match known(before, &check.name) {
            Some(old) if same(&old, check) => continue,
            Some(_) => DiffKind::Changed,
            None => DiffKind::Added,
        };
        let old = known(before, &check.name);
        let gate = old.as_ref().is_none_or(|old| old.gate != check.gate).then_some(check.gate);
        let gate = gate.filter(|&gate| gate || old.is_some());
        let was = old.and_then(|old| query(&old)).filter(|was| was != check.query.text());
        changes.push(CheckChange { kind, name: check.name.clone(), before: was, after: query(check), gate });
    }
    for check in before.iter().filter(|check| known(after, &check.name).is_none()) {
        let (name, before) = (check.name.clone(), query(check));
        changes.push(CheckChange { kind: DiffKind::Gone, name, before, after: None, gate: None });
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
    sensitive: Sensitive,
    /// By the two bodies' addresses: twins share bodies, so that most need not be compared again.
    known: std::collections::HashMap<(usize, usize), Arc<[DiffedLeaf]>>,
    /// By what makes two differences the same to a reader: all but the lines.
    found: BTreeMap<(DiffKind, Vec<(TwinPath, String)>), DiffCluster>,
}

impl Clusters {
    fn difference(&mut self, before: Option<&Arc<Body>>, after: &Arc<Body>) -> Arc<[DiffedLeaf]> {
        let key = (before.map_or(0, |body| Arc::as_ptr(body).addr()), Arc::as_ptr(after).addr());
        let leaves = || leaf_changes(before.map(|body| &**body), after, &self.sensitive).into();
        self.known.entry(key).or_insert_with(leaves).clone()
    }

    fn add(&mut self, kind: DiffKind, leaves: Arc<[DiffedLeaf]>, id: &TwinId) {
        let side = |side: &Option<DiffedValue>| match side {
            None => "-".to_owned(),
            Some(DiffedValue::Absent) => "absent".to_owned(),
            Some(DiffedValue::Sensitive) => "sensitive".to_owned(),
            Some(DiffedValue::Value(value)) => value.to_string(),
        };
        let words = |leaf: &DiffedLeaf| (leaf.path.clone(), format!("{} {}", side(&leaf.before), side(&leaf.after)));
        let key = (kind, leaves.iter().map(words).collect());
        self.found.entry(key).or_insert_with(|| DiffCluster { kind, leaves, ids: Vec::new() }).ids.push(id.clone());
    }

    fn sorted(self) -> Vec<DiffCluster> {
        let mut clusters: Vec<DiffCluster> = self.found.into_values().collect();
        clusters.sort_by_key(|cluster| (cluster.kind, std::cmp::Reverse(cluster.ids.len()), cluster.ids[0].clone()));
        clusters
    }
}

/// What two states declare for one path: nothing, an absence or a value.
#[derive(Default)]
struct Sides<'l> {
    before: Option<Option<&'l Value>>,
    after: Option<Option<&'l Value>>,
    origin: Option<&'l Origin>,
}

impl Sides<'_> {
    fn are_equal(&self) -> bool {
        match (self.before, self.after) {
            (Some(Some(before)), Some(Some(after))) => iothub_model::twin::value::equal(before, after),
            (before, after) => before == after,
        }
    }
}

fn leaf_changes(before: Option<&Body>, after: &Body, sensitive: &Sensitive) -> Vec<DiffedLeaf> {
    let mut all: BTreeMap<&TwinPath, Sides<'_>> = BTreeMap::new();
    let (leaves_before, leaves_after) = (before.map(Body::leaves).unwrap_or_default(), after.leaves());
    for leaf in leaves_before.iter() {
        all.entry(&leaf.path).or_default().before = Some(leaf.value.as_ref());
    }
    for leaf in leaves_after.iter() {
        let sides = all.entry(&leaf.path).or_default();
        sides.after = Some(leaf.value.as_ref());
        sides.origin = Some(&leaf.origin);
    }
    let differing = all.into_iter().filter(|(_, sides)| !sides.are_equal());
    differing
        .map(|(path, Sides { before, after, origin })| {
            let is_sensitive = sensitive.covers(path);
            let declared = |side: Option<Option<&Value>>| {
                side.map(|value| match value {
                    // That nothing is there is no secret.
                    None => DiffedValue::Absent,
                    Some(_) if is_sensitive => DiffedValue::Sensitive,
                    Some(value) => DiffedValue::Value(value.clone()),
                })
            };
            let (before, after) = (declared(before), declared(after));
            DiffedLeaf { path: path.clone(), before, after, origin: origin.cloned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load_texts;

    fn fleet(text: &str) -> Declarations {
        load_texts(&[("f.yaml", &format!("fleet: f\n{text}"))], &|_| None).expect("a good manifest").declarations
    }

    fn lines(of: &DeclarationsDiff) -> Vec<String> {
        let side = |side: &Option<DiffedValue>| match side {
            None => "-".to_owned(),
            Some(DiffedValue::Absent) => "absent".to_owned(),
            Some(DiffedValue::Sensitive) => "(sensitive)".to_owned(),
            Some(DiffedValue::Value(value)) => value.to_string(),
        };
        let changes = |leaves: &[DiffedLeaf]| -> String {
            let leaf = |leaf: &DiffedLeaf| {
                let line = leaf.origin.as_ref().map_or(0, |origin| origin.line);
                format!(" {} {}>{} :{line}", leaf.path, side(&leaf.before), side(&leaf.after))
            };
            leaves.iter().map(leaf).collect()
        };
        let cluster = |cluster: &DiffCluster| {
            let ids: Vec<_> = cluster.ids.iter().map(ToString::to_string).collect();
            format!("{:?} {}{}", cluster.kind, ids.join(","), changes(&cluster.leaves))
        };
        let gate = |gate: Option<bool>| gate.map(|gate| format!(" gate {gate}")).unwrap_or_default();
        let check = |check: &CheckChange| format!("{:?} check {}{}", check.kind, check.name, gate(check.gate));
        let selector = |of: &SelectorChange| {
            let condition = |side: &Option<String>| side.clone().unwrap_or_default();
            let leaves = changes(&of.leaves);
            format!("{:?} selector {} {}>{}{leaves}", of.kind, of.name, condition(&of.before), condition(&of.after))
        };
        let setting = |setting: &SettingChange| format!("{} {}>{}", setting.name, setting.before, setting.after);
        let settings = of.settings.iter().map(setting);
        let settings = settings.chain(of.selectors.iter().map(selector));
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
        assert_eq!(compare(None, &before).twins(DiffKind::Added), 6);
    }

    #[test]
    fn policies_selectors_and_gates_are_compared() {
        let before = fleet(
            "exact: [tags.a]\nlimits: { max_changed: 20%, min_population: 2 }\nrollout: { waves: [1, 100%], pause: 2s }\n\
             selectors:\n  - { name: x, where: tags.x = 1, desired: { p: 1 } }\n  - { name: y, where: tags.y = 1, desired: { q: 1 } }\n  \
             - { name: z, where: tags.z = 1, tags: { z: 1 } }\ndefaults: { tags: { a: 1 } }\ndevices: { a: {}, b: {} }\n\
             checks: [{ name: c, query: SELECT * FROM devices, expect: some, gate: true }]\n",
        );
        let after = fleet(
            "exact: [tags.a, tags.b]\nlimits: { max_changed: 5 }\nmoved: [{ from: desired.r, to: desired.q }]\nreleased: [tags.old]\n\
             rollout: { waves: [1, 100%], on_failure: rollback }\nsensitive: [desired.q]\n\
             selectors:\n  - { name: y, where: tags.y = 2, desired: { q: 2 } }\n  - { name: x, where: tags.x = 1, desired: { p: 1 } }\n  \
             - { name: new, where: tags.n = 1, desired: { q: 3 } }\ndefaults: { tags: { a: 1 } }\ndevices: { a: {}, b: {} }\n\
             checks: [{ name: c, query: SELECT * FROM devices, expect: some }]\n",
        );
        assert_eq!(
            lines(&compare(Some(&before), &after)),
            [
                "exact [\"tags.a\"]>[\"tags.a\",\"tags.b\"]",
                "sensitive null>[\"desired.q\"]",
                "limits.max_changed \"20%\">5",
                "limits.min_population 2>null",
                "moved null>[{\"from\":\"desired.r\",\"to\":\"desired.q\"}]",
                "released null>[\"tags.old\"]",
                "rollout.pause \"2s\">null",
                "rollout.on_failure null>\"rollback\"",
                "the selectors' order [\"x\",\"y\"]>[\"y\",\"x\"]",
                "Changed selector y tags.y = 1>tags.y = 2 desired.q (sensitive)>(sensitive) :9",
                "Added selector new >tags.n = 1 tags.a ->1 :12 desired.q ->(sensitive) :11",
                "Gone selector z tags.z = 1>",
                "Changed check c gate false",
            ]
        );
        let other =
            fleet("defaults: { tags: { a: 1 } }\nselectors: [{ name: x, where: tags.x = 1, desired: { p: 1 } }]\n");
        let same =
            fleet("defaults: { tags: { a: 2 } }\nselectors: [{ name: x, where: tags.x = 1, desired: { p: 1 } }]\n");
        let defaults = compare(Some(&other), &same);
        assert_eq!(lines(&defaults), ["Changed selector x > tags.a 1>2 :2"], "what found devices get");
    }

    #[test]
    fn what_is_sensitive_in_one_state_is_so_in_both() {
        let fleet = |sensitive: &str, key: u32, other: u32| {
            let text = format!(
                "{sensitive}devices:\n  a: {{ desired: {{ key: {key} }} }}\n  b: {{ desired: {{ key: {other} }} }}\n  c: {{ desired: {{ key: 1 }} }}\n"
            );
            fleet(&text)
        };
        let open = fleet("", 2, 3);
        let kept = fleet("sensitive: [desired.key]\n", 4, 5);
        let expected = "Changed a,b desired.key (sensitive)>(sensitive)";
        for (before, after) in [(&open, &kept), (&kept, &open)] {
            let lines = lines(&compare(Some(before), after));
            assert!(lines[1].starts_with(expected), "one cluster, and not c: {lines:?}");
        }
    }
}
