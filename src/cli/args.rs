//! The command line. Each command's help is written here.

mod annotations;
mod comment;
mod connection;
mod device;
#[cfg(feature = "embedded")]
mod hub;
mod manifests;
mod check;
mod planning;
mod fleet;
mod inspect;
mod plan;
mod render;
mod shell;

use clap::{Parser, Subcommand};

pub(crate) use annotations::{AnnotationArgs, AnnotationHost};
pub(crate) use check::{CheckArgs, CheckFormat, QueryArgs, QueryFormat, ValidateArgs};
pub(crate) use comment::{CommentArgs, HostName};
pub(crate) use connection::{HubArgs, HubName};
pub(crate) use device::{DeviceRunArgs, SimulationCommand};
pub(crate) use fleet::{DriftArgs, ImportArgs, ReportFormat};
#[cfg(feature = "embedded")]
pub(crate) use hub::{
    BehaviourArgs, DeviceCommand, DeviceNames, DeviceTarget, FaultsCommand, HubCommand, ServeArgs, TokenArgs,
};
pub(crate) use inspect::{DoctorArgs, ExplainArgs, ExplainFormat, ShowArgs};
pub(crate) use manifests::{ManifestArgs, VarArgs};
pub(crate) use plan::{ApplyArgs, ApplyFormat, PlanArgs};
pub(crate) use planning::{Only, PageArgs, PlanFormat, PlanningArgs};
pub(crate) use render::{RenderArgs, RenderFormat};
pub(crate) use shell::{CompletionsArgs, ManArgs};

use super::context::ColourChoice;

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use iothub_model::duration;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
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
                        [("--retry-budget", error), ("--timeout", connection::duration(text).expect_err(text))]
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
