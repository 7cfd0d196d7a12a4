//! A twin's document and its one write: what merges, what moves, what is refused.

mod section;
mod writing;

mod document;

pub(crate) use document::TwinDocument;
