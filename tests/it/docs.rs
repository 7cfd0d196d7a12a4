//! What the documents show is what the program prints.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::CommandFactory;

use crate::support::{Hub, Sandbox};

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// Returns the content of the fenced blocks that follow a `<!-- tested -->` line.
fn tested_blocks(text: &str) -> Vec<&str> {
    text.split("<!-- tested -->\n")
        .skip(1)
        .map(|rest| {
            let (_, rest) = rest.split_once("```console\n").expect("a console block");
            rest.split_once("```").expect("the block ends").0
        })
        .collect()
}

/// Times differ from run to run.
fn masked(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for at in 1..words.len() {
        if words[at - 1] == "in" && words[at].starts_with(|c: char| c.is_ascii_digit()) {
            words[at] = "[TIME]";
        }
    }
    words.join(" ")
}

/// Splits a line as a shell does, as far as documents need it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is always one").push(c),
        }
    }
    words
}

#[test]
fn the_readmes_sessions_are_real() {
    let sandbox = Sandbox::new();
    sandbox.write("examples/fleet.yaml", &document("examples/fleet.yaml"));
    let readme = document("README.md");
    let mut commands = 0;
    for block in tested_blocks(&readme) {
        let mut real = String::new();
        for line in block.lines() {
            let Some(command) = line.strip_prefix("$ twinctl ") else { continue };
            let run = sandbox.twinctl(words(command));
            assert!(run.code == 0 || run.code == 2, "{run}");
            real.push_str(&format!("{line}\n{}{}", run.stdout, run.stderr));
            commands += 1;
        }
        assert_eq!(masked(&real), masked(block), "\nthe README should have:\n{real}");
    }
    assert!(commands >= 3, "the README shows a plan, an apply and an empty plan");
}

#[test]
fn the_readme_shows_the_whole_example() {
    assert!(
        document("README.md").contains(document("examples/fleet.yaml").trim()),
        "examples/fleet.yaml is copied into the README"
    );
}

#[test]
fn the_hubs_choices_are_documented() {
    let list = document("crates/iothub-emulator/src/lib.rs");
    let docs = document("docs/hub.md");
    let choices: Vec<&str> = list
        .lines()
        .skip_while(|line| !line.starts_with("//! # Choices"))
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| line.starts_with("- ") || line.starts_with("  "))
        .collect();
    assert!(choices.len() > 20, "the list was found");
    for choice in choices {
        assert!(docs.contains(choice), "docs/hub.md lacks this choice of the hub's:\n{choice}");
    }
}

#[test]
fn the_versions_of_the_api_are_in_the_table() {
    let document = document("docs/hub.md");
    let (_, section) = document.split_once("## Versions of the API").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("the next one");
    let table: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let served =
        iothub_model::wire::SERVED_API_VERSIONS.map(|(version, sent_by)| format!("| `{version}` | {sent_by} |"));
    assert_eq!(table, served);
}

/// The names that the tables of calls give in a column stand in the programs of that SDK.
#[test]
fn the_calls_of_the_tables_are_made() {
    let document = document("docs/hub.md");
    let (_, tables) = document.split_once("## What is there").expect("the section");
    let (tables, _) = tables.split_once("## What is a choice").expect("the next one");
    let programs = |folder: &str, ending: &str| -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
        let files = fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path());
        files
            .filter(|file| file.extension().is_some_and(|it| it == ending))
            .map(|file| fs::read_to_string(file).expect("text"))
            .collect()
    };
    let programs = [programs("python", "py"), programs("node", "js")];
    let mut seen = 0;
    for row in tables.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        if cells[0].trim() == "call" {
            continue;
        }
        for (cell, program) in cells[1..].iter().zip(&programs) {
            for name in cell.split('`').skip(1).step_by(2) {
                let made = program.match_indices(name).any(|(at, _)| {
                    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                    !word(program[..at].chars().next_back()) && !word(program[at + name.len()..].chars().next())
                });
                assert!(made, "no program calls {name}: {row}");
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "the tables were not read: {seen}");
}

/// What `hub serve` prints about trust, the document's table says as well.
#[test]
fn the_settings_for_trust_are_documented() {
    let sandbox = Sandbox::new();
    let _hub = Hub::serve(&sandbox, &[]);
    let log = || sandbox.read("hub-data.log");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !log().contains("Ctrl-C stops it.") {
        assert!(Instant::now() < deadline, "{}", log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let printed = log();
    let (_, trust) = printed.split_once("Certificate authority").expect("the heading");
    let document = document("docs/hub.md");
    let (_, section) = document.split_once("## Point an SDK at it").expect("the section");
    let (section, _) = section.split_once("## ").expect("the next one");
    let settings: Vec<&str> = trust
        .split([' ', ',', ';', '\n'])
        .filter_map(|word| word.strip_suffix("=FILE").or_else(|| word.starts_with("--").then_some(word)))
        .collect();
    assert_eq!(settings.len(), 8, "{trust}");
    for setting in settings {
        assert!(section.contains(&format!("{setting}=")) || section.contains(&format!("{setting} ")), "{setting}");
    }
}

/// `docs/cli.md` is what `--help` says, command by command. `UPDATE_DOCS=1` writes it anew.
#[test]
#[expect(clippy::disallowed_methods, reason = "the wish to update is the developer's")]
fn the_command_reference_is_what_help_says() {
    fn help(command: &mut clap::Command, name: &str, text: &mut String) {
        let lines = command.render_long_help().to_string();
        let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
        text.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
        let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for sub in names.iter().filter(|name| *name != "help") {
            let command = command.find_subcommand_mut(sub).expect("listed a line above");
            help(command, &format!("{name} {sub}"), text);
        }
    }
    let mut command = twinctl::for_tests::Arguments::command().term_width(100);
    command.build();
    let mut text = "# The command line\n\nWhat `--help` says, command by command. `twinctl man` prints the same as manual pages.\n".to_owned();
    help(&mut command, "twinctl", &mut text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).expect("written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/cli.md is not what --help says; UPDATE_DOCS=1 writes it anew");
}
