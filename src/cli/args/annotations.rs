//! What a CI system is told.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

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
