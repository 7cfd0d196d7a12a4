//! Several files' parts as one fleet: names that must be unique or known, layers laid over each other, sizes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use super::declaration::{Body, Declaration, Declarations, Layer, Leaf, Origin};
use super::fingerprint;
use super::layers::{merge, section_of, surely_fits};
use super::range::IDENTITIES_MAX;
use super::reader::{Spanned, shown};
use super::schema::{Entry, Group, Manifest};
use super::source::File;
use crate::check::Check;
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::twin::limits::{check_size, section_size};
use crate::twin::{DeviceId, Section, TwinId};

/// Resolves the parts of all files. `complete` says that every file could be read: what is missing otherwise may stand in one
/// that could not.
pub(super) fn resolve(
    files: Vec<(&File, Manifest)>,
    complete: bool,
    found: &mut Vec<Diagnostic>,
) -> Option<Declarations> {
    let first = files.first().map(|(file, _)| *file);
    let names_fleet = files.iter().any(|(_, manifest)| manifest.names_fleet);
    let mut parts = Parts::default();
    let mut checks = Vec::new();
    let mut names: Vec<(&File, Spanned<String>)> = Vec::new();
    for (file, manifest) in files {
        let Manifest {
            names_fleet: _,
            fleet,
            hub,
            missing,
            ownership,
            defaults,
            groups,
            devices,
            checks: own,
            names: broken,
        } = manifest;
        agree("fleet", file, fleet, &mut parts.fleet, found);
        agree("hub", file, hub, &mut parts.hub, found);
        agree("missing", file, missing, &mut parts.missing, found);
        agree("ownership", file, ownership, &mut parts.ownership, found);
        match (defaults, &parts.defaults) {
            (Some(second), Some((first, other))) => found.push(
                twice("`defaults` are", file, second.span, other, first.span)
                    .help("keep them in one file; what only some devices share belongs into a group"),
            ),
            (Some(defaults), None) => parts.defaults = Some((defaults, file)),
            (None, _) => {}
        }
        parts.groups.extend(groups.into_iter().map(|group| (file, group)));
        parts.devices.extend(devices.into_iter().map(|entry| (file, entry)));
        names.extend(broken.into_iter().map(|name| (file, name)));
        for Spanned { value, span } in own {
            names.push((file, Spanned { value: value.name.clone(), span }));
            checks.push(value);
        }
    }
    unique_checks(names, found);
    let twins = parts.twins(complete, found);
    // Where there is no manifest at all, that has been said.
    if complete && !names_fleet && (first.is_some() || !found.iter().any(Diagnostic::is_error)) {
        let diagnostic = Diagnostic::error("the fleet has no name");
        let diagnostic = match first {
            Some(file) => diagnostic.at(&file.source, Span::new(0, 0), "write `fleet: NAME` here"),
            None => diagnostic,
        };
        found.push(diagnostic.help("it is the owner's name in the twins; of several files, one says it"));
    }
    if !complete || found.iter().any(Diagnostic::is_error) {
        return None;
    }
    parts.declarations(checks, twins)
}

/// What the files say together.
#[derive(Default)]
struct Parts<'f> {
    fleet: Option<(Spanned<super::FleetName>, &'f File)>,
    hub: Option<(Spanned<Option<crate::twin::HubHost>>, &'f File)>,
    missing: Option<(Spanned<super::Missing>, &'f File)>,
    ownership: Option<(Spanned<super::Ownership>, &'f File)>,
    defaults: Option<(Spanned<Vec<Leaf>>, &'f File)>,
    groups: Vec<(&'f File, Group)>,
    devices: Vec<(&'f File, Entry)>,
}

/// Takes a value that stands once for the whole fleet; several files may repeat it, not contradict it.
fn agree<'f, T: PartialEq>(
    name: &str,
    file: &'f File,
    value: Option<Spanned<T>>,
    known: &mut Option<(Spanned<T>, &'f File)>,
    found: &mut Vec<Diagnostic>,
) {
    match (value, known) {
        (Some(second), Some((first, other))) if first.value != second.value => found.push(
            Diagnostic::error(format!("two files disagree on `{name}`"))
                .at(&file.source, second.span, "this here")
                .at(&other.source, first.span, "and that there")
                .help("several files make one fleet: say it once"),
        ),
        (Some(value), known @ None) => *known = Some((value, file)),
        _ => {}
    }
}

fn twice(what: impl fmt::Display, file: &File, again: Span, other: &File, first: Span) -> Diagnostic {
    Diagnostic::error(format!("{what} declared twice")).at(&file.source, again, "once more").at(
        &other.source,
        first,
        "first here",
    )
}

fn unique_checks(names: Vec<(&File, Spanned<String>)>, found: &mut Vec<Diagnostic>) {
    let mut known: HashMap<String, (&File, Span)> = HashMap::new();
    for (file, name) in names {
        match known.get(&name.value) {
            Some(&(other, first)) => {
                let what = format!("the check `{}` is", name.value);
                found.push(twice(what, file, name.span, other, first).help("reports name checks by their names"));
            }
            None => {
                known.insert(name.value, (file, name.span));
            }
        }
    }
}

impl Parts<'_> {
    fn twins(&mut self, complete: bool, found: &mut Vec<Diagnostic>) -> BTreeMap<TwinId, Declaration> {
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (index, (file, group)) in self.groups.iter().enumerate() {
            match known.get(group.name.value.as_str()) {
                // Twice in one file is a key twice, which has been reported.
                Some(&first) if std::ptr::eq(self.groups[first].0, *file) => {}
                Some(&first) => {
                    let (other, first) = &self.groups[first];
                    let what = format!("the group `{}` is", group.name.value);
                    found.push(twice(what, file, group.name.span, other, first.name.span));
                }
                None => {
                    known.insert(&group.name.value, index);
                }
            }
        }
        let mut bodies = Bodies {
            defaults: self.defaults.as_ref().map_or(&[], |(defaults, _)| defaults.value.as_slice()),
            groups: &self.groups,
            shared: HashMap::new(),
        };
        let mut used = vec![false; self.groups.len()];
        let mut declarations = Vec::with_capacity(self.devices.len());
        let no_leaves = Arc::new(Body::default());
        for (file, entry) in &mut self.devices {
            let mut groups = Vec::with_capacity(entry.groups.len());
            for name in &entry.groups {
                match known.get(name.value.value.as_str()) {
                    Some(&index) => {
                        used[index] = true;
                        groups.push(index);
                    }
                    None if complete => found.push(unknown_group(file, name, &known)),
                    None => {}
                }
            }
            // Taken out: a hundred thousand devices may have leaves of their own.
            let own = std::mem::take(&mut entry.leaves);
            let body = bodies.body(file, entry.name.span, own, groups, found);
            let origin = |span: Span, layer| Origin { file: file.name.clone(), line: file.line(span.start), layer };
            let device = Declaration { body, origin: origin(entry.name.span, Layer::Device) };
            // Defaults and groups describe devices' own twins, so that a module's entry is all there is to it.
            let modules = entry.modules.iter().map(|module| {
                let body = match module.leaves.is_empty() {
                    true => Arc::clone(&no_leaves),
                    false => Arc::new(Body { leaves: module.leaves.clone() }),
                };
                fits(file, module.span, "this module", &body, found);
                Declaration { body, origin: origin(module.span, Layer::Module) }
            });
            let modules = modules.collect();
            declarations.push(Resolved { device, modules });
        }
        // A list of groups that is wrong in itself makes its groups look unused.
        if complete && !found.iter().any(Diagnostic::is_error) {
            for ((file, group), _) in self.groups.iter().zip(used).filter(|(_, used)| !used) {
                let name = &group.name.value;
                found.push(
                    Diagnostic::warning(format!("the group `{name}` is not used"))
                        .at(&file.source, group.name.span, "no device lists it")
                        .help(format!("list it under a device: `groups: [{name}]`")),
                );
            }
        }
        self.expand(declarations, found)
    }

    /// Names all devices of all entries with their modules, and finds devices that are named twice.
    fn expand(&self, declarations: Vec<Resolved>, found: &mut Vec<Diagnostic>) -> BTreeMap<TwinId, Declaration> {
        let mut total: u64 = 0;
        let mut ids: Vec<(DeviceId, usize)> = Vec::new();
        for (index, (file, entry)) in self.devices.iter().enumerate() {
            total += entry.pattern.count() * (1 + entry.modules.len() as u64);
            if total > IDENTITIES_MAX {
                let message = format!("more than the {IDENTITIES_MAX} devices and modules that a hub holds");
                found.push(Diagnostic::error(message).at(&file.source, entry.name.span, "exceeded here"));
                return BTreeMap::new();
            }
            for name in entry.pattern.names() {
                match name.parse::<DeviceId>() {
                    Ok(id) => ids.push((id, index)),
                    Err(error) => {
                        // The other names of a range have the same mistake, as a rule.
                        found.push(bad_id(file, entry, &error));
                        break;
                    }
                }
            }
        }
        ids.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut clashes: BTreeMap<(usize, usize), (DeviceId, usize)> = BTreeMap::new();
        let mut first = 0;
        for next in 1..ids.len() {
            if ids[next].0 == ids[first].0 {
                let clash = clashes.entry((ids[next].1, ids[first].1));
                clash.or_insert_with(|| (ids[next].0.clone(), 0)).1 += 1;
            } else {
                first = next;
            }
        }
        for ((again, first), (id, count)) in clashes {
            found.extend(self.clash(again, first, &id, count));
        }
        let mut twins = Vec::with_capacity(ids.len());
        for (device, index) in ids {
            let declared = &declarations[index];
            for (module, declaration) in self.devices[index].1.modules.iter().zip(&declared.modules) {
                let id = TwinId { device: device.clone(), module: Some(module.id.clone()) };
                twins.push((id, declaration.clone()));
            }
            twins.push((TwinId::device(device), declared.device.clone()));
        }
        // Made of a sorted list its nodes are full.
        twins.into_iter().collect()
    }

    fn clash(&self, again: usize, first: usize, id: &DeviceId, count: usize) -> Option<Diagnostic> {
        let ((file, entry), (other, first_entry)) = (&self.devices[again], &self.devices[first]);
        let (also, are) = match count {
            1 => (String::new(), "is"),
            _ => (format!(" and {} more", count - 1), "are"),
        };
        if again == first {
            let message = format!("the range gives the device `{id}`{also} twice");
            return Some(
                Diagnostic::error(message)
                    .at(&file.source, entry.name.span, "")
                    .help("pad the numbers with zeros, or put something between them"),
            );
        }
        if std::ptr::eq(*file, *other) && entry.name.value == first_entry.name.value {
            // Twice in one file is a key twice, which has been reported.
            return None;
        }
        let message = format!("the device `{id}`{also} {are} declared twice");
        let label = |entry: &Entry, text: &str| match entry.pattern.is_range() {
            true => format!("{text}, in a range"),
            false => text.to_owned(),
        };
        let diagnostic = Diagnostic::error(message).at(&file.source, entry.name.span, label(entry, "once more")).at(
            &other.source,
            first_entry.name.span,
            label(first_entry, "first here"),
        );
        Some(if entry.pattern.is_range() != first_entry.pattern.is_range() {
            diagnostic.help("split the range around a device that differs, or give it a group of its own")
        } else {
            diagnostic
        })
    }

    fn declarations(self, checks: Vec<Check>, twins: BTreeMap<TwinId, Declaration>) -> Option<Declarations> {
        let mut declarations = Declarations {
            fleet: self.fleet?.0.value,
            hub: self.hub.and_then(|(hub, _)| hub.value),
            ownership: self.ownership.map_or_else(Default::default, |(ownership, _)| ownership.value),
            missing: self.missing.map_or_else(Default::default, |(missing, _)| missing.value),
            checks,
            twins,
            digest: crate::digest::Hasher::new().finish(),
        };
        declarations.digest = fingerprint::of(&declarations);
        Some(declarations)
    }
}

fn unknown_group(file: &File, name: &Spanned<super::yaml::Text>, known: &HashMap<&str, usize>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(format!("there is no such group: {}", shown(&name.value))).at(&file.source, name.span, "");
    match nearest(&name.value.value, known.keys().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("declare it under `groups`"),
    }
}

fn bad_id(file: &File, entry: &Entry, error: &crate::twin::IdError) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string()).at(&file.source, entry.name.span, "");
    if entry.pattern.is_range() {
        diagnostic.help("the range is written out before ids are checked")
    } else {
        diagnostic
    }
}

/// What an entry under `devices` comes to, whichever device of it.
struct Resolved {
    device: Declaration,
    /// In the order of the entry's modules.
    modules: Vec<Declaration>,
}

/// Lays layers over each other, once for all devices that have the same groups and nothing of their own.
struct Bodies<'p> {
    defaults: &'p [Leaf],
    groups: &'p [(&'p File, Group)],
    /// By the list of groups: the layers below a device, and whether they are too large already.
    shared: HashMap<Vec<usize>, (Arc<Body>, bool)>,
}

impl Bodies<'_> {
    fn body(
        &mut self,
        file: &File,
        place: Span,
        own: Vec<Leaf>,
        groups: Vec<usize>,
        found: &mut Vec<Diagnostic>,
    ) -> Arc<Body> {
        let (base, too_large) = self.shared.entry(groups).or_insert_with_key(|groups| {
            let layers = groups.iter().map(|&group| self.groups[group].1.leaves.as_slice());
            let leaves = layers.fold(self.defaults.to_vec(), |base, over| merge(&base, over));
            // A device's own values may replace large ones, so only devices without any are counted here.
            (Arc::new(Body { leaves }), false)
        });
        if own.is_empty() {
            if !*too_large {
                *too_large = !fits(file, place, ALL_LAYERS, base, found);
            }
            return Arc::clone(base);
        }
        let mut leaves = if base.leaves.is_empty() { own } else { merge(&base.leaves, &own) };
        leaves.shrink_to_fit();
        let body = Body { leaves };
        if !*too_large {
            fits(file, place, ALL_LAYERS, &body, found);
        }
        Arc::new(body)
    }
}

/// What is too large when a device's sections are.
const ALL_LAYERS: &str = "all layers of this device together";

/// Checks the size of each section, which only all layers together have.
fn fits(file: &File, place: Span, label: &str, body: &Body, found: &mut Vec<Diagnostic>) -> bool {
    let before = found.len();
    for section in Section::ALL {
        if surely_fits(&body.leaves, section) {
            continue;
        }
        let object = section_of(&body.leaves, section);
        let Some(violation) = check_size(section, &object) else { continue };
        let mut diagnostic = Diagnostic::error(violation.rule.to_string()).at(&file.source, place, label);
        let sizes = object.into_iter().map(|(key, value)| {
            let size = section_size(&[(key.clone(), value)].into_iter().collect());
            (size, key)
        });
        if let Some((size, key)) = sizes.max() {
            let key: String = key.chars().take(60).collect();
            diagnostic = diagnostic.help(format!("the largest part is `{section}.{key}` with {size} bytes"));
        }
        found.push(diagnostic);
    }
    found.len() == before
}
