//! What `${…}` stands for: variables, the environment, a row's columns.

pub(crate) mod env_access;
pub(crate) mod convert;
pub(crate) mod reference;
pub(crate) mod interpolate;
pub(crate) mod vars;
