//! The options of the commands for the shell: `completions`, `man`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

/// The options of `twinctl completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl completions bash > ~/.local/share/bash-completion/completions/twinctl
  twinctl completions zsh > ~/.zfunc/_twinctl       # a folder of $fpath
  twinctl completions fish > ~/.config/fish/completions/twinctl.fish
  twinctl completions powershell >> $PROFILE")]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// The options of `twinctl man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl man | man -l -
  twinctl man --out ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Write twinctl.1 and a page for each command into this folder, which is made when it is not there
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}
