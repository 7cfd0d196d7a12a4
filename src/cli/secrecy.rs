//! That a connection string in the wrong place leaves its key nowhere, whatever command is given it.

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, ArgAction, CommandFactory};

use super::args::Arguments;
use super::context::tests::context;
use super::run;

const KEY: &str = "q8Zr1Xv7Lk3Tn5Wb9Yc2Hd4Jf6Ms0Pg+Ru/Ei8Ao3Bk=";
/// A query, a rule and a patch of a fleet, in which the key of a connection string is put.
const FLEET: &str = "fleet: f\nmissing: register\ndevices: { d: { desired: { a: 1 } } }\n";

fn connection_string() -> String {
    format!("HostName=127.0.0.1:1;SharedAccessKeyName=owner;SharedAccessKey={KEY}")
}

/// What somebody may paste in the place of something else.
fn pasted() -> Vec<String> {
    let string = connection_string();
    let percent = KEY.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let long = "x".repeat(90);
    vec![
        string.clone(),
        format!("\"{string}\""),
        format!("{long} {string} {long}"),
        format!("SELECT * FROM devices WHERE tags.a = '{string}"),
        format!("SELECT * FROM devices WHERE tags.{string} = 1"),
        format!("x={string}"),
        format!("a/{string}"),
        format!("{string}.json"),
        format!("line\n{string}\nline"),
        format!("SharedAccessKey={KEY}"),
        format!("sharedaccesskey = {KEY}"),
        KEY.to_owned(),
        format!("HostName%3Dh%3BSharedAccessKey%3D{percent}"),
        format!("SharedAccessSignature sr=h&sig={percent}&se=1&skn=owner"),
        format!("https://account.blob.core.windows.net/c?sv=1&sig={percent}&se=2"),
        format!("DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY};EndpointSuffix=x"),
        format!("http://user:{KEY}@proxy:3128"),
        format!("Authorization: Bearer {KEY}"),
    ]
}

/// Asserts that no eight characters of the key in a row stand in a text.
fn assert_secret(text: &str, what: &dyn std::fmt::Debug) {
    let lower = text.to_lowercase();
    for key in [KEY.to_lowercase(), KEY.replace('+', "%2b").replace('/', "%2f").replace('=', "%3d").to_lowercase()] {
        for window in key.as_bytes().windows(8) {
            let window = std::str::from_utf8(window).expect("ASCII");
            assert!(!lower.contains(window), "{window} of the key after {what:?}:\n{text}");
        }
    }
}

/// Runs a command line in a folder, on a narrow terminal or on a wide one with colours; nothing that it writes has the
/// key.
fn assert_kept(folder: &Path, arguments: &[String]) {
    let is_long = arguments.iter().map(String::len).sum::<usize>() % 2 == 0;
    let (width, colour) = if is_long { (60, "never") } else { (200, "always") };
    let (mut context, out, err) = context(&[]);
    context.folder = folder.to_owned();
    (context.out.width, context.err.width) = (width, width);
    let colour = ["--color", colour].map(str::to_owned);
    let all = ["twinctl".to_owned()].into_iter().chain(colour).chain(arguments.iter().cloned());
    run(all.map(OsString::from), &mut context);
    assert_secret(&(out.text() + &err.text()), &arguments);
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("given")) {
            assert_secret(&String::from_utf8_lossy(&std::fs::read(&path).expect("a file")), &(arguments, &path));
        }
    }
}

/// Something that the argument takes, so that a command gets as far as it can.
fn usual(arg: &Arg) -> String {
    let id = arg.get_id().as_str();
    if let Some(value) = arg.get_possible_values().first() {
        return value.get_name().to_owned();
    }
    match id {
        "https" => "192.0.2.1:1",
        "data" => "hub",
        "query" => "SELECT * FROM devices",
        "rules" => "GET * 503",
        "report" | "vars" => "a=b",
        _ if arg.is_positional() && arg.get_value_hint() == clap::ValueHint::AnyPath => "fleet.yaml",
        _ => "d",
    }
    .to_owned()
}

/// Every command, with the words that lead to it.
fn commands(of: &clap::Command, words: &[String], found: &mut Vec<(Vec<String>, clap::Command)>) {
    let mut inner = of.get_subcommands().filter(|command| command.get_name() != "help").peekable();
    if inner.peek().is_none() {
        found.push((words.to_vec(), of.clone()));
    }
    for command in inner {
        let words = [words, &[command.get_name().to_owned()]].concat();
        commands(command, &words, found);
    }
}

fn takes_text(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

#[test]
fn no_argument_leaves_a_key() {
    let mut tree = Arguments::command();
    tree.build();
    let mut all = Vec::new();
    commands(&tree, &[], &mut all);
    assert!(all.len() > 15, "the commands are found");
    for (words, command) in &all {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("fleet.yaml"), FLEET).expect("written");
        let arguments: Vec<&Arg> = command.get_arguments().filter(|arg| takes_text(arg)).collect();
        for (number, tested) in arguments.iter().enumerate() {
            for (index, text) in pasted().into_iter().enumerate() {
                // Options are much alike: each is given some of the texts.
                if !tested.is_positional() && index > 0 && (index + number) % 9 > 0 {
                    continue;
                }
                let mut line = words.clone();
                for arg in &arguments {
                    let is_tested = arg.get_id() == tested.get_id();
                    // A hub that starts would serve for ever, and one elsewhere be waited for.
                    let is_needed = arg.is_required_set() || matches!(arg.get_id().as_str(), "https" | "retry_budget");
                    if !is_tested && !is_needed {
                        continue;
                    }
                    let value = match arg.get_id().as_str() {
                        _ if is_tested => text.clone(),
                        "retry_budget" => "0s".to_owned(),
                        _ => usual(arg),
                    };
                    match arg.get_long() {
                        Some(long) => line.push(format!("--{long}={value}")),
                        None => line.push(value),
                    }
                }
                let is_served = words.ends_with(&["serve".to_owned()]) && tested.get_id() == "https";
                let makes_a_file = tested.get_id() == "data";
                if is_served || makes_a_file {
                    line.push("--no-such-option".to_owned());
                }
                assert_kept(folder.path(), &line);
            }
        }
        for text in pasted().into_iter().step_by(4) {
            // Where no argument is expected, and as the name of an option.
            assert_kept(folder.path(), &[words.as_slice(), &["--no-such-option".to_owned(), text.clone()]].concat());
            assert_kept(folder.path(), &[words.as_slice(), &[format!("--{text}")]].concat());
        }
    }
    for text in pasted() {
        assert_kept(tempfile::tempdir().expect("a folder").path(), &[text]);
    }
}

#[test]
fn no_file_leaves_a_key() {
    let string = connection_string();
    let query = format!("SELECT * FROM devices WHERE tags.a = '{string}");
    let long = "x".repeat(80);
    let files = [
        string.clone(),
        format!("fleet: {string}\n"),
        format!("fleet: f\n{string}: 1\n"),
        format!("fleet: f\ndevices: {{ '{string}': {{}} }}\n"),
        format!("fleet: f\ndevices: {{ d: {{ desired: {{ '{string}.{long}': 1, b: !!x '{string}' }} }} }}\n"),
        format!(
            "fleet: f\ndevices: {{ d: {{ desired: {{ a: '${{var.{string}}}', b: \"{long} {string}\\q {long}\" }} }} }}\n"
        ),
        format!(
            "fleet: f\ndevices: {{ d: {{}} }}\nchecks: [{{ name: '{string}', query: \"{query}\", expect: some }}]\n"
        ),
        format!("fleet: f\nselectors: [{{ name: s, where: \"{long} = '{string}\", desired: {{ a: 1 }} }}]\n"),
        format!("fleet: f\nconnection: |\n  {string}\n  {KEY}\n"),
        format!("fleet: f\nkey: {KEY}\n"),
        format!("{{\"version\": \"{string}\", \"twins\": [\"{string}\"]}}"),
        format!("{{\"format\": \"twinctl plan\", \"version\": 1, \"hub\": \"{string}\"}}"),
        format!("GET /twins/* {string}; {string} x y"),
        format!("a: '{string}\nb: 1\n"),
        format!("id,{string}\nd\n"),
    ];
    for text in &files {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("fleet.yaml"), FLEET).expect("written");
        for name in ["given.yaml", "given.json", "given.txt", "given.csv"] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let inventory = "fleet: f\ninventories: [{ file: given.csv, id: x, desired: { a: '${row.y}' } }]\n";
        std::fs::write(folder.path().join("given-table.yaml"), inventory).expect("written");
        for line in [
            "validate given.yaml",
            "validate given-table.yaml",
            "validate given.yaml --annotations github",
            "validate given.yaml --annotations gitlab --annotations-file report.json",
            "validate fleet.yaml --vars given.yaml",
            "plan given.yaml --hub embedded",
            "plan fleet.yaml --vars given.json --hub embedded",
            "apply given.json --hub embedded --yes",
            "apply given.yaml --hub embedded --yes",
            "show given.json",
            "check given.yaml --hub embedded",
            "explain d given.yaml",
            "hub faults set given.txt --hub embedded",
            "hub serve --data hub --https 192.0.2.1:1 --faults given.txt",
            "hub serve --data hub --https 192.0.2.1:1 --entra-issuer given.json",
            "comment given.txt --host github",
            "plan fleet.yaml --connection-string HostName=h;DeviceId=d --ca-file given.txt",
        ] {
            // Paths are those of the folder.
            let words = line.split(' ').map(|word| match word {
                word if folder.path().join(word).is_file() => folder.path().join(word).display().to_string(),
                word => word.to_owned(),
            });
            assert_kept(folder.path(), &words.collect::<Vec<_>>());
        }
    }
}
