//! Calls that change nothing, whoever makes them: to find out what one may do.

use http::HeaderValue;
use http::header::IF_MATCH;

use super::send::Call;
use super::{Error, HubClient};
use iothub_model::twin::{DeviceId, TwinId};
use iothub_model::wire::registry::device_path;
use iothub_model::wire::twins::twin_path;

/// A right that a shared access policy may have (docs: Control access to IoT Hub with shared access signatures).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Reading and writing twins, and queries.
    ServiceConnect,
    /// Reading identities.
    RegistryRead,
    /// Creating, changing and deleting identities.
    RegistryWrite,
}

impl Right {
    /// All that are asked about.
    pub(crate) const ALL: [Self; 3] = [Self::ServiceConnect, Self::RegistryRead, Self::RegistryWrite];
}

/// An etag that no identity has.
const NO_ETAG: &str = "\"twinctl-doctor\"";

impl HubClient {
    /// Asks, once, for something that is not there and that needs a right; an answer means that it may be asked for.
    ///
    /// The name is one that nobody has: drawn by lot, and for a deletion, whose right is that of every write, guarded by an etag
    /// that nothing has, so that nothing is deleted even if it were there.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] when the right is lacking, or the hub does not take the credentials at all; any other error says
    /// nothing about rights.
    pub(crate) async fn probe(&self, right: Right) -> Result<(), Error> {
        let (lot, more) = (getrandom::u64().unwrap_or_default(), getrandom::u64().unwrap_or_default());
        let nobody: DeviceId =
            format!("twinctl-doctor-{lot:016x}{more:016x}").parse().expect("letters, digits and hyphens are an id");
        let call = match right {
            Right::ServiceConnect => Call::new("GET", twin_path(&TwinId::device(nobody))),
            Right::RegistryRead => Call::new("GET", device_path(&nobody)),
            Right::RegistryWrite => {
                Call::new("DELETE", device_path(&nobody)).header(IF_MATCH.as_str(), HeaderValue::from_static(NO_ETAG))
            }
        };
        match self.transport().once(&call).await {
            Ok(_) | Err(Error::NotFound { .. } | Error::PreconditionFailed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns by how many seconds this machine's clock is ahead of the hub's, as the last answer told.
    pub(crate) fn clock_ahead(&self) -> Option<i64> {
        self.transport().clock_ahead()
    }
}
