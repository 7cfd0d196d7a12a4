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
