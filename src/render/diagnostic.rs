//! Diagnostics with their line, a caret and hints.

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::style::Palette;
use super::{escape, number};
use iothub_model::diagnostic::{Diagnostic, Label, Severity, Source};

/// How many are drawn; a file that is not a manifest at all has thousands.
const MOST: usize = 50;

/// Draws diagnostics, one after the other with a blank line between, and ends with a line that counts the errors when
/// there are several.
pub(crate) fn diagnostics(diagnostics: &[Diagnostic], palette: Palette, width: usize) -> String {
    let mut out = String::new();
    for (index, one) in diagnostics.iter().take(MOST).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(&diagnostic(one, palette, width));
        out.push('\n');
    }
    let errors = diagnostics.iter().filter(|one| one.is_error()).count();
    if let Some(more) = diagnostics.len().checked_sub(MOST).filter(|&more| more > 0) {
        out.push_str(&format!("\n… and {} more\n", number::grouped(more)));
    }
    if errors > 1 {
        out.push_str(&format!("\n{}\n", palette.error(number::counted(errors, "error"))));
    }
    out
}

/// Draws one, without a line feed at its end.
pub(crate) fn diagnostic(diagnostic: &Diagnostic, palette: Palette, width: usize) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = escape::line(&diagnostic.message);
    if diagnostic.labels.is_empty() {
        return without_place(diagnostic, palette);
    }
    let mut group = level.primary_title(message.as_ref()).elements(snippets(&diagnostic.labels));
    for help in &diagnostic.help {
        group = group.element(Level::HELP.with_name("hint").message(escape::lines(help).into_owned()));
    }
    let renderer = if palette.is_coloured() { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let groups: [Group<'_>; 1] = [group];
    renderer.decor_style(DecorStyle::Ascii).term_width(width.max(60)).render(&groups)
}

/// As errors are written that do not come from a text.
fn without_place(diagnostic: &Diagnostic, palette: Palette) -> String {
    let title = match diagnostic.severity {
        Severity::Error => palette.error("error:"),
        Severity::Warning => palette.warning("warning:"),
    };
    let mut lines = vec![format!("{title} {}", escape::line(&diagnostic.message))];
    lines.extend(diagnostic.help.iter().map(|help| format!("{} {}", palette.hint("hint:"), escape::lines(help))));
    lines.join("\n")
}

/// One snippet a source, in the order in which the labels name them; the first label is the place itself.
fn snippets(labels: &[Label]) -> Vec<Snippet<'_, annotate_snippets::Annotation<'_>>> {
    let mut sources: Vec<&Arc<Source>> = Vec::new();
    for label in labels {
        if !sources.iter().any(|source| Arc::ptr_eq(source, &label.source)) {
            sources.push(&label.source);
        }
    }
    sources
        .into_iter()
        .map(|source| {
            let here = || labels.iter().enumerate().filter(|(_, label)| Arc::ptr_eq(&label.source, source));
            // Only the lines concerned are handed over: a manifest may have a million others.
            let window = window(source.text(), here().map(|(_, label)| label.span.start..label.span.end));
            let (text, moved) = escape::excerpt(&source.text()[window.clone()]);
            Snippet::source(text)
                .line_start(source.position(window.start).line)
                .path(escape::line(source.name()).into_owned())
                .annotations(here().map(|(index, label)| {
                    let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                    let place = clamp(source.text(), label.span.start..label.span.end);
                    let place = moved(place.start - window.start)..moved(place.end - window.start);
                    let text = (!label.text.is_empty()).then(|| escape::line(&label.text).into_owned());
                    kind.span(place).label(text)
                }))
        })
        .collect()
}

/// Keeps a range inside the text and off the middle of characters, and to its first line: a caret under twenty lines
/// says no more than one under the first.
fn clamp(text: &str, range: Range<usize>) -> Range<usize> {
    let floor = |mut offset: usize| {
        offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let start = floor(range.start);
    let end = floor(range.end).max(start);
    let end = text[start..end].find('\n').map_or(end, |line| start + line);
    start..end
}

/// The whole lines from the first place to the last.
fn window(text: &str, places: impl Iterator<Item = Range<usize>>) -> Range<usize> {
    let (mut first, mut last) = (text.len(), 0);
    for place in places {
        let place = clamp(text, place);
        first = first.min(place.start);
        last = last.max(place.end);
    }
    let start = text[..first].rfind('\n').map_or(0, |line| line + 1);
    let end = text[last..].find('\n').map_or(text.len(), |line| last + line);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::snapshot;
    use iothub_model::diagnostic::Span;

    fn place(source: &Arc<Source>, what: &str) -> Span {
        let start = source.text().find(what).expect(what);
        Span::new(start, start + what.len())
    }

    #[test]
    fn carets_labels_and_hints() {
        let fleet =
            Source::new("fleet.yaml", "fleet: redmond\n\ndevcies:\n  thermostat-001:\n    desired: { power: 1 }\n");
        let other = Source::new("oslo/more.yaml", "# more\ndevices:\n  thermostat-001: {}\n");
        let query = Source::new("<query>", "SELECT deviceId FROM devices WHERE tags.plant = 'Redmond43");
        let all = [
            Diagnostic::error("unknown field `devcies`")
                .at(&fleet, place(&fleet, "devcies"), "not a field of a manifest")
                .help("did you mean `devices`?"),
            Diagnostic::error("device `thermostat-001` is declared twice")
                .at(&other, place(&other, "thermostat-001"), "declared again here")
                .at(&fleet, place(&fleet, "thermostat-001"), "first declared here"),
            Diagnostic::error("unclosed string")
                .at(&query, place(&query, "'Redmond43"), "this quote is never closed")
                .help("a quote inside a string is written twice: ''"),
            Diagnostic::warning("`1.10` is the number 1.1")
                .at(&fleet, place(&fleet, "{ power: 1 }"), "")
                .help("write \"1.10\" in quotes if the text is meant"),
            Diagnostic::error("the folder holds no manifest").help("manifests are named *.yaml or *.yml"),
        ];
        snapshot("diagnostics", &diagnostics(&all, Palette::PLAIN, 100));
    }

    #[test]
    fn hostile_text_neither_steers_nor_panics() {
        let source = Source::new("a\u{1b}[2J.yaml", "k\u{e9}y: \u{1b}[31m\u{202e}x\n\u{6f22}: 1\n");
        for (start, end) in [(0, 1), (1, 2), (2, 9), (5, 99), (99, 120), (17, 18)] {
            let drawn = diagnostic(
                &Diagnostic::error("bad \u{1b}[1m").at(&source, Span::new(start, end), "here\u{7}").help("\u{9b}"),
                Palette::PLAIN,
                80,
            );
            assert!(!drawn.contains(['\u{1b}', '\u{202e}', '\u{7}', '\u{9b}']), "{drawn:?}");
        }
    }

    #[test]
    fn a_flood_is_counted() {
        let all: Vec<_> = (0..60).map(|index| Diagnostic::error(format!("wrong {index}"))).collect();
        let drawn = diagnostics(&all, Palette::PLAIN, 80);
        assert!(drawn.ends_with("… and 10 more\n\n60 errors\n"), "{drawn}");
        assert_eq!(drawn.matches("error: ").count(), MOST);
    }
}
