//! The same as a comment on a pull request.

use std::fmt::Write;

use super::{
    Compared, UNREADABLE, check_words, commit, counts, fate, kind_sign, names, pair, selector_words, settings, sign,
    who,
};
use crate::diff::{DiffCluster, DiffKind, DiffedLeaf};
use crate::render::escape;
use crate::render::number::counted;

/// The longest comment that is written: GitHub takes 65,536 characters, Azure DevOps 150,000.
const COMMENT: usize = 60_000;
/// The longest value in a table.
const VALUE: usize = 200;

/// Writes it for a pull request's comment, cut to what one may have, with the counts kept.
pub(crate) fn markdown(of: &Compared<'_>) -> String {
    let differences = of.differences;
    let mut out = String::new();
    let (fleet, reference) = (&of.after.fleet, code(of.reference));
    _ = writeln!(out, "### twinctl: fleet {} against {reference}\n", code(fleet.as_str()));
    if of.is_unreadable {
        _ = writeln!(out, "{UNREADABLE}\n");
    }
    for note in of.notes {
        _ = writeln!(out, "- {}", html(note));
    }
    if !of.notes.is_empty() {
        out.push('\n');
    }
    if differences.is_empty() {
        _ = writeln!(out, "No differences: {} declared as before.", counted(differences.unchanged, "twin"));
        return out;
    }
    let prefix = if of.tip.is_some() { "" } else { "commit " };
    _ = writeln!(out, "**{}** ({prefix}{})\n", counts(of), commit(of, code));
    let mut parts: Vec<String> = differences.clusters.iter().map(|cluster| folded(of, cluster)).collect();
    for change in &differences.settings {
        let [before, after] = settings(&change.before, &change.after);
        parts.push(format!("- setting {}: {} → {}\n", code(change.name), code(&before), code(&after)));
    }
    for selector in &differences.selectors {
        let (name, words) = (code(&escape::line(&selector.name)), selector_words(selector, code));
        let mut part = format!("- selector {name}: {words}\n");
        if !selector.leaves.is_empty() {
            part.push('\n');
            write_table(&mut part, &selector.leaves);
        }
        parts.push(part);
    }
    for check in &differences.checks {
        parts.push(format!("- check {}: {}\n", code(&escape::line(&check.name)), check_words(check)));
    }
    let mut left = parts.len();
    for part in parts {
        if out.len() + part.len() > COMMENT {
            _ = writeln!(
                out,
                "\n_{} not shown here; `twinctl render --against` shows all._",
                counted(left, "more difference")
            );
            break;
        }
        out.push_str(&part);
        left -= 1;
    }
    out
}

fn folded(of: &Compared<'_>, cluster: &DiffCluster) -> String {
    let DiffCluster { kind, leaves, ids } = cluster;
    let what = match kind {
        DiffKind::Changed => "",
        DiffKind::Added => " (new)",
        DiffKind::Gone => " (gone)",
    };
    let summary = match (kind, &leaves[..]) {
        (DiffKind::Changed, [one]) => format!(": {}", html(&escape::path(one.path.as_str()))),
        (DiffKind::Changed, many) => format!(": {}", counted(many.len(), "path")),
        _ => String::new(),
    };
    let mut out = format!("<details><summary>{} {}{what}{summary}</summary>\n\n", kind_sign(*kind), html(&who(ids)));
    if ids.len() > 1 {
        _ = writeln!(out, "{}\n", code(&names(ids, false)));
    }
    if *kind == DiffKind::Gone {
        _ = writeln!(out, "{}\n", fate(of));
    }
    if !leaves.is_empty() {
        write_table(&mut out, leaves);
    }
    out.push_str("</details>\n\n");
    out
}

fn write_table(out: &mut String, leaves: &[DiffedLeaf]) {
    out.push_str("| | path | before | after | line |\n|---|---|---|---|---|\n");
    for leaf in leaves {
        let origin = leaf.origin.as_ref().map(|origin| code(&origin.to_string())).unwrap_or_default();
        let (before, after) = pair(leaf, VALUE);
        let cell = |side: Option<String>| side.map(|side| code(&side)).unwrap_or_default();
        let (path, before, after) = (code(&escape::path(leaf.path.as_str())), cell(before), cell(after));
        _ = writeln!(out, "| {} | {path} | {before} | {after} | {origin} |", sign(leaf));
    }
    out.push('\n');
}

/// A text as code inside a line or a table's cell, whatever is in it: a code span ends at as many backticks as it began with, and
/// only there, but a bar ends a cell even in one.
fn code(text: &str) -> String {
    let text = escape::line(text);
    if text.is_empty()
        || text.contains(['|', '`', '\\'])
        || text.starts_with(' ')
        || text.ends_with(' ')
        || text.contains("  ")
    {
        return format!("<code>{}</code>", html(&text));
    }
    format!("`{text}`")
}

/// A text inside of HTML inside of Markdown, in which neither finds anything of its own.
fn html(text: &str) -> String {
    let mut out = String::new();
    let text = escape::line(text);
    for (c, after_space) in text.chars().zip(std::iter::once(true).chain(text.chars().map(|c| c == ' '))) {
        match c {
            // HTML shows spaces in a row as one.
            ' ' if after_space => out.push_str("&nbsp;"),
            '&' | '<' | '>' | '"' | '\'' | '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '!' | '@' | ':' => {
                _ = write!(out, "&#{};", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::compare;
    use crate::manifest::load_texts;
    use crate::render::number::grouped;

    #[test]
    fn a_comment_is_cut_and_keeps_its_counts() {
        let fleet = |value: usize| {
            let devices = (0..3000).map(|n| format!("  d{n}: {{ desired: {{ a: {} }} }}\n", n * value));
            let text = format!("fleet: f\ndevices:\n{}", devices.collect::<String>());
            load_texts(&[("f.yaml", &text)], &|_| None).expect("a good manifest").declarations
        };
        let (before, after) = (fleet(1), fleet(2));
        let differences = compare(Some(&before), &after);
        let compared = Compared {
            after: &after,
            reference: "main",
            commit: "abc",
            tip: None,
            is_unreadable: false,
            notes: &[],
            differences: &differences,
        };
        let text = markdown(&compared);
        assert!(text.chars().count() < 65_536, "GitHub's limit");
        assert!(text.contains("**2,999 twins changed; 1 twin declared as before**"), "{}", &text[..400]);
        let shown = text.matches("<details>").count();
        assert!(shown > 100 && text.ends_with("`twinctl render --against` shows all._\n"), "{shown}");
        assert_eq!(text.matches("</details>").count(), shown);
        assert!(text.contains(&format!("\n_{} more differences not shown here", grouped(2999 - shown))), "{shown}");
    }

    #[test]
    fn nothing_breaks_out_of_a_cell() {
        for (text, shown) in [
            ("plain \"x\"", "`plain \"x\"`"),
            ("a|b", "<code>a&#124;b</code>"),
            ("`</details>`", "<code>&#96;&#60;/details&#62;&#96;</code>"),
            ("\\`", "<code>&#92;&#96;</code>"),
            ("</details>", "`</details>`"),
            ("a\n\n# b", "<code>a&#92;n&#92;n&#35; b</code>"),
        ] {
            assert_eq!(code(text), shown);
        }
        assert_eq!(html("@team *x* [y](z)"), "&#64;team &#42;x&#42; &#91;y&#93;(z)");
    }
}
