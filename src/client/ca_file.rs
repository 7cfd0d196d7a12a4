//! The file of the authorities that a user trusts: what is in it, and what is wrong with it.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use iothub_model::pem::{PemFault, has_lost_line_breaks};

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
