//! The local certificate authority: made at first start, kept in the data folder, trusted by whoever is given its file.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use super::HubStartError;
use super::client_certificate::AnyCertificate;
use super::folder::Folder;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";

/// The authority's certificate file and its key.
pub(super) struct Authority {
    file: PathBuf,
    key: KeyPair,
}

impl Authority {
    /// Opens the authority of a folder, made when it is missing.
    pub(super) fn open(folder: &Folder) -> Result<Self, HubStartError> {
        let file = folder.file(CERTIFICATE);
        if let Some(pem) = folder.read(KEY)? {
            let key = KeyPair::from_pem(&pem)
                .map_err(|source| HubStartError::Certificate { what: "reading the authority's key", source })?;
            if folder.read(CERTIFICATE)?.is_none() {
                // Whoever removed it gets another one of the same key and name.
                write_certificate(folder, &key)?;
            }
            return Ok(Self { file, key });
        }
        let key = KeyPair::generate()
            .map_err(|source| HubStartError::Certificate { what: "making the authority's key", source })?;
        write_certificate(folder, &key)?;
        folder.write(KEY, &key.serialize_pem(), true)?;
        Ok(Self { file, key })
    }

    /// Returns the path of the certificate, in PEM, that clients are to trust.
    pub(super) fn file(&self) -> &PathBuf {
        &self.file
    }

    /// Makes a certificate for the names, and the TLS configuration that shows it: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub(super) fn server_config(&self, names: &[String]) -> Result<ServerConfig, HubStartError> {
        let failed = |source| HubStartError::Certificate { what: "making the server's certificate", source };
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
        let authority = authority_params(&self.key);
        let certificate = params.signed_by(&key, &Issuer::from_params(&authority, &self.key)).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = Arc::new(AnyCertificate(provider.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .and_then(|config| {
                let config = config.with_client_cert_verifier(clients);
                config.with_single_cert(vec![certificate.der().clone()], key)
            })
            .map_err(HubStartError::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn write_certificate(folder: &Folder, key: &KeyPair) -> Result<(), HubStartError> {
    let certificate = authority_params(key)
        .self_signed(key)
        .map_err(|source| HubStartError::Certificate { what: "making the authority's certificate", source })?;
    folder.write(CERTIFICATE, &certificate.pem(), false)
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
