//! The command line. Each command's help is written here.

mod device;
mod fleet;
#[cfg(feature = "embedded")]
mod hub;
mod inspect;
mod render;
mod shell;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use device::{DeviceRunArgs, SimulationCommand};
pub(crate) use fleet::{DriftArgs, ImportArgs, Only, ReportFormat};
#[cfg(feature = "embedded")]
pub(crate) use hub::{
    BehaviourArgs, DeviceCommand, DeviceNames, DeviceTarget, FaultsCommand, HubCommand, ServeArgs, TokenArgs,
};
pub(crate) use inspect::{DoctorArgs, ExplainArgs, ExplainFormat, ShowArgs};
pub(crate) use render::{RenderArgs, RenderFormat};
pub(crate) use shell::{CompletionsArgs, ManArgs};

use super::comment::CommentArgs;
use super::context::ColourChoice;
use crate::digest::DigestPrefix;
use crate::render::markdown;
use iothub_model::duration::{self, DurationError};
use iothub_model::placeholder::Placeholder;
use iothub_model::tiers::Tier;
use iothub_model::twin::HubHost;

/// Keeps the device twins of an Azure IoT Hub equal to what is declared in Git.
///
/// Declare tags and desired properties in YAML, see what would change with `twinctl plan`, and push it with `twinctl
/// apply`, which patches each twin under its etag and then asks the hub whether the fleet is as declared.
#[derive(Debug, Parser)]
#[command(name = "twinctl", version, after_help = after_help(), max_term_width = 100)]
pub struct Arguments {
    /// When to use colour. NO_COLOR and CLICOLOR_FORCE are heeded.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true, hide_possible_values = true)]
    #[arg(help = "When to use colour: auto, always or never")]
    pub color: ColourChoice,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What follows the options in `twinctl --help`.
fn after_help() -> String {
    format!("{TRIAL}{EXIT_CODES}")
}

const TRIAL: &str = match cfg!(feature = "embedded") {
    true => {
        "\
Try it without a cloud account, on a hub inside this program:
  twinctl plan  examples/fleet.yaml --hub embedded:demo
  twinctl apply examples/fleet.yaml --hub embedded:demo

"
    }
    false => "",
};

const EXIT_CODES: &str = "\
Exit codes:
    0  done, or nothing to do
    1  wrong use, bad input, no hub
    2  there are changes (with --detailed-exitcode)
    3  a guard refuses the plan
    4  conflicts: values moved since the plan
    5  some twins failed
    6  a check failed
  130  interrupted";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what would change on the hub; changes nothing
    ///
    /// Reads the live twins, compares them with the manifests and shows each difference once, with the twins that have it. The
    /// sign says what happens to a path: + comes to be, ~ becomes something else, - goes, = stays and is recorded as this
    /// fleet's. The word says how it came about: `edit` the manifest changed, `drift` the twin did.
    Plan(PlanArgs),
    /// Make the hub's twins as declared, then run the checks
    ///
    /// Shows the plan and asks. Then each twin gets one PATCH with tags, desired properties and the ownership record
    /// together, under the etag that the plan saw. If a twin changed since the plan, it is read again. If other paths changed,
    /// the patch is sent with the new etag (rebased). A path that has the declared value by now is only recorded; if nothing
    /// is left to write, nothing is sent (converged). If another planned path changed, the twin is left alone and reported
    /// (conflict, exit 4).
    ///
    /// Ctrl-C sends nothing new, lets what is under way finish and reports the rest; a second one ends at once.
    Apply(ApplyArgs),
    /// Run the manifest's checks alone
    ///
    /// Asks each check's query until it holds, or until its `within` is over: query results lag behind writes. Exits 6 when
    /// one of severity `error` does not hold; one of severity `warn` is shown only.
    Check(CheckArgs),
    /// Ask the hub a query and show all its rows
    ///
    /// The query is parsed here first, so that a mistake is shown where it is. Rows come page by page; results may lag behind
    /// writes by seconds, at worst by minutes.
    Query(QueryArgs),
    /// Find mistakes in manifests, without a hub
    ///
    /// What the hub would refuse is refused here first: keys, depths, sizes, ids, queries.
    Validate(ValidateArgs),
    /// Print the JSON Schema of a manifest, for completion and checks in an editor
    ///
    /// Name it in the first line of a manifest: `# yaml-language-server: $schema=fleet.schema.json`
    Schema,
    /// Print what the manifests come to, or what a pull request changes in them, without a hub
    ///
    /// Alone it prints every twin's tags and desired properties after all layers; a null is a declared absence. With --against
    /// it reads the same manifests at a Git ref too and shows what differs, twins with the same difference once.
    Render(RenderArgs),
    /// Show one live twin beside its declaration, or a saved plan
    ///
    /// Of a twin, each path with what is there, what is declared, which fleet owns it and what the device reports: the sign and
    /// the word are those of `twinctl plan`. Without a manifest here, the twin alone.
    ///
    /// A name that ends in .json is a file that `twinctl plan --out` wrote. It is checked and shown as `plan` showed it; no hub is
    /// asked.
    Show(ShowArgs),
    /// Say why a device is declared as it is: the line that won, and those that lost
    ///
    /// Layers from the weakest to the strongest: defaults, selectors in the order of the files, the groups in the order in which the
    /// device lists them, its row of an inventory, the device itself. Without a hub, so that of a selector it is said what it would
    /// give if it matches; a device that no manifest names is explained with --selected.
    Explain(ExplainArgs),
    /// Show what others changed of what the fleet had applied: for a nightly job
    ///
    /// Makes the plan and leaves out each difference that the ownership records explain: the manifest changed, and the twin is as it
    /// was applied last. Lists the paths that others changed (`drift`, or `edit over drift` and `removed over drift` where the
    /// manifest changed too), the twins that lost their record, those that the hub does not have, and those in conflict. Changes
    /// nothing.
    Drift(DriftArgs),
    /// Write a manifest from a live hub
    ///
    /// What all devices have goes into defaults, what those with the same value of a tag have into groups, and neighbours that are
    /// alike become ranges. A plan with what is written changes no value: it adopts what is there, and with --ownership none does
    /// not even that. What other fleets' records own is left out, and so is what a manifest cannot say; both are told.
    ///
    /// A query says which twins there are, and may lag behind writes by seconds, at worst by minutes; then each is read by GET, so that
    /// what is gone is left out. An S1 hub of one unit lets 100 twins be read a second. $edgeAgent and $edgeHub are left out and counted:
    /// a deployment alone writes their twins.
    Import(ImportArgs),
    /// Find out why a hub cannot be worked with
    ///
    /// Looks at the connection string, the name, the connection, TLS, the clock, the policy's rights, the tier, queries and how long
    /// answers take, one after the other; each is ok, a warning or a failure with what to do next. Nothing on the hub is changed,
    /// and no secret is printed. Exits 1 when something fails.
    Doctor(DoctorArgs),
    /// Show a plan in a comment of its pull request, and keep that comment up to date
    ///
    /// Looks for the comment that begins with the same line, writes over it, or makes one. Works on GitHub, Azure DevOps and GitLab.
    Comment(CommentArgs),
    /// Run the embedded hub, and look after its devices
    #[cfg(feature = "embedded")]
    #[command(subcommand)]
    Hub(HubCommand),
    /// Simulate devices
    #[command(subcommand)]
    Device(SimulationCommand),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(ManArgs),
}

/// Which manifests.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// Manifests, or folders of them (read recursively: *.yaml, *.yml)
    #[arg(value_name = "PATH", default_value = ".", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// What goes over their variables.
    #[command(flatten)]
    pub vars: VarArgs,
}

/// What goes over the manifests' variables, and which files may be read.
#[derive(Args)]
pub struct VarArgs {
    /// Set a variable of the manifests; a value is read as YAML would, and stays a text where the variable is one
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub vars: Vec<(String, String)>,

    /// Set variables from a file of YAML or JSON with their names and values; `--var` goes over it
    #[arg(long = "vars", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub var_files: Vec<PathBuf>,

    /// Let manifests, and links, lead to files outside of the Git repository (without one: of the named folders); never to `.git`
    #[arg(long)]
    pub allow_outside: bool,
    /// Let manifests read an environment variable that has the name or the value of a credential; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = opened_variable)]
    pub env_allow: Vec<String>,
}

/// Shows no value: one may be a secret.
impl fmt::Debug for VarArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.vars.iter().map(|(name, _)| name).collect();
        let Self { vars: _, var_files, allow_outside, env_allow } = self;
        f.debug_struct("VarArgs")
            .field("vars", &names)
            .field("var_files", var_files)
            .field("allow_outside", allow_outside)
            .field("env_allow", env_allow)
            .finish()
    }
}

/// What people call the formats of a plan.
const PLAN_LANGUAGES: [(&str, &str); 3] = [("json", "JSON"), ("markdown", "Markdown"), ("html", "HTML")];

/// A plan's file has a plan's name: under another one, `apply` would take it for a manifest, and it may be one that is written over.
fn plan_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if is_json || path.starts_with("/dev") {
        return Ok(path);
    }
    if let Ok(format) = PlanFormat::from_str(text, true) {
        let format = format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let language =
            PLAN_LANGUAGES.iter().find(|(name, _)| *name == format).map_or("text", |(_, language)| *language);
        return Err(format!("-o names the file for the plan; `--format {format}` prints the plan as {language}"));
    }
    Err("a plan's name ends in .json, by which `apply` and `show` tell it from a manifest".to_owned())
}

/// Takes `NAME=VALUE` apart.
fn variable(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("it is written NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Takes the name of a variable that manifests may read.
fn opened_variable(text: &str) -> Result<String, String> {
    crate::manifest::env_allow_problem(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// Remarks for a CI system.
#[derive(Debug, Args)]
pub struct AnnotationArgs {
    /// Tell the CI system what it can show beside the lines of a pull request: mistakes, conflicts, checks, drift
    #[arg(long, value_enum, value_name = "HOST", default_value_t, help_heading = "CI")]
    pub annotations: AnnotationHost,

    /// Where to write them [default: for gitlab gl-code-quality-report.json, for the others to stderr]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "CI", requires = "annotations")]
    pub annotations_file: Option<PathBuf>,
}

/// Whose annotations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AnnotationHost {
    /// None.
    #[default]
    None,
    /// Of the CI system that this runs in, by its environment; none elsewhere.
    Auto,
    /// GitHub Actions: workflow commands.
    Github,
    /// Azure Pipelines: logging commands.
    Azure,
    /// GitLab: a Code Quality report.
    Gitlab,
}

/// Which hub, and how patient.
#[derive(Clone, Args)]
#[command(next_help_heading = "Hub")]
pub struct HubArgs {
    /// The hub: `embedded:DIR` runs one in this process and keeps it in DIR, `embedded` forgets it at the end
    #[arg(long, value_name = "HUB")]
    pub hub: Option<HubName>,

    /// A shared access policy's connection string; better given as IOTHUB_CONNECTION_STRING, which `ps` does not show
    #[arg(long, value_name = "STRING")]
    pub connection_string: Option<String>,

    /// The certificate authority to trust, in PEM, in place of the system's: for `twinctl hub serve`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,

    /// How many requests at once [default: 32 reads, 16 writes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: Option<u16>,

    /// How long one request may take
    #[arg(long, value_name = "TIME", default_value = "100s", value_parser = duration)]
    pub timeout: Duration,

    /// How long a request is tried again while the hub is busy or does not answer; 0s tries once
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration_or_zero)]
    pub retry_budget: Duration,
}

impl HubArgs {
    /// How long one request may take, unless an option says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(100);
    /// How long a request is tried again, unless an option says otherwise.
    pub const RETRY_BUDGET: Duration = Duration::from_secs(300);
}

/// Without the connection string.
impl std::fmt::Debug for HubArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hub, connection_string: _, ca_file, concurrency, timeout, retry_budget } = self;
        f.debug_struct("HubArgs")
            .field("hub", hub)
            .field("ca_file", ca_file)
            .field("concurrency", concurrency)
            .field("timeout", timeout)
            .field("retry_budget", retry_budget)
            .finish_non_exhaustive()
    }
}

/// What `--hub` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubName {
    /// The embedded one, in a folder, or for this run alone.
    Embedded(Option<PathBuf>),
    /// One by its host name.
    Host(HubHost),
}

impl FromStr for HubName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("embedded", "")) => Err("a folder is missing after `embedded:`".to_owned()),
            Some(("embedded", folder)) => Ok(Self::Embedded(Some(folder.into()))),
            None if text == "embedded" => Ok(Self::Embedded(None)),
            _ => {
                text.parse().map(Self::Host).map_err(|error: iothub_model::twin::IdError| {
                    match Placeholder::first_in(text) {
                        Some(placeholder) => format!("it has {placeholder}: {}", placeholder.advice()),
                        None => error.to_string(),
                    }
                })
            }
        }
    }
}

/// How a plan is made.
#[derive(Debug, Default, Args)]
pub struct PlanningArgs {
    /// Take over paths that another fleet's record owns
    #[arg(long)]
    pub take_ownership: bool,

    /// The Git revision to write into the records [default: the CI's variable, else `git rev-parse`]
    #[arg(long, value_name = "REV")]
    pub revision: Option<String>,

    /// Plan and apply a manifest that asks for a rollout or gates, which this version does not carry out: all twins at once
    #[arg(long)]
    pub ignore_rollout: bool,

    /// Exit 6 when a check of severity `error` is going to fail; apply then sends nothing
    #[arg(long)]
    pub require_checks: bool,

    /// The hub's tier, by whose throttles times and messages are reckoned [default: S1]
    #[arg(long, value_name = "TIER", hide_possible_values = true)]
    pub tier: Option<Tier>,

    /// The hub's units [default: 1]
    #[arg(long, value_name = "N")]
    pub units: Option<u32>,
    /// Only these: a device with its modules, DEVICE/MODULE, a range as in 'press-{001..120}', or group:NAME; may be repeated.
    /// Devices that left the manifest are then not looked for
    #[arg(long, value_name = "ID|group:NAME")]
    pub only: Vec<Only>,

    /// Read each twin by GET that seems to have drifted; not an option of the command line.
    #[arg(skip)]
    pub confirm_drift: bool,
}

/// The options of `twinctl plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl plan                              # the manifests under this folder
  twinctl plan fleet/ --out plan.json       # save it, to apply just that later
  twinctl plan fleet/ --detailed-exitcode   # exit 2 when there are changes
  twinctl plan fleet/ --format json | jq '.clusters[] | .count'
  twinctl plan fleet/ --markdown comment.md --html plan.html

A plan with conflicts, with declared devices that the hub lacks, past the manifest's limits, or
that would alter what its own selectors find exits 3. What is past limits may be approved: by
--approve, with the digest that the refusal prints.")]
pub struct PlanArgs {
    /// Which manifests.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,

    /// Save the plan for `twinctl apply FILE.json`
    #[arg(long, short, value_name = "FILE.json", value_hint = ValueHint::FilePath, value_parser = plan_file)]
    pub out: Option<PathBuf>,

    /// Where it is written as well.
    #[command(flatten)]
    pub pages: PageArgs,

    /// Exit 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,

    /// Let just this plan pass the guards, by the first digits of its digest; kept in the file of --out
    #[arg(long, value_name = "DIGEST")]
    pub approve: Option<DigestPrefix>,

    /// Name every twin and cut no value
    #[arg(long)]
    pub full: bool,

    /// Remarks for a CI system.
    #[command(flatten)]
    pub annotations: AnnotationArgs,

    /// How it is made.
    #[command(flatten)]
    pub planning: PlanningArgs,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: version 1, every value in full; docs/outputs.md says where its fields are named.
    Json,
    /// For a comment on a pull request, cut to --max-length.
    Markdown,
    /// One page that needs nothing else, with search and filters.
    Html,
}

/// The options of `twinctl apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl apply                             # plan the manifests under this folder, ask, apply
  twinctl apply fleet/ --yes                # in a pipeline
  twinctl apply plan.json --yes             # just what `twinctl plan --out plan.json` saw
  twinctl apply fleet/ --yes --expect 9f3c1a2b7d05   # only if the plan is the reviewed one

--expect takes the `digest` of `twinctl plan --format json`: of the hub, the fleet, each twin's patch
and what was there, without sensitive values. --approve takes it as well, from the refusal. If the
same would be sent over other values than those reviewed, that is a conflict: exit 4.")]
pub struct ApplyArgs {
    /// Manifests or folders of them, or one plan file
    #[arg(value_name = "PATH", default_value = ".", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// With a plan file: refuse it unless it was made from these manifests; needed when they declare sensitive values, which no
    /// plan file holds
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub manifest: Vec<PathBuf>,

    /// What goes over the manifests' variables.
    #[command(flatten)]
    pub vars: VarArgs,

    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,

    /// Let just this plan pass the guards, by the first digits of its digest
    #[arg(long, value_name = "DIGEST")]
    pub approve: Option<DigestPrefix>,

    /// Go on only when the plan is the one with this digest, or there is nothing to do; the first 8 digits will do
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<DigestPrefix>,

    /// Name every twin and cut no value when the plan is shown, and name every twin that is not done in the report
    #[arg(long)]
    pub full: bool,

    /// How to show what applying came to
    #[arg(long, short = 'o', value_enum, default_value_t)]
    pub format: ApplyFormat,

    /// How the plan is made.
    #[command(flatten)]
    pub planning: PlanningArgs,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}

/// How the result of applying is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ApplyFormat {
    /// For people: the plan, the report and the checks.
    #[default]
    Text,
    /// For programs: version 1, every twin that is not done; docs/apply-json.md has the fields.
    Json,
}

/// The options of `twinctl check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl check fleet/
  twinctl check fleet/ --format junit > checks.xml")]
pub struct CheckArgs {
    /// Which manifests.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// How to show the results
    #[arg(long, short = 'o', value_enum, default_value_t)]
    pub format: CheckFormat,

    /// Ask each query once and do not wait for it to hold
    #[arg(long)]
    pub no_wait: bool,

    /// Remarks for a CI system.
    #[command(flatten)]
    pub annotations: AnnotationArgs,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}

/// How check results are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people, with the ids of the devices concerned.
    #[default]
    Text,
    /// For programs: version 1.
    Json,
    /// For CI servers: JUnit XML.
    Junit,
}

/// The options of `twinctl query`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl query \"SELECT deviceId, tags.location FROM devices WHERE tags.location.plant = 'Redmond43'\"
  twinctl query 'SELECT COUNT() AS n FROM devices' --format json")]
pub struct QueryArgs {
    /// The query, in IoT Hub's query language
    #[arg(value_name = "QUERY")]
    pub query: String,

    /// How to show the rows
    #[arg(long, short = 'o', value_enum, default_value_t)]
    pub format: QueryFormat,

    /// With --format csv: put a ' before a text that a spreadsheet would run as a formula; without it, cells are as they are
    #[arg(long)]
    pub csv_safe: bool,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}

/// How rows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    /// For people: aligned, long cells cut; of whole twins the main members.
    #[default]
    Table,
    /// One array, a row a line.
    Json,
    /// RFC 4180 with a header; empty if there are no rows.
    Csv,
}

/// The options of `twinctl validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Which manifests.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// Remarks for a CI system.
    #[command(flatten)]
    pub annotations: AnnotationArgs,

    /// Take warnings for errors
    #[arg(long)]
    pub strict: bool,
}

/// Files for people that a plan or its drift is written to.
#[derive(Debug, Args)]
pub struct PageArgs {
    /// Write it as Markdown as well, for a comment on a pull request or an issue
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub markdown: Option<PathBuf>,

    /// Write it as one page of HTML as well, with search and filters
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,

    /// Cut the Markdown to so many characters, with the counts kept: GitHub takes 65536, Azure DevOps 150000
    #[arg(long, value_name = "N", default_value_t = markdown::GITHUB_MAX, value_parser = max_length)]
    pub max_length: usize,
}

/// Reads how long a comment may be.
fn max_length(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(length) if length >= markdown::LEAST_MAX => Ok(length),
        _ => Err(format!("it is a number of characters, {} or more", markdown::LEAST_MAX)),
    }
}

/// Parses a duration that is longer than zero.
fn duration(text: &str) -> Result<Duration, DurationError> {
    duration::parse_nonzero(text, duration::DAY)
}

/// Parses a duration that may be zero.
fn duration_or_zero(text: &str) -> Result<Duration, DurationError> {
    duration::parse(text, duration::DAY)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn hubs() {
        for (text, hub) in [
            ("embedded", Ok(HubName::Embedded(None))),
            ("embedded:a/b:c", Ok(HubName::Embedded(Some("a/b:c".into())))),
            ("embedded:", Err(())),
            ("My-Hub.azure-devices.net", Ok(HubName::Host("my-hub.azure-devices.net".parse().expect("a host")))),
            ("127.0.0.1:8443", Ok(HubName::Host("127.0.0.1:8443".parse().expect("a host")))),
            ("https://hub", Err(())),
            ("", Err(())),
        ] {
            assert_eq!(text.parse::<HubName>().map_err(|_| ()), hub, "{text}");
        }
    }

    /// The texts that the manifest and fault rules accept, too.
    #[test]
    fn durations() {
        let table = include_str!("../../tests/data/durations.txt");
        for (text, expected) in
            table.lines().filter(|row| !row.starts_with('#')).filter_map(|row| row.split_once(" -> "))
        {
            let parsed = |option: &str| {
                let arguments =
                    Arguments::try_parse_from(["twinctl".to_owned(), "plan".to_owned(), format!("{option}={text}")])?;
                let Command::Plan(plan) = arguments.command else { panic!("not a plan") };
                Ok::<_, clap::Error>((plan.hub.timeout, plan.hub.retry_budget))
            };
            match duration::parse(text, duration::DAY) {
                Ok(duration) => {
                    assert_eq!(duration.as_millis().to_string(), expected, "{text}");
                    assert_eq!(parsed("--retry-budget").expect(text).1, duration, "{text}");
                    assert_eq!(
                        parsed("--timeout").ok().map(|it| it.0),
                        Some(duration).filter(|it| !it.is_zero()),
                        "{text}"
                    );
                }
                Err(error) => {
                    assert!(expected.parse::<u64>().is_err(), "{text}");
                    for (option, error) in
                        [("--retry-budget", error), ("--timeout", super::duration(text).expect_err(text))]
                    {
                        let found = parsed(option).expect_err(text);
                        let source = std::error::Error::source(&found).and_then(|error| error.downcast_ref());
                        assert_eq!(source, Some(&error), "{text}");
                        assert!(found.to_string().contains(&error.to_string()), "{text}: {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn plans_are_saved_under_names_of_plans() {
        for (name, may) in [
            ("plan.json", true),
            ("a/b.JSON", true),
            ("/dev/stdout", true),
            ("fleet.yaml", false),
            ("plan", false),
            ("", false),
        ] {
            let arguments = Arguments::try_parse_from(["twinctl", "plan", "--out", name]);
            assert_eq!(arguments.is_ok(), may, "{name}");
        }
    }

    #[test]
    fn times_have_the_defaults_that_are_left_out_of_printed_commands() {
        let Command::Plan(plan) = Arguments::parse_from(["twinctl", "plan"]).command else { panic!("not a plan") };
        assert_eq!((plan.hub.timeout, plan.hub.retry_budget), (HubArgs::TIMEOUT, HubArgs::RETRY_BUDGET));
    }

    #[test]
    fn no_secret_in_debug() {
        let arguments = Arguments::parse_from(["twinctl", "plan", "--connection-string", "SharedAccessKey=hunter2"]);
        assert!(!format!("{arguments:?}").contains("hunter2"));
    }
}
