//! The options of `check`, `query` and `validate`.

use clap::{Args, ValueEnum};

use super::{AnnotationArgs, HubArgs, ManifestArgs};

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
