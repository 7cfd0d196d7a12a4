//! An approved plan to effects.

pub mod event;

pub use event::{ApplyEvent, ApplyReport, MovedPath, TwinOutcome};
