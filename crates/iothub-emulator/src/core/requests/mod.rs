//! What can be asked of the hub: a file for each kind of thing, with a type for each request (`core::ask::Ask`) and its reply.

// In reading order: a module uses those above it, and none below.
pub(crate) mod devices;
pub(crate) mod modules;
pub(crate) mod sessions;
pub(crate) mod transfers;
pub(crate) mod twins;
pub(crate) mod bulk;
pub(crate) mod keys;
pub(crate) mod configurations;
pub(crate) mod edge_content;
pub(crate) mod jobs;
pub(crate) mod job_runs;
pub(crate) mod messages;
pub(crate) mod deliveries;
