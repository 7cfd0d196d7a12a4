//! Keeps the device twins of an Azure IoT Hub equal to what is declared in Git.
//!
//! A program, not a library: what is public here is hidden, is for the binary, for the tests of this repository and for its fuzzer, and
//! may change at any time. What others can use stands in the crates `iothub-model` and `iothub-emulator`.
//!
//! Data flows one way: manifest → declarations → plan → apply → report. Modules stand in reading order; one may use those
//! above it and none below.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "its documentation is for those who work on it, and has all private items"
)]

mod digest;
mod legible;
mod plural;
mod shell;
mod cancel;

mod check;
mod manifest;

mod plan;
mod inspect;
mod drift;
mod diff;
mod import;

mod client;
mod comment;
mod doctor;
mod refresh;
mod verify;
mod apply;
mod device;

mod render;

// For `main.rs`.
#[doc(hidden)]
pub mod cli;

// For `fuzz/`.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

/// What `tests/it` makes itself in place of running the program: plans for a browser to show, and the command line for the documentation.
#[doc(hidden)]
pub mod for_tests {
    pub use crate::check::{Difference, Severity};
    pub use crate::cli::args::Arguments;
    pub use crate::manifest::{Declarations, Layer, Origin, Selection, load_texts};
    pub use crate::plan::{
        Cost, Forecast, Impact, Plan, PlanContext, Prediction, ReadBy, SharedPath, Spent, Verdict, Writer, plan,
    };
    pub use crate::render::html;
}
