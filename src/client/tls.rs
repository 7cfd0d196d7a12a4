//! Whom we trust to be the hub.

use std::sync::Arc;

use rustls::ClientConfig;

use super::ca_file::roots;
use super::options::SetupError;

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
