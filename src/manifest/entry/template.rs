//! Entries of devices that are written alike: the same lines but for the device's name and the values.
//!
//! Whatever writes out a hundred thousand devices writes the same lines for each. The first such entry is read by the parser and by all
//! that looks at a manifest; what it turns out to be becomes an [`EntryTemplate`]. The structure of a block mapping lies in its lines' indentation
//! and keys, so that an entry which has the same lines, with other scalars that stand on one line each, is the same with other values:
//! no parser need look at it. Of such an entry ([`TextEntry`]) nothing is held but where it stands. Its values are in the file's text, which
//! is shorter than anything that could be made of it, and are read there whenever somebody looks.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::manifest::entry::parsed::ParsedEntry;
use crate::manifest::entry::scalar::{self, Scalar};
use crate::manifest::leaf::{self, Layer, Leaf, Origin};
use crate::manifest::text::node::{Spanned, Text};
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Source, Span};
use iothub_model::twin::{Section, TwinPath};
use serde_json::Value;

/// How entries that are written alike are written.
pub(crate) struct EntryTemplate {
    source: Arc<Source>,
    /// The file's name.
    file: Arc<str>,
    /// Spaces before the device's name.
    indent: usize,
    quote: Option<char>,
    /// What follows the name on its line.
    head: Box<str>,
    /// The lines after that.
    lines: Box<[Line]>,
    /// The leaves, sorted by path.
    slots: Box<[Slot]>,
    groups: Box<[ListedGroup]>,
}

/// A line, without what ends it.
#[derive(Debug)]
enum Line {
    /// The same in all entries.
    Same(Box<str>),
    /// The same up to a value, which ends the line.
    Value(Box<str>),
}

#[derive(Debug)]
struct Slot {
    path: TwinPath,
    /// Counted from the device's name.
    line: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// What stands at the end of the slot's line.
    Own,
    /// The same in all entries.
    Same(Option<Value>),
}

/// A group that is listed.
#[derive(Debug)]
struct ListedGroup {
    text: Text,
    /// Counted from the device's name.
    line: usize,
    /// Where it begins on that line: on the name's own line counted from the end of the name.
    column: usize,
    bytes: usize,
}

/// An entry of a template, where it stands.
#[derive(Clone, Debug)]
pub(crate) struct TextEntry {
    template: Arc<EntryTemplate>,
    /// The offset of the line of the device's name.
    start: u32,
    /// That line, from 1.
    line: u32,
}

/// An entry that was found to be of a template.
pub(crate) struct FoundEntry {
    pub(crate) entry: TextEntry,
    /// The offset of the line after its last.
    pub(crate) end: usize,
    /// How many lines it has.
    pub(crate) lines: usize,
    /// The values that may be traps.
    pub(crate) traps: Vec<Span>,
}

/// Without the file's text.
impl fmt::Debug for EntryTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryTemplate").field("file", &self.file).field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl EntryTemplate {
    /// Learns from an entry that was read: `at` are its lines, the first of which is the `line`th of the file, and `found` is what was said
    /// about it. Returns nothing when there is more to it than lines and values.
    pub(crate) fn learn(
        file: &File,
        at: Range<usize>,
        line: u32,
        read: &ParsedEntry,
        found: &[Diagnostic],
    ) -> Option<Arc<Self>> {
        let text = &file.source.text()[at.clone()];
        if !read.modules.is_empty() || read.pattern.is_range() {
            return None;
        }
        let all: Vec<&str> = text.split_inclusive('\n').map(without_break).collect();
        let used = all.iter().rposition(|line| !is_blank(line))? + 1;
        let all = &all[..used];
        let indent = indentation(all[0]);
        let (name, quote) = name_at(&all[0][indent..])?;
        let end_of_name = indent + name.len() + 2 * usize::from(quote.is_some());
        if name != read.name.value {
            return None;
        }
        let mut lines: Vec<Line> = all[1..].iter().map(|line| Line::Same((*line).into())).collect();
        let mut slots = Vec::with_capacity(read.leaves.len());
        for leaf in &read.leaves {
            let at = leaf.origin.line.checked_sub(line)? as usize;
            let written = *all.get(at)?;
            let is_alone = read.leaves.iter().filter(|other| other.origin.line == leaf.origin.line).count() == 1;
            let next = all[at + 1..].iter().find(|line| !is_blank(line));
            let is_ended = next.is_none_or(|next| indentation(next) <= indentation(written));
            let value = value_after(written, leaf.path.keys().last()?).filter(|_| at > 0 && is_alone && is_ended);
            let value = value.filter(|value| scalar::scalar(value).is_some_and(|scalar| scalar.value() == leaf.value));
            let content = match value {
                Some(value) => {
                    lines[at - 1] = Line::Value(written[..written.len() - value.len()].into());
                    Content::Own
                }
                None => Content::Same(leaf.value.clone()),
            };
            slots.push(Slot { path: leaf.path.clone(), line: at, content });
        }
        // Block scalars and anchors reach over lines; tabs and lone carriage returns are what the parser makes of them.
        let odd = ['|', '>', '&', '*', '!', '\t', '\r'];
        // So do brackets that are not closed on their line.
        let count = |line: &str, bracket: [char; 2]| line.matches(bracket).count();
        let is_odd = |line: &str| line.contains(odd) || count(line, ['{', '[']) != count(line, ['}', ']']);
        if is_odd(all[0]) || lines.iter().any(|line| matches!(line, Line::Same(line) if is_odd(line))) {
            return None;
        }
        let starts: Vec<usize> = text
            .split_inclusive('\n')
            .scan(at.start, |start, line| {
                *start += line.len();
                Some(*start - line.len())
            })
            .collect();
        let groups = read.groups.iter().map(|group| {
            let line = starts.partition_point(|&start| start <= group.span.start).checked_sub(1)?;
            let before = if line == 0 { end_of_name } else { 0 };
            let column = (group.span.start - starts[line]).checked_sub(before)?;
            let bytes = group.span.end - group.span.start;
            Some(ListedGroup { text: group.value.clone(), line, column, bytes })
        });
        let template = Arc::new(Self {
            source: Arc::clone(&file.source),
            file: Arc::clone(&file.name),
            indent,
            quote,
            head: all[0][end_of_name..].into(),
            lines: lines.into(),
            slots: slots.into(),
            groups: groups.collect::<Option<_>>()?,
        });
        // What was learned must tell the same of the entry that it was learned from.
        let again = Self::find(&template, at.start, line)?;
        let entry = &again.entry;
        let same = entry.leaves() == read.leaves
            && entry
                .groups()
                .iter()
                .map(|group| (&group.value.value, group.span))
                .eq(read.groups.iter().map(|group| (&group.value.value, group.span)))
            && again.traps.iter().filter_map(|&span| trap(file, span)).eq(found.iter().cloned())
            && entry.name().span == read.name.span;
        same.then_some(template)
    }

    /// Finds an entry of this template at the offset of a line.
    pub(crate) fn find(this: &Arc<Self>, start: usize, line: u32) -> Option<FoundEntry> {
        let text = this.source.text();
        let head = text[start..].get(this.indent..)?;
        let (name, quote) = name_at(head)?;
        let name_bytes = name.len() + 2 * usize::from(quote.is_some());
        if quote != this.quote || !(quote.is_some() || scalar::is_text(name)) {
            return None;
        }
        let mut at = after(text, start + this.indent + name_bytes, &this.head)?;
        let mut traps = Vec::new();
        for line in &this.lines {
            match line {
                Line::Same(line) => at = after(text, at, line)?,
                Line::Value(before) => {
                    if !text.as_bytes()[at..].starts_with(before.as_bytes()) {
                        return None;
                    }
                    at += before.len();
                    let end = end_of_line(text, at);
                    let written = without_break(&text[at..end]);
                    let scalar = scalar::scalar(written)?;
                    if scalar::may_be_trap(&scalar, written) && scalar::trap(&scalar, written).is_some() {
                        traps.push(Span::new(at, at + written.len()));
                    }
                    at = end;
                }
            }
        }
        let entry = TextEntry { template: Arc::clone(this), start: u32::try_from(start).ok()?, line };
        Some(FoundEntry { entry, end: at, lines: 1 + this.lines.len(), traps })
    }
}

/// Warns of a trap at a place.
pub(crate) fn trap(file: &File, span: Span) -> Option<Diagnostic> {
    let written = file.slice(span);
    let diagnostic = scalar::trap(&scalar::scalar(written)?, written)?;
    let help = diagnostic.help.into_iter().next()?;
    Some(Diagnostic::warning(diagnostic.message).at(&file.source, span, "").help(help))
}

impl TextEntry {
    /// Returns the device's name.
    pub(crate) fn name(&self) -> Spanned<&str> {
        let start = self.start as usize + self.template.indent;
        let (value, quote) =
            name_at(&self.template.source.text()[start..]).expect("it was found to be of the template");
        Spanned { value, span: Span::new(start, start + value.len() + 2 * usize::from(quote.is_some())) }
    }

    /// Returns where the entry stands.
    pub(crate) fn place(&self) -> Origin {
        Origin { file: Arc::clone(&self.template.file), line: self.line, layer: Layer::Device }
    }

    /// Returns the offset at which its last line ends.
    pub(crate) fn end(&self) -> usize {
        let found = EntryTemplate::find(&self.template, self.start as usize, self.line)
            .expect("it was found to be of the template");
        self.start as usize + self.template.source.text()[self.start as usize..found.end].trim_end().len()
    }

    /// Says whether another entry has the same template, and so the same paths and groups.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.template, &other.template)
    }

    /// Says whether it lists groups.
    pub(crate) fn has_groups(&self) -> bool {
        !self.template.groups.is_empty()
    }

    /// Returns the groups that it lists.
    pub(crate) fn groups(&self) -> Vec<Spanned<Text>> {
        if !self.has_groups() {
            return Vec::new();
        }
        let text = self.template.source.text();
        let mut starts = vec![self.start as usize];
        for _ in 0..self.template.lines.len() {
            starts.push(end_of_line(text, starts[starts.len() - 1]));
        }
        let place = |group: &ListedGroup| {
            let before = if group.line == 0 { self.name().span.end } else { starts[group.line] };
            let start = before + group.column;
            Spanned { value: group.text.clone(), span: Span::new(start, start + group.bytes) }
        };
        self.template.groups.iter().map(place).collect()
    }

    /// Returns how many leaves there are.
    pub(crate) fn len(&self) -> usize {
        self.template.slots.len()
    }

    /// Returns the path of a leaf.
    pub(crate) fn path(&self, index: usize) -> &TwinPath {
        &self.template.slots[index].path
    }

    /// Returns where a leaf is written.
    pub(crate) fn origin(&self, index: usize) -> Origin {
        let line = u32::try_from(self.template.slots[index].line).unwrap_or(u32::MAX);
        Origin { line: self.line.saturating_add(line), ..self.place() }
    }

    /// Reads the leaves.
    pub(crate) fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::with_capacity(self.len());
        self.visit(|index, value| {
            let value = match value {
                Ok(scalar) => scalar.value(),
                Err(same) => same.clone(),
            };
            leaves.push(Leaf { path: self.path(index).clone(), value, origin: self.origin(index) });
        });
        leaves
    }

    /// Visits the leaves in the order of their paths: what is written, or what all entries of the template have.
    pub(crate) fn visit<'s>(&'s self, mut visit: impl FnMut(usize, Result<Scalar<'s>, &'s Option<Value>>)) {
        let text = self.template.source.text();
        let mut values = vec![""; self.template.lines.len() + 1];
        let mut at = end_of_line(text, self.start as usize);
        for (value, line) in values[1..].iter_mut().zip(&self.template.lines) {
            match line {
                Line::Same(line) => at = after(text, at, line).unwrap_or(text.len()),
                Line::Value(before) => {
                    let end = end_of_line(text, at);
                    *value = without_break(&text[at + before.len()..end]);
                    at = end;
                }
            }
        }
        for (index, slot) in self.template.slots.iter().enumerate() {
            let value = match &slot.content {
                Content::Own => Ok(scalar::scalar(values[slot.line]).expect("it was found to be of the template")),
                Content::Same(value) => Err(value),
            };
            visit(index, value);
        }
    }

    /// Returns what the leaves of a section take at most, as the hub counts, if each had all of its path's keys for itself.
    pub(crate) fn most_bytes(&self, section: Section) -> Option<usize> {
        let mut bytes = Some(0);
        self.visit(|index, value| {
            let path = self.path(index);
            if path.section() == section {
                let value = match value {
                    Ok(Scalar::Text(text)) => Some(text.len()),
                    Ok(_) => Some(0),
                    Err(same) => leaf::text_bytes(same.as_ref()),
                };
                bytes = bytes.zip(value).map(|(bytes, value)| bytes + leaf::NUMBER_BYTES + path.as_str().len() + value);
            }
        });
        bytes
    }
}

/// Finds a device's name at the start of a text, with or without quotes, and a colon after it.
fn name_at(text: &str) -> Option<(&str, Option<char>)> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''));
    let rest = &text[quote.map_or(0, char::len_utf8)..];
    let length = rest.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')))?;
    let (name, after) = rest.split_at(length);
    let after = match quote {
        Some(quote) => after.strip_prefix(quote)?,
        None => after,
    };
    (scalar::is_key(name) && after.starts_with(':')).then_some((name, quote))
}

/// Returns what stands after a key, when the line has just that.
fn value_after<'t>(line: &'t str, key: &str) -> Option<&'t str> {
    let value = line.trim_start_matches(' ').strip_prefix(key)?.strip_prefix(": ")?;
    (scalar::is_key(key) && scalar::is_text(key)).then_some(value)
}

/// Returns the offset of the next line, when just this stands there on the line.
fn after(text: &str, at: usize, line: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let end = at + line.len();
    if !bytes[at..].starts_with(line.as_bytes()) {
        return None;
    }
    match bytes.get(end..)? {
        [] => Some(end),
        [b'\n', ..] => Some(end + 1),
        [b'\r', b'\n', ..] => Some(end + 2),
        _ => None,
    }
}

/// Returns the offset of the line after that of an offset.
pub(crate) fn end_of_line(text: &str, at: usize) -> usize {
    text.as_bytes()[at..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |length| at + length + 1)
}

fn without_break(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

pub(crate) fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Says whether a line says nothing: a comment, or not even that.
pub(crate) fn is_blank(line: &str) -> bool {
    let line = line.trim_start_matches(' ').trim_end_matches(['\n', '\r']);
    line.is_empty() || line.starts_with('#')
}
