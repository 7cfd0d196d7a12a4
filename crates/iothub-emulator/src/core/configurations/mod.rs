//! Automatic device configurations: what one is, who may change what of it, and where all are found (docs: Automatic device and
//! module management using the Azure portal).
//!
//! Read [`Configuration`] first. `check` decides which contents, conditions and metrics there can be; `evaluation` applies them to a
//! twin. What can be asked about configurations is in `core::requests`.

pub(in crate::core) mod check;
pub(in crate::core) mod configuration;
pub(in crate::core) mod evaluation;
pub(in crate::core) mod index;

pub(crate) use check::test_queries;
pub(crate) use configuration::Configuration;
pub(crate) use index::Configurations;
