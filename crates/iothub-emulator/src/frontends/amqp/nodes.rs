//! What links lead to, and who may have one.

use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::definitions::Role;

use crate::core::command::Refusal;
use crate::core::requests::messages::SendMessage;
use crate::frontends::amqp::message::Received;
use crate::frontends::amqp::refusal::error;
use crate::frontends::amqp::{AmqpFront, refusal};
use crate::limits::operation::DataAction;
use iothub_model::tiers::Feature;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ModuleId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::decode_segment;
use iothub_model::wire::sas::SasToken;

/// Where tokens are put.
const TOKENS: &str = "$cbs";
const TO_DEVICES: &str = "messages/devicebound";
const FEEDBACK: &str = "messages/servicebound/feedback";
/// Characters of an address that a refusal repeats.
const ADDRESS_SHOWN: usize = 100;

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// From the client: tokens.
    Tokens,
    /// To the client: what became of its tokens.
    TokenAnswers,
    /// From the client: messages to devices.
    ToDevices,
    /// To the client: what became of messages.
    Feedback,
}

impl Node {
    /// Finds a node by its address and by which side the client is on.
    pub(crate) fn find(address: &str, client: &Role) -> Result<Self, Error> {
        let path = path_of(address).to_ascii_lowercase();
        match (path.as_str(), client) {
            (TOKENS, Role::Sender) => Ok(Self::Tokens),
            (TOKENS, Role::Receiver) => Ok(Self::TokenAnswers),
            (TO_DEVICES, Role::Sender) => Ok(Self::ToDevices),
            (FEEDBACK, Role::Receiver) => Ok(Self::Feedback),
            _ => {
                if let Some(text) = left_out(&path) {
                    return Err(error("amqp:not-implemented", text));
                }
                let text = format!(
                    "the embedded hub has no such node for this direction: `{}`; it takes messages at /messages/devicebound \
                     and gives their feedback at /messages/serviceBound/feedback",
                    shown(address).escape_debug()
                );
                Err(error("amqp:not-implemented", text))
            }
        }
    }

    /// Returns where the log has what happens at it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Tokens | Self::TokenAnswers => "/$cbs",
            Self::ToDevices => "/messages/devicebound",
            Self::Feedback => "/messages/serviceBound/feedback",
        }
    }

    /// Returns what one must be allowed to have a link to it; nothing when nobody need be.
    fn needs(self) -> Option<(&'static str, DataAction)> {
        match self {
            Self::Tokens | Self::TokenAnswers => None,
            Self::ToDevices => Some((self.path(), DataAction::MessagesSend)),
            Self::Feedback => Some((self.path(), DataAction::MessagesFeedback)),
        }
    }
}

/// Devices with keys and certificates meet this sentence, whatever they begin with.
const NO_DEVICES: &str =
    "the embedded hub has no devices over AMQP; connect them over MQTT, MQTT over WebSockets or HTTPS";

/// Returns what is to be said of a part of the service that the embedded hub does not have. `path` is in small letters.
fn left_out(path: &str) -> Option<&'static str> {
    let begins = |with: &str| path.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match () {
        () if begins("devices") => Some(NO_DEVICES),
        () if begins("messages/events") || begins("messages/operationsmonitoringevents") => Some(
            "the embedded hub has no events endpoint: telemetry is acknowledged and goes nowhere, and nobody can read it",
        ),
        () if begins("messages/servicebound/filenotifications") => {
            Some("the embedded hub has no file upload, and so no notifications of it")
        }
        () => None,
    }
}

/// Returns `true` if a token is one of a device: signed by its own key, or for it alone.
fn is_of_device(token: &str) -> bool {
    SasToken::parse(token).is_ok_and(|token| {
        let resource = token.resource().unwrap_or_default();
        token.policy().is_none() || resource.split('/').nth(1).is_some_and(|segment| segment == "devices")
    })
}

/// Returns as much of an address as fits into a frame with all else.
pub(crate) fn shown(address: &str) -> String {
    address.chars().take(ADDRESS_SHOWN).collect()
}

/// Returns the path of an address, which may be a whole URI.
fn path_of(address: &str) -> &str {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => address,
    };
    path.trim_matches('/')
}

impl AmqpFront {
    /// Looks whether a token gives a link to a node.
    fn opens(&self, token: Option<&str>, node: Node) -> Result<(), Refusal> {
        let Some((path, action)) = node.needs() else { return Ok(()) };
        let Some(token) = token else {
            let text = "put a token to $cbs first, or give one as the password of SASL PLAIN";
            return Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
        };
        self.access.check_link(token, path, action, self.live.now())
    }

    /// Looks whether there may be a link to a node: whether a token gives one, and the hub's tier has what it leads to.
    pub(crate) fn admits(&self, token: Option<&str>, node: Node) -> Result<(), Refusal> {
        self.opens(token, node)?;
        match (node, &self.admission) {
            (Node::ToDevices | Node::Feedback, Some(admission)) => admission.check(Feature::CloudToDeviceMessages),
            (Node::Tokens | Node::TokenAnswers, _) | (_, None) => Ok(()),
        }
    }

    /// Looks whether a token gives a link to any node.
    pub(crate) fn opens_anything(&self, token: &str) -> Result<(), Refusal> {
        let opened = self.opens(Some(token), Node::ToDevices).or_else(|_| self.opens(Some(token), Node::Feedback));
        match opened {
            Err(refusal) if is_of_device(token) => Err(Refusal::new(refusal.code, NO_DEVICES)),
            Err(refusal) => Err(match self.access.policy_of_devices(token) {
                Some(policy) => {
                    let text = format!(
                        "the policy `{policy}` opens devices alone, and the embedded hub has no devices over AMQP; use `service`"
                    );
                    Refusal::new(refusal.code, text)
                }
                None => refusal,
            }),
            Ok(()) => Ok(()),
        }
    }

    /// Puts a message into the queue of whom it is to. When this returns it is on disk.
    pub(crate) async fn send(&self, message: Option<Received>) -> Result<(), Error> {
        let Some(message) = message else {
            return Err(error(
                "amqp:decode-error",
                "the message has no sections that the hub knows, or a body of another kind",
            ));
        };
        let Some(to) = message.to().and_then(recipient) else {
            let text = "a message is to /devices/{id}/messages/devicebound, and this one is not";
            return Err(error("com.microsoft:argument-error", text));
        };
        let send = SendMessage { to, message: Box::new(message.into_body()) };
        let sent = self.live.handle(send).await;
        self.live.messages_changed.notify_one();
        sent.map(|_| ()).map_err(|refusal| refusal::of(&refusal))
    }
}

/// Reads whom a message is to. Some SDKs escape the id, and some do not.
fn recipient(to: &str) -> Option<TwinId> {
    let id = |segment: &str| decode_segment(segment);
    let segments: Vec<&str> = path_of(to).split('/').collect();
    let (device, module, rest) = match segments.as_slice() {
        ["devices", device, "modules", module, rest @ ..] => (id(device)?, Some(id(module)?), rest),
        ["devices", device, rest @ ..] => (id(device)?, None, rest),
        _ => return None,
    };
    if !rest.join("/").eq_ignore_ascii_case(TO_DEVICES) {
        return None;
    }
    let device: DeviceId = device.parse().ok()?;
    let module: Option<ModuleId> = module.map(|module| module.parse()).transpose().ok()?;
    Some(TwinId { device, module })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_by_their_addresses() {
        for (address, client, expected) in [
            ("$cbs", Role::Sender, Some(Node::Tokens)),
            ("$cbs", Role::Receiver, Some(Node::TokenAnswers)),
            ("/messages/devicebound", Role::Sender, Some(Node::ToDevices)),
            ("messages/deviceBound/", Role::Sender, Some(Node::ToDevices)),
            ("amqps://hub.example:5671/messages/devicebound", Role::Sender, Some(Node::ToDevices)),
            ("/messages/serviceBound/feedback", Role::Receiver, Some(Node::Feedback)),
            ("/messages/serviceBound/feedback", Role::Sender, None),
            ("/messages/devicebound", Role::Receiver, None),
            ("/messages/serviceBound/filenotifications", Role::Receiver, None),
            ("/messages/events", Role::Receiver, None),
            ("/devices/d/messages/devicebound", Role::Receiver, None),
            ("amqps://hub.example", Role::Sender, None),
            ("", Role::Sender, None),
        ] {
            assert_eq!(Node::find(address, &client).ok(), expected, "{address} {client:?}");
        }
    }

    #[test]
    fn recipients() {
        for (to, expected) in [
            ("/devices/d/messages/devicebound", Some("d")),
            ("devices/d/messages/deviceBound", Some("d")),
            ("/devices/a%23b/messages/devicebound", Some("a#b")),
            ("/devices/a#b/messages/devicebound", Some("a#b")),
            ("/devices/d/modules/m/messages/devicebound", Some("d/m")),
            ("/devices/d/modules/m", None),
            ("/devices/d", None),
            ("/devices//messages/devicebound", None),
            ("/devices/a b/messages/devicebound", None),
            ("/devices/%ff/messages/devicebound", None),
            ("/messages/devicebound", None),
            ("", None),
        ] {
            assert_eq!(recipient(to).map(|id| id.to_string()).as_deref(), expected, "{to}");
        }
    }
}
