//! What `${…}` stands for: variables, the environment, a row's columns.
//!
//! `reference` reads how references are written, `convert` their types, `interpolate` puts values in, and `vars` collects the variables. Only `env_access` asks
//! the environment. Read [`Interpolation`](interpolate::Interpolation) first.

pub(crate) mod env_access;
pub(crate) mod convert;
pub(crate) mod reference;
pub(crate) mod interpolate;
pub(crate) mod vars;
