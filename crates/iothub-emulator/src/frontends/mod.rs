//! The protocols: each turns requests into commands, and replies and notices into its own answers. No frontend uses another.

pub(crate) mod amqp;
pub(crate) mod https;
pub(crate) mod mqtt;
