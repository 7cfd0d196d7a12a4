//! Why a device is not connected, and what a person can do about it.

use std::io;

use rumqttc::mqttbytes;

/// Why a connection did not come about, or ended. No message holds a key or a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// The host's name leads nowhere.
    #[error("looking up the host {host}")]
    Name {
        /// Which.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody listens there, or the network does not let us through.
    #[error("connecting to {host}:{port}")]
    Connect {
        /// Where.
        host: String,
        /// Where.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The hub's certificate is for another name.
    #[error("{host} shows a certificate for another name")]
    OtherName {
        /// Who was to be met.
        host: String,
        /// What was met.
        #[source]
        source: rustls::Error,
    },
    /// The hub's certificate comes from nobody who is trusted.
    #[error("the certificate of {host} is not trusted")]
    Untrusted {
        /// Whose.
        host: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The TLS handshake broke off.
    #[error("the TLS handshake with {host}")]
    Handshake {
        /// With whom.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The WebSocket was not opened.
    #[error("{host} opens no WebSocket at `/$iothub/websocket`: {problem}")]
    WebSocket {
        /// Who.
        host: String,
        /// What it did.
        problem: String,
    },
    /// The hub knows no such device, or not by this key, or does not let it in at present.
    #[error("the hub {host} does not let {device} in: not authorized")]
    NotAuthorized {
        /// Which hub.
        host: String,
        /// Which device.
        device: String,
    },
    /// The hub says that it cannot serve now.
    #[error("the hub says that it is unavailable")]
    Unavailable,
    /// The hub refuses the connection for good.
    #[error("the hub refuses the connection: {reason}")]
    Refused {
        /// In MQTT's words.
        reason: &'static str,
    },
    /// It was closed before the device was let in.
    #[error("{host}:{port} closes the connection without an answer")]
    Unanswered {
        /// Where.
        host: String,
        /// Where.
        port: u16,
    },
    /// It was lost.
    #[error("the connection was lost")]
    Lost {
        /// How.
        #[source]
        source: io::Error,
    },
    /// The hub closed it; MQTT 3.1.1 has no way to say why.
    #[error("the hub closed the connection")]
    Closed,
    /// The hub says nothing any more.
    #[error("the hub does not answer")]
    Silent,
    /// What came was not MQTT.
    #[error("what came from {host} is not MQTT")]
    NotMqtt {
        /// Who sent it.
        host: String,
        /// In what way.
        #[source]
        source: mqttbytes::Error,
    },
    /// The hub did not take the reported properties, with nothing left to do but that.
    #[error("the hub does not take the reported properties: status {status}{}{message}", if message.is_empty() { "" } else { ", " })]
    NotTaken {
        /// The hub's status.
        status: u16,
        /// The hub's words.
        message: String,
    },
    /// A name that no certificate can have.
    #[error("the host `{host}` cannot be named in TLS")]
    HostName {
        /// Which.
        host: String,
    },
}

impl DeviceError {
    /// Says whether it is of no use to try again by itself. `met` says whether this device has been connected before: what
    /// is a mistake at first is a network that is down later.
    pub(crate) fn is_final(&self, met: bool) -> bool {
        match self {
            Self::NotAuthorized { .. } | Self::Refused { .. } | Self::NotTaken { .. } | Self::HostName { .. } => true,
            Self::OtherName { .. } | Self::Untrusted { .. } => true,
            Self::Name { .. } | Self::WebSocket { .. } | Self::NotMqtt { .. } => !met,
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::Unanswered { .. }
            | Self::Unavailable
            | Self::Lost { .. }
            | Self::Closed
            | Self::Silent => false,
        }
    }

    /// Returns it in two or three words, for counting.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Name { .. } => "host not found",
            Self::Connect { .. } => "not reachable",
            Self::OtherName { .. } | Self::Untrusted { .. } | Self::HostName { .. } => "not trusted",
            Self::Handshake { .. } => "no TLS",
            Self::WebSocket { .. } => "no WebSocket",
            Self::NotAuthorized { .. } => "not authorized",
            Self::Unavailable => "unavailable",
            Self::Refused { .. } => "refused",
            Self::Lost { .. } | Self::Closed | Self::Silent | Self::Unanswered { .. } => "connection lost",
            Self::NotMqtt { .. } => "no MQTT",
            Self::NotTaken { .. } => "report not taken",
        }
    }

    /// Returns what a person can do, where there is something.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Name { .. } => "look at HostName in the connection string",
            Self::Connect { .. } => {
                "is the hub up, and does it listen there? MQTT has port 8883 unless --port says another; --websocket goes over HTTPS's"
            }
            Self::OtherName { .. } => {
                "use a name that the certificate has: that of `twinctl hub serve` has its --host-name"
            }
            Self::Untrusted { .. } => {
                "for `twinctl hub serve`, --ca-file takes the certificate authority that it prints at its start"
            }
            Self::Handshake { .. } | Self::NotMqtt { .. } | Self::Unanswered { .. } => {
                "is this the port for MQTT over TLS? It is 8883 unless --port says another"
            }
            Self::WebSocket { .. } => {
                "--websocket wants the port of the hub's HTTPS: 443 on Azure, that of --https for `twinctl hub serve`"
            }
            Self::NotAuthorized { .. } if cfg!(feature = "embedded") => {
                "the hub does not say which: the device is unknown or disabled, its key is another (`twinctl hub device show`), or this machine's clock is wrong"
            }
            Self::NotAuthorized { .. } => {
                "the hub does not say which: the device is unknown or disabled, its key is another, or this machine's clock is wrong"
            }
            Self::NotTaken { .. } => {
                "keys have no `.`, `$`, `#` or space in them, and all reported properties together 32 KB"
            }
            Self::Unavailable
            | Self::Refused { .. }
            | Self::Lost { .. }
            | Self::Closed
            | Self::Silent
            | Self::HostName { .. } => return None,
        })
    }
}
