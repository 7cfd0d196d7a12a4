//! Why a hub does not start.

use std::path::PathBuf;

use crate::faults::FaultsError;
use iothub_model::pem::PemFault;
use iothub_model::tiers::LimitsError;

/// Why a hub did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubStartError {
    /// There is no tokio runtime to run on.
    #[error("no tokio runtime runs on this thread; start the hub from within one, or use `start_blocking`")]
    NoRuntime,
    /// A hub in memory has no folder to open.
    #[error("a hub in memory cannot be opened; name its data directory")]
    NoFolder,
    /// Nobody could trust the certificate.
    #[error(
        "the authority of a hub in memory is new each time, and has issued no certificate; name the authority of the TLS files"
    )]
    NoAuthority,
    /// The rules of the faults are wrong.
    #[error("the faults")]
    Faults(#[source] FaultsError),
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
        "the data folder {} is in use by {by}; stop that one, or ask it with its connection string",
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
        source: Box<dyn std::error::Error + Send + Sync>,
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
    /// The database is missing, or is not what this program wrote.
    #[error("the hub's store {} {problem}", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it, as in "is empty".
        problem: String,
    },
    /// The database is older than it was.
    #[error(
        "the hub's store {} has lost writes: it has {found} commits, and {} counts {counted}",
        path.display(),
        mark.display()
    )]
    Older {
        /// Its file.
        path: PathBuf,
        /// The file that counts its commits.
        mark: PathBuf,
        /// How many it has.
        found: u64,
        /// How many it had.
        counted: u64,
    },
    /// The file that counts the database's commits is not what this program wrote.
    #[error("the number of commits in {} is damaged", path.display())]
    MarkDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The file of the policies' keys is not what this program writes.
    #[error("the shared access policies in {} are damaged", path.display())]
    Policies {
        /// The file.
        path: PathBuf,
    },
    /// The key of the certificate authority is missing, or is not one.
    #[error("the key of the certificate authority in {} {problem}", path.display())]
    AuthorityKey {
        /// The file.
        path: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
        /// What is wrong with the key.
        problem: &'static str,
    },
    /// The certificate of the authority does not vouch for the hub.
    #[error("the certificate of the authority in {} is damaged, or is another key's", path.display())]
    AuthorityCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file of an Entra issuer is not one.
    #[error("the Entra issuer in {}: {reason}", path.display())]
    Issuer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No hub of the tier has so many units.
    #[error("the limits of the hub")]
    Limits(#[source] LimitsError),
    /// A certificate cannot be made or read.
    #[error("{what}")]
    Certificate {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The files of a certificate of the user's own are not what they should be.
    #[error("the TLS file {}: {problem}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: TlsFileProblem,
    },
    /// TLS cannot be set up.
    #[error("setting up TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The host name cannot stand in a connection string.
    #[error("the host name of the hub")]
    HostName(#[source] iothub_model::twin::IdError),
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
    pub(crate) fn store(path: &std::path::Path, error: impl Into<redb::Error>) -> Self {
        let error: redb::Error = error.into();
        Self::Store { path: path.to_owned(), source: error.into() }
    }

    pub(crate) fn damaged(path: &std::path::Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }
}

/// What is wrong with a file of a certificate or a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileProblem {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// The PEM text is damaged.
    #[error("its PEM is damaged: {0}")]
    Damaged(PemFault),
    /// The file is binary, and neither a certificate nor a key.
    #[error("it is binary, and the hub reads PEM")]
    Binary,
    /// The key needs a passphrase.
    #[error("the private key in it is encrypted, and the hub asks for no passphrase")]
    Encrypted,
    /// The certificate is in DER.
    #[error("it is a certificate in DER, and the hub reads PEM")]
    DerCertificate,
    /// The key is in DER.
    #[error("it is a private key in DER, and the hub reads PEM")]
    DerKey,
    /// The file is a PKCS #12 archive.
    #[error("it is a PKCS #12 archive, and the hub reads PEM")]
    Pkcs12,
    /// There is no certificate.
    #[error("there is no certificate in PEM in it{}", holds(.0))]
    NoCertificate(Vec<String>),
    /// There is no key.
    #[error("there is no private key in PEM in it{}", holds(.0))]
    NoKey(Vec<String>),
    /// There is more than one key.
    #[error("there are {0} private keys in it, and the hub takes one")]
    ManyKeys(usize),
    /// The certificate is not one.
    #[error("a certificate in it is damaged")]
    DamagedCertificate,
    /// The key is of a kind that TLS here has not.
    #[error(
        "the hub cannot use a private key of this kind; it takes RSA from 2048 bits on, ECDSA on P-256 or P-384, and Ed25519"
    )]
    KeyKind,
    /// The key is another certificate's.
    #[error("it is not the private key of the certificate in {}", .0.display())]
    KeyOfAnother(PathBuf),
    /// The certificate has no extensions, and so no names.
    #[error("the certificate is of X.509 version 1, which many clients reject")]
    Version,
    /// The certificate is an authority's.
    #[error("the certificate is an authority's (CA:TRUE), which many clients reject as a server's")]
    OfAuthority,
    /// The certificate is not for servers.
    #[error("the certificate is not for servers: its extendedKeyUsage has no serverAuth")]
    Purpose,
    /// The certificate has no names.
    #[error(
        "the certificate has no host name and no address in a subjectAltName, and clients look for `{0}` there alone, not in the subject"
    )]
    NoNames(String),
    /// The certificate has other names.
    #[error("clients do not take it for `{name}`: the certificate is for {}", .names.join(", "))]
    Name {
        /// The name that clients are told.
        name: String,
        /// The certificate's.
        names: Vec<String>,
    },
    /// The certificate, or one between it and the authority, is over.
    #[error("the certificate of `{subject}` expired at {until}")]
    Expired {
        /// Whose it is.
        subject: String,
        /// Its end.
        until: String,
    },
    /// The certificate, or one between it and the authority, is not valid yet.
    #[error("the certificate of `{subject}` is not valid before {from}, and the hub's clock shows {now}")]
    NotYet {
        /// Whose it is.
        subject: String,
        /// Its beginning.
        from: String,
        /// The time of the hub.
        now: String,
    },
    /// The certificate does not lead to the authority.
    #[error("clients that trust {} do not take it for `{name}`: another authority issued it, or a certificate between the two is missing",
        .authority.display())]
    Issuer {
        /// The file of the authority.
        authority: PathBuf,
        /// The name that clients are told.
        name: String,
    },
    /// Clients would reject it for another reason.
    #[error("clients that trust {} do not take it for `{name}`: {reason}", .authority.display())]
    Rejected {
        /// The file of the authority.
        authority: PathBuf,
        /// The name that clients are told.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Returns what a file holds in place of what was looked for.
fn holds(labels: &[String]) -> String {
    if labels.is_empty() { String::new() } else { format!("; it holds {}", labels.join(", ")) }
}
