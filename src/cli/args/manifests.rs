//! Which manifests are read, and what goes over their variables.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Which manifests.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// Manifests, or folders of them (read recursively: *.yaml, *.yml)
    #[arg(value_name = "PATH", default_value = ".", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// What goes over their variables.
    #[command(flatten)]
    pub vars: VarArgs,
}

/// What goes over the manifests' variables, and which files may be read.
#[derive(Args)]
pub struct VarArgs {
    /// Set a variable of the manifests; a value is read as YAML would, and stays a text where the variable is one
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub vars: Vec<(String, String)>,

    /// Set variables from a file of YAML or JSON with their names and values; `--var` goes over it
    #[arg(long = "vars", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub var_files: Vec<PathBuf>,

    /// Let manifests, and links, lead to files outside of the Git repository (without one: of the named folders); never to `.git`
    #[arg(long)]
    pub allow_outside: bool,
    /// Let manifests read an environment variable that has the name or the value of a credential; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = opened_variable)]
    pub env_allow: Vec<String>,
}

/// Shows no value: one may be a secret.
impl fmt::Debug for VarArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.vars.iter().map(|(name, _)| name).collect();
        let Self { vars: _, var_files, allow_outside, env_allow } = self;
        f.debug_struct("VarArgs")
            .field("vars", &names)
            .field("var_files", var_files)
            .field("allow_outside", allow_outside)
            .field("env_allow", env_allow)
            .finish()
    }
}

/// Takes `NAME=VALUE` apart.
fn variable(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("it is written NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Takes the name of a variable that manifests may read.
fn opened_variable(text: &str) -> Result<String, String> {
    crate::manifest::env_allow_problem(text).map_or_else(|| Ok(text.to_owned()), Err)
}
