//! Asking the embedded hub to misbehave, while it runs. The real service has no such path; this one is ours.

use serde::{Deserialize, Serialize};

/// Where the rules are: GET shows them, PUT sets them, DELETE takes them away. Only the policy `iothubowner` may.
pub const FAULTS_PATH: &str = "/$twinctl/faults";

/// What a PUT says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultsBody {
    /// The rules, in their own language.
    pub spec: String,
}

/// What all three answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultsReport {
    /// All rules, in their own language; empty when there are none.
    pub spec: String,
    /// Each rule and what it came to since it was set.
    pub rules: Vec<RuleReport>,
}

/// What a rule came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: String,
    /// How many requests it was for.
    pub matched: u64,
    /// How many it did something to.
    pub fired: u64,
}
