//! Manifests in `tests/data/manifest`, each beside what is said about it; and laws of the folder as a whole.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::Expectation;
use crate::manifest::fields::policy::Moved;
use crate::manifest::layers::declaration::Group;
use crate::manifest::load::{Outside, resolve_files};
use crate::manifest::text::source::{File, Tables};
use crate::manifest::*;
use iothub_model::diagnostic::{Diagnostic, Severity};
use iothub_model::duration;
use iothub_model::twin::ModuleId;

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifest").join(folder)
}

/// The environment that all of these manifests see.
fn environment(name: &str) -> Option<String> {
    match name {
        "PLANT" => Some("Redmond43".to_owned()),
        "INTERVAL" => Some("600".to_owned()),
        "RATIO" => Some("0.5".to_owned()),
        "FLAG" => Some("true".to_owned()),
        "LIST" => Some("[1, {\"a\": null}]".to_owned()),
        "EMPTY" => Some(String::new()),
        "HUGE" => Some("9007199254740993".to_owned()),
        "LONG" => Some("s3cret".repeat(1000)),
        "SECRET" => Some("s3cret value".to_owned()),
        "CONNECTION" => Some("HostName=x.azure-devices.net;SharedAccessKeyName=a;SharedAccessKey=s3cret".to_owned()),
        _ => None,
    }
}

fn load_path(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let mut options = LoadOptions::new(vec![path.to_owned()], Arc::new(environment));
    options.env_allow = ["SECRET", "CONNECTION"].map(str::to_owned).to_vec();
    load(&options)
}

/// Writes diagnostics plainly: place, message, the line, a caret, what else belongs to it.
fn plain(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        for (index, label) in diagnostic.labels.iter().enumerate() {
            let position = label.source.position(label.span.start);
            let place = format!("{}:{}:{}", label.source.name(), position.line, position.column);
            match index {
                0 => writeln!(text, "{place}: {severity}: {}", diagnostic.message).expect("written"),
                _ => writeln!(text, "  {place}:").expect("written"),
            }
            let source = label.source.text();
            assert!(source.is_char_boundary(label.span.start) && source.is_char_boundary(label.span.end));
            let line = source.lines().nth(position.line - label.source.first_line()).unwrap_or_default();
            let line: String = line.chars().take(110).map(|c| if c.is_control() { '·' } else { c }).collect();
            let under = source[label.span.start..label.span.end].lines().next().unwrap_or_default().chars().count();
            let carets = "^".repeat(under.clamp(1, 112_usize.saturating_sub(position.column).max(1)));
            let margin = " ".repeat((position.column - 1).min(112));
            writeln!(text, "    {line}\n    {}", format!("{margin}{carets} {}", label.text).trim_end())
                .expect("written");
        }
        if diagnostic.labels.is_empty() {
            writeln!(text, "{severity}: {}", diagnostic.message).expect("written");
        }
        for help in &diagnostic.help {
            writeln!(text, "  help: {help}").expect("written");
        }
    }
    text
}

/// Writes what a policy says, where it says something.
fn policies(policy: &Policy) -> Vec<String> {
    let Policy { exact, sensitive, limits, moved, released, rollout } = policy;
    let named = |paths: &[PolicyPath]| {
        paths.iter().map(|path| format!("{} [{}]", path.path, path.origin)).collect::<Vec<_>>().join(", ")
    };
    let mut lines = Vec::new();
    let mut say = |is: bool, text: String| lines.extend(is.then_some(text));
    say(!exact.is_empty(), format!("exact {}", named(exact)));
    say(!sensitive.paths().is_empty(), format!("sensitive {:?}", sensitive.paths()));
    say(*limits != Limits::default(), format!("{limits:?}"));
    for Moved { from, to, origin } in moved {
        say(true, format!("moved {from} to {to} [{origin}]"));
    }
    say(!released.is_empty(), format!("released {}", named(released)));
    say(*rollout != Rollout::default(), format!("{rollout:?}"));
    lines
}

/// Writes what a fleet comes to; devices of one body together.
fn resolved(loaded: &Loaded) -> String {
    let declarations = &loaded.declarations;
    let mut text = String::new();
    let mut line = |line: String| match line.char_indices().nth(200) {
        Some((end, _)) if !line.contains('\n') => text.push_str(&(line[..end].to_owned() + "…\n")),
        _ => text.push_str(&(line + "\n")),
    };
    line(format!("fleet {}", declarations.fleet));
    if let Some(hub) = &declarations.hub {
        line(format!("hub {hub}"));
    }
    line(format!("missing {:?}, ownership {:?}", declarations.missing, declarations.ownership));
    for policy in policies(&declarations.policy) {
        line(policy);
    }
    for (name, Group { body, members, origin }) in &declarations.groups {
        line(format!("group {name} [{origin}]: {} leaves, {members} devices", body.leaves().len()));
    }
    for Selector { name, condition, origin } in &declarations.selectors {
        line(format!("selector {name} [{origin}]: {}", condition.text()));
    }
    let mut bodies: Vec<(&Arc<Body>, Vec<String>)> = Vec::new();
    for (id, declaration) in &declarations.twins {
        let name = format!("{id} ({})", declaration.origin);
        match bodies.iter_mut().find(|(body, _)| Arc::ptr_eq(body, &declaration.body)) {
            Some((_, ids)) => ids.push(name),
            None => bodies.push((&declaration.body, vec![name])),
        }
    }
    for (body, ids) in bodies {
        match ids.as_slice() {
            [first, .., last] if ids.len() > 4 => line(format!("\n{first} … {last}: {} devices", ids.len())),
            _ => line(format!("\n{}", ids.join(", "))),
        }
        for leaf in body.leaves().iter() {
            let value = leaf.value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string);
            line(format!("  {} = {value}  [{:?}]", leaf.path, leaf.origin));
        }
    }
    for check in &declarations.checks {
        let gate = if check.gate { ", gate" } else { "" };
        line(format!("\ncheck {} ({:?}, within {:?}{gate})", check.name, check.severity, check.within));
        line(format!("  {}", check.query.text()));
        line(match &check.expect {
            Expectation::Share { bound, of } => format!("  Share {bound:?} of {}", of.text()),
            expectation => format!("  {expectation:?}"),
        });
    }
    if !loaded.warnings.is_empty() {
        line(format!("\n{}", plain(&loaded.warnings)));
    }
    text
}

/// Compares with the snapshot beside each manifest of a folder.
fn each(folder: &str, say: impl Fn(&Path) -> String) -> usize {
    let mut entries: Vec<_> = std::fs::read_dir(data(folder))
        .expect("a folder of manifests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    entries.sort();
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(data(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in &entries {
            let name = path.file_stem().expect("a name").to_string_lossy();
            insta::assert_snapshot!(&*name, say(path));
        }
    });
    entries.len()
}

#[test]
fn bad_manifests_are_explained() {
    let count = each("bad", |path| {
        let Err(found) = load_path(path) else { panic!("{} is good", path.display()) };
        assert!(found.iter().any(Diagnostic::is_error), "{}", path.display());
        let text = plain(&found);
        assert!(!text.contains("s3cret"), "{text}");
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{text}");
        text
    });
    assert!(count >= 60, "{count} bad manifests");
}

#[test]
fn good_manifests_are_resolved() {
    let count = each("good", |path| {
        let loaded = load_path(path).unwrap_or_else(|found| panic!("{}", plain(&found)));
        resolved(&loaded)
    });
    assert!(count >= 1, "{count} good manifests");
}

fn load_text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    resolve_files(&[File::new("fleet.yaml", text)], &Outside::new(Tables::Texts(&[]), &environment), Vec::new())
}

fn messages(text: &str) -> Vec<String> {
    load_text(text).map_or_else(
        |found| found.iter().map(ToString::to_string).collect(),
        |loaded| loaded.warnings.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn devices_of_one_range_share_a_body() {
    let loaded = load_text("fleet: f\ndevices:\n  'a{1..100000}': { tags: { x: 1 } }\n").expect("a fleet");
    let twins = &loaded.declarations.twins;
    assert_eq!(twins.len(), 100_000);
    let first = &twins.values().next().expect("a twin").body;
    assert!(twins.values().all(|declaration| Arc::ptr_eq(&declaration.body, first)));
}

#[test]
fn rows_that_say_the_same_share_a_body() {
    let fleet = "fleet: f\ninventory: [{ from: t.csv, id: '${row.id}', tags: { a: '${row.a}' }, modules: { m: { tags: { b: 1 } } } }]\n";
    let mut table = String::from("id,a\n");
    for id in 0..5_000 {
        writeln!(table, "d{id},{}", id % 3).expect("written");
    }
    let loaded = load_texts(&[("fleet.yaml", fleet), ("t.csv", &table)], &environment).expect("a fleet");
    let twins = &loaded.declarations.twins;
    assert_eq!(twins.len(), 10_000);
    let bodies: std::collections::BTreeSet<_> = twins.values().map(|twin| Arc::as_ptr(&twin.body)).collect();
    assert_eq!(bodies.len(), 4);
}

#[test]
fn a_table_that_is_wrong_everywhere_is_not_read_to_its_end() {
    let fleet = "fleet: f\ninventory: [{ from: t.csv, id: '${row.id}' }]\n";
    let table = format!("id,a\n{}", "x\n".repeat(1_000));
    let found = load_texts(&[("fleet.yaml", fleet), ("t.csv", &table)], &environment).expect_err("refused");
    assert_eq!(found.len(), 21);
    assert!(found.iter().any(|it| it.message == "the rest of `t.csv` was not read, after 20 rows with mistakes"));
    let unclosed = format!("id,a\n1,\"{}", "x\n".repeat(1_000_000));
    let found = load_texts(&[("fleet.yaml", fleet), ("t.csv", &unclosed)], &environment).expect_err("refused");
    assert!(found[0].message.contains("the row at line 2 has more than"), "{found:?}");
}

#[test]
fn variables_can_be_set_from_outside() {
    let fleet = "fleet: f
vars: { text: a, number: 1, list: [1], env: '${env.NOWHERE}', typed: '${env.INTERVAL:int}' }
devices:
  a: { desired: { text: '${var.text}', number: '${var.number}', list: '${var.list}', env: '${var.env}', typed: '${var.typed}' } }
";
    let resolve = |vars: &[(&str, &str)], files: &[(&str, &str)]| {
        let vars: Vec<_> = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let var_files: Vec<_> = files.iter().map(|(name, text)| File::new(name, *text)).collect();
        let outside = Outside { var_files: &var_files, vars: &vars, ..Outside::new(Tables::Texts(&[]), &environment) };
        match resolve_files(&[File::new("fleet.yaml", fleet)], &outside, Vec::new()) {
            Ok(loaded) => loaded.declarations.twins.values().next().map_or_else(Vec::new, |twin| {
                twin.body.leaves().iter().map(|leaf| format!("{:?}", leaf.value)).collect()
            }),
            Err(found) => found.iter().map(|it| format!("{it}; {}", it.help.join("; "))).collect(),
        }
    };
    let number = |text: &str| format!("Some(Number({text}))");
    let text = |text: &str| format!("Some(String({text:?}))");
    let one = "Some(Array [Number(1)])".to_owned();
    // env, list, number, text, typed
    assert_eq!(
        resolve(&[("env", "here"), ("number", "2.5"), ("text", "1.10"), ("typed", "7")], &[]),
        [text("here"), one.clone(), number("2.5"), text("1.10"), number("7")]
    );
    assert_eq!(
        resolve(
            &[("number", "3"), ("number", "4")],
            &[
                ("a.yaml", "env: a\nnumber: 2\nlist: '${env.NOTHING:json:-[]}'\n"),
                ("b.json", "{\n\t\"env\": \"b\",\n\t\"typed\": 1}")
            ]
        ),
        [text("b"), "Some(Array [])".to_owned(), number("4"), text("a"), number("1")]
    );
    assert_eq!(
        resolve(
            &[("env", "x"), ("numbr", "2"), ("number", "99999999999999999999")],
            &[("a.yaml", "lst: 1\n"), ("b.yaml", "- x\n")]
        ),
        [
            "a.yaml:1:1: there is no variable `lst`, which this file sets; did you mean `list`?",
            "b.yaml:1:1: variables must be a mapping, and this is a list; write `NAME: VALUE`, as under `vars`",
            "there is no variable `numbr`, which `--var` sets; did you mean `number`?",
            "fleet.yaml:2:18: the value that `--var` gives `number` is a number that the hub does not take; ",
        ]
    );
}

/// Loads a fleet whose one device has each variable under its name, with these over them.
fn with_vars(declared: &str, vars: &[(&str, &str)], file: Option<&str>) -> Result<Loaded, Vec<Diagnostic>> {
    let names: Vec<_> = declared.split(';').filter_map(|one| one.split(':').next()).map(str::trim).collect();
    let desired: Vec<_> = names.iter().map(|name| format!("{name}: '${{var.{name}}}'")).collect();
    let fleet = format!(
        "fleet: f\nvars: {{ {} }}\ndevices: {{ a: {{ desired: {{ {} }} }} }}\n",
        declared.replace(';', ","),
        desired.join(", ")
    );
    let vars: Vec<_> = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let var_files: Vec<_> = file.iter().map(|text| File::new("prod.yaml", *text)).collect();
    let outside = Outside { var_files: &var_files, vars: &vars, ..Outside::new(Tables::Texts(&[]), &environment) };
    resolve_files(&[File::new("fleet.yaml", fleet.as_str())], &outside, Vec::new())
}

#[test]
fn a_variable_keeps_the_type_that_it_is_declared_with() {
    for (declared, given, expected) in [
        ("l: [1]", "[7, 8]", Ok("[7,8]")),
        ("l: [1]", "[]", Ok("[]")),
        ("l: [1]", "- 7\n- 8\n", Ok("[7,8]")),
        ("l: [1]", "7, 8", Err("the variable `l` is a list, and `--var` gives a text")),
        ("l: [1]", "", Err("the variable `l` is a list, and `--var` gives nothing")),
        ("l: [1]", "[7, ", Err("the value that `--var` gives `l` is not YAML, at its character ")),
        ("m: { a: 1 }", "{ a: [true, x] }", Ok("{\"a\":[true,\"x\"]}")),
        ("m: { a: 1 }", "{\"a\": \"1\"}", Ok("{\"a\":\"1\"}")),
        ("m: { a: 1 }", "[1]", Err("the variable `m` is a mapping, and `--var` gives a list")),
        ("b: true", "TRUE", Ok("true")),
        ("b: true", " False ", Ok("false")),
        ("b: true", "yes", Err("the variable `b` is a boolean, and `--var` gives a text")),
        ("b: true", "1", Err("the variable `b` is a boolean, and `--var` gives a number")),
        ("b: true", "", Err("the variable `b` is a boolean, and `--var` gives nothing")),
        ("b: true", "null", Err("the variable `b` is a boolean, and `--var` gives null")),
        ("n: 1", "7", Ok("7")),
        ("n: 1", "0x1F", Ok("31")),
        ("n: 1", "0.5", Ok("0.5")),
        ("n: 1", "007", Err("the variable `n` is a number, and `--var` gives a text")),
        ("n: 1", "\"7\"", Err("the variable `n` is a number, and `--var` gives a text")),
        ("n: 1", "", Err("the variable `n` is a number, and `--var` gives nothing")),
        ("n: 1", "true", Err("the variable `n` is a number, and `--var` gives a boolean")),
        ("n: '${env.INTERVAL:int}'", "x", Err("the variable `n` is a number, and `--var` gives a text")),
        ("b: '${env.FLAG:bool}'", "False", Ok("false")),
        ("t: x", "007", Ok("\"007\"")),
        ("t: x", "", Ok("\"\"")),
        ("t: x", "[7]", Ok("\"[7]\"")),
        ("t: x", "null", Ok("\"null\"")),
        ("t: '${env.PLANT}'", "1.10", Ok("\"1.10\"")),
        ("t: 'v${env.INTERVAL}'", "1.10", Ok("\"1.10\"")),
        ("o: null", "[7]", Ok("[7]")),
        ("o: null", "1.5", Ok("1.5")),
        ("o: null", "x", Ok("\"x\"")),
        ("o: null", "\"1.10\"", Ok("\"1.10\"")),
        ("o: null", "", Ok("absent")),
        ("o: '${env.LIST:json}'", "{ a: 1 }", Ok("{\"a\":1}")),
        (
            "t: x",
            "$(FIRMWARE)",
            Err("the value that `--var` gives `t` is `$(FIRMWARE)`, which Azure Pipelines did not replace"),
        ),
        ("n: 1", "%N%", Err("the value that `--var` gives `n` is `%N%`, which the shell did not replace")),
    ] {
        let name = &declared[..1];
        let found = with_vars(declared, &[(name, given)], None);
        match (found, expected) {
            (Ok(loaded), Ok(expected)) => {
                let twin = loaded.declarations.twins.values().next().expect("a device");
                // An object's members are leaves of their own.
                let leaves = twin.body.leaves();
                let value = match (leaves.as_ref(), &declared[..2]) {
                    ([leaf], "m:") => format!("{{\"a\":{}}}", leaf.value.as_ref().expect("a value")),
                    ([leaf], _) if leaf.path.as_str() == format!("desired.{name}") => {
                        leaf.value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string)
                    }
                    (leaves, _) => format!("{{\"a\":{}}}", leaves[0].value.as_ref().expect("a value")),
                };
                assert_eq!(value, expected, "{declared} {given}");
            }
            (Err(found), Err(expected)) => {
                assert_eq!(found.len(), 1, "{found:?}");
                assert!(found[0].message.starts_with(expected), "{declared} {given}: {}", found[0].message);
            }
            (found, _) => panic!("{declared} {given}: {found:?}"),
        }
    }
}

/// The texts that flags and fault rules accept, too.
#[test]
fn durations() {
    let table = include_str!("../../tests/data/durations.txt");
    for (text, expected) in table.lines().filter(|row| !row.starts_with('#')).filter_map(|row| row.split_once(" -> ")) {
        let read = |written: &str| {
            let check = format!("{{ name: c, query: SELECT * FROM devices, expect: none, within: {written} }}");
            let manifest = format!("fleet: f\nrollout: {{ pause: {written} }}\nchecks: [{check}]\n");
            load_texts(&[("fleet.yaml", &manifest)], &|_| None).map(|loaded| {
                let Declarations { checks, policy, .. } = loaded.declarations;
                (checks[0].within, policy.rollout.pause)
            })
        };
        // A number without quotes is a number of YAML's; a comma without quotes ends the entry.
        let bare = Some(text.to_owned()).filter(|text| !text.contains(','));
        for written in bare.into_iter().chain([format!("'{text}'"), format!("' {text} '")]) {
            match duration::parse(text, duration::DAY) {
                Ok(duration) => {
                    assert_eq!(duration.as_millis().to_string(), expected, "{text}");
                    assert_eq!(read(&written), Ok((duration, duration)), "{written}");
                }
                Err(error) => {
                    assert!(expected.parse::<u64>().is_err(), "{text}");
                    let found = read(&written).expect_err(&written);
                    // A number can be too large for the hub as well.
                    let found: Vec<_> = found.iter().filter(|it| it.message.starts_with('`')).collect();
                    assert_eq!(found.len(), 2, "{written}: {found:?}");
                    for (diagnostic, field) in found.iter().zip(["pause", "within"]) {
                        let Diagnostic { message, help, .. } = diagnostic;
                        assert!(message.starts_with(&format!("`{field}` is ")), "{written}: {message}");
                        assert!(message.ends_with(&format!(": {error}")), "{written}: {message}");
                        assert_eq!(*help, [error.hint()], "{written}");
                    }
                }
            }
        }
    }
    let zero =
        load_texts(&[("fleet.yaml", "fleet: f\nrollout: { pause: 0 }\n")], &|_| None).expect_err("a bare number");
    assert_eq!(
        (zero[0].message.as_str(), zero[0].help.as_slice()),
        ("`pause` is 0: a duration needs a unit", &["write `0s`".to_owned()][..])
    );
}

#[test]
fn what_comes_from_outside_is_in_no_message() {
    for (declared, given) in [
        ("n: 1", "s3cret"),
        ("n: 1", "4242424242424242424242424242"),
        ("l: [1]", "{ s3cret"),
        ("l: [1]", "{ s3cret: s3cret }"),
        ("m: { a: 1 }", "{ a.b: s3cret }"),
        ("m: { a: 1 }", "{ a: s3cret, a: s3cret }"),
        ("o: null", "!s3cret [s3cret"),
        ("o: null", "\"s3cret"),
        ("b: true", "s3cret"),
    ] {
        let found = with_vars(declared, &[(&declared[..1], given)], None);
        let Err(found) = found else { continue };
        let shown = format!("{found:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("4242"), "{declared} {given}: {shown}");
    }
    let environment = |name: &str| match name {
        "PIN" => Some("-4242".to_owned()),
        "PASSWORD" => Some("s3cret".to_owned()),
        "PLACEHOLDER" => Some("$(PIN)".to_owned()),
        _ => None,
    };
    for (text, said) in [
        ("limits: { max_changed: '${env.PIN:int}' }", "and is a number from a reference"),
        ("limits: { min_population: '${env.PIN:int}' }", "and is a number from a reference"),
        ("rollout: { pause: '${env.PIN:int}' }", "is a number from a reference: a duration needs a unit"),
        ("checks: [{ name: c, query: SELECT * FROM devices, expect: '${env.PIN:float}' }]", "a number alone"),
        ("hub: 'x y ${env.PIN:int}'", "a value from the environment is not a hub's host name"),
        ("devices: { a: { tags: { x: '${env.PASSWORD}' } } }", "`PASSWORD` has the name of a credential"),
        ("devices: { a: { tags: { x: '${env.PASSWORD:-}' } } }", "`PASSWORD` has the name of a credential"),
        ("devices: { a: { tags: { x: '${env[\"PASSWORD\"]}' } } }", "`PASSWORD` has the name of a credential"),
        ("vars: { x: '${env.PASSWORD}' }", "`PASSWORD` has the name of a credential"),
        ("hub: '${env.https_proxy}'", "`https_proxy` is what twinctl itself works with"),
        ("hub: '${{ env.X }}'", "unknown reference `${{ env.X }}`"),
        (
            "devices: { a: { tags: { x: '${env.PLACEHOLDER}' } } }",
            "the environment variable `PLACEHOLDER` is `$(PIN)`, which Azure Pipelines did not replace",
        ),
    ] {
        let text = format!("fleet: f\n{text}\n");
        let found = load_texts(&[("fleet.yaml", &text)], &environment).expect_err("refused");
        let shown = format!("{found:?}");
        assert!(found.iter().any(|it| it.message.contains(said)), "{text}: {shown}");
        assert!(!shown.contains("4242") && !shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_file_of_variables_is_for_several_fleets_and_keeps_types() {
    let loaded = with_vars("n: 1; t: x", &[], Some("n: 2\nother: 3\nT: y\n")).expect("warnings alone");
    let warnings: Vec<_> = loaded.warnings.iter().map(|it| format!("{it}; {}", it.help.join("; "))).collect();
    assert_eq!(
        warnings,
        [
            "prod.yaml:2:1: there is no variable `other`, which this file sets; a manifest must declare it under `vars`, with the value \
             that it has otherwise",
            "prod.yaml:3:1: there is no variable `T`, which this file sets; did you mean `t`?",
        ]
    );
    for (declared, file, expected) in [
        ("t: '1.9'", "t: 1.10", "prod.yaml:1:4: the variable `t` is a text, and this file gives a number"),
        ("n: 1", "n: '7'", "prod.yaml:1:4: the variable `n` is a number, and this file gives a text"),
        ("n: 1", "n: '${env.INTERVAL}'", "prod.yaml:1:4: the variable `n` is a number, and this file gives a text"),
        ("n: 1", "n:", "prod.yaml:1:1: the variable `n` is a number, and this file gives empty"),
        ("b: true", "b: yes", "prod.yaml:1:4: the variable `b` is a boolean, and this file gives a text"),
        ("l: [1]", "l: 1", "prod.yaml:1:4: the variable `l` is a list, and this file gives a number"),
        (
            "t: x",
            "t: $(FIRMWARE)",
            "prod.yaml:1:4: the value of `t` is `$(FIRMWARE)`, which Azure Pipelines did not replace",
        ),
        (
            "t: x",
            "t: '${{ vars.X }}'",
            "prod.yaml:1:4: the value of `t` is `${{ vars.X }}`, which the pipeline did not replace",
        ),
    ] {
        let found = with_vars(declared, &[], Some(file)).expect_err("refused");
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected], "{declared} {file}");
    }
    for (declared, file) in
        [("n: 1", "n: '${env.INTERVAL:int}'"), ("o: null", "o: [1]"), ("n: 1", "n: '${env.LIST:json}'")]
    {
        let told = with_vars(declared, &[], Some(file)).map(|_| ()).map_err(|found| found[0].message.clone());
        assert!(told.is_ok() || file.contains("LIST"), "{declared} {file}: {told:?}");
    }
}

#[test]
fn line_ends_of_a_checkout_change_nothing() {
    let fleet = "fleet: f
vars: { note: \"a
    b\" }
inventory: [{ from: t.csv, id: '${row.id}', tags: { note: '${row[\"a note\"]}', var: '${var.note}' } }]
groups: { g: { desired: { text: |
    one
    two
  } } }
devices:
  d: { groups: [g] }
  e:
    desired:
      block: |
        one
        two
      folded: >
        one
        two
checks: [{ name: c, query: \"SELECT *
  FROM devices\", expect: some }]
";
    let fleet = fleet.replace("groups: { g: { desired: { text: |\n    one\n    two\n  } } }\n", "groups: { g: {} }\n");
    let table = "id,\"a note\"\nx,\"two\nlines\"\ny,\"\n\"\n";
    let digest = |ends: &str| {
        let texts = [fleet.replace('\n', ends), table.replace('\n', ends)];
        let loaded = load_texts(&[("fleet.yaml", &texts[0]), ("t.csv", &texts[1])], &environment);
        loaded.map_err(|found| plain(&found)).expect("a fleet").declarations
    };
    let (unix, windows) = (digest("\n"), digest("\r\n"));
    assert_eq!(unix.digest, windows.digest);
    let note = |of: &Declarations| {
        let (_, twin) = of.twins.iter().find(|(id, _)| id.to_string() == "x").expect("a row");
        twin.body.leaves()[0].value.clone()
    };
    assert_eq!((note(&unix), note(&windows)), (Some("two\nlines".into()), Some("two\nlines".into())));
}

#[test]
fn tables_of_spreadsheets_are_read() {
    let fleet =
        "fleet: f\ninventory: [{ from: t.csv, id: '${row.id}', tags: { site: '${row[\"TAG:site\"]:-none}' } }]\n";
    let ids = |table: &str| match load_texts(&[("fleet.yaml", fleet), ("t.csv", table)], &environment) {
        Ok(loaded) => {
            let twin = |(id, twin): (&iothub_model::twin::TwinId, &Declaration)| {
                let site = twin.body.leaves()[0].value.clone().unwrap_or_default();
                format!("{id}={}:{}", site.as_str().unwrap_or_default(), twin.origin.line)
            };
            loaded.declarations.twins.iter().map(twin).collect::<Vec<_>>().join(" ")
        }
        Err(found) => found.iter().map(|it| format!("{it}; {}", it.help.join("; "))).collect::<Vec<_>>().join("\n"),
    };
    for (table, expected) in [
        ("id,TAG:site\na,oslo\n,\n,,,\n\nb,\n", "a=oslo:2 b=none:6"),
        ("id,TAG:site\na,oslo\n\"\",\"\"\n  , \n   \nb,x", "a=oslo:2 b=x:6"),
        (",,\nid,TAG:site,\na,oslo,\nb,x\nc,y,,,\n", "a=oslo:3 b=x:4 c=y:5"),
        ("sep=;\nid;TAG:site\na;\"o;s\"\n;\n", "a=o;s:3"),
        ("\u{feff}sep=;\r\nid;TAG:site\r\na;oslo\r\n", "a=oslo:3"),
        ("SEP=,\nid,TAG:site\na,oslo\n", "a=oslo:3"),
        ("sep=;;;\nid;TAG:site\na;oslo\n", "a=oslo:3"),
        ("sep=\t\nid\tTAG:site\na\toslo\n", "a=oslo:3"),
        ("\u{feff}\"id\",TAG:site\na,oslo\n", "a=oslo:2"),
        (
            "sep=;\nid;TAG:site\na\n",
            "t.csv:3:1: a row of 1 cell, and the head names 2; an empty cell has its separator, too; quote a text that has one in it",
        ),
        (
            "id,TAG:site\na,oslo,more\n",
            "t.csv:2:1: a row of 3 cells, and the head names 2; an empty cell has its comma, too; quote a text that has a comma in it",
        ),
        (",,\n\"\"\n", "fleet.yaml:2:21: the table `t.csv` is empty; its first row names the columns"),
    ] {
        let found = ids(table);
        let found = found.strip_prefix("t.csv:").map_or(found.as_str(), |_| found.as_str());
        assert_eq!(found, expected, "{table:?}");
    }
    let semicolons = ids("id;TAG:site\na;oslo\n");
    assert!(semicolons.contains("write `sep=;` as its first line"), "{semicolons}");
}

#[test]
fn a_column_with_a_colon_is_named_in_brackets() {
    let hints = |reference: &str, table: (&str, &str)| {
        let fleet = format!(
            "fleet: f\ninventory: [{{ from: {}, id: '${{row.id}}', tags: {{ x: '{reference}' }} }}]\n",
            table.0
        );
        let found = load_texts(&[("fleet.yaml", &fleet), table], &environment).expect_err("refused");
        found[0].help.join("; ")
    };
    let csv = ("t.csv", "id,TAG:site,TAG:json,a\nx,oslo,1,2\n");
    let json = ("t.json", "[{\"id\": \"x\", \"TAG:site\": \"oslo\", \"TAG:json\": 1}]");
    for table in [csv, json] {
        for (reference, hint) in [
            ("${row.TAG:site}", "is written '${row[\"TAG:site\"]}'"),
            ("${row.TAG:site:-none}", "is written '${row[\"TAG:site\"]:-none}'"),
            ("${row.TAG:site:int}", "is written '${row[\"TAG:site\"]:int}'"),
            ("${row.TAG:json}", "did you mean '${row[\"TAG:json\"]}'?"),
            ("${row.TAG:json:int}", "is written '${row[\"TAG:json\"]:int}'"),
            ("${row[\"TAG:sit\"]}", "did you mean '${row[\"TAG:site\"]}'?"),
            ("${row[TAG:site]}", "a name in brackets is in quotes, too: '${row[\"NAME\"]}'"),
        ] {
            let found = hints(reference, table);
            assert!(found.contains(hint), "{reference}: {found}");
        }
    }
}

#[test]
fn modules_of_one_range_share_a_body() {
    let text = "fleet: f\ndefaults: { tags: { x: 1 } }\ndevices:\n  'a{1..100}': { modules: { m: { tags: { y: 1 } }, n: {}, o: {} } }\n";
    let twins = load_text(text).expect("a fleet").declarations.twins;
    assert_eq!(twins.len(), 400);
    for (module, leaves) in [(None, 1), (Some("m"), 1), (Some("n"), 0), (Some("o"), 0)] {
        let of: Vec<_> = twins
            .iter()
            .filter(|(id, _)| id.module.as_ref().map(ModuleId::as_str) == module)
            .map(|(_, it)| it)
            .collect();
        assert_eq!(of.len(), 100);
        assert_eq!(of[0].body.leaves().len(), leaves, "{module:?}");
        assert!(of.iter().all(|declaration| Arc::ptr_eq(&declaration.body, &of[0].body)));
    }
}

#[test]
fn a_fleet_has_no_more_modules_than_a_hub_takes() {
    let modules = |many: usize| (1..=many).map(|n| format!("m{n}: {{}}")).collect::<Vec<_>>().join(", ");
    let fleet = |ids: &str, many| {
        messages(&format!("fleet: f\ndevices: {{ '{ids}': {{ modules: {{ {} }} }} }}\n", modules(many)))
    };
    assert_eq!(fleet("a", 50), [""; 0]);
    assert_eq!(fleet("a", 51), ["fleet.yaml:2:19: 51 modules, and the hub takes 50 a device at most"]);
    assert_eq!(fleet("a{1..250}", 3), [""; 0]);
    let message = "fleet.yaml:2:12: more than the 1000000 devices and modules that a hub holds";
    assert_eq!(fleet("a{1..250001}", 3), [message]);
}

#[test]
fn a_mistake_made_many_times_is_told_a_hundred_times() {
    let mut text = String::from("fleet: f\ndevices:\n");
    for index in 0..130 {
        writeln!(text, "  'a b{index}': {{}}").expect("written");
    }
    let messages = messages(&text);
    assert_eq!(messages.len(), 101);
    assert_eq!(messages[100], "30 more errors are not shown");
}

#[test]
fn aliases_may_repeat_what_is_small() {
    let fleet = |times: usize| {
        let repeated = "*a, ".repeat(times);
        format!("fleet: f\nvars: {{ a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9], b: [{repeated}] }}\n")
    };
    assert_eq!(messages(&fleet(900)), [""; 0]);
    // The file has some 1,500 nodes itself, so ten times that may be added, ten nodes at once.
    assert_eq!(messages(&fleet(1_500)), [""; 0]);
    let long = format!("fleet: f\nvars: {{ a: &a {:?}, b: [{}] }}\n", "x".repeat(64_000), "*a, ".repeat(2_000));
    assert_eq!(messages(&long), ["fleet.yaml:2:64143: aliases repeat too much"]);
}

#[test]
fn references_may_not_put_in_without_end() {
    let text = format!(
        "fleet: f\nvars: {{ long: {:?} }}\ndefaults: {{ desired: {{ a: [{}] }} }}\n",
        "x".repeat(640_000),
        "\"${var.long}\", ".repeat(100),
    );
    let messages = messages(&text);
    assert!(messages.iter().any(|message| message.ends_with("references put too much into the fleet")));
}

#[test]
fn the_digest_is_of_what_is_declared() {
    let digest = |text: &str| load_text(text).unwrap_or_else(|found| panic!("{}", plain(&found))).declarations.digest;
    let fleet = "fleet: f\ngroups: { g: { tags: { x: 1.0 } } }\ndevices: { a: { groups: [g] }, b: {} }\n";
    let check =
        |text: &str| digest(&format!("{fleet}checks:\n  - {{ name: c, query: SELECT * FROM devices, {text} }}\n"));
    // The same, written otherwise.
    assert_eq!(digest(fleet), digest("# x\nfleet: f\ndevices: { b: , a: { tags: { x: 1 } } }\nmissing: fail\n"));
    assert_eq!(check("expect: { count: 3 }"), check("expect: { count: '= 3' }, within: 1m, severity: error"));
    assert_eq!(check("expect: [{ a: 1 }, { a: 2 }]"), check("expect: [{ a: 2 }, { a: 1.0 }]"));
    // All of these differ.
    let all = [
        digest(fleet),
        digest(&fleet.replace("fleet: f", "fleet: g")),
        digest(&format!("{fleet}missing: skip\n")),
        digest(&format!("{fleet}ownership: none\n")),
        digest(&format!("{fleet}hub: a.azure-devices.net\n")),
        digest(&fleet.replace("1.0", "2")),
        digest(&fleet.replace("1.0", "null")),
        digest(&fleet.replace("1.0", "'null'")),
        digest(&fleet.replace("tags", "desired")),
        digest(&fleet.replace("b: {}", "c: {}")),
        digest(&fleet.replace("b: {}", "b: { modules: { m: {} } }")),
        digest(&fleet.replace("b: {}", "b: { modules: { m: { tags: { x: 1 } } } }")),
        digest(&fleet.replace("b: {}", "b: { modules: { m: { tags: { x: 2 } } } }")),
        digest(&fleet.replace("b: {}", "b: { modules: { n: { tags: { x: 1 } } } }")),
        digest(&fleet.replace("b: {}", "b: {}, c: { modules: { m: {} } }")),
        check("expect: none"),
        check("expect: some"),
        check("expect: { count: 3 }"),
        check("expect: { count: 3 }, within: 2m"),
        check("expect: { count: 3 }, severity: warn"),
        check("expect: { count: '>= 3' }"),
        check("expect: { n: 3 }"),
        check("expect: { n: { min: 3 } }"),
        check("expect: { n: { max: 3 } }"),
        check("expect: [a]"),
        check("expect: { share: 3%, of: SELECT * FROM devices }"),
    ];
    for (index, digest) in all.iter().enumerate() {
        assert!(!all[..index].contains(digest), "{index}");
    }
}

/// `json.dumps` writes characters in two halves.
#[test]
fn halves_of_characters_are_read_in_tables() {
    let manifest = |table: &str| {
        format!("fleet: f\ninventory: [{{ from: {table}, id: '${{row.id}}', tags: {{ a: '${{row.a}}' }} }}]\n")
    };
    let load = |table: &str, row: &str| {
        let fleet = manifest(table);
        load_texts(&[("fleet.yaml", fleet.as_str()), (table, row)], &environment)
    };
    for (table, row) in
        [("t.json", r#"[{ "id": "d1", "a": "\ud83d\ude00" }]"#), ("t.jsonl", r#"{ "id": "d1", "a": "\uD83D\uDE00" }"#)]
    {
        let loaded = load(table, row).unwrap_or_else(|found| panic!("{}", plain(&found)));
        let device = loaded.declarations.twins.values().next().expect("a device");
        assert_eq!(device.body.leaves().iter().next().expect("a leaf").value, Some("😀".into()), "{table}");
    }
    let found = load("t.jsonl", r#"{ "id": "d1", "a": "\ud83d" }"#).expect_err("half of a character");
    assert!(
        plain(&found).contains(r"write both halves, as in `\ud83d\ude00`, or the character itself"),
        "{}",
        plain(&found)
    );
}

#[test]
fn odd_characters_in_tables_are_named() {
    let load = |column: &str, table: &str| {
        let fleet = format!(
            "fleet: f\ninventory: [{{ from: t.csv, id: '${{row.id}}', tags: {{ a: '${{row.{column}}}' }} }}]\n"
        );
        load_texts(&[("fleet.yaml", fleet.as_str()), ("t.csv", table)], &environment)
    };
    let loaded = load("a", "\u{feff}id\u{a0},a\u{200b}\nd1,x\u{a0}\nd2,y\u{a0}\n")
        .unwrap_or_else(|found| panic!("{}", plain(&found)));
    insta::assert_snapshot!(plain(&loaded.warnings), @r#"
t.csv:2:4: warning: U+00A0 (a no-break space) at an end of a cell is part of its text
    d1,x 
       ^^ the first such cell of this column
  help: take it out of the table, unless it is meant
"#);
    let found = load("power level", "id,power\u{a0}level\nd1,1\n").expect_err("no such column");
    let text = plain(&found);
    assert!(text.contains("the column is there with a U+00A0 (a no-break space) in its name"), "{text}");
    let found = load("a", "id,a\nd\u{a0}1,1\n").expect_err("no id");
    assert!(plain(&found).contains("\\u{a0}"), "{}", plain(&found));
}

#[test]
fn empty_documents_do_not_count() {
    let load = |text: &str| load_texts(&[("fleet.yaml", text)], &environment);
    let fleet = "fleet: f\ndevices:\n  a: {}\n  b: {}\n";
    for (before, after) in [
        ("", "---\n"),
        ("---\n", "---\n# nothing\n"),
        ("---\n# nothing\n---\n", "...\n---\n...\n"),
        ("", "---\n---\n---\n"),
    ] {
        let text = format!("{before}{fleet}{after}");
        let loaded = load(&text).unwrap_or_else(|found| panic!("{text}\n{}", plain(&found)));
        assert_eq!(loaded.declarations.twins.len(), 2, "{text}");
    }
    let found = load(&format!("{fleet}---\n---\ndevices: {{ c: {{}} }}\n")).expect_err("two documents");
    assert!(plain(&found).contains("error: several documents in one file"), "{}", plain(&found));
}
