//! Asks `twin::limits` what the hub would refuse, and points at it.

use crate::manifest::text::node::{Kind, Node, to_json};
use crate::manifest::text::source::File;
use crate::manifest::text::traps;
use iothub_model::diagnostic::{Diagnostic, Span};
use iothub_model::twin::limits::{
    DEPTH_MAX, INTEGER_MAX, INTEGER_MIN, KEY_MAX_BYTES, Rule, STRING_MAX_BYTES, Violation, check_values,
};
use iothub_model::twin::{Section, TwinPath};

/// The key under which fleets keep their records in the tags.
pub(crate) const RECORD_KEY: &str = "twinctl";

/// Checks a section of one layer where it is written: all but its size, which only the layers together have.
pub(crate) fn section(file: &File, section: Section, node: &Node, found: &mut Vec<Diagnostic>) -> bool {
    let before = found.len();
    if let (Section::Tags, Kind::Mapping(entries)) = (section, &node.kind) {
        for (key, _) in entries.iter().filter(|(key, _)| key.name == RECORD_KEY) {
            found.push(
                Diagnostic::error("`tags.twinctl` may not be declared")
                    .at(&file.source, key.span, "where fleets keep their ownership records")
                    .help("take another name"),
            );
        }
    }
    if !is_ordinary(&node.kind, 0)
        && let serde_json::Value::Object(root) = to_json(&node.kind)
    {
        found.extend(check_values(&root).into_iter().map(|violation| explain(file, section, node, &violation)));
    }
    if found.len() > before {
        return false;
    }
    warn_of_nothing(file, node, found);
    traps::warn(file, node, found);
    true
}

/// Says of what most manifests have that no limit is near, so that it need not be turned into JSON to be looked at.
fn is_ordinary(kind: &Kind, depth: usize) -> bool {
    let is_plain = |name: &str| {
        name.len() <= KEY_MAX_BYTES && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    match kind {
        Kind::Nothing | Kind::Null | Kind::Bool(_) => true,
        Kind::Number(number) => {
            number.is_f64() || number.as_i64().is_some_and(|it| (INTEGER_MIN..=INTEGER_MAX).contains(&it))
        }
        Kind::Text(text) => text.value.len() <= STRING_MAX_BYTES,
        Kind::List(_) | Kind::Taken(_) => false,
        Kind::Mapping(entries) => {
            depth < DEPTH_MAX
                && entries.iter().all(|(key, value)| is_plain(&key.name) && is_ordinary(&value.kind, depth + 1))
        }
    }
}

/// A key without a value is a declared absence, which may not be what its author meant.
fn warn_of_nothing(file: &File, node: &Node, found: &mut Vec<Diagnostic>) {
    let Kind::Mapping(entries) = &node.kind else { return };
    for (key, value) in entries {
        if matches!(value.kind, Kind::Nothing) {
            let name = cut(&key.name);
            found.push(
                Diagnostic::warning(format!("`{name}` has no value, and so is declared absent"))
                    .at(&file.source, key.span, "nothing after the colon")
                    .help(format!("write `{name}: null` when it must be absent")),
            );
        }
        warn_of_nothing(file, value, found);
    }
}

fn explain(file: &File, section: Section, root: &Node, violation: &Violation) -> Diagnostic {
    let place = find(file, root, &violation.keys);
    let about_key = matches!(violation.rule, Rule::KeyLength { .. } | Rule::KeyCharacter { .. } | Rule::Depth);
    let span = if about_key { place.key } else { place.value };
    let message = match &violation.rule {
        Rule::IntegerRange { .. } if place.secret => {
            "a reference's value is outside the hub's range for integers".to_owned()
        }
        rule => rule.to_string(),
    };
    let dotted = || {
        let keys = violation.keys.iter().map(|key| cut(key)).collect::<Vec<_>>();
        format!("{}.{}", TwinPath::section_root(section), keys.join("."))
    };
    let label = match &violation.rule {
        Rule::KeyLength { .. } | Rule::KeyCharacter { .. } => format!("a key in {section}"),
        Rule::Depth => format!("level {} of {section}", violation.keys.len()),
        Rule::StringLength { .. } | Rule::IntegerRange { .. } | Rule::NullValue | Rule::SectionSize { .. } => dotted(),
    };
    let diagnostic = Diagnostic::error(message).at(&file.source, span, label);
    match &violation.rule {
        Rule::KeyCharacter { found: '.' } => {
            let key = violation.keys.last().map_or("", String::as_str);
            let nested: Vec<_> = key.split('.').collect();
            if nested.len() <= 4 && nested.iter().all(|part| !part.is_empty()) && key.len() < 60 {
                let example = nested.iter().rev().fold("…".to_owned(), |inner, part| match inner.as_str() {
                    "…" => format!("{part}: …"),
                    _ => format!("{part}: {{ {inner} }}"),
                });
                diagnostic.help(format!("nest the keys: `{example}`"))
            } else {
                diagnostic.help("nest the keys, one object in another")
            }
        }
        Rule::IntegerRange { .. } if place.secret => diagnostic,
        Rule::IntegerRange { .. } => diagnostic.help("quote it to send it as a text"),
        Rule::NullValue => diagnostic.help("an array is replaced whole: leave the item out"),
        Rule::StringLength { .. } => {
            diagnostic.help("split it over several properties, or keep it in a file and declare where that is")
        }
        Rule::KeyCharacter { .. } | Rule::KeyLength { .. } | Rule::Depth | Rule::SectionSize { .. } => diagnostic,
    }
}

/// A text short enough for a message.
fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

struct ViolationPlace {
    key: Span,
    value: Span,
    /// The value came by a reference, perhaps from the environment.
    secret: bool,
}

/// Walks down to the place of a violation.
fn find(file: &File, root: &Node, keys: &[String]) -> ViolationPlace {
    let (mut node, mut key) = (root, root.span);
    for name in keys {
        let next = match &node.kind {
            Kind::Mapping(entries) => {
                entries.iter().rfind(|(key, _)| key.name == *name).map(|(key, value)| (key.span, value))
            }
            Kind::List(items) => {
                name.parse::<usize>().ok().and_then(|index| items.get(index)).map(|item| (item.span, item))
            }
            _ => None,
        };
        let Some(next) = next else { break };
        (key, node) = next;
    }
    let value = if node.span.start == node.span.end { key } else { node.span };
    let secret = file.slice(node.span).contains("${");
    ViolationPlace { key, value, secret }
}
