//! The hub as a pure state machine: no sockets, no runtime, no clock.
//!
//! Every protocol turns what a client asks for into a [`command::Command`]. [`state::Hub::handle`] takes it with the time and returns the
//! reply, the records to write and the notices to deliver. Read `command` first, then `state`.

pub(crate) mod bulk;
pub(crate) mod command;
pub(crate) mod configurations;
pub(crate) mod device;
pub(crate) mod digital_twin;
pub(crate) mod identity;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod lag;
pub(crate) mod messages;
pub(crate) mod modules;
pub(crate) mod outbox;
pub(crate) mod scope;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod state;
pub(crate) mod timestamp;
pub(crate) mod transfers;
pub(crate) mod twin;
