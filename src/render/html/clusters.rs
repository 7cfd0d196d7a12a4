//! The changes, group by group, and what narrows them.

use std::collections::BTreeSet;

use super::{HtmlPage, NAMED};
use crate::plan::Verdict;
use crate::render::number::{counted, grouped};
use crate::render::value;
use crate::render::view::{ChangeSign, ClusterView, PlanView, RedactedValue, RowView, What, named};

/// Up to how many groups are shown opened.
const OPENED: usize = 12;
/// How many groups are laid out whether anybody scrolls to them or not.
const AT_ONCE: usize = 100;
/// The longest value in a summary.
const SUMMARY: usize = 90;

impl HtmlPage {
    pub(super) fn clusters(&mut self, view: &PlanView<'_>) {
        if view.clusters.is_empty() {
            let (title, told) = &view.counts.headline;
            self.raw("<p class=\"none\">").text(title).raw(" ").text(told).raw("</p>\n");
            return;
        }
        self.tools(view);
        self.raw("<p class=\"keys\"><kbd>/</kbd> to search, <kbd>j</kbd> <kbd>k</kbd> or arrows to move, <kbd>Enter</kbd> to open, ");
        self.raw("<kbd>Esc</kbd> to clear</p>\n<h2>Changes</h2>\n<section id=\"changes\" aria-label=\"Changes\">\n");
        let opened = view.clusters.len() <= OPENED;
        let (first, rest) = view.clusters.split_at(view.clusters.len().min(AT_ONCE));
        for cluster in first {
            self.cluster(cluster, opened || cluster.is_in_the_way());
        }
        self.rest(rest);
        self.raw("<p class=\"none\" hidden>Nothing is like this. <kbd>Esc</kbd> shows all again.</p>\n</section>\n");
    }

    /// Writes the groups that a screen does not show at first where a browser that runs scripts reads them as one text, which takes
    /// it a hundredth of the time of elements; the script makes elements of those that are looked at. Any other browser shows them.
    fn rest(&mut self, rest: &[ClusterView]) {
        if rest.is_empty() {
            return;
        }
        self.raw("<p class=\"rest\">").text(&grouped(rest.len()));
        self.raw(" more groups of changes are in this file; the browser has not run the script that shows them.</p>\n<noscript>");
        for (index, cluster) in rest.iter().enumerate() {
            // The script takes them apart at the empty lines, of which no value has one.
            self.raw(if index == 0 { "" } else { "\n" });
            self.cluster(cluster, cluster.is_in_the_way());
        }
        self.raw("</noscript>\n");
    }

    fn tools(&mut self, view: &PlanView<'_>) {
        let mut kinds: Vec<&str> = Vec::new();
        let mut layers = BTreeSet::new();
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
        let ClusterView { kind: _, sign, who, remark, rows, ids, layers } = cluster;
        let kinds = cluster.kinds();
        self.raw("<details class=\"cluster ")
            .raw(class(*sign))
            .raw("\" id=\"twin=")
            .text(&ids[0])
            .raw("\" data-kinds=\"");
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
                self.text(&row.value_within(SUMMARY)).raw("</span>");
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
        match ids.len() {
            // Its name stands in the summary.
            1 => {}
            2..=NAMED => _ = self.raw("<p class=\"ids\">").text(&ids.join(", ")).raw("</p>"),
            _ => {
                self.raw("<details class=\"names\"><summary>").text(who).raw(" by name</summary><p class=\"ids\">");
                self.text(&ids.join(", ")).raw("</p></details>");
            }
        }
        self.raw("</div></details>\n");
    }

    /// Writes a word with its colour; those of the verdicts are told apart by what they begin with.
    fn badge(&mut self, kind: &str) {
        let class = match kind.split(' ').next() {
            _ if kind.ends_with("over drift") => "drift",
            Some("new" | "register") => "new",
            Some("edit" | "moved") => "edit",
            Some("drift" | "overwrite") => "drift",
            Some("removed" | "undeclared" | "release" | "missing" | "conflict") => "removed",
            _ if kind == "record lost" => "removed",
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
                    _ if shown.is_some_and(RedactedValue::is_hidden) => "same hidden",
                    ChangeSign::Add => "after",
                    ChangeSign::Remove => "before",
                    ChangeSign::Change | ChangeSign::Keep | ChangeSign::Stop | ChangeSign::Pass => "same",
                };
                self.raw("<span class=\"")
                    .raw(class)
                    .raw("\">")
                    .text(shown.map_or("absent", RedactedValue::pretty))
                    .raw("</span>");
            }
        }
        self.raw("</div></td><td class=\"kind\">");
        if let Some(verdict) = row.verdict() {
            self.badge(Verdict::label(verdict));
        }
        self.raw("</td><td class=\"place\"><code>").text(&row.origin).raw("</code></td></tr>\n");
    }

    /// Writes both sides of a change, with the words marked in which long values differ. A page of nothing but ASCII takes a browser
    /// half the memory.
    fn sides(&mut self, before: &RedactedValue, after: &RedactedValue) {
        let (before, after) = value::words(before.pretty(), after.pretty());
        self.raw("<span class=\"before\">").marked(&before, ["<del>", "</del>"]);
        self.raw("</span> <span class=\"becomes\"><span aria-label=\"becomes\">&rarr;</span> <span class=\"after\">");
        self.marked(&after, ["<ins>", "</ins>"]).raw("</span></span>");
    }

    /// Writes words, between the tags where they differ.
    fn marked(&mut self, words: &[(String, bool)], [open, close]: [&'static str; 2]) -> &mut Self {
        for (text, differs) in words {
            if *differs {
                self.raw(open).text(text).raw(close)
            } else {
                self.text(text)
            };
        }
        self
    }
}

fn class(sign: ChangeSign) -> &'static str {
    match sign {
        ChangeSign::Add => "add",
        ChangeSign::Change => "change",
        ChangeSign::Remove => "remove",
        ChangeSign::Stop => "stop",
        ChangeSign::Keep | ChangeSign::Pass => "keep",
    }
}
