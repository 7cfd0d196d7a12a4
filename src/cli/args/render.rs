//! The options of `twinctl render`.

use clap::{Args, ValueEnum};

use super::ManifestArgs;

/// The options of `twinctl render`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl render fleet/ --format json
  twinctl render fleet/ --against origin/main                     # what this branch changes
  twinctl render fleet/ --against origin/main --format markdown   # as a comment on a pull request

--against runs `git` and needs the ref's commit here: a shallow clone has to fetch it first. It
reads no hub and needs no secret, so it serves pull requests from forks.")]
pub struct RenderArgs {
    /// Which manifests.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// Show what differs from the manifests at this Git ref
    #[arg(long, value_name = "REF")]
    pub against: Option<String>,

    /// How to print it [default: yaml; with --against text]
    #[arg(long, short = 'o', value_enum)]
    pub format: Option<RenderFormat>,

    /// With --against: name every twin and cut no value
    #[arg(long, requires = "against")]
    pub full: bool,

    /// With --against: exit 2 when something differs
    #[arg(long, requires = "against")]
    pub detailed_exitcode: bool,
}

/// How declarations, and differences between them, are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RenderFormat {
    /// YAML, sorted; not with --against.
    Yaml,
    /// JSON, sorted.
    Json,
    /// With --against: for people.
    Text,
    /// With --against: for a comment on a pull request.
    Markdown,
}
