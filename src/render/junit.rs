//! Check results as JUnit XML, which every CI reads: one suite, a test case a check.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{escape, value};
use crate::check::{CheckResult, CheckStatus, Severity};

/// Writes the results as JUnit XML.
///
/// A check that only warns is a passed case with its difference as output: CI servers count every failure as red.
pub fn xml(results: &[CheckResult], fleet: &str) -> String {
    let mut suite = TestSuite::new(format!("checks of fleet {fleet}"));
    for result in results {
        suite.add_test_case(case(result));
    }
    let mut report = Report::new("twinctl check");
    report.set_time(results.iter().map(|result| result.waited).max().unwrap_or_default());
    report.add_test_suite(suite);
    let mut text = report.to_string().expect("strings are written into a string");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn case(result: &CheckResult) -> TestCase {
    let (status, output) = match (&result.status, result.severity) {
        (CheckStatus::Held, _) => (TestCaseStatus::success(), None),
        (CheckStatus::Failed(difference), Severity::Error) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(escape::line(&difference.summary)).set_type("check");
            let mut description = escape::line(&difference.summary).into_owned();
            for line in difference.details.iter().chain(&difference.devices) {
                description.push('\n');
                description.push_str(&escape::line(line));
            }
            description.push('\n');
            description.push_str(&escape::line(&result.query));
            status.set_description(description);
            (status, None)
        }
        (CheckStatus::Failed(difference), Severity::Warn) => {
            (TestCaseStatus::success(), Some(format!("warning: {}", escape::line(&difference.summary))))
        }
        (CheckStatus::Errored(reason), _) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(escape::line(reason)).set_type("request");
            (status, None)
        }
    };
    let mut case = TestCase::new(value::cut(&escape::line(&result.name), 200), status);
    case.set_classname("twinctl").set_time(result.waited);
    if let Some(output) = output {
        case.set_system_out(output);
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::{check_results, snapshot};

    #[test]
    fn junit_is_what_servers_read() {
        snapshot("checks-junit", &xml(&check_results(), "redmond"));
    }
}
