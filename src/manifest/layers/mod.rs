//! All files together: names, layers laid over each other, one policy, the declarations.

pub(crate) mod agree;
pub(crate) mod merge;
pub(crate) mod body;
pub(crate) mod layering;
pub(crate) mod declaration;
pub(crate) mod inventory;
pub(crate) mod named;
pub(crate) mod members;
pub(crate) mod merge_policies;
pub(crate) mod fingerprint;
pub(crate) mod redact;
pub(crate) mod resolve;
pub(crate) mod select;
