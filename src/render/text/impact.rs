//! What a plan will lead to, under what it changes.

use std::borrow::Cow;
use std::fmt::Write;

use super::options::TextOptions;
use crate::check::Severity;
use crate::render::number::counted;
use crate::render::value;
use crate::render::view::{CheckView, CostView, Foreseen, PlanView, SelectionView, WriterView, named};

/// How many lines of a check's rows, of a writer's paths, and of checks that will hold are shown.
const MOST: usize = 5;
/// The least that is shown of a text, however narrow the terminal.
const LEAST: usize = 24;
/// How many devices of a check that will fail are named.
const DEVICES: usize = 8;

/// Writes what the selectors found.
pub(super) fn selections(out: &mut String, selections: &[SelectionView], options: TextOptions) {
    let palette = options.palette;
    if selections.is_empty() {
        return;
    }
    _ = writeln!(out, "{}", palette.title("Selected by query"));
    let longest = selections.iter().map(|selection| value::width(&selection.name)).max().unwrap_or(0).min(44);
    for SelectionView { name, condition, ids, origin } in selections {
        let count = counted(ids.len(), "device");
        let taken = longest.max(value::width(name)) + value::width(&count) + value::width(origin) + 6;
        let condition = fit(condition, taken, options);
        let name = palette.title(format!("{name:<longest$}"));
        _ = writeln!(out, "{name}  {}  {condition}  {}", palette.twin(count), palette.origin(origin));
        if !ids.is_empty() {
            _ = writeln!(out, "    {}", palette.aside(named(ids, options.named())));
        }
    }
    out.push('\n');
}

/// Cuts a text to what is left of a line.
fn fit(text: &str, taken: usize, options: TextOptions) -> Cow<'_, str> {
    if options.full {
        Cow::Borrowed(text)
    } else {
        value::ellipsis(text, options.width.saturating_sub(taken).max(LEAST))
    }
}

/// Writes who else writes to these twins.
pub(super) fn writers(out: &mut String, writers: &[WriterView], options: TextOptions) {
    let palette = options.palette;
    if writers.is_empty() {
        return;
    }
    _ = writeln!(out, "{}", palette.title("Who else writes here"));
    for WriterView { fights, kind, name, said, paths, twins } in writers {
        let sign = if *fights { palette.warning("!").to_string() } else { palette.aside(".").to_string() };
        let said = fit(said, kind.len() + value::width(name) + 5, options);
        _ = writeln!(out, "{sign} {kind} {}  {said}", palette.title(name));
        if !twins.is_empty() {
            _ = writeln!(out, "    {}", palette.aside(named(twins, options.named())));
        }
        let longest = paths.iter().map(|(path, _)| value::width(path)).max().unwrap_or(0).min(44);
        for (path, said) in paths.iter().take(if options.full { usize::MAX } else { MOST }) {
            _ = writeln!(out, "    {}  {said}", palette.path(format!("{path:<longest$}")));
        }
        more(out, paths.len(), MOST, "path", options);
    }
    out.push('\n');
}

fn more(out: &mut String, all: usize, shown: usize, noun: &str, options: TextOptions) {
    if !options.full && all > shown {
        let more = counted(all - shown, noun);
        _ = writeln!(out, "    {}", options.palette.aside(format!("… and {more} more")));
    }
}

/// Writes what the checks will say. Many that will hold are told in one line.
pub(super) fn checks(out: &mut String, view: &PlanView<'_>, options: TextOptions) {
    let palette = options.palette;
    if view.checks.is_empty() {
        return;
    }
    _ = writeln!(out, "{} {}", palette.title("Checks after this plan:"), view.foreseen_line());
    let holding = view.checks.iter().filter(|check| check.foreseen == Foreseen::WillHold).count();
    let listed = options.full || holding <= MOST;
    let shown = || view.checks.iter().filter(|check| listed || check.foreseen != Foreseen::WillHold);
    let longest = shown().map(|check| value::width(&check.name)).max().unwrap_or(0).min(44);
    for check in shown() {
        self::check(out, check, longest, options);
    }
    out.push('\n');
}

fn check(out: &mut String, check: &CheckView, longest: usize, options: TextOptions) {
    let palette = options.palette;
    let CheckView { foreseen, severity, name, query, said, details, devices } = check;
    let (sign, word) = (foreseen.sign(), foreseen.label());
    let (sign, label) = match (foreseen, severity) {
        (Foreseen::WillHold, _) => (palette.good(sign), palette.good(word)),
        (Foreseen::WillFail, Severity::Error) => (palette.error(sign), palette.error(word)),
        _ => (palette.warning(sign), palette.warning(word)),
    };
    let only = if *foreseen == Foreseen::WillFail && *severity == Severity::Warn { " (a warning)" } else { "" };
    let taken = 4 + longest.max(value::width(name)) + word.len() + only.len() + 2;
    let said = if said.is_empty() { String::new() } else { format!(": {}", fit(said, taken, options)) };
    _ = writeln!(out, "{sign} {name:<longest$}  {label}{only}{said}");
    for detail in details.iter().take(if options.full { usize::MAX } else { MOST }) {
        _ = writeln!(out, "    {}", fit(detail, 4, options));
    }
    more(out, details.len(), MOST, "row", options);
    if !devices.is_empty() {
        let most = if options.full { usize::MAX } else { DEVICES };
        _ = writeln!(out, "    {}", palette.twin(named(devices, most)));
    }
    if *foreseen == Foreseen::WillFail {
        _ = writeln!(out, "    {}", palette.aside(fit(query, 4, options)));
    }
}

/// Writes what the plan has cost and will cost.
pub(super) fn cost(out: &mut String, cost: Option<&CostView>, options: TextOptions) {
    let palette = options.palette;
    let Some(CostView { tier, read, apply, notifications }) = cost else { return };
    let tier = palette.aside(format!("({tier})"));
    _ = writeln!(out, "{}  to read  {}  {tier}", palette.title("Cost:"), read.line());
    if let Some(apply) = apply {
        _ = writeln!(out, "      to apply  {}", apply.line());
    }
    if let Some(notifications) = notifications {
        _ = writeln!(out, "      {notifications}");
    }
}
