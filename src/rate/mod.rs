//! How fast to send, with time as an argument: nothing here sleeps and nothing reads a clock.
//!
//! Times are durations since a start that the caller chose. Read [`Pace`] first.

pub mod aimd;

pub use aimd::Pace;
