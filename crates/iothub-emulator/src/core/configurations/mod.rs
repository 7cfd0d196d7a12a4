//! Automatic device configurations: what one is, who may change what of it, and where all are found (docs: Automatic device and
//! module management using the Azure portal).
//!
//! Read [`Configuration`] first. `check` says which contents, conditions and metrics there can be; `evaluation` says what they come
//! to for a twin, and `operations` is what can be asked, the evaluation of a slice of the fleet included.

mod check;
mod configuration;
mod evaluation;
mod index;

mod apply;
mod operations;

pub(crate) use apply::ApplyContent;
pub(crate) use check::test_queries;
pub(crate) use configuration::Configuration;
pub(crate) use index::Configurations;
pub(crate) use operations::{
    DeleteConfiguration, EvaluateConfigurations, Evaluated, GetConfiguration, ListConfigurations, PutConfiguration,
};
