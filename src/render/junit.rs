//! Check results as JUnit XML, which every CI reads: one suite, a test case a check.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{escape, value};
use crate::check::{CheckResult, CheckStatus, Severity};

/// Writes the results as JUnit XML.
///
/// A check that only warns is a passed case with its difference as output: CI servers count every failure as red.
pub(crate) fn xml(results: &[CheckResult], fleet: &str) -> String {
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

    /// Asserts that it is XML, and returns the text of its failures.
    fn read(xml: &str) -> String {
        let document = roxmltree::Document::parse(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
        let failures = document.descendants().filter(|node| node.has_tag_name("failure"));
        failures.filter_map(|node| node.text()).collect()
    }

    fn failed(name: &str, text: &str) -> CheckResult {
        let difference = crate::check::Difference {
            summary: text.to_owned(),
            details: vec![text.to_owned()],
            devices: vec![text.to_owned()],
        };
        CheckResult {
            name: name.to_owned(),
            query: text.to_owned(),
            severity: Severity::Error,
            status: CheckStatus::Failed(difference),
            attempts: 1,
            waited: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn every_character_may_stand_in_a_report() {
        let all: Vec<char> = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        for some in all.chunks(1 << 14) {
            let text: String = some.iter().collect();
            let errored = CheckResult { status: CheckStatus::Errored(text), ..failed("errored", "") };
            read(&xml(&[errored], "redmond"));
        }
        for c in
            (0..=0xff).chain([0x2028, 0xfeff, 0xfffd, 0xfffe, 0xffff, 0x1_fffe, 0x10_ffff]).filter_map(char::from_u32)
        {
            let text = format!("{c}]]>{c}");
            let warned = CheckResult { severity: Severity::Warn, ..failed("warned", &text) };
            let failures = read(&xml(&[failed(&text, &text), warned], "redmond"));
            assert!(failures.starts_with(&*escape::line(&text)), "{c:?}: {failures}");
        }
    }

    #[test]
    fn junit_is_what_servers_read() {
        snapshot("checks-junit", &xml(&check_results(), "redmond"));
    }
}
