//! How a plan is made, narrowed to a part of a fleet, and written.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum, ValueHint};

use crate::manifest::range::Pattern;
use crate::render::markdown;
use iothub_model::tiers::Tier;
use iothub_model::twin::ModuleId;

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
