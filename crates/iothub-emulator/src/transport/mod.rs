//! What lies below the protocols: byte streams, listeners with TLS, and how long a client may take for its first byte.

pub(crate) mod first_byte_timeout;
pub(crate) mod listener;
pub(crate) mod stream;
