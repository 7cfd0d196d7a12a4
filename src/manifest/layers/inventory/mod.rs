//! Devices from tables: an entry under `inventory`, and what it makes of each row.

pub(crate) mod json_rows;
pub(crate) mod table;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use crate::manifest::entry::parsed::Module;
use crate::manifest::fields::reader::{Field, Reader, Table, is_secret, shown};
use crate::manifest::fields::schema;
use crate::manifest::layers::declaration::EmptyInventory;
use crate::manifest::layers::inventory::table::{Format, Rows};
use crate::manifest::leaf::{Layer, Leaf, Origin};
use crate::manifest::references::env_access::EnvAccess;
use crate::manifest::references::interpolate::{Interpolation, check_columns, columns};
use crate::manifest::references::reference::{Namespace, only_reference, refers_to_row};
use crate::manifest::text::node::{Key, Kind, Node, Spanned, Text, to_json};
use crate::manifest::text::odd;
use crate::manifest::text::row::{Bad, Row};
use crate::manifest::text::source::{File, Tables, table_name};
use iothub_model::diagnostic::{Diagnostic, Span};
use iothub_model::twin::{DeviceId, Section, path};

/// Rows of one table that are told to be wrong; one with more of them has one mistake many times.
const BAD_ROWS_MAX: usize = 20;

/// What references in an inventory are resolved from.
pub(crate) struct Sources<'a> {
    pub(crate) environment: EnvAccess<'a>,
    pub(crate) vars: &'a BTreeMap<String, Node>,
    pub(crate) tables: Tables<'a>,
}

/// An entry under `inventory`.
#[derive(Debug)]
pub(crate) struct Template {
    from: Spanned<String>,
    format: Format,
    id: Node,
    /// `groups`, `tags`, `desired` and `modules`, as they are written.
    parts: Vec<(Key, Node)>,
}

/// An entry while it is read.
#[derive(Default)]
pub(crate) struct InventoryParts {
    from: Option<(Key, Node)>,
    id: Option<Node>,
    parts: Vec<(Key, Node)>,
}

pub(crate) const INVENTORY: Table<InventoryParts> = Table {
    what: "an inventory",
    fields: &[
        Field { name: "from", read: |_, parts, key, node| parts.from = Some((key, node)) },
        Field { name: "id", read: |_, parts, _, node| parts.id = Some(node) },
        Field { name: "groups", read: |_, parts, key, node| parts.parts.push((key, node)) },
        Field { name: "tags", read: |_, parts, key, node| parts.parts.push((key, node)) },
        Field { name: "desired", read: |_, parts, key, node| parts.parts.push((key, node)) },
        Field { name: "modules", read: |_, parts, key, node| parts.parts.push((key, node)) },
    ],
    misplaced: &[
        ("file", "the table is `from`"),
        ("path", "the table is `from`"),
        ("name", "the device's id is `id`, as in `id: \"${row.serial}\"`"),
        ("deviceId", "the device's id is `id`, as in `id: \"${row.serial}\"`"),
        ("where", "each row is a device: leave the others out of the table"),
    ],
};

/// Takes the inventory out of a file's document, before references are resolved: those to rows come later.
pub(crate) fn take(document: &mut Node) -> Option<(Key, Node)> {
    let Kind::Mapping(entries) = &mut document.kind else { return None };
    let (key, node) = entries.iter_mut().find(|(key, _)| key.name == "inventory")?;
    Some((key.clone(), Node { span: node.span, kind: std::mem::replace(&mut node.kind, Kind::Nothing) }))
}

/// Reads the entries of one file.
pub(crate) fn read(
    file: &File,
    key: &Key,
    node: Node,
    interpolation: &mut Interpolation<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Template> {
    let mut reader = Reader { file, found };
    let items = reader.list(key, node, "tables", "each starts with `- from: FILE`");
    items.into_iter().filter_map(|item| template(&mut reader, item, interpolation)).collect()
}

fn template(reader: &mut Reader<'_>, item: Node, interpolation: &mut Interpolation<'_>) -> Option<Template> {
    let head = Span::new(item.span.start, item.span.start);
    let Kind::Mapping(entries) = item.kind else {
        let message = format!("an inventory must be a mapping, and is {}", item.kind.name());
        let diagnostic = reader.error(message, item.span, "").help("write `from` and `id`");
        reader.report(diagnostic);
        return None;
    };
    let mut parts = InventoryParts::default();
    reader.fields(&INVENTORY, entries, &mut parts);
    let lacking = match (&parts.from, &parts.id) {
        (None, None) => Some("`from` and `id`"),
        (None, Some(_)) => Some("`from`"),
        (Some(_), None) => Some("`id`"),
        (Some(_), Some(_)) => None,
    };
    if let Some(lacking) = lacking {
        let diagnostic = reader
            .error(format!("an inventory without {lacking}"), head, "this inventory")
            .help("as in `{ from: plants/oslo.csv, id: \"${row.serial}\" }`");
        reader.report(diagnostic);
    }
    if let Some(id) = &parts.id
        && !matches!(&id.kind, Kind::Text(text) if refers_to_row(&text.value))
    {
        let span = if id.span.start == id.span.end { head } else { id.span };
        let diagnostic = reader
            .error("the id of an inventory must come from its rows", span, "the same for all of them")
            .help("name the column, as in `id: \"${row.serial}\"`");
        reader.report(diagnostic);
        parts.id = None;
    }
    let (key, mut node) = parts.from?;
    interpolation.resolve(reader.file, &mut node, reader.found);
    let from = reader.text(&key, node)?;
    let format = format(reader, &from)?;
    let from = Spanned { value: from.value.value, span: from.span };
    Some(Template { from, format, id: parts.id?, parts: parts.parts })
}

/// Looks at the name of a table, which goes into messages and plans.
fn format(reader: &mut Reader<'_>, from: &Spanned<Text>) -> Option<Format> {
    let name = from.value.value.as_str();
    let (message, help) = if is_secret(&from.value) {
        (
            "the name of a table cannot come from the environment".to_owned(),
            "plans name it: write it out, or use a variable",
        )
    } else if name.starts_with(['/', '\\']) || name.contains(':') {
        (
            format!("{} is not a relative path", shown(&from.value)),
            "a table lies beside its manifest: name it relative to that, with `..` where need be",
        )
    } else if name.contains('\\') {
        (format!("{} has a backslash in it", shown(&from.value)), "folders are parted by `/` everywhere")
    } else if let Some(format) = Format::of(name) {
        return Some(format);
    } else {
        (
            format!("{} is no table that can be read", shown(&from.value)),
            "one is a .csv, a .json (a list of objects) or a .jsonl (an object a line)",
        )
    };
    let diagnostic = reader.error(message, from.span, "").help(help);
    reader.report(diagnostic);
    None
}

/// What the rows of all tables come to. Rows that say the same share it.
#[derive(Default)]
pub(crate) struct Inventory {
    pub(crate) rows: Vec<InventoryEntry>,
    pub(crate) kinds: Vec<RowKind>,
    /// The leaves of rows, each list once.
    pub(crate) leaves: Vec<Vec<Leaf>>,
    /// The modules of rows, each list once.
    pub(crate) modules: Vec<Vec<Module>>,
    by_hash: HashMap<u64, Vec<usize>>,
    by_kind: HashMap<RowKind, usize>,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct InventoryEntry {
    pub(crate) id: DeviceId,
    /// Which template it was made by.
    pub(crate) template: usize,
    pub(crate) line: u32,
    pub(crate) kind: usize,
}

/// What a row gives its device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowKind {
    pub(crate) groups: Vec<usize>,
    pub(crate) leaves: Option<usize>,
    pub(crate) modules: Option<usize>,
}

impl Inventory {
    fn intern(&mut self, groups: Vec<usize>, leaves: Vec<Leaf>, modules: Vec<Module>) -> usize {
        let leaves = (!leaves.is_empty()).then(|| {
            let mut hasher = DefaultHasher::new();
            for leaf in &leaves {
                leaf.path.hash(&mut hasher);
                leaf.value.as_ref().map(ToString::to_string).hash(&mut hasher);
            }
            let known = self.by_hash.entry(hasher.finish()).or_default();
            match known.iter().find(|&&index| self.leaves[index] == leaves) {
                Some(&index) => index,
                None => {
                    known.push(self.leaves.len());
                    self.leaves.push(leaves);
                    self.leaves.len() - 1
                }
            }
        });
        // Rows have modules seldom, and then mostly the same as the row before.
        let modules = (!modules.is_empty()).then(|| match self.modules.last() {
            Some(last) if *last == modules => self.modules.len() - 1,
            _ => {
                self.modules.push(modules);
                self.modules.len() - 1
            }
        });
        let kind = RowKind { groups, leaves, modules };
        *self.by_kind.entry(kind).or_insert_with_key(|kind| {
            self.kinds.push(kind.clone());
            self.kinds.len() - 1
        })
    }
}

/// Reads a template's table, and adds its rows. `groups` finds a group by its name, or says what is wrong with it.
pub(crate) fn rows(
    file: &File,
    (index, template): (usize, &Template),
    sources: &Sources<'_>,
    inventory: &mut Inventory,
    room: u64,
    mut groups: impl FnMut(&[Spanned<Text>], &mut Vec<Diagnostic>) -> Vec<usize>,
    found: &mut Vec<Diagnostic>,
) {
    let name = table_name(&file.name, &template.from.value);
    let at_from = |diagnostic: Diagnostic| diagnostic.at(&file.source, template.from.span, "named here");
    let table = match sources.tables.open(file, &template.from.value) {
        Ok(table) => table,
        Err(problem) => {
            let help = problem.help.as_deref().unwrap_or("a table is named relative to the manifest that names it");
            let diagnostic = Diagnostic::error(format!("cannot read `{name}`: {}", problem.reason))
                .at(&file.source, template.from.span, "")
                .help(help);
            return found.push(diagnostic);
        }
    };
    let wanted = columns_of(file, template);
    let mut rows = match Rows::start(template.format, table, wanted.clone()) {
        Ok(rows) => rows,
        Err(bad) => return found.push(at_from(bad.diagnostic)),
    };
    let before = found.len();
    let mut varies = false;
    for node in std::iter::once(&template.id).chain(template.parts.iter().map(|(_, node)| node)) {
        varies |= check_columns(file, node, rows.head(), found);
    }
    if found.len() > before {
        return;
    }
    debug_assert!(varies, "an id that names no column was refused");
    let mut told: HashSet<(String, Option<Span>)> = HashSet::new();
    let mut pasted = HashSet::new();
    let (mut count, mut bad) = (0_u64, 0);
    while let Some(row) = rows.next() {
        count += 1;
        let problems = match row {
            Ok(row) => {
                warn_of_pasted(&row, &wanted, &mut pasted, found);
                let mut own = Vec::new();
                if let Some(entry) = one(file, (index, template), sources, &row, inventory, &mut groups, &mut own) {
                    inventory.rows.push(entry);
                }
                told_once(file, own, &row, &mut told)
            }
            Err(Bad { diagnostic, recoverable }) => {
                found.push(at_from(diagnostic));
                if !recoverable {
                    return;
                }
                bad += 1;
                Vec::new()
            }
        };
        bad += usize::from(problems.iter().any(Diagnostic::is_error));
        found.extend(problems);
        if bad >= BAD_ROWS_MAX {
            let message = format!("the rest of `{name}` was not read, after {bad} rows with mistakes");
            return found.push(at_from(Diagnostic::error(message)));
        }
        if count > room {
            return;
        }
    }
    if count == 0 {
        let diagnostic = Diagnostic::warning(format!("`{name}` has no rows"));
        found.push(diagnostic.at(&file.source, template.from.span, "declares no device"));
    }
}

/// Returns the columns that a template asks for.
fn columns_of(file: &File, template: &Template) -> Vec<String> {
    let parts = template.parts.iter().map(|(_, node)| node);
    std::iter::once(&template.id).chain(parts).flat_map(|node| columns(file, node)).collect()
}

/// Warns of cells with an odd character at an end, once for each column.
fn warn_of_pasted(row: &Row, wanted: &[String], told: &mut HashSet<String>, found: &mut Vec<Diagnostic>) {
    if row.text.is_ascii() {
        return;
    }
    for (column, cell) in row.texts() {
        let Some(odd) = odd::at_end_of_cell(cell).filter(|_| wanted.iter().any(|wanted| wanted == column)) else {
            continue;
        };
        if told.insert(column.to_owned()) {
            let diagnostic = Diagnostic::warning(format!("{odd} at an end of a cell is part of its text"));
            let diagnostic = row.at(diagnostic, Some(column), "the first such cell of this column");
            found.push(diagnostic.help("take it out of the table, unless it is meant"));
        }
    }
}

/// Makes a device of a row.
fn one(
    file: &File,
    (index, template): (usize, &Template),
    sources: &Sources<'_>,
    row: &Row,
    inventory: &mut Inventory,
    groups: &mut impl FnMut(&[Spanned<Text>], &mut Vec<Diagnostic>) -> Vec<usize>,
    found: &mut Vec<Diagnostic>,
) -> Option<InventoryEntry> {
    let mut interpolation = Interpolation::of_row(sources.environment, sources.vars, row);
    let mut id = template.id.clone();
    interpolation.resolve(file, &mut id, found);
    let mut parts = template.parts.clone();
    parts.iter_mut().for_each(|(_, node)| interpolation.resolve(file, node, found));
    let mut reader = Reader { file, found };
    let sections = schema::row_sections(&mut reader, Layer::Inventory, parts);
    // What did not resolve has been told, and is not what it should be.
    if reader.found.iter().any(Diagnostic::is_error) {
        return None;
    }
    let column = only_column(&template.id);
    let column = column.as_deref();
    let id = match id.kind {
        Kind::Text(text) => text.value,
        Kind::Number(number) => number.to_string(),
        kind => {
            let message = format!("the id of a row must be a text, and is {}", kind.name());
            found.push(row.at(Diagnostic::error(message), column, "this row"));
            return None;
        }
    };
    if id.is_empty() {
        let diagnostic = Diagnostic::error("a row without an id");
        let diagnostic = row.at(diagnostic, column, "nothing here").at(&file.source, template.id.span, "the id");
        found.push(diagnostic.help("give the device its id, or take the row out"));
        return None;
    }
    let groups = groups(&sections.groups, found);
    match id.parse().and_then(DeviceId::addressable) {
        Ok(_) if found.iter().any(Diagnostic::is_error) => None,
        Ok(id) => {
            let kind = inventory.intern(groups, sections.leaves, sections.modules);
            Some(InventoryEntry { id, template: index, line: row.line, kind })
        }
        Err(error) => {
            let diagnostic = row.at(Diagnostic::error(error.to_string()), column, "this row");
            found.push(diagnostic.at(&file.source, template.id.span, "the id"));
            None
        }
    }
}

/// The column, when an id is just that of one.
fn only_column(id: &Node) -> Option<String> {
    let Kind::Text(text) = &id.kind else { return None };
    only_reference(&text.value)
        .filter(|reference| reference.namespace == Namespace::Row)
        .map(|reference| reference.name)
}

/// Keeps of a row's diagnostics those that no row before had at the same place, and points errors at the row.
fn told_once(
    file: &File,
    own: Vec<Diagnostic>,
    row: &Row,
    told: &mut HashSet<(String, Option<Span>)>,
) -> Vec<Diagnostic> {
    let points_at_row =
        |diagnostic: &Diagnostic| diagnostic.labels.iter().any(|label| *label.source.name() == *row.table);
    own.into_iter()
        .filter_map(|diagnostic| {
            if points_at_row(&diagnostic) {
                return Some(diagnostic);
            }
            let place =
                diagnostic.labels.iter().find(|label| *label.source.name() == *file.name).map(|label| label.span);
            let is_new = told.insert((diagnostic.message.clone(), place));
            let is_error = diagnostic.is_error();
            is_new.then(|| if is_error { row.at(diagnostic, None, "with this row") } else { diagnostic })
        })
        .collect()
}

/// Reads the rows of two lines once more, to show them.
pub(crate) fn show_twice(
    (file, template): (&File, &Template),
    (other, other_template): (&File, &Template),
    again: &InventoryEntry,
    first: &InventoryEntry,
    sources: &Sources<'_>,
) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("the device `{}` is in two rows", again.id));
    let read = |file: &File, template: &Template, line: u32| {
        let table = sources.tables.open(file, &template.from.value).ok()?;
        let mut rows = Rows::start(template.format, table, columns_of(file, template)).ok()?;
        std::iter::from_fn(|| rows.next()).flatten().find(|row| row.line == line)
    };
    let label =
        |diagnostic: Diagnostic, (file, template): (&File, &Template), entry: &InventoryEntry, label: &str| match read(
            file, template, entry.line,
        ) {
            Some(row) => row.at(diagnostic, only_column(&template.id).as_deref(), label),
            None => {
                let label = format!("{label}, in line {} of this table", entry.line);
                diagnostic.at(&file.source, template.from.span, label)
            }
        };
    let diagnostic = label(diagnostic, (file, template), again, "once more");
    let diagnostic = label(diagnostic, (other, other_template), first, "first here");
    diagnostic.at(&file.source, template.from.span, "the table is named here")
}

/// Describes a template whose table has no rows.
pub(crate) fn empty(file: &File, template: &Template) -> EmptyInventory {
    let is_reference = |text: &str| text.contains("${");
    let id = match &template.id.kind {
        Kind::Text(text) => text.value.as_str(),
        _ => "",
    };
    let before = id.find("${").map_or(id, |at| &id[..at]);
    let after = id.rfind('}').map_or("", |at| &id[at + 1..]);
    let mut leaves = Vec::new();
    for (key, node) in &template.parts {
        let section = Section::ALL.into_iter().find(|section| section.name() == key.name);
        if let (Some(section), Value::Object(root)) = (section, to_json(&node.kind)) {
            path::leaves(section, &root, |path, value| {
                // A declared absence leaves nothing to be seen in a twin.
                if !value.is_null() {
                    let known = !is_reference(&value.to_string());
                    leaves.push((path, known.then(|| value.clone())));
                }
            });
        }
    }
    EmptyInventory {
        table: table_of(file, template),
        id: (before.to_owned(), after.to_owned()),
        leaves,
        origin: Origin { file: file.name.clone(), line: file.line(template.from.span.start), layer: Layer::Inventory },
    }
}

/// Says where a row's device is declared.
pub(crate) fn table_of(file: &File, template: &Template) -> Arc<str> {
    table_name(&file.name, &template.from.value).into()
}

/// Points at where a template names its table.
pub(crate) fn place_of(template: &Template) -> Span {
    template.from.span
}
