//! What a plan will lead to, below its changes.

use super::{HtmlPage, NAMED};
use crate::check::Severity;
use crate::render::number::counted;
use crate::render::view::{CheckView, CostView, Foreseen, PlanView, SelectionView, WriterView, named};

impl HtmlPage {
    pub(super) fn checks(&mut self, view: &PlanView<'_>) {
        if view.checks.is_empty() {
            return;
        }
        self.raw("<h2 id=\"checks\">Checks after this plan <small>")
            .text(&view.foreseen_line())
            .raw("</small></h2>\n<section>\n");
        let mut checks: Vec<&CheckView> = view.checks.iter().collect();
        checks.sort_by_key(|check| check.foreseen);
        for CheckView { foreseen, severity, name, query, said, details, devices } in checks {
            let class = match (foreseen, severity) {
                (Foreseen::WillHold, _) => "hold",
                (Foreseen::WillFail, Severity::Error) => "fail",
                _ => "open",
            };
            self.raw("<div class=\"card ").raw(class).raw("\"><p><span class=\"sign\" aria-hidden=\"true\">");
            self.raw(foreseen.sign()).raw("</span><span class=\"who\">").text(name).raw("</span><span class=\"badge ");
            self.raw(class).raw("\">").raw(foreseen.label()).raw("</span>");
            if *severity == Severity::Warn {
                self.raw("<span class=\"badge\">warns only</span>");
            }
            self.raw("<span class=\"what\">").text(said).raw("</span></p>");
            if !details.is_empty() {
                self.raw("<pre tabindex=\"0\">").text(&details.join("\n")).raw("</pre>");
            }
            if !devices.is_empty() {
                self.raw("<p class=\"ids\">").text(&devices.join(", ")).raw("</p>");
            }
            self.raw("<p><code>").text(query).raw("</code></p></div>\n");
        }
        self.raw("</section>\n");
    }

    pub(super) fn writers(&mut self, writers: &[WriterView]) {
        if writers.is_empty() {
            return;
        }
        self.raw("<h2>Who else writes here</h2>\n<section>\n");
        for WriterView { fights, kind, name, said, paths, twins } in writers {
            self.raw("<div class=\"card ").raw(if *fights { "open" } else { "" }).raw("\"><p><span class=\"who\">");
            self.raw(kind).raw(" ").text(name).raw("</span>");
            if *fights {
                self.raw("<span class=\"badge open\">same paths</span>");
            }
            self.raw("<span class=\"what\">").text(said).raw("</span></p>");
            if !paths.is_empty() {
                self.raw("<ul>");
                for (path, said) in paths {
                    self.raw("<li><code>").text(path).raw("</code> ").text(said).raw("</li>");
                }
                self.raw("</ul>");
            }
            self.names(twins);
            self.raw("</div>\n");
        }
        self.raw("</section>\n");
    }

    pub(super) fn selections(&mut self, selections: &[SelectionView]) {
        if selections.is_empty() {
            return;
        }
        self.raw("<h2>Selected by query</h2>\n<section>\n");
        for SelectionView { name, condition, ids, origin } in selections {
            self.raw("<div class=\"card\"><p><span class=\"who\">").text(name).raw("</span><span class=\"badge\">");
            self.text(&counted(ids.len(), "device")).raw("</span><span class=\"what\"><code>").text(condition);
            self.raw("</code></span><code>").text(origin).raw("</code></p>");
            self.names(ids);
            self.raw("</div>\n");
        }
        self.raw("</section>\n");
    }

    /// Writes names, the first few at once.
    fn names(&mut self, ids: &[String]) {
        if ids.is_empty() {
            return;
        }
        if ids.len() <= NAMED {
            self.raw("<p class=\"ids\">").text(&ids.join(", ")).raw("</p>");
        } else {
            self.raw("<details class=\"names\"><summary>").text(&named(ids, 3)).raw("</summary><p class=\"ids\">");
            self.text(&ids.join(", ")).raw("</p></details>");
        }
    }

    pub(super) fn cost(&mut self, cost: Option<&CostView>) {
        let Some(CostView { tier, read, apply, notifications }) = cost else { return };
        self.raw("<h2>Cost <small>under ")
            .text(tier)
            .raw("</small></h2>\n<section class=\"card cost\"><table><tbody>\n");
        self.raw("<tr><th scope=\"row\">to read</th><td>").text(&read.line()).raw("</td></tr>\n");
        if let Some(apply) = apply {
            self.raw("<tr><th scope=\"row\">to apply</th><td>").text(&apply.line()).raw("</td></tr>\n");
        }
        self.raw("</tbody></table>");
        if let Some(notifications) = notifications {
            self.raw("<p>").text(notifications).raw("</p>");
        }
        self.raw("</section>\n");
    }
}
