//! Scopes: how a device names its own place among edge devices, and its parent's (docs: Parent and child devices of IoT Edge).
//!
//! An edge device has a `deviceScope` that the hub makes, and names its parent in `parentScopes`. A device that is none names its
//! parent in `deviceScope`, and the hub copies that to `parentScopes`. The rules of updates are those of a record of the service
//! (Terraform provider), beside the live suites of Microsoft's SDKs.

use crate::core::command::{Refusal, invalid};
use iothub_model::twin::DeviceId;
use iothub_model::wire::ErrorCode;

const PREFIX: &str = "ms-azure-iot-edge://";

/// The scopes of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes {
    /// An edge device's own scope, or the scope of the parent of any other device.
    pub(crate) device: Option<String>,
    /// The scope of the parent, if there is one.
    pub(crate) parents: Vec<String>,
}

/// The scopes that a write names.
#[derive(Debug)]
pub(crate) struct NamedScopes {
    device: Option<String>,
    parents: Vec<String>,
}

impl NamedScopes {
    /// Reads the members of a body. An empty text and an empty list name nothing, as members that are left out.
    pub(crate) fn new(device: Option<String>, parents: Option<Vec<String>>) -> Self {
        let full = |scope: &String| !scope.is_empty();
        Self { device: device.filter(full), parents: parents.unwrap_or_default().into_iter().filter(full).collect() }
    }

    /// Returns the one parent that an edge device names.
    fn parent_of_edge(self) -> Result<Vec<String>, Refusal> {
        match self.parents.len() {
            0 | 1 => Ok(self.parents),
            count => Err(invalid(format!("parentScopes names {count} scopes, and a device has one parent at most"))),
        }
    }
}

impl Scopes {
    /// Returns the scopes of a new device. A scope that names no edge device is taken: bulk requests and imports may name a
    /// parent that is yet to come.
    pub(crate) fn of_new(id: &DeviceId, generation: &str, is_edge: bool, named: NamedScopes) -> Result<Self, Refusal> {
        if is_edge {
            return Ok(Self { device: Some(scope_of(id, generation)), parents: named.parent_of_edge()? });
        }
        Ok(Self::of_leaf(named.device))
    }

    /// Returns the scopes after an update. `is_parent` returns `true` for the scope of an edge device that is there.
    ///
    /// # Errors
    ///
    /// When an edge device does not name its own scope as it is, or when the new parent is no edge device.
    pub(crate) fn updated(
        &self,
        id: &DeviceId,
        (was_edge, is_edge): (bool, bool),
        named: NamedScopes,
        is_parent: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Refusal> {
        let check = |parent: &str| {
            let stays = self.parents.iter().any(|before| before == parent);
            if stays || (is_parent(parent) && self.device.as_deref().filter(|_| was_edge) != Some(parent)) {
                return Ok(());
            }
            let text = format!("the scope `{}` is not the deviceScope of another edge device", parent.escape_debug());
            Err(Refusal::new(ErrorCode::InvalidDeviceScope, text))
        };
        match (was_edge, is_edge) {
            (true, true) if named.device != self.device => {
                let own = self.device.as_deref().unwrap_or_default();
                Err(invalid(format!("Device scope is immutable: an update of this edge device must name {own}")))
            }
            (false, true) if named.device.is_some() => Err(Refusal::new(
                ErrorCode::ServiceUnavailable,
                "a device that becomes an edge device must leave deviceScope out: the hub makes it",
            )),
            (_, true) => {
                let device = if was_edge { self.device.clone() } else { Some(scope_of(id, "")) };
                let parents = named.parent_of_edge()?;
                parents.iter().try_for_each(|parent| check(parent))?;
                Ok(Self { device, parents })
            }
            // It loses its parent with the write. Its own scope goes, whatever the body names.
            (true, false) => Ok(Self::default()),
            (false, false) => {
                named.device.iter().try_for_each(|parent| check(parent))?;
                Ok(Self::of_leaf(named.device))
            }
        }
    }

    /// Returns what a version of this program that made no scopes would have kept, with the scopes.
    pub(crate) fn completed(self, id: &DeviceId, generation: &str, is_edge: bool) -> Self {
        match (is_edge, &self.device) {
            (true, None) => Self { device: Some(scope_of(id, generation)), ..self },
            (true, Some(_)) => self,
            (false, _) => Self::of_leaf(self.device),
        }
    }

    fn of_leaf(parent: Option<String>) -> Self {
        Self { parents: parent.iter().cloned().collect(), device: parent }
    }
}

fn scope_of(id: &DeviceId, generation: &str) -> String {
    format!("{PREFIX}{id}-{generation}")
}

/// Returns the id in the scope of an edge device: for finding the device, whose own scope decides.
pub(crate) fn device_of(scope: &str) -> Option<DeviceId> {
    scope.strip_prefix(PREFIX)?.rsplit_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "ms-azure-iot-edge://root-1";

    fn named(device: Option<&str>, parents: &[&str]) -> NamedScopes {
        let parents = parents.iter().map(|scope| (*scope).to_owned()).collect();
        NamedScopes::new(device.map(str::to_owned), Some(parents))
    }

    fn scopes(device: Option<&str>, parents: &[&str]) -> Scopes {
        Scopes { device: device.map(str::to_owned), parents: parents.iter().map(|it| (*it).to_owned()).collect() }
    }

    #[test]
    fn new_devices() {
        let id: DeviceId = "d-1".parse().expect("an id");
        let own = Some("ms-azure-iot-edge://d-1-7");
        for (is_edge, body, expected) in [
            (false, named(None, &[]), Some(scopes(None, &[]))),
            (false, named(Some(""), &[]), Some(scopes(None, &[]))),
            (false, named(Some(ROOT), &[]), Some(scopes(Some(ROOT), &[ROOT]))),
            (false, named(Some("nobody's"), &["other"]), Some(scopes(Some("nobody's"), &["nobody's"]))),
            (false, named(None, &[ROOT]), Some(scopes(None, &[]))),
            (true, named(None, &[]), Some(scopes(own, &[]))),
            (true, named(Some("mine"), &[ROOT]), Some(scopes(own, &[ROOT]))),
            (true, named(None, &[ROOT, "another"]), None),
        ] {
            let text = format!("{is_edge} {body:?}");
            assert_eq!(Scopes::of_new(&id, "7", is_edge, body).ok(), expected, "{text}");
        }
    }

    #[test]
    fn updates() {
        let id: DeviceId = "d".parse().expect("an id");
        let own = "ms-azure-iot-edge://d-7";
        let known = |scope: &str| [ROOT, "ms-azure-iot-edge://other-2", own].contains(&scope);
        let (leaf, edge) = (scopes(Some("gone"), &["gone"]), scopes(Some(own), &[ROOT]));
        let (immutable, unknown) = (Err(ErrorCode::ArgumentInvalid), Err(ErrorCode::InvalidDeviceScope));
        for (before, edges, body, expected) in [
            (&leaf, (false, false), named(Some("gone"), &[]), Ok(leaf.clone())),
            (&leaf, (false, false), named(Some(ROOT), &["gone"]), Ok(scopes(Some(ROOT), &[ROOT]))),
            (&leaf, (false, false), named(Some(""), &["gone"]), Ok(scopes(None, &[]))),
            (&leaf, (false, false), named(Some("unknown"), &["gone"]), unknown.clone()),
            (&leaf, (false, true), named(None, &[ROOT]), Ok(scopes(Some("ms-azure-iot-edge://d-"), &[ROOT]))),
            (&leaf, (false, true), named(Some(""), &[]), Ok(scopes(Some("ms-azure-iot-edge://d-"), &[]))),
            (&leaf, (false, true), named(Some("gone"), &[]), Err(ErrorCode::ServiceUnavailable)),
            (&edge, (true, true), named(Some(own), &[ROOT]), Ok(edge.clone())),
            (&edge, (true, true), named(Some(own), &[]), Ok(scopes(Some(own), &[]))),
            (&edge, (true, true), named(None, &[ROOT]), immutable.clone()),
            (&edge, (true, true), named(Some(""), &[ROOT]), immutable.clone()),
            (&edge, (true, true), named(Some(ROOT), &[]), immutable.clone()),
            (&edge, (true, true), named(Some(own), &["unknown"]), unknown.clone()),
            (&edge, (true, true), named(Some(own), &[own]), unknown.clone()),
            (&edge, (true, false), named(Some(own), &[ROOT]), Ok(Scopes::default())),
            (&edge, (true, false), named(Some(ROOT), &[]), Ok(Scopes::default())),
        ] {
            let text = format!("{before:?} {edges:?} {body:?}");
            let found = before.updated(&id, edges, body, &known).map_err(|refusal| refusal.code);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_scope_leads_to_its_device() {
        for (scope, id) in [
            (ROOT, Some("root")),
            ("ms-azure-iot-edge://a-b-12", Some("a-b")),
            ("ms-azure-iot-edge://a-", Some("a")),
            ("ms-azure-iot-edge://a", None),
            ("root-1", None),
            ("ms-azure-iot-edge://-1", None),
        ] {
            assert_eq!(device_of(scope).as_ref().map(DeviceId::as_str), id, "{scope}");
        }
    }
}
