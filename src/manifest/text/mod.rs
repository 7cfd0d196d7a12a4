//! A manifest's text: files within their boundary, and trees of YAML whose nodes know their places.
//!
//! Knows no field of a manifest, and no device. `boundary` opens files, `source` finds and reads them, `yaml` parses a [`File`](source::File) into
//! [`Node`](node::Node)s, and `syntax` says what is wrong where it cannot. `odd` and `traps` warn of what YAML takes and is probably not meant. Read
//! [`Node`](node::Node) first.

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
