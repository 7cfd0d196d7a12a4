//! placeholder
pub mod diagnostic;
pub mod query;
