//! Manifests that cannot be taken: each with what `validate` says of it.

use std::fmt::Write;

use crate::support::{Sandbox, snapshot};

/// Validates each text as `fleet.yaml` in a folder of its own, and puts the conversations together under one name.
fn refused(name: &str, texts: &[(&str, &str)]) {
    let mut conversation = String::new();
    for (what, text) in texts {
        let sandbox = Sandbox::new();
        sandbox.write("fleet.yaml", text);
        let run = sandbox.twinctl(["validate", "fleet.yaml"]);
        assert_eq!(run.code, 1, "{what}\n{run}");
        writeln!(conversation, "# {what}\n{run}\n").expect("text");
    }
    snapshot(name, conversation);
}

/// A manifest of one device with this in its `desired`.
fn desired(yaml: &str) -> String {
    format!("fleet: demo\ndevices:\n  d1:\n    desired: {yaml}\n")
}

/// A manifest with one check that has this query.
fn query(text: &str) -> String {
    format!("fleet: demo\ndevices: {{ d1: {{}} }}\nchecks:\n  - name: c\n    query: {text}\n    expect: none\n")
}

#[test]
fn files() {
    refused(
        "bad_files",
        &[("an empty file", ""), ("comments alone", "# nothing\n"), ("a list", "- a\n"), ("text", "hello\n")],
    );
    let mut conversation = String::new();
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("empty")).expect("a folder");
    sandbox.write("two/a.yaml", "fleet: demo\ndevices:\n  d1: {}\n");
    sandbox.write("two/b.yaml", "devices:\n  'd{0..3}': {}\n");
    std::fs::write(sandbox.path("latin1.yaml"), b"fleet: demo\ndevices: { d1: { tags: { place: \"K\xf6ln\" } } }\n")
        .expect("a file");
    for (what, path) in [
        ("a folder without manifests", "empty"),
        ("a path that is not there", "nowhere.yaml"),
        ("the same device in two files", "two"),
        ("not UTF-8", "latin1.yaml"),
    ] {
        let run = sandbox.twinctl(["validate", path]);
        assert_eq!(run.code, 1, "{what}\n{run}");
        writeln!(conversation, "# {what}\n{run}\n").expect("text");
    }
    snapshot("bad_paths", conversation);
}

#[test]
fn yaml() {
    refused(
        "bad_yaml",
        &[
            ("a tab", "fleet: demo\ndevices:\n\td1: {}\n"),
            ("an unclosed quote", "fleet: 'demo\ndevices: { d1: {} }\n"),
            ("a key twice", "fleet: demo\ndevices:\n  d1: {}\n  d1: {}\n"),
            ("a merge key", "fleet: demo\ndefaults: &base\n  tags: { a: 1 }\ndevices:\n  d1:\n    <<: *base\n"),
            ("two documents", "fleet: demo\n---\ndevices: { d1: {} }\n"),
            ("an alias of nothing", "fleet: demo\ndevices: *nothing\n"),
            ("not a number", &desired("{ a: .nan }")),
            ("an infinite number", &desired("{ a: -.inf }")),
        ],
    );
}

#[test]
fn a_billion_laughs() {
    let mut text = String::from("fleet: demo\nvars:\n  l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..10 {
        let inner = vec![format!("*l{}", level - 1); 10].join(", ");
        writeln!(text, "  l{level}: &l{level} [{inner}]").expect("text");
    }
    refused("bad_yaml_bomb", &[("a billion laughs", &text)]);
}

#[test]
fn fields() {
    refused(
        "bad_fields",
        &[
            (
                "unknown fields, with the nearest known names",
                "flet: demo\nfleet: demo\ndevices: { d1: { group: [a], desire: {} } }\ncheck: []\n",
            ),
            ("wrong types", "fleet: [demo]\nmissing: maybe\ndevices:\n  d1: { groups: a, tags: 1 }\n"),
            ("no fleet", "devices: { d1: {} }\n"),
            (
                "a group that is not there",
                "fleet: demo\ngroups: { redmond43: {} }\ndevices: { d1: { groups: [redmond34] } }\n",
            ),
            (
                "a policy that contradicts the declarations",
                "fleet: demo\ndefaults: { tags: { old: 1 } }\ndevices: { d1: {} }\nreleased: [tags.old]\nmoved: [{ from: tags.old, to: tags.new }]\n",
            ),
            ("modules of all devices", "fleet: demo\ndefaults: { modules: { m: {} } }\ndevices: { d1: {} }\n"),
            ("a reference that does not resolve", &desired("{ a: '${var.intervall}', b: '${env.NOWHERE}' }")),
            (
                "the record's own place",
                "fleet: demo\ndefaults: { tags: { twinctl: { demo: 1 } } }\ndevices: { d1: {} }\n",
            ),
        ],
    );
}

#[test]
fn what_the_hub_would_refuse() {
    let nested = |levels: usize| format!("{}x: 1{}", "{ n: ".repeat(levels) + "{ ", " }".repeat(levels + 1));
    let long = |bytes: usize| format!("{{ text: {} }}", "x".repeat(bytes));
    let id = "d".repeat(129);
    refused(
        "bad_limits",
        &[
            ("an id of 129 characters", &format!("fleet: demo\ndevices:\n  {id}: {{}}\n")),
            ("an id with a space", "fleet: demo\ndevices: { 'd 1': {} }\n"),
            ("keys with $ and .", &desired("{ $a: 1, b.c: 2, 'd e': 3, 'f#': 4 }")),
            ("eleven levels", &desired(&nested(11))),
            ("4,097 bytes", &desired(&long(4097))),
            ("2^52", &desired("{ a: 4503599627370496, b: -4503599627370497 }")),
            ("null in an array", &desired("{ a: [1, null] }")),
        ],
    );
    let tags = |last: usize| {
        let (a, b, c) = ("x".repeat(4095), "x".repeat(4000), "x".repeat(last));
        format!("fleet: demo\nownership: none\ndevices:\n  d1:\n    tags:\n      a: {a}\n      b: {b}\n      c: {c}\n")
    };
    refused("bad_section_size", &[("8 KB of tags and a byte more", &tags(95))]);
    // And what is just allowed.
    let sandbox = Sandbox::new();
    for text in [desired(&nested(10)), desired(&long(4096)), desired("{ a: 4503599627370495 }"), tags(94)] {
        sandbox.write("fleet.yaml", &text);
        sandbox.twinctl(["validate", "fleet.yaml"]).success();
    }
}

#[test]
fn queries() {
    refused(
        "bad_queries",
        &[
            ("an unclosed quote", &query("SELECT * FROM devices WHERE tags.a = 'x")),
            ("a typo", &query("SELECT * FORM devices")),
            ("a function that twins do not have", &query("SELECT * FROM devices WHERE CONTAINS(deviceId, 'x')")),
            ("SQL that is not there", &query("SELECT DISTINCT deviceId FROM devices ORDER BY deviceId")),
        ],
    );
    let sandbox = Sandbox::new();
    let run = sandbox.twinctl(["query", "SELECT * FROM devices WHERE tags.a = 'x", "--hub", "embedded"]);
    assert_eq!(run.code, 1, "{run}");
    snapshot("bad_query_argument", run);
}
