//! YAML text to [`Declarations`], with diagnostics that point.
//!
//! Owns what a manifest may say, how its layers are laid over each other, and every place in it that a message may point at. Does
//! not know live twins, nor print. Read [`Declarations`] first, then [`load`](fn@load), which is the whole way:
//!
//! 1. `text` reads files (`boundary` decides which may be read and opens them, `ignored` which are no manifests) and parses them into trees
//!    whose nodes know their places (`node`, `yaml`).
//! 2. `fast` does so without the trees of all devices: an `entry` is read as soon as it is there, and stays text where it is written as
//!    others are.
//! 3. `references` puts in what `${…}` stands for (`vars`, `interpolate`; `env_access` keeps credentials out).
//! 4. `fields` reads each tree by tables of fields (`schema`, `checks`, `expect`, `policy`). It also says what each field is, for the JSON
//!    Schema and the reference.
//! 5. `layers` reads tables (`inventory`), gives each twin its layers (`members`, `layering`, `body`), makes one policy of all files'
//!    (`merge_policies`) and the declarations of it all (`resolve`). What selectors add comes when the hub was asked
//!    ([`Declarations::select`]).
//!
//! The modules are listed lowest first: each uses only those above it.
//!
//! A module is declared under its device, `devices.ID.modules.ID: { tags, desired }`, and each device of a range has the modules of
//! its entry. Defaults and groups describe devices' own twins: a module twin has its own entry as its only layer. Whoever declares a
//! module declares its device.

pub(crate) mod leaf;
pub(crate) mod fleet;
pub(crate) mod range;
pub(crate) mod text;
pub(crate) mod leaves;
pub(crate) mod validate;
pub(crate) mod entry;
pub(crate) mod fields;
pub(crate) mod references;
pub(crate) mod fast;
pub(crate) mod layers;
pub(crate) mod load;
pub(crate) mod explain;

#[cfg(test)]
pub(crate) mod property_tests;
#[cfg(test)]
mod tests;

pub(crate) use explain::{Candidate, Explained, ExplainedLayer, Explanation, Undeclared, explain, members};
pub(crate) use fields::json_schema::json_schema;
pub use fields::policy::Selection;
pub(crate) use fields::policy::{Amount, Limits, OnFailure, Policy, PolicyPath, Rollout, Selector, Sensitive};
pub(crate) use fleet::{FleetName, Missing, Ownership};
pub(crate) use layers::body::Body;
pub use layers::declaration::Declarations;
pub(crate) use layers::declaration::{Declaration, EmptyInventory};
pub(crate) use leaf::Leaf;
pub use leaf::{Layer, Origin};
pub use load::load_texts;
pub(crate) use load::{
    LoadOptions, SourceDigests, env_allow_problem, environment_names, load, sensitive, source_digests,
};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use load::{Loaded, load_whole_texts};
pub(crate) use text::boundary::{CommitCopy, is_stream};
