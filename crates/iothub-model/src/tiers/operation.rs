//! The kind of a request: which throttle it counts against, whose bytes are billed, and which tiers have it.
//!
//! [`Operation::of`] is the one place that decides this from a method and a path.

use super::tier::{Feature, Tier};
use crate::wire::query::ItemType;

/// In which steps direct methods are counted, in bytes.
const METHOD_STEP: u64 = 4096;

/// Operations that share a throttle (docs: IoT Hub quotas and throttling, "Operation throttles").
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
    /// New connections of devices.
    DeviceConnections,
    /// Device-to-cloud messages, of any size.
    Telemetry,
}

impl Class {
    /// All classes, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
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

    /// Returns what one operation takes of the rate that [`Limits::rate`](super::Limits::rate) returns: 1, but for
    /// direct methods the KB of a request with this many bytes.
    pub fn tokens(self, bytes: u64) -> f64 {
        match self {
            Self::DirectMethods => (bytes.div_ceil(METHOD_STEP).max(1) * METHOD_STEP / 1024) as f64,
            _ => 1.0,
        }
    }
}

/// Whose bytes are billed as messages (docs: Azure IoT Hub billing information).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Nobody's: the operation is free.
    Nothing,
    /// The request's.
    Request,
    /// The response's.
    Response,
    /// The request's, and the response's separately.
    Both,
}

impl Charge {
    /// Returns the number of messages that a request and its response are billed as, by the bytes of their bodies.
    pub fn messages(self, tier: Tier, request: u64, response: u64) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Request => tier.billed_messages(request),
            Self::Response => tier.billed_messages(response),
            Self::Both => tier.billed_messages(request) + tier.billed_messages(response),
        }
    }
}

/// What one request of the service API, or one action of a device, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads one twin. A service and a device pay the same.
    ReadTwin,
    /// Writes one twin, or a device reports.
    UpdateTwin,
    /// Invokes a direct method.
    InvokeMethod,
    /// Reads a page of a query.
    Query,
    /// Reads one identity or a list of them.
    ReadIdentities,
    /// Creates or replaces one identity.
    WriteIdentity,
    /// Deletes one identity.
    DeleteIdentity,
    /// Creates, replaces or deletes many identities.
    WriteManyIdentities,
    /// Regenerates the keys of identities.
    RegenerateKeys,
    /// Deletes the cloud-to-device messages that wait for a device.
    PurgeCommands,
    /// Reads the registry's statistics.
    ReadStatistics,
    /// Reads one scheduled job or a list of them.
    ReadJob,
    /// Schedules a job.
    ScheduleJob,
    /// Cancels a scheduled job.
    CancelJob,
    /// Reads one import or export of identities, or a list of them.
    ReadTransfer,
    /// Starts an import or export of identities.
    CreateTransfer,
    /// Cancels an import or export of identities.
    CancelTransfer,
    /// Reads one configuration or a list of them.
    ReadConfigurations,
    /// Tests the queries of a configuration.
    TestConfigurationQueries,
    /// Creates or replaces a configuration.
    WriteConfiguration,
    /// Deletes a configuration.
    DeleteConfiguration,
    /// Applies a configuration's content to one device.
    ApplyConfiguration,
    /// A device or module connects.
    Connect,
    /// A device or module sends a message.
    SendTelemetry,
}

impl Operation {
    /// Returns what a request of the service API does; `None` if the service API does not have such a request. A query
    /// string in the path does not matter.
    pub fn of(method: &str, path: &str) -> Option<Self> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        Some(match (method, segments.as_slice()) {
            ("GET", ["twins", _] | ["twins", _, "modules", _] | ["digitaltwins", _]) => Self::ReadTwin,
            ("PATCH" | "PUT", ["twins", _] | ["twins", _, "modules", _]) | ("PATCH", ["digitaltwins", _]) => {
                Self::UpdateTwin
            }
            ("POST", ["twins", _, "methods"] | ["twins", _, "modules", _, "methods"] | ["digitaltwins", _, .., _]) => {
                Self::InvokeMethod
            }

            ("POST", ["devices", "query"]) => Self::Query,
            ("POST", ["devices", "keys", "regenerate"]) => Self::RegenerateKeys,
            ("POST", ["devices"]) => Self::WriteManyIdentities,
            ("POST", ["devices", _, "applyConfigurationContent"]) => Self::ApplyConfiguration,
            // A device's own, over HTTPS.
            ("POST", ["devices", _, "messages", events]) if events.eq_ignore_ascii_case("events") => {
                Self::SendTelemetry
            }
            ("DELETE", ["devices", _, "commands"]) => Self::PurgeCommands,
            ("GET", ["devices"] | ["devices", _] | ["devices", _, "modules"] | ["devices", _, "modules", _]) => {
                Self::ReadIdentities
            }
            ("PUT", ["devices", _] | ["devices", _, "modules", _]) => Self::WriteIdentity,
            ("DELETE", ["devices", _] | ["devices", _, "modules", _]) => Self::DeleteIdentity,
            ("GET", ["statistics", "devices" | "service"]) => Self::ReadStatistics,

            ("POST", ["jobs", "v2", _, "cancel"]) => Self::CancelJob,
            ("GET", ["jobs", "v2", _]) => Self::ReadJob,
            ("PUT", ["jobs", "v2", _]) => Self::ScheduleJob,
            ("GET", ["jobs"] | ["jobs", _]) => Self::ReadTransfer,
            ("POST", ["jobs", "create"]) => Self::CreateTransfer,
            ("DELETE", ["jobs", _]) => Self::CancelTransfer,

            ("POST", ["configurations", "testQueries"]) => Self::TestConfigurationQueries,
            ("GET", ["configurations"] | ["configurations", _]) => Self::ReadConfigurations,
            ("PUT", ["configurations", _]) => Self::WriteConfiguration,
            ("DELETE", ["configurations", _]) => Self::DeleteConfiguration,
            _ => return None,
        })
    }

    /// Returns the throttle that the operation counts against.
    pub fn class(self) -> Class {
        match self {
            Self::ReadTwin => Class::TwinReads,
            Self::UpdateTwin => Class::TwinUpdates,
            Self::InvokeMethod => Class::DirectMethods,
            Self::Query => Class::Queries,
            Self::ReadIdentities
            | Self::WriteIdentity
            | Self::DeleteIdentity
            | Self::WriteManyIdentities
            | Self::RegenerateKeys
            | Self::PurgeCommands
            | Self::ReadStatistics => Class::IdentityRegistry,
            Self::ReadJob
            | Self::ScheduleJob
            | Self::CancelJob
            | Self::ReadTransfer
            | Self::CreateTransfer
            | Self::CancelTransfer => Class::Jobs,
            Self::ReadConfigurations
            | Self::TestConfigurationQueries
            | Self::WriteConfiguration
            | Self::DeleteConfiguration
            | Self::ApplyConfiguration => Class::Configurations,
            Self::Connect => Class::DeviceConnections,
            Self::SendTelemetry => Class::Telemetry,
        }
    }

    /// Returns whose bytes a successful operation is billed by.
    pub fn charge(self) -> Charge {
        match self {
            Self::ReadTwin | Self::Query => Charge::Response,
            Self::UpdateTwin | Self::ApplyConfiguration | Self::SendTelemetry => Charge::Request,
            Self::InvokeMethod => Charge::Both,
            Self::ReadIdentities
            | Self::WriteIdentity
            | Self::DeleteIdentity
            | Self::WriteManyIdentities
            | Self::RegenerateKeys
            | Self::PurgeCommands
            | Self::ReadStatistics
            | Self::ReadJob
            | Self::ScheduleJob
            | Self::CancelJob
            | Self::ReadTransfer
            | Self::CreateTransfer
            | Self::CancelTransfer
            | Self::ReadConfigurations
            | Self::TestConfigurationQueries
            | Self::WriteConfiguration
            | Self::DeleteConfiguration
            | Self::Connect => Charge::Nothing,
        }
    }

    /// Returns whose bytes the operation is billed by after a response with this status and, of a query, this type of
    /// items.
    ///
    /// A failed operation is free, but a method is billed even if its device is offline. Queries of jobs are free.
    pub fn charge_after(self, status: u16, item_type: Option<&str>) -> Charge {
        let is_offline = self == Self::InvokeMethod && status == 404;
        let is_about_jobs = item_type == Some(ItemType::DeviceJob.name());
        match (200..300).contains(&status) || is_offline {
            true if !is_about_jobs => self.charge(),
            _ => Charge::Nothing,
        }
    }

    /// Returns the operation type that the service names when it throttles the operation.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::ReadTwin => "TwinRead",
            Self::UpdateTwin => "TwinUpdate",
            Self::InvokeMethod => "DirectMethod",
            Self::Query => "Query",
            Self::ReadIdentities | Self::ReadStatistics => "RegistryRead",
            Self::WriteIdentity
            | Self::DeleteIdentity
            | Self::WriteManyIdentities
            | Self::RegenerateKeys
            | Self::PurgeCommands => "CRUD",
            Self::ReadJob | Self::ReadTransfer => "JobRead",
            Self::ScheduleJob | Self::CancelJob | Self::CreateTransfer | Self::CancelTransfer => "JobWrite",
            Self::ReadConfigurations | Self::TestConfigurationQueries => "ConfigurationRead",
            Self::WriteConfiguration | Self::DeleteConfiguration | Self::ApplyConfiguration => "ConfigurationWrite",
            Self::Connect => "DeviceConnection",
            Self::SendTelemetry => "Telemetry",
        }
    }

    /// Returns the feature that the operation belongs to; `None` if every tier has the operation.
    pub fn feature(self) -> Option<Feature> {
        match self {
            Self::Query
            | Self::ReadIdentities
            | Self::WriteIdentity
            | Self::DeleteIdentity
            | Self::WriteManyIdentities
            | Self::RegenerateKeys
            | Self::ReadStatistics
            | Self::ReadTransfer
            | Self::CreateTransfer
            | Self::CancelTransfer
            | Self::Connect
            | Self::SendTelemetry => None,
            Self::ReadTwin | Self::UpdateTwin => Some(Feature::Twins),
            Self::InvokeMethod => Some(Feature::DirectMethods),
            Self::PurgeCommands => Some(Feature::CloudToDeviceMessages),
            Self::ReadJob
            | Self::ScheduleJob
            | Self::CancelJob
            | Self::ReadConfigurations
            | Self::TestConfigurationQueries
            | Self::WriteConfiguration
            | Self::DeleteConfiguration
            | Self::ApplyConfiguration => Some(Feature::DeviceManagement),
        }
    }

    /// Returns `true` if a hub of this tier has the operation. Basic tiers have identities with their import and
    /// export, queries, connections and telemetry.
    pub fn is_available_in(self, tier: Tier) -> bool {
        self.feature().is_none_or(|feature| tier.has(feature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_their_operations() {
        use Operation::*;
        for (method, path, operation) in [
            ("GET", "/twins/a%23b", Some(ReadTwin)),
            ("GET", "/twins/d/", Some(ReadTwin)),
            ("GET", "/twins/d?api-version=2021-04-12", Some(ReadTwin)),
            ("GET", "/twins/d/modules/m", Some(ReadTwin)),
            ("GET", "/digitaltwins/d", Some(ReadTwin)),
            ("PATCH", "/twins/d", Some(UpdateTwin)),
            ("PUT", "/twins/d/modules/m", Some(UpdateTwin)),
            ("PATCH", "/digitaltwins/d", Some(UpdateTwin)),
            ("POST", "/twins/d/methods", Some(InvokeMethod)),
            ("POST", "/twins/d/modules/m/methods", Some(InvokeMethod)),
            ("POST", "/digitaltwins/d/commands/c", Some(InvokeMethod)),
            ("POST", "/devices/query", Some(Query)),
            // A device can have this id.
            ("GET", "/devices/query", Some(ReadIdentities)),
            ("PUT", "/devices/query", Some(WriteIdentity)),
            ("POST", "/devices", Some(WriteManyIdentities)),
            ("POST", "/devices/?x=/", Some(WriteManyIdentities)),
            ("POST", "/devices/keys/regenerate", Some(RegenerateKeys)),
            ("GET", "/devices/keys", Some(ReadIdentities)),
            ("GET", "/devices?top=1000", Some(ReadIdentities)),
            ("DELETE", "/devices/d", Some(DeleteIdentity)),
            ("DELETE", "/devices/d/commands", Some(PurgeCommands)),
            ("GET", "/devices/d/modules", Some(ReadIdentities)),
            ("POST", "/devices/d/messages/Events", Some(SendTelemetry)),
            ("POST", "/devices/d/applyConfigurationContent", Some(ApplyConfiguration)),
            ("GET", "/statistics/devices", Some(ReadStatistics)),
            ("PUT", "/jobs/v2/j", Some(ScheduleJob)),
            ("GET", "/jobs/v2/query", Some(ReadJob)),
            ("POST", "/jobs/v2/j/cancel", Some(CancelJob)),
            ("POST", "/jobs/create", Some(CreateTransfer)),
            ("GET", "/jobs", Some(ReadTransfer)),
            ("DELETE", "/jobs/j", Some(CancelTransfer)),
            ("GET", "/configurations", Some(ReadConfigurations)),
            ("POST", "/configurations/testQueries", Some(TestConfigurationQueries)),
            ("PUT", "/configurations/c", Some(WriteConfiguration)),
            ("DELETE", "/configurations/c", Some(DeleteConfiguration)),
            ("POST", "/twins/d", None),
            ("get", "/twins/d", None),
            ("GET", "/twins", None),
            ("GET", "/", None),
            ("GET", "", None),
        ] {
            assert_eq!(Operation::of(method, path), operation, "{method} {path}");
        }
    }

    #[test]
    fn operations_and_their_properties() {
        use Charge::{Both, Nothing, Request, Response};
        for (request, class, type_name, charge, in_basic) in [
            ("GET /twins/d", Class::TwinReads, "TwinRead", Response, false),
            ("PATCH /twins/d", Class::TwinUpdates, "TwinUpdate", Request, false),
            ("POST /twins/d/methods", Class::DirectMethods, "DirectMethod", Both, false),
            ("POST /devices/query", Class::Queries, "Query", Response, true),
            ("GET /devices/d", Class::IdentityRegistry, "RegistryRead", Nothing, true),
            ("GET /statistics/service", Class::IdentityRegistry, "RegistryRead", Nothing, true),
            ("PUT /devices/d", Class::IdentityRegistry, "CRUD", Nothing, true),
            ("DELETE /devices/d", Class::IdentityRegistry, "CRUD", Nothing, true),
            ("POST /devices", Class::IdentityRegistry, "CRUD", Nothing, true),
            ("POST /devices/keys/regenerate", Class::IdentityRegistry, "CRUD", Nothing, true),
            ("DELETE /devices/d/commands", Class::IdentityRegistry, "CRUD", Nothing, false),
            ("POST /devices/d/messages/events", Class::Telemetry, "Telemetry", Request, true),
            ("GET /jobs/v2/j", Class::Jobs, "JobRead", Nothing, false),
            ("PUT /jobs/v2/j", Class::Jobs, "JobWrite", Nothing, false),
            ("POST /jobs/v2/j/cancel", Class::Jobs, "JobWrite", Nothing, false),
            ("GET /jobs/j", Class::Jobs, "JobRead", Nothing, true),
            ("POST /jobs/create", Class::Jobs, "JobWrite", Nothing, true),
            ("DELETE /jobs/j", Class::Jobs, "JobWrite", Nothing, true),
            ("GET /configurations/c", Class::Configurations, "ConfigurationRead", Nothing, false),
            ("POST /configurations/testQueries", Class::Configurations, "ConfigurationRead", Nothing, false),
            ("PUT /configurations/c", Class::Configurations, "ConfigurationWrite", Nothing, false),
            ("DELETE /configurations/c", Class::Configurations, "ConfigurationWrite", Nothing, false),
            ("POST /devices/d/applyConfigurationContent", Class::Configurations, "ConfigurationWrite", Request, false),
        ] {
            let (method, path) = request.split_once(' ').expect("a method and a path");
            let operation = Operation::of(method, path).expect("an operation");
            let found =
                (operation.class(), operation.type_name(), operation.charge(), operation.is_available_in(Tier::B2));
            assert_eq!(found, (class, type_name, charge, in_basic), "{request}");
            assert!(operation.is_available_in(Tier::F1) && operation.is_available_in(Tier::S3), "{request}");
        }
    }

    /// The one table of billed messages: by tier, operation and bytes.
    #[test]
    fn billed_messages() {
        for (tier, request, bytes, messages) in [
            (Tier::F1, "GET /twins/d", (0, 0), 1),
            (Tier::F1, "GET /twins/d", (9999, 512), 1),
            (Tier::F1, "GET /twins/d", (0, 513), 2),
            (Tier::F1, "GET /twins/d", (0, 4096), 8),
            (Tier::F1, "PATCH /twins/d", (1024, 9999), 2),
            (Tier::F1, "POST /devices/query", (9999, 2048), 4),
            (Tier::F1, "POST /twins/d/methods", (513, 0), 3),
            (Tier::F1, "PUT /devices/d", (9999, 9999), 0),
            (Tier::S1, "GET /twins/d", (0, 4096), 1),
            (Tier::S1, "GET /twins/d", (0, 4097), 2),
            (Tier::S1, "PATCH /twins/d", (12 * 1024, 0), 3),
            (Tier::S1, "POST /devices/query", (0, 1024 * 1024), 256),
            (Tier::S1, "POST /devices/d/applyConfigurationContent", (4097, 0), 2),
            (Tier::B1, "POST /devices/d/messages/events", (4097, 0), 2),
            (Tier::S2, "POST /twins/d/methods", (4097, 8193), 5),
            (Tier::S3, "PATCH /twins/d", (0, 0), 1),
            (Tier::S3, "GET /configurations", (0, 9999), 0),
            (Tier::S3, "GET /twins/d", (0, u64::MAX), u64::MAX / 4096 + 1),
        ] {
            let (method, path) = request.split_once(' ').expect("a method and a path");
            let operation = Operation::of(method, path).expect("an operation");
            assert_eq!(operation.charge().messages(tier, bytes.0, bytes.1), messages, "{tier} {request} {bytes:?}");
        }
    }

    #[test]
    fn responses_that_are_billed() {
        use Operation::{InvokeMethod, Query, ReadTwin};
        for (operation, status, item_type, charge) in [
            (ReadTwin, 200, None, Charge::Response),
            (ReadTwin, 304, None, Charge::Nothing),
            (ReadTwin, 404, None, Charge::Nothing),
            (InvokeMethod, 200, None, Charge::Both),
            (InvokeMethod, 404, None, Charge::Both),
            (InvokeMethod, 504, None, Charge::Nothing),
            (Query, 200, Some("Twin"), Charge::Response),
            (Query, 200, Some("DeviceJob"), Charge::Nothing),
        ] {
            assert_eq!(operation.charge_after(status, item_type), charge, "{operation:?} {status} {item_type:?}");
        }
    }

    #[test]
    fn methods_are_counted_in_steps_of_4_kb() {
        for (class, bytes, tokens) in [
            (Class::DirectMethods, 0, 4.0),
            (Class::DirectMethods, 4096, 4.0),
            (Class::DirectMethods, 5000, 8.0),
            (Class::Queries, 5000, 1.0),
        ] {
            assert_eq!(class.tokens(bytes), tokens, "{class:?} {bytes}");
        }
    }
}
