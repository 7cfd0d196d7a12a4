//! A doctor's findings, for people and for programs.

use serde::Serialize;

use super::json::document;
use super::number::counted;
use super::style::Palette;
use super::{escape, value};
use crate::doctor::{Finding, Health};

/// Columns of the widest name of a piece.
const WHAT: usize = 17;

/// Writes one finding for people: a line, and one more where there is something to do.
pub(crate) fn line(finding: &Finding, palette: Palette) -> String {
    let Finding { what, health, says, next } = finding;
    let word = match health {
        Health::Ok => palette.good("ok  ").to_string(),
        Health::Warn => palette.warning("warn").to_string(),
        Health::Fail => palette.error("fail").to_string(),
        Health::Skip => palette.aside("skip").to_string(),
    };
    let padding = " ".repeat(WHAT.saturating_sub(value::width(what)));
    let mut text = format!("{word}  {what}{padding}  {}\n", escape::line(says));
    if let Some(next) = next {
        text.push_str(&format!("      {} {}\n", palette.hint("next:"), escape::line(next)));
    }
    text
}

/// Counts the findings.
pub(crate) fn summary(findings: &[Finding], palette: Palette) -> String {
    let count = |health| findings.iter().filter(|finding| finding.health == health).count();
    match (count(Health::Fail), count(Health::Warn)) {
        (0, 0) => format!("\n{}\n", palette.good("All is well.")),
        (0, warnings) => format!("\nIt works, with {}.\n", counted(warnings, "warning")),
        (failures, _) => {
            format!("\n{}\n", palette.error(format!("It does not work: {}.", counted(failures, "failure"))))
        }
    }
}

/// The published shape of `twinctl doctor --format json`.
#[derive(Serialize)]
struct DoctorDocument<'f> {
    version: u32,
    /// Whether nothing fails.
    well: bool,
    /// In the order in which they were looked at; what comes after a failure may be missing.
    findings: &'f [Finding],
}

/// Writes all findings as JSON, version 1.
pub(crate) fn json(findings: &[Finding]) -> String {
    let well = findings.iter().all(|finding| finding.health != Health::Fail);
    document(&DoctorDocument { version: 1, well, findings })
}
