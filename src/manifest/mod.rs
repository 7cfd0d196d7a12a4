//! YAML text to [`Declarations`].

pub mod declaration;

pub use declaration::{Body, Declaration, Declarations, FleetName, Layer, Leaf, Missing, Origin, Ownership};
