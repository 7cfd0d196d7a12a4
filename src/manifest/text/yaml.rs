//! A YAML tree in which every key and every value knows where it stands.
//!
//! Plain scalars are what serde_yaml makes of them (YAML 1.2's core schema). What a manifest has no use for is refused here:
//! tags, merge keys, keys that are no text, keys twice, several documents. [`parse`] finds all of it in one pass, except that a
//! syntax error ends the file.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::manifest::text::node::{Key, Kind, Node, Text, TextOrigin, Unfit, resolve, text_weight};
use crate::manifest::text::source::File;
use crate::manifest::text::surrogates::{Lone, Whole};
use crate::manifest::text::{odd, syntax};
use iothub_model::diagnostic::{Diagnostic, Span};
use iothub_model::twin::limits::{INTEGER_MAX, INTEGER_MIN};

/// How deep values may nest. The hub takes ten levels; this is only to keep what walks the tree off the end of its stack.
const DEPTH_MAX: usize = 64;

/// How much aliases may make of a file: so many times the file's own weight, but within the two bounds.
const ALIAS_FACTOR: usize = 10;
const ALIAS_FLOOR: usize = 10_000;
const ALIAS_CEILING: usize = 2_000_000;

/// Odd characters of one file that are told.
const PASTED_MAX: usize = 100;

/// Is shown each entry of one mapping at the top once it is parsed, and may take it: of a hundred thousand entries the trees are then never
/// all there at once.
pub(crate) struct EntryHook<'h> {
    /// The mapping's key.
    pub(crate) under: &'static str,
    /// Returns what stays in the tree.
    pub(crate) take: &'h mut dyn FnMut(&Key, Node) -> Node,
}

/// Reads a file's one document; nothing when the file is empty, or has a syntax error.
pub(crate) fn parse(file: &File, found: &mut Vec<Diagnostic>) -> Option<Node> {
    parse_whole(file, found, None)
}

/// Does the same, while entries are taken.
pub(crate) fn parse_taking(file: &File, found: &mut Vec<Diagnostic>, hook: EntryHook<'_>) -> Option<Node> {
    parse_whole(file, found, Some(hook))
}

fn parse_whole(file: &File, found: &mut Vec<Diagnostic>, hook: Option<EntryHook<'_>>) -> Option<Node> {
    if let Some(diagnostic) = syntax::unprintable(file) {
        found.push(diagnostic);
        return None;
    }
    build(file, file.source.text(), Piece { start: 0, cut: None, depth: 0 }, found, hook)
}

/// Where a part of a file stands.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    /// The offset of its first byte.
    pub(crate) start: usize,
    /// What was left out of it: from one offset to another.
    pub(crate) cut: Option<(usize, usize)>,
    /// How deep it stands.
    pub(crate) depth: usize,
}

/// Reads a part of a file that is a document by itself. Nothing means that it has a syntax error, or that something is not as it would be
/// in the whole of the file.
pub(crate) fn parse_piece(file: &File, text: &str, piece: Piece, found: &mut Vec<Diagnostic>) -> Option<Node> {
    build(file, text, piece, found, None)
}

fn build(
    file: &File,
    text: &str,
    piece: Piece,
    found: &mut Vec<Diagnostic>,
    hook: Option<EntryHook<'_>>,
) -> Option<Node> {
    let whole = Whole::of(text);
    let text = &*whole.text;
    let offsets = Offsets::of(text, piece);
    let mut building = Building {
        file,
        whole: &whole,
        is_part: text.len() < file.source.text().len(),
        depth: piece.depth,
        found,
        hook,
        stack: Vec::new(),
        anchors: HashMap::new(),
        budget: None,
        root: None,
        document: Span::default(),
        pasted: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                let span = offsets.span(span);
                if building.event(event, span).is_break() {
                    return None;
                }
            }
            Err(_) if building.is_part => return None,
            Err(error) => {
                let at = offsets.byte(error.marker().index());
                let diagnostic = syntax::explain(file, &error, at);
                building.found.push(diagnostic);
                return None;
            }
        }
    }
    if let Some(more @ 1..) = building.pasted.checked_sub(PASTED_MAX) {
        let message = format!("{more} more places with odd characters in `{}` are not shown", file.name);
        building.found.push(Diagnostic::warning(message));
    }
    building.root
}

/// Turns the parser's counts of characters into bytes.
struct Offsets<'t> {
    text: &'t str,
    piece: Piece,
    /// The byte offset of every [`STRIDE`]th character; empty for ASCII, where the two are one.
    marks: Vec<usize>,
}

const STRIDE: usize = 128;

impl<'t> Offsets<'t> {
    fn of(text: &'t str, piece: Piece) -> Self {
        let marks = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().step_by(STRIDE).map(|(offset, _)| offset).collect(),
        };
        Self { text, piece, marks }
    }

    fn byte(&self, index: usize) -> usize {
        if self.marks.is_empty() {
            return index.min(self.text.len());
        }
        let Some(&start) = self.marks.get(index / STRIDE) else { return self.text.len() };
        let rest = &self.text[start..];
        rest.char_indices().nth(index % STRIDE).map_or(self.text.len(), |(offset, _)| start + offset)
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let Piece { start: first, cut, depth: _ } = self.piece;
        let (start, end) = (first + self.byte(span.start.index()), first + self.byte(span.end.index()));
        let (from, left_out) = cut.map_or((usize::MAX, 0), |(from, to)| (from, to - from));
        let start = if start >= from { start + left_out } else { start };
        let end = if end > from { end + left_out } else { end };
        Span::new(start, end.max(start))
    }
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    start: Span,
    /// Whether it is written in brackets, and so has an end of its own.
    bracketed: bool,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, key: Pending },
}

/// A mapping's key that waits for its value.
enum Pending {
    None,
    Key(Key),
    /// It was refused already; its value is read and dropped.
    Refused,
}

struct Building<'a, 'h> {
    file: &'a File,
    /// The text that is parsed.
    whole: &'a Whole<'a>,
    /// Whether the file has more than this.
    is_part: bool,
    depth: usize,
    found: &'a mut Vec<Diagnostic>,
    hook: Option<EntryHook<'h>>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    /// What aliases may still add; counted when the first one is met.
    budget: Option<usize>,
    /// The first document with something in it.
    root: Option<Node>,
    /// Where the document starts that is read.
    document: Span,
    /// How many odd characters were found.
    pasted: usize,
}

type Flow = std::ops::ControlFlow<()>;

impl Building<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Flow {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => self.document = span,
            // An empty document, as after a `---` at the end, is none.
            Event::Scalar(value, ScalarStyle::Plain, 0, None) if self.stack.is_empty() && value.is_empty() => {}
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_)
                if self.stack.is_empty() && self.root.is_some() =>
            {
                self.found.push(
                    self.error("several documents in one file", self.document, "a second one starts here")
                        .help("put each into a file of its own in one folder; they make one fleet"),
                );
                self.root = None;
                return Flow::Break(());
            }
            Event::Scalar(value, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let node = self.scalar(value, style, span);
                self.complete(node, anchor, style);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                return self.open(Items::List(Vec::new()), anchor, span);
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                return self.open(Items::Mapping { entries: Vec::new(), key: Pending::None }, anchor, span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => return self.alias(id, span),
        }
        Flow::Continue(())
    }

    fn error(&self, message: impl Into<String>, span: Span, label: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(&self.file.source, span, label)
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if !tagged {
            return;
        }
        let written = self.file.slice(span);
        let length = written.find(char::is_whitespace).unwrap_or(written.len());
        let tag = &written[..length];
        let diagnostic = self
            .error(
                format!("the tag `{tag}` is not supported"),
                Span::new(span.start, span.start + length),
                "a YAML tag",
            )
            .help("write the value alone; quote it where it should be a text");
        self.found.push(diagnostic);
    }

    /// Takes anchor and tag off the front of a scalar's place.
    fn without_properties(&self, span: Span) -> Span {
        let mut rest = self.file.slice(span);
        while rest.starts_with(['&', '!']) {
            rest = rest.trim_start_matches(|c: char| !c.is_whitespace()).trim_start();
        }
        Span::new(span.end - rest.len(), span.end)
    }

    fn scalar(&mut self, value: Cow<'_, str>, style: ScalarStyle, span: Span) -> Node {
        let span = if value.is_empty() && style == ScalarStyle::Plain { span } else { self.without_properties(span) };
        let restored = self.whole.restore(value, self.file.slice(span), style == ScalarStyle::DoubleQuoted);
        let value = &*restored.unwrap_or_else(|Lone(place)| {
            let place = Span::new(span.start + place.start, span.start + place.end);
            let written = self.file.slice(place);
            let diagnostic = self
                .error(format!("`{written}` is half of a character"), place, "its other half is not here")
                .help("write both halves, as in `\\ud83d\\ude00`, or the character itself");
            self.found.push(diagnostic);
            Cow::Borrowed("")
        });
        if style != ScalarStyle::Plain {
            let quoted = Span::new(span.start + 1, span.end.saturating_sub(1).max(span.start + 1));
            let written = match style {
                ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted if self.file.slice(quoted) == value => {
                    TextOrigin::Verbatim(quoted.start)
                }
                _ => TextOrigin::Folded,
            };
            // The parser ends a block with a line break even where the file ends without one.
            let text = self.file.source.text();
            let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
            let unended = is_block && span.end >= text.len() && !text.ends_with(['\n', '\r']);
            let value = value.strip_suffix('\n').filter(|_| unended).unwrap_or(value);
            // A block scalar's span runs on into the line after it.
            let span = Span::new(span.start, span.start + self.file.slice(span).trim_end().len());
            return Node { span, kind: Kind::Text(Text { value: value.to_owned(), written }) };
        }
        if value.is_empty() {
            return Node { span: Span::new(span.start, span.start), kind: Kind::Nothing };
        }
        let kind = match resolve(value) {
            Ok(Kind::Text(Text { value, .. })) => {
                let written =
                    if self.file.slice(span) == value { TextOrigin::Verbatim(span.start) } else { TextOrigin::Folded };
                Kind::Text(Text { value, written })
            }
            Ok(kind) => kind,
            Err(problem) => {
                let diagnostic = match problem {
                    Unfit::NotFinite => self
                        .error(format!("`{value}` is not a number that JSON has"), span, "neither a twin nor a check can hold it")
                        .help(format!("quote it where it should be a text: \"{value}\"")),
                    Unfit::OutOfRange => self
                        .error(
                            format!("{value} is outside the hub's range for integers, {INTEGER_MIN} to {INTEGER_MAX} (52 bits)"),
                            span,
                            "too large a number",
                        )
                        .help(format!("quote it to send it as a text: \"{value}\"")),
                };
                self.found.push(diagnostic);
                Kind::Number(0.into())
            }
        };
        Node { span, kind }
    }

    fn open(&mut self, items: Items, anchor: usize, span: Span) -> Flow {
        if self.depth + self.stack.len() >= DEPTH_MAX {
            let diagnostic = self.error(
                format!("nested deeper than {DEPTH_MAX} levels"),
                span,
                "the hub takes ten levels in tags and in desired properties",
            );
            self.found.push(diagnostic);
            return Flow::Break(());
        }
        let bracketed = self.file.slice(span).ends_with(['[', '{']);
        self.stack.push(Open { anchor, start: span, bracketed, items });
        Flow::Continue(())
    }

    fn close(&mut self, end: Span) {
        let Some(open) = self.stack.pop() else { return };
        let last = |fallback: Span, inner: Option<Span>| match (open.bracketed, inner) {
            (true, _) => fallback.to(end),
            (false, Some(inner)) => {
                fallback.to(Span::new(inner.start.max(fallback.start), inner.end.max(fallback.start)))
            }
            (false, None) => fallback,
        };
        let node = match open.items {
            Items::List(items) => {
                Node { span: last(open.start, items.last().map(|item| item.span)), kind: Kind::List(items) }
            }
            Items::Mapping { mut entries, .. } => {
                let inner = entries.last().map(|(key, value)| key.span.to(value.span));
                self.refuse_duplicates(&mut entries);
                Node { span: last(open.start, inner), kind: Kind::Mapping(entries) }
            }
        };
        self.complete(node, open.anchor, ScalarStyle::DoubleQuoted);
    }

    /// Refuses keys that are there twice, and takes them out: whatever reads the mapping may rely on each being there once.
    fn refuse_duplicates(&mut self, entries: &mut Vec<(Key, Node)>) {
        // Most mappings are small, and few of the large ones are out of order.
        let is_new = |at: usize| entries[..at].iter().all(|(key, _)| key.name != entries[at].0.name);
        let ascends = || entries.windows(2).all(|pair| pair[0].0.name < pair[1].0.name);
        if (entries.len() <= 12 && (1..entries.len()).all(is_new)) || ascends() {
            return;
        }
        let mut order: Vec<_> = (0..entries.len()).collect();
        order.sort_by(|&a, &b| entries[a].0.name.cmp(&entries[b].0.name).then(a.cmp(&b)));
        let mut again = vec![false; entries.len()];
        for pair in order.windows(2) {
            let [(first, _), (second, _)] = [&entries[pair[0]], &entries[pair[1]]];
            if first.name == second.name {
                let diagnostic = self
                    .error(format!("the key `{}` is there twice", second.name.escape_debug()), second.span, "once more")
                    .at(&self.file.source, first.span, "first here");
                self.found.push(diagnostic);
                again[pair[1]] = true;
            }
        }
        let mut again = again.into_iter();
        entries.retain(|_| !again.next().unwrap_or(false));
    }

    fn alias(&mut self, id: usize, span: Span) -> Flow {
        if self.is_part {
            return Flow::Break(());
        }
        let Some(node) = self.anchors.get(&id) else {
            let name = self.file.slice(span);
            let diagnostic = self.error(
                format!("the alias `{name}` stands inside the value that it repeats"),
                span,
                "would never end",
            );
            self.found.push(diagnostic);
            return Flow::Break(());
        };
        let weight = node.weight();
        let budget = *self.budget.get_or_insert_with(|| {
            let own = own_weight(self.file.source.text());
            (own * ALIAS_FACTOR).clamp(ALIAS_FLOOR, ALIAS_CEILING)
        });
        let Some(left) = budget.checked_sub(weight) else {
            let diagnostic = self
                .error("aliases repeat too much", span, "more than ten times what the file itself holds")
                .help("put what devices share into groups");
            self.found.push(diagnostic);
            return Flow::Break(());
        };
        self.budget = Some(left);
        let mut node = node.clone();
        // As a key, the alias is where the key is.
        if matches!(self.stack.last(), Some(Open { items: Items::Mapping { key: Pending::None, .. }, .. })) {
            node.span = span;
        }
        self.complete(node, 0, ScalarStyle::DoubleQuoted);
        Flow::Continue(())
    }

    /// Puts a finished value where it belongs. What is no scalar counts as quoted.
    fn complete(&mut self, node: Node, anchor: usize, style: ScalarStyle) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let is_plain = style == ScalarStyle::Plain;
        let is_key = matches!(self.stack.last(), Some(Open { items: Items::Mapping { key: Pending::None, .. }, .. }));
        if let Kind::Text(Text { value, written: TextOrigin::Verbatim(_) }) = &node.kind {
            let pasted = match is_key {
                true => odd::in_key(self.file, node.span, value),
                false => odd::in_value(self.file, node.span, value, is_plain),
            };
            self.pasted += usize::from(pasted.is_some());
            self.found.extend(pasted.filter(|_| self.pasted <= PASTED_MAX));
        }
        let is_offered = self.is_offered();
        match self.stack.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Mapping { entries, key }) => match std::mem::replace(key, Pending::None) {
                Pending::Key(key) => {
                    let node = match &mut self.hook {
                        Some(hook) if is_offered => (hook.take)(&key, node),
                        _ => node,
                    };
                    entries.push((key, node));
                }
                Pending::Refused => {}
                Pending::None => {
                    let pending = self.key(node, is_plain);
                    if let Some(Open { items: Items::Mapping { key, .. }, .. }) = self.stack.last_mut() {
                        *key = pending;
                    }
                }
            },
        }
    }

    /// Says whether the mapping that is read is the one whose entries may be taken, and will not be repeated elsewhere.
    fn is_offered(&self) -> bool {
        let Some(hook) = &self.hook else { return false };
        let [Open { anchor: 0, items: Items::Mapping { key: Pending::Key(key), .. }, .. }, inner] =
            self.stack.as_slice()
        else {
            return false;
        };
        inner.anchor == 0 && key.name == hook.under
    }

    fn key(&mut self, node: Node, plain: bool) -> Pending {
        let span = node.span;
        let diagnostic = match node.kind {
            Kind::Text(text) if plain && text.value == "<<" => self
                .error("merge keys (`<<`) are not supported", span, "merges another mapping into this one")
                .help("put what is shared into a group, and name the group under `groups` of each device"),
            Kind::Text(text) => return Pending::Key(Key { name: text.value, span }),
            Kind::List(_) | Kind::Mapping(_) | Kind::Taken(_) => self
                .error(format!("a key must be a text, and this one is {}", node.kind.name()), span, "not a text")
                .help("quote a name that starts with `{` or `[`: \"{1..3}-press\""),
            Kind::Nothing => self.error("a key is missing", span, "nothing before the colon"),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {
                let written = self.file.slice(span);
                self.error(format!("a key must be a text, and `{written}` is {}", node.kind.name()), span, "not a text")
                    .help(format!("quote it: \"{written}\""))
            }
        };
        self.found.push(diagnostic);
        Pending::Refused
    }
}

/// The weight of a file without what its aliases repeat.
fn own_weight(text: &str) -> usize {
    let mut parser = Parser::new_from_str(text);
    let mut weight = 0;
    while let Some(Ok((event, _))) = parser.next_event() {
        weight += match event {
            Event::Scalar(value, ..) => text_weight(&value),
            Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_) => 1,
            _ => 0,
        };
    }
    weight
}
