//! Enums of ours in words that do not change when ours do.

/// An enum of ours, and the words for it that are frozen here.
macro_rules! words {
    ($name:ident for $ours:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) enum $name { $(#[serde(rename = $word)] $variant),* }

        impl From<$ours> for $name {
            fn from(value: $ours) -> Self {
                match value { $($ours::$variant => Self::$variant),* }
            }
        }

        impl From<$name> for $ours {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),* }
            }
        }
    };
}

pub(super) use words;
