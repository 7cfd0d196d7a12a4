//! Takes sensitive values out of what is said about a manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::policy::Sensitive;
use super::policy::settle::Declared;
use super::schema::blanked;
use crate::diagnostic::Diagnostic;

/// Stars out the lines on which sensitive values stand, and the values in messages.
pub(super) fn sensitive(sensitive: &Sensitive, declared: &Declared<'_>, found: &mut [Diagnostic]) {
    if sensitive.paths().is_empty() || found.is_empty() {
        return;
    }
    // By file and line: the values, as they may stand in a message.
    let mut secrets: BTreeMap<(Arc<str>, u32), Vec<String>> = BTreeMap::new();
    for leaf in declared.layers.iter().copied().flatten().filter(|leaf| sensitive.covers(&leaf.path)) {
        let Some(value) = &leaf.value else { continue };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // A value may stand on the line after its key.
        for line in [leaf.origin.line, leaf.origin.line + 1] {
            secrets.entry((leaf.origin.file.clone(), line)).or_default().push(value.clone());
        }
    }
    for diagnostic in found {
        let mut values: Vec<String> = Vec::new();
        for label in &mut diagnostic.labels {
            let Some(file) = declared.files.iter().find(|file| Arc::ptr_eq(&file.source, &label.source)) else {
                continue;
            };
            let line = file.line(label.span.start);
            let Some(secret) = secrets.get(&(file.name.clone(), line)) else { continue };
            values.extend(secret.iter().cloned());
            values.push(file.slice(label.span).to_owned());
            label.source = blanked(file, file.line_span(line));
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
