//! Keeps the device twins of an Azure IoT Hub equal to what is declared in Git.
//!
//! Data flows one way: manifest → declarations → plan → apply → report. Modules stand in reading order; one may use those
//! above it and none below.

pub mod digest;
pub mod legible;
pub mod plural;
pub mod shell;

pub mod check;
pub mod manifest;

pub mod plan;

pub mod against;
pub mod drift;
pub mod import;
pub mod inspect;

pub mod client;
pub mod comment;
pub mod doctor;
pub mod planning;
pub mod selection;
pub mod survey;
pub mod verify;

pub mod apply;

pub mod device;

pub mod render;

pub mod cli;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
