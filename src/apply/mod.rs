//! An approved plan to effects.

pub mod event;
pub mod stop;

pub use event::{ApplyEvent, ApplyReport, MovedPath, TwinOutcome};
pub use stop::Stop;
