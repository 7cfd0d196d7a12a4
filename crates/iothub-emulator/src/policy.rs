//! The shared access policies that every hub has.

use std::fmt;

/// One of the five shared access policies of a new IoT Hub.
///
/// ```
/// assert_eq!(iothub_emulator::Policy::Service.name(), "service");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// `iothubowner`: everything.
    IotHubOwner,
    /// `service`: twins, queries, methods and messages to devices.
    Service,
    /// `device`: to connect as any device.
    Device,
    /// `registryRead`: to read identities.
    RegistryRead,
    /// `registryReadWrite`: to read and write identities.
    RegistryReadWrite,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::IotHubOwner, Self::Service, Self::Device, Self::RegistryRead, Self::RegistryReadWrite];

    /// Returns the name, as connection strings have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IotHubOwner => "iothubowner",
            Self::Service => "service",
            Self::Device => "device",
            Self::RegistryRead => "registryRead",
            Self::RegistryReadWrite => "registryReadWrite",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
