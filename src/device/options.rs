//! Who the devices are, where their hub is, and what they do.

use std::sync::Arc;
use std::time::Duration;

use super::session::Behaviour;
use crate::cancel::CancelFlag;
use crate::client::{Clock, SetupError, tls};
use iothub_model::twin::{HubHost, TwinId};
use iothub_model::wire::sas::Key;

/// Where MQTT over TLS is listened for.
const MQTT_PORT: u16 = 8883;
/// How long a token is good for, as Microsoft's SDKs have it by default.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// Who a device is, and how it proves that.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// The device, or a module of one.
    pub id: TwinId,
    /// Its own key, or that of `policy`.
    pub key: Key,
    /// The shared access policy whose key it is, when it is not the device's own.
    pub policy: Option<String>,
}

/// Where the hub is, and how it is trusted.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(super) host: HubHost,
    pub(super) port: u16,
    pub(super) web_socket: bool,
    pub(super) tls: Arc<rustls::ClientConfig>,
}

impl Endpoint {
    /// Finds where devices of this hub connect to.
    ///
    /// MQTT over TLS goes to port 8883, and WebSockets to where the hub has its HTTPS: the port in the host's name, or 443.
    /// `port` is another for either. `ca_pem` has the only authorities to trust; without it, those of the system are.
    ///
    /// # Errors
    ///
    /// When there are no authorities in `ca_pem`, or none on this system.
    pub(crate) fn new(
        host: &HubHost,
        port: Option<u16>,
        web_socket: bool,
        ca_pem: Option<&[u8]>,
    ) -> Result<Self, SetupError> {
        let in_host = host.as_str().strip_prefix(host.name()).and_then(|rest| rest.strip_prefix(':')?.parse().ok());
        let usual = if web_socket { in_host.unwrap_or(443) } else { MQTT_PORT };
        let tls = Arc::new(tls::trust(ca_pem)?);
        Ok(Self { host: host.clone(), port: port.unwrap_or(usual), web_socket, tls })
    }

    /// Returns the name to look up and to be shown a certificate for.
    pub(super) fn name(&self) -> &str {
        self.host.name().trim_start_matches('[').trim_end_matches(']')
    }
}

/// What all devices of a run have in common.
#[derive(Clone)]
pub(crate) struct DeviceOptions {
    /// The hub, as tokens and user names have it.
    pub host: HubHost,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What the devices do.
    pub behaviour: Behaviour,
    /// Whether a device ends when its twin is read and all is reported.
    pub once: bool,
    /// How many connect at a time.
    pub at_a_time: usize,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long the hub may take to answer.
    pub answer_timeout: Duration,
    /// How long a device tries to connect for the first time. One that has been connected tries for ever.
    pub budget: Duration,
    /// How long a token is good for; the connection is renewed before it ends.
    pub token_life: Duration,
    /// The time of day.
    pub clock: Clock,
    /// Makes the devices disconnect and end.
    pub stop: CancelFlag,
}

impl DeviceOptions {
    /// Returns what suits most.
    pub(crate) fn new(host: HubHost, endpoint: Endpoint, behaviour: Behaviour, clock: Clock) -> Self {
        Self {
            host,
            endpoint,
            behaviour,
            once: false,
            at_a_time: 16,
            connect_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(100),
            budget: Duration::from_secs(300),
            token_life: TOKEN_LIFE,
            clock,
            stop: CancelFlag::new(),
        }
    }
}
