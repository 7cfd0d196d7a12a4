//! Entries under `devices` without a tree of each: they are read one by one, and those that are written alike not even parsed.

pub(crate) mod scalar;
pub(crate) mod entry_template;
pub(crate) mod streaming;
pub(crate) mod chunks;

#[cfg(test)]
mod property_tests;
