//! What CI systems show beside the lines of a pull request: their own log commands, or a report that they read.
//!
//! Each host has its own escapes; what a hub or a file said goes through [`escape`] first, and can neither end a command nor
//! begin one.

use serde::Serialize;

use super::number::counted;
use super::view::{Foreseen, PlanView, RowView, Sign, Subject};
use super::{escape, value};
use crate::check::{CheckResult, CheckStatus, Severity};
use crate::diagnostic::{self, Diagnostic};
use crate::digest::Hasher;
use crate::plan::Verdict;

/// Whose annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Workflow commands of GitHub Actions (docs: Workflow commands for GitHub Actions).
    GitHub,
    /// Logging commands of Azure Pipelines (docs: Logging commands).
    Azure,
    /// A Code Quality report of GitLab (docs: Code Quality, "Code Quality report format").
    GitLab,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The pipeline should be red.
    Error,
    /// Somebody should look.
    Warning,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// How bad it is.
    pub level: Level,
    /// A file as the user gave it, with a line and, where it is known, a column.
    pub place: Option<(String, usize, Option<usize>)>,
    /// What it is about, in a word or two.
    pub title: &'static str,
    /// What to say; several lines are fine.
    pub message: String,
}

/// How many are written of a run: hosts show ten or fifty, and logs are read by people, too.
const MOST: usize = 50;
/// The longest message.
const LONGEST: usize = 1000;

impl Annotation {
    fn new(level: Level, title: &'static str, message: impl AsRef<str>) -> Self {
        let message = value::cut(&escape::lines(message.as_ref()), LONGEST).into_owned();
        Self { level, place: None, title, message }
    }

    fn at(mut self, row: &RowView) -> Self {
        self.place = row.place.as_ref().map(|(file, line)| (escape::line(file).into_owned(), *line as usize, None));
        self
    }

    /// Makes one of what went wrong as a whole.
    pub fn error(message: impl AsRef<str>) -> Self {
        Self::new(Level::Error, "twinctl", message)
    }
}

/// Makes annotations of what is wrong in manifests.
pub fn of_diagnostics(diagnostics: &[Diagnostic]) -> Vec<Annotation> {
    let one = |diagnostic: &Diagnostic| {
        let level = match diagnostic.severity {
            diagnostic::Severity::Error => Level::Error,
            diagnostic::Severity::Warning => Level::Warning,
        };
        let mut message = diagnostic.message.clone();
        for help in &diagnostic.help {
            message += &format!("\nhint: {help}");
        }
        let mut annotation = Annotation::new(level, "manifest", message);
        annotation.place = diagnostic.labels.first().map(|label| {
            let position = label.source.position(label.span.start);
            (escape::line(label.source.name()).into_owned(), position.line, Some(position.column))
        });
        annotation
    };
    diagnostics.iter().map(one).collect()
}

/// Makes annotations of a plan: errors for what stands in its way and for checks that will fail, warnings for drift and for
/// who else writes there.
pub fn of_plan(view: &PlanView<'_>) -> Vec<Annotation> {
    let mut all = Vec::new();
    for cluster in &view.clusters {
        let who = &cluster.who;
        if let Some(kind) = cluster.kind.filter(|_| cluster.is_in_the_way() && !cluster.remark.is_empty()) {
            let message = format!("{who} {}: {}", cluster.remark, super::view::named(&cluster.ids, 10));
            let placed = cluster.rows.iter().find(|row| row.place.is_some());
            let annotation = Annotation::new(Level::Error, kind, message);
            all.push(placed.into_iter().fold(annotation, Annotation::at));
        }
        for row in &cluster.rows {
            let (path, value) = (&row.path, row.value());
            match row.verdict() {
                None if row.sign == Sign::Stop => {
                    all.push(Annotation::new(Level::Error, "conflict", format!("{who}: {path} {value}")).at(row));
                }
                Some(verdict @ (Verdict::Drift | Verdict::EditOverDrift | Verdict::RemovedOverDrift)) => {
                    let message = format!("{who}: {path} was changed on the hub ({verdict}): {value}");
                    all.push(Annotation::new(Level::Warning, "drift", message).at(row));
                }
                Some(verdict) if view.subject == Subject::Drift => {
                    let message = format!("{who}: {path} is not as declared ({verdict}): {value}");
                    all.push(Annotation::new(Level::Warning, "drift", message).at(row));
                }
                _ => {}
            }
        }
    }
    all.extend(view.refusals.iter().map(|refusal| Annotation::new(Level::Error, "refused", refusal)));
    for check in view.checks.iter().filter(|check| check.foreseen == Foreseen::WillFail) {
        let message = failed(&format!("{} will fail: {}", check.name, check.said), &check.devices, &check.query);
        all.push(Annotation::new(level(check.severity), "predicted check", message));
    }
    for writer in view.writers.iter().filter(|writer| writer.fights) {
        let paths: Vec<_> = writer.paths.iter().map(|(path, _)| path).collect();
        let (paths, more) = (super::view::named(&paths, 10), &writer.said);
        let message = format!("{} {} writes {paths}, too: {more}", writer.kind, writer.name);
        all.push(Annotation::new(Level::Warning, "who else writes here", message));
    }
    all
}

/// Makes annotations of checks that do not hold.
pub fn of_checks(results: &[CheckResult]) -> Vec<Annotation> {
    let one = |result: &CheckResult| match &result.status {
        CheckStatus::Held => None,
        CheckStatus::Failed(difference) => {
            let message = format!("{}: {}", result.name, difference.summary);
            let message = failed(&message, &difference.devices, &result.query);
            Some(Annotation::new(level(result.severity), "check", message))
        }
        CheckStatus::Errored(why) => {
            Some(Annotation::new(Level::Error, "check", format!("{} could not be asked: {why}", result.name)))
        }
    };
    results.iter().filter_map(one).collect()
}

fn failed(message: &str, devices: &[String], query: &str) -> String {
    let devices = if devices.is_empty() { String::new() } else { format!("\n{}", super::view::named(devices, 10)) };
    format!("{message}{devices}\n{query}")
}

fn level(severity: Severity) -> Level {
    match severity {
        Severity::Error => Level::Error,
        Severity::Warn => Level::Warning,
    }
}

/// Writes annotations for a host, errors first. `default_file` is for GitLab, which shows nothing that has no file.
pub fn write(annotations: &[Annotation], host: Host, default_file: &str) -> String {
    let mut sorted: Vec<&Annotation> = annotations.iter().collect();
    sorted.sort_by_key(|annotation| annotation.level);
    if host == Host::GitLab {
        return gitlab(&sorted, default_file);
    }
    let line = if host == Host::GitHub { github } else { azure };
    let mut out: String = sorted.iter().take(MOST).map(|annotation| line(annotation)).collect();
    if sorted.len() > MOST {
        let more = counted(sorted.len() - MOST, "remark");
        out += &line(&Annotation::new(Level::Warning, "twinctl", format!("{more} more are in the log")));
    }
    out
}

/// Replaces characters by what a host takes for them.
fn replaced(text: &str, escapes: &[(char, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match escapes.iter().find(|(escaped, _)| *escaped == c) {
            Some((_, instead)) => out.push_str(instead),
            None => out.push(c),
        }
    }
    out
}

fn github(annotation: &Annotation) -> String {
    const DATA: &[(char, &str)] = &[('%', "%25"), ('\r', "%0D"), ('\n', "%0A")];
    const PROPERTY: &[(char, &str)] = &[('%', "%25"), ('\r', "%0D"), ('\n', "%0A"), (':', "%3A"), (',', "%2C")];
    let Annotation { level, place, title, message } = annotation;
    let command = match level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut properties = vec![format!("title={}", replaced(title, PROPERTY))];
    if let Some((file, line, column)) = place {
        properties.insert(0, format!("file={},line={line}", replaced(file, PROPERTY)));
        properties.extend(column.map(|column| format!("col={column}")));
    }
    format!("::{command} {}::{}\n", properties.join(","), replaced(message, DATA))
}

fn azure(annotation: &Annotation) -> String {
    const DATA: &[(char, &str)] = &[('%', "%AZP25"), ('\r', "%0D"), ('\n', "%0A")];
    const PROPERTY: &[(char, &str)] = &[('%', "%AZP25"), ('\r', "%0D"), ('\n', "%0A"), (';', "%3B"), (']', "%5D")];
    let Annotation { level, place, title, message } = annotation;
    let kind = match level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut properties = format!("type={kind}");
    if let Some((file, line, column)) = place {
        properties += &format!(";sourcepath={};linenumber={line}", replaced(file, PROPERTY));
        properties.extend(column.map(|column| format!(";columnnumber={column}")));
    }
    format!("##vso[task.logissue {properties}]{title}: {}\n", replaced(message, DATA))
}

#[derive(Serialize)]
struct Issue<'a> {
    description: String,
    check_name: String,
    fingerprint: String,
    severity: &'static str,
    location: Location<'a>,
}

#[derive(Serialize)]
struct Location<'a> {
    path: &'a str,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
}

fn gitlab(annotations: &[&Annotation], default_file: &str) -> String {
    let issues: Vec<_> = annotations
        .iter()
        .enumerate()
        .map(|(index, Annotation { level, place, title, message })| {
            let (path, begin) = place.as_ref().map_or((default_file, 1), |(file, line, _)| (file.as_str(), *line));
            // The line is not part of it: a remark stays the same one when lines are added above it.
            let same = annotations[..index]
                .iter()
                .filter(|other| other.title == *title && other.message == *message && other.place == *place)
                .count();
            let mut hasher = Hasher::new();
            for part in [path, title, message, &same.to_string()] {
                hasher.piece(part);
            }
            Issue {
                description: message.clone(),
                check_name: format!("twinctl {title}"),
                fingerprint: hasher.finish().as_str().trim_start_matches("sha256:").to_owned(),
                severity: match level {
                    Level::Error => "major",
                    Level::Warning => "minor",
                },
                location: Location { path, lines: Lines { begin } },
            }
        })
        .collect();
    super::json::document(&issues)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::diagnostic::{Source, Span};
    use crate::render::samples::{self, snapshot};

    fn all() -> Vec<Annotation> {
        let source = Source::new("fleet/oslo, 2.yaml", "fleet: redmond\ndevcies: {}\n");
        let wrong = Diagnostic::error("unknown field `devcies`")
            .at(&source, Span::new(15, 22), "")
            .help("did you mean `devices`? 100%;]");
        let odd = Diagnostic::warning("`1.10` is the number 1.1").at(&source, Span::new(0, 5), "");
        let mut all = of_diagnostics(&[odd, wrong, Diagnostic::error("the folder holds no manifest")]);
        all.extend(of_plan(&PlanView::of(&samples::plan(samples::everything()))));
        all.extend(of_plan(&PlanView::of(&samples::reviewed())));
        all.extend(of_checks(&samples::check_results()));
        all
    }

    #[test]
    fn hosts_get_what_they_read() {
        let text = |host| write(&all(), host, "fleet");
        let written =
            format!("{}--- azure\n{}--- gitlab\n{}", text(Host::GitHub), text(Host::Azure), text(Host::GitLab));
        assert!(!written.contains(samples::SECRET));
        snapshot("annotations", &written);
    }

    #[test]
    fn a_flood_is_counted() {
        let many: Vec<_> = (0..120).map(|n| Annotation::error(format!("wrong {n}"))).collect();
        assert_eq!(write(&many, Host::GitHub, ".").lines().count(), MOST + 1);
        let report: Vec<Value> = serde_json::from_str(&write(&many, Host::GitLab, ".")).expect("JSON");
        assert_eq!(report.len(), 120);
        let twice = [Annotation::error("same"), Annotation::error("same")];
        let report: Vec<Value> = serde_json::from_str(&write(&twice, Host::GitLab, ".")).expect("JSON");
        assert_ne!(report[0]["fingerprint"], report[1]["fingerprint"]);
        assert_eq!(report[0]["location"], json!({ "path": ".", "lines": { "begin": 1 } }));
    }

    proptest! {
        #[test]
        fn nobody_forges_one(pieces in prop::collection::vec(prop::sample::select(vec![
            "::", "error", "::error file=x::forged", "##vso[task.setvariable variable=x]y", "##[error]", "\n", "\r", "\n::warning::x",
            "]", ";", "%", "%0A", ",", ":", " ", "a", "#", "\u{2028}",
        ]), 0..10)) {
            let bad = pieces.concat();
            let mut annotation = Annotation::new(Level::Error, "check", &bad);
            annotation.place = Some((escape::line(&bad).into_owned(), 3, None));
            let text = write(&[annotation.clone()], Host::GitHub, ".");
            prop_assert_eq!(text.lines().count(), 1);
            let (properties, _) = text.strip_prefix("::error ").expect("the command").split_once("::").expect("its end");
            prop_assert_eq!(properties.split(',').count(), 3, "{}", text);
            let text = write(&[annotation], Host::Azure, ".");
            prop_assert_eq!(text.lines().count(), 1);
            prop_assert_eq!(text.matches("##vso[").count(), 1, "{}", text);
            prop_assert!(!text[2..].contains("##["), "{}", text);
            let (properties, _) = text.split_once(']').expect("its end");
            prop_assert_eq!(properties.split(';').count(), 3, "{}", text);
        }
    }
}
