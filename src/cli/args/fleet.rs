//! The options of the commands around a whole fleet: `drift`, `import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{AnnotationArgs, HubArgs, ManifestArgs, Only, PageArgs, PlanFormat};
use crate::manifest::{FleetName, Ownership};
use iothub_model::twin::{Section, TwinPath};

/// The options of `twinctl drift`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl drift fleet/ --detailed-exitcode     # exit 2 unless all is as applied, for a nightly job
  twinctl drift fleet/ --only group:oslo
  twinctl drift fleet/ --format json | jq '.clusters[].ids'
  twinctl drift fleet/ --markdown drift.md --html drift.html --annotations auto

A twin without the fleet's record is listed too: it was replaced or registered anew, or never
applied. So is a declared twin that the hub does not have, and one with conflicts. A fleet with
`ownership: none` has no records, so every difference from the manifest is listed.")]
pub struct DriftArgs {
    /// Which manifests.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// How to show it
    #[arg(long, short = 'o', value_enum, default_value_t)]
    pub format: PlanFormat,

    /// Where it is written as well.
    #[command(flatten)]
    pub pages: PageArgs,

    /// Exit 2 when something drifted, or when a twin is missing, lost its record, or cannot be compared
    #[arg(long)]
    pub detailed_exitcode: bool,

    /// Name every twin and cut no value
    #[arg(long)]
    pub full: bool,

    /// Only these: a device with its modules, DEVICE/MODULE, a range as in 'press-{001..120}', or group:NAME; may be repeated.
    /// Devices that left the manifest are then not looked for
    #[arg(long, value_name = "ID|group:NAME")]
    pub only: Vec<Only>,

    /// Remarks for a CI system.
    #[command(flatten)]
    pub annotations: AnnotationArgs,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: version 1.
    Json,
}

/// The options of `twinctl import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl import --out fleet.yaml
  twinctl import --where \"tags.location.plant = 'Redmond43'\" --fleet redmond --out redmond.yaml
  twinctl import --by tags.location.plant --by tags.model
  twinctl plan fleet.yaml                   # shows nothing but what the fleet would own from now on")]
pub struct ImportArgs {
    /// Only devices for which this holds: what stands after WHERE in a query; modules come with their devices
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Option<String>,

    /// The fleet's name [default: made of the hub's, or `imported` for an address]
    #[arg(long, value_name = "NAME")]
    pub fleet: Option<FleetName>,

    /// A tag whose values make groups, as in tags.location.plant; may be repeated [default: those that save most]
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub by: Vec<TwinPath>,

    /// Whether the fleet is to record in the twins what it owns: record or none
    #[arg(long, value_name = "WHETHER", default_value = "record", value_parser = ownership)]
    pub ownership: Ownership,

    /// Write the manifest here and not to stdout
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = manifest_file)]
    pub out: Option<PathBuf>,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}

fn tag(text: &str) -> Result<TwinPath, String> {
    match text.parse::<TwinPath>() {
        Ok(path) if path.section() == Section::Tags && path.parent().is_some() => Ok(path),
        _ => Err("a tag's path begins with `tags.`, as in tags.location.plant".to_owned()),
    }
}

fn ownership(text: &str) -> Result<Ownership, String> {
    match text {
        "record" => Ok(Ownership::Record),
        "none" => Ok(Ownership::None),
        _ => Err("it is record or none".to_owned()),
    }
}

/// Takes the name of a file, and not the format that `-o` is for in other tools.
fn manifest_file(text: &str) -> Result<PathBuf, String> {
    const FORMATS: [&str; 8] = ["json", "jsonc", "yaml", "yamlc", "table", "tsv", "csv", "name"];
    if FORMATS.contains(&text) {
        return Err("a file is named here, as in `-o fleet.yaml`; a manifest is always YAML".to_owned());
    }
    Ok(text.into())
}
