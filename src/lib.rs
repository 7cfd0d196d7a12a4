//! placeholder
pub mod diagnostic;
pub mod query;
pub mod twin;
pub mod wire;
