//! placeholder
pub mod diagnostic;
pub mod hub;
pub mod query;
pub mod twin;
pub mod wire;
