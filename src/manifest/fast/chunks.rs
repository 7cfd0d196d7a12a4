//! Reads a manifest in pieces: each entry under `devices` by itself, and the rest without them.
//!
//! Whatever goes on from an entry's line in a block mapping is indented deeper, so that a line indented as the entries are starts the next
//! one. Where that is so for certain, entries that are written alike need no parser ([`EntryTemplate`]), and of the others one tree at a time is
//! there. Anything that is odd or wrong, or reaches from one piece into another, leaves the file to [`yaml::parse`], which reads
//! it whole: messages are its own.

use std::collections::HashSet;
use std::sync::Arc;

use crate::manifest::entry::template::{EntryTemplate, end_of_line, indentation, is_blank, trap};
use crate::manifest::entry::{Entry, TakenEntry};
use crate::manifest::fast::streaming::Early;
use crate::manifest::text::node::{Key, Kind, Node};
use crate::manifest::text::source::File;
use crate::manifest::text::{syntax, yaml};
use iothub_model::diagnostic::Span;

/// Templates that are tried on an entry; a fleet of more has little to gain.
const TEMPLATES_MAX: usize = 16;

/// Entries that may be learned from in vain, and as many more as there were of the templates that were learned.
const LEARNED_MAX: usize = 64;

/// Reads a file's one document. Nothing means that the file is to be read whole; what `early` has heard is then worth nothing.
pub(crate) fn parse(file: &File, early: &mut Early<'_>) -> Option<Node> {
    let text = file.source.text();
    let (devices, start) = devices(text).filter(|_| syntax::unprintable(file).is_none())?;
    let Pieces { parts, first, end } = entries(file, start, early)?;
    let outline = [&text[..start], &text[end..]].concat();
    let mut found = Vec::new();
    let mut root =
        yaml::parse_piece(file, &outline, yaml::Piece { start: 0, cut: Some((start, end)), depth: 0 }, &mut found)?;
    let Kind::Mapping(members) = &mut root.kind else { return None };
    // The line might stand inside of a text.
    let (_, node) = members.iter_mut().find(|(key, _)| key.name == "devices" && key.span.start == devices)?;
    if !matches!(node.kind, Kind::Nothing) || !found.is_empty() {
        return None;
    }
    let last = parts.last().map_or(first, TakenEntry::end);
    *node = Node { span: Span::new(first, last.max(first)), kind: Kind::Taken(Some(0)) };
    early.taken = parts;
    root.span.end = root.span.end.max(last);
    Some(root)
}

/// Finds the offsets of `devices:` and of the line after it.
fn devices(text: &str) -> Option<(usize, usize)> {
    const KEY: &str = "devices:";
    let at = if text.starts_with(KEY) { 0 } else { text.find("\ndevices:")? + 1 };
    let end = end_of_line(text, at);
    let rest = &text[at + KEY.len()..end];
    let says_nothing = is_blank(rest) && !rest.starts_with('#');
    (says_nothing && text[..end].ends_with('\n')).then_some((at, end))
}

struct Pieces {
    parts: Vec<TakenEntry>,
    /// The offset of the first one's name.
    first: usize,
    /// The offset of the first line that is no entry's.
    end: usize,
}

fn entries(file: &File, start: usize, early: &mut Early<'_>) -> Option<Pieces> {
    let text = file.source.text();
    let mut at = start;
    let mut line = file.line(start);
    // Lines between entries that say nothing.
    let skip = |mut at: usize, mut line: u32| {
        while at < text.len() {
            let end = end_of_line(text, at);
            if !is_blank(&text[at..end]) {
                break;
            }
            (at, line) = (end, line + 1);
        }
        (at, line)
    };
    (at, line) = skip(at, line);
    let indent = indentation(&text[at..]);
    let mut pieces = Pieces { parts: Vec::new(), first: at + indent, end: at };
    let mut templates: Vec<Arc<EntryTemplate>> = Vec::new();
    let (mut learned, mut alike) = (0, 0);
    let mut ascends = true;
    while at < text.len() {
        match indentation(&text[at..]) {
            0 => break,
            here if here != indent => return None,
            _ => {}
        }
        if !text.as_bytes()[at + indent].is_ascii_alphanumeric() && !text[at + indent..].starts_with(['"', '\'']) {
            return None;
        }
        let known = templates
            .iter()
            .enumerate()
            .find_map(|(index, template)| Some((index, EntryTemplate::find(template, at, line)?)));
        let known = known.and_then(|(index, found)| {
            // Something may go on below the last line of the template.
            let (next, next_line) = skip(found.end, line + u32::try_from(found.lines).ok()?);
            (next >= text.len() || indentation(&text[next..]) <= indent).then_some((index, found, next, next_line))
        });
        let part = if let Some((index, found, next, next_line)) = known {
            alike += 1;
            templates.swap(0, index);
            early.warn(&found.traps, |span| trap(file, span));
            (at, line) = (next, next_line);
            TakenEntry::Read(Entry::Text(found.entry))
        } else {
            let (end, end_line) = piece(text, at, line, indent);
            let mut problems = Vec::new();
            let piece = yaml::Piece { start: at, cut: None, depth: 1 };
            let root = yaml::parse_piece(file, &text[at..end], piece, &mut problems)?;
            let Kind::Mapping(members) = root.kind else { return None };
            let [(key, node)]: [(Key, Node); 1] = members.try_into().ok()?;
            if !problems.is_empty() {
                return None;
            }
            let span = node.span;
            let (part, found) = early.part(key, node);
            if found.iter().any(iothub_model::diagnostic::Diagnostic::is_error) {
                return None;
            }
            let mut part = part?;
            if let TakenEntry::Read(Entry::Parsed(read)) = &mut part {
                read.end = span.end;
                if learned < alike + LEARNED_MAX {
                    learned += 1;
                    templates.splice(0..0, EntryTemplate::learn(file, at..end, line, read, &found));
                    templates.truncate(TEMPLATES_MAX);
                }
            }
            early.add(found);
            (at, line) = (end, end_line);
            part
        };
        ascends &= pieces.parts.last().is_none_or(|last| last.name() < part.name());
        pieces.parts.push(part);
        pieces.end = at;
    }
    if pieces.parts.is_empty() {
        return None;
    }
    if !ascends {
        let mut names = HashSet::with_capacity(pieces.parts.len());
        if !pieces.parts.iter().all(|part| names.insert(part.name())) {
            return None;
        }
    }
    pieces.parts.shrink_to_fit();
    pieces.end = at;
    Some(pieces)
}

/// Returns the offset and the line at which the next entry starts, or whatever follows the last one.
fn piece(text: &str, at: usize, line: u32, indent: usize) -> (usize, u32) {
    let (mut at, mut line) = (end_of_line(text, at), line + 1);
    while at < text.len() {
        let end = end_of_line(text, at);
        let written = &text[at..end];
        if !is_blank(written) && indentation(written) <= indent {
            break;
        }
        (at, line) = (end, line + 1);
    }
    (at, line)
}
