//! What lies below the protocols: byte streams, listeners with TLS, WebSockets, how long a client may take, and request ids.

pub(crate) mod connection;
pub(crate) mod first_byte_timeout;
pub(crate) mod listener;
pub(crate) mod request_id;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod web_socket;
