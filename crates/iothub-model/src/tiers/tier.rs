//! A tier: its features, its size, and how it bills messages.

use std::fmt;
use std::str::FromStr;

/// Bytes of one billed message on paid tiers.
const BLOCK: u64 = 4096;
/// Bytes of one billed message on the free tier.
const FREE_BLOCK: u64 = 512;

/// A tier with its size (docs: Choose the right IoT Hub tier and size for your solution).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Free.
    F1,
    /// Basic, which has no twins.
    B1,
    /// Basic, which has no twins.
    B2,
    /// Basic, which has no twins.
    B3,
    /// Standard.
    S1,
    /// Standard.
    S2,
    /// Standard.
    S3,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Self; 7] = [Self::F1, Self::B1, Self::B2, Self::B3, Self::S1, Self::S2, Self::S3];

    /// Returns the name, as in `S1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F1 => "F1",
            Self::B1 => "B1",
            Self::B2 => "B2",
            Self::B3 => "B3",
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
        }
    }

    /// Returns `true` if this tier has no twins, no device management and no cloud-to-device messages.
    pub fn is_basic(self) -> bool {
        matches!(self, Self::B1 | Self::B2 | Self::B3)
    }

    /// Returns `true` if this tier has the feature.
    pub fn has(self, feature: Feature) -> bool {
        match feature {
            Feature::Twins | Feature::DirectMethods | Feature::DeviceManagement | Feature::CloudToDeviceMessages => {
                !self.is_basic()
            }
        }
    }

    /// Returns the number of messages that this many bytes are billed as. An empty body is one message (docs: Azure IoT
    /// Hub billing information).
    pub fn billed_messages(self, bytes: u64) -> u64 {
        let block = if self == Self::F1 { FREE_BLOCK } else { BLOCK };
        bytes.div_ceil(block).max(1)
    }

    pub(super) fn size(self) -> Size {
        match self {
            Self::F1 | Self::B1 | Self::S1 => Size::One,
            Self::B2 | Self::S2 => Size::Two,
            Self::B3 | Self::S3 => Size::Three,
        }
    }

    /// Returns the largest number of units that one hub can have.
    pub(super) fn max_units(self) -> u32 {
        match self {
            Self::F1 => 1,
            Self::B1 | Self::B2 | Self::S1 | Self::S2 => 200,
            Self::B3 | Self::S3 => 10,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tier {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let tier = Self::ALL.into_iter().find(|tier| tier.name().eq_ignore_ascii_case(text));
        tier.ok_or_else(|| LimitsError::Tier(text.to_owned()))
    }
}

/// What not every tier has (docs: Choose the right IoT Hub tier and size for your solution).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// The twins of devices and modules, and digital twins.
    Twins,
    /// Direct methods.
    DirectMethods,
    /// Scheduled jobs, automatic configurations and deployments.
    DeviceManagement,
    /// Messages to devices, and feedback about them.
    CloudToDeviceMessages,
}

/// The columns of the table of throttles.
#[derive(Clone, Copy)]
pub(super) enum Size {
    One,
    Two,
    Three,
}

/// Why a tier or its number of units is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// There is no tier with this name.
    #[error("there is no tier `{}`; these are: {}", .0.escape_debug(), Tier::ALL.map(Tier::name).join(", "))]
    Tier(String),
    /// The tier does not allow this number of units.
    #[error("a hub of the tier {tier} has {}, and not {units}", match tier.max_units() {
        1 => "1 unit".to_owned(),
        most => format!("1 to {most} units"),
    })]
    Units {
        /// The tier.
        tier: Tier,
        /// The number of units that was requested.
        units: u32,
    },
}
