//! Whom we trust to be the hub.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::SetupError;
use iothub_model::pem::{PemFault, has_lost_line_breaks};

/// Makes the TLS side of the client, for HTTP.
pub(crate) fn config(ca_pem: Option<&[u8]>) -> Result<ClientConfig, SetupError> {
    let mut config = trust(ca_pem)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts the system's authorities, or those of `ca_pem` and no others.
///
/// Not both: whoever names the authority of a hub means that one.
pub(crate) fn trust(ca_pem: Option<&[u8]>) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3");
    Ok(match ca_pem {
        Some(pem) => {
            let roots = roots(pem).map_err(|problem| SetupError::CaFile { problem })?;
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => {
            let verifier =
                rustls_platform_verifier::Verifier::new(provider).map_err(|source| SetupError::NoRoots { source })?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
    })
}

/// Reads the authorities of a CA file. An error has no contents of the file in it.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCertStore, CaFileProblem> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let number = index + 1;
        // The parser's own words have a line of the file in them.
        let certificate = certificate.map_err(|_| CaFileProblem::Pem { number, fault: PemFault::of(pem) })?;
        roots.add(certificate).map_err(|source| CaFileProblem::Certificate { number, source })?;
    }
    match roots.is_empty() {
        true if has_lost_line_breaks(pem) => Err(CaFileProblem::Pem { number: 1, fault: PemFault::LineBreaks }),
        true => Err(CaFileProblem::Nothing),
        false => Ok(roots),
    }
}

/// What is wrong with a CA file.
#[derive(Debug, thiserror::Error)]
pub enum CaFileProblem {
    /// The PEM text is damaged.
    #[error("certificate {number}: {fault}")]
    Pem {
        /// The number of the certificate in the file, from 1 on.
        number: usize,
        /// What is wrong with the text.
        fault: PemFault,
    },
    /// A certificate cannot be that of an authority.
    #[error("certificate {number}: {source}")]
    Certificate {
        /// The number of the certificate in the file, from 1 on.
        number: usize,
        /// Why.
        source: rustls::Error,
    },
    /// There is no certificate.
    #[error("it holds no certificate; one begins with -----BEGIN CERTIFICATE-----")]
    Nothing,
}

impl CaFileProblem {
    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Pem { fault, .. } => fault.hint(),
            Self::Certificate { .. } | Self::Nothing => "it is a text file with `-----BEGIN CERTIFICATE-----` in it",
        }
    }
}
