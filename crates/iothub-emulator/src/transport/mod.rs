//! What lies below the protocols: byte streams, listeners with TLS, WebSockets, how long a client may take, and request ids.

// In reading order: a module uses those above it, and none below.
pub(crate) mod connection;
pub(crate) mod first_byte_timeout;
pub(crate) mod request_id;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod listener;
pub(crate) mod web_socket;
