//! Entra's data actions, and which of them each operation needs.

use iothub_model::tiers::Operation;

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

/// Returns the data actions that a role must allow for an operation, all of them.
pub(crate) fn needed(operation: Operation) -> &'static [DataAction] {
    use DataAction as A;

    match operation {
        Operation::ReadTwin | Operation::Query => &[A::TwinsRead],
        Operation::UpdateTwin => &[A::TwinsWrite],
        Operation::InvokeMethod => &[A::DirectMethods],
        Operation::ReadIdentities => &[A::DevicesRead],
        Operation::WriteIdentity | Operation::RegenerateKeys => &[A::DevicesWrite],
        Operation::DeleteIdentity => &[A::DevicesDelete],
        Operation::WriteManyIdentities => &[A::DevicesWrite, A::DevicesDelete],
        Operation::PurgeCommands => &[A::CommandsPurge],
        Operation::ReadStatistics => &[A::StatisticsRead],
        Operation::ReadJob | Operation::ReadTransfer => &[A::JobsRead],
        Operation::ScheduleJob | Operation::CreateTransfer => &[A::JobsWrite],
        Operation::CancelJob | Operation::CancelTransfer => &[A::JobsDelete],
        Operation::ReadConfigurations => &[A::ConfigurationsRead],
        Operation::TestConfigurationQueries => &[A::ConfigurationsTest],
        Operation::WriteConfiguration => &[A::ConfigurationsWrite],
        Operation::DeleteConfiguration => &[A::ConfigurationsDelete],
        Operation::ApplyConfiguration => &[A::ConfigurationsApply],
        // A device's own, which no role is about.
        Operation::Connect | Operation::SendTelemetry => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_the_data_actions_they_need() {
        for (method, path, actions) in [
            ("GET", "/twins/a%23b", "twins/read"),
            ("GET", "/twins/d/", "twins/read"),
            ("GET", "/twins/d/modules/m", "twins/read"),
            ("GET", "/digitaltwins/d", "twins/read"),
            ("PATCH", "/twins/d", "twins/write"),
            ("PUT", "/twins/d/modules/m", "twins/write"),
            ("POST", "/twins/d/methods", "directMethods/invoke/action"),
            ("POST", "/twins/d/modules/m/methods", "directMethods/invoke/action"),
            ("POST", "/devices/query", "twins/read"),
            // A device may be called so.
            ("GET", "/devices/query", "devices/read"),
            ("PUT", "/devices/query", "devices/write"),
            ("POST", "/devices", "devices/write devices/delete"),
            ("POST", "/devices/", "devices/write devices/delete"),
            ("POST", "/devices/keys/regenerate", "devices/write"),
            ("GET", "/devices/keys", "devices/read"),
            ("GET", "/devices", "devices/read"),
            ("DELETE", "/devices/d", "devices/delete"),
            ("DELETE", "/devices/d/commands", "cloudToDeviceMessages/queue/purge/action"),
            ("GET", "/devices/d/modules", "devices/read"),
            ("POST", "/devices/d/applyConfigurationContent", "configurations/applyToEdgeDevice/action"),
            ("GET", "/statistics/devices", "statistics/read"),
            ("PUT", "/jobs/v2/j", "jobs/write"),
            ("GET", "/jobs/v2/query", "jobs/read"),
            ("POST", "/jobs/v2/j/cancel", "jobs/delete"),
            ("POST", "/jobs/create", "jobs/write"),
            ("GET", "/jobs", "jobs/read"),
            ("DELETE", "/jobs/j", "jobs/delete"),
            ("GET", "/configurations", "configurations/read"),
            ("POST", "/configurations/testQueries", "configurations/testQueries/action"),
            ("PUT", "/configurations/c", "configurations/write"),
            ("DELETE", "/configurations/c", "configurations/delete"),
        ] {
            let operation = Operation::of(method, path).expect("an operation");
            let names: Vec<_> = needed(operation).iter().map(|action| action.name()).collect();
            assert_eq!(names.join(" "), actions, "{method} {path}");
        }
    }
}
