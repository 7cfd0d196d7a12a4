//! How fast to send, with time as an argument: nothing here sleeps and nothing reads a clock.
//!
//! Times are durations since a start that the caller chose. Read [`Pace`] first, which follows somebody else's limits;
//! [`TokenBucket`] sets one's own.

pub mod aimd;
pub mod bucket;

pub use aimd::Pace;
pub use bucket::TokenBucket;
