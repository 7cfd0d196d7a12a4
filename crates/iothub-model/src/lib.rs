//! Azure IoT Hub as data: its twins, its query language, its protocols, its limits.
//!
//! Nothing here does I/O, reads a clock or knows of YAML. Modules stand in reading order; one may use those above it and none below.

#![warn(missing_docs)]

pub mod diagnostic;
pub mod duration;
pub mod pem;
pub mod placeholder;
pub mod twin;
// (kept apart: the order is the reading order)
pub mod query;
pub mod rate;
pub mod wire;
// (kept apart)
pub mod tiers;
