//! What happens to a device, for whoever watches.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::DeviceError;
use iothub_model::twin::Object;
use iothub_model::wire::messages::MessageProperties;

/// Something that happened to one device.
#[derive(Debug)]
pub(crate) enum Event {
    /// The hub lets it in. Not told when a connection was merely renewed.
    Connected,
    /// It is not connected, and tries again after this time.
    Trying {
        /// Why.
        error: DeviceError,
        /// When.
        after: Duration,
    },
    /// Its desired properties, on the first reading.
    Desired {
        /// All of them.
        desired: Object,
        /// Their version.
        version: u64,
    },
    /// Its desired properties changed: by a patch of the hub's, or while it was away.
    Patch {
        /// What changed; null removes.
        patch: Object,
        /// The version after it.
        version: u64,
    },
    /// The hub took what it reports.
    Reported {
        /// What it sent.
        patch: Object,
        /// The version after it, if the hub said so.
        version: Option<u64>,
    },
    /// The hub did not take what it asked.
    Refused {
        /// What that was: `twin`, `reported properties`.
        what: &'static str,
        /// The hub's status.
        status: u16,
        /// The hub's words, if it had any.
        message: String,
    },
    /// A direct method was called and answered.
    Method {
        /// Which.
        name: String,
        /// With what: JSON, or else a text.
        payload: Value,
    },
    /// A message from the cloud came. It is acknowledged once this is told.
    Message {
        /// What it carries beside its payload.
        properties: Box<MessageProperties>,
        /// JSON, or else a text.
        payload: Value,
    },
    /// It has done all there is to do, or was told to stop.
    Finished,
    /// It is given up.
    Failed(DeviceError),
}

/// An event, and whose.
#[derive(Debug)]
pub(crate) struct Told {
    /// The device's place in the list that was started.
    pub device: usize,
    /// What happened.
    pub event: Event,
}

/// Where a device's events go.
pub(super) struct Watcher {
    pub(super) device: usize,
    pub(super) events: mpsc::Sender<Told>,
}

impl Watcher {
    pub(super) async fn tell(&self, event: Event) {
        // When nobody watches any more, the device goes on alone.
        let _ = self.events.send(Told { device: self.device, event }).await;
    }
}
