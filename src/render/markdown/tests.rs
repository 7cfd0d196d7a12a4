use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::json;

use super::*;
use crate::plan::{Forecast, Prediction, Writer};
use crate::render::samples::{self, change, snapshot};

/// Every tag that a comment may have, as written.
const TAGS: [&str; 9] = ["details", "details open", "/details", "summary", "/summary", "code", "/code", "b", "/b"];

/// Reads a comment as a host does, and says what in it is not ours.
fn foreign(text: &str) -> Option<String> {
    let mut in_code = false;
    let mut html = String::new();
    let mut details = 0;
    for event in Parser::new_ext(text, Options::all()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Start(Tag::HtmlBlock) => html.clear(),
            Event::End(TagEnd::HtmlBlock) => {
                if let Err(why) = ours(&html, &mut details) {
                    return Some(why);
                }
            }
            Event::Html(part) => html.push_str(&part),
            Event::Text(_) if in_code => {}
            Event::Text(text) => {
                if let Some(why) = meaningful(&text) {
                    return Some(why);
                }
            }
            Event::Code(_)
            | Event::SoftBreak
            | Event::Start(Tag::Paragraph | Tag::Strong | Tag::List(None) | Tag::Item) => {}
            Event::End(TagEnd::Paragraph | TagEnd::Strong | TagEnd::List(false) | TagEnd::Item) => {}
            other => return Some(format!("{other:?}")),
        }
    }
    (in_code || details != 0).then(|| "something is not closed".to_owned())
}

fn meaningful(text: &str) -> Option<String> {
    let bad = text.contains(['@', '#', '<']) || text.contains("://") || text.contains("www.") || text.contains("`");
    bad.then(|| format!("text that means something: {text}"))
}

/// Looks at a block of HTML: our tags alone, closed in their order, and foreign text in `<code>` alone.
fn ours(html: &str, details: &mut i32) -> Result<(), String> {
    if let Some(rest) = html.strip_prefix("<!-- twinctl:") {
        let inner = rest.trim_end().strip_suffix(" -->").ok_or(html)?;
        return if inner.contains("--") || inner.contains('>') { Err(html.to_owned()) } else { Ok(()) };
    }
    let mut open = Vec::new();
    for (index, part) in html.split('<').enumerate() {
        let text = if index == 0 {
            part
        } else {
            let (tag, text) = part.split_once('>').ok_or(format!("a tag that does not end: {part}"))?;
            if !TAGS.contains(&tag) {
                return Err(format!("a tag that is not ours: {tag}"));
            }
            match tag.strip_prefix('/') {
                Some("details") => *details -= 1,
                Some(name) if open.pop() != Some(name) => {
                    return Err(format!("{name} is closed and was not open: {html}"));
                }
                Some(_) => {}
                None if tag.starts_with("details") => *details += 1,
                None => open.push(tag),
            }
            text
        };
        if open.last() != Some(&"code") {
            let text = text.replace("&amp;", "").replace("&#39;", "");
            if let Some(why) = meaningful(&text) {
                return Err(why);
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} is not closed")) }
}

#[test]
fn comments_read_well() {
    for (name, plan) in [
        ("plan-markdown", samples::plan(samples::everything())),
        ("plan-markdown-outlook", samples::reviewed()),
        ("plan-markdown-nothing", samples::plan(Vec::new())),
    ] {
        let text = super::plan(&plan, GITHUB_MAX);
        assert_eq!(foreign(&text), None, "{text}");
        assert!(!text.contains(samples::SECRET), "{text}");
        snapshot(name, &text);
    }
}

#[test]
fn a_large_fleet_fits_a_comment() {
    let text = super::plan(&samples::large(), GITHUB_MAX);
    assert!(length(&text) < 20_000, "{}", length(&text));
    assert!(
        text.contains("10,000 twins to change") && text.contains("<b>9,987 devices</b>") && !text.contains("Not shown")
    );
}

#[test]
fn what_does_not_fit_is_counted() {
    let twins = (0..5000).map(|n| {
        let edit = change("desired.note", Verdict::Edit, Some(json!(n)), Some(json!("漢🦀".repeat(n % 300))));
        samples::update(&format!("d-{n:04}"), vec![edit])
    });
    let plan = samples::plan(twins.collect());
    for most in [LEAST_MAX, GITHUB_MAX, 150_000] {
        let text = super::plan(&plan, most);
        let length = length(&text);
        assert!(length <= most && length > most - 4000, "{length} of {most}");
        assert_eq!(foreign(&text), None);
        assert!(text.contains("5,000 twins to change; 12 as declared"));
        let shown = text.matches("<details").count();
        let cut = grouped(5000 - shown);
        assert!(text.contains(&format!("{cut} groups of changes, of {cut} twins")), "{shown} shown");
    }
}

/// What makes trouble in Markdown, in HTML, or on a code host.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "`",
        "```",
        "~~~",
        "|",
        "\\",
        "<img src=x onerror=alert(1)>",
        "</details>",
        "</summary>",
        "</code>",
        "<!--",
        "-->",
        "<script>",
        "\n",
        "\r",
        "\n\n",
        "\n```\n",
        "@octocat",
        "#123",
        "GH-1",
        "https://example.com",
        "www.example.com",
        "a@b.com",
        "![x](y)",
        "[x](javascript:1)",
        "*",
        "_",
        "**",
        "&lt;",
        "&#60;",
        "\u{202e}",
        "\u{1b}[31m",
        "$x$",
        ":smile:",
        "==",
        "---",
        "- ",
        "> ",
        "  ",
        "é",
        "漢",
        "🦀",
        "a",
        "1",
    ]);
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_breaks_out(texts in prop::collection::vec(hostile(), 6), most in LEAST_MAX..20_000usize, pretty: bool) {
        let value = |text: &str| if pretty { json!({ "key": text, "other": [text, 1], "filler": "x".repeat(80) }) } else { json!(text) };
        let mut edit = change("desired.note", Verdict::Edit, Some(value(&texts[0])), Some(value(&texts[1])));
        edit.origin.as_mut().expect("an origin").file = texts[5].as_str().into();
        let mut plan = samples::plan(vec![
            samples::update("t-1", vec![edit.clone()]),
            samples::update("t-2", vec![edit, change("desired.x", Verdict::New, None, Some(value(&texts[2])))]),
        ]);
        plan.revision = texts[3].clone();
        plan.impact = samples::impact();
        plan.impact.predictions.push(Prediction {
            name: texts[4].clone(),
            query: texts[3].clone(),
            severity: Severity::Error,
            forecast: Forecast::WillFail(crate::check::Difference {
                summary: texts[0].clone(),
                details: texts.clone(),
                devices: texts.clone(),
            }),
        });
        plan.impact.writers.push(Writer::Configuration {
            id: texts[1].clone(),
            priority: 1,
            condition: texts[2].clone(),
            paths: Vec::new(),
            twins: Vec::new(),
        });
        if let Some(cost) = &mut plan.impact.cost {
            cost.tier = texts[5].clone();
        }
        let text = super::plan(&plan, most);
        prop_assert_eq!(foreign(&text), None, "{}", text);
        prop_assert!(length(&text) <= most);
        let steers = text.contains(['\u{202e}', '\u{1b}', '\r']);
        prop_assert!(!steers);
    }
}
