//! A plan's page in a real browser: Chromium, driven from Node, with no network at all.
//!
//! The pages, and pictures of them, light and dark, wide and narrow, are left in `target/tmp/browser` to be looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use iothub_model::twin::{Desired, ETag, Lookup, Object, Reported, Tags, Twin, TwinId};
use serde_json::{Value, json};
use twinctl::for_tests::{
    Cost, Declarations, Difference, Forecast, Impact, Layer, Origin, Plan, PlanContext, Prediction, ReadBy, Selection,
    Severity, SharedPath, Spent, Verdict, Writer, html, load_texts, plan,
};

use crate::support::{Sandbox, not_run, packages_of, scrub};

const MANIFEST: &str = "
fleet: redmond
missing: register
defaults: { desired: { telemetry: { intervalSeconds: 60 } } }
groups:
  redmond43: { tags: { location: { plant: Redmond43 } }, desired: { power_level: 2 } }
  oslo: { tags: { location: { plant: Oslo } }, desired: { source: { url: https://updates.example.com/v2/thermostat, retries: 3, channel: stable, verify: true } } }
devices:
  'press-{0001..0060}': { groups: [redmond43] }
  thermostat-001: { groups: [oslo] }
  thermostat-002: { groups: [oslo], tags: { note: replaced in spring, motd: hello } }
  gateway-07: { groups: [redmond43] }
";

/// A twin as the hub has it.
fn twin(id: &TwinId, tags: Value, desired: Value) -> Lookup {
    let object = |value: Value| -> Object { value.as_object().expect("an object").clone() };
    Lookup::Found(Box::new(Twin {
        id: id.clone(),
        etag: ETag::new("AAAAAAAAAAE="),
        tags: Tags(object(tags)),
        desired: Desired(object(desired)),
        desired_version: 1,
        desired_metadata: Object::new(),
        reported: Reported::default(),
        rest: Object::new(),
    }))
}

fn planned(manifest: &str, live: impl Fn(&TwinId) -> Lookup) -> Plan {
    let loaded = load_texts(&[("fleet.yaml", manifest)], &|_| None).expect("a manifest");
    let declarations: &Declarations = &loaded.declarations;
    let hub = "redmond.azure-devices.net".parse().expect("a host");
    let context = PlanContext { hub, revision: "3f2a91c04d11".to_owned(), take_ownership: false };
    plan(declarations, context, declarations.twins.keys().map(live), ReadBy::Get)
}

fn id(text: &str) -> TwinId {
    text.parse().expect("an id")
}

/// A plan with something of everything, and with what others said that is not kind.
fn small() -> Plan {
    let mut plan = planned(MANIFEST, |id| {
        let (redmond, oslo) =
            (json!({ "location": { "plant": "Redmond43" } }), json!({ "location": { "plant": "Oslo" } }));
        let telemetry = |seconds: u32| json!({ "intervalSeconds": seconds });
        let source = json!({ "url": "https://updates.example.com/v1/thermostat", "retries": 3, "channel": "stable", "verify": true });
        match id.to_string().as_str() {
            "gateway-07" => Lookup::Absent(id.clone()),
            "thermostat-001" => twin(id, oslo, json!({ "telemetry": telemetry(60), "source": source })),
            "thermostat-002" => twin(
                id,
                json!({ "location": { "plant": "Oslo" }, "note": "<img src=x onerror=alert('note')>", "motd": "</script><script>alert(1)</script>" }),
                json!({ "telemetry": telemetry(60) }),
            ),
            "press-0058" | "press-0059" => twin(id, redmond, json!({ "telemetry": telemetry(60), "power_level": 7 })),
            _ => twin(id, redmond, json!({ "telemetry": telemetry(30), "power_level": 1 })),
        }
    });
    // As if an earlier run had written them.
    for twin in &mut plan.twins {
        let drifted = matches!(twin.id.to_string().as_str(), "press-0058" | "press-0059");
        let changes = twin.changes.iter().cloned().map(|mut change| {
            if change.verdict == Verdict::Overwrite {
                change.verdict = if drifted { Verdict::Drift } else { Verdict::Edit };
            }
            change
        });
        twin.changes = changes.filter(|change| change.verdict != Verdict::Adopt).collect();
    }
    plan.selections = vec![Selection {
        name: "cellular-saver".into(),
        condition: "tags.location.plant = 'Redmond43' AND properties.reported.connectivity = 'cellular'".to_owned(),
        ids: (1..=43).map(|n| id(&format!("press-{n:04}"))).collect(),
        origin: Origin { file: "fleet.yaml".into(), line: 12, layer: Layer::Selector("cellular-saver".into()) },
    }];
    plan.impact = outlook();
    plan
}

fn outlook() -> Impact {
    let prediction = |name: &str, query: &str, severity, forecast| Prediction {
        name: name.to_owned(),
        query: query.to_owned(),
        severity,
        forecast,
    };
    let path = |text: &str| text.parse().expect("a path");
    let spent = |requests, seconds| Spent { requests, messages: requests, seconds };
    Impact {
        predictions: vec![
            prediction(
                "plant has its presses",
                "SELECT COUNT() AS n FROM devices WHERE tags.location.plant = 'Redmond43'",
                Severity::Error,
                Forecast::WillHold,
            ),
            prediction(
                "nobody at full power",
                "SELECT deviceId, properties.desired.power_level AS p FROM devices WHERE properties.desired.power_level > 1",
                Severity::Error,
                Forecast::WillFail(Difference {
                    summary: "expected no row, found 60".to_owned(),
                    details: vec!["+ {\"deviceId\":\"press-0001\",\"p\":2}".to_owned()],
                    devices: vec!["press-0001".to_owned(), "press-0002".to_owned()],
                }),
            ),
            prediction(
                "nobody on cellular",
                "SELECT deviceId FROM devices WHERE properties.reported.connectivity = 'cellular'",
                Severity::Warn,
                Forecast::DependsOnDevices {
                    reads: vec!["properties.reported.connectivity".to_owned()],
                    as_it_is: None,
                },
            ),
        ],
        writers: vec![Writer::Configuration {
            id: "power-saver".to_owned(),
            priority: 10,
            condition: "tags.location.plant='Redmond43'".to_owned(),
            paths: vec![SharedPath {
                declared: path("desired.power_level"),
                theirs: path("desired.power_level"),
                agree: false,
            }],
            twins: vec![id("press-0001"), id("press-0002")],
        }],
        unread: Vec::new(),
        diverging: Vec::new(),
        cost: Some(Cost {
            tier: "S1, 2 units".to_owned(),
            read: spent(63, 1.2),
            apply: Some(spent(62, 0.9)),
            notifications: 59,
        }),
    }
}

/// Ten thousand twins of which each is unlike all others.
fn large() -> Plan {
    let manifest = "fleet: redmond\ndevices: { 'press-{00000..09999}': { desired: { power_level: 0, source: { url: https://updates.example.com/v2/thermostat } } } }\n";
    planned(manifest, |id| {
        let number: u32 = id.to_string().trim_start_matches("press-").parse().expect("a number");
        let source = json!({ "url": "https://updates.example.com/v1/thermostat" });
        twin(id, json!({}), json!({ "power_level": number + 1, "source": source }))
    })
}

fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let found = names
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))?;
    let output = Command::new("which").arg(found).output().ok()?;
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

#[test]
fn a_plans_page_works_without_any_network() {
    let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/browser"));
    let Some(browser) = browser() else { return not_run("there is no Chromium") };
    let Some(packages) = packages_of(here, "browser-driver") else { return };
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&pictures).expect("a folder");
    let sandbox = Sandbox::new();
    let page = |name: &str, html: &str| {
        let path = pictures.join(name);
        fs::write(&path, html).expect("a page");
        path
    };
    let large_html = html::plan(&large());
    let (small, large) = (page("plan.html", &html::plan(&small())), page("large.html", &large_html));
    // A script that is not the one that the page's policy knows is not run.
    let blocked = page("blocked.html", &large_html.replace("\"use strict\";", "'use strict';"));
    let mut command = Command::new("node");
    command
        .arg(here.join("page.js"))
        .arg(browser)
        .arg(sandbox.path("profile"))
        .args([&small, &large, &blocked, &pictures]);
    scrub(&mut command, &sandbox.path(""));
    let output = command.env("NODE_PATH", packages).output().expect("the tests need Node");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let steps: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let step = |step: &str, saw: Value| json!({ "step": step, "saw": saw });
    assert_eq!(
        steps,
        [
            step("groups", json!(5)),
            step("hostile text", json!({ "images": 0, "scripts": 1, "isThere": true })),
            step("slash focuses", json!("search")),
            step("search", json!("58 twins in 1 of 5 groups")),
            step("arrow goes to the first", json!("SUMMARY")),
            step("Enter turns it", json!(true)),
            step("Escape shows all", json!("63 twins in 5 groups")),
            step("j, j, k, down", json!(1)),
            step("focus is seen", json!("solid")),
            step("kind", json!("2 twins in 1 of 5 groups")),
            step("layer", json!("2 twins in 2 of 5 groups")),
            step("device", json!(["58 twins in 1 of 5 groups", "Found here: press-0042"])),
            step("nothing", json!(true)),
            step("the address of what was opened", json!("#twin=press-0058")),
            step(
                "an address leads to",
                json!({ "to": "58 devices", "open": true, "inSight": true, "here": "Found here: press-0042" }),
            ),
            step("the browser's own search is left alone", json!(true)),
            step("too faint", json!({ "light": [], "dark": [] })),
            step("wider than a narrow screen", json!(false)),
            step("the button turns it light", json!(true)),
            step("on paper", json!({ "fields": 0, "count": true })),
            step("without script", json!({ "tools": false, "text": true, "groups": 5 })),
            step("large without script", json!({ "groups": 10_000, "note": false })),
            step(
                "large with its script blocked",
                json!({ "groups": 100, "note": "9,900 more groups of changes are in this file; the browser has not run the script that shows them." }),
            ),
            step("large", json!({ "made": 50, "said": "10,000 twins in 10,000 groups", "elements": true })),
            step("scrolled to the middle", json!({ "first": "press-00000", "few": true })),
            step("k goes to the last", json!({ "to": "press-09999", "open": false, "inSight": true })),
            step("Control-f searches", json!("search")),
            step("found", json!("1 twin in 1 of 10,000 groups")),
            step(
                "Escape stays where it was",
                json!({ "to": "press-04321", "open": false, "inSight": true, "said": "10,000 twins in 10,000 groups" }),
            ),
            step("an address leads into the rest", json!({ "to": "press-09876", "open": true, "inSight": true })),
            step("printed", json!({ "made": 1_000, "open": 1_000, "said": "1,000 twins in 1,000 of 10,000 groups" }),),
            step("asked the network", json!([])),
            step("went wrong", json!([])),
        ]
    );
}
