//! The protocols: each turns what clients send into requests of the hub, and replies and notices into its own answers. No frontend uses another.

pub(crate) mod amqp;
pub(crate) mod https;
pub(crate) mod mqtt;
