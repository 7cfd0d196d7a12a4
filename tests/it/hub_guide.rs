//! The commands of docs/hub.md as somebody runs them who follows it: block by block, in one directory, with the files that it shows.
//!
//! What keeps its terminal runs beside the rest, as in a terminal of its own. The addresses of the loopback network are replaced by ones
//! that are the test's own, since the guide's may be in use.

use std::fs;
use std::time::{Duration, Instant};

use crate::python_device::{self, address_for};
use crate::sessions::Shell;
use crate::support::{Sandbox, client_runs, not_run, packages_of};

/// Nothing here takes so long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);
const SECTIONS: [&str; 3] = ["Start one", "Point an SDK at it", "Simulate devices"];
/// The ports of the guide.
const PORTS: [u16; 6] = [8443, 8883, 5671, 9443, 9883, 9671];

/// What a section of the guide has one do.
#[derive(Debug, PartialEq)]
enum Step {
    File(String, String),
    Command(String),
}

/// Returns the files and commands of the sections, in their order.
fn steps(guide: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for name in SECTIONS {
        let (_, section) = guide.split_once(&format!("\n## {name}\n")).expect(name);
        let (section, _) = section.split_once("\n## ").expect("the next section");
        let mut lines = section.lines();
        let mut directive = "";
        while let Some(line) = lines.next() {
            if let Some(told) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) {
                directive = told;
            } else if let Some(language) = line.strip_prefix("```") {
                let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                if let Some(file) = directive.strip_prefix("file: ") {
                    steps.push(Step::File(file.to_owned(), block.join("\n") + "\n"));
                } else if language == "console" && !directive.starts_with("not run: ") {
                    let text = block.join("\n").replace("\\\n> ", "\\\n");
                    let commands = text.strip_prefix("$ ").expect("a command").split("\n$ ");
                    steps.extend(commands.map(|command| Step::Command(command.to_owned())));
                }
                directive = "";
            } else if !line.is_empty() {
                directive = "";
            }
        }
    }
    steps
}

#[test]
fn the_guide_s_commands_run_as_they_are_written() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hub.md")).expect("the guide");
    let first = address_for(&PORTS).expect("ports above 1024").to_string();
    let second = address_for(&[443, 8883, 5671]).map(|address| address.to_string());
    let sandbox = Sandbox::new();
    let mut shell = Shell::start(&sandbox);
    let python = python_device::python().parent().expect("a folder").display().to_string();
    let node = packages_of(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node")), "node-sdks");
    let node = node.map(|packages| packages.display().to_string());
    shell.run(&format!("export PATH='{python}':\"$PATH\" NODE_PATH='{}'", node.as_deref().unwrap_or_default()));
    if node.is_some() {
        client_runs("Node", ["azure-iot-device".to_owned(), "azure-iothub".to_owned()]);
    }
    let tools: Vec<&str> = ["mosquitto_sub", "curl", "openssl"]
        .into_iter()
        .filter(|tool| shell.run(&format!("command -v {tool}")).is_empty())
        .collect();
    let (mut ran, mut lasting) = (0, 0);
    for step in steps(&guide) {
        let command = match step {
            Step::File(name, text) => {
                sandbox.write(&name, &text);
                continue;
            }
            Step::Command(command) => command,
        };
        let needs_443 = ["node-hub", "node-ready"].iter().any(|name| command.contains(name));
        if needs_443 && second.is_none() {
            not_run(python_device::NO_443);
            continue;
        }
        if node.is_none() && command.contains("node ") {
            continue;
        }
        if let Some(tool) = tools.iter().find(|tool| command.contains(**tool)) {
            not_run(&format!("there is no {tool}"));
            continue;
        }
        let command = command.replace("127.0.0.1", &first).replace("127.0.0.2", second.as_deref().unwrap_or_default());
        let is_lasting = command.contains("hub serve ") || command.contains("mosquitto_sub ");
        if is_lasting {
            lasting += 1;
            shell.run(&format!("{command} > lasting-{lasting}.log 2>&1 &\nlast=$!"));
            if command.contains("mosquitto_sub ") {
                // It stays until it is refused.
                let said = shell.run(&format!("sleep 1.5; kill $last || cat lasting-{lasting}.log"));
                assert_eq!(said, "", "{command}");
            } else {
                let log = format!("lasting-{lasting}.log");
                let begun = Instant::now();
                let said = || fs::read_to_string(sandbox.path(&log)).unwrap_or_default();
                while !said().contains("Ctrl-C stops it.") {
                    assert!(begun.elapsed() < PATIENCE, "{command}:\n{}", said());
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        } else {
            let printed = shell.run(&format!("{command}\nprintf 'exit %s\\n' $?"));
            assert!(printed.ends_with("exit 0\n"), "$ {command}\n{printed}");
        }
        ran += 1;
    }
    assert!(ran > 20, "{ran} commands were run");
    let found = shell.run("twinctl query \"SELECT deviceId, tags.plant AS plant, properties.reported.connectivity AS at FROM devices WHERE is_defined(properties.reported.connectivity)\" --ca-file hub/ca.pem --format json");
    let found: serde_json::Value = serde_json::from_str(&found).unwrap_or_else(|_| panic!("{found}"));
    let of = |id: &str| {
        found.as_array().into_iter().flatten().find(|row| row["deviceId"] == id).cloned().unwrap_or_default()
    };
    assert_eq!(
        (&of("thermostat-001")["plant"], &of("meter-001")["at"]),
        (&"Redmond43".into(), &"cellular".into()),
        "{found}"
    );
}

#[test]
fn files_and_commands_are_found() {
    let guide = "\n## Start one\n\n```console\n$ a\n$ b \\\n>   c\n```\n\n<!-- not run: no -->\n\n```console\n$ d\n```\n\
                 \n## Point an SDK at it\n\n<!-- file: x.py -->\n\n```python\nx\n```\n\n## Simulate devices\n\n```json\n{}\n```\n\n## End\n";
    let command = |text: &str| Step::Command(text.to_owned());
    assert_eq!(steps(guide), [command("a"), command("b \\\n  c"), Step::File("x.py".to_owned(), "x\n".to_owned())]);
}
