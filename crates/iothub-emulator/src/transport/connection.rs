//! What connections of MQTT and AMQP have in common: how long a client may take, and the end of the hub.

use std::time::Duration;

use tokio::sync::watch;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// To send its CONNECT after the TLS handshake, every byte of it.
    pub(crate) connect: Duration,
    /// To take what is written to it.
    pub(crate) write: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), write: Duration::from_secs(30) }
    }
}

/// Waits until the hub stops, or is dropped.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
