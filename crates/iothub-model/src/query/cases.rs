//! Runs the tables of `tests/data/query/`.
//!
//! A file holds cases. Each begins with `### name`, goes on with what is run, and ends with what must come of it:
//!
//! ```text
//! # a remark
//! ### keeps the twins of one plant
//! query: SELECT * FROM devices WHERE tags.location.plant = 'Redmond43'
//! ids: mixer-01 mixer-02
//! ```
//!
//! - `query:` is the query; several make one of several lines. `condition:` is a condition over devices instead.
//! - `doc:` is one document in place of the collection's own file, `devices.json`, `modules.json` or `jobs.json`.
//! - `ids:` are the documents of `SELECT *` by their names, `row:` is one row of another query, `rows: none` is none.
//! - `error:` and `warning:` are as people see them, with the line of the query and the place under it. Warnings are
//!   looked at in `warnings.txt` only.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{BoundQuery, Collection, QueryError, QueryErrorKind, compile, compile_condition};
use crate::diagnostic::{Severity, Source, Span};

struct Case {
    name: String,
    query: String,
    is_condition: bool,
    documents: Vec<Value>,
    expected: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/query")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("reading {name}: {error}"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn parse_cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("### ") {
            cases.push(Case {
                name: name.to_owned(),
                query: String::new(),
                is_condition: false,
                documents: Vec::new(),
                expected: String::new(),
            });
        } else if !line.starts_with('#') {
            let case = cases.last_mut().unwrap_or_else(|| panic!("a case begins with `### name`: {line}"));
            let query = line.strip_prefix("query: ");
            let condition = line.strip_prefix("condition: ");
            if let Some(text) = query.or(condition) {
                if !case.query.is_empty() {
                    case.query.push('\n');
                }
                case.query.push_str(text);
                case.is_condition |= condition.is_some();
            } else if let Some(document) = line.strip_prefix("doc: ") {
                case.documents.push(json(document));
            } else if let Some(row) = line.strip_prefix("row: ") {
                writeln!(case.expected, "row: {}", json(row)).expect("a String takes all");
            } else {
                writeln!(case.expected, "{line}").expect("a String takes all");
            }
        }
    }
    cases
}

/// Draws one remark under the line of the query that it is about.
fn draw(error: &QueryError, text: &str) -> String {
    let word = match error.kind.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let Span { start, end } = error.span;
    assert!(text.is_char_boundary(start) && text.is_char_boundary(end) && start <= end, "{error:?} in {text}");
    let before = text[..start].rsplit('\n').next().unwrap_or_default();
    let line = text[start - before.len()..].lines().next().unwrap_or_default();
    let width = text[start..end].lines().next().unwrap_or_default().chars().count().max(1);
    let mut drawn = format!("{word}: {}\n  | {line}\n", error.message);
    let carets = format!("  | {}{} {}", " ".repeat(before.chars().count()), "^".repeat(width), error.label);
    writeln!(drawn, "{}", carets.trim_end()).expect("a String takes all");
    for help in &error.help {
        writeln!(drawn, "  = {help}").expect("a String takes all");
    }
    drawn
}

/// Names a document in a line of `ids:`.
fn id(document: &Value) -> String {
    let field = |name: &str| document.get(name).and_then(Value::as_str);
    match (field("deviceId"), field("moduleId").or(field("jobId"))) {
        (Some(device), None) => device.to_owned(),
        (Some(device), Some(inner)) => format!("{device}/{inner}"),
        _ => document.to_string(),
    }
}

fn run(case: &Case, with_warnings: bool) -> String {
    let compiled =
        if case.is_condition { compile_condition(&case.query, Collection::Devices) } else { compile(&case.query) };
    let query: BoundQuery = match compiled {
        Ok(query) => query,
        Err(errors) => return errors.iter().map(|error| draw(error, &case.query)).collect(),
    };
    let documents = if case.documents.is_empty() {
        let file = match query.collection() {
            Collection::Devices => "devices.json",
            Collection::Modules => "modules.json",
            Collection::Jobs => "jobs.json",
        };
        json(&read(file)).as_array().cloned().unwrap_or_else(|| panic!("{file} is no array"))
    } else {
        case.documents.clone()
    };
    let rows = query.rows(&documents);
    let mut actual = String::new();
    if rows.is_empty() {
        actual.push_str("rows: none\n");
    } else if query.selects_documents() {
        let ids: Vec<_> = rows.iter().map(id).collect();
        writeln!(actual, "ids: {}", ids.join(" ")).expect("a String takes all");
    } else {
        for row in rows {
            writeln!(actual, "row: {row}").expect("a String takes all");
        }
    }
    if with_warnings {
        actual.extend(query.warnings().iter().map(|warning| draw(warning, &case.query)));
    }
    actual
}

#[test]
fn every_case_comes_out_as_written() {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .filter(|name| name.ends_with(".txt"))
        .collect();
    files.sort();
    let (mut count, mut wrong) = (0, String::new());
    for file in files {
        let mut names = std::collections::HashSet::new();
        for case in parse_cases(&read(&file)) {
            count += 1;
            assert!(names.insert(case.name.clone()), "{file}: two cases are named {}", case.name);
            let actual = run(&case, file == "warnings.txt");
            if actual != case.expected {
                let Case { name, query, expected, .. } = case;
                write!(wrong, "### {file}: {name}\n{query}\n--- expected\n{expected}--- actual\n{actual}\n")
                    .expect("a String takes all");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count >= 150, "only {count} cases");
}

#[test]
fn errors_have_kinds() {
    use QueryErrorKind::*;
    let check = |text: &str, expected: &[QueryErrorKind]| {
        let kinds: Vec<_> = compile(text).expect_err(text).into_iter().map(|error| error.kind).collect();
        assert_eq!(kinds, expected, "{text}");
    };
    check("", &[Empty]);
    check(" \n ", &[Empty]);
    check("SELECT", &[Syntax, Syntax]);
    check("SELECT * FROM devices WHERE tags.group = 1", &[Keyword]);
    check("SELECT * FROM device", &[UnknownSource]);
    check("SELECT * FROM devices.jobs WHERE tags.x = 1", &[UnknownName]);
    check("SELECT * FROM devices WHERE foo(tags.x)", &[UnknownFunction]);
    check("SELECT * FROM devices WHERE contains(tags.x, 'a')", &[RouteOnlyFunction]);
    check("SELECT * FROM devices WHERE is_defined('x')", &[Arguments]);
    check("SELECT tags.x, COUNT() AS n FROM devices", &[NotAllowedHere]);
}

#[test]
fn nothing_is_no_query() {
    let check = |errors: Result<BoundQuery, Vec<QueryError>>, help: &str| {
        let errors = errors.expect_err("nothing");
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].kind, QueryErrorKind::Empty);
        assert_eq!(errors[0].help, [help]);
    };
    check(compile(" \n"), "for example `SELECT * FROM devices`");
    check(compile_condition("", Collection::Devices), "for example `status = 'enabled'`");
}

#[test]
fn the_longest_query() {
    let query = |length: usize| {
        let head = "SELECT * FROM devices WHERE tags.x = '";
        format!("{head}{}'", "é".repeat(length - head.chars().count() - 1))
    };
    assert!(compile(&query(8192)).is_ok());
    let errors = compile(&query(8193)).expect_err("a character too many");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind, QueryErrorKind::TooLong);
    assert_eq!(errors[0].message, "the query has 8193 characters, and the hub takes 8192");
}

#[test]
fn nesting_ends_in_an_error_and_not_in_the_stack() {
    let kinds = |text: &str| -> Vec<_> {
        compile_condition(text, Collection::Devices).expect_err("too deep").iter().map(|error| error.kind).collect()
    };
    assert_eq!(kinds(&"(".repeat(8192)), [QueryErrorKind::TooDeep]);
    assert_eq!(kinds(&"f(".repeat(4096)), [QueryErrorKind::TooDeep]);
    assert_eq!(kinds(&"NOT (".repeat(1600)), [QueryErrorKind::TooDeep]);
    assert_eq!(kinds(&"- (".repeat(2700)), [QueryErrorKind::TooDeep]);
    assert_eq!(kinds(&"NOT ".repeat(2000)), [QueryErrorKind::Syntax]);
    assert_eq!(kinds(&"[".repeat(8191)), [QueryErrorKind::Syntax]);
}

#[test]
fn what_may_be_long_costs_no_depth() {
    let check = |text: String| {
        let query = compile_condition(&text, Collection::Devices).expect("a condition");
        assert!(query.matches(&serde_json::json!({})), "{} characters", text.len());
    };
    check(format!("{}true", "true AND ".repeat(900)));
    check(format!("{}true", "false OR ".repeat(900)));
    check(format!("{}0 = 4000", "1+".repeat(4000)));
    check(format!("{}1 = 1", "1*".repeat(4000)));
    check(format!("{}true{}", "(".repeat(99), ")".repeat(99)));
    check(format!("1 IN [{}1]", "0,".repeat(4000)));
}

#[test]
fn a_column_takes_the_spelling_of_the_document() {
    let query = compile("SELECT X509THUMBPRINT.primarythumbprint, DEVICEID FROM devices").expect("a query");
    let live = serde_json::json!({ "deviceId": "d", "x509Thumbprint": { "PrimaryThumbprint": null } });
    let documented = serde_json::json!({ "deviceId": "d", "x509Thumbprint": { "primaryThumbprint": null } });
    assert_eq!(
        query.rows([&live, &documented]),
        [
            serde_json::json!({ "deviceId": "d", "PrimaryThumbprint": null }),
            serde_json::json!({ "deviceId": "d", "primaryThumbprint": null }),
        ]
    );
}

#[test]
fn drawing_is_what_a_diagnostic_says() {
    let text = "SELECT *\nFROM devces";
    let error = compile(text).expect_err("a typo").remove(0);
    let source = Source::new("q", text);
    assert_eq!(error.to_diagnostic(&source, 0).to_string(), "q:2:6: there is no collection `devces`");
}
