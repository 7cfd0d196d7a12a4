//! One plan in all its forms, as a pipeline asks for them, and that nothing in a twin is taken for more than text.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::Sandbox;

const MANIFEST: &str =
    "fleet: demo\ndevices:\n  '::error::d': { tags: { note: plain }, desired: { power: 2 } }\n  gone: {}\n";

/// What would command a terminal, a code host, or whoever reads a pipeline's log.
const HOSTILE: &str = "\u{1b}[2J##vso[task.setvariable variable=PATH]x ##[error]y\n::error::z\n```\n</code></details><img src=x onerror=alert(1)> @octocat #1";

#[test]
fn one_run_writes_all_forms() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", MANIFEST);
    hub.create("::error::d");
    hub.patch("::error::d", json!({ "tags": { "note": HOSTILE } }));
    let plan = |format: &str| {
        let rest = ["--markdown", "c.md", "--html", "p.html", "--annotations", "github"];
        let run = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", format].into_iter().chain(rest));
        assert_eq!(run.code, 3, "{run}");
        run
    };
    let run = plan("json");
    let document: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(document["clusters"][1]["changes"][0]["before"], HOSTILE, "{document}");
    assert!(
        run.stderr.contains("::error file=fleet.yaml,line=4,title=missing::gone not on the hub: gone\n"),
        "{}",
        run.stderr
    );
    let (markdown, html) = (sandbox.read("c.md"), sandbox.read("p.html"));
    assert!(markdown.starts_with("<!-- twinctl:demo@"), "{markdown}");
    assert!(html.starts_with("<!doctype html>\n") && !html.contains("<img"), "{html}");
    assert_eq!((plan("markdown").stdout, plan("html").stdout), (markdown.clone(), html.clone()), "the same bytes");
    let text = plan("text").stdout;
    for (form, said) in
        [("JSON", &run.stdout), ("stderr", &run.stderr), ("Markdown", &markdown), ("HTML", &html), ("text", &text)]
    {
        assert!(!said.contains('\u{1b}') && !said.contains("##vso[") && !said.contains("##["), "{form}: {said}");
        let forged = said.lines().find(|line| line.trim_start().starts_with("::") && !line.contains("title="));
        assert_eq!(forged, None, "{form}");
    }
}

#[test]
fn mistakes_are_told_to_the_ci_system() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", "fleet: demo\ndevcies: {}\n");
    let validate = |more: &[&str]| {
        let mut command = sandbox.command(["validate", "fleet.yaml"].iter().chain(more));
        command.env("TF_BUILD", "True");
        let run = crate::support::Run::of(&mut command, Path::new(&sandbox.path("")));
        assert_eq!(run.code, 1, "{run}");
        run.stderr
    };
    let azure =
        "##vso[task.logissue type=error;sourcepath=fleet.yaml;linenumber=2;columnnumber=1]manifest: unknown field";
    assert!(validate(&["--annotations", "azure"]).contains(azure));
    assert!(validate(&["--annotations", "auto"]).contains(azure));
    assert!(!validate(&[]).contains("##vso"));
    let github = validate(&["--annotations", "github", "--annotations-file", "remarks.txt"]);
    assert!(!github.contains("::error"), "{github}");
    assert!(sandbox.read("remarks.txt").starts_with("::error file=fleet.yaml,line=2,"));
    let gitlab = validate(&["--annotations", "gitlab"]);
    assert!(!gitlab.contains("fingerprint"), "{gitlab}");
    let report: Value = serde_json::from_str(&sandbox.read("gl-code-quality-report.json")).expect("JSON");
    assert_eq!(report[0]["location"], json!({ "path": "fleet.yaml", "lines": { "begin": 2 } }));
}

/// Values of a twin and of its manifest that look the same, and how they are told apart.
const ALIKE: [(&str, &str, &str, &str); 5] = [
    ("space", "Hall 1", "Hall\u{a0}1", "Hall\\u00a01"),
    ("hyphen", "A-1", "A\u{2011}1", "A\\u20111"),
    ("letter", "caf\u{e9}", "cafe\u{301}", "cafe\\u0301"),
    ("alphabet", "paypal", "p\u{430}ypal", "p\\u0430ypal"),
    ("dash", "10-20", "10\u{2013}20", "10\\u201320"),
];

#[test]
fn values_that_look_alike_are_told_apart() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d");
    let mut manifest = String::from("fleet: demo\ndevices:\n  d:\n    desired:\n");
    for (key, _, declared, _) in ALIKE {
        manifest += &format!("      {key}: \"{declared}\"\n");
    }
    manifest += "checks:\n";
    for (key, live, declared, _) in ALIKE {
        hub.patch("d", json!({ "properties": { "desired": { key: live } } }));
        let query = format!("SELECT properties.desired.{key} AS x FROM devices");
        manifest += &format!("- {{ name: {key}, query: '{query}', expect: [{{ x: \"{declared}\" }}] }}\n");
    }
    sandbox.write("fleet.yaml", &manifest);
    let on = |args: &[&str]| {
        let run = sandbox.on(&hub, args);
        run.stdout + &run.stderr
    };
    let plan = on(&["plan", "fleet.yaml", "--markdown", "c.md", "--html", "p.html"]);
    let outputs = [
        ("plan", plan),
        ("Markdown", sandbox.read("c.md")),
        ("HTML", sandbox.read("p.html")),
        ("show", on(&["show", "d", "fleet.yaml"])),
        ("check", on(&["check", "fleet.yaml", "--no-wait"])),
        ("JUnit", on(&["check", "fleet.yaml", "--no-wait", "-o", "junit"])),
    ];
    for (what, text) in outputs {
        let text = text.replace("<ins>", "").replace("</ins>", "");
        for (_, _, declared, shown) in ALIKE {
            assert!(text.contains(shown), "{what} lacks {shown}: {text}");
            assert!(!text.contains(declared), "{what} has {declared}: {text}");
        }
    }
    let document: Value =
        serde_json::from_str(&sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json"]).stdout).expect("JSON");
    let changes = document["clusters"][0]["changes"].as_array().expect("changes");
    assert!(
        changes.iter().any(|change| change["after"] == "Hall\u{a0}1"),
        "JSON has the values as they are: {document}"
    );
}

#[test]
fn what_is_imported_is_read_back() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d");
    let odd = [
        "yes",
        "~",
        "null",
        "0o7",
        "1e3",
        "2024-01-31",
        "12:30",
        "a\u{85}b",
        "\u{feff}x",
        "\tx",
        "a\u{a0}b",
        "e\u{301}",
        "x\u{2028}y",
        "${env.X}",
        "a: b",
        "# a",
        "- a",
        "\u{fffe}",
        "",
    ];
    let values: serde_json::Map<_, _> =
        odd.iter().enumerate().map(|(index, text)| (format!("k{index:02}"), json!([text, { "k": text }]))).collect();
    hub.patch("d", json!({ "properties": { "desired": values } }));
    sandbox.on(&hub, ["import", "-o", "fleet.yaml", "--ownership", "none"]).success();
    let run = sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]);
    assert_eq!(run.code, 0, "{run}\n{}", sandbox.read("fleet.yaml"));
    let yaml = sandbox.twinctl(["render", "fleet.yaml"]).success();
    let read: Value = serde_yaml::from_str(&yaml).expect("YAML");
    assert_eq!(read["twins"]["d"]["desired"], Value::Object(values), "{yaml}");
}
