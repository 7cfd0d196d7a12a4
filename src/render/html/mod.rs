//! A plan as one page of HTML that needs nothing else: for people who look for one device among ten thousand.
//!
//! Nothing on it is fetched, and its own policy forbids it to: style and script are allowed by their digests, and all else is
//! not. It can be read whole without the script. What a hub or a file said is text: `Page::text` alone writes what is not
//! in the program's own source, and it escapes.

mod outlook;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::number::{counted, grouped};
use super::value;
use super::view::{ClusterView, Foreseen, PlanView, RowView, Shown, Sign, What, named};
use crate::plan::{Plan, Verdict};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Up to how many clusters are shown opened.
const OPENED: usize = 12;
/// Up to how many twins are named without being asked for.
const NAMED: usize = 24;
/// The longest value in a summary.
const SUMMARY: usize = 90;

/// Writes a plan as a page.
pub fn plan(plan: &Plan) -> String {
    let view = PlanView::of(plan);
    let mut page = Page::default();
    page.head(&view);
    page.raw("<main>\n");
    page.clusters(&view);
    page.checks(&view);
    page.writers(&view.writers);
    page.selections(&view.selections);
    page.cost(view.cost.as_ref());
    page.raw("</main>\n<footer>Review digest <code>").text(&view.digest()).raw("</code></footer>\n<script>");
    page.raw(SCRIPT).raw("</script>\n</body>\n</html>\n");
    page.html
}

/// HTML on its way. Only what stands in this program goes in as it is.
#[derive(Default)]
struct Page {
    html: String,
}

impl Page {
    fn raw(&mut self, html: &'static str) -> &mut Self {
        self.html.push_str(html);
        self
    }

    /// Writes text, for an element's content or an attribute in quotes.
    fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                c => self.html.push(c),
            }
        }
        self
    }

    /// Writes a source that the page's policy allows: this text and no other.
    fn digest(&mut self, text: &str) -> &mut Self {
        self.raw("'sha256-").text(&STANDARD.encode(Sha256::digest(text))).raw("'")
    }

    fn head(&mut self, view: &PlanView<'_>) {
        self.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        self.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; ");
        self.raw("style-src ").digest(STYLE).raw("; script-src ").digest(SCRIPT).raw("\">\n");
        self.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        self.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<title>Plan for fleet ").text(view.fleet);
        self.raw(" on ").text(view.hub).raw("</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n");
        self.raw("<header>\n<div>\n<h1>Fleet ").text(view.fleet).raw(" <span>on ").text(view.hub).raw("</span></h1>\n");
        self.raw("<p class=\"aside\">");
        if !view.revision.is_empty() {
            self.raw("Revision <code>").text(&view.revision).raw("</code>, ");
        }
        self.text(view.counts.read).raw("</p>\n");
        let paths = view.counts.paths_line();
        if !paths.is_empty() {
            self.raw("<p class=\"aside\">").text(&paths).raw("</p>\n");
        }
        self.raw("</div>\n<button id=\"theme\" type=\"button\" hidden>Dark or light</button>\n</header>\n");
        self.raw("<ul class=\"counts\">\n");
        for &(count, words) in &view.counts.twins {
            self.raw("<li><b>").text(&grouped(count)).raw("</b>").text(words).raw("</li>\n");
        }
        self.raw("<li><b>").text(&grouped(view.counts.unchanged)).raw("</b>as declared</li>\n");
        for (foreseen, count) in view.foreseen() {
            let noun = if count == 1 { "check " } else { "checks " };
            let words = foreseen.counted(count);
            let (_, words) = words.split_once(' ').expect("a number and what it counts");
            let class = if foreseen == Foreseen::WillFail { "fail" } else { "" };
            self.raw("<li class=\"").raw(class).raw("\"><a href=\"#checks\"><b>").text(&grouped(count)).raw("</b>");
            self.text(noun).text(words).raw("</a></li>\n");
        }
        self.raw("</ul>\n");
        if !(view.refusals.is_empty() && view.hints.is_empty()) {
            self.raw("<section><div class=\"refused\">");
            for refusal in &view.refusals {
                self.raw("<p><strong>Refused:</strong> ").text(refusal).raw("</p>");
            }
            for hint in &view.hints {
                self.raw("<p class=\"hint\">").text(hint).raw("</p>");
            }
            self.raw("</div></section>\n");
        }
    }

    fn clusters(&mut self, view: &PlanView<'_>) {
        if view.clusters.is_empty() {
            self.raw("<p class=\"none\">No changes: ").text(&view.counts.nothing()).raw("</p>\n");
            return;
        }
        self.tools(view);
        self.raw("<p class=\"keys\"><kbd>/</kbd> to search, <kbd>j</kbd> <kbd>k</kbd> or arrows to move, <kbd>Enter</kbd> to open, ");
        self.raw("<kbd>Esc</kbd> to clear</p>\n<h2>Changes</h2>\n<section id=\"changes\" aria-label=\"Changes\">\n");
        let opened = view.clusters.len() <= OPENED;
        for cluster in &view.clusters {
            self.cluster(cluster, opened || cluster.is_in_the_way());
        }
        self.raw("<p class=\"none\" hidden>Nothing is like this. <kbd>Esc</kbd> shows all again.</p>\n</section>\n");
    }

    fn tools(&mut self, view: &PlanView<'_>) {
        let mut kinds: Vec<&str> = Vec::new();
        let mut layers = std::collections::BTreeSet::new();
        for cluster in &view.clusters {
            layers.extend(&cluster.layers);
            for kind in cluster.kinds() {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        let twins: usize = view.clusters.iter().map(|cluster| cluster.ids.len()).sum();
        self.raw("<form class=\"tools\" role=\"search\" aria-label=\"Narrow the changes\" autocomplete=\"off\">\n");
        self.raw("<input name=\"search\" type=\"search\" aria-label=\"Search everything\" placeholder=\"Search paths, values, names\">\n");
        self.raw("<input name=\"device\" type=\"search\" aria-label=\"Device\" placeholder=\"Device\">\n");
        self.raw("<select name=\"layer\" aria-label=\"Layer of the manifest\"><option value=\"\">All layers</option>");
        for layer in layers {
            self.raw("<option>").text(layer).raw("</option>");
        }
        self.raw("</select>\n<button id=\"clear\" type=\"button\">Clear</button>\n<fieldset><legend class=\"spoken\">Kinds of changes</legend>\n");
        for kind in kinds {
            self.raw("<label class=\"kind\"><input type=\"checkbox\" name=\"kind\" value=\"").text(kind).raw("\">");
            self.text(kind).raw("</label>\n");
        }
        self.raw("<output aria-live=\"polite\">").text(&counted(twins, "twin")).raw(" in ");
        self.text(&counted(view.clusters.len(), "group")).raw("</output>\n</fieldset>\n</form>\n");
    }

    fn cluster(&mut self, cluster: &ClusterView, opened: bool) {
        let ClusterView { action: _, sign, who, remark, rows, ids, layers } = cluster;
        let kinds = cluster.kinds();
        self.raw("<details class=\"cluster ").raw(class(*sign)).raw("\" data-kinds=\"");
        self.text(&kinds.iter().copied().collect::<Vec<_>>().join(",")).raw("\" data-layers=\"");
        self.text(&layers.iter().map(String::as_str).collect::<Vec<_>>().join("\t")).raw("\"");
        self.raw(if opened { " open>" } else { ">" });
        self.raw("<summary><span class=\"sign\">").raw(sign.text()).raw("</span><span class=\"who\">").text(who);
        self.raw("</span><span class=\"what\">").text(remark);
        if !rows.is_empty() {
            self.raw(if remark.is_empty() { "<span class=\"told\">" } else { "<span class=\"told\">: " });
        }
        match rows.as_slice() {
            [] => {}
            [row] => {
                self.raw("<code>").text(&row.path).raw("</code> ");
                self.text(&value::cut(&row.value(), SUMMARY)).raw("</span>");
            }
            rows => {
                let paths: Vec<_> = rows.iter().map(|row| row.path.as_str()).collect();
                self.raw("<code>").text(&value::cut(&named(&paths, 3), 2 * SUMMARY)).raw("</code></span>");
            }
        }
        self.raw("</span>");
        for kind in kinds {
            self.badge(kind);
        }
        self.raw("</summary>\n<div class=\"body\">");
        if !rows.is_empty() {
            self.raw("<table class=\"rows\"><tbody>\n");
            rows.iter().for_each(|row| self.row(row));
            self.raw("</tbody></table>");
        }
        let many = ids.len() > NAMED;
        if many {
            self.raw("<details class=\"names\"><summary>").text(who).raw(" by name</summary>");
        }
        // A single twin is named already, and is looked for here.
        self.raw(if ids.len() == 1 { "<p class=\"ids spoken\">" } else { "<p class=\"ids\">" });
        self.text(&ids.join(", ")).raw("</p>");
        self.raw(if many { "</details></div></details>\n" } else { "</div></details>\n" });
    }

    /// Writes a word with its colour; those of the verdicts are told apart by what they begin with.
    fn badge(&mut self, kind: &str) {
        let class = match kind.split(' ').next() {
            _ if kind.ends_with("over drift") => "drift",
            Some("new" | "register") => "new",
            Some("edit" | "moved") => "edit",
            Some("drift" | "overwrite") => "drift",
            Some("removed" | "undeclared" | "release" | "missing" | "conflict") => "removed",
            _ => "",
        };
        self.raw("<span class=\"badge ").raw(class).raw("\">").text(kind).raw("</span>");
    }

    fn row(&mut self, row: &RowView) {
        self.raw("<tr class=\"").raw(class(row.sign)).raw("\"><td class=\"sign\">").raw(row.sign.text());
        self.raw("</td><th scope=\"row\">").text(&row.path).raw("</th><td class=\"cell\"><div class=\"value\">");
        match (&row.what, row.sides()) {
            (What::Said(said), _) => _ = self.raw("<span class=\"same\">").text(said).raw("</span>"),
            (What::Change { .. }, Some((before, after))) => self.sides(before, after),
            (What::Change { before, after, verdict: _ }, None) => {
                let shown = after.as_ref().or(before.as_ref());
                let class = match row.sign {
                    _ if shown.is_some_and(Shown::is_hidden) => "same hidden",
                    Sign::Add => "after",
                    Sign::Remove => "before",
                    Sign::Change | Sign::Keep | Sign::Stop | Sign::Pass => "same",
                };
                self.raw("<span class=\"")
                    .raw(class)
                    .raw("\">")
                    .text(shown.map_or("absent", Shown::pretty))
                    .raw("</span>");
            }
        }
        self.raw("</div></td><td class=\"kind\">");
        if let Some(verdict) = row.verdict() {
            self.badge(Verdict::label(verdict));
        }
        self.raw("</td><td class=\"place\"><code>").text(&row.origin).raw("</code></td></tr>\n");
    }

    /// Writes both sides of a change, with the words marked in which long values differ.
    fn sides(&mut self, before: &Shown, after: &Shown) {
        let (before, after) = value::words(before.pretty(), after.pretty());
        self.raw("<span class=\"before\">");
        for (text, differs) in before {
            if differs {
                self.raw("<del>").text(&text).raw("</del>")
            } else {
                self.text(&text)
            };
        }
        self.raw("</span> <span class=\"becomes\"><span aria-label=\"becomes\">→</span> <span class=\"after\">");
        for (text, differs) in after {
            if differs {
                self.raw("<ins>").text(&text).raw("</ins>")
            } else {
                self.text(&text)
            };
        }
        self.raw("</span></span>");
    }
}

fn class(sign: Sign) -> &'static str {
    match sign {
        Sign::Add => "add",
        Sign::Change => "change",
        Sign::Remove => "remove",
        Sign::Stop => "stop",
        Sign::Keep | Sign::Pass => "keep",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::samples::{self, change};

    const BAD: &str = "<img src=x onerror=alert(1)>\"'&</script></title></details>\u{202e}\u{1b}";

    #[test]
    fn what_others_said_is_text() {
        let bad = |verdict| change("desired.note", verdict, Some(json!([BAD])), Some(json!(BAD)));
        let mut plan = samples::reviewed();
        plan.twins.push(samples::update("z", vec![bad(Verdict::Edit), bad(Verdict::Adopt)]));
        plan.revision = BAD.to_owned();
        for one in &mut plan.outlook.predictions {
            one.name = BAD.to_owned();
            one.query = BAD.to_owned();
        }
        let page = super::plan(&plan);
        assert!(!page.contains("<img"));
        assert!(!page.contains(['\u{202e}', '\u{1b}']));
        assert_eq!(page.matches("</script>").count(), 1);
        assert_eq!(page.matches("</title>").count(), 1);
        assert_eq!(page.matches("<details").count(), page.matches("</details>").count());
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    }

    #[test]
    fn nothing_sensitive_is_shown_and_nothing_is_fetched() {
        let page = super::plan(&samples::reviewed());
        assert!(!page.contains(samples::SECRET));
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
        assert_eq!(page, super::plan(&samples::reviewed()), "the same plan, the same bytes");
        assert!(page.contains("default-src 'none'"));
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"), "neither ends its element");
    }

    #[test]
    fn words_in_which_values_differ_are_marked() {
        let (long, other) = ("all work and no play", "all work and some play");
        let edit = change("desired.x", Verdict::Edit, Some(json!(long)), Some(json!(other)));
        let short = change("desired.y", Verdict::Edit, Some(json!(1)), Some(json!(2)));
        let page = super::plan(&samples::plan(vec![samples::update("a", vec![edit, short])]));
        assert!(page.contains("all work and <del>no</del> play"), "{page}");
        assert!(page.contains("all work and <ins>some</ins> play"), "{page}");
        assert!(page.contains("<span class=\"before\">1</span>"), "{page}");
    }
}
