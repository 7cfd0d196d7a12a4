//! The limits of a tier: throttles that delay and then reject, and the daily quota. Off unless a tier is asked for.

// In reading order: a module uses those above it, and none below.
pub(crate) mod operation;
pub(crate) mod throttle;
pub(crate) mod admission;
