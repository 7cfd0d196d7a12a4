//! Commands that a user can run as they are printed: the one place where a command line is made of parsed options.
//!
//! Every word is quoted as a POSIX shell reads it, and the options that are left out are those that have their default. No secret is
//! printed: a connection string stays in the environment, and the value of a variable that is part of a sensitive value is taken from
//! the shell's variable of its name, which fails where that one is empty. What a command needs beside its arguments is said with it. A
//! stream cannot be read again, so a command that reads one is not printed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{HubArgs, HubName, ManifestArgs, Only, PlanningArgs, VarArgs};
use super::context::Context;
use super::secrets::CommandSecrets;
use crate::manifest::is_stream;
use crate::shell::quoted;
use iothub_model::duration;
use iothub_model::wire::connection_string::ConnectionString;

/// A command with its arguments, quoted.
#[derive(Clone, Debug)]
pub(super) struct CommandLine {
    text: String,
    /// What it takes from elsewhere than its arguments.
    needs: Vec<String>,
    /// The streams among its arguments, such as a shell's `<(command)`.
    streams: Vec<String>,
}

impl CommandLine {
    /// Starts with `twinctl` and the words of a subcommand.
    pub(super) fn new(subcommand: &str) -> Self {
        Self { text: format!("twinctl {subcommand}"), needs: Vec::new(), streams: Vec::new() }
    }

    /// Returns the command for a hint, `more` being options that go at its end: between backticks, with what it needs; where it cannot
    /// run as it is, what is to be given again.
    pub(super) fn in_hint(&self, more: &str) -> String {
        let space = if more.is_empty() { "" } else { " " };
        match (self.streams.as_slice(), self.needs.as_slice()) {
            ([], []) => format!("`{}{space}{more}`", self.text),
            ([], needs) => format!("`{}{space}{more}`, which takes {}", self.text, needs.join(" and ")),
            (streams, _) => {
                let command: Vec<&str> = self.text.split(' ').take(2).collect();
                format!(
                    "{}{space}{more}, with the other arguments as they were and with the content of {} given again, which can be read only \
                     once",
                    command.join(" "),
                    streams.join(" and ")
                )
            }
        }
    }

    /// Adds an option without a value.
    #[must_use]
    pub(super) fn flag(mut self, name: &str) -> Self {
        self.text += &format!(" {name}");
        self
    }

    fn reading(mut self, path: &Path) -> Self {
        if is_stream(path) {
            self.streams.push(path.display().to_string());
        }
        self
    }

    /// Adds an option whose value is a path.
    #[must_use]
    pub(super) fn path_option(self, name: &str, path: &Path) -> Self {
        self.reading(path).option(name, path.display())
    }

    /// Adds an option whose value is a path, if there is one.
    #[must_use]
    pub(super) fn path_option_if(self, name: &str, path: Option<&PathBuf>) -> Self {
        match path {
            Some(path) => self.path_option(name, path),
            None => self,
        }
    }

    /// Adds an option without a value, if `is_given`.
    #[must_use]
    pub(super) fn flag_if(self, is_given: bool, name: &str) -> Self {
        if is_given { self.flag(name) } else { self }
    }

    /// Adds an option with its value.
    #[must_use]
    pub(super) fn option(self, name: &str, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        // A value that begins with a hyphen would be read as an option.
        let joined = if value.starts_with('-') { '=' } else { ' ' };
        self.flag(&format!("{name}{joined}{}", quoted(&value)))
    }

    /// Adds an option with its value, if there is one.
    #[must_use]
    pub(super) fn option_if(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.option(name, value),
            None => self,
        }
    }

    /// Adds a word.
    #[must_use]
    pub(super) fn word(self, word: &str) -> Self {
        self.flag(&quoted(word))
    }

    /// Adds a path.
    #[must_use]
    pub(super) fn path(self, path: &Path) -> Self {
        let text = path.display().to_string();
        let text = if text.starts_with('-') { format!("./{text}") } else { text };
        self.reading(path).word(&text)
    }

    /// Adds manifests, and what goes over their variables.
    #[must_use]
    pub(super) fn manifests(self, args: &ManifestArgs, secrets: &CommandSecrets) -> Self {
        let ManifestArgs { paths, vars } = args;
        self.paths(paths).vars(vars, secrets)
    }

    /// Adds paths, unless they are the working folder alone, which is the default.
    #[must_use]
    pub(super) fn paths(self, paths: &[PathBuf]) -> Self {
        match paths {
            [only] if only == Path::new(".") => self,
            paths => paths.iter().fold(self, |line, path| line.path(path)),
        }
    }

    /// Adds what goes over the manifests' variables.
    #[must_use]
    pub(super) fn vars(mut self, args: &VarArgs, secrets: &CommandSecrets) -> Self {
        let VarArgs { vars, var_files, allow_outside, env_allow } = args;
        self = self.flag_if(*allow_outside, "--allow-outside");
        for name in env_allow {
            self = self.option("--env-allow", name);
        }
        for file in var_files {
            self = self.path_option("--vars", file);
        }
        for (name, value) in vars {
            if secrets.hold(value) {
                let variable = shell_variable(name);
                self.needs.push(format!("the value of --var {name} from the shell variable {variable}"));
                // In quotes that let the shell put in what the variable has, and fail where that is nothing.
                self = self.flag(&format!("--var {}=\"${{{variable}:?}}\"", quoted(name)));
            } else {
                self = self.option("--var", format!("{name}={value}"));
            }
        }
        self
    }

    /// Adds how a plan is made.
    #[must_use]
    pub(super) fn planning(self, args: &PlanningArgs) -> Self {
        let PlanningArgs {
            take_ownership,
            revision,
            ignore_rollout,
            require_checks,
            tier,
            units,
            only,
            confirm_drift: _,
        } = args;
        let line = self
            .flag_if(*take_ownership, "--take-ownership")
            .option_if("--revision", revision.as_ref())
            .flag_if(*ignore_rollout, "--ignore-rollout")
            .flag_if(*require_checks, "--require-checks")
            .option_if("--tier", *tier)
            .option_if("--units", *units);
        only.iter().fold(line, |line, only| line.option("--only", PrintedOnly(only)))
    }

    /// Adds which hub, and how patient. A connection string is left to the environment: `--hub` with its host refuses any other.
    #[must_use]
    pub(super) fn hub(mut self, args: &HubArgs) -> Self {
        let HubArgs { hub, connection_string, ca_file, concurrency, timeout, retry_budget } = args;
        let host = connection_string.as_deref().and_then(|text| ConnectionString::parse(text).ok()).map(|it| it.host);
        let hub = match (hub, &host) {
            (Some(HubName::Embedded(None)), _) => Some("embedded".to_owned()),
            (Some(HubName::Embedded(Some(folder))), _) => Some(format!("embedded:{}", folder.display())),
            (Some(HubName::Host(host)), _) | (None, Some(host)) => Some(host.to_string()),
            (None, None) => None,
        };
        if connection_string.is_some() {
            self.needs.push("the connection string from IOTHUB_CONNECTION_STRING".to_owned());
        }
        let unless = |time: &Duration, usual: Duration| (*time != usual).then(|| duration::exact(*time));
        self.option_if("--hub", hub)
            .path_option_if("--ca-file", ca_file.as_ref())
            .option_if("--concurrency", *concurrency)
            .option_if("--timeout", unless(timeout, HubArgs::TIMEOUT))
            .option_if("--retry-budget", unless(retry_budget, HubArgs::RETRY_BUDGET))
    }
}

/// A part of a fleet as `--only` has it.
struct PrintedOnly<'o>(&'o Only);

impl fmt::Display for PrintedOnly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Only::Twins { text, .. } => f.write_str(text),
            Only::Group(name) => write!(f, "group:{name}"),
        }
    }
}

/// Prints the next command to run on a line of its own. What it needs beside its arguments is said before it. Without a command that can
/// run as it is, what to run is said in words.
pub(super) fn next(context: &mut Context, command: &CommandLine) {
    if !command.streams.is_empty() {
        return context.say(format_args!("what comes next is {}", command.in_hint("")));
    }
    for need in &command.needs {
        context.say(format_args!("the next command takes {need}"));
    }
    let next = context.err.palette.hint("next:");
    context.say(format_args!("{next} {}", command.text));
}

/// Returns the shell variable that has the name of a manifest's variable, as near as a shell allows.
fn shell_variable(name: &str) -> String {
    let variable = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    if variable.starts_with(|c: char| c.is_ascii_digit()) { format!("_{variable}") } else { variable }
}

#[cfg(test)]
mod tests {
    use std::process::Command as Process;

    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::args::{Arguments, Command};

    fn plan(args: &[&str]) -> String {
        let Command::Plan(plan) = Arguments::parse_from(args).command else { panic!("not a plan") };
        CommandLine::new("plan")
            .manifests(&plan.manifest, &CommandSecrets { known: Some(vec!["hunter2".to_owned()]) })
            .planning(&plan.planning)
            .hub(&plan.hub)
            .text
    }

    #[test]
    fn options_come_back() {
        for (args, line) in [
            (&["twinctl", "plan"][..], "twinctl plan"),
            (&["twinctl", "plan", "a b", "-x.yaml"][..2], "twinctl plan"),
            (&["twinctl", "plan", "a b", "c$d'e"], r"twinctl plan 'a b' 'c$d'\''e'"),
            (&["twinctl", "plan", "--", "-x"], "twinctl plan ./-x"),
            (
                &["twinctl", "plan", "f", "--vars", "p q.yaml", "--var", "site=Oslo S", "--var", "n="],
                "twinctl plan f --vars 'p q.yaml' --var 'site=Oslo S' --var n=",
            ),
            (
                &["twinctl", "plan", "--only", "d-{1..2}", "--only", "group:a"],
                "twinctl plan --only 'd-{1..2}' --only group:a",
            ),
            (
                &[
                    "twinctl",
                    "plan",
                    "--take-ownership",
                    "--revision",
                    "v 1",
                    "--ignore-rollout",
                    "--require-checks",
                    "--tier",
                    "s2",
                    "--units",
                    "3",
                ],
                "twinctl plan --take-ownership --revision 'v 1' --ignore-rollout --require-checks --tier S2 --units 3",
            ),
            (
                &[
                    "twinctl",
                    "plan",
                    "--hub",
                    "embedded:my hub",
                    "--ca-file",
                    "ca.pem",
                    "--concurrency",
                    "4",
                    "--timeout",
                    "5s",
                    "--retry-budget",
                    "0s",
                ],
                "twinctl plan --hub 'embedded:my hub' --ca-file ca.pem --concurrency 4 --timeout 5s --retry-budget 0s",
            ),
        ] {
            assert_eq!(plan(args), line, "{args:?}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let string = "HostName=my-hub;SharedAccessKeyName=service;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==";
        assert_eq!(plan(&["twinctl", "plan", "--connection-string", string]), "twinctl plan --hub my-hub");
        assert_eq!(
            plan(&["twinctl", "plan", "--var", "psk=hunter2", "--var", "url=wifi:hunter2:", "--var", "x=y"]),
            r#"twinctl plan --var psk="${psk:?}" --var url="${url:?}" --var x=y"#
        );
        let nothing_known = CommandLine::new("plan").vars(
            &VarArgs {
                vars: vec![("a-1".to_owned(), "b".to_owned()), ("c".to_owned(), String::new())],
                var_files: Vec::new(),
                allow_outside: false,
                env_allow: Vec::new(),
            },
            &CommandSecrets::default(),
        );
        assert_eq!(
            nothing_known.in_hint("--full"),
            r#"`twinctl plan --var a-1="${a_1:?}" --var c= --full`, which takes the value of --var a-1 from the shell variable a_1"#
        );
    }

    #[test]
    fn a_stream_is_to_be_given_again() {
        let line = CommandLine::new("plan").path(Path::new("f")).path_option("--vars", Path::new("/dev/fd/63"));
        assert_eq!(
            line.in_hint("--approve 01234567"),
            "twinctl plan --approve 01234567, with the other arguments as they were and with the content of /dev/fd/63 given again, which \
             can be read only once"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_shell_reads_a_word_as_it_was(word in "[^\0]{0,12}") {
            let output = Process::new("sh").args(["-c", &format!("printf %s {}", quoted(&word))]).output().expect("a shell");
            prop_assert_eq!(String::from_utf8_lossy(&output.stdout), word.as_str());
        }
    }
}
