//! Arguments, and one short file a command: parse, call, render, answer with an [`Outcome`].
//!
//! Owns the streams, the environment, the clock and the exit code; decides nothing about twins. Read [`run`] first, then
//! [`context::Context`].

pub mod args;
pub mod context;
pub mod outcome;

pub use context::Context;
pub use outcome::{CliError, Outcome};
