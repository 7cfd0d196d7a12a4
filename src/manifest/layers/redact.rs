//! Takes sensitive values out of what is said about a manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::fields::policy::Sensitive;
use crate::manifest::layers::merge_policies::Declared;
use crate::manifest::references::reference::refers_to_row;
use crate::manifest::text::node::{Kind, Node};
use crate::manifest::text::source::{File, blanked};
use crate::manifest::text::yaml;
use iothub_model::diagnostic::{Diagnostic, Source, Span};
use iothub_model::twin::{Section, TwinPath};

/// Stars out the lines on which sensitive values stand, and the values in messages.
pub(crate) fn sensitive(sensitive: &Sensitive, declared: &Declared<'_>, found: &mut [Diagnostic]) {
    if sensitive.paths().is_empty() || found.is_empty() {
        return;
    }
    let mut secrets = Secrets { sensitive, lines: BTreeMap::new(), in_tables: false };
    let secret = declared.layers.iter().filter(|layer| layer.has_of(sensitive));
    for leaf in secret.flat_map(|layer| layer.leaves().into_owned()).filter(|leaf| sensitive.covers(&leaf.path)) {
        let Some(value) = &leaf.value else { continue };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // A value may stand on the line after its key.
        for line in [leaf.origin.line, leaf.origin.line + 1] {
            secrets.lines.entry((leaf.origin.file.clone(), line)).or_default().push(value.clone());
        }
    }
    // What was refused is declared nowhere, and is written all the same.
    for file in &declared.files {
        if let Some(document) = yaml::parse(file, &mut Vec::new()) {
            secrets.collect(file, None, &document);
        }
    }
    for diagnostic in found {
        let mut values: Vec<String> = Vec::new();
        for label in &mut diagnostic.labels {
            let Some(file) = declared.files.iter().find(|file| Arc::ptr_eq(&file.source, &label.source)) else {
                if secrets.in_tables {
                    values.extend(label.source.text().get(label.span.start..label.span.end).map(str::to_owned));
                    label.source = starred(&label.source);
                }
                continue;
            };
            let lines = file.line(label.span.start)..=file.line(label.span.end);
            let of = |line: u32| secrets.lines.get(&(file.name.clone(), line));
            let secret_lines: Vec<u32> = lines.filter(|&line| of(line).is_some()).collect();
            let (Some(&first), Some(&last)) = (secret_lines.first(), secret_lines.last()) else { continue };
            let secret: Vec<&String> = secret_lines.iter().filter_map(|&line| of(line)).flatten().collect();
            // A key beside the secret is none.
            let pointed_at = file.slice(label.span);
            let is_secret =
                secret.iter().any(|value| value.contains(pointed_at) || pointed_at.contains(value.as_str()));
            values.extend(is_secret.then(|| pointed_at.to_owned()));
            values.extend(secret.into_iter().cloned());
            label.source = blanked(file, Span::new(file.line_span(first).start, file.line_span(last).end));
        }
        values.retain(|value| !value.is_empty());
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let texts = diagnostic.labels.iter_mut().map(|label| &mut label.text).chain(&mut diagnostic.help);
        for text in texts.chain(std::iter::once(&mut diagnostic.message)) {
            for value in values.iter().filter(|value| *value != "(sensitive)") {
                // Quoted in a message, as a rule; a value of one letter would be anywhere.
                *text =
                    text.replace(&format!("`{value}`"), "(sensitive)").replace(&format!("\"{value}\""), "(sensitive)");
                if value.len() > 3 {
                    *text = text.replace(value.as_str(), "(sensitive)");
                }
            }
        }
    }
}

/// Where sensitive values stand.
struct Secrets<'s> {
    sensitive: &'s Sensitive,
    /// By file and line: the values, as they may stand in a message.
    lines: BTreeMap<(Arc<str>, u32), Vec<String>>,
    /// Whether some come from tables, whose rows are then not shown.
    in_tables: bool,
}

impl Secrets<'_> {
    /// Finds those under a node, wherever `tags` and `desired` are written. `at` is where in a twin the node stands, if it is in one.
    fn collect(&mut self, file: &File, at: Option<&TwinPath>, node: &Node) {
        match (&node.kind, at) {
            (Kind::Mapping(entries), _) => {
                for (key, value) in entries {
                    let section = Section::ALL.into_iter().find(|section| section.name() == key.name);
                    let path = match at {
                        Some(at) => Some(at.child(&key.name)),
                        None => section.map(TwinPath::section_root),
                    };
                    self.collect(file, path.as_ref(), value);
                }
            }
            (Kind::List(items), None) => items.iter().for_each(|item| self.collect(file, None, item)),
            (kind, Some(path)) if self.sensitive.covers(path) => {
                let written = file.slice(node.span);
                self.in_tables |= refers_to_row(written);
                let read = if let Kind::Text(text) = kind { text.value.as_str() } else { written };
                for line in file.line(node.span.start)..=file.line(node.span.end) {
                    let values = self.lines.entry((file.name.clone(), line)).or_default();
                    values.extend([written.to_owned(), read.to_owned()]);
                }
            }
            (_, _) => {}
        }
    }
}

/// The text with stars in the place of all of it.
fn starred(source: &Source) -> Arc<Source> {
    let text = source.text();
    // As many bytes as before, so that places stay where they are.
    let stars = text.split_inclusive('\n').map(|line| match line.strip_suffix('\n') {
        Some(line) => "*".repeat(line.len()) + "\n",
        None => "*".repeat(line.len()),
    });
    Source::excerpt(source.name(), stars.collect::<String>(), source.first_line())
}

#[cfg(test)]
mod tests {
    use crate::manifest::load_texts;

    #[test]
    fn no_warning_shows_a_sensitive_value() {
        let fleet = "fleet: f
sensitive: [desired.psk]
released: [desired.psk]
devices:
  a: { desired: { psk: s3cr3t } }
  b:
    desired:
      psk:
        0775
";
        let check = |text: &str| {
            let found = match load_texts(&[("fleet.yaml", text)], &|_| None) {
                Ok(loaded) => loaded.warnings,
                Err(found) => found,
            };
            assert!(!found.is_empty());
            for diagnostic in &found {
                let mut shown = format!("{diagnostic} {:?}", diagnostic.help);
                for label in &diagnostic.labels {
                    let line = label.source.position(label.span.start).line;
                    shown += label.source.text().lines().nth(line - 1).unwrap_or_default();
                    shown += &label.text;
                }
                assert!(!shown.contains("s3cr3t") && !shown.contains("0775"), "{shown}");
            }
            found.len()
        };
        assert_eq!(check(fleet), 2);
        assert_eq!(check(&fleet.replace("released: [desired.psk]\n", "")), 1);
    }
}
