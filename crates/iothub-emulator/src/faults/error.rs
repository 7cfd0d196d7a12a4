//! Fault rules that are given as text to a program, and what is wrong with them.

use std::fmt;

use crate::faults::FaultSpec;
use iothub_model::diagnostic::{Diagnostic, Source};

/// What is wrong with rules of faults.
#[derive(Debug)]
pub struct FaultsError(Vec<Diagnostic>);

impl fmt::Display for FaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self.0.iter().map(|mistake| mistake.message.as_str()).collect();
        write!(f, "{}", messages.join("; "))
    }
}

impl std::error::Error for FaultsError {}

/// Reads rules that are given as text.
pub(crate) fn read_faults(rules: &str) -> Result<FaultSpec, FaultsError> {
    FaultSpec::parse(&Source::new("<faults>", rules)).map_err(FaultsError)
}
