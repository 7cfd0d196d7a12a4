//! One file's YAML as a manifest's parts.
//!
//! The fields are tables, so that an unknown one can get the nearest known name. What concerns several files or layers at once
//! (names declared twice, unknown groups, sizes) is left to `resolve`.

use crate::check::Check;
use crate::manifest::entry::parsed::{Module, ParsedEntry};
use crate::manifest::entry::{Entry, TakenEntry};
use crate::manifest::fields::policy::read;
use crate::manifest::fields::reader::{Field, Reader, Table, is_secret, shown};
use crate::manifest::fields::{checks, query};
use crate::manifest::fleet::{FleetName, Missing, Ownership};
use crate::manifest::leaf::{Layer, Leaf};
use crate::manifest::range::Pattern;
use crate::manifest::text::node::{Key, Kind, Node, Spanned, Text};
use crate::manifest::text::source::{File, blanked};
use crate::manifest::{leaves, validate};
use iothub_model::diagnostic::{Diagnostic, Span};
use iothub_model::placeholder::Placeholder;
use iothub_model::query::{BoundQuery, Collection, compile_condition};
use iothub_model::twin::limits::MODULES_PER_DEVICE;
use iothub_model::twin::{HubHost, ModuleId, Section};

/// What one file has in it.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// Whether there is a `fleet`, right or wrong, or the file is no mapping at all, so that to ask for one would say nothing.
    pub(crate) names_fleet: bool,
    pub(crate) fleet: Option<Spanned<FleetName>>,
    /// `None` inside when the guard is an empty text.
    pub(crate) hub: Option<Spanned<Option<HubHost>>>,
    pub(crate) missing: Option<Spanned<Missing>>,
    pub(crate) ownership: Option<Spanned<Ownership>>,
    pub(crate) defaults: Option<Spanned<Vec<Leaf>>>,
    pub(crate) groups: Vec<GroupEntry>,
    pub(crate) devices: Vec<Entry>,
    /// Entries that were taken out of the tree, until `devices` are read.
    pub(crate) taken: Vec<TakenEntry>,
    pub(crate) selectors: Vec<SelectorEntry>,
    pub(crate) policy: read::WrittenPolicy,
    pub(crate) checks: Vec<Spanned<Check>>,
    /// Names of checks that are wrong in themselves, so that a second one of the name is still found.
    pub(crate) names: Vec<Spanned<String>>,
}

/// A group.
#[derive(Debug)]
pub(crate) struct GroupEntry {
    pub(crate) name: Spanned<String>,
    pub(crate) leaves: Vec<Leaf>,
}

/// An entry under `selectors`.
#[derive(Debug)]
pub(crate) struct SelectorEntry {
    pub(crate) name: Spanned<String>,
    /// `None` when it is wrong.
    pub(crate) condition: Option<BoundQuery>,
    pub(crate) leaves: Vec<Leaf>,
}

const MANIFEST: Table<Manifest> = Table {
    what: "a manifest",
    fields: &[
        Field { name: "fleet", read: fleet },
        Field { name: "hub", read: hub },
        Field { name: "missing", read: missing },
        // Read before everything else: the rest may refer to them.
        Field { name: "vars", read: |_, _, _, _| {} },
        Field { name: "defaults", read: defaults },
        Field { name: "groups", read: groups },
        Field { name: "devices", read: devices },
        // Taken out before references are resolved, since those to rows come later.
        Field { name: "inventory", read: |_, _, _, _| {} },
        Field { name: "selectors", read: selectors },
        Field { name: "ownership", read: ownership },
        Field { name: "exact", read: |reader, it, key, node| it.policy.exact = read::paths(reader, &key, node) },
        Field {
            name: "sensitive",
            read: |reader, it, key, node| it.policy.sensitive = read::paths(reader, &key, node),
        },
        Field { name: "limits", read: |reader, it, key, node| read::limits(reader, &mut it.policy, key, node) },
        Field { name: "moved", read: |reader, it, key, node| it.policy.moved = read::moved(reader, &key, node) },
        Field { name: "released", read: |reader, it, key, node| it.policy.released = read::paths(reader, &key, node) },
        Field { name: "rollout", read: |reader, it, key, node| read::rollout(reader, &mut it.policy, key, node) },
        Field { name: "checks", read: checks },
    ],
    misplaced: &[
        ("tags", "put it under `defaults` for all devices, under a group, or under a device"),
        ("desired", "put it under `defaults` for all devices, under a group, or under a device"),
        ("modules", "put it under a device"),
        ("within", "put it under a check"),
        ("severity", "put it under a check"),
        ("gate", "put it under a check"),
        ("waves", "put it under `rollout`"),
        ("pause", "put it under `rollout`"),
        ("max_failed", "put it under `rollout`"),
        ("on_failure", "put it under `rollout`"),
        ("max_changed", "put it under `limits`"),
        ("max_removed_keys", "put it under `limits`"),
        ("min_population", "put it under `limits`"),
        ("name", "the fleet's name is `fleet`"),
        ("where", "put it under a selector"),
        ("selector", "did you mean `selectors`? It is a list: `selectors: [{ name: …, where: … }]`"),
        ("variables", "did you mean `vars`?"),
    ],
};

/// Tags and desired properties of one layer, while they are read.
pub(crate) struct Sections {
    layer: Layer,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) groups: Vec<Spanned<Text>>,
    pub(crate) modules: Vec<Module>,
    /// Of a selector.
    condition: Option<Spanned<Text>>,
}

const REPORTED: (&str, &str) = ("reported", "reported properties are the device's own, and nothing can declare them");
const PROPERTIES: (&str, &str) = ("properties", "desired properties stand under `desired`");
const NO_SHARED_MODULES: (&str, &str) = (
    "modules",
    "put it under a device: defaults and groups describe devices' own twins, and a module has its entry alone",
);

const DEFAULTS: Table<Sections> = Table {
    what: "`defaults`",
    fields: &[Field { name: "tags", read: tags }, Field { name: "desired", read: desired }],
    misplaced: &[REPORTED, PROPERTIES, NO_SHARED_MODULES, ("groups", "groups are listed under each device")],
};

const GROUP: Table<Sections> = Table {
    what: "a group",
    fields: &[Field { name: "tags", read: tags }, Field { name: "desired", read: desired }],
    misplaced: &[
        REPORTED,
        PROPERTIES,
        NO_SHARED_MODULES,
        ("groups", "groups do not hold groups: list them all under the device"),
        ("devices", "list the group under `groups` of each device"),
    ],
};

const DEVICE: Table<Sections> = Table {
    what: "a device",
    fields: &[
        Field { name: "groups", read: group_list },
        Field { name: "tags", read: tags },
        Field { name: "desired", read: desired },
        Field { name: "modules", read: modules },
    ],
    misplaced: &[
        REPORTED,
        PROPERTIES,
        ("group", "did you mean `groups`? It is a list: `groups: [NAME]`"),
        ("module", "did you mean `modules`? It is a mapping: `modules: { ID: {} }`"),
        ("missing", "`missing` stands at the head of the manifest, for all devices"),
    ],
};

const MODULE: Table<Sections> = Table {
    what: "a module",
    fields: &[Field { name: "tags", read: tags }, Field { name: "desired", read: desired }],
    misplaced: &[
        REPORTED,
        PROPERTIES,
        ("groups", "groups describe devices' own twins: write what the module should have here"),
        ("modules", "list all modules under the device"),
        ("missing", "`missing` stands at the head of the manifest, for all devices and modules"),
    ],
};

const SELECTOR: Table<Sections> = Table {
    what: "a selector",
    fields: &[
        // Read before the others, whose leaves say it.
        Field { name: "name", read: |_, _, _, _| {} },
        Field { name: "where", read: |reader, selector, key, node| selector.condition = reader.text(&key, node) },
        Field { name: "tags", read: tags },
        Field { name: "desired", read: desired },
    ],
    misplaced: &[
        REPORTED,
        PROPERTIES,
        ("query", "write the condition alone, under `where`"),
        ("condition", "the condition is `where`"),
        ("groups", "a selector is a layer of its own: write what its devices should have here"),
        ("devices", "a selector finds its devices by `where`"),
        ("modules", "put it under a device: a selector describes devices' own twins, and a module has its entry alone"),
    ],
};

/// Returns the names of a manifest's own fields.
pub(crate) fn field_names() -> impl Iterator<Item = &'static str> {
    MANIFEST.fields.iter().map(|field| field.name)
}

/// Returns the names of all fields that are read, table by table.
#[cfg(test)]
pub(crate) fn all_fields() -> Vec<(&'static str, Vec<&'static str>)> {
    fn of<T>(table: &Table<T>) -> (&'static str, Vec<&'static str>) {
        (table.what, table.fields.iter().map(|field| field.name).collect())
    }
    let sections = [&DEFAULTS, &GROUP, &DEVICE, &MODULE, &SELECTOR].map(of);
    let others = [of(&MANIFEST), of(&checks::CHECK), of(&crate::manifest::layers::inventory::INVENTORY)];
    let policies = [of(&read::LIMITS), of(&read::MOVED), of(&read::ROLLOUT)];
    [&sections[..], &others, &policies].concat()
}

/// Reads a file's one document, and the entries that were taken out of it.
pub(crate) fn read(file: &File, root: Node, taken: Vec<TakenEntry>, found: &mut Vec<Diagnostic>) -> Manifest {
    let mut manifest = Manifest { taken, ..Manifest::default() };
    let mut reader = Reader { file, found };
    match root.kind {
        Kind::Mapping(entries) => reader.fields(&MANIFEST, entries, &mut manifest),
        kind => {
            manifest.names_fleet = true;
            let span = Span::new(root.span.start, root.span.start);
            let diagnostic = reader
                .error(format!("a manifest must be a mapping, and is {}", kind.name()), span, "here")
                .help("it starts with `fleet: NAME`");
            reader.report(diagnostic);
        }
    }
    manifest
}

fn fleet(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    manifest.names_fleet = true;
    let Some(text) = reader.text(&key, node) else { return };
    match text.value.value.parse() {
        Ok(value) => manifest.fleet = Some(Spanned { value, span: text.span }),
        Err(_) => {
            let shown = shown(&text.value);
            let diagnostic = reader
                .error(format!("{shown} is not a fleet's name"), text.span, "")
                .help("one has 1 to 63 lower-case letters, digits and hyphens, and starts with no hyphen");
            reader.report(diagnostic);
        }
    }
}

fn hub(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    let Some(text) = reader.text(&key, node) else { return };
    if text.value.value.is_empty() {
        manifest.hub = Some(Spanned { value: None, span: text.span });
        return;
    }
    match text.value.value.parse::<HubHost>() {
        Ok(host) => manifest.hub = Some(Spanned { value: Some(host), span: text.span }),
        Err(_) if text.value.value.contains("SharedAccessKey") && !is_secret(&text.value) => {
            // The line must not be shown: it may hold a key.
            let source = blanked(reader.file, text.span);
            let diagnostic = Diagnostic::error("`hub` is a connection string, which has a key in it")
                .at(&source, text.span, "not shown")
                .help("write the host name alone, as in my-hub.azure-devices.net; take the key out of the file, and renew it")
                .help("the connection string goes into IOTHUB_CONNECTION_STRING");
            reader.report(diagnostic);
        }
        Err(_) => {
            let diagnostic = reader.error(format!("{} is not a hub's host name", shown(&text.value)), text.span, "");
            let diagnostic = match Placeholder::first_in(&text.value.value).filter(|_| !is_secret(&text.value)) {
                Some(_) => diagnostic.help(
                    "nothing replaces it in a manifest: map it into the step under `env:`, and write `${env.NAME}`",
                ),
                None => diagnostic.help("one is HOST or HOST:PORT, as in my-hub.azure-devices.net"),
            };
            reader.report(diagnostic);
        }
    }
}

fn missing(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    let words = [("fail", Missing::Fail), ("skip", Missing::Skip), ("register", Missing::Register)];
    manifest.missing = reader.one_of(&key, node, &words).or(manifest.missing.take());
}

fn ownership(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    let words = [("record", Ownership::Record), ("none", Ownership::None)];
    manifest.ownership = reader.one_of(&key, node, &words).or(manifest.ownership.take());
}

fn defaults(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    let leaves = sections(reader, &DEFAULTS, Layer::Defaults, &key, node).leaves;
    manifest.defaults = Some(Spanned { value: leaves, span: key.span });
}

fn groups(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    let Some(entries) = reader.mapping(&key, node) else { return };
    for (key, node) in entries {
        if !is_group_name(&key.name) {
            let diagnostic = reader
                .error(format!("`{}` is not a group's name", key.name.escape_debug()), key.span, "")
                .help("one has 1 to 128 ASCII letters, digits, `-`, `_` and `.`, and starts with a letter or a digit");
            reader.report(diagnostic);
        }
        let leaves = sections(reader, &GROUP, Layer::Group(key.name.as_str().into()), &key, node).leaves;
        manifest.groups.push(GroupEntry { name: Spanned { value: key.name, span: key.span }, leaves });
    }
}

fn is_group_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn devices(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    if let Kind::List(_) = node.kind {
        let diagnostic =
            reader.wrong_kind(&key, &node, "a mapping").help("write `ID: {}` for each device, and not `- ID`");
        return reader.report(diagnostic);
    }
    let taken = std::mem::take(&mut manifest.taken);
    if let Kind::Taken(_) = node.kind {
        manifest.devices.reserve_exact(taken.len());
        for taken in taken {
            manifest.devices.extend(match taken {
                TakenEntry::Read(entry) => Some(entry),
                TakenEntry::Waiting(entry) => {
                    let (key, node) = *entry;
                    named_device(reader, key, node)
                }
            });
        }
        return;
    }
    let mut taken = taken.into_iter().enumerate();
    let entries = reader.mapping(&key, node).unwrap_or_default();
    manifest.devices.reserve_exact(entries.len());
    for (key, node) in entries {
        let Kind::Taken(place) = node.kind else {
            manifest.devices.extend(named_device(reader, key, node));
            continue;
        };
        // Those between were refused: their keys are there twice.
        let read = place.and_then(|place| taken.find(|(index, _)| *index == place));
        if let Some((_, TakenEntry::Read(Entry::Parsed(mut entry)))) = read {
            entry.name.value = key.name;
            manifest.devices.push(Entry::Parsed(entry));
        }
    }
}

fn named_device(reader: &mut Reader<'_>, key: Key, node: Node) -> Option<Entry> {
    let mut entry = device(reader, &key, node)?;
    entry.name.value = key.name;
    Some(Entry::Parsed(Box::new(entry)))
}

/// Reads one entry under `devices` but for its name; nothing when the name is none.
pub(crate) fn device(reader: &mut Reader<'_>, key: &Key, node: Node) -> Option<ParsedEntry> {
    let end = node.span.end;
    let pattern = Pattern::parse(&key.name);
    if let Err(error) = &pattern {
        let span = inside(reader.file, key, error.at.clone());
        let diagnostic = reader.error(error.message.clone(), span, "").help(error.help.clone());
        reader.report(diagnostic);
    }
    let Sections { layer: _, leaves, groups, modules, condition: _ } =
        sections(reader, &DEVICE, Layer::Device, key, node);
    let name = Spanned { value: String::new(), span: key.span };
    Some(ParsedEntry { name, pattern: pattern.ok()?, groups, leaves, modules, end })
}

/// Points inside a key, when it stands in the file as it is; else at all of it.
fn inside(file: &File, key: &Key, range: std::ops::Range<usize>) -> Span {
    let written = file.slice(key.span);
    let quotes = usize::from(written.starts_with(['"', '\'']));
    match written.get(quotes..quotes + key.name.len()) {
        Some(inner) if inner == key.name => {
            let start = key.span.start + quotes;
            Span::new(start + range.start, start + range.end)
        }
        _ => key.span,
    }
}

/// Reads what a row of an inventory gives its device: a device's fields.
pub(crate) fn row_sections(reader: &mut Reader<'_>, layer: Layer, entries: Vec<(Key, Node)>) -> Sections {
    fields_of(reader, &DEVICE, layer, entries)
}

fn sections(reader: &mut Reader<'_>, table: &Table<Sections>, layer: Layer, key: &Key, node: Node) -> Sections {
    let entries = reader.mapping(key, node).unwrap_or_default();
    fields_of(reader, table, layer, entries)
}

fn fields_of(reader: &mut Reader<'_>, table: &Table<Sections>, layer: Layer, entries: Vec<(Key, Node)>) -> Sections {
    let mut sections = Sections { layer, leaves: Vec::new(), groups: Vec::new(), modules: Vec::new(), condition: None };
    reader.fields(table, entries, &mut sections);
    // Tags come before desired properties, however they are written.
    sections.leaves.sort_by(|a, b| a.path.cmp(&b.path));
    sections
}

fn tags(reader: &mut Reader<'_>, sections: &mut Sections, key: Key, node: Node) {
    section(reader, sections, Section::Tags, &key, node);
}

fn desired(reader: &mut Reader<'_>, sections: &mut Sections, key: Key, node: Node) {
    section(reader, sections, Section::Desired, &key, node);
}

fn section(reader: &mut Reader<'_>, sections: &mut Sections, section: Section, key: &Key, node: Node) {
    match node.kind {
        Kind::Nothing | Kind::Null => {}
        Kind::Mapping(_) => {
            if validate::section(reader.file, section, &node, reader.found) {
                sections.leaves.extend(leaves::leaves(reader.file, section, &sections.layer, node));
            }
        }
        _ => {
            let diagnostic = reader.wrong_kind(key, &node, "a mapping");
            reader.report(diagnostic);
        }
    }
}

fn group_list(reader: &mut Reader<'_>, sections: &mut Sections, key: Key, node: Node) {
    let items = match node.kind {
        Kind::List(items) => items,
        Kind::Nothing | Kind::Null => return,
        Kind::Text(ref text) if !is_secret(text) => {
            let help = format!("write `groups: [{}]`", text.value);
            let diagnostic = reader.wrong_kind(&key, &node, "a list of group names").help(help);
            return reader.report(diagnostic);
        }
        _ => {
            let diagnostic = reader.wrong_kind(&key, &node, "a list of group names");
            return reader.report(diagnostic);
        }
    };
    for item in items {
        let Some(group) = reader.text_of("a group's name", item.span, item) else { continue };
        // A row need not be in a group: its cell is empty.
        if group.value.value.is_empty() && sections.layer == Layer::Inventory {
            continue;
        }
        if let Some(first) = sections.groups.iter().find(|known| known.value.value == group.value.value) {
            let diagnostic =
                reader.error(format!("the group {} is listed twice", shown(&group.value)), group.span, "once more");
            let diagnostic = reader.at(diagnostic, first.span, "first here");
            reader.report(diagnostic);
            continue;
        }
        sections.groups.push(group);
    }
}

fn modules(reader: &mut Reader<'_>, device: &mut Sections, key: Key, node: Node) {
    if let Kind::List(_) = node.kind {
        let diagnostic =
            reader.wrong_kind(&key, &node, "a mapping").help("write `ID: {}` for each module, and not `- ID`");
        return reader.report(diagnostic);
    }
    let place = key.span;
    let Some(entries) = reader.mapping(&key, node) else { return };
    if entries.len() > MODULES_PER_DEVICE {
        let message = format!("{} modules, and the hub takes {MODULES_PER_DEVICE} a device at most", entries.len());
        let diagnostic = reader.error(message, place, "");
        reader.report(diagnostic);
    }
    for (key, node) in entries {
        let id = key.name.parse().and_then(ModuleId::addressable);
        if let Err(error) = &id {
            let diagnostic = reader.error(error.to_string(), key.span, "");
            let diagnostic = match key.name.contains(['{', '}']) {
                true => diagnostic.help("only devices have ranges: write each module"),
                false => diagnostic,
            };
            reader.report(diagnostic);
        }
        if id.as_ref().is_ok_and(ModuleId::is_system) {
            let diagnostic = reader
                .error(format!("`{}` is a module of the IoT Edge runtime, and cannot be declared", key.name), key.span, "")
                .help("its twin is set by a deployment alone: the hub answers other writes 401 SystemModuleModifyUnauthorizedAccess")
                .help("take it out, and change the deployment");
            reader.report(diagnostic);
        }
        let leaves = sections(reader, &MODULE, Layer::Module, &key, node).leaves;
        if let Ok(id) = id {
            device.modules.push(Module { id, span: key.span, leaves });
        }
    }
}

fn selectors(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    let items = reader.list(&key, node, "selectors", "each starts with `- name: …`");
    for item in items {
        let head = Span::new(item.span.start, item.span.start);
        let Kind::Mapping(entries) = &item.kind else {
            let message = format!("a selector must be a mapping, and is {}", item.kind.name());
            let diagnostic =
                reader.error(message, item.span, "").help("write `name`, `where`, and `tags` or `desired`");
            reader.report(diagnostic);
            continue;
        };
        let lacking: Vec<_> = ["name", "where"]
            .into_iter()
            .filter(|field| !entries.iter().any(|(key, _)| key.name == *field))
            .map(|field| format!("`{field}`"))
            .collect();
        if !lacking.is_empty() {
            let diagnostic = reader
                .error(format!("a selector without {}", lacking.join(" and ")), head, "this selector")
                .help("a selector has `name`, `where`, and `tags` or `desired`");
            reader.report(diagnostic);
        }
        let name = entries.iter().find(|(key, _)| key.name == "name");
        let name = name.and_then(|(key, node)| selector_name(reader, key, node.clone()));
        let layer = Layer::Selector(name.as_ref().map_or("", |name| name.value.as_str()).into());
        let Sections { leaves, condition, .. } = sections(reader, &SELECTOR, layer, &key, item);
        let owner = format!("selector {}", name.as_ref().map_or("without name", |name| name.value.as_str()));
        let condition = condition.and_then(|text| {
            query::compile(reader, &owner, "condition", text, |text| compile_condition(text, Collection::Devices))
        });
        if let Some(name) = name {
            manifest.selectors.push(SelectorEntry { name, condition, leaves });
        }
    }
}

fn selector_name(reader: &mut Reader<'_>, key: &Key, node: Node) -> Option<Spanned<String>> {
    let text = reader.text(key, node)?;
    if !is_group_name(&text.value.value) {
        let diagnostic = reader
            .error(format!("{} is not a selector's name", shown(&text.value)), text.span, "")
            .help("one has 1 to 128 ASCII letters, digits, `-`, `_` and `.`, and starts with a letter or a digit");
        reader.report(diagnostic);
        return None;
    }
    Some(Spanned { value: text.value.value, span: text.span })
}

fn checks(reader: &mut Reader<'_>, manifest: &mut Manifest, key: Key, node: Node) {
    let items = match node.kind {
        Kind::List(items) => items,
        Kind::Nothing | Kind::Null => return,
        _ => {
            let diagnostic = reader.wrong_kind(&key, &node, "a list of checks").help("each starts with `- name: …`");
            return reader.report(diagnostic);
        }
    };
    for item in items {
        let (name, check) = checks::read(reader, item);
        match (name, check) {
            (Some(name), Some(value)) => manifest.checks.push(Spanned { value, span: name.span }),
            (Some(name), None) => manifest.names.push(name),
            (None, _) => {}
        }
    }
}
