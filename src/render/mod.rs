//! Values to words. Nothing here decides, and nothing here prints: each function returns text for `cli` to write.
//!
//! Everything that a hub or a file said goes through [`escape`] on its way out, in every format. Plans
//! go through [`view`], which keeps back what is sensitive. Read [`text`] first: a plan as people see it.

pub(crate) mod diff;
pub(crate) mod annotations;
pub(crate) mod applied;
pub(crate) mod checks;
mod columns;
pub(crate) mod declarations;
pub(crate) mod device;
pub(crate) mod diagnostic;
pub(crate) mod doctor;
pub(crate) mod drift;
pub(crate) mod escape;
pub(crate) mod explanation;
pub mod html;
pub(crate) mod inspection;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod manifest;
pub(crate) mod markdown;
pub(crate) mod number;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod value;
pub(crate) mod view;
mod yaml;

#[cfg(test)]
mod distinct;
#[cfg(test)]
mod hostile;
#[cfg(test)]
pub(crate) mod samples;
