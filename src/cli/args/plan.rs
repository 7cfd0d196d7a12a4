//! The options of `plan` and `apply`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{AnnotationArgs, HubArgs, ManifestArgs, PageArgs, PlanFormat, PlanningArgs, VarArgs};
use crate::digest::DigestPrefix;

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
