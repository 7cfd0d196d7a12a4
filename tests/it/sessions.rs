//! The pages under `docs/` as sessions: their files are written, their commands run in one shell, and what they print is what the page says.
//!
//! A fenced block after `<!-- file: NAME -->` is a file. Each `$ ` line of a `console` block is run, and the lines after it are its output, stderr and
//! all; a block after `<!-- not run: WHY -->` is passed over. `UPDATE_DOCS=1` writes what was printed into the pages, to be read before it is committed.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::support::{Sandbox, TWINCTL, scrub};

/// The shell of one page.
pub(crate) struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    home: String,
}

impl Shell {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let home = sandbox.path("");
        fs::create_dir_all(sandbox.path(".tool")).expect("a folder");
        std::os::unix::fs::symlink(TWINCTL, sandbox.path(".tool/twinctl")).expect("a link");
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).current_dir(&home);
        scrub(&mut command, &home);
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value?.to_str());
        let path = format!("{}:{}", sandbox.path(".tool").display(), path.expect("a path"));
        command.env("PATH", path).env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.com");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let home = home.to_str().expect("UTF-8").trim_end_matches('/').to_owned();
        let mut shell = Self { child, input, output: BufReader::new(output), home };
        shell.run("exec 2>&1; trap 'kill $(jobs -p) 2>/dev/null' EXIT");
        shell
    }

    /// Runs a command, and returns what it prints.
    pub(crate) fn run(&mut self, command: &str) -> String {
        const END: &str = "── the command ended ──";
        // In braces, so that no command reads what is typed next.
        writeln!(self.input, "{{ {command}\n}} < /dev/null\nprintf '{END}\\n'").expect("the shell lives");
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("UTF-8");
            assert!(read > 0, "the shell ended in `{command}`:\n{printed}");
            if let Some(rest) = line.strip_suffix(&format!("{END}\n")) {
                printed.push_str(rest);
                break;
            }
            printed.push_str(&line);
        }
        printed.replace(&self.home, "~")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        _ = writeln!(self.input, "exit");
        _ = self.child.wait();
    }
}

/// What differs from run to run: times, digests, etags, ports.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for (number, word) in text.split_inclusive([' ', '\n']).enumerate() {
        let bare = word.trim_matches([' ', '\n', '(', ')', ',', '`', '"', '[', ']', '.']);
        let hex = |text: &str| text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digest = bare.strip_prefix("sha256:").is_some_and(hex)
            || (hex(bare) && bare.bytes().any(|byte| byte.is_ascii_digit()));
        let etag = bare.starts_with("AAAA") && bare.ends_with('=');
        let time = bare.len() >= 19 && bare.as_bytes()[4] == b'-' && bare.as_bytes()[10] == b'T';
        let after_in = number > 0 && out.ends_with("in ");
        let duration = after_in && bare.starts_with(|c: char| c.is_ascii_digit());
        let port = bare.starts_with("localhost:") || bare.starts_with("127.0.0.1:");
        if digest || etag || time || duration || port {
            out.push_str(&word.replace(bare, "[…]"));
        } else {
            out.push_str(word);
        }
    }
    out
}

/// Runs a page, and returns it with what was printed.
fn replay(page: &str) -> (String, usize) {
    let sandbox = Sandbox::new();
    let mut shell = Shell::start(&sandbox);
    let (mut out, mut commands) = (String::new(), 0);
    let mut lines = page.lines().peekable();
    let mut directive = String::new();
    while let Some(line) = lines.next() {
        _ = writeln!(out, "{line}");
        if let Some(told) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) {
            directive = told.to_owned();
            continue;
        }
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else {
            if !line.is_empty() {
                directive.clear();
            }
            continue;
        };
        let mut block = Vec::new();
        for line in lines.by_ref() {
            if line == "```" {
                break;
            }
            block.push(line);
        }
        if let Some(name) = directive.strip_prefix("file: ") {
            sandbox.write(name, &(block.join("\n") + "\n"));
        }
        if language == "console" && !directive.starts_with("not run: ") {
            let mut rest = block.into_iter().peekable();
            while let Some(line) = rest.next() {
                let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("no command before `{line}`"));
                let mut command = command.to_owned();
                _ = writeln!(out, "{line}");
                while command.ends_with('\\') {
                    let more = rest.next().expect("a command goes on");
                    _ = writeln!(out, "{more}");
                    command = format!("{command}\n{more}");
                }
                let mut expected = String::new();
                while let Some(line) = rest.next_if(|line| !line.starts_with("$ ")) {
                    _ = writeln!(expected, "{line}");
                }
                let printed = shell.run(&command);
                let printed = if printed.is_empty() || printed.ends_with('\n') { printed } else { printed + "\n" };
                out.push_str(if masked(&printed) == masked(&expected) { &expected } else { &printed });
                commands += 1;
            }
        } else {
            for line in block {
                _ = writeln!(out, "{line}");
            }
        }
        _ = writeln!(out, "```");
        directive.clear();
    }
    (out, commands)
}

fn pages() -> Vec<PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut pages = vec![docs.join("tutorial.md")];
    pages.extend(fs::read_dir(docs.join("how-to")).expect("a folder").map(|entry| entry.expect("an entry").path()));
    pages.sort();
    pages
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the wish to update is the developer's")]
fn every_command_of_the_pages_prints_what_they_say() {
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut wrong = Vec::new();
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page");
        let (real, commands) = replay(&page);
        assert!(commands > 2, "{} shows what to do", path.display());
        if real == page {
            continue;
        }
        if update {
            fs::write(&path, real).expect("written");
        } else {
            wrong.push(format!("{} should have:\n{real}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
