//! The fleet's devices and modules by name, each with the layers that it has.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::manifest::entry::Entry;
use crate::manifest::entry::parsed::ParsedEntry;
use crate::manifest::entry::template::TextEntry;
use crate::manifest::fields::reader::shown;
use crate::manifest::fields::schema::{self, SelectorEntry};
use crate::manifest::layers::agree::twice;
use crate::manifest::layers::body::{Body, LayerView, Own, OwnLeaves};
use crate::manifest::layers::declaration::{Declaration, EmptyInventory, Group};
use crate::manifest::layers::inventory::{self, Inventory, RowKind, Sources, Template};
use crate::manifest::layers::layering::{Bodies, DevicePlaces, Keep, Layered, Layers, Stack, sizes};
use crate::manifest::layers::merge::merge;
use crate::manifest::layers::named::{Name, Named, ParsedName, Shared};
use crate::manifest::leaf::{Layer, Leaf, Origin};
use crate::manifest::range::IDENTITIES_MAX;
use crate::manifest::text::node::{Spanned, Text};
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span, nearest};
use iothub_model::twin::{DeviceId, IdError, ModuleId, TwinId};

/// What the files say about devices.
#[derive(Default)]
pub(crate) struct DeviceParts<'f> {
    pub(crate) defaults: Vec<Leaf>,
    /// Where they stand.
    pub(crate) defaults_at: Option<Origin>,
    pub(crate) groups: Vec<(&'f File, schema::GroupEntry)>,
    pub(crate) selectors: Vec<(&'f File, SelectorEntry)>,
    pub(crate) inventory: Vec<(&'f File, Template)>,
    pub(crate) devices: Vec<(&'f File, Entry)>,
}

/// What that comes to.
pub(crate) struct Members {
    pub(crate) twins: BTreeMap<TwinId, Declaration>,
    pub(crate) groups: BTreeMap<Arc<str>, Group>,
    pub(crate) empty_inventories: Vec<EmptyInventory>,
    pub(crate) layered: Layered,
    /// The leaves of the modules, which are no layers of a device.
    modules: Vec<Arc<[Leaf]>>,
}

impl Members {
    /// Returns all leaves that are declared anywhere, layer by layer.
    pub(crate) fn layers(&self) -> Vec<LayerView<'_>> {
        let Layers { defaults, selectors, groups, rows, devices } = &self.layered.layers;
        let shared = selectors.iter().chain(groups).chain(rows).map(Vec::as_slice);
        let shared = std::iter::once(defaults.as_slice()).chain(shared).map(LayerView::Leaves);
        let modules = self.modules.iter().map(|leaves| LayerView::Leaves(leaves));
        shared.chain(devices.iter().map(LayerView::Own)).chain(modules).filter(|layer| layer.len() > 0).collect()
    }
}

/// Names all devices, and lays their layers over each other. `complete` says that every file could be read.
pub(crate) fn resolve(
    parts: DeviceParts<'_>,
    sources: &Sources<'_>,
    keep: Keep<'_>,
    complete: bool,
    found: &mut Vec<Diagnostic>,
) -> Members {
    let DeviceParts { defaults, defaults_at, groups, selectors, inventory: templates, devices } = parts;
    let known = known_groups(&groups, found);
    unique_selectors(&selectors, found);
    let mut used = vec![false; groups.len()];
    let mut layers = Layers { defaults, ..Layers::default() };
    let places = selectors.iter().map(|(file, selector)| (Arc::clone(&file.source), selector.name.span)).collect();
    layers.selectors = selectors.into_iter().map(|(_, selector)| selector.leaves).collect();
    let mut entries = Vec::with_capacity(devices.len());
    layers.devices.reserve_exact(devices.len());
    let mut last: Option<(TextEntry, Arc<[usize]>)> = None;
    for (file, entry) in devices {
        let (own, groups, name) = match entry {
            Entry::Text(text) => {
                let groups = match &last {
                    // Most are as the one before, whose groups are known then.
                    Some((last, groups)) if last.is_alike(&text) => Arc::clone(groups),
                    _ => {
                        let listed = text.groups();
                        let groups: Arc<[usize]> = group_places(file, &listed, &known, complete, found).into();
                        // Of one that is unknown each device is told.
                        last = (groups.len() == listed.len()).then(|| (text.clone(), Arc::clone(&groups)));
                        groups
                    }
                };
                (Own::Text(text.clone()), groups, Name::Text(text))
            }
            Entry::Parsed(parsed) => {
                let ParsedEntry { name, pattern, groups, leaves, modules, end: _ } = *parsed;
                let groups = group_places(file, &groups, &known, complete, found).into();
                let own = OwnLeaves { leaves: leaves.into(), of_range: pattern.is_range() };
                let modules = modules.into_iter().map(|module| Shared::new(file, module, found)).collect();
                (Own::Parsed(own), groups, Name::Parsed(Box::new(ParsedName { name, pattern, modules })))
            }
        };
        groups.iter().for_each(|&group| used[group] = true);
        // Devices that have nothing of their own share what their groups come to.
        let device = (own.len() > 0).then_some(layers.devices.len());
        layers.devices.extend(device.map(|_| own));
        entries.push(Named { file, name, groups, device: device.and_then(|device| u32::try_from(device).ok()) });
    }
    let mut inventory = Inventory::default();
    for (index, (file, template)) in templates.iter().enumerate() {
        let room = IDENTITIES_MAX.saturating_sub(inventory.rows.len() as u64);
        let groups =
            |names: &[Spanned<Text>], found: &mut Vec<Diagnostic>| group_places(file, names, &known, complete, found);
        inventory::rows(file, (index, template), sources, &mut inventory, room, groups, found);
    }
    inventory.kinds.iter().flat_map(|kind| &kind.groups).for_each(|&group| used[group] = true);
    let Inventory { rows, kinds, leaves, modules, .. } = inventory;
    layers.rows = leaves;
    let mut has_rows = vec![false; templates.len()];
    rows.iter().for_each(|row| has_rows[row.template] = true);
    let empty_inventories = templates
        .iter()
        .zip(has_rows)
        .filter(|(_, has_rows)| !has_rows)
        .map(|((file, it), _)| inventory::empty(file, it));
    let empty_inventories = empty_inventories.collect();
    let tables: Vec<_> = templates.iter().map(|(file, template)| inventory::table_of(file, template)).collect();
    let row_modules: Vec<Vec<Shared>> = modules
        .into_iter()
        .enumerate()
        .map(|(index, modules)| {
            // Where the first device that has them is written.
            let file =
                rows.iter().find(|row| kinds[row.kind].modules == Some(index)).map(|row| templates[row.template].0);
            let shared = |file| modules.into_iter().map(|module| Shared::new(file, module, found)).collect();
            file.map_or_else(Vec::new, shared)
        })
        .collect();
    // A list of groups that is wrong in itself makes its groups look unused.
    if complete && !found.iter().any(Diagnostic::is_error) {
        for ((file, group), _) in groups.iter().zip(used).filter(|(_, used)| !used) {
            let name = &group.name.value;
            found.push(
                Diagnostic::warning(format!("the group `{name}` is not used"))
                    .at(&file.source, group.name.span, "no device lists it")
                    .help(format!("list it under a device: `groups: [{name}]`")),
            );
        }
    }
    let origins = groups.iter().map(|(file, group)| {
        let name: Arc<str> = group.name.value.as_str().into();
        let layer = Layer::Group(Arc::clone(&name));
        (name, Origin { file: file.name.clone(), line: file.line(group.name.span.start), layer })
    });
    let origins: Vec<_> = origins.collect();
    drop(known);
    layers.groups = groups.into_iter().map(|(_, group)| group.leaves).collect();
    let mut naming = Naming {
        bodies: Bodies::new(&layers),
        keeps_stacks: !layers.selectors.is_empty() || !matches!(keep, Keep::ForSelectors),
        stacks: Vec::new(),
        rows: InventoryRows {
            templates: &templates,
            tables: &tables,
            rows: &rows,
            kinds: &kinds,
            modules: &row_modules,
        },
        places: HashMap::new(),
        members: vec![0; layers.groups.len()],
        of: Vec::new(),
        twins: Vec::new(),
        asked: if let Keep::Device(device) = keep { Some(device) } else { None },
        written: DevicePlaces::default(),
    };
    naming.name_all(&entries, sources, found);
    let Naming { stacks, members, of, twins, written, .. } = naming;
    // Maps of a hundred thousand are made faster, and smaller, from what is in order already.
    let (of, twins) = (of.into_iter().collect(), twins.into_iter().collect());
    let groups_at = origins.iter().map(|(_, origin)| origin.clone()).collect();
    let groups = origins.into_iter().zip(members).enumerate().map(|(index, ((name, origin), members))| {
        let body = Arc::new(Body::new(layers.groups[index].clone()));
        (name, Group { body, members, origin })
    });
    let groups = groups.collect();
    let modules = entries
        .into_iter()
        .flat_map(|entry| match entry.name {
            Name::Parsed(parsed) => parsed.modules,
            Name::Text(_) => Vec::new(),
        })
        .chain(row_modules.into_iter().flatten())
        .map(|module| module.body.shared())
        .collect();
    let layered = Layered { layers, defaults: defaults_at, groups: groups_at, written, stacks, of, places };
    Members { twins, groups, empty_inventories, layered, modules }
}

fn known_groups<'p>(groups: &'p [(&File, schema::GroupEntry)], found: &mut Vec<Diagnostic>) -> HashMap<&'p str, usize> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (index, (file, group)) in groups.iter().enumerate() {
        match known.get(group.name.value.as_str()) {
            // Twice in one file is a key twice, which has been reported.
            Some(&first) if std::ptr::eq(groups[first].0, *file) => {}
            Some(&first) => {
                let (other, first) = &groups[first];
                let what = format!("the group `{}` is", group.name.value);
                found.push(twice(what, file, group.name.span, other, first.name.span));
            }
            None => {
                known.insert(&group.name.value, index);
            }
        }
    }
    known
}

fn unique_selectors(selectors: &[(&File, SelectorEntry)], found: &mut Vec<Diagnostic>) {
    let mut known: HashMap<&str, (&File, Span)> = HashMap::new();
    for (file, selector) in selectors {
        let name = &selector.name;
        match known.get(name.value.as_str()) {
            Some(&(other, first)) => {
                let what = format!("the selector `{}` is", name.value);
                found.push(twice(what, file, name.span, other, first));
            }
            None => {
                known.insert(&name.value, (file, name.span));
            }
        }
    }
}

/// Finds the groups that a device lists.
fn group_places(
    file: &File,
    names: &[Spanned<Text>],
    known: &HashMap<&str, usize>,
    complete: bool,
    found: &mut Vec<Diagnostic>,
) -> Vec<usize> {
    let mut groups = Vec::with_capacity(names.len());
    for name in names {
        match known.get(name.value.value.as_str()) {
            Some(&index) => groups.push(index),
            None if complete => found.push(unknown_group(file, name, known)),
            None => {}
        }
    }
    groups
}

fn unknown_group(file: &File, name: &Spanned<Text>, known: &HashMap<&str, usize>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(format!("there is no such group: {}", shown(&name.value))).at(&file.source, name.span, "");
    match nearest(&name.value.value, known.keys().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("declare it under `groups`"),
    }
}

/// Gives names to declarations.
struct Naming<'l> {
    bodies: Bodies<'l>,
    /// Whether `stacks` and `of` are asked for.
    keeps_stacks: bool,
    stacks: Vec<Stack>,
    rows: InventoryRows<'l>,
    /// The place of each stack that several devices may have, and what it comes to.
    places: HashMap<Stack, (usize, Arc<Body>)>,
    /// How many devices each group has.
    members: Vec<usize>,
    of: Vec<(DeviceId, usize)>,
    /// What stands later counts.
    twins: Vec<(TwinId, Declaration)>,
    /// The device of which it is kept where it is written.
    asked: Option<&'l DeviceId>,
    written: DevicePlaces,
}

/// What stands in the tables.
#[derive(Clone, Copy)]
struct InventoryRows<'l> {
    templates: &'l [(&'l File, Template)],
    /// Their names.
    tables: &'l [Arc<str>],
    rows: &'l [inventory::InventoryEntry],
    kinds: &'l [RowKind],
    modules: &'l [Vec<Shared>],
}

impl InventoryRows<'_> {
    fn origin(&self, row: &inventory::InventoryEntry, layer: Layer) -> Origin {
        Origin { file: Arc::clone(&self.tables[row.template]), line: row.line, layer }
    }

    /// Points at where a row's table is named, and says which row it is.
    fn point(&self, diagnostic: Diagnostic, row: &inventory::InventoryEntry, device: &DeviceId) -> Diagnostic {
        let (file, template) = &self.templates[row.template];
        let label = format!("{ALL_LAYERS}: `{device}`, line {} of `{}`", row.line, self.tables[row.template]);
        diagnostic.at(&file.source, inventory::place_of(template), label)
    }
}

/// Where a device is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NamingPlace {
    Entry(usize),
    Row(usize),
}

impl Naming<'_> {
    /// Names all devices of all entries and rows with their modules, and finds devices that are named twice: a device may have a row
    /// and an entry of its own, which goes over it, but neither twice.
    fn name_all(&mut self, entries: &[Named<'_>], sources: &Sources<'_>, found: &mut Vec<Diagnostic>) {
        let Some(mut ids) = self.ids(entries, found) else { return };
        ids.sort_unstable();
        let mut clashes: BTreeMap<(usize, usize), (DeviceId, usize)> = BTreeMap::new();
        let mut twice = 0;
        for same in ids.chunk_by(|a, b| a.0 == b.0) {
            let id = &same[0].0;
            let (mut entry, mut row) = (None, None);
            for (_, place) in same {
                match (*place, entry, row) {
                    (NamingPlace::Entry(again), Some(first), _) => {
                        clashes.entry((again, first)).or_insert_with(|| (id.clone(), 0)).1 += 1;
                    }
                    (NamingPlace::Entry(index), None, _) => entry = Some(index),
                    (NamingPlace::Row(again), _, Some(first)) => {
                        twice += 1;
                        if twice <= TWICE_MAX {
                            found.push(self.row_twice(again, first, sources));
                        }
                    }
                    (NamingPlace::Row(index), _, None) => row = Some(index),
                }
            }
            let row = row.map(|row| &self.rows.rows[row]);
            self.name(id, entry.map(|entry| &entries[entry]), row, found);
        }
        if twice > TWICE_MAX {
            found.push(Diagnostic::error(format!("{} more devices are in two rows", twice - TWICE_MAX)));
        }
        for ((again, first), (id, count)) in clashes {
            found.extend(clash(&entries[again], &entries[first], &id, count));
        }
    }

    fn row_twice(&self, again: usize, first: usize, sources: &Sources<'_>) -> Diagnostic {
        let [again, first] = [again, first].map(|row| &self.rows.rows[row]);
        let template = |row: &inventory::InventoryEntry| {
            let (file, template) = &self.rows.templates[row.template];
            (*file, template)
        };
        inventory::show_twice(template(again), template(first), again, first, sources)
    }

    /// Declares one device and its modules.
    fn name(
        &mut self,
        device: &DeviceId,
        entry: Option<&Named<'_>>,
        row: Option<&inventory::InventoryEntry>,
        found: &mut Vec<Diagnostic>,
    ) {
        let rows = self.rows;
        let kind = row.map(|row| &rows.kinds[row.kind]);
        let mut stack = entry.map_or_else(Stack::default, Named::stack);
        if let Some(RowKind { groups, leaves, .. }) = kind {
            stack.row = *leaves;
            let own = stack.groups.into_iter().filter(|group| !groups.contains(group));
            stack.groups = groups.iter().copied().chain(own).collect();
        }
        stack.groups.iter().for_each(|&group| self.members[group] += 1);
        let (place, body) = match self.places.get(&stack) {
            Some((place, body)) => (*place, Arc::clone(body)),
            None => {
                let body = self.bodies.body(&[], &stack);
                for diagnostic in sizes(&body) {
                    found.push(match (entry, row) {
                        (Some(entry), _) => diagnostic.at(&entry.file.source, entry.span(), ALL_LAYERS),
                        (None, Some(row)) => rows.point(diagnostic, row, device),
                        (None, None) => diagnostic,
                    });
                }
                let place = self.stacks.len();
                // An entry for one device is not met again.
                let is_alone = stack.device.is_some() && entry.is_some_and(|entry| !entry.is_range());
                if self.keeps_stacks {
                    self.stacks.push(stack.clone());
                }
                if !is_alone {
                    self.places.insert(stack, (place, Arc::clone(&body)));
                }
                (place, body)
            }
        };
        let of_entry = entry.map_or(&[][..], Named::modules);
        let of_row = kind.and_then(|kind| kind.modules).map_or(&[][..], |modules| &rows.modules[modules]);
        let module_id = |id: &ModuleId| TwinId { device: device.clone(), module: Some(id.clone()) };
        for (module, row) in of_row.iter().zip(row.into_iter().cycle()) {
            let declaration = Declaration { body: Arc::clone(&module.body), origin: rows.origin(row, Layer::Module) };
            self.twins.push((module_id(&module.id), declaration));
        }
        for module in of_entry {
            let body = match of_row.iter().find(|of_row| of_row.id == module.id) {
                Some(below) => Arc::new(merge(&below.body.leaves(), &module.body.leaves()).into()),
                None => Arc::clone(&module.body),
            };
            self.twins.push((module_id(&module.id), Declaration { body, origin: module.origin.clone() }));
        }
        let origin = match (entry, row) {
            (Some(entry), _) => entry.origin(),
            (None, Some(row)) => rows.origin(row, Layer::Inventory),
            (None, None) => return,
        };
        if self.asked == Some(device) {
            let modules_of_row = of_row.iter().zip(row.into_iter().cycle());
            let modules_of_row = modules_of_row
                .map(|(module, row)| (module.id.clone(), rows.origin(row, Layer::Module), Arc::clone(&module.body)));
            let modules_of_entry =
                of_entry.iter().map(|module| (module.id.clone(), module.origin.clone(), Arc::clone(&module.body)));
            self.written = DevicePlaces {
                entry: entry.map(|entry| (entry.name().to_owned(), entry.origin())),
                row: row.map(|row| rows.origin(row, Layer::Inventory)),
                modules: modules_of_row.chain(modules_of_entry).collect(),
            };
        }
        if self.keeps_stacks {
            self.of.push((device.clone(), place));
        }
        self.twins.push((TwinId::device(device.clone()), Declaration { body, origin }));
    }

    /// Writes out the names of all entries and rows; nothing when they are too many.
    fn ids(&self, entries: &[Named<'_>], found: &mut Vec<Diagnostic>) -> Option<Vec<(DeviceId, NamingPlace)>> {
        let mut total: u64 = 0;
        let all = entries.iter().map(Named::count).fold(self.rows.rows.len() as u64, u64::saturating_add);
        let mut ids = Vec::with_capacity(all.min(IDENTITIES_MAX) as usize);
        let too_many = |file: &File, span| {
            let message = format!("more than the {IDENTITIES_MAX} devices and modules that a hub holds");
            Diagnostic::error(message).at(&file.source, span, "exceeded here")
        };
        for (index, entry) in entries.iter().enumerate() {
            total += entry.count() * (1 + entry.modules().len() as u64);
            if total > IDENTITIES_MAX {
                found.push(too_many(entry.file, entry.span()));
                return None;
            }
            entry.each_name(|name| match name.parse().and_then(DeviceId::addressable) {
                Ok(id) => {
                    ids.push((id, NamingPlace::Entry(index)));
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    // The other names of a range have the same mistake, as a rule.
                    found.push(bad_id(entry, &error));
                    ControlFlow::Break(())
                }
            });
        }
        for (index, row) in self.rows.rows.iter().enumerate() {
            let modules = self.rows.kinds[row.kind].modules.map_or(0, |modules| self.rows.modules[modules].len());
            total += 1 + modules as u64;
            if total > IDENTITIES_MAX {
                let (file, template) = &self.rows.templates[row.template];
                found.push(too_many(file, inventory::place_of(template)));
                return None;
            }
            ids.push((row.id.clone(), NamingPlace::Row(index)));
        }
        Some(ids)
    }
}

/// What is too large when a device's sections are.
const ALL_LAYERS: &str = "all layers of this device together";

/// Devices in two rows that are shown; each is looked up in its table again.
const TWICE_MAX: usize = 10;

fn bad_id(entry: &Named<'_>, error: &IdError) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string()).at(&entry.file.source, entry.span(), "");
    if entry.is_range() { diagnostic.help("the range is written out before ids are checked") } else { diagnostic }
}

fn clash(again: &Named<'_>, first: &Named<'_>, id: &DeviceId, count: usize) -> Option<Diagnostic> {
    let (also, are) = match count {
        1 => (String::new(), "is"),
        _ => (format!(" and {} more", count - 1), "are"),
    };
    if std::ptr::eq(again, first) {
        let message = format!("the range gives the device `{id}`{also} twice");
        return Some(
            Diagnostic::error(message)
                .at(&again.file.source, again.span(), "")
                .help("pad the numbers with zeros, or put something between them"),
        );
    }
    if std::ptr::eq(again.file, first.file) && again.name() == first.name() {
        // Twice in one file is a key twice, which has been reported.
        return None;
    }
    let message = format!("the device `{id}`{also} {are} declared twice");
    let label = |entry: &Named<'_>, text: &str| match entry.is_range() {
        true => format!("{text}, in a range"),
        false => text.to_owned(),
    };
    let diagnostic = Diagnostic::error(message).at(&again.file.source, again.span(), label(again, "once more")).at(
        &first.file.source,
        first.span(),
        label(first, "first here"),
    );
    Some(if again.is_range() != first.is_range() {
        diagnostic.help("split the range around a device that differs, or give it a group of its own")
    } else {
        diagnostic
    })
}
