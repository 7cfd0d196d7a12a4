//! The embedded hub: IoT Hub's service API over a durable store, for tests, demonstrations and work without a cloud.
//!
//! It never imports the manifest, the plan, the client or apply: it could as well be another program, and is meant to be as
//! strict as the real one. Read [`state::Hub`] first, a pure machine from [`command::Command`]s to answers; then
//! [`server::start`], which puts HTTPS before it and a disk behind it. [`offline::OfflineHub`] is the same machine without a
//! listener.
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
//! - Module twins have the members of device twins; their `status` is always `enabled`, whatever their device's.
//!
//! Identities:
//! - A delete without `If-Match` is `PreconditionFailed` even when there is no such device.
//! - A body without `status` means `enabled`; one whose `deviceId` is not the path's is `ArgumentInvalid`.
//! - Without `authentication.type`, thumbprints mean `selfSigned`, and anything else `sas`. A thumbprint has 40 or 64
//!   hexadecimal digits.
//! - Lists are in order of creation.
//! - Any operation on the module identities of a device that is missing or disabled is 401 `IotHubUnauthorizedAccess`, whatever
//!   the credentials. A missing module, and one that is there already, are told by number (`errorCode`) in the body. A 51st
//!   module is `TooManyModulesOnDevice` (413).
//!
//! Bulk (`POST /devices`):
//! - An empty body, an entry without `importMode`, one whose mode is for import jobs only, and an id that comes twice refuse the
//!   whole request. An id that is none fails its entry alone.
//! - `updateTwin` merges; a stale `twinETag` or `eTag`, or none where it is compared, is `PreconditionFailed`.
//! - Modes that make or replace an identity merge the tags and desired properties that the entry names into the twin as well.
//!   When a new twin's are refused, the device is there all the same, with the warning `DeviceRegisteredWithoutTwin`.
//! - `properties.reported` and `$metadata` are passed over.
//!
//! Configurations:
//! - A target condition that is empty or left out targets nobody. Besides `deviceId`, `moduleId`, `tags` and
//!   `properties.reported` it may name nothing. Conditions on modules go with `moduleContent`, all others with the rest.
//! - Of two configurations that write one path, or one through the other's, the higher priority wins, and of equal ones the
//!   younger. The others' remaining paths are written all the same. A configuration that lost a path, or that a twin has no room
//!   for, has the status `Targeted` there, and else `Applied`.
//! - A value is put in the place of what is there, keys that it does not name included. What is there already is not written.
//! - Statuses move neither etag nor version, and are left out where there are none. When a twin leaves the target, or the
//!   configuration goes, what was written stays.
//! - A custom metric is the number of rows of its query, which is no aggregate. `results` are empty until an evaluation.
//! - `modulesContent` is kept and its targets counted; nothing carries it out.
//! - Evaluations are a second after a change and five minutes after the last one.
//! - An update passes `content` and `schemaVersion` over; labels, condition, priority and metrics that it leaves out are as new.
//!
//! Queries:
//! - A query that is wrong is `ArgumentInvalid` with the service's bare word `BadRequest`, and after it what is wrong, which the
//!   service does not say.
//! - 100 rows a page by default, 1,000 at most; a larger wish is cut, one that is no positive number is `ArgumentInvalid`.
//! - Answers are never stale, and rows come in order of creation. A continuation stays good while twins come and go, for
//!   the query that it was given for.
//! - `SELECT *` rows are what GET answers, `$metadata` and `deviceEtag` included.
//! - Each page of an aggregate counts anew.
//! - `devices.jobs` has no rows yet.
//!
//! Access:
//! - A token is over at the second that it names; there is no tolerance.
//! - Configurations need RegistryRead, RegistryWrite and ServiceConnect together.
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
mod background;
mod bulk;
mod ca;
pub mod command;
pub mod configurations;
pub mod device;
mod folder;
mod identity;
mod live;
pub mod modules;
pub mod offline;
mod request_log;
pub mod server;
mod service;
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
    /// A device, or something else, in the database that is not what this program writes.
    #[error("reading {what} {key} of the hub's store {}", path.display())]
    Record {
        /// The store's file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// Its place in the order of creation.
        key: u64,
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
