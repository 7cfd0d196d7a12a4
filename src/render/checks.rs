//! What checks came to, as text and as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::style::Palette;
use super::{escape, number, value};
use crate::check::{CheckResult, CheckStatus, Severity};
use crate::plural::plural;
use iothub_model::duration;

/// How many of a failed check's lines and devices are shown; JSON and JUnit have them all.
const MOST: usize = 20;

/// Writes each check on a line, what is different under it, and a line that counts.
pub(crate) fn text(results: &[CheckResult], palette: Palette) -> String {
    let mut out = String::new();
    let longest = results.iter().map(|result| value::width(&escape::line(&result.name))).max().unwrap_or(0).min(60);
    for result in results {
        let name = escape::line(&result.name);
        let mut asked = how_long(result);
        if !asked.is_empty() {
            asked = format!("  {}", palette.aside(asked));
        }
        match (&result.status, result.severity) {
            (CheckStatus::Held, _) => {
                if asked.is_empty() {
                    _ = writeln!(out, "{} {name}", palette.good("ok    "));
                } else {
                    _ = writeln!(out, "{} {name:<longest$}{asked}", palette.good("ok    "));
                }
            }
            (CheckStatus::Failed(difference), severity) => {
                let word = match severity {
                    Severity::Error => palette.error("failed"),
                    Severity::Warn => palette.warning("warn  "),
                };
                let summary = escape::line(&difference.summary);
                _ = writeln!(out, "{word} {name:<longest$}  {summary}{asked}");
                for detail in difference.details.iter().take(MOST) {
                    _ = writeln!(out, "         {}", escape::line(detail));
                }
                more(&mut out, difference.details.len(), palette);
                if !difference.devices.is_empty() {
                    let named: Vec<_> = difference.devices.iter().take(MOST).map(|id| escape::line(id)).collect();
                    let rest = difference.devices.len() - named.len();
                    let rest = if rest > 0 { format!(" and {} more", number::grouped(rest)) } else { String::new() };
                    let noun = plural(difference.devices.len(), "device");
                    _ = writeln!(out, "         {noun}: {}{rest}", palette.twin(named.join(", ")));
                }
                _ = writeln!(out, "         {}", palette.aside(escape::line(&result.query)));
            }
            (CheckStatus::Errored(reason), _) => {
                _ = writeln!(out, "{} {name:<longest$}  {}", palette.error("error "), escape::line(reason));
                _ = writeln!(out, "         {}", palette.aside(escape::line(&result.query)));
            }
        }
    }
    out.push_str(&summary(results, palette));
    out
}

fn more(out: &mut String, all: usize, palette: Palette) {
    if all > MOST {
        _ = writeln!(out, "         {}", palette.aside(format!("… and {} more", number::grouped(all - MOST))));
    }
}

/// `asked 4 times over 1 min 0 s`; nothing for a check that was asked once and at once.
fn how_long(result: &CheckResult) -> String {
    match result.attempts {
        0 | 1 => String::new(),
        attempts => {
            format!("(asked {} times over {})", number::grouped(attempts as usize), duration::rounded(result.waited))
        }
    }
}

fn summary(results: &[CheckResult], palette: Palette) -> String {
    let count = |wanted: &dyn Fn(&CheckResult) -> bool| results.iter().filter(|result| wanted(result)).count();
    let held = count(&|result| result.status == CheckStatus::Held);
    let failed = count(&|result| matches!(result.status, CheckStatus::Failed(_)) && result.severity == Severity::Error);
    let warned = count(&|result| matches!(result.status, CheckStatus::Failed(_)) && result.severity == Severity::Warn);
    let errored = count(&|result| matches!(result.status, CheckStatus::Errored(_)));
    let mut parts = vec![format!("{} held", number::grouped(held))];
    for (count, word) in [(failed, "failed"), (warned, "only warned of"), (errored, "could not be asked")] {
        if count > 0 {
            parts.push(format!("{} {word}", number::grouped(count)));
        }
    }
    let all = number::counted(results.len(), "check");
    if held == results.len() {
        format!("{}\n", palette.title(format!("{all}: {}", parts.join(", "))))
    } else {
        format!("{}: {}\n", palette.title(all), parts.join(", "))
    }
}

/// The published shape of `twinctl check --format json`. Its fields only ever grow.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChecksDocument<'a> {
    version: u32,
    fleet: &'a str,
    hub: &'a str,
    /// Whether every check of severity `error` holds.
    ok: bool,
    checks: Vec<CheckResultJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckResultJson<'a> {
    name: &'a str,
    query: &'a str,
    severity: Severity,
    /// `held`, `failed` or `errored`.
    status: &'static str,
    /// What is different, or why it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    details: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    devices: &'a [String],
    attempts: u32,
    waited_ms: u64,
}

impl<'a> CheckResultJson<'a> {
    pub(super) fn of(result: &'a CheckResult) -> Self {
        let (status, summary, details, devices): (_, _, &[String], &[String]) = match &result.status {
            CheckStatus::Held => ("held", None, &[], &[]),
            CheckStatus::Failed(difference) => {
                ("failed", Some(difference.summary.as_str()), &difference.details, &difference.devices)
            }
            CheckStatus::Errored(reason) => ("errored", Some(reason.as_str()), &[], &[]),
        };
        Self {
            name: &result.name,
            query: &result.query,
            severity: result.severity,
            status,
            summary,
            details,
            devices,
            attempts: result.attempts,
            waited_ms: u64::try_from(result.waited.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Writes the results as JSON, version 1.
pub(crate) fn json(results: &[CheckResult], fleet: &str, hub: &str, ok: bool) -> String {
    let checks = results.iter().map(CheckResultJson::of).collect();
    super::json::document(&ChecksDocument { version: 1, fleet, hub, ok, checks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::{check_results, snapshot};

    #[test]
    fn results_read_well() {
        snapshot("checks", &text(&check_results(), Palette::PLAIN));
        snapshot("checks-json", &json(&check_results(), "redmond", "hub.azure-devices.net", false));
        assert_eq!(text(&check_results()[..1], Palette::PLAIN).lines().last(), Some("1 check: 1 held"));
    }
}
