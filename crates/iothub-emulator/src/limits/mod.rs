//! The limits of a tier: throttles that delay and then reject, and the daily quota. Off unless a tier is asked for.

pub(crate) mod admission;
pub(crate) mod operation;
pub(crate) mod throttle;
