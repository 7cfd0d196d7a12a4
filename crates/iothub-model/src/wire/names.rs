//! Enumerations whose values have names in JSON.

/// Gives an enumeration its JSON names, and with them `name`, `from_name`, `Serialize` and `Deserialize`.
///
/// Names are read in any case and written in the given one. The service does so too: Microsoft's Java SDK sends
/// `"status": "Enabled"` and `"type": "SAS"`, its Node SDK sends `"importMode": "Update"`.
macro_rules! json_names {
    ($type:ident, $kind:literal, { $($name:literal => $variant:ident),* $(,)? }) => {
        impl $type {
            /// All values with their JSON names.
            pub const NAMES: &'static [(&'static str, Self)] = &[$(($name, Self::$variant)),*];

            /// Returns the JSON name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }

            /// Returns the value with this JSON name, in any case.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::from_name(&text).ok_or_else(|| {
                    serde::de::Error::custom(format!("`{}` is no {}", text.escape_debug(), $kind))
                })
            }
        }
    };
}

pub(crate) use json_names;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use crate::wire::bulk::ImportMode;
    use crate::wire::jobs::{DeviceJobStatus, JobStatus, JobType};
    use crate::wire::registry::{AuthenticationType, DeviceStatus};
    use crate::wire::transfers::{StorageAuthentication, TransferStatus, TransferType};

    fn check<T: Copy + PartialEq + Debug + Serialize + DeserializeOwned>(names: &[(&str, T)]) {
        for &(name, value) in names {
            assert_eq!(serde_json::to_value(value).expect("a name"), name);
            let capital = name[..1].to_uppercase() + &name[1..];
            for name in [name.to_owned(), name.to_uppercase(), name.to_lowercase(), capital] {
                assert_eq!(serde_json::from_value::<T>(json!(name)).expect("a value"), value, "{name}");
            }
        }
        for unknown in [json!("upsert"), json!(""), json!(1), json!(null)] {
            assert!(serde_json::from_value::<T>(unknown).is_err());
        }
    }

    #[test]
    fn names_are_read_in_any_case_and_written_in_one() {
        check(ImportMode::NAMES);
        check(JobType::NAMES);
        check(JobStatus::NAMES);
        check(DeviceJobStatus::NAMES);
        check(DeviceStatus::NAMES);
        check(AuthenticationType::NAMES);
        check(TransferType::NAMES);
        check(TransferStatus::NAMES);
        check(StorageAuthentication::NAMES);
    }
}
