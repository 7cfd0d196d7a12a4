//! Values to words. Nothing here decides, and nothing here prints: each function returns text for `cli` to write.
//!
//! Everything that a hub or a file said goes through [`escape`] on its way out, in every format. Plans
//! go through [`view`], which keeps back what is sensitive. Read [`text`] first: a plan as people see it.

pub mod against;
pub mod annotations;
pub mod applied;
pub mod checks;
mod columns;
pub mod declarations;
pub mod device;
pub mod diagnostic;
pub mod doctor;
pub mod drift;
pub mod escape;
pub mod explanation;
pub mod html;
pub mod inspection;
pub mod json;
pub mod junit;
pub mod manifest;
pub mod markdown;
pub mod number;
pub mod progress;
pub mod report;
pub mod style;
pub mod table;
pub mod text;
pub mod value;
pub mod view;
mod yaml;

#[cfg(test)]
mod distinct;
#[cfg(test)]
mod hostile;
#[cfg(test)]
pub(crate) mod samples;
