//! What users of other tools type: Terraform, kubectl, az, octoDNS, Ansible. One table says what it is called here.
//!
//! Nothing is suggested because it is spelled alike if it would override a guard: somebody who wants no question is not
//! to approve a plan unseen.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error};

use super::args::Arguments;
use iothub_model::duration::DurationError;

/// Options that let a plan pass that would be refused.
const OVERRIDES: [&str; 4] = ["--approve", "--take-ownership", "--allow-outside", "--ignore-rollout"];

/// Words for one thing, and what is said of them.
struct ForeignWords {
    words: &'static [&'static str],
    /// For these commands alone; for all when empty.
    commands: &'static [&'static str],
    hint: &'static str,
}

const fn all(words: &'static [&'static str], hint: &'static str) -> ForeignWords {
    ForeignWords { words, commands: &[], hint }
}

const fn on(commands: &'static [&'static str], words: &'static [&'static str], hint: &'static str) -> ForeignWords {
    ForeignWords { words, commands, hint }
}

/// A command in the place of twinctl's own.
const fn root(words: &'static [&'static str], hint: &'static str) -> ForeignWords {
    ForeignWords { words, commands: &[""], hint }
}

/// Options, without their dashes; the first entry that fits counts.
const OPTIONS: &[ForeignWords] = &[
    on(&["show", "explain"], DEVICE, "the device is named without an option, as in `twinctl show press-001`"),
    on(&["query"], &["top", "limit", "max-items"], "all rows are shown"),
    on(
        &["query"],
        &["q", "query", "query-command"],
        "the query is named without an option, as in `twinctl query 'SELECT deviceId FROM devices'`",
    ),
    on(&["apply"], NO_QUESTION, "`--yes` applies without asking"),
    all(NO_QUESTION, "only `twinctl apply` asks, and `--yes` applies without asking"),
    on(
        &["plan", "apply", "drift"],
        PART,
        "`--only` narrows it: `--only press-001`, `--only 'press-{001..120}'`, `--only group:oslo`",
    ),
    all(PART, "`twinctl plan --only ID` narrows a plan"),
    on(&["apply"], DRY, "`twinctl plan` shows what would change, and changes nothing"),
    on(&["plan"], &["doit"], "`twinctl apply` makes the changes"),
    all(DRY, "this command has no dry run; `twinctl plan` shows what `twinctl apply` would change"),
    all(
        &["force", "overwrite", "force-conflicts", "ignore-conflicts", "skip-guards", "no-guard", "override"],
        "nothing is forced: a plan that is refused says why, and what lets it pass",
    ),
    on(WITH_VARIABLES, VAR_FILE, "`--vars FILE` sets variables from a file, `--var NAME=VALUE` one of them"),
    on(
        WITH_VARIABLES,
        &["set", "set-string", "variable", "param", "parameter", "parameters", "var"],
        "`--var NAME=VALUE` sets a variable of the manifests",
    ),
    on(
        WITH_MANIFESTS,
        FILE,
        "manifests and folders of them are named without an option, as in `twinctl validate fleet.yaml`",
    ),
    on(&["plan"], OUT, "`--out FILE.json` saves the plan, `--format json` prints it as JSON"),
    on(&["import"], OUT, "`--out FILE` writes the manifest there"),
    on(&["man"], OUT, "`--out DIR` writes the pages there"),
    on(WITH_FORMAT, &["output", "out-format"], "`--format` says how to show it; `--help` has the formats"),
    on(WITH_FORMAT, OUT, "the answer goes to stdout: `> FILE` writes it to a file"),
    on(WITH_JSON, &["json"], "`--format json` prints it as JSON"),
    on(&["query"], &["csv"], "`--format csv` prints it as CSV"),
    on(&["check"], &["junit", "xml"], "`--format junit` prints it as JUnit XML"),
    on(&["render"], &["yaml"], "`--format yaml` prints it as YAML"),
    on(&["plan", "drift", "render"], &["md"], "`--format markdown` prints it as Markdown"),
    all(
        &["no-color", "no-colour", "nocolor", "no-ansi", "monochrome"],
        "`--color never` prints without colour, as NO_COLOR=1 in the environment does",
    ),
    all(&["colour"], "it is spelled `--color`"),
    #[cfg(feature = "embedded")]
    on(
        WITH_HUB,
        HUB,
        "the hub is named by IOTHUB_CONNECTION_STRING in the environment; `--hub embedded:DIR` runs one in this process",
    ),
    #[cfg(not(feature = "embedded"))]
    on(WITH_HUB, HUB, "the hub is named by IOTHUB_CONNECTION_STRING in the environment"),
    on(
        WITH_HUB,
        &["parallelism", "parallel", "forks", "jobs", "threads", "max-workers", "workers"],
        "`--concurrency N` says how many requests are under way at once",
    ),
    on(WITH_HUB, &["request-timeout"], "`--timeout TIME` says how long one request may take"),
    on(WITH_HUB, &["retries", "retry", "max-retries"], "`--retry-budget TIME` says how long a request is tried again"),
    on(
        &["plan", "drift", "render"],
        &["exit-code", "detailed-exit-code", "exitcode", "exit-on-diff"],
        "`--detailed-exitcode` exits 2 when something differs",
    ),
    on(&["plan", "apply"], &["refresh-only"], "`twinctl drift` shows what others changed of what was applied"),
    on(&["plan", "apply"], &["refresh", "no-refresh"], "each plan reads the hub anew"),
    on(&["plan", "apply"], &["destroy", "prune", "purge", "delete"], GONE),
    on(
        &["plan", "apply"],
        &["lock", "lock-timeout", "state", "backup", "backend-config"],
        "there is no state file and no lock: what a fleet owns is recorded in the twins",
    ),
    on(&["check"], &["wait"], "`twinctl check` waits as each check's `within` says; `--no-wait` asks once"),
    on(
        &["plan", "apply", "show", "explain", "drift"],
        &["verbose", "v", "debug", "all", "no-truncate", "wide", "compact-warnings"],
        "`--full` names every twin and cuts no value",
    ),
    on(WITH_MANIFESTS, &["recursive", "r"], "folders are read with all that is in them"),
];

const DEVICE: &[&str] = &["d", "device", "device-id", "deviceid", "id", "twin", "module-id"];

const NO_QUESTION: &[&str] = &[
    "auto-approve",
    "auto_approve",
    "autoapprove",
    "auto-approval",
    "approve-all",
    "approved",
    "assume-yes",
    "assumeyes",
    "confirm",
    "no-confirm",
    "non-interactive",
    "noninteractive",
    "no-prompt",
    "no-input",
    "input",
    "y",
    "yes",
    "skip-confirmation",
];
const PART: &[&str] =
    &["target", "targets", "t", "target-device", "limit", "l", "device", "device-id", "devices", "selector", "include"];
const DRY: &[&str] = &[
    "dry-run",
    "dryrun",
    "dry_run",
    "check",
    "noop",
    "no-op",
    "what-if",
    "whatif",
    "diff",
    "plan-only",
    "preview",
    "doit",
];
const VAR_FILE: &[&str] =
    &["var-file", "var_file", "var-files", "vars-file", "varfile", "values", "extra-vars", "e", "env-file", "tfvars"];
const FILE: &[&str] = &[
    "f",
    "file",
    "filename",
    "filenames",
    "manifest",
    "manifests",
    "k",
    "kustomize",
    "i",
    "inventory",
    "config",
    "config-file",
    "chdir",
    "c",
    "directory",
    "dir",
    "path",
    "folder",
];
const OUT: &[&str] = &[
    "out-file",
    "outfile",
    "out_file",
    "output-file",
    "output",
    "save",
    "plan-file",
    "planfile",
    "out",
    "write-to",
    "o",
];
const HUB: &[&str] = &[
    "context",
    "cluster",
    "kubeconfig",
    "subscription",
    "resource-group",
    "g",
    "hub-name",
    "n",
    "login",
    "namespace",
    "profile",
    "server",
    "s",
    "host",
    "auth-type",
    "token",
];
const GONE: &str =
    "nothing is destroyed at once: what leaves the manifests is removed from its twin by the next `twinctl apply`";
const WITH_MANIFESTS: &[&str] = &["plan", "apply", "check", "validate", "render", "drift", "show", "explain"];
const WITH_VARIABLES: &[&str] = WITH_MANIFESTS;
const WITH_FORMAT: &[&str] = &["plan", "apply", "check", "query", "render", "show", "explain", "drift", "doctor"];
const WITH_JSON: &[&str] = WITH_FORMAT;
const WITH_HUB: &[&str] = &["plan", "apply", "check", "query", "show", "drift", "import", "doctor"];

/// Commands.
const COMMANDS: &[ForeignWords] = &[
    root(
        &["diff", "preview", "dry-run", "what-if", "whatif", "noop", "changes"],
        "`twinctl plan` shows what would change",
    ),
    root(
        &[
            "sync",
            "up",
            "deploy",
            "push",
            "update",
            "create",
            "run",
            "converge",
            "publish",
            "reconcile",
            "install",
            "upgrade",
            "patch",
            "replace",
            "set",
            "put",
        ],
        "`twinctl apply` makes the twins as declared",
    ),
    root(
        &["destroy", "delete", "remove", "rm", "uninstall", "down", "prune", "del"],
        "no command removes anything: take it out of the manifests, and `twinctl apply` removes what the fleet owns of its twins",
    ),
    root(&["refresh", "refresh-only", "status"], "`twinctl drift` shows what others changed of what was applied"),
    root(
        &["init", "new", "bootstrap"],
        "nothing has to be set up; `twinctl import --out fleet.yaml` writes a first manifest from a live hub",
    ),
    root(&["fmt", "format", "lint"], "`twinctl validate` finds mistakes in manifests; nothing formats them"),
    root(
        &["state", "get", "describe", "inspect", "cat", "view", "twin", "device-twin"],
        "`twinctl show DEVICE` shows one live twin, `twinctl query` many",
    ),
    root(
        &["list", "ls", "devices", "search", "find", "select"],
        "`twinctl query 'SELECT deviceId FROM devices'` lists devices",
    ),
    root(&["version"], "`twinctl --version` prints the version"),
    root(&["test", "verify", "assert"], "`twinctl check` runs the manifest's checks"),
    root(&["pull", "dump", "export", "capture", "scrape"], "`twinctl import` writes a manifest from a live hub"),
    root(&["template", "build", "synth", "output"], "`twinctl render` prints what the manifests come to"),
    root(&["why", "trace"], "`twinctl explain DEVICE` says which line of which file won"),
    root(
        &["rollback", "undo", "revert"],
        "check out the older revision of the manifests, and `twinctl apply` goes back to it",
    ),
    root(
        &["workspace", "context", "config", "login", "use", "cluster"],
        "the hub is named by IOTHUB_CONNECTION_STRING in the environment, by --connection-string or by --hub",
    ),
    root(&["unlock", "force-unlock", "lock"], "there is no lock: each write carries the etag of what was read"),
    #[cfg(not(feature = "embedded"))]
    root(&["hub", "serve", "start", "server", "emulator", "emulate"], super::embedded::ABSENT),
    #[cfg(feature = "embedded")]
    on(&["hub"], &["start", "run", "up"], "`twinctl hub serve --data hub` runs the embedded hub"),
    #[cfg(feature = "embedded")]
    root(&["serve", "start", "server", "emulator", "emulate"], "`twinctl hub serve --data hub` runs the embedded hub"),
    root(&["simulate", "sim", "simulator"], "`twinctl device run` simulates devices"),
    root(&["completion", "autocomplete"], "`twinctl completions bash` prints the completion script of a shell"),
    root(
        &["diagnose", "debug", "ping", "troubleshoot", "login-check"],
        "`twinctl doctor` finds out why a hub cannot be worked with",
    ),
];

fn find(table: &'static [ForeignWords], word: &str, command: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let fits = |entry: &&ForeignWords| {
        entry.words.contains(&word.as_str()) && (entry.commands.is_empty() || entry.commands.contains(&command))
    };
    table.iter().find(fits).map(|entry| entry.hint)
}

/// A command line that clap did not take, with what it is called here, where it is known.
pub(super) struct Unknown {
    error: Error,
    hint: Option<String>,
}

impl Unknown {
    /// Looks at what was typed, and takes away suggestions that would override a guard.
    pub(super) fn of(mut error: Error, typed: &[OsString]) -> Self {
        let words: Vec<String> = typed.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let hint = hint(&error, &words);
        for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            let overrides = match error.get(kind) {
                Some(ContextValue::String(name)) => OVERRIDES.contains(&name.as_str()),
                Some(ContextValue::Strings(names)) => names.iter().any(|name| OVERRIDES.contains(&name.as_str())),
                _ => false,
            };
            if overrides || hint.is_some() {
                error.remove(kind);
                // It is of what would be suggested.
                error.remove(ContextKind::Usage);
            }
        }
        if hint.is_some() {
            error.remove(ContextKind::Suggested);
        }
        Self { error, hint }
    }

    /// Returns it in words.
    pub(super) fn text(&self, coloured: bool, title: impl std::fmt::Display) -> String {
        let text = self.error.render();
        let text = if coloured { text.ansi().to_string() } else { text.to_string() };
        match (&self.hint, text.split_once("\n\n")) {
            (Some(hint), Some((head, tail))) => format!("{head}\n{title} {hint}\n\n{tail}"),
            (Some(hint), None) => format!("{text}{title} {hint}\n"),
            (None, _) => text,
        }
    }
}

fn hint(error: &Error, words: &[String]) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let command = command(words);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let invalid = text(ContextKind::InvalidArg)?;
            // Of `-var` clap names `-v`.
            let begins = |word: &&String| invalid.starts_with('-') && word.starts_with(invalid);
            let word = words.iter().find(begins).map_or(invalid, String::as_str);
            option(word, &command).or_else(|| if_it_begins(word))
        }
        ErrorKind::InvalidSubcommand => {
            find(COMMANDS, text(ContextKind::InvalidSubcommand)?, &command).map(str::to_owned)
        }
        ErrorKind::InvalidValue if text(ContextKind::InvalidArg)?.starts_with("--format") => {
            let value = text(ContextKind::InvalidValue)?;
            let is_file = value.contains(['.', '/']);
            is_file.then(|| format!("`-o` and `--format` name a format; `> {value}` writes the answer to that file"))
        }
        ErrorKind::ValueValidation => {
            std::error::Error::source(error)?.downcast_ref::<DurationError>().map(DurationError::hint)
        }
        _ => None,
    }
}

/// A verb that was typed as an option is said once more for what it is.
fn if_it_begins(word: &str) -> Option<String> {
    let name = word.strip_prefix("--")?;
    find(COMMANDS, name, "").map(str::to_owned)
}

fn option(word: &str, command: &str) -> Option<String> {
    let name = word.trim_start_matches('-').split('=').next().unwrap_or_default();
    find(OPTIONS, name, command).map(str::to_owned)
}

/// Returns the words of the command that was typed, as far as there is one.
fn command(words: &[String]) -> String {
    let mut tree = Arguments::command();
    let mut found = Vec::new();
    for word in words.iter().take_while(|word| *word != "--") {
        if let Some(inner) = tree.find_subcommand(word).cloned() {
            found.push(word.as_str());
            tree = inner;
        }
    }
    found.join(" ")
}

/// Finds an option that has one dash and is a word, as Terraform's are: `-out=plan.json` would be the option `-o` with
/// the value `ut=plan.json`.
pub(super) fn single_dash(typed: &[OsString]) -> Option<Unknown> {
    let words: Vec<String> = typed.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let name_of = |word: &str| {
        let name = word.strip_prefix('-')?.split('=').next()?;
        (name.chars().count() > 1 && !name.starts_with('-')).then(|| name.to_owned())
    };
    let candidates: Vec<(&String, String)> = words
        .iter()
        .take_while(|word| *word != "--")
        .filter_map(|word| name_of(word).map(|name| (word, name)))
        .collect();
    if candidates.is_empty() {
        return None;
    }
    let command = command(&words);
    let mut tree = Arguments::command();
    tree.build();
    let mut leaf = &tree;
    for word in command.split_whitespace() {
        leaf = leaf.find_subcommand(word)?;
    }
    let is_long = |name: &str| leaf.get_arguments().any(|arg| arg.get_long() == Some(name));
    for (word, name) in candidates {
        let hint = match option(&name, &command) {
            _ if is_long(&name) => format!("options of several letters have two dashes: `--{name}`"),
            Some(hint) => hint,
            None => continue,
        };
        let mut error = Error::new(ErrorKind::UnknownArgument).with_cmd(leaf);
        error.insert(ContextKind::InvalidArg, ContextValue::String(word.clone()));
        return Some(Unknown { error, hint: Some(hint) });
    }
    None
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::context::tests::context;
    use crate::cli::run;

    fn twinctl(line: &str) -> (u8, String) {
        let (mut context, out, err) = context(&[]);
        let folder = tempfile::tempdir().expect("a folder");
        context.folder = folder.path().to_owned();
        let words = ["twinctl"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
        let code = run(words.map(OsString::from), &mut context);
        (code, out.text() + &err.text())
    }

    #[test]
    fn words_of_other_tools_are_known() {
        for (line, hint) in [
            // Terraform
            ("apply --auto-approve", "`--yes` applies without asking"),
            ("apply -auto-approve", "`--yes` applies without asking"),
            ("apply -auto-approve plan.json", "`--yes` applies without asking"),
            ("apply --autoapprove", "`--yes` applies without asking"),
            ("apply -yes", "options of several letters have two dashes: `--yes`"),
            ("apply -input=false", "`--yes` applies without asking"),
            ("plan --auto-approve", "only `twinctl apply` asks"),
            ("plan -y", "only `twinctl apply` asks"),
            ("plan --target press-001", "`--only` narrows it"),
            ("plan -target=press-001", "`--only` narrows it"),
            ("apply -target press-001", "`--only` narrows it"),
            ("plan -out=plan.json", "two dashes: `--out`"),
            ("plan -out plan.json", "two dashes: `--out`"),
            ("import -out=fleet.yaml", "two dashes: `--out`"),
            ("plan -var a=b", "two dashes: `--var`"),
            ("plan -var=a=b", "two dashes: `--var`"),
            ("plan -var-file=x.yaml", "`--vars FILE`"),
            ("plan --var-file x.yaml", "`--vars FILE`"),
            ("plan -detailed-exitcode", "two dashes: `--detailed-exitcode`"),
            ("plan -refresh-only", "`twinctl drift`"),
            ("plan -destroy", "by the next `twinctl apply`"),
            ("plan -refresh=false", "each plan reads the hub anew"),
            ("plan -no-color", "`--color never`"),
            ("plan --no-color", "`--color never`"),
            ("plan -json", "`--format json`"),
            ("apply -parallelism=4", "`--concurrency N`"),
            ("apply -lock=false", "no lock"),
            ("destroy", "no command removes anything"),
            ("refresh", "`twinctl drift`"),
            ("init", "`twinctl import --out fleet.yaml`"),
            ("fmt", "`twinctl validate`"),
            ("state list", "`twinctl show DEVICE`"),
            ("version", "`twinctl --version`"),
            ("force-unlock 1", "there is no lock"),
            // kubectl and helm
            ("diff", "`twinctl plan`"),
            ("diff -f fleet.yaml", "`twinctl plan`"),
            ("apply -f fleet.yaml", "named without an option"),
            ("plan -f fleet.yaml", "named without an option"),
            ("apply --filename fleet.yaml", "named without an option"),
            ("apply --dry-run=server", "`twinctl plan` shows what would change"),
            ("apply --force", "nothing is forced"),
            ("apply --prune", "by the next `twinctl apply`"),
            ("plan --context prod", "IOTHUB_CONNECTION_STRING"),
            ("get devices", "`twinctl show DEVICE`"),
            ("delete press-001", "no command removes anything"),
            ("plan --values x.yaml", "`--vars FILE`"),
            ("plan --set a=b", "`--var NAME=VALUE`"),
            ("template", "`twinctl render`"),
            ("rollback", "check out the older revision"),
            ("completion bash", "`twinctl completions bash`"),
            // az
            ("query --hub-name h", "IOTHUB_CONNECTION_STRING"),
            ("query -n h", "IOTHUB_CONNECTION_STRING"),
            ("query --output json x", "`--format`"),
            ("query -o rows.csv x", "`> rows.csv`"),
            ("query --query-command x", "without an option"),
            ("query -q x", "without an option"),
            ("show --device-id d", "`twinctl show press-001`"),
            ("drift --target d", "`--only` narrows it"),
            ("list", "`twinctl query 'SELECT deviceId FROM devices'`"),
            // octoDNS and Ansible
            ("sync", "`twinctl apply`"),
            ("plan --doit", "`twinctl apply` makes the changes"),
            ("apply --check", "`twinctl plan` shows"),
            ("apply --limit press-001", "`--only` narrows it"),
            ("plan -e a=b", "`--vars FILE`"),
            ("plan --extra-vars a=b", "`--vars FILE`"),
            ("apply --diff", "`twinctl plan` shows"),
            ("plan -i hosts", "named without an option"),
            ("dump", "`twinctl import`"),
            // Everybody
            ("plan --json", "`--format json`"),
            ("plan --out-file plan.json", "`--out FILE.json`"),
            ("plan --output plan.json", "`--out FILE.json`"),
            ("plan -o json", "`--format json` prints the plan as JSON"),
            ("plan --verbose", "`--full`"),
            ("show -v d", "`--full`"),
            ("plan --colour never", "it is spelled `--color`"),
            ("validate --recursive", "folders are read with all that is in them"),
            ("plan --sync", "`twinctl apply`"),
        ] {
            let (code, text) = twinctl(line);
            assert_eq!(code, 1, "{line}: {text}");
            assert!(text.starts_with("error: "), "{line}: {text}");
            assert!(text.contains(hint), "{line}: {text}");
            assert!(!text.contains("tip:"), "{line}: {text}");
        }
    }

    #[test]
    fn no_override_is_suggested() {
        for (line, near) in [
            ("apply --aprove 12345678", "--approve"),
            ("apply --approved", "--approve"),
            ("plan --approval", "--approve"),
            ("plan --take-owner", "--take-ownership"),
            ("plan --ownership", "--take-ownership"),
            ("apply --ignore-rollouts", "--ignore-rollout"),
            ("validate --allow-outsid", "--allow-outside"),
        ] {
            let (code, text) = twinctl(line);
            assert_eq!(code, 1, "{line}: {text}");
            assert!(!text.contains(&format!("'{near}'")), "{line}: {text}");
        }
        assert!(twinctl("plan --formt json").1.contains("tip: a similar argument exists: '--format'"));
    }

    #[test]
    fn durations_have_a_hint() {
        for (line, error, hint) in [
            ("plan --timeout 30", "'--timeout <TIME>': a duration needs a unit", "write `30s`"),
            ("plan --retry-budget 0", "'--retry-budget <TIME>': a duration needs a unit", "write `0s`"),
            ("plan --timeout 0", "a duration needs a unit", "as in 30s"),
            ("plan --timeout 0s", "'--timeout <TIME>': the duration must be greater than zero", "as in 30s"),
            (
                "hub serve --data x --latency 25h",
                "'--latency <TIME>': the longest duration here is 24h",
                "write `24h` or less",
            ),
            (
                "hub serve --data x --query-lag 30s1m",
                "the units of a duration must descend",
                "write larger units first",
            ),
            ("hub serve --data x --evaluate-configurations soon", "not a duration", "as in 30s"),
            ("device run --exit-after 1d", "'--exit-after <TIME>': not a duration", "the units h, m, s or ms"),
        ] {
            // A build without the embedded hub has no such commands.
            if line.starts_with("hub ") && !cfg!(feature = "embedded") {
                continue;
            }
            let (code, text) = twinctl(line);
            assert_eq!(code, 1, "{line}: {text}");
            let (head, rest) = text.split_once("\nhint: ").expect(&text);
            assert!(head.starts_with("error: invalid value '") && head.ends_with(error), "{text}");
            assert!(rest.lines().next().is_some_and(|line| line.contains(hint)), "{line}: {text}");
        }
    }

    #[test]
    fn short_o_is_what_is_meant() {
        use crate::cli::args::{Command, PlanFormat, QueryFormat};
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).expect(line).command;
        assert!(matches!(parse("twinctl plan -o plan.json"), Command::Plan(args) if args.out.is_some()));
        assert!(matches!(parse("twinctl import -o fleet.yaml"), Command::Import(args) if args.out.is_some()));
        assert!(
            matches!(parse("twinctl query -o json x"), Command::Query(args) if matches!(args.format, QueryFormat::Json))
        );
        assert!(matches!(parse("twinctl show d -o json"), Command::Show(args) if args.format == PlanFormat::Json));
        for format in ["json", "yaml", "table"] {
            assert!(Arguments::try_parse_from(["twinctl", "import", "-o", format]).is_err(), "{format}");
        }
        for line in [
            "apply -o json",
            "check -o junit",
            "drift -o json",
            "explain d -o json",
            "doctor -o json",
            "render -o json",
        ] {
            parse(&format!("twinctl {line}"));
        }
    }

    #[test]
    fn hints_name_what_there_is() {
        let mut tree = Arguments::command();
        tree.build();
        let options = |command: &str| -> Vec<String> {
            let command = tree.find_subcommand(command).unwrap_or_else(|| panic!("no command {command}"));
            command.get_arguments().filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")).collect()
        };
        for entry in OPTIONS.iter().chain(COMMANDS) {
            let quoted: Vec<&str> = entry.hint.split('`').skip(1).step_by(2).collect();
            for code in quoted {
                let words: Vec<&str> = code.split([' ', '\'']).collect();
                match words[..] {
                    ["twinctl", name, ..] if !name.starts_with('-') => {
                        assert!(tree.find_subcommand(name).is_some(), "{code}");
                        let of_it = options(name);
                        let is_unknown =
                            |word: &str| word.starts_with("--") && !of_it.iter().any(|known| known == word);
                        let inner = ["hub", "device"].contains(&name);
                        assert!(inner || !words.iter().any(|word| is_unknown(word)), "{code}");
                    }
                    [option, ..] if option.starts_with("--") && option != "--help" => {
                        for command in entry.commands {
                            assert!(options(command).contains(&option.to_owned()), "{command} {code}");
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
