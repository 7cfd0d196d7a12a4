//! Values to words. Nothing here decides, and nothing here prints: each function returns text for `cli` to write.
//!
//! Everything that a hub or a file said goes through [`escape`] on its way out, in every format. Plans
//! go through [`view`], which keeps back what is sensitive. Read [`text`] first: a plan as people see it.

pub(crate) mod escape;
pub(crate) mod number;
pub(crate) mod style;
pub(crate) mod value;
mod columns;
mod yaml;
pub(crate) mod diagnostic;
pub(crate) mod table;
pub(crate) mod progress;
pub(crate) mod device;
pub(crate) mod report;
pub(crate) mod junit;
pub(crate) mod view;
pub(crate) mod text;
pub(crate) mod json;
pub(crate) mod markdown;
pub mod html;
pub(crate) mod checks;
pub(crate) mod applied;
pub(crate) mod annotations;
pub(crate) mod diff;
pub(crate) mod drift;
pub(crate) mod inspection;
pub(crate) mod explanation;
pub(crate) mod declarations;
pub(crate) mod manifest;
pub(crate) mod doctor;

#[cfg(test)]
mod distinct;
#[cfg(test)]
mod hostile;
#[cfg(test)]
pub(crate) mod samples;
