//! The options of the commands that look at things: `show`, `explain`, `doctor`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{HubArgs, PlanFormat, ReportFormat, VarArgs};
use iothub_model::twin::TwinId;

/// The options of `twinctl show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl show thermostat-002               # beside the manifests under this folder
  twinctl show gateway-01/telemetry fleet/  # a module, beside those in fleet/
  twinctl show plan.json --format json      # a saved plan; no hub is asked")]
pub struct ShowArgs {
    /// A device, a module as DEVICE/MODULE, or a saved plan as FILE.json
    #[arg(value_name = "DEVICE[/MODULE]|FILE.json", value_hint = ValueHint::AnyPath)]
    pub what: String,

    /// Manifests, or folders of them, that may declare the twin [default: those under this folder, if there are any]
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// What goes over the manifests' variables.
    #[command(flatten)]
    pub vars: VarArgs,

    /// How to show it
    #[arg(long, short = 'o', value_enum, default_value_t)]
    pub format: PlanFormat,

    /// Cut no value, and name every twin of a plan
    #[arg(long)]
    pub full: bool,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}

/// The options of `twinctl explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl explain thermostat-002                        # all of its paths
  twinctl explain thermostat-002 desired.power_level    # one of them, and what lies under it
  twinctl explain press-042 tags fleet/ --format json")]
pub struct ExplainArgs {
    /// A device, or a module as DEVICE/MODULE
    #[arg(value_name = "DEVICE[/MODULE]")]
    pub id: TwinId,

    /// Paths of the twin, each beginning with `tags` or `desired`; then manifests, or folders of them [default: all paths, and
    /// the manifests under this folder]
    #[arg(value_name = "PATH|MANIFEST", value_hint = ValueHint::AnyPath)]
    pub rest: Vec<String>,

    /// What goes over the manifests' variables.
    #[command(flatten)]
    pub vars: VarArgs,

    /// Explain a device that no manifest names as one that selectors may find
    #[arg(long)]
    pub selected: bool,

    /// How to show it
    #[arg(long, short = 'o', value_enum, default_value_t)]
    pub format: ExplainFormat,

    /// Cut no value
    #[arg(long)]
    pub full: bool,
}

/// How an explanation is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: version 1.
    Json,
}

/// The options of `twinctl doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl doctor
  twinctl doctor --ca-file hub/ca.pem --format json

The policy's rights are found out by calls that change nothing: a twin and an identity that are not
there are asked for, and an identity that is not there is deleted under an etag that nothing has.")]
pub struct DoctorArgs {
    /// How to show it
    #[arg(long, short = 'o', value_enum, default_value_t)]
    pub format: ReportFormat,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}
