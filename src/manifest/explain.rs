//! Why a twin is declared as it is: for each leaf, what every layer says of it, and which of them won.
//!
//! Resolving keeps the winners alone, since a large fleet has room for no more. Here the fleet is resolved with its layers kept apart, and
//! one twin's are held against what they come to. No hub is asked: of selectors it is said what they would give, if they match.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::manifest::fields::policy::Sensitive;
use crate::manifest::layers::body::Body;
use crate::manifest::layers::declaration::Declarations;
use crate::manifest::layers::layering::{Bodies, Keep, Layered, Stack};
use crate::manifest::leaf::{Layer, Leaf, Origin};
use crate::manifest::load::{LoadOptions, Outside, resolve_keeping};
use crate::manifest::text::source::{self, File};
use iothub_model::diagnostic::{Diagnostic, nearest_id};
use iothub_model::twin::{DeviceId, ModuleId, TwinId, TwinPath};

/// Why one twin is declared as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Explanation {
    /// Which twin.
    pub id: TwinId,
    /// The entry under `devices` that declares it or its device, as written: `thermostat-001`, or a range, as in `press-{001..120}`.
    /// `None` for one that stands only in a table, or nowhere.
    pub entry: Option<String>,
    /// Where that entry, the row, or the module's own entry stands; `None` for a device that is declared only if a selector finds it.
    pub origin: Option<Origin>,
    /// Its layers, weakest first; those that say nothing of this twin's leaves included.
    pub layers: Vec<ExplainedLayer>,
    /// Its leaves, sorted by path, those that only selectors would give included.
    pub leaves: Vec<Explained>,
    /// What of the values is not to be shown.
    pub sensitive: Sensitive,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExplainedLayer {
    /// Where it begins.
    pub origin: Origin,
    /// Of a selector, the condition on which it is a layer of this device: whether that holds is not known.
    pub condition: Option<Arc<str>>,
}

/// One declared leaf, and all that was said about its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Explained {
    /// Where in the twin.
    pub path: TwinPath,
    /// What the layers say at the path, over it or under it; weakest first. At most one wins without a condition.
    pub candidates: Vec<Candidate>,
}

/// What one layer says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// The leaf as that layer declares it. Its path may lie over or under the one that is explained: a scalar in one layer and an
    /// object in another.
    pub leaf: Leaf,
    /// Whether it is the one that counts: if no selector finds the device, or, of a selector's, if that one alone does.
    pub wins: bool,
    /// As that of the layer.
    pub condition: Option<Arc<str>>,
}

/// A twin that no manifest declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undeclared {
    /// What was probably meant.
    pub near: Option<TwinId>,
    /// The selectors that may find it.
    pub selectors: Vec<Arc<str>>,
}

/// Explains one twin of a fleet, or says that the fleet does not declare it. Any device may be found by a selector: with `selected`, one that
/// is not declared by name is explained as far as they go.
///
/// # Errors
///
/// As for [`crate::manifest::load()`]: what is not declared well is not explained.
pub(crate) fn explain(
    options: &LoadOptions,
    id: &TwinId,
    selected: bool,
) -> Result<Result<Explanation, Undeclared>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let files = source::read(&options.paths, &options.var_files, options.access(), &mut found);
    let var_files = source::read_each(&options.var_files, options.access(), &mut found);
    explain_files(&files, &Outside::of(options, &var_files), found, id, selected)
}

pub(crate) fn explain_files(
    files: &[File],
    outside: &Outside<'_>,
    found: Vec<Diagnostic>,
    id: &TwinId,
    selected: bool,
) -> Result<Result<Explanation, Undeclared>, Vec<Diagnostic>> {
    let declarations = resolve_keeping(Keep::Device(&id.device), files, outside, found)?.declarations;
    let origin = declarations.twins.get(id).map(|declaration| declaration.origin.clone());
    let is_selected = selected && id.module.is_none() && !declarations.selectors.is_empty();
    let layered = declarations.layered.clone().filter(|_| origin.is_some() || is_selected);
    let Some(layered) = layered else { return Ok(Err(undeclared(&declarations, id))) };
    let (said, bodies) = match &id.module {
        Some(module) => (of_module(&layered, module), Outcomes::of_module(&declarations, id)),
        None => {
            (of_device(&declarations, &layered, &id.device), Outcomes::of_device(&declarations, &layered, &id.device))
        }
    };
    Ok(Ok(Explanation {
        id: id.clone(),
        entry: layered.written.entry.as_ref().map(|(entry, _)| entry.clone()),
        origin,
        leaves: bodies.paths().into_iter().map(|path| explained(path, &said, &bodies)).collect(),
        layers: said.into_iter().map(|(layer, _)| layer).collect(),
        sensitive: declarations.policy.sensitive.clone(),
    }))
}

fn undeclared(declarations: &Declarations, id: &TwinId) -> Undeclared {
    let names: BTreeMap<String, &TwinId> = declarations.twins.keys().map(|known| (known.to_string(), known)).collect();
    let near = nearest_id(&id.to_string(), names.keys().map(String::as_str)).and_then(|near| names.get(near).copied());
    // Only devices are found by selectors.
    let selectors = declarations.selectors.iter().filter(|_| id.module.is_none());
    Undeclared { near: near.cloned(), selectors: selectors.map(|selector| Arc::clone(&selector.name)).collect() }
}

fn explained(path: TwinPath, said: &[(ExplainedLayer, Cow<'_, [Leaf]>)], bodies: &Outcomes) -> Explained {
    let all = said.iter().flat_map(|(layer, leaves)| leaves.iter().map(move |leaf| (layer, leaf)));
    let candidates = all.filter(|(_, leaf)| leaf.path.overlaps(&path)).map(|(layer, leaf)| Candidate {
        leaf: leaf.clone(),
        wins: leaf.path == path && bodies.has(leaf),
        condition: layer.condition.clone(),
    });
    Explained { candidates: candidates.collect(), path }
}

/// What a twin comes to.
struct Outcomes {
    /// If no selector finds it.
    plain: Arc<Body>,
    /// If one of the selectors alone does, by their names.
    found: BTreeMap<Arc<str>, Arc<Body>>,
}

impl Outcomes {
    fn of_module(declarations: &Declarations, id: &TwinId) -> Self {
        let plain = declarations.twins.get(id).map(|declaration| Arc::clone(&declaration.body));
        Self { plain: plain.unwrap_or_default(), found: BTreeMap::new() }
    }

    fn of_device(declarations: &Declarations, layered: &Layered, device: &DeviceId) -> Self {
        let stack = stack(layered, device);
        let mut bodies = Bodies::new(&layered.layers);
        let names = declarations.selectors.iter().map(|selector| Arc::clone(&selector.name));
        let found = names.enumerate().map(|(index, name)| (name, bodies.body(&[index], &stack))).collect();
        Self { plain: bodies.body(&[], &stack), found }
    }

    /// Returns all paths that may be declared.
    fn paths(&self) -> BTreeSet<TwinPath> {
        let bodies = std::iter::once(&self.plain).chain(self.found.values());
        bodies.flat_map(|body| body.leaves().iter().map(|leaf| leaf.path.clone()).collect::<Vec<_>>()).collect()
    }

    /// Says whether a layer's leaf is what it comes to: of a selector's, if that one finds the twin.
    fn has(&self, leaf: &Leaf) -> bool {
        let body = match &leaf.origin.layer {
            Layer::Selector(name) => self.found.get(name).unwrap_or(&self.plain),
            _ => &self.plain,
        };
        let leaves = body.leaves();
        let at = leaves.binary_search_by(|known| known.path.cmp(&leaf.path));
        at.is_ok_and(|at| leaves[at].origin == leaf.origin)
    }
}

fn stack(layered: &Layered, device: &DeviceId) -> Stack {
    layered.of.get(device).map(|&stack| layered.stacks[stack].clone()).unwrap_or_default()
}

/// Returns the layers of a device, weakest first, and their leaves.
fn of_device<'l>(
    declarations: &Declarations,
    layered: &'l Layered,
    device: &DeviceId,
) -> Vec<(ExplainedLayer, Cow<'l, [Leaf]>)> {
    let Layered { layers, defaults, groups, written, .. } = layered;
    let stack = stack(layered, device);
    let said =
        |origin: &Origin, leaves: Cow<'l, [Leaf]>| (ExplainedLayer { origin: origin.clone(), condition: None }, leaves);
    let layer = |origin: &Origin, leaves: &'l [Leaf]| said(origin, leaves.into());
    let mut all = Vec::new();
    all.extend(defaults.as_ref().map(|origin| layer(origin, &layers.defaults)));
    for (selector, leaves) in declarations.selectors.iter().zip(&layers.selectors) {
        let condition = Some(selector.condition.text().into());
        all.push((ExplainedLayer { origin: selector.origin.clone(), condition }, leaves.into()));
    }
    all.extend(stack.groups.iter().map(|&group| layer(&groups[group], &layers.groups[group])));
    all.extend(written.row.as_ref().map(|origin| layer(origin, stack.row.map_or(&[], |row| &layers.rows[row]))));
    all.extend(written.entry.as_ref().map(|(_, origin)| {
        said(origin, stack.device.map_or(Cow::default(), |device| layers.devices[device].leaves()))
    }));
    all
}

/// Returns the layers of a module: that of its device's row, and its own entry.
fn of_module<'l>(layered: &'l Layered, id: &ModuleId) -> Vec<(ExplainedLayer, Cow<'l, [Leaf]>)> {
    let own = layered.written.modules.iter().filter(|(module, ..)| module == id);
    own.map(|(_, origin, body)| (ExplainedLayer { origin: origin.clone(), condition: None }, body.leaves())).collect()
}

/// Returns the devices of a group, sorted, those of inventories among them; nothing when there is no such group.
///
/// # Errors
///
/// As for [`crate::manifest::load()`].
pub(crate) fn members(options: &LoadOptions, group: &str) -> Result<Option<BTreeSet<DeviceId>>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let files = source::read(&options.paths, &options.var_files, options.access(), &mut found);
    let var_files = source::read_each(&options.var_files, options.access(), &mut found);
    let declarations = resolve_keeping(Keep::Layers, &files, &Outside::of(options, &var_files), found)?.declarations;
    let Some(layered) = declarations.layered else { return Ok(None) };
    let named = |origin: &Origin| matches!(&origin.layer, Layer::Group(name) if **name == *group);
    let Some(group) = layered.groups.iter().position(named) else { return Ok(None) };
    let devices = layered.of.iter().filter(|(_, stack)| layered.stacks[**stack].groups.contains(&group));
    Ok(Some(devices.map(|(device, _)| device.clone()).collect()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::manifest::text::source::Tables;

    const FLEET: &str = "\
fleet: f
defaults: { tags: { a: 1, deep: { x: 1 } }, desired: { p: 1 } }
groups:
  g: { tags: { a: 2 }, desired: { p: { q: 1 } } }
  h: { tags: { a: 3, deep: 5 } }
devices:
  'd-{1..3}':
    groups: [g, h]
    tags: { a: null }
    modules: { m: { desired: { n: 1 } } }
  lone: {}
";

    fn options() -> LoadOptions {
        LoadOptions::new(Vec::new(), Arc::new(|_| None))
    }

    /// Explains one of the fleet: a line for the entry, and one for each leaf.
    fn explained(id: &str) -> Vec<String> {
        explained_in(FLEET, &[], id)
    }

    fn explained_in(text: &str, tables: &[(&str, &str)], id: &str) -> Vec<String> {
        let files = [File::new("f.yaml", text)];
        let id = id.parse().expect("an id");
        let outside = Outside::new(Tables::Texts(tables), &|_| None);
        let found = explain_files(&files, &outside, Vec::new(), &id, true).expect("a good manifest");
        let Ok(found) = found else { return Vec::new() };
        let layer = |layer: &ExplainedLayer| {
            let condition = layer.condition.as_ref().map(|text| format!(" if {text}")).unwrap_or_default();
            format!("{:?}{condition}", layer.origin)
        };
        let layers: Vec<_> = found.layers.iter().map(layer).collect();
        let origin = found.origin.as_ref().map_or("nowhere".to_owned(), |origin| format!("{origin:?}"));
        let entry = found.entry.as_deref().unwrap_or("-");
        let mut lines = vec![format!("{entry} {origin}: [{}]", layers.join(", "))];
        lines.extend(found.leaves.iter().map(|leaf| {
            let said = leaf.candidates.iter().map(|candidate| {
                let Leaf { path, value, origin } = &candidate.leaf;
                let value = value.as_ref().map_or("absent".to_owned(), ToString::to_string);
                let under = if *path == leaf.path { String::new() } else { format!(" at {path}") };
                format!("{}{}={value}{under}", if candidate.wins { "*" } else { "" }, origin.layer)
            });
            format!("{}: {}", leaf.path, said.collect::<Vec<_>>().join(", "))
        }));
        lines
    }

    #[test]
    fn layers_stand_weakest_first_and_one_wins() {
        assert_eq!(
            explained("d-2"),
            [
                "d-{1..3} f.yaml:7 (device): [f.yaml:2 (defaults), f.yaml:4 (group g), f.yaml:5 (group h), f.yaml:7 (device)]",
                "tags.a: defaults=1, group g=2, group h=3, *device=absent",
                "tags.deep: defaults=1 at tags.deep.x, *group h=5",
                "desired.p.q: defaults=1 at desired.p, *group g=1",
            ]
        );
        assert_eq!(explained("d-2/m"), ["d-{1..3} f.yaml:10 (module): [f.yaml:10 (module)]", "desired.n: *module=1"]);
        assert_eq!(
            explained("lone")[1..],
            ["tags.a: *defaults=1", "tags.deep.x: *defaults=1", "desired.p: *defaults=1"]
        );
        assert_eq!(explained("d-4"), [""; 0]);
    }

    const WHOLE: &str = "\
fleet: f
defaults: { desired: { p: 1, q: 1 } }
selectors:
  - { name: s, where: tags.a = 1, desired: { p: 2, r: 2 } }
  - { name: t, where: tags.b = 1, desired: { q: { deep: 3 } } }
groups: { g: { desired: { p: 3 } }, h: { desired: { h: 1 } } }
inventory:
  - { from: rows.csv, id: '${row.id}', groups: [h], tags: { floor: '${row.floor:int}' }, modules: { m: { desired: { n: 1 } } } }
devices:
  both: { groups: [g], tags: { floor: 9 }, modules: { m: { desired: { o: 1 } } } }
";
    const ROWS: &[(&str, &str)] = &[("rows.csv", "id,floor\nalone,1\nboth,2\n")];

    #[test]
    fn rows_are_layers_and_selectors_are_if_they_match() {
        let of = |id: &str| explained_in(WHOLE, ROWS, id);
        assert_eq!(
            of("both"),
            [
                "both f.yaml:10 (device): [f.yaml:2 (defaults), f.yaml:4 (selector s) if tags.a = 1, \
                 f.yaml:5 (selector t) if tags.b = 1, f.yaml:6 (group h), f.yaml:6 (group g), rows.csv:3 (inventory), \
                 f.yaml:10 (device)]",
                "tags.floor: inventory=2, *device=9",
                "desired.h: *group h=1",
                "desired.p: defaults=1, selector s=2, *group g=3",
                "desired.q: *defaults=1, selector t=3 at desired.q.deep",
                "desired.q.deep: defaults=1 at desired.q, *selector t=3",
                "desired.r: *selector s=2",
            ]
        );
        assert_eq!(of("alone")[0].split(": ").next(), Some("- rows.csv:2 (inventory)"));
        assert_eq!(of("alone")[1], "tags.floor: *inventory=1");
        assert_eq!(
            of("both/m"),
            [
                "both f.yaml:10 (module): [rows.csv:3 (module), f.yaml:10 (module)]",
                "desired.n: *module=1",
                "desired.o: *module=1"
            ]
        );
        assert_eq!(
            of("stray"),
            [
                "- nowhere: [f.yaml:2 (defaults), f.yaml:4 (selector s) if tags.a = 1, f.yaml:5 (selector t) if tags.b = 1]",
                "desired.p: *defaults=1, *selector s=2",
                "desired.q: *defaults=1, selector t=3 at desired.q.deep",
                "desired.q.deep: defaults=1 at desired.q, *selector t=3",
                "desired.r: *selector s=2",
            ]
        );
        assert_eq!(of("stray/m"), [""; 0]);
    }

    #[test]
    fn what_nobody_declares_is_not_explained() {
        let of = |id: &str| {
            let outside = Outside::new(Tables::Texts(ROWS), &|_| None);
            let files = [File::new("f.yaml", WHOLE)];
            let found = explain_files(&files, &outside, Vec::new(), &id.parse().expect("an id"), false);
            let found = found.expect("a good manifest").expect_err("not declared");
            (found.near.map(|near| near.to_string()), found.selectors.len())
        };
        assert_eq!(of("alona"), (Some("alone".to_owned()), 2));
        assert_eq!(of("both/n"), (Some("both/m".to_owned()), 0));
        assert_eq!(of("somewhere-else"), (None, 2));
    }

    #[test]
    fn groups_have_members() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("f.yaml"), FLEET).expect("written");
        let options = LoadOptions { paths: vec![folder.path().to_owned()], ..options() };
        let of = |group: &str| {
            let members = members(&options, group).expect("a good manifest");
            members.map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!((of("g").as_deref(), of("x")), (Some("d-1 d-2 d-3"), None));
        std::fs::write(folder.path().join("f.yaml"), WHOLE).expect("written");
        std::fs::write(folder.path().join("rows.csv"), ROWS[0].1).expect("written");
        assert_eq!((of("g").as_deref(), of("h").as_deref()), (Some("both"), Some("alone both")), "rows too");
    }
}
