//! The hub as a pure state machine: no sockets, no runtime, no clock.
//!
//! Every protocol turns what a client asks for into a request, a type of its own that is [`ask::Ask`]. [`state::Hub::handle`] takes it
//! with the time and returns the reply, the records to write and the notices to deliver. In reading order: what
//! the hub keeps, the hub with all of it, and what can be asked ([`requests`], a file for each kind of thing).

// In reading order: a module uses those above it, and none below.
pub(crate) mod document;
pub(crate) mod outbox;
pub(crate) mod command;
pub(crate) mod timestamp;
pub(crate) mod presence;
pub(crate) mod scope;
pub(crate) mod session;
pub(crate) mod identity;
pub(crate) mod module_identity;
pub(crate) mod twin;
pub(crate) mod device;
pub(crate) mod digital_twin;
pub(crate) mod module;
pub(crate) mod transfer;
pub(crate) mod configurations;
pub(crate) mod jobs;
pub(crate) mod messages;
pub(crate) mod lag;
pub(crate) mod record;
pub(crate) mod state;
pub(crate) mod ask;
pub(crate) mod changes;
pub(crate) mod requests;
