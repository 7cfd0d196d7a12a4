//! The embedded hub: IoT Hub's service API and its devices' MQTT over a durable store, for tests, demonstrations and work
//! without a cloud.
//!
//! It never imports the manifest, the plan, the client or apply: it could as well be another program, and is meant to be as
//! strict as the real one. Read [`state::Hub`] first, a pure machine from [`command::Command`]s to answers; then
//! [`server::start`], which puts HTTPS and MQTT before it and a disk behind it. [`offline::OfflineHub`] is the same machine
//! without a listener.
//!
//! A write is answered when it is on disk, and a read when what it shows is: a crash takes back nothing that anybody has seen.
//! One sync covers all writes that wait. When the disk fails, every later write is answered with 503 `ServiceUnavailable`, as
//! is every read of what did not reach the disk, until the hub is started again; what is on disk stays readable.
//!
//! # Choices where the facts are unsure
//!
//! Twins:
//! - A fresh twin has the etag `AAAAAAAAAAE=`, root `version` 1, desired and reported `$version` 1. Each write to tags or
//!   desired adds one to the etag's counter and to root `version`; identity writes move neither.
//! - A write to tags alone leaves the desired `$version` as it is.
//! - A body that names no section (`{}`) writes nothing and moves nothing. A section that is named is written, even by `{}` or
//!   by equal values. A body of no bytes is `ArgumentNull`.
//! - PUT wipes a section that its body does not name.
//! - `$metadata` and `$version` at the root of a section are passed over, in tags too; any other key with `$` is refused.
//! - An unquoted etag in `If-Match` on a twin is passed over, and the write happens.
//! - A removed key moves the times of all objects above it, even when it was not there.
//! - Arrays count as a level of depth, and their items' bytes towards a section's size.
//! - Twins are answered with a quoted `ETag` header.
//! - Members that are not set (`statusReason`, `deviceScope`, `parentScopes`) are left out; `modelId` is the empty text.
//! - Module twins are not there yet: `DeviceNotFound`.
//!
//! Identities:
//! - A delete without `If-Match` is `PreconditionFailed` even when there is no such device.
//! - A body without `status` means `enabled`; one whose `deviceId` is not the path's is `ArgumentInvalid`.
//! - Without `authentication.type`, thumbprints mean `selfSigned`, and anything else `sas`. A thumbprint has 40 or 64
//!   hexadecimal digits.
//! - Lists are in order of creation. Module identities are not there yet.
//!
//! Devices:
//! - Every refusal at CONNECT is code 5, but for another version of MQTT, which is code 1.
//! - A token's host must be the user name's, whatever that is: clients behind a gateway or a forwarder name hubs that this
//!   one does not know. A token of a policy with DeviceConnect connects any device, whatever its authentication.
//! - A device's key does not connect its modules. Certificates count by their thumbprints, not by an authority.
//! - Whoever connects without a clean session is told that one is present. Subscriptions last until the device is deleted.
//! - Twin requests are answered without a subscription to the answers.
//! - A report that a client sends again after a lost connection is done again.
//! - A report adds one to the root `version`, and leaves the etag. `$version` in a report is refused like any key with `$`.
//! - A desired patch tells each key that was sent; one that only removes what is not there is not told at all. After a
//!   replacement it is the new document, with null for each key that is gone.
//! - `lastActivityTime` moves on connecting and on messages in either direction, at most once a second. It and the
//!   connection's state are not written to disk for their own sake; after a restart every device is disconnected.
//! - `/statistics/service` counts devices and not their modules, at once.
//! - A device that is disabled or deleted is cut; new keys cut nobody.
//! - A client that sends no CONNECT for 20 seconds is cut, as is one that does not take what is written to it for 30 seconds
//!   or has more than 4 MiB waiting.
//! - Keep alive 0 is the longest that there is, 1,767 seconds.
//! - A will must name the device's own telemetry, or CONNECT is refused. Telemetry and wills go nowhere, and no message
//!   waits for a device: purging answers 0, and needs ServiceConnect.
//! - A method's name has 1 to 100 bytes and nothing that means something in a topic. Without an answer in time, or when the
//!   connection ends before it, the call is `GatewayTimeout`. An answer that is not JSON is passed on as a text.
//! - `modelId` is not taken from the user name.
//!
//! Queries:
//! - A query that is wrong is `ArgumentInvalid` with the service's bare word `BadRequest`, and after it what is wrong, which the
//!   service does not say.
//! - 100 rows a page by default, 1,000 at most; a larger wish is cut, one that is no positive number is `ArgumentInvalid`.
//! - Answers are never stale, and rows come in order of creation. A continuation stays good while twins come and go, for
//!   the query that it was given for.
//! - `SELECT *` rows are what GET answers, `$metadata` and `deviceEtag` included.
//! - Each page of an aggregate counts anew.
//! - `devices.modules` and `devices.jobs` have no rows yet.
//!
//! Access:
//! - A token is over at the second that it names; there is no tolerance.
//! - Queries and `/statistics/service` need ServiceConnect, `/statistics/devices` RegistryRead.
//! - Entra tokens are refused with 401.
//!
//! Requests:
//! - The version is looked at first, then the token, then the body. Bodies of more than 1 MiB are `MessageTooLarge`.
//! - A path or method that is not served is 404 or 405 with the code `InvalidOperation`, so that it does not look like a device
//!   that is not there.
//! - Every refusal has its code in `iothub-errorcode` and in `IotHubErrorCode`.

use std::path::PathBuf;
use std::sync::Arc;

mod access;
mod ca;
mod client_certificate;
pub mod command;
pub mod device;
mod folder;
mod identity;
mod links;
mod live;
mod methods;
mod mqtt;
pub mod offline;
mod request_log;
pub mod server;
mod service;
pub mod session;
pub mod state;
mod store;
#[cfg(test)]
mod tests;
mod timestamp;
mod twin;

pub use offline::OfflineHub;
pub use request_log::{RequestObserver, RequestRecord};
pub use server::{ConnectionStrings, HubOptions, Ready, RunningHub, start};

/// Where the hub has its time from.
pub type Clock = Arc<dyn Fn() -> time::OffsetDateTime + Send + Sync>;

/// Why a hub did not start.
#[derive(Debug, thiserror::Error)]
pub enum HubStartError {
    /// The data folder cannot be made, read or locked.
    #[error("opening the data folder {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the data folder open.
    #[error(
        "the data folder {} is in use by {by}; stop that one, or ask it with `--hub` or its connection string",
        path.display()
    )]
    InUse {
        /// Which folder.
        path: PathBuf,
        /// Who, and where it is reached.
        by: String,
    },
    /// A file that cannot be read or written.
    #[error("opening or writing the file {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database does not open.
    #[error("opening the hub's store {}", path.display())]
    Store {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// The database was written by another version of this program.
    #[error("the hub's store {} has the format {found}, and this version knows {known}; use the version that wrote it", path.display())]
    Format {
        /// Its file.
        path: PathBuf,
        /// The format that it has.
        found: u64,
        /// The one that is known.
        known: u64,
    },
    /// A device in the database that is not what this program writes.
    #[error("reading device {sequence} of the hub's store {}", path.display())]
    Record {
        /// The store's file.
        path: PathBuf,
        /// The device's place in the order of creation.
        sequence: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The file of the policies' keys is not what this program writes.
    #[error("the shared access policies in {} are damaged; remove the file to get new keys", path.display())]
    Policies {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be made or read.
    #[error("{what}")]
    Certificate {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// TLS cannot be set up.
    #[error("setting up TLS")]
    Tls(#[source] rustls::Error),
    /// The host name cannot stand in a connection string.
    #[error("the host name of the hub")]
    HostName(#[source] crate::twin::IdError),
    /// The address cannot be listened on.
    #[error("listening on {address}{}", if source.kind() == std::io::ErrorKind::AddrInUse { ", which another process has; choose another port, or 0 for a free one" } else { "" })]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No thread for the store.
    #[error("starting the store's thread")]
    Thread(#[source] std::io::Error),
    /// No random numbers for keys.
    #[error("the system gives no random numbers for keys")]
    Random,
}

impl HubStartError {
    fn store(path: &std::path::Path, error: impl Into<redb::Error>) -> Self {
        Self::Store { path: path.to_owned(), source: Box::new(error.into()) }
    }
}
