//! The one HTTP client.

pub mod error;

pub use error::Error;
