//! A manifest's text: files within their boundary, and YAML trees whose nodes know their places.
//!
//! Knows no field of a manifest, and no device.

pub(crate) mod boundary;
pub(crate) mod submodule;
pub(crate) mod ignored;
pub(crate) mod paths;
pub(crate) mod source;
pub(crate) mod row;
pub(crate) mod node;
pub(crate) mod surrogates;
pub(crate) mod odd;
pub(crate) mod syntax;
pub(crate) mod yaml;
pub(crate) mod traps;
