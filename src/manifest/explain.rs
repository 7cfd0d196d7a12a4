//! Why a twin is declared as it is: for each leaf, what every layer says of it, and which of them won.
//!
//! Resolving keeps the winners alone, since a large fleet has room for no more. Here one twin is resolved once more with all
//! that its layers hold, from the same files by the same reader, and held against the winners.

use std::collections::BTreeSet;

use super::declaration::{Layer, Leaf, Origin};
use super::schema::{Entry, Manifest};
use super::source::{self, File};
use super::{Diagnostic, LoadOptions, Outside, Parts, read_parts, resolve_files};
use crate::twin::{DeviceId, TwinId, TwinPath};

/// Why one twin is declared as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Which twin.
    pub id: TwinId,
    /// The entry that declares it, as written: `thermostat-001`, or a range, as in `press-{001..120}`.
    pub entry: String,
    /// Where that entry, or the module's own under it, stands.
    pub origin: Origin,
    /// Its layers, weakest first, and where each begins; those that say nothing of this twin's leaves included.
    pub layers: Vec<Origin>,
    /// Its leaves, sorted by path.
    pub leaves: Vec<Explained>,
}

/// One declared leaf, and all that was said about its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Where in the twin.
    pub path: TwinPath,
    /// What the layers say at the path, over it or under it; weakest first. One of them wins.
    pub candidates: Vec<Candidate>,
}

/// What one layer says.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The leaf as that layer declares it. Its path may lie over or under the one that is explained: a scalar in one layer and an
    /// object in another.
    pub leaf: Leaf,
    /// Whether it is the one that counts.
    pub wins: bool,
}

/// Explains one twin of a fleet, or returns nothing when the fleet does not declare it.
///
/// # Errors
///
/// As for [`super::load`]: what is not declared well is not explained.
pub fn explain(options: &LoadOptions, id: &TwinId) -> Result<Option<Explanation>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let files = source::read(&options.paths, &mut found);
    let var_files = source::read_each(&options.var_files, &mut found);
    explain_files(&files, &Outside::of(options, &var_files), found, id)
}

fn explain_files(
    files: &[File],
    outside: &Outside<'_>,
    found: Vec<Diagnostic>,
    id: &TwinId,
) -> Result<Option<Explanation>, Vec<Diagnostic>> {
    let loaded = resolve_files(files, outside, found)?;
    let Some(declaration) = loaded.declarations.twins.get(id) else { return Ok(None) };
    let Parts { manifests, .. } = read_parts(files, outside, &mut Vec::new());
    let Some((file, entry)) = entry_of(&manifests, &id.device) else { return Ok(None) };
    let stack = layers(&manifests, file, entry, id);
    let leaves = declaration.body.leaves.iter().map(|winner| {
        let said = stack.iter().flat_map(|(_, leaves)| leaves.iter());
        let candidates = said.filter(|leaf| leaf.path.overlaps(&winner.path)).map(|leaf| Candidate {
            leaf: leaf.clone(),
            wins: leaf.path == winner.path && leaf.origin == winner.origin,
        });
        Explained { path: winner.path.clone(), candidates: candidates.collect() }
    });
    Ok(Some(Explanation {
        id: id.clone(),
        entry: entry.name.value.clone(),
        origin: declaration.origin.clone(),
        leaves: leaves.collect(),
        layers: stack.into_iter().map(|(origin, _)| origin).collect(),
    }))
}

/// Returns the devices that list a group, sorted; nothing when there is no such group.
///
/// # Errors
///
/// As for [`super::load`].
pub fn members(options: &LoadOptions, group: &str) -> Result<Option<BTreeSet<DeviceId>>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let files = source::read(&options.paths, &mut found);
    let var_files = source::read_each(&options.var_files, &mut found);
    let Parts { manifests, .. } = read_parts(&files, &Outside::of(options, &var_files), &mut found);
    if found.iter().any(Diagnostic::is_error) {
        return Err(found);
    }
    if !manifests.iter().any(|(_, manifest)| manifest.groups.iter().any(|known| known.name.value == group)) {
        return Ok(None);
    }
    let entries = manifests.iter().flat_map(|(_, manifest)| &manifest.devices);
    let listing = entries.filter(|entry| entry.groups.iter().any(|listed| listed.value.value == group));
    Ok(Some(listing.flat_map(|entry| entry.pattern.names()).filter_map(|name| name.parse().ok()).collect()))
}

fn entry_of<'m>(manifests: &'m [(&'m File, Manifest)], device: &DeviceId) -> Option<(&'m File, &'m Entry)> {
    manifests.iter().find_map(|(file, manifest)| {
        let named = |entry: &&Entry| entry.pattern.names().any(|name| name == device.as_str());
        manifest.devices.iter().find(named).map(|entry| (*file, entry))
    })
}

/// Returns the layers of a twin, weakest first: where each begins, and its leaves.
fn layers<'m>(
    manifests: &'m [(&'m File, Manifest)],
    file: &File,
    entry: &'m Entry,
    id: &TwinId,
) -> Vec<(Origin, &'m [Leaf])> {
    let origin = |file: &File, start: usize, layer| Origin { file: file.name.clone(), line: file.line(start), layer };
    if let Some(module) = &id.module {
        let own = entry.modules.iter().find(|own| own.id == *module);
        return own
            .map(|own| (origin(file, own.span.start, Layer::Module), own.leaves.as_slice()))
            .into_iter()
            .collect();
    }
    let mut layers = Vec::new();
    for (file, manifest) in manifests {
        if let Some(defaults) = &manifest.defaults {
            layers.push((origin(file, defaults.span.start, Layer::Defaults), defaults.value.as_slice()));
        }
    }
    for listed in &entry.groups {
        let groups =
            manifests.iter().flat_map(|(file, manifest)| manifest.groups.iter().map(move |group| (*file, group)));
        for (file, group) in groups.filter(|(_, group)| group.name.value == listed.value.value) {
            let layer = Layer::Group(group.name.value.as_str().into());
            layers.push((origin(file, group.name.span.start, layer), group.leaves.as_slice()));
        }
    }
    layers.push((origin(file, entry.name.span.start, Layer::Device), entry.leaves.as_slice()));
    layers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

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
        let files = [File::new("f.yaml", FLEET, true)];
        let id = id.parse().expect("an id");
        let found = explain_files(&files, &Outside::of(&options(), &[]), Vec::new(), &id).expect("a good manifest");
        let Some(found) = found else { return Vec::new() };
        let mut lines = vec![format!("{} {:?}: {:?}", found.entry, found.origin, found.layers)];
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
    }
}
