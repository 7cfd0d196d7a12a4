//! Says in a manifest author's words what the YAML parser found wrong.

use crate::manifest::text::odd;
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span};
use saphyr_parser::ScanError;

/// Finds a character that YAML does not allow anywhere in a text.
pub(crate) fn unprintable(file: &File) -> Option<Diagnostic> {
    // Most texts are of these alone, and so need not be taken apart.
    if file.source.text().bytes().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')) {
        return None;
    }
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    let (offset, c) = file.source.text().char_indices().find(|&(_, c)| !allowed(c))?;
    let span = Span::new(offset, offset + c.len_utf8());
    Some(
        Diagnostic::error(format!("the control character U+{:04X} cannot stand in YAML", u32::from(c)))
            .at(&file.source, span, "here")
            .help(format!("write it as an escape in double quotes where it is meant: \"\\u{:04x}\"", u32::from(c))),
    )
}

/// Explains a syntax error that the parser met at byte `at`.
pub(crate) fn explain(file: &File, error: &ScanError, at: usize) -> Diagnostic {
    let text = file.source.text();
    let info = error.info();
    if let Some(tab) = tab_in_indentation(text, at).filter(|_| !info.contains("anchor")) {
        return Diagnostic::error("a tab where YAML takes only spaces")
            .at(&file.source, tab, "a tab")
            .help("indent with spaces");
    }
    if let Some(pasted) = odd::explain(file, with_line_before(text, at)) {
        return pasted;
    }
    let here = span_at(text, at);
    let error = |message: &str, span: Span, label: &str| Diagnostic::error(message).at(&file.source, span, label);
    let key_line_before = || key_value_line(text, at);
    match info {
        _ if !info.contains("anchor") && long_key(text, at).is_some() => {
            let line = long_key(text, at).unwrap_or(here);
            error("a key of more than 1,024 characters", line, "YAML takes no longer one, and neither does the hub")
        }
        _ if info.contains("unknown anchor") => {
            let end = at + text[at..].find([' ', ',', '\n', '\r', ']', '}']).unwrap_or(text.len() - at);
            let name = text[at..end].trim_start_matches('*');
            error(&format!("there is no anchor `&{name}` before this alias"), Span::new(at, end), "repeats nothing")
                .help("an anchor must stand above its aliases, in the same file")
        }
        _ if info.contains("mapping values are not allowed") => {
            let line = line_of(text, at);
            let colons = text[line.start..line.end].matches(": ").count();
            let diagnostic = error("a `:` where YAML expects none", here, "read as a second key in one value");
            if colons > 1 {
                diagnostic.help("quote a text that has `: ` in it")
            } else {
                diagnostic
                    .help("indent this line as the lines around it, or write the value of the line above in quotes")
            }
        }
        _ if info.contains("did not find expected key") => {
            let diagnostic = error("a key was expected here", here, "not in line with the keys above");
            if text[at..].starts_with(['{', '[']) || line_starts_with_bracket(text, at) {
                diagnostic.help("quote a name that starts with `{` or `[`: \"{1..3}-press\"")
            } else {
                diagnostic.help("the keys of one mapping stand in one column")
            }
        }
        _ if info.contains("expected ',' or '}'") || info.contains("expected ',' or ']'") => {
            let bracket = if info.contains('}') { "}" } else { "]" };
            let diagnostic = error(&format!("`,` or `{bracket}` was expected here"), here, "neither of them");
            if text[at..].starts_with('{') {
                diagnostic.help("inside `{ … }`, quote a name that has braces of its own: \"press-{1..3}\"")
            } else {
                diagnostic.help(format!("close what is open with `{bracket}`"))
            }
        }
        _ if info.contains("invalid indentation in flow") => {
            error("a bracket is still open", here, "this line is not indented under it")
                .help("close the bracket with `]` or `}` in the lines above")
        }
        _ if info.contains("quoted scalar") && !info.contains("escape") && !info.contains("hexadecimal") => {
            let quote = span_at(text, at);
            error("a quoted text does not end", quote, "starts here")
                .help("close the quote, or double a quote that is part of the text")
        }
        _ if info.contains("escape") || info.contains("hexadecimal") => {
            let here = bad_escape(text, at).unwrap_or(here);
            error("an escape that YAML does not have", here, "in double quotes a backslash starts an escape")
                .help("write `\\\\` for a backslash, or use single quotes")
        }
        _ if info.starts_with("unexpected character") => {
            let c = text[at..].chars().next().unwrap_or(' ');
            error(&format!("a value cannot start with `{c}`"), here, "reserved by YAML").help("quote the value")
        }
        _ if info.contains("expected '-' indicator") => {
            error("a list goes on with `-`, and this is none", here, "neither an item nor outside of the list")
                .help("a list and a mapping cannot stand in one place; indent one of them")
        }
        _ if info.contains("node content") => {
            error("a value was expected here", here, "").help("quote a text that starts with a character like this one")
        }
        "simple key expected" | "simple key expect ':'" => match key_line_before() {
            Some(line) => error("a key without its `:`", line, "not a `key: value`"),
            None => error("a key without its `:`", here, "a key was expected"),
        },
        _ if info.contains("recursion limit") => error("brackets nested too deep", here, "here"),
        _ => error(&format!("not YAML: {}", plain(info)), here, "here"),
    }
}

/// The parser's own words, without its quotes in two styles.
fn plain(info: &str) -> String {
    info.replace('`', "'")
}

fn line_of(text: &str, at: usize) -> Span {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    Span::new(start, end.max(start))
}

/// The line of an offset, and the one before it that says something: what is wrong there often shows on the next line.
fn with_line_before(text: &str, at: usize) -> Span {
    let line = line_of(text, at);
    let before = text[..line.start].trim_end_matches([' ', '\n', '\r']);
    Span::new(line_of(text, before.len()).start, line.end)
}

/// The line that lacks its colon, without its indentation: that of an offset, or the one before when it has none either, since a
/// text may run over lines.
fn key_value_line(text: &str, at: usize) -> Option<Span> {
    let trimmed = |line: Span| {
        let written = &text[line.start..line.end];
        let start = line.start + (written.len() - written.trim_start().len());
        Span::new(start, start + written.trim().len())
    };
    let mut line = trimmed(line_of(text, at));
    let mut candidate = None;
    for _ in 0..3 {
        let written = &text[line.start..line.end];
        let has_colon = written.contains(": ") || written.ends_with(':');
        if !written.is_empty() && !has_colon {
            return Some(line);
        }
        candidate = candidate.or((!written.is_empty()).then_some(line));
        let start = line_of(text, line.start).start;
        if start == 0 {
            break;
        }
        line = trimmed(line_of(text, start - 1));
    }
    candidate
}

/// The line of an offset, when it starts with a key that is too long for YAML.
fn long_key(text: &str, at: usize) -> Option<Span> {
    let line = line_of(text, at);
    let written = text[line.start..line.end].trim_start();
    let key = written.find(": ").map_or(written, |colon| &written[..colon]);
    let start = line.end - written.len();
    (key.chars().count() > 1024).then(|| Span::new(start, start + key.len()))
}

/// The first backslash after an offset with which no escape starts.
fn bad_escape(text: &str, at: usize) -> Option<Span> {
    let mut chars = text[at..].char_indices();
    while let Some((offset, c)) = chars.next() {
        if c != '\\' {
            continue;
        }
        let (_, escaped) = chars.next()?;
        let well_formed = match escaped {
            'x' | 'u' | 'U' => {
                let digits = match escaped {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let rest = chars.as_str();
                rest.len() >= digits && rest.bytes().take(digits).all(|byte| byte.is_ascii_hexdigit())
            }
            _ => "0abt\tnvfre \"/\\N_LP\r\n".contains(escaped),
        };
        if !well_formed {
            let start = at + offset;
            return Some(Span::new(start, start + 1 + escaped.len_utf8()));
        }
    }
    None
}

/// One character at an offset; at the end of the text or of a line, the place alone.
fn span_at(text: &str, at: usize) -> Span {
    let length = text[at..].chars().next().filter(|c| !c.is_whitespace()).map_or(0, char::len_utf8);
    Span::new(at, at + length)
}

fn line_starts_with_bracket(text: &str, at: usize) -> bool {
    let line = line_of(text, at);
    text[line.start..line.end].trim_start().starts_with(['{', '['])
}

/// The first tab in the indentation of the line of an offset, or of the lines that follow it.
fn tab_in_indentation(text: &str, at: usize) -> Option<Span> {
    let mut line = line_of(text, at);
    for _ in 0..2 {
        let written = &text[line.start..line.end];
        let indentation = &written[..written.len() - written.trim_start().len()];
        if let Some(tab) = indentation.find('\t') {
            return Some(Span::new(line.start + tab, line.start + tab + 1));
        }
        if line.end >= text.len() {
            return None;
        }
        line = line_of(text, line.end + 1);
    }
    None
}
