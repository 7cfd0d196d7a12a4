//! The JSON Schema of manifests: against a validator, and in the YAML language server that editors use.
//!
//! Both are Node's, and the tests install them themselves, below the target folder.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::{Sandbox, packages_of, scrub};

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/yaml"))
}

/// Returns the folder of packages that has what the lock file says, made at the first call; none where there is no Node.
fn packages() -> Option<&'static Path> {
    static PACKAGES: OnceLock<Option<PathBuf>> = OnceLock::new();
    PACKAGES.get_or_init(|| packages_of(here(), "yaml-language-server")).as_deref()
}

/// Writes the schema as `twinctl schema` prints it.
fn schema(sandbox: &Sandbox) -> PathBuf {
    let run = sandbox.twinctl(["schema"]);
    assert_eq!(run.code, 0, "{run}");
    sandbox.write("fleet.schema.json", &run.stdout)
}

/// Returns the manifests of a folder of `tests/data/manifest`, those in folders of their own included.
fn manifests(folder: &str) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("yaml" | "yml") => found.push(path),
                _ if path.is_dir() => below(&path, found),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifest").join(folder), &mut found);
    // An empty file is nothing that a schema speaks of.
    found
        .retain(|path| std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| !line.starts_with('#'))));
    found.sort();
    found
}

fn validate(sandbox: &Sandbox, packages: &Path, files: &[PathBuf]) -> Vec<(String, Vec<String>)> {
    let mut command = Command::new("node");
    command.arg(here().join("schema.js")).arg(schema(sandbox)).args(files);
    scrub(&mut command, &sandbox.path(""));
    command.env("NODE_PATH", packages);
    let output = command.output().expect("the tests need Node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mistakes = |path: &PathBuf| {
        let mistakes = found[name(path)].as_array().expect("a list").iter();
        mistakes.map(|mistake| mistake.as_str().expect("a text").to_owned()).collect()
    };
    files.iter().map(|path| (name(path), mistakes(path))).collect()
}

#[test]
fn good_manifests_fit_the_schema() {
    let Some(packages) = packages() else { return };
    let mut files = manifests("good");
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleet.yaml"));
    assert!(files.len() > 20, "{files:?}");
    for (file, mistakes) in validate(&Sandbox::new(), packages, &files) {
        assert_eq!(mistakes, [""; 0], "{file}");
    }
}

#[test]
fn manifests_of_another_form_do_not() {
    let Some(packages) = packages() else { return };
    let of_another_form = [
        "checks",
        "durations",
        "inventory/fleet",
        "list-at-top",
        "policies",
        "selectors",
        "text-at-top",
        "unknown-field",
        "unknown-fields-everywhere",
        "wrong-types",
        "wrong-types-below",
    ];
    let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifest/bad");
    let files: Vec<_> = of_another_form.iter().map(|name| bad.join(format!("{name}.yaml"))).collect();
    for (file, mistakes) in validate(&Sandbox::new(), packages, &files) {
        assert!(!mistakes.is_empty(), "{file}");
    }
}

#[test]
fn an_editor_completes_explains_and_marks() {
    let Some(packages) = packages() else { return };
    let sandbox = Sandbox::new();
    schema(&sandbox);
    let text = |rest: &str| format!("# yaml-language-server: $schema=fleet.schema.json\n{rest}");
    let cases = json!([
        { "name": "top.yaml", "ask": "completion", "text": text("fleet: f\nro‸\n") },
        { "name": "rollout.yaml", "ask": "completion", "text": text("fleet: f\nrollout:\n  ‸\n") },
        { "name": "words.yaml", "ask": "completion", "text": text("fleet: f\nmissing: ‸\n") },
        { "name": "device.yaml", "ask": "completion", "text": text("fleet: f\ndevices:\n  a:\n    ‸\n") },
        { "name": "hover.yaml", "ask": "hover", "text": text("fleet: f\nexa‸ct: [tags.a]\n") },
        { "name": "wrong.yaml", "ask": "diagnostics", "text": text("fleet: f\nlimits: { max_removed_keys: many }\ndevices:\n  a: { group: [b] }\n") },
        { "name": "right.yaml", "ask": "diagnostics", "text": text("fleet: f\nlimits: { max_changed: 20% }\ndevices:\n  a: { groups: [b] }\n") },
    ]);
    let mut command = Command::new("node");
    command.arg(here().join("editor.js")).arg(sandbox.path(""));
    scrub(&mut command, &sandbox.path(""));
    command.env("NODE_PATH", packages).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the tests need Node");
    child.stdin.take().expect("a pipe").write_all(cases.to_string().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an ended child");
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let answer = |name: &str| {
        answers.iter().find(|answer| answer["name"] == name).unwrap_or_else(|| panic!("{name}: {lines}"))["answer"]
            .clone()
    };
    let has = |name: &str, wanted: &[&str]| {
        let answer = answer(name);
        let labels: Vec<_> = answer.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(wanted.iter().all(|wanted| labels.contains(wanted)), "{name}: {labels:?}");
    };
    has("top.yaml", &["rollout"]);
    has("rollout.yaml", &["waves", "pause", "max_failed", "on_failure"]);
    has("words.yaml", &["fail", "skip", "register"]);
    has("device.yaml", &["groups", "tags", "desired", "modules"]);
    let hover = answer("hover.yaml");
    assert!(hover.as_str().is_some_and(|text| text.contains("whatever is not declared is removed")), "{hover}");
    let wrong = answer("wrong.yaml").to_string();
    assert!(wrong.contains("3:29 "), "the word where a number belongs: {wrong}");
    assert!(wrong.contains("5:8 Property group is not allowed."), "the unknown field: {wrong}");
    assert_eq!(answer("right.yaml"), json!([]));
}
