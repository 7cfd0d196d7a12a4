//! A plan as one page of HTML that needs nothing else: for people who look for one device among ten thousand.
//!
//! Nothing on it is fetched, and its own policy forbids it to: style and script are allowed by their digests, and all else is
//! not. It can be read whole without the script. What a hub or a file said is text: `HtmlPage::text` alone writes what is not
//! in the program's own source, and it escapes.

mod clusters;
mod impact;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::number::grouped;
use super::view::{Foreseen, NoteView, PlanView, Subject};
use crate::drift::Drift;
use crate::plan::Plan;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Up to how many twins are named without being asked for.
const NAMED: usize = 24;

/// Writes a plan as a page.
pub fn plan(plan: &Plan) -> String {
    page(&PlanView::of(plan))
}

/// Writes the drift in a plan as a page.
pub fn drift(drift: &Drift) -> String {
    page(&PlanView::of_drift(drift))
}

fn page(view: &PlanView<'_>) -> String {
    let mut page = HtmlPage::default();
    page.head(view);
    page.raw("<main>\n");
    page.clusters(view);
    page.checks(view);
    page.writers(&view.writers);
    page.selections(&view.selections);
    page.cost(view.cost.as_ref());
    page.raw("</main>\n");
    if let Some(digest) = view.digest() {
        page.raw("<footer>Review digest <code>").text(&digest).raw("</code></footer>\n");
    }
    page.raw("<script>");
    page.raw(SCRIPT).raw("</script>\n</body>\n</html>\n");
    page.html
}

/// HTML on its way. Only what stands in this program goes in as it is.
#[derive(Default)]
struct HtmlPage {
    html: String,
}

impl HtmlPage {
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
        self.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<title>");
        self.raw(match view.subject {
            Subject::Plan => "Plan for fleet ",
            Subject::Drift => "Drift of fleet ",
        });
        self.text(view.fleet);
        self.raw(" on ").text(view.hub).raw("</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n");
        self.raw("<header>\n<div>\n<h1>").raw(if view.subject == Subject::Drift {
            "Drift of fleet "
        } else {
            "Fleet "
        });
        self.text(view.fleet).raw(" <span>on ").text(view.hub).raw("</span></h1>\n");
        self.raw("<p class=\"aside\">");
        if !view.revision.is_empty() {
            self.raw("Revision <code>").text(&view.revision).raw("</code>, ");
        }
        self.text(&view.counts.read).raw("</p>\n");
        let paths = view.counts.paths_line();
        if !paths.is_empty() {
            self.raw("<p class=\"aside\">").text(&paths).raw("</p>\n");
        }
        self.raw("</div>\n<button id=\"theme\" type=\"button\" hidden>Dark or light</button>\n</header>\n");
        self.raw("<ul class=\"counts\">\n");
        for &(count, words) in &view.counts.twins {
            self.raw("<li><b>").text(&grouped(count)).raw("</b>").text(words).raw("</li>\n");
        }
        let (count, words) = view.counts.rest;
        self.raw("<li><b>").text(&grouped(count)).raw("</b>").text(words).raw("</li>\n");
        for (foreseen, count) in view.foreseen() {
            let noun = if count == 1 { "check " } else { "checks " };
            let words = foreseen.counted(count);
            let (_, words) = words.split_once(' ').expect("a number and what it counts");
            let class = if foreseen == Foreseen::WillFail { "fail" } else { "" };
            self.raw("<li class=\"").raw(class).raw("\"><a href=\"#checks\"><b>").text(&grouped(count)).raw("</b>");
            self.text(noun).text(words).raw("</a></li>\n");
        }
        self.raw("</ul>\n");
        if let Some(ignored) = &view.ignored {
            self.raw("<section><p><strong>Warning:</strong> ").text(ignored).raw("</p></section>\n");
        }
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
        if !view.notes.is_empty() {
            self.raw("<section>");
            for NoteView { text, who } in &view.notes {
                self.raw("<p class=\"hint\">").text(text);
                if !who.is_empty() {
                    self.raw(": ").text(who);
                }
                self.raw("</p>");
            }
            self.raw("</section>\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::Verdict;
    use crate::render::samples::{self, change};

    const BAD: &str = "<img src=x onerror=alert(1)>\"'&</script></title></details>\u{202e}\u{1b}";

    #[test]
    fn what_others_said_is_text() {
        let bad = |verdict| change("desired.note", verdict, Some(json!([BAD])), Some(json!(BAD)));
        let mut plan = samples::reviewed();
        plan.twins.push(samples::update("z", vec![bad(Verdict::Edit), bad(Verdict::Adopt)]));
        plan.revision = BAD.to_owned();
        for one in &mut plan.impact.predictions {
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
