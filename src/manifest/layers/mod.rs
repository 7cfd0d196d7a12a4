//! All files together: names, layers laid over each other, one policy, the declarations.
//!
//! `merge` lays one list of leaves over another, a `body` is what comes of that for one twin, and `layering` knows which layers each device has.
//! `inventory` reads rows, `members` names all devices and modules, `merge_policies` makes one policy, and `resolve` the
//! [`Declarations`](declaration::Declarations), which `select` extends by what selectors find. Does not parse YAML, but for `redact`, which stars out
//! what was refused. Read [`Body`](body::Body) first.

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
