//! The options of the commands around a whole fleet: `drift`, `import`; and how a plan is narrowed.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum, ValueHint};

use super::{AnnotationArgs, HubArgs, ManifestArgs, PageArgs, PlanFormat};
use crate::manifest::range::Pattern;
use crate::manifest::{FleetName, Ownership};
use iothub_model::twin::{ModuleId, Section, TwinPath};

/// A part of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// Devices with their modules, or of each of them one module.
    Twins {
        /// As written.
        text: String,
        /// The devices' ids.
        devices: Vec<String>,
        /// The one module.
        module: Option<ModuleId>,
    },
    /// The devices that list a group, with their modules.
    Group(String),
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("group:") {
            return match name {
                "" => Err("a group's name is missing after `group:`".to_owned()),
                name => Ok(Self::Group(name.to_owned())),
            };
        }
        let (device, module) = match text.split_once('/') {
            Some((device, module)) => {
                (device, Some(module.parse().map_err(|error: iothub_model::twin::IdError| error.to_string())?))
            }
            None => (text, None),
        };
        if device.is_empty() {
            return Err("a device's id is missing".to_owned());
        }
        let pattern = Pattern::parse(device).map_err(|error| format!("{}: {}", error.message, error.help))?;
        Ok(Self::Twins { text: text.to_owned(), devices: pattern.names().collect(), module })
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_fleet() {
        let twins = |text: &str, devices: &[&str], module: Option<&str>| Only::Twins {
            text: text.to_owned(),
            devices: devices.iter().map(ToString::to_string).collect(),
            module: module.map(|module| module.parse().expect("an id")),
        };
        for (text, only) in [
            ("group:oslo", Ok(Only::Group("oslo".to_owned()))),
            ("d1", Ok(twins("d1", &["d1"], None))),
            ("gw/telemetry", Ok(twins("gw/telemetry", &["gw"], Some("telemetry")))),
            ("d-{1..2}/m", Ok(twins("d-{1..2}/m", &["d-1", "d-2"], Some("m")))),
            ("group:", Err(())),
            ("", Err(())),
            ("d-{2..1}", Err(())),
            ("d/", Err(())),
            ("d/a b", Err(())),
        ] {
            assert_eq!(text.parse::<Only>().map_err(|_| ()), only, "{text}");
        }
    }
}
