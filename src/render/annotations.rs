//! What CI systems show beside the lines of a pull request: their own log commands, or a report that they read.
//!
//! Each host has its own escapes; what a hub or a file said goes through [`escape`] first, and can neither end a command nor
//! begin one.

use std::collections::HashMap;

use serde::Serialize;

use super::number::counted;
use super::view::{ChangeSign, Foreseen, PlanView, RowView, Subject};
use super::{escape, value};
use crate::check::{CheckResult, CheckStatus, Severity};
use crate::digest::Hasher;
use crate::manifest::Declarations;
use crate::plan::Verdict;
use iothub_model::diagnostic::{self, Diagnostic};
use iothub_model::twin::TwinId;

/// Whose annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnnotationFormat {
    /// Workflow commands of GitHub Actions (docs: Workflow commands for GitHub Actions).
    GitHub,
    /// Logging commands of Azure Pipelines (docs: Logging commands).
    Azure,
    /// A Code Quality report of GitLab (docs: Code Quality, "Code Quality report format").
    GitLab,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnnotationLevel {
    /// The pipeline should be red.
    Error,
    /// Somebody should look.
    Warning,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// How bad it is.
    pub level: AnnotationLevel,
    /// A file, with a line and, where it is known, a column.
    pub place: Option<AnnotationPlace>,
    /// What it is about, in a word or two.
    pub title: &'static str,
    /// What to say; several lines are fine.
    pub message: String,
}

/// A file as messages name it, a line from 1, and a column from 1.
pub(crate) type AnnotationPlace = (String, usize, Option<usize>);

/// How many are written of a run: hosts show ten or fifty, and logs are read by people, too.
const MOST: usize = 50;
/// The longest message.
const LONGEST: usize = 1000;

impl Annotation {
    fn new(level: AnnotationLevel, title: &'static str, message: impl AsRef<str>) -> Self {
        let message = value::cut(&escape::lines(message.as_ref()), LONGEST).into_owned();
        Self { level, place: None, title, message }
    }

    fn at(mut self, place: Option<AnnotationPlace>) -> Self {
        self.place = place;
        self
    }

    /// Makes one of what went wrong as a whole.
    pub fn error(message: impl AsRef<str>) -> Self {
        Self::new(AnnotationLevel::Error, "twinctl", message)
    }
}

/// Makes annotations of what is wrong in manifests.
pub(crate) fn of_diagnostics(diagnostics: &[Diagnostic]) -> Vec<Annotation> {
    let one = |diagnostic: &Diagnostic| {
        let level = match diagnostic.severity {
            diagnostic::Severity::Error => AnnotationLevel::Error,
            diagnostic::Severity::Warning => AnnotationLevel::Warning,
        };
        let mut message = diagnostic.message.clone();
        for help in &diagnostic.help {
            message += &format!("\nhint: {help}");
        }
        let annotation = Annotation::new(level, "manifest", message);
        // A query that is folded over several lines is shown as a text of its own, which is no file.
        let label = diagnostic.labels.iter().find(|label| !label.source.name().starts_with('<'));
        annotation.at(label.map(|label| {
            let position = label.source.position(label.span.start);
            (label.source.name().to_owned(), position.line, Some(position.column))
        }))
    };
    diagnostics.iter().map(one).collect()
}

fn place((file, line): &(impl AsRef<str>, u32)) -> AnnotationPlace {
    (file.as_ref().to_owned(), (*line).max(1) as usize, None)
}

/// Returns the line of a path, or, if no line of the manifests declares it any more, the line of the twin.
fn place_of_row(row: &RowView, ids: &[String], declarations: &Declarations) -> Option<AnnotationPlace> {
    row.place.as_ref().map(place).or_else(|| place_of_twin(ids, declarations))
}

/// Returns the line of the first of these twins that the manifests declare.
fn place_of_twin(ids: &[String], declarations: &Declarations) -> Option<AnnotationPlace> {
    let twin = |id: &String| declarations.twins.get(&id.parse::<TwinId>().ok()?);
    let origin = &ids.iter().find_map(twin)?.origin;
    Some(place(&(&origin.file, origin.line)))
}

fn place_of_check(name: &str, declarations: &Declarations) -> Option<AnnotationPlace> {
    let is_named = |(known, _): &(&String, _)| **known == *name || escape::line(known) == name;
    declarations.check_places.iter().find(is_named).map(|(_, at)| place(at))
}

/// Makes annotations of a plan: errors for what stands in its way and for checks that will fail, warnings for drift and for
/// who else writes there.
pub(crate) fn of_plan(view: &PlanView<'_>, declarations: &Declarations) -> Vec<Annotation> {
    let mut all = Vec::new();
    for cluster in &view.clusters {
        let who = &cluster.who;
        if let Some(kind) = cluster.kind.filter(|_| cluster.is_in_the_way() && !cluster.remark.is_empty()) {
            let message = format!("{who} {}: {}", cluster.remark, super::view::named(&cluster.ids, 10));
            let placed = cluster.rows.iter().find_map(|row| row.place.as_ref().map(place));
            let place = placed.or_else(|| place_of_twin(&cluster.ids, declarations));
            all.push(Annotation::new(AnnotationLevel::Error, kind, message).at(place));
        }
        for row in &cluster.rows {
            let (path, value) = (&row.path, row.value());
            let place = place_of_row(row, &cluster.ids, declarations);
            match row.verdict() {
                None if row.sign == ChangeSign::Stop => {
                    all.push(
                        Annotation::new(AnnotationLevel::Error, "conflict", format!("{who}: {path} {value}")).at(place),
                    );
                }
                Some(verdict @ (Verdict::Drift | Verdict::EditOverDrift | Verdict::RemovedOverDrift)) => {
                    let message = format!("{who}: {path} was changed on the hub ({verdict}): {value}");
                    all.push(Annotation::new(AnnotationLevel::Warning, "drift", message).at(place));
                }
                Some(verdict) if view.subject == Subject::Drift => {
                    let message = format!("{who}: {path} is not as declared ({verdict}): {value}");
                    all.push(Annotation::new(AnnotationLevel::Warning, "drift", message).at(place));
                }
                _ => {}
            }
        }
    }
    all.extend(view.refusals.iter().map(|refusal| Annotation::new(AnnotationLevel::Error, "refused", refusal)));
    all.extend(view.ignored.iter().map(|ignored| Annotation::new(AnnotationLevel::Warning, "rollout", ignored)));
    for check in view.checks.iter().filter(|check| check.foreseen == Foreseen::WillFail) {
        let message = failed(&format!("{} will fail: {}", check.name, check.said), &check.devices, &check.query);
        let place = place_of_check(&check.name, declarations);
        all.push(Annotation::new(level(check.severity), "predicted check", message).at(place));
    }
    for writer in view.writers.iter().filter(|writer| writer.fights) {
        let paths: Vec<_> = writer.paths.iter().map(|(path, _)| path).collect();
        let (paths, more) = (super::view::named(&paths, 10), &writer.said);
        let message = format!("{} {} writes {paths}, too: {more}", writer.kind, writer.name);
        let rows = view.clusters.iter().flat_map(|cluster| &cluster.rows);
        let mut of_paths = rows.filter(|row| writer.paths.iter().any(|(path, _)| *path == row.path));
        let place = of_paths.find_map(|row| row.place.as_ref().map(place));
        let place = place.or_else(|| place_of_twin(&writer.twins, declarations));
        all.push(Annotation::new(AnnotationLevel::Warning, "who else writes here", message).at(place));
    }
    all
}

/// Makes annotations of checks that do not hold.
pub(crate) fn of_checks(results: &[CheckResult], declarations: &Declarations) -> Vec<Annotation> {
    let one = |result: &CheckResult| {
        let annotation = match &result.status {
            CheckStatus::Held => return None,
            CheckStatus::Failed(difference) => {
                let message = format!("{}: {}", result.name, difference.summary);
                let message = failed(&message, &difference.devices, &result.query);
                Annotation::new(level(result.severity), "check", message)
            }
            CheckStatus::Errored(why) => {
                Annotation::new(AnnotationLevel::Error, "check", format!("{} could not be asked: {why}", result.name))
            }
        };
        Some(annotation.at(place_of_check(&result.name, declarations)))
    };
    results.iter().filter_map(one).collect()
}

fn failed(message: &str, devices: &[String], query: &str) -> String {
    let devices = if devices.is_empty() { String::new() } else { format!("\n{}", super::view::named(devices, 10)) };
    format!("{message}{devices}\n{query}")
}

fn level(severity: Severity) -> AnnotationLevel {
    match severity {
        Severity::Error => AnnotationLevel::Error,
        Severity::Warn => AnnotationLevel::Warning,
    }
}

/// Writes annotations for a host, errors first. `default_file` is for GitLab, which shows nothing that has no file.
pub(crate) fn write(annotations: &[Annotation], host: AnnotationFormat, default_file: &str) -> String {
    let escaped = |annotation: &Annotation| {
        let place = annotation.place.as_ref();
        let place = place.map(|(file, line, column)| (escape::line(file).into_owned(), *line, *column));
        Annotation { place, ..annotation.clone() }
    };
    let mut sorted: Vec<Annotation> = annotations.iter().map(escaped).collect();
    sorted.sort_by_key(|annotation| annotation.level);
    if host == AnnotationFormat::GitLab {
        return gitlab(&sorted, default_file);
    }
    let line = if host == AnnotationFormat::GitHub { github } else { azure };
    let mut out: String = sorted.iter().take(MOST).map(line).collect();
    if sorted.len() > MOST {
        let more = counted(sorted.len() - MOST, "remark");
        out += &line(&Annotation::new(AnnotationLevel::Warning, "twinctl", format!("{more} more are in the log")));
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
        AnnotationLevel::Error => "error",
        AnnotationLevel::Warning => "warning",
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
        AnnotationLevel::Error => "error",
        AnnotationLevel::Warning => "warning",
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

fn gitlab(annotations: &[Annotation], default_file: &str) -> String {
    // How many there were before with the same path, title and message.
    let mut before: HashMap<(&str, &str, &str), usize> = HashMap::new();
    let mut issues = Vec::with_capacity(annotations.len());
    for Annotation { level, place, title, message } in annotations {
        let (path, begin) = place.as_ref().map_or((default_file, 1), |(file, line, _)| (file.as_str(), *line));
        let same = before.entry((path, title, message)).or_default();
        // The line is not part of it: a remark stays the same one when lines are added above it.
        let mut hasher = Hasher::new();
        for part in [path, title, message, &same.to_string()] {
            hasher.piece(part);
        }
        *same += 1;
        issues.push(Issue {
            description: message.clone(),
            check_name: format!("twinctl {title}"),
            fingerprint: hasher.finish().as_str().trim_start_matches("sha256:").to_owned(),
            severity: match level {
                AnnotationLevel::Error => "major",
                AnnotationLevel::Warning => "minor",
            },
            location: Location { path, lines: Lines { begin } },
        });
    }
    super::json::document(&issues)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::render::samples::{self, snapshot};
    use iothub_model::diagnostic::{Source, Span};

    fn all() -> Vec<Annotation> {
        let source = Source::new("fleet/oslo, 2.yaml", "fleet: redmond\ndevcies: {}\n");
        let wrong = Diagnostic::error("unknown field `devcies`")
            .at(&source, Span::new(15, 22), "")
            .help("did you mean `devices`? 100%;]");
        let odd = Diagnostic::warning("`1.10` is the number 1.1").at(&source, Span::new(0, 5), "");
        let mut all = of_diagnostics(&[odd, wrong, Diagnostic::error("the folder holds no manifest")]);
        let mut declarations = samples::declarations(&[("gone-1", &[]), ("c-3", &[])]);
        for name in ["nobody at full power", "nobody on cellular", "out of reach", "firmware \u{1b}[5mmix"] {
            declarations.check_places.insert(name.to_owned(), ("checks.yaml".into(), 7));
        }
        all.extend(of_plan(&PlanView::of(&samples::plan(samples::everything())), &declarations));
        all.extend(of_plan(&PlanView::of(&samples::reviewed()), &declarations));
        all.extend(of_checks(&samples::check_results(), &declarations));
        all
    }

    #[test]
    fn hosts_get_what_they_read() {
        let text = |host| write(&all(), host, "fleet");
        let written = format!(
            "{}--- azure\n{}--- gitlab\n{}",
            text(AnnotationFormat::GitHub),
            text(AnnotationFormat::Azure),
            text(AnnotationFormat::GitLab)
        );
        assert!(!written.contains(samples::SECRET));
        snapshot("annotations", &written);
    }

    #[test]
    fn a_flood_is_counted() {
        let many: Vec<_> = (0..120).map(|n| Annotation::error(format!("wrong {n}"))).collect();
        assert_eq!(write(&many, AnnotationFormat::GitHub, ".").lines().count(), MOST + 1);
        let report: Vec<Value> = serde_json::from_str(&write(&many, AnnotationFormat::GitLab, ".")).expect("JSON");
        assert_eq!(report.len(), 120);
        let twice = [Annotation::error("same"), Annotation::error("same")];
        let report: Vec<Value> = serde_json::from_str(&write(&twice, AnnotationFormat::GitLab, ".")).expect("JSON");
        assert_ne!(report[0]["fingerprint"], report[1]["fingerprint"]);
        assert_eq!(report[0]["location"], json!({ "path": ".", "lines": { "begin": 1 } }));
    }

    #[test]
    fn the_same_remark_on_two_lines_has_two_fingerprints() {
        let remark = |line| Annotation { place: Some(("a.yaml".to_owned(), line, None)), ..Annotation::error("same") };
        let report: Vec<Value> =
            serde_json::from_str(&write(&[remark(3), remark(9), remark(9)], AnnotationFormat::GitLab, "."))
                .expect("JSON");
        let unique: std::collections::HashSet<_> =
            report.iter().map(|issue| issue["fingerprint"].to_string()).collect();
        assert_eq!(unique.len(), 3, "{report:?}");
    }

    #[test]
    fn a_folded_query_is_annotated_in_its_file() {
        let text = "fleet: f\nchecks:\n  - name: c\n    query: >\n      SELECT deviceId\n      FROM device\n    expect: none\n";
        let found = crate::manifest::load_texts(&[("f.yaml", text)], &|_| None).expect_err("no such collection");
        let places: Vec<_> = of_diagnostics(&found).into_iter().map(|annotation| annotation.place).collect();
        assert!(matches!(&places[..], [Some((file, 5, _))] if file == "f.yaml"), "{places:?}");
    }

    proptest! {
        #[test]
        fn nobody_forges_one(pieces in prop::collection::vec(prop::sample::select(vec![
            "::", "error", "::error file=x::forged", "##vso[task.setvariable variable=x]y", "##[error]", "\n", "\r", "\n::warning::x",
            "]", ";", "%", "%0A", ",", ":", " ", "a", "#", "\u{2028}",
        ]), 0..10)) {
            let bad = pieces.concat();
            let mut annotation = Annotation::new(AnnotationLevel::Error, "check", &bad);
            annotation.place = Some((escape::line(&bad).into_owned(), 3, None));
            let text = write(&[annotation.clone()], AnnotationFormat::GitHub, ".");
            prop_assert_eq!(text.lines().count(), 1);
            let (properties, _) = text.strip_prefix("::error ").expect("the command").split_once("::").expect("its end");
            prop_assert_eq!(properties.split(',').count(), 3, "{}", text);
            let text = write(&[annotation], AnnotationFormat::Azure, ".");
            prop_assert_eq!(text.lines().count(), 1);
            prop_assert_eq!(text.matches("##vso[").count(), 1, "{}", text);
            prop_assert!(!text[2..].contains("##["), "{}", text);
            let (properties, _) = text.split_once(']').expect("its end");
            prop_assert_eq!(properties.split(';').count(), 3, "{}", text);
        }
    }
}
