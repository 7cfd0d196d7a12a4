//! The hub's MQTT topics as data: what a device publishes, what it subscribes to, what the hub publishes.
//!
//! Both sides of a connection parse and write them here. Ids stand in topics as they are, never percent-encoded; a request id
//! (`$rid`) is the client's own text and goes back byte for byte (docs: Communicate with an IoT hub by using the MQTT protocol).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::twin::TwinId;

const TWIN_GET: &str = "$iothub/twin/GET/";
const TWIN_PATCH: &str = "$iothub/twin/PATCH/properties/reported/";
const TWIN_RESPONSE: &str = "$iothub/twin/res/";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";
const METHOD: &str = "$iothub/methods/POST/";
const METHOD_RESPONSE: &str = "$iothub/methods/res/";

/// What a device says by publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromDevice {
    /// Asks for its twin.
    TwinGet {
        /// The client's name for the request.
        rid: String,
    },
    /// Patches its reported properties.
    TwinPatch {
        /// The client's name for the request.
        rid: String,
        /// The reported version that the patch was made for, when it says one.
        version: Option<u64>,
    },
    /// Answers a direct method.
    MethodResult {
        /// What the method came to, in the device's own numbers.
        status: i32,
        /// The hub's name for the call.
        rid: String,
    },
    /// Sends telemetry.
    Telemetry {
        /// The message's properties as they stand in the topic, `a=1&b=2` with escapes.
        properties: String,
    },
}

impl FromDevice {
    /// Reads the topic that `sender` publishes to. Nothing when it may not, be it another device's topic or none at all.
    pub fn parse(topic: &str, sender: &TwinId) -> Option<Self> {
        if let Some(rest) = topic.strip_prefix(TWIN_GET) {
            let rid = parameter(rest.strip_prefix('?')?, "$rid")?.to_owned();
            return Some(Self::TwinGet { rid });
        }
        if let Some(rest) = topic.strip_prefix(TWIN_PATCH) {
            let query = rest.strip_prefix('?')?;
            let version = parameter(query, "$version").map(str::parse).transpose().ok()?;
            return Some(Self::TwinPatch { rid: parameter(query, "$rid")?.to_owned(), version });
        }
        if let Some(rest) = topic.strip_prefix(METHOD_RESPONSE) {
            let (status, query) = rest.split_once("/?")?;
            return Some(Self::MethodResult {
                status: status.parse().ok()?,
                rid: parameter(query, "$rid")?.to_owned(),
            });
        }
        let rest = topic.strip_prefix(&events(sender))?;
        match rest.strip_prefix('/') {
            Some(properties) => Some(Self::Telemetry { properties: properties.to_owned() }),
            None => rest.is_empty().then(|| Self::Telemetry { properties: String::new() }),
        }
    }

    /// Writes the topic for `sender`.
    pub fn topic(&self, sender: &TwinId) -> String {
        match self {
            Self::TwinGet { rid } => format!("{TWIN_GET}?$rid={rid}"),
            Self::TwinPatch { rid, version: None } => format!("{TWIN_PATCH}?$rid={rid}"),
            Self::TwinPatch { rid, version: Some(version) } => format!("{TWIN_PATCH}?$rid={rid}&$version={version}"),
            Self::MethodResult { status, rid } => format!("{METHOD_RESPONSE}{status}/?$rid={rid}"),
            Self::Telemetry { properties } => format!("{}/{properties}", events(sender)),
        }
    }
}

/// What the hub says by publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromHub {
    /// Answers a twin request.
    TwinResponse {
        /// 200, 204 and the statuses of HTTP.
        status: u16,
        /// The client's name for the request.
        rid: String,
        /// The new reported version, after a patch.
        version: Option<u64>,
    },
    /// Says what changed in the desired properties.
    DesiredPatch {
        /// The desired version after the change.
        version: u64,
    },
    /// Calls a direct method.
    MethodCall {
        /// Which.
        name: String,
        /// The hub's name for the call.
        rid: String,
    },
}

impl FromHub {
    /// Writes the topic. Some clients cut these by position, so `$rid` comes first and the slash before `?` stays.
    pub fn topic(&self) -> String {
        match self {
            Self::TwinResponse { status, rid, version: None } => format!("{TWIN_RESPONSE}{status}/?$rid={rid}"),
            Self::TwinResponse { status, rid, version: Some(version) } => {
                format!("{TWIN_RESPONSE}{status}/?$rid={rid}&$version={version}")
            }
            Self::DesiredPatch { version } => format!("{DESIRED}?$version={version}"),
            Self::MethodCall { name, rid } => format!("{METHOD}{name}/?$rid={rid}"),
        }
    }

    /// Reads a topic; nothing when it is none of these.
    pub fn parse(topic: &str) -> Option<Self> {
        if let Some(rest) = topic.strip_prefix(TWIN_RESPONSE) {
            let (status, query) = rest.split_once("/?")?;
            let version = parameter(query, "$version").map(str::parse).transpose().ok()?;
            let rid = parameter(query, "$rid")?.to_owned();
            return Some(Self::TwinResponse { status: status.parse().ok()?, rid, version });
        }
        if let Some(rest) = topic.strip_prefix(DESIRED) {
            let version = parameter(rest.strip_prefix('?')?, "$version")?.parse().ok()?;
            return Some(Self::DesiredPatch { version });
        }
        let (name, query) = topic.strip_prefix(METHOD)?.split_once("/?")?;
        Some(Self::MethodCall { name: name.to_owned(), rid: parameter(query, "$rid")?.to_owned() })
    }
}

/// A topic filter that the hub knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subscription {
    /// Answers to twin requests.
    TwinResponses,
    /// Changes of the desired properties.
    DesiredPatches,
    /// Direct methods.
    Methods,
    /// Messages from the cloud, for a device.
    CloudToDevice,
    /// The same at QoS 0: they count as received when they are sent.
    CloudToDeviceAtMostOnce,
    /// The same messages, by `+` in place of the device's id, as azure-sdk-for-c subscribes.
    CloudToAnyDevice,
    /// The same at QoS 0.
    CloudToAnyDeviceAtMostOnce,
    /// The same messages, by all topics, as Microsoft's tutorial for plain MQTT clients subscribes.
    Everything,
    /// The same at QoS 0.
    EverythingAtMostOnce,
    /// Messages routed to a module's inputs.
    ModuleInputs,
    /// All of a module's own topics, as some SDKs ask for its inputs.
    ModuleTopics,
    /// Messages from the cloud, for a module. The service routes none to it; Microsoft's Java device SDK asks on each connection.
    CloudToModule,
}

impl Subscription {
    /// How many filters one client may have at a time (docs: Understand Azure IoT Hub MQTT support).
    pub const MAX: usize = 5;

    /// All filters, each once.
    const ALL: [Self; 9] = [
        Self::TwinResponses,
        Self::DesiredPatches,
        Self::Methods,
        Self::CloudToDevice,
        Self::CloudToAnyDevice,
        Self::Everything,
        Self::ModuleInputs,
        Self::ModuleTopics,
        Self::CloudToModule,
    ];

    /// Reads the filter that `subscriber` asks for. Nothing when it may not.
    pub fn parse(filter: &str, subscriber: &TwinId) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.filter(subscriber).as_deref() == Some(filter))
    }

    /// Filters for messages from the cloud, each at QoS 1 and at QoS 0.
    pub const OF_MESSAGES: [(Self, Self); 3] = [
        (Self::CloudToDevice, Self::CloudToDeviceAtMostOnce),
        (Self::CloudToAnyDevice, Self::CloudToAnyDeviceAtMostOnce),
        (Self::Everything, Self::EverythingAtMostOnce),
    ];

    /// Returns the subscription at QoS 0, as far as that differs.
    #[must_use]
    pub fn at_most_once(self) -> Self {
        Self::OF_MESSAGES.into_iter().find(|(one, _)| *one == self).map_or(self, |(_, other)| other)
    }

    /// Writes the filter; nothing when such a subscriber has none of the kind.
    pub fn filter(self, subscriber: &TwinId) -> Option<String> {
        let device = &subscriber.device;
        Some(match (self, &subscriber.module) {
            (Self::TwinResponses, _) => format!("{TWIN_RESPONSE}#"),
            (Self::DesiredPatches, _) => format!("{DESIRED}#"),
            (Self::Methods, _) => format!("{METHOD}#"),
            (Self::CloudToDevice | Self::CloudToDeviceAtMostOnce, None) => {
                format!("devices/{device}/messages/devicebound/#")
            }
            (Self::CloudToAnyDevice | Self::CloudToAnyDeviceAtMostOnce, None) => {
                "devices/+/messages/devicebound/#".to_owned()
            }
            (Self::Everything | Self::EverythingAtMostOnce, None) => "#".to_owned(),
            (Self::ModuleInputs, Some(module)) => format!("devices/{device}/modules/{module}/inputs/#"),
            (Self::ModuleTopics, Some(module)) => format!("devices/{device}/modules/{module}/#"),
            (Self::CloudToModule, Some(module)) => format!("devices/{device}/modules/{module}/messages/devicebound/#"),
            (
                Self::CloudToDevice
                | Self::CloudToDeviceAtMostOnce
                | Self::CloudToAnyDevice
                | Self::CloudToAnyDeviceAtMostOnce
                | Self::Everything
                | Self::EverythingAtMostOnce,
                Some(_),
            )
            | (Self::ModuleInputs | Self::ModuleTopics | Self::CloudToModule, None) => return None,
        })
    }
}

/// Where a sender's telemetry goes, without the slash and the properties that may follow.
fn events(sender: &TwinId) -> String {
    match &sender.module {
        None => format!("devices/{}/messages/events", sender.device),
        Some(module) => format!("devices/{}/modules/{module}/messages/events", sender.device),
    }
}

/// Returns a parameter as it stands; an empty one counts as none.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(value).filter(|value| !value.is_empty())
}

/// What a client says of itself in the user name of its CONNECT: `{host}/{client id}/?api-version=…`.
#[derive(Clone, PartialEq, Eq)]
pub struct UserName {
    /// The host that it means to talk to, with a port where it was given one.
    pub host: String,
    /// What stands after the question mark.
    pub parameters: String,
}

impl UserName {
    /// Reads it for a client id. Nothing when it names another client.
    ///
    /// Ids may hold `?` and `&`, so it is not split at the first of these but held against the client id. What follows may be
    /// nothing, a slash, or a slash with the parameters, before which old clients leave out the `?`.
    pub fn parse(text: &str, client_id: &str) -> Option<Self> {
        let (host, rest) = text.split_once('/')?;
        let rest = rest.strip_prefix(client_id)?;
        let parameters = match rest {
            "" | "/" => "",
            rest => {
                let rest = rest.strip_prefix('/')?;
                rest.strip_prefix('?').or_else(|| rest.starts_with("api-version=").then_some(rest))?
            }
        };
        (!host.is_empty()).then(|| Self { host: host.to_owned(), parameters: parameters.to_owned() })
    }

    /// Returns the model of IoT Plug and Play that the client announces, if it announces one. C#'s client does not escape it.
    pub fn model_id(&self) -> Option<String> {
        let (_, model) =
            self.parameters.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == "model-id")?;
        super::decode_segment(model).filter(|model| !model.is_empty())
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…?{}", self.host, self.parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TwinId {
        text.parse().expect(text)
    }

    #[test]
    fn what_devices_publish() {
        let get = |rid: &str| FromDevice::TwinGet { rid: rid.to_owned() };
        let patch = |rid: &str, version| FromDevice::TwinPatch { rid: rid.to_owned(), version };
        let result = |status, rid: &str| FromDevice::MethodResult { status, rid: rid.to_owned() };
        let telemetry = |properties: &str| FromDevice::Telemetry { properties: properties.to_owned() };
        for (sender, topic, expected) in [
            ("d", "$iothub/twin/GET/?$rid=7", get("7")),
            ("d", "$iothub/twin/GET/?$rid=6f9c-%20", get("6f9c-%20")),
            ("d", "$iothub/twin/PATCH/properties/reported/?$rid=a", patch("a", None)),
            ("d", "$iothub/twin/PATCH/properties/reported/?$rid=a&$version=4", patch("a", Some(4))),
            ("d", "$iothub/methods/res/200/?$rid=1", result(200, "1")),
            ("d", "$iothub/methods/res/-1/?$rid=x", result(-1, "x")),
            ("d", "devices/d/messages/events/", telemetry("")),
            ("d", "devices/d/messages/events/a=1&%24.mid=2", telemetry("a=1&%24.mid=2")),
            ("a/b?#", "devices/a/modules/b?#/messages/events/$.on=out/", telemetry("$.on=out/")),
        ] {
            assert_eq!(FromDevice::parse(topic, &id(sender)).as_ref(), Some(&expected), "{topic}");
            assert_eq!(expected.topic(&id(sender)), topic);
        }
        assert_eq!(FromDevice::parse("devices/d/messages/events", &id("d")), Some(telemetry("")));
    }

    #[test]
    fn what_devices_may_not_publish() {
        for (sender, topic) in [
            ("d", ""),
            ("d", "devices/other/messages/events/"),
            ("d", "devices/d2/messages/events/"),
            ("d", "devices/d/messages/eventsandmore"),
            ("d", "devices/D/messages/events/"),
            ("d", "devices/d/modules/m/messages/events/"),
            ("d/m", "devices/d/messages/events/"),
            ("d", "devices/d/messages/devicebound/"),
            ("d", "$iothub/twin/GET/"),
            ("d", "$iothub/twin/GET/?$rid="),
            ("d", "$iothub/twin/GET?$rid=1"),
            ("d", "$iothub/twin/PATCH/properties/desired/?$rid=1"),
            ("d", "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=x"),
            ("d", "$iothub/twin/res/200/?$rid=1"),
            ("d", "$iothub/methods/POST/reboot/?$rid=1"),
            ("d", "$iothub/methods/res/ok/?$rid=1"),
            ("d", "$SYS/broker"),
        ] {
            assert_eq!(FromDevice::parse(topic, &id(sender)), None, "{topic}");
        }
    }

    #[test]
    fn what_the_hub_publishes() {
        for (topic, expected) in [
            ("$iothub/twin/res/200/?$rid=7", FromHub::TwinResponse { status: 200, rid: "7".to_owned(), version: None }),
            (
                "$iothub/twin/res/204/?$rid=7&$version=8",
                FromHub::TwinResponse { status: 204, rid: "7".to_owned(), version: Some(8) },
            ),
            ("$iothub/twin/PATCH/properties/desired/?$version=4", FromHub::DesiredPatch { version: 4 }),
            (
                "$iothub/methods/POST/reboot/?$rid=1",
                FromHub::MethodCall { name: "reboot".to_owned(), rid: "1".to_owned() },
            ),
        ] {
            assert_eq!(FromHub::parse(topic).as_ref(), Some(&expected));
            assert_eq!(expected.topic(), topic);
        }
        assert_eq!(FromHub::parse("$iothub/twin/GET/?$rid=1"), None);
    }

    #[test]
    fn filters() {
        use Subscription as S;
        for (subscriber, filter, expected) in [
            ("d", "$iothub/twin/res/#", Some(S::TwinResponses)),
            ("d/m", "$iothub/twin/res/#", Some(S::TwinResponses)),
            ("d", "$iothub/twin/PATCH/properties/desired/#", Some(S::DesiredPatches)),
            ("d", "$iothub/methods/POST/#", Some(S::Methods)),
            ("d#", "devices/d#/messages/devicebound/#", Some(S::CloudToDevice)),
            ("d/m", "devices/d/modules/m/inputs/#", Some(S::ModuleInputs)),
            ("d/m", "devices/d/modules/m/#", Some(S::ModuleTopics)),
            ("d", "devices/e/messages/devicebound/#", None),
            ("d", "devices/+/messages/devicebound/#", Some(S::CloudToAnyDevice)),
            ("d/m", "devices/+/messages/devicebound/#", None),
            ("d/m", "devices/d/modules/m/messages/devicebound/#", Some(S::CloudToModule)),
            ("d/m", "devices/d/modules/n/messages/devicebound/#", None),
            ("d/m", "devices/d/messages/devicebound/#", None),
            ("d", "devices/d/modules/m/inputs/#", None),
            ("d", "devices/d/messages/events/#", None),
            ("d", "#", Some(S::Everything)),
            ("d/m", "#", None),
            ("d", "$iothub/#", None),
            ("d", "$iothub/twin/res/+", None),
            ("d", "", None),
        ] {
            assert_eq!(Subscription::parse(filter, &id(subscriber)), expected, "{filter}");
        }
    }

    #[test]
    fn user_names() {
        for (text, client, expected) in [
            (
                "hub.azure-devices.net/dev1/?api-version=2019-10-01&DeviceClientType=azure-iot-device%2f2",
                "dev1",
                Some(("hub.azure-devices.net", "api-version=2019-10-01&DeviceClientType=azure-iot-device%2f2")),
            ),
            ("h:8884/dev1/mod1/?api-version=2021-04-12", "dev1/mod1", Some(("h:8884", "api-version=2021-04-12"))),
            ("h/dev1/api-version=2016-11-14&x=y", "dev1", Some(("h", "api-version=2016-11-14&x=y"))),
            ("h/a?b/?model-id=dtmi:x;1", "a?b", Some(("h", "model-id=dtmi:x;1"))),
            ("h/dev1", "dev1", Some(("h", ""))),
            ("h/dev1/", "dev1", Some(("h", ""))),
            ("h/dev1/?", "dev1", Some(("h", ""))),
            ("h/dev2/?api-version=1", "dev1", None),
            ("h/dev12/?api-version=1", "dev1", None),
            ("h/dev1/mod1/?api-version=1", "dev1", None),
            ("h/Dev1/", "dev1", None),
            ("/dev1/", "dev1", None),
            ("dev1", "dev1", None),
            ("", "dev1", None),
        ] {
            let parsed = UserName::parse(text, client);
            let parsed = parsed.as_ref().map(|name| (name.host.as_str(), name.parameters.as_str()));
            assert_eq!(parsed, expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(topic in "(\\$iothub/(twin|methods)/(GET|res|PATCH|POST)/|devices/d/|[?$&=/]|.){0,10}") {
            let _ = FromDevice::parse(&topic, &id("d"));
            let _ = FromHub::parse(&topic);
            let _ = Subscription::parse(&topic, &id("d"));
            let _ = UserName::parse(&topic, "d");
        }
    }
}
