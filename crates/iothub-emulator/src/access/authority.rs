//! The local certificate authority: made at first start, kept in the data folder, trusted by whoever is given its file.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::BasicConstraints;
use rcgen::Certificate;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::SanType;
use rcgen::date_time_ymd;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use sha2::Digest;
use sha2::Sha256;

use crate::access::client_certificate::AnyCertificate;
use crate::access::tls_files::TlsFiles;
use crate::start_error::HubStartError;
use crate::store::folder::{CA_CERTIFICATE, CA_KEY, Folder};

/// The authority's certificate, with the file that it is in, and its key.
pub(crate) struct Authority {
    file: Option<PathBuf>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    /// Opens the authority of a folder, made when it is missing.
    pub(crate) fn open(folder: &Folder) -> Result<Self, HubStartError> {
        let file = folder.file(CA_CERTIFICATE);
        let bad_key =
            |problem| HubStartError::AuthorityKey { path: folder.file(CA_KEY), certificate: file.clone(), problem };
        let (key, pem) = match (folder.read(CA_KEY)?, folder.read(CA_CERTIFICATE)?) {
            (Some(pem), certificate) => {
                let key = KeyPair::from_pem(&pem).map_err(|_| bad_key("is damaged"))?;
                let pem = match certificate {
                    Some(pem) if !vouches(&pem, &key)? => {
                        return Err(HubStartError::AuthorityCertificate { path: file });
                    }
                    Some(pem) => pem,
                    // Whoever removed it gets another one of the same key and name.
                    None => write_certificate(folder, &key)?,
                };
                (key, pem)
            }
            // The key is written first.
            (None, Some(_)) => return Err(bad_key("is missing")),
            (None, None) => {
                let key = new_key()?;
                folder.write(CA_KEY, &key.serialize_pem(), true)?;
                let pem = write_certificate(folder, &key)?;
                (key, pem)
            }
        };
        Ok(Self { file: Some(file), pem, key })
    }

    /// Makes an authority that is kept nowhere.
    pub(crate) fn new() -> Result<Self, HubStartError> {
        let key = new_key()?;
        Ok(Self { file: None, pem: certificate(&key)?, key })
    }

    /// Returns the path of the certificate, in PEM, that clients are to trust; `None` when it is in no file.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Returns that certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes a certificate for the names, unless there is one in files, and the TLS configuration that shows it: TLS 1.2 and 1.3,
    /// HTTP/2 and HTTP/1.1.
    pub(crate) fn server_config(
        &self,
        names: &[String],
        files: Option<&TlsFiles>,
        now: time::OffsetDateTime,
    ) -> Result<ServerConfig, HubStartError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (chain, key) = match files {
            None => {
                let (certificate, key) = server_certificate(&self.key, names)?;
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                (vec![certificate.der().clone()], key)
            }
            // The first name is the one that clients are told.
            Some(files) => {
                let authority = files.authority.as_ref().or(self.file.as_ref()).ok_or(HubStartError::NoAuthority)?;
                let name = names.first().map_or("localhost", String::as_str);
                files.read(authority, name, now, provider.clone())?
            }
        };
        let clients = Arc::new(AnyCertificate(provider.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .and_then(|config| {
                let config = config.with_client_cert_verifier(clients);
                config.with_single_cert(chain, key)
            })
            .map_err(|error| HubStartError::Tls(Box::new(error)))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Makes a key for the server, and its certificate for the names.
fn server_certificate(authority: &KeyPair, names: &[String]) -> Result<(Certificate, KeyPair), HubStartError> {
    let failed = |source: rcgen::Error| HubStartError::Certificate {
        what: "making the server's certificate",
        source: source.into(),
    };
    let mut params = CertificateParams::default();
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into().map_err(failed)?),
        });
    }
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "twinctl embedded hub");
    (params.not_before, params.not_after) = validity();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(failed)?;
    let issuer = authority_params(authority);
    let certificate = params.signed_by(&key, &Issuer::from_params(&issuer, authority)).map_err(failed)?;
    Ok((certificate, key))
}

/// Returns `true` if a client that trusts the authority's certificate takes a server whose certificate the key has signed.
fn vouches(authority: &str, key: &KeyPair) -> Result<bool, HubStartError> {
    const NAME: &str = "localhost";
    let Ok(authority) = CertificateDer::from_pem_slice(authority.as_bytes()) else { return Ok(false) };
    let mut roots = RootCertStore::empty();
    if roots.add(authority).is_err() {
        return Ok(false);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let Ok(client) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
        return Ok(false);
    };
    let (server, _) = server_certificate(key, &[NAME.to_owned()])?;
    let name = ServerName::try_from(NAME).expect("a host name");
    // A time at which both are valid: clients judge by their own clocks.
    let (from, _) = validity();
    let now = u64::try_from((from + time::Duration::DAY).unix_timestamp()).expect("after 1970");
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    Ok(client.verify_server_cert(server.der(), &[], &name, &[], now).is_ok())
}

fn new_key() -> Result<KeyPair, HubStartError> {
    let what = "making the authority's key";
    KeyPair::generate().map_err(|source| HubStartError::Certificate { what, source: source.into() })
}

/// Returns the authority's certificate in PEM.
fn certificate(key: &KeyPair) -> Result<String, HubStartError> {
    let what = "making the authority's certificate";
    let made = authority_params(key).self_signed(key);
    Ok(made.map_err(|source| HubStartError::Certificate { what, source: source.into() })?.pem())
}

fn write_certificate(folder: &Folder, key: &KeyPair) -> Result<String, HubStartError> {
    let pem = certificate(key)?;
    folder.write(CA_CERTIFICATE, &pem, false)?;
    Ok(pem)
}

/// The authority's certificate, as far as it follows from its key: what it signs names its issuer by this.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = Sha256::digest(key.public_key_raw());
    let name: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = rcgen::DistinguishedName::new();
    // The key's digest in the name keeps the authorities of two folders apart in one trust store.
    params.distinguished_name.push(DnType::CommonName, format!("twinctl embedded hub CA {name}"));
    (params.not_before, params.not_after) = validity();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// From the past to the far future, whatever the hub's clock says: clients judge certificates by their own clocks, and a hub
/// that runs with a clock of its choosing must be reachable all the same.
fn validity() -> (time::OffsetDateTime, time::OffsetDateTime) {
    (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1))
}
