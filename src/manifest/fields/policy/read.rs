//! Reads what one file says about enforcement: `exact`, `sensitive`, `limits`, `moved`, `released`, `rollout`.

use std::time::Duration;

use serde_json::Value;

use crate::manifest::fields::policy::{Amount, OnFailure};
use crate::manifest::fields::reader::{Field, Reader, Table, is_secret, shown};
use crate::manifest::text::node::{Key, Kind, Node, Spanned, Text};
use crate::manifest::validate::RECORD_KEY;
use iothub_model::diagnostic::{Diagnostic, Span, nearest};
use iothub_model::twin::limits::check_values;
use iothub_model::twin::{Object, Section, TwinPath};

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct WrittenPolicy {
    pub(crate) exact: Vec<Spanned<TwinPath>>,
    pub(crate) sensitive: Vec<Spanned<TwinPath>>,
    pub(crate) released: Vec<Spanned<TwinPath>>,
    pub(crate) moved: Vec<Rename>,
    pub(crate) limits: WrittenLimits,
    pub(crate) rollout: WrittenRollout,
}

/// An entry under `moved`.
#[derive(Debug)]
pub(crate) struct Rename {
    pub(crate) from: Spanned<TwinPath>,
    pub(crate) to: Spanned<TwinPath>,
}

#[derive(Debug, Default)]
pub(crate) struct WrittenLimits {
    pub(crate) max_changed: Option<Spanned<Amount>>,
    pub(crate) max_removed_keys: Option<Spanned<u64>>,
    pub(crate) min_population: Option<Spanned<u64>>,
}

#[derive(Debug, Default)]
pub(crate) struct WrittenRollout {
    pub(crate) waves: Option<Spanned<Vec<Amount>>>,
    pub(crate) pause: Option<Spanned<Duration>>,
    pub(crate) max_failed: Option<Spanned<u64>>,
    pub(crate) on_failure: Option<Spanned<OnFailure>>,
}

pub(crate) const LIMITS: Table<WrittenLimits> = Table {
    what: "`limits`",
    fields: &[
        Field {
            name: "max_changed",
            read: |reader, limits, key, node| limits.max_changed = amount(reader, &quoted(&key), &key, &node),
        },
        Field {
            name: "max_removed_keys",
            read: |reader, limits, key, node| limits.max_removed_keys = reader.count(&key, &node),
        },
        Field {
            name: "min_population",
            read: |reader, limits, key, node| limits.min_population = reader.count(&key, &node),
        },
    ],
    misplaced: &[("max_failed", "put it under `rollout`")],
};

pub(crate) const ROLLOUT: Table<WrittenRollout> = Table {
    what: "`rollout`",
    fields: &[
        Field { name: "waves", read: waves },
        Field {
            name: "pause",
            read: |reader, rollout, key, node| {
                rollout.pause = reader.duration(&key, node);
            },
        },
        Field { name: "max_failed", read: |reader, rollout, key, node| rollout.max_failed = reader.count(&key, &node) },
        Field {
            name: "on_failure",
            read: |reader, rollout, key, node| {
                let words = [("stop", OnFailure::Stop), ("rollback", OnFailure::Rollback)];
                rollout.on_failure = reader.one_of(&key, node, &words);
            },
        },
    ],
    misplaced: &[
        ("max_changed", "put it under `limits`"),
        ("gate", "a check that must hold between waves says `gate: true` itself"),
    ],
};

/// The two ends of a rename while they are read; `Some(None)` is one that is wrong.
#[derive(Default)]
pub(crate) struct Ends {
    from: Option<Option<Spanned<TwinPath>>>,
    to: Option<Option<Spanned<TwinPath>>>,
}

pub(crate) const MOVED: Table<Ends> = Table {
    what: "a rename",
    fields: &[
        Field { name: "from", read: |reader, ends, key, node| ends.from = Some(path(reader, &quoted(&key), node)) },
        Field { name: "to", read: |reader, ends, key, node| ends.to = Some(path(reader, &quoted(&key), node)) },
    ],
    misplaced: &[],
};

fn quoted(key: &Key) -> String {
    format!("`{}`", key.name)
}

pub(crate) fn limits(reader: &mut Reader<'_>, written: &mut WrittenPolicy, key: Key, node: Node) {
    let Some(entries) = reader.mapping(&key, node) else { return };
    reader.fields(&LIMITS, entries, &mut written.limits);
}

pub(crate) fn rollout(reader: &mut Reader<'_>, written: &mut WrittenPolicy, key: Key, node: Node) {
    let Some(entries) = reader.mapping(&key, node) else { return };
    reader.fields(&ROLLOUT, entries, &mut written.rollout);
    let WrittenRollout { waves, pause, max_failed, on_failure } = &written.rollout;
    let is_asked = waves.is_some()
        || pause.as_ref().is_some_and(|pause| !pause.value.is_zero())
        || max_failed.is_some()
        || on_failure.as_ref().is_some_and(|action| action.value != OnFailure::default());
    if is_asked {
        not_carried_out(reader, "`rollout`", key.span);
    }
}

/// Warns of what this version reads and does not carry out.
pub(crate) fn not_carried_out(reader: &mut Reader<'_>, what: &str, span: Span) {
    let diagnostic = Diagnostic::warning(format!("this version of twinctl does not carry out {what}"));
    let diagnostic = reader.at(diagnostic, span, "not carried out");
    reader.report(diagnostic.help(
        "`plan` and `apply` refuse this manifest; with --ignore-rollout they write all twins at once and run the checks at the end",
    ));
}

/// Reads a list of paths.
pub(crate) fn paths(reader: &mut Reader<'_>, key: &Key, node: Node) -> Vec<Spanned<TwinPath>> {
    let hint = match &node.kind {
        Kind::Text(text) if !is_secret(text) => format!("write `{}: [{}]`", key.name, text.value),
        _ => format!("as in `{}: [desired.telemetry]`", key.name),
    };
    let items = reader.list(key, node, "paths", &hint);
    items.into_iter().filter_map(|item| path(reader, "a path", item)).collect()
}

/// Reads a path to something in a twin, and checks its keys as the hub would.
fn path(reader: &mut Reader<'_>, what: &str, node: Node) -> Option<Spanned<TwinPath>> {
    let text = reader.text_of(what, node.span, node)?;
    match parse(&text.value) {
        Ok(value) => Some(Spanned { value, span: text.span }),
        Err((message, help)) => {
            let diagnostic = reader.error(message, text.span, "");
            let diagnostic = match help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            };
            reader.report(diagnostic);
            None
        }
    }
}

fn parse(text: &Text) -> Result<TwinPath, (String, Option<String>)> {
    let written = text.value.as_str();
    let shown = shown(text);
    let example = "as in `tags.location.plant` or `desired.telemetry.intervalSeconds`";
    let (head, rest) = written.split_once('.').unwrap_or((written, ""));
    let Ok(path) = written.parse::<TwinPath>() else {
        let secret = is_secret(text);
        let help = match (head, written.strip_prefix("properties.")) {
            _ if secret => format!("a path starts with `tags` or `desired`, {example}"),
            (_, Some(inner)) if inner.starts_with("desired") => format!("write `{inner}`"),
            ("properties" | "reported", _) => {
                "reported properties are the device's own, and nothing can declare them".to_owned()
            }
            _ => match nearest(head, ["tags", "desired"]) {
                Some(near) if rest.is_empty() => format!("did you mean `{near}`?"),
                Some(near) => format!("did you mean `{near}.{rest}`?"),
                None => format!("a path starts with `tags` or `desired`, {example}"),
            },
        };
        return Err((format!("{shown} is not a path"), Some(help)));
    };
    if path.keys().any(str::is_empty) {
        return Err((format!("{shown} is not a path: a key in it is empty"), Some(example.to_owned())));
    }
    if path.section() == Section::Tags && path.keys().next() == Some(RECORD_KEY) {
        let message = "nothing can be said about `tags.twinctl`, where fleets keep their ownership records";
        return Err((message.to_owned(), Some("take it off the list".to_owned())));
    }
    let mut root = Object::new();
    path.put(&mut root, Value::Bool(true));
    match check_values(&root).into_iter().next() {
        Some(violation) => Err((format!("{shown} leads nowhere: {}", violation.rule), None)),
        None => Ok(path),
    }
}

/// Reads `moved`.
pub(crate) fn moved(reader: &mut Reader<'_>, key: &Key, node: Node) -> Vec<Rename> {
    let hint = "write `moved: [{ from: desired.old, to: desired.new }]`";
    let items = reader.list(key, node, "renames", hint);
    items.into_iter().filter_map(|item| rename(reader, item)).collect()
}

fn rename(reader: &mut Reader<'_>, node: Node) -> Option<Rename> {
    let span = node.span;
    let Kind::Mapping(entries) = node.kind else {
        let diagnostic = reader
            .error(format!("a rename must be a mapping, and is {}", node.kind.name()), span, "")
            .help("write `{ from: desired.old, to: desired.new }`");
        reader.report(diagnostic);
        return None;
    };
    let mut ends = Ends::default();
    reader.fields(&MOVED, entries, &mut ends);
    let lacking = match (&ends.from, &ends.to) {
        (None, None) => Some("`from` and `to`"),
        (None, Some(_)) => Some("`from`"),
        (Some(_), None) => Some("`to`"),
        (Some(_), Some(_)) => None,
    };
    if let Some(lacking) = lacking {
        let head = Span::new(span.start, span.start);
        let diagnostic = reader.error(format!("a rename without {lacking}"), head, "this rename");
        reader.report(diagnostic.help("write `{ from: desired.old, to: desired.new }`"));
    }
    let (from, to) = (ends.from??, ends.to??);
    let problem = if from.value.section() != to.value.section() {
        Some((
            "a rename stays in its section",
            "tags and desired properties are different things to a device: declare the one and let the other go",
        ))
    } else if from.value == to.value {
        Some(("a rename of a path to itself", "take it out"))
    } else if from.value.overlaps(&to.value) {
        Some(("one end of a rename lies under the other", "rename to a path beside it"))
    } else if from.value.parent().is_none() || to.value.parent().is_none() {
        Some(("a section cannot be renamed", "as in `from: desired.old`"))
    } else {
        None
    };
    if let Some((message, help)) = problem {
        let diagnostic = reader.error(message, to.span, "to here");
        let diagnostic = reader.at(diagnostic, from.span, "from here").help(help);
        reader.report(diagnostic);
        return None;
    }
    Some(Rename { from, to })
}

/// Reads a number of twins, or a share of them.
fn amount(reader: &mut Reader<'_>, what: &str, key: &Key, node: &Node) -> Option<Spanned<Amount>> {
    let span = node.span;
    let example = "write a number of twins, or a share as in `10%`";
    let diagnostic = match &node.kind {
        Kind::Number(number) => match number.as_u64() {
            Some(count) => return Some(Spanned { value: Amount::Count(count), span }),
            None => {
                let shown = reader.shown_number(number, span);
                let is_shown = shown == number.to_string();
                let diagnostic =
                    reader.error(format!("{what} must be a whole number or a share, and is {shown}"), span, "");
                match number.as_f64().filter(|share| is_shown && *share > 0.0 && *share < 1.0) {
                    Some(share) => diagnostic.help(format!("a share is written `{}%`", share * 100.0)),
                    None => diagnostic.help(example),
                }
            }
        },
        Kind::Text(text) => match share(&text.value) {
            Some(percent) if percent > 0.0 && percent <= 100.0 => {
                return Some(Spanned { value: Amount::Percent(percent), span });
            }
            Some(_) => {
                reader.error(format!("{what} is {}, and a share is above 0% and up to 100%", shown(text)), span, "")
            }
            None if text.value.parse::<u64>().is_ok() && !is_secret(text) => reader
                .error(format!("{what} must be a number, and is a text"), span, "")
                .help(format!("write it without quotes: {}", text.value)),
            None => reader.error(format!("{} is not a number of twins", shown(text)), span, "").help(example),
        },
        _ => {
            let span = if span.start == span.end { key.span } else { span };
            let kind = node.kind.name();
            let message = format!("{what} must be a number or a share, and is {kind}");
            reader.error(message, span, format!("{kind} here")).help(example)
        }
    };
    reader.report(diagnostic);
    None
}

/// Reads a number in percent.
fn share(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    number.parse().ok().filter(|_| plain)
}

fn waves(reader: &mut Reader<'_>, rollout: &mut WrittenRollout, key: Key, node: Node) {
    let place = node.span;
    let items = reader.list(&key, node, "numbers of twins", "as in `waves: [1, 10%, 100%]`");
    let mut waves: Vec<Spanned<Amount>> = Vec::new();
    let mut whole = true;
    for item in items {
        let Some(wave) = amount(reader, "a wave", &key, &item) else {
            whole = false;
            continue;
        };
        // A number and a share are compared when the fleet is known, and the wave that adds nothing is passed over.
        let falls = waves.iter().rev().find(|earlier| !rises(earlier.value, wave.value));
        let problem = match (wave.value, falls) {
            (Amount::Count(0), _) => {
                Some(reader.error("a wave of no twin", wave.span, "").help("the first one may be 1"))
            }
            (_, Some(earlier)) => {
                let diagnostic = reader.error("the waves do not rise", wave.span, "no more than the one before");
                let diagnostic = reader.at(diagnostic, earlier.span, "the one before");
                Some(diagnostic.help("each says how many twins are done by its end, as in `[1, 10%, 100%]`"))
            }
            (_, None) => None,
        };
        match problem {
            Some(diagnostic) => {
                whole = false;
                reader.report(diagnostic);
            }
            None => waves.push(wave),
        }
    }
    if !whole {
        return;
    }
    if let Some(last) = waves.last().filter(|last| last.value != Amount::Percent(100.0)) {
        let diagnostic = Diagnostic::warning("the last wave is not the whole fleet");
        let diagnostic = reader.at(diagnostic, last.span, "whatever is left follows in one more wave");
        reader.report(diagnostic.help("end the list with `100%`"));
        waves.push(Spanned { value: Amount::Percent(100.0), span: last.span });
    }
    let value = waves.into_iter().map(|wave| wave.value).collect();
    rollout.waves = Some(Spanned { value, span: place });
}

/// Says whether the second is more than the first, as far as that can be told without the fleet.
fn rises(first: Amount, second: Amount) -> bool {
    match (first, second) {
        (Amount::Count(first), Amount::Count(second)) => second > first,
        (Amount::Percent(first), Amount::Percent(second)) => second > first,
        // Nothing is more than all.
        (Amount::Percent(first), Amount::Count(_)) => first < 100.0,
        (Amount::Count(_), Amount::Percent(_)) => true,
    }
}
