//! The options of `comment`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// The options of `twinctl comment`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl plan fleet/ --format markdown > plan.md
  twinctl comment plan.md                   # in a pull request's pipeline
  twinctl comment plan.md --host github --number 12

It needs a token: GITHUB_TOKEN, SYSTEM_ACCESSTOKEN or GITLAB_TOKEN; the rest it takes from the
variables that the pipeline has anyway.")]
pub struct CommentArgs {
    /// What `twinctl plan --format markdown` wrote; `-` for stdin
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// Where [default: whose pipeline this is]
    #[arg(long, value_enum, value_name = "HOST")]
    pub host: Option<HostName>,

    /// The pull request's number [default: the one that the pipeline runs for]
    #[arg(long, value_name = "N")]
    pub number: Option<u64>,
}

/// A host of code, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostName {
    /// GitHub
    Github,
    /// Azure DevOps
    Azure,
    /// GitLab
    Gitlab,
}
