//! IoT Hub's nouns: ids, twins, etags, paths, merge patches, and the limits that the hub sets them.
//!
//! No I/O, no clock, no knowledge of YAML or HTTP. Each invariant of the service has one module here that owns it: how an
//! etag is quoted ([`etag`]), that null in a patch deletes ([`patch`]), which values are equal ([`value`]), what is too long
//! ([`limits`]). Read [`Twin`] first, then [`MergePatch`].

// In reading order: a module uses those above it, and none below.
pub mod section;
pub mod tree;
pub mod limits;
pub mod id;
pub mod etag;
pub mod document;
pub mod value;
pub mod path;
pub mod ordered;
pub mod patch;

pub use document::{Desired, Lookup, Reported, Tags, Twin};
pub use etag::{ETag, IfMatch};
pub use id::{DeviceId, HubHost, IdError, ModuleId, TwinId};
pub use ordered::{OrderedObject, OrderedValue};
pub use patch::MergePatch;
pub use path::TwinPath;
pub use section::{Object, Section};
