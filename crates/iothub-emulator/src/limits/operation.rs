//! What each request of the service API, and each thing that devices do, counts as: for throttles, for the daily quota, for
//! Entra's data actions, by tier.

use http::Method;

/// What may be throttled together (docs: IoT Hub quotas and throttling, "Operation throttles").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Operations on identities.
    IdentityRegistry,
    /// Queries.
    Queries,
    /// Reads of one twin.
    TwinReads,
    /// Writes of one twin.
    TwinUpdates,
    /// Operations on jobs.
    Jobs,
    /// Operations on configurations.
    Configurations,
    /// Direct methods, counted in KB, in steps of 4.
    DirectMethods,
    /// New ones.
    DeviceConnections,
    /// Device-to-cloud messages, of any size.
    Telemetry,
}

impl Class {
    pub(crate) const ALL: [Self; 9] = [
        Self::IdentityRegistry,
        Self::Queries,
        Self::TwinReads,
        Self::TwinUpdates,
        Self::Jobs,
        Self::Configurations,
        Self::DirectMethods,
        Self::DeviceConnections,
        Self::Telemetry,
    ];
}

/// Whose bytes are charged as messages (docs: Azure IoT Hub billing information).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    Nothing,
    Request,
    Answer,
    /// The request, and the answer for itself.
    Both,
}

/// What Entra's roles allow (docs: Control access to IoT Hub by using Microsoft Entra ID).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataAction {
    TwinsRead,
    TwinsWrite,
    DevicesRead,
    DevicesWrite,
    DevicesDelete,
    JobsRead,
    JobsWrite,
    JobsDelete,
    ConfigurationsRead,
    ConfigurationsWrite,
    ConfigurationsDelete,
    ConfigurationsTest,
    ConfigurationsApply,
    DirectMethods,
    StatisticsRead,
    CommandsPurge,
    MessagesSend,
    MessagesFeedback,
}

impl DataAction {
    /// Returns its name, without the `Microsoft.Devices/IotHubs/` that all have before it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TwinsRead => "twins/read",
            Self::TwinsWrite => "twins/write",
            Self::DevicesRead => "devices/read",
            Self::DevicesWrite => "devices/write",
            Self::DevicesDelete => "devices/delete",
            Self::JobsRead => "jobs/read",
            Self::JobsWrite => "jobs/write",
            Self::JobsDelete => "jobs/delete",
            Self::ConfigurationsRead => "configurations/read",
            Self::ConfigurationsWrite => "configurations/write",
            Self::ConfigurationsDelete => "configurations/delete",
            Self::ConfigurationsTest => "configurations/testQueries/action",
            Self::ConfigurationsApply => "configurations/applyToEdgeDevice/action",
            Self::DirectMethods => "directMethods/invoke/action",
            Self::StatisticsRead => "statistics/read",
            Self::CommandsPurge => "cloudToDeviceMessages/queue/purge/action",
            Self::MessagesSend => "cloudToDeviceMessages/send/action",
            Self::MessagesFeedback => "cloudToDeviceMessages/feedback/action",
        }
    }

    /// Says whether it only reads.
    pub(crate) fn reads(self) -> bool {
        self.name().ends_with("/read")
    }
}

/// What one request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// The operation type that a throttled request's refusal names.
    pub(crate) kind: &'static str,
    pub(crate) class: Class,
    pub(crate) charge: Charge,
    /// What a role must allow, all of them.
    pub(crate) actions: &'static [DataAction],
    /// Not there in the Basic tier.
    pub(crate) standard_only: bool,
}

/// Says what a request is; nothing for one that the service API does not have.
pub(crate) fn of(method: &Method, path: &str) -> Option<Operation> {
    use Class::{Configurations, DirectMethods, IdentityRegistry, Jobs, Queries, TwinReads, TwinUpdates};
    use DataAction as A;

    let registry = |kind, actions| basic(kind, IdentityRegistry, Charge::Nothing, actions);
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    Some(match (method.as_str(), segments.as_slice()) {
        ("GET", ["twins", _] | ["twins", _, "modules", _] | ["digitaltwins", _]) => {
            standard("TwinRead", TwinReads, Charge::Answer, &[A::TwinsRead])
        }
        ("PATCH" | "PUT", ["twins", _] | ["twins", _, "modules", _]) | ("PATCH", ["digitaltwins", _]) => {
            standard("TwinUpdate", TwinUpdates, Charge::Request, &[A::TwinsWrite])
        }
        ("POST", ["twins", _, "methods"] | ["twins", _, "modules", _, "methods"] | ["digitaltwins", _, .., _]) => {
            standard("DirectMethod", DirectMethods, Charge::Both, &[A::DirectMethods])
        }

        ("POST", ["devices", "query"]) => basic("Query", Queries, Charge::Answer, &[A::TwinsRead]),
        ("POST", ["devices", "keys", "regenerate"]) => registry("CRUD", &[A::DevicesWrite]),
        ("POST", ["devices"]) => registry("CRUD", &[A::DevicesWrite, A::DevicesDelete]),
        ("POST", ["devices", _, "applyConfigurationContent"]) => {
            standard("ConfigurationWrite", Configurations, Charge::Request, &[A::ConfigurationsApply])
        }
        // A device's own, over HTTPS.
        ("POST", ["devices", _, "messages", events]) if events.eq_ignore_ascii_case("events") => TELEMETRY,
        ("DELETE", ["devices", _, "commands"]) => registry("CRUD", &[A::CommandsPurge]),
        ("GET", ["devices"] | ["devices", _] | ["devices", _, "modules"] | ["devices", _, "modules", _]) => {
            registry("RegistryRead", &[A::DevicesRead])
        }
        ("PUT", ["devices", _] | ["devices", _, "modules", _]) => registry("CRUD", &[A::DevicesWrite]),
        ("DELETE", ["devices", _] | ["devices", _, "modules", _]) => registry("CRUD", &[A::DevicesDelete]),
        ("GET", ["statistics", "devices" | "service"]) => registry("RegistryRead", &[A::StatisticsRead]),

        ("POST", ["jobs", "v2", _, "cancel"]) => standard("JobWrite", Jobs, Charge::Nothing, &[A::JobsDelete]),
        ("GET", ["jobs", "v2", _]) => standard("JobRead", Jobs, Charge::Nothing, &[A::JobsRead]),
        ("PUT", ["jobs", "v2", _]) => standard("JobWrite", Jobs, Charge::Nothing, &[A::JobsWrite]),
        // Import and export of identities, which Basic has.
        ("GET", ["jobs"] | ["jobs", _]) => basic("JobRead", Jobs, Charge::Nothing, &[A::JobsRead]),
        ("POST", ["jobs", "create"]) => basic("JobWrite", Jobs, Charge::Nothing, &[A::JobsWrite]),
        ("DELETE", ["jobs", _]) => basic("JobWrite", Jobs, Charge::Nothing, &[A::JobsDelete]),

        ("POST", ["configurations", "testQueries"]) => {
            standard("ConfigurationRead", Configurations, Charge::Nothing, &[A::ConfigurationsTest])
        }
        ("GET", ["configurations"] | ["configurations", _]) => {
            standard("ConfigurationRead", Configurations, Charge::Nothing, &[A::ConfigurationsRead])
        }
        ("PUT", ["configurations", _]) => {
            standard("ConfigurationWrite", Configurations, Charge::Nothing, &[A::ConfigurationsWrite])
        }
        ("DELETE", ["configurations", _]) => {
            standard("ConfigurationWrite", Configurations, Charge::Nothing, &[A::ConfigurationsDelete])
        }
        _ => return None,
    })
}

/// A device or module connects.
pub(crate) const DEVICE_CONNECTION: Operation =
    basic("DeviceConnection", Class::DeviceConnections, Charge::Nothing, &[]);
/// A device or module reads its twin. What it costs is its answer's, as on the service side.
pub(crate) const DEVICE_TWIN_READ: Operation = standard("TwinRead", Class::TwinReads, Charge::Answer, &[]);
/// A device or module reports.
pub(crate) const DEVICE_TWIN_UPDATE: Operation = standard("TwinUpdate", Class::TwinUpdates, Charge::Request, &[]);
/// A device or module sends a message.
pub(crate) const TELEMETRY: Operation = basic("Telemetry", Class::Telemetry, Charge::Request, &[]);

const fn basic(kind: &'static str, class: Class, charge: Charge, actions: &'static [DataAction]) -> Operation {
    Operation { kind, class, charge, actions, standard_only: false }
}

const fn standard(kind: &'static str, class: Class, charge: Charge, actions: &'static [DataAction]) -> Operation {
    Operation { kind, class, charge, actions, standard_only: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_what_they_are() {
        for (method, path, kind, actions) in [
            ("GET", "/twins/a%23b", "TwinRead", "twins/read"),
            ("GET", "/twins/d/", "TwinRead", "twins/read"),
            ("GET", "/twins/d/modules/m", "TwinRead", "twins/read"),
            ("GET", "/digitaltwins/d", "TwinRead", "twins/read"),
            ("PATCH", "/twins/d", "TwinUpdate", "twins/write"),
            ("PUT", "/twins/d/modules/m", "TwinUpdate", "twins/write"),
            ("POST", "/twins/d/methods", "DirectMethod", "directMethods/invoke/action"),
            ("POST", "/twins/d/modules/m/methods", "DirectMethod", "directMethods/invoke/action"),
            ("POST", "/devices/query", "Query", "twins/read"),
            // A device may be called so.
            ("GET", "/devices/query", "RegistryRead", "devices/read"),
            ("PUT", "/devices/query", "CRUD", "devices/write"),
            ("POST", "/devices", "CRUD", "devices/write devices/delete"),
            ("POST", "/devices/", "CRUD", "devices/write devices/delete"),
            ("POST", "/devices/keys/regenerate", "CRUD", "devices/write"),
            ("GET", "/devices/keys", "RegistryRead", "devices/read"),
            ("GET", "/devices", "RegistryRead", "devices/read"),
            ("DELETE", "/devices/d", "CRUD", "devices/delete"),
            ("DELETE", "/devices/d/commands", "CRUD", "cloudToDeviceMessages/queue/purge/action"),
            ("GET", "/devices/d/modules", "RegistryRead", "devices/read"),
            (
                "POST",
                "/devices/d/applyConfigurationContent",
                "ConfigurationWrite",
                "configurations/applyToEdgeDevice/action",
            ),
            ("GET", "/statistics/devices", "RegistryRead", "statistics/read"),
            ("PUT", "/jobs/v2/j", "JobWrite", "jobs/write"),
            ("GET", "/jobs/v2/query", "JobRead", "jobs/read"),
            ("POST", "/jobs/v2/j/cancel", "JobWrite", "jobs/delete"),
            ("POST", "/jobs/create", "JobWrite", "jobs/write"),
            ("GET", "/jobs", "JobRead", "jobs/read"),
            ("DELETE", "/jobs/j", "JobWrite", "jobs/delete"),
            ("GET", "/configurations", "ConfigurationRead", "configurations/read"),
            ("POST", "/configurations/testQueries", "ConfigurationRead", "configurations/testQueries/action"),
            ("PUT", "/configurations/c", "ConfigurationWrite", "configurations/write"),
            ("DELETE", "/configurations/c", "ConfigurationWrite", "configurations/delete"),
            ("POST", "/twins/d", "", ""),
            ("GET", "/twins", "", ""),
            ("GET", "/", "", ""),
        ] {
            let operation = of(&Method::from_bytes(method.as_bytes()).expect("a method"), path);
            let names = |operation: Operation| {
                let names: Vec<_> = operation.actions.iter().map(|action| action.name()).collect();
                (operation.kind, names.join(" "))
            };
            let found = operation.map(names).unwrap_or_default();
            assert_eq!(found, (kind, actions.to_owned()), "{method} {path}");
        }
    }
}
