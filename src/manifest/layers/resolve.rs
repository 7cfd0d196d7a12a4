//! Several files' parts as one fleet: names that must be unique or known, what must agree.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::check::Check;
use crate::manifest::fields::policy::{Policy, Selector};
use crate::manifest::fields::schema::Manifest;
use crate::manifest::layers::agree::{agree, twice};
use crate::manifest::layers::declaration::Declarations;
use crate::manifest::layers::inventory::{Sources, Template};
use crate::manifest::layers::layering::Keep;
use crate::manifest::layers::members::Members;
use crate::manifest::layers::merge_policies::{Declared, settle};
use crate::manifest::layers::{fingerprint, members, redact};
use crate::manifest::leaf::{Layer, Origin};
use crate::manifest::text::node::Spanned;
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span};

/// What one file says.
pub(crate) struct ReadFile<'f> {
    pub(crate) file: &'f File,
    pub(crate) manifest: Manifest,
    pub(crate) inventory: Vec<Template>,
}

/// Resolves the parts of all files. `complete` says that every file could be read: what is missing otherwise may stand in one
/// that could not.
pub(crate) fn resolve(
    files: Vec<ReadFile<'_>>,
    sources: &Sources<'_>,
    keep: Keep<'_>,
    complete: bool,
    found: &mut Vec<Diagnostic>,
) -> Option<Declarations> {
    let first = files.first().map(|read| read.file);
    let names_fleet = files.iter().any(|read| read.manifest.names_fleet);
    let all_files = files.iter().map(|read| read.file).collect();
    let mut parts = FleetParts::default();
    let mut devices_of = members::DeviceParts::default();
    let mut defaults_at: Option<(Spanned<()>, &File)> = None;
    let mut checks = Vec::new();
    let mut policies = Vec::new();
    let mut names: Vec<(&File, Spanned<String>)> = Vec::new();
    for ReadFile { file, manifest, inventory } in files {
        let Manifest {
            names_fleet: _,
            fleet,
            hub,
            missing,
            ownership,
            defaults,
            groups,
            devices,
            taken: _,
            selectors,
            policy,
            checks: own,
            names: broken,
        } = manifest;
        agree("fleet", file, fleet, &mut parts.fleet, found);
        agree("hub", file, hub, &mut parts.hub, found);
        agree("missing", file, missing, &mut parts.missing, found);
        agree("ownership", file, ownership, &mut parts.ownership, found);
        match (defaults, &defaults_at) {
            (Some(second), Some((first, other))) => found.push(
                twice("`defaults` are", file, second.span, other, first.span)
                    .help("keep them in one file; what only some devices share belongs into a group"),
            ),
            (Some(first), None) => {
                defaults_at = Some((Spanned { value: (), span: first.span }, file));
                let (file_name, line) = (file.name.clone(), file.line(first.span.start));
                devices_of.defaults_at = Some(Origin { file: file_name, line, layer: Layer::Defaults });
                devices_of.defaults = first.value;
            }
            (None, _) => {}
        }
        devices_of.groups.extend(groups.into_iter().map(|group| (file, group)));
        devices_of.devices.extend(devices.into_iter().map(|entry| (file, entry)));
        devices_of.inventory.extend(inventory.into_iter().map(|template| (file, template)));
        for selector in selectors {
            let name: Arc<str> = selector.name.value.as_str().into();
            let layer = Layer::Selector(Arc::clone(&name));
            let origin = Origin { file: file.name.clone(), line: file.line(selector.name.span.start), layer };
            parts.selectors.extend(selector.condition.clone().map(|condition| Selector { name, condition, origin }));
            devices_of.selectors.push((file, selector));
        }
        policies.push((file, policy));
        names.extend(broken.into_iter().map(|name| (file, name)));
        for Spanned { value, span } in own {
            names.push((file, Spanned { value: value.name.clone(), span }));
            parts.check_places.insert(value.name.clone(), (file.name.clone(), file.line(span.start)));
            checks.push(value);
        }
    }
    unique_checks(names, found);
    let members = members::resolve(devices_of, sources, keep, complete, found);
    let ownership = parts.ownership.as_ref().map_or_else(Default::default, |(ownership, _)| ownership.value);
    let declared = Declared { layers: members.layers(), files: all_files };
    let policy = settle(policies, ownership, &declared, complete, found);
    redact::sensitive(&policy.sensitive, &declared, found);
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
    parts.declarations(checks, policy, members, keep)
}

/// What the files say together.
#[derive(Default)]
struct FleetParts<'f> {
    fleet: Option<(Spanned<crate::manifest::FleetName>, &'f File)>,
    hub: Option<(Spanned<Option<iothub_model::twin::HubHost>>, &'f File)>,
    missing: Option<(Spanned<crate::manifest::Missing>, &'f File)>,
    ownership: Option<(Spanned<crate::manifest::Ownership>, &'f File)>,
    selectors: Vec<Selector>,
    check_places: BTreeMap<String, (Arc<str>, u32)>,
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

impl FleetParts<'_> {
    fn declarations(
        self,
        checks: Vec<Check>,
        policy: Policy,
        members: Members,
        keep: Keep<'_>,
    ) -> Option<Declarations> {
        let Members { twins, groups, empty_inventories, layered, .. } = members;
        let mut declarations = Declarations {
            hub: self.hub.and_then(|(hub, _)| hub.value),
            ownership: self.ownership.map_or_else(Default::default, |(ownership, _)| ownership.value),
            missing: self.missing.map_or_else(Default::default, |(missing, _)| missing.value),
            checks,
            check_places: self.check_places,
            policy,
            groups,
            empty_inventories,
            layered: (!self.selectors.is_empty() || !matches!(keep, Keep::ForSelectors)).then(|| Arc::new(layered)),
            selectors: self.selectors,
            twins,
            ..Declarations::empty(self.fleet?.0.value)
        };
        declarations.digest = fingerprint::of(&declarations);
        Some(declarations)
    }
}
