//! A certificate of the user's own: read from files, and checked as clients check it, so that the hub does not start with one that they
//! would reject.

use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::pem::SectionKind;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use x509_parser::prelude::ASN1Time;
use x509_parser::prelude::FromDer;
use x509_parser::prelude::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::prelude::X509Version;

use crate::core::timestamp::timestamp;
use crate::start_error::{HubStartError, TlsFileProblem};
use iothub_model::pem;
use iothub_model::pem::PemFault;

/// A certificate of the user's own, in place of the one that the hub makes: of RSA keys, for clients that take no others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The server's certificate in PEM, and after it those between it and the authority.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The certificate of the authority that clients trust, in PEM; none for the hub's own.
    pub authority: Option<PathBuf>,
}

type TlsFileResult<T> = Result<T, TlsFileProblem>;

impl TlsFiles {
    /// Names the files of a certificate and its key, both in PEM. Clients trust the hub's own authority, which must have issued it, unless
    /// [another one](Self::with_authority) is named.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), authority: None }
    }

    /// Names the file of the authority that clients trust, in PEM.
    #[must_use]
    pub fn with_authority(mut self, path: impl Into<PathBuf>) -> Self {
        self.authority = Some(path.into());
        self
    }

    /// Reads the certificate with those after it, and its key. Clients who trust `authority` take the certificate for `name`.
    pub(crate) fn read(
        &self,
        authority: &Path,
        name: &str,
        now: OffsetDateTime,
        provider: Arc<CryptoProvider>,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), HubStartError> {
        let of = |path: &Path| {
            let path = path.to_owned();
            move |problem| HubStartError::TlsFile { path, problem }
        };
        let chain = read_certificates(&self.certificate).map_err(of(&self.certificate))?;
        let key = read_key(&self.key).map_err(of(&self.key))?;
        check_key(&chain, &key, &self.certificate, &provider).map_err(of(&self.key))?;
        let trusted = read_certificates(authority).map_err(of(authority))?.swap_remove(0);
        if self.authority.is_some() {
            check_dates(std::slice::from_ref(&trusted), now).map_err(of(authority))?;
        }
        check_dates(&chain[..1], now).map_err(of(&self.certificate))?;
        check_server(&chain[0], name).map_err(of(&self.certificate))?;
        let mut roots = RootCertStore::empty();
        roots.add(trusted).map_err(|_| of(authority)(TlsFileProblem::DamagedCertificate))?;
        check_chain(roots, authority, &chain, name, now, provider).map_err(of(&self.certificate))?;
        Ok((chain, key))
    }
}

/// A PEM file.
struct PemFile {
    sections: Vec<(SectionKind, Vec<u8>)>,
    /// What its sections are called, those of other kinds included.
    labels: Vec<String>,
    /// Has it lost line breaks. The parser passes over what it does not find at the beginning of a line.
    is_joined: bool,
}

fn read_pem(path: &Path) -> TlsFileResult<PemFile> {
    let bytes = std::fs::read(path).map_err(TlsFileProblem::Unreadable)?;
    let labels = pem::labels(&bytes);
    if labels.is_empty() && bytes.first() == Some(&0x30) {
        return Err(problem_of_der(&bytes));
    }
    match <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes).collect() {
        Ok(sections) => Ok(PemFile { sections, labels, is_joined: pem::has_lost_line_breaks(&bytes) }),
        // The older form of an encrypted key has a header within a section of the usual name.
        Err(_) if String::from_utf8_lossy(&bytes).contains("Proc-Type: 4,ENCRYPTED") => Err(TlsFileProblem::Encrypted),
        // The parser's own words have a line of the file in them, which may be all of the key.
        Err(_) => Err(TlsFileProblem::Damaged(PemFault::of(&bytes))),
    }
}

fn problem_of_der(bytes: &[u8]) -> TlsFileProblem {
    // A sequence whose length has up to three bytes, and the version of PKCS #12 as its first member.
    let is_archive = (2..=5).any(|at| bytes.get(at..at + 3) == Some(&[2, 1, 3]));
    if X509Certificate::from_der(bytes).is_ok() {
        TlsFileProblem::DerCertificate
    } else if is_archive {
        TlsFileProblem::Pkcs12
    } else if PrivateKeyDer::try_from(bytes).is_ok() {
        TlsFileProblem::DerKey
    } else {
        TlsFileProblem::Binary
    }
}

fn read_certificates(path: &Path) -> TlsFileResult<Vec<CertificateDer<'static>>> {
    let PemFile { sections, labels, is_joined } = read_pem(path)?;
    let certificates = sections.into_iter().filter(|(kind, _)| *kind == SectionKind::Certificate);
    let certificates: Vec<_> = certificates.map(|(_, der)| CertificateDer::from(der)).collect();
    match certificates.iter().all(|der| X509Certificate::from_der(der).is_ok()) {
        true if certificates.is_empty() && is_joined => Err(TlsFileProblem::Damaged(PemFault::LineBreaks)),
        true if certificates.is_empty() => Err(TlsFileProblem::NoCertificate(labels)),
        true => Ok(certificates),
        false => Err(TlsFileProblem::DamagedCertificate),
    }
}

fn read_key(path: &Path) -> TlsFileResult<PrivateKeyDer<'static>> {
    let PemFile { sections, labels, is_joined } = read_pem(path)?;
    let mut keys: Vec<PrivateKeyDer<'static>> =
        sections.into_iter().filter_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der)).collect();
    match (keys.pop(), keys.len()) {
        (None, _) if labels.iter().any(|label| label == "ENCRYPTED PRIVATE KEY") => Err(TlsFileProblem::Encrypted),
        (None, _) if is_joined => Err(TlsFileProblem::Damaged(PemFault::LineBreaks)),
        (None, _) => Err(TlsFileProblem::NoKey(labels)),
        (Some(key), 0) => Ok(key),
        (Some(_), others) => Err(TlsFileProblem::ManyKeys(others + 1)),
    }
}

fn check_key(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    certificate: &Path,
    provider: &CryptoProvider,
) -> TlsFileResult<()> {
    let signer = provider.key_provider.load_private_key(key.clone_key()).map_err(|_| TlsFileProblem::KeyKind)?;
    let public = signer.public_key().map(|key| key.to_vec());
    let certified = CertifiedKey::new(chain.to_vec(), signer);
    // rustls reads no certificate of version 1.
    let is_its_own = match (certified.keys_match(), public) {
        (Ok(()), _) => true,
        (Err(_), Some(public)) => parsed(&chain[0])?.public_key().raw == public,
        (Err(_), None) => false,
    };
    if is_its_own { Ok(()) } else { Err(TlsFileProblem::KeyOfAnother(certificate.to_owned())) }
}

fn parsed<'a>(der: &'a CertificateDer<'_>) -> TlsFileResult<X509Certificate<'a>> {
    X509Certificate::from_der(der).map(|(_, parsed)| parsed).map_err(|_| TlsFileProblem::DamagedCertificate)
}

fn check_dates(chain: &[CertificateDer<'static>], now: OffsetDateTime) -> TlsFileResult<()> {
    for der in chain {
        let certificate = parsed(der)?;
        let (subject, validity) = (certificate.subject().to_string(), certificate.validity());
        let seconds = now.unix_timestamp();
        if validity.not_after.timestamp() < seconds {
            return Err(TlsFileProblem::Expired { subject, until: shown(validity.not_after) });
        }
        if validity.not_before.timestamp() > seconds {
            return Err(TlsFileProblem::NotYet { subject, from: shown(validity.not_before), now: timestamp(now) });
        }
    }
    Ok(())
}

fn shown(time: ASN1Time) -> String {
    OffsetDateTime::from_unix_timestamp(time.timestamp()).map_or_else(|_| time.to_string(), timestamp)
}

/// Checks what is in the server's certificate itself.
fn check_server(der: &CertificateDer<'static>, name: &str) -> TlsFileResult<()> {
    let certificate = parsed(der)?;
    if certificate.version() != X509Version::V3 {
        return Err(TlsFileProblem::Version);
    }
    if certificate.is_ca() {
        return Err(TlsFileProblem::OfAuthority);
    }
    let purposes = certificate.extended_key_usage().map_err(|_| TlsFileProblem::DamagedCertificate)?;
    if purposes.is_some_and(|purposes| !purposes.value.any && !purposes.value.server_auth) {
        return Err(TlsFileProblem::Purpose);
    }
    if names_of(&certificate)?.is_empty() {
        return Err(TlsFileProblem::NoNames(name.to_owned()));
    }
    Ok(())
}

/// Returns the host names and addresses of a certificate.
fn names_of(certificate: &X509Certificate<'_>) -> TlsFileResult<Vec<String>> {
    let names = certificate.subject_alternative_name().map_err(|_| TlsFileProblem::DamagedCertificate)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    };
    Ok(names.iter().filter_map(name).collect())
}

/// Checks the certificate as a client does.
fn check_chain(
    roots: RootCertStore,
    authority: &Path,
    chain: &[CertificateDer<'static>],
    name: &str,
    now: OffsetDateTime,
    provider: Arc<CryptoProvider>,
) -> TlsFileResult<()> {
    use rustls::CertificateError::BadSignature;
    use rustls::CertificateError::NotValidForName;
    use rustls::CertificateError::NotValidForNameContext;
    use rustls::CertificateError::UnknownIssuer;
    use rustls::Error::InvalidCertificate;
    let (authority, name) = (authority.to_owned(), name.to_owned());
    let client = match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() {
        Ok(client) => client,
        Err(error) => return Err(TlsFileProblem::Rejected { authority, name, reason: error.to_string() }),
    };
    let Ok(server_name) = ServerName::try_from(name.clone()) else {
        let reason = "no certificate can be for such a name".to_owned();
        return Err(TlsFileProblem::Rejected { authority, name, reason });
    };
    let at = UnixTime::since_unix_epoch(Duration::from_secs(now.unix_timestamp().try_into().unwrap_or(0)));
    match client.verify_server_cert(&chain[0], &chain[1..], &server_name, &[], at) {
        Ok(_) => Ok(()),
        Err(InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            Err(TlsFileProblem::Name { name, names: names_of(&parsed(&chain[0])?)? })
        }
        // Another authority may have the same name.
        Err(InvalidCertificate(UnknownIssuer | BadSignature)) => Err(TlsFileProblem::Issuer { authority, name }),
        Err(error) => {
            // It may be a certificate between the server's and the authority's. One that is not needed may be expired.
            check_dates(chain, now)?;
            Err(TlsFileProblem::Rejected { authority, name, reason: error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::BasicConstraints;
    use rcgen::CertificateParams;
    use rcgen::ExtendedKeyUsagePurpose;
    use rcgen::IsCa;
    use rcgen::Issuer;
    use rcgen::KeyPair;
    use rcgen::date_time_ymd;
    use tempfile::TempDir;

    use super::*;

    struct Bench {
        folder: TempDir,
        authority: (CertificateParams, KeyPair),
        key: KeyPair,
    }

    impl Bench {
        fn new() -> Self {
            let folder = TempDir::new().expect("a temporary folder");
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority_key = KeyPair::generate().expect("a key");
            let bench = Self { folder, authority: (params, authority_key), key: KeyPair::generate().expect("a key") };
            let certificate = bench.authority.0.self_signed(&bench.authority.1).expect("a certificate");
            bench.write("ca.pem", certificate.pem());
            bench.write("key.pem", bench.key.serialize_pem());
            bench.issue(|_| ());
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) {
            std::fs::write(self.path(name), content).expect("a file");
        }

        /// Writes the certificate of the server anew.
        fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
            let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
            (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(2030, 1, 1));
            change(&mut params);
            let issuer = Issuer::from_params(&self.authority.0, &self.authority.1);
            let certificate = params.signed_by(&self.key, &issuer).expect("a certificate");
            self.write("server.pem", certificate.pem());
            certificate.der().to_vec()
        }

        /// Returns the file at fault and the problem; none if there is no problem.
        fn problem(&self, name: &str) -> Option<(String, String)> {
            let [certificate, key, authority] = ["server.pem", "key.pem", "ca.pem"].map(|name| self.path(name));
            let files = TlsFiles { certificate, key, authority: Some(authority.clone()) };
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            match files.read(&authority, name, date_time_ymd(2026, 1, 1), provider) {
                Ok(_) => None,
                Err(HubStartError::TlsFile { path, problem }) => {
                    Some((path.file_name().expect("a name").to_string_lossy().into_owned(), problem.to_string()))
                }
                Err(other) => panic!("{other:?}"),
            }
        }

        fn refuses(&self, file: &str, reason: &str) {
            let (at, problem) = self.problem("localhost").unwrap_or_else(|| panic!("it is taken: {reason}"));
            assert!(at == file && problem.contains(reason), "{reason}: {at}: {problem}");
        }
    }

    #[test]
    fn certificates_that_clients_reject() {
        let bench = Bench::new();
        assert_eq!(bench.problem("localhost"), None);
        assert_eq!(bench.problem("127.0.0.1"), None);
        let (_, problem) = bench.problem("hub.example").expect("a name of another");
        assert_eq!(problem, "clients do not take it for `hub.example`: the certificate is for localhost, 127.0.0.1");
        bench.issue(|params| params.subject_alt_names.clear());
        bench.refuses("server.pem", "no host name and no address in a subjectAltName");
        bench.issue(|params| params.not_after = date_time_ymd(2025, 6, 1));
        bench.refuses("server.pem", "expired at 2025-06-01T00:00:00");
        bench.issue(|params| params.not_before = date_time_ymd(2027, 6, 1));
        bench.refuses("server.pem", "is not valid before 2027-06-01T00:00:00");
        bench.issue(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        bench.refuses("server.pem", "CA:TRUE");
        bench.issue(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        bench.refuses("server.pem", "no serverAuth");
        let der = bench.issue(|_| ());
        bench.write("server.pem", der);
        bench.refuses("server.pem", "certificate in DER");
        bench.issue(|_| ());
        let other = CertificateParams::default().self_signed(&KeyPair::generate().expect("a key")).expect("one");
        bench.write("ca.pem", other.pem());
        bench.refuses("server.pem", "another authority issued it");
    }

    #[test]
    fn keys_that_the_hub_cannot_use() {
        let bench = Bench::new();
        let pem = bench.key.serialize_pem();
        bench.write("key.pem", KeyPair::generate().expect("a key").serialize_pem());
        bench.refuses("key.pem", "not the private key of the certificate in");
        bench.write("key.pem", format!("{pem}{}", KeyPair::generate().expect("a key").serialize_pem()));
        bench.refuses("key.pem", "there are 2 private keys in it");
        bench.write("key.pem", bench.key.serialize_der());
        bench.refuses("key.pem", "private key in DER");
        bench.write("key.pem", pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
        bench.refuses("key.pem", "is encrypted");
        let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        bench.write("key.pem", older);
        bench.refuses("key.pem", "is encrypted");
        bench.write("key.pem", std::fs::read(bench.path("server.pem")).expect("a file"));
        bench.refuses("key.pem", "there is no private key in PEM in it; it holds CERTIFICATE");
        bench.write("key.pem", "");
        bench.refuses("key.pem", "there is no private key in PEM in it");
        bench.write("key.pem", pem.replacen("\nM", "\n!", 1));
        bench.refuses("key.pem", "PEM is damaged");
        std::fs::remove_file(bench.path("key.pem")).expect("removed");
        bench.refuses("key.pem", "cannot be read");
        // One whose lines were joined, by itself and before a good certificate.
        let server = std::fs::read_to_string(bench.path("server.pem")).expect("a file");
        for joint in [" ", "\\n", ""] {
            let joined = pem.replace('\n', joint);
            for text in [joined.clone(), format!("\"{joined}\""), format!("{joined}\n{server}")] {
                bench.write("key.pem", &text);
                bench.refuses("key.pem", "its PEM is damaged: its line breaks are lost");
                let (_, problem) = bench.problem("localhost").expect("a problem");
                assert!(!problem.contains("MII") && !problem.contains("MIG") && !problem.contains('['), "{problem}");
            }
            bench.write("key.pem", &pem);
            bench.write("server.pem", server.replace('\n', joint));
            bench.refuses("server.pem", "its PEM is damaged: its line breaks are lost");
            bench.write("server.pem", &server);
        }
        // Another form of the key beside the certificate takes nothing away.
        let server = std::fs::read_to_string(bench.path("server.pem")).expect("a file");
        bench.write("key.pem", &pem);
        bench.write(
            "server.pem",
            [&server, &pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")].map(String::as_str).concat(),
        );
        assert_eq!(bench.problem("localhost"), None);
        bench.write("server.pem", server);
        // One file for both is usual.
        let both = [std::fs::read_to_string(bench.path("server.pem")).expect("a file"), pem].concat();
        bench.write("server.pem", &both);
        bench.write("key.pem", &both);
        assert_eq!(bench.problem("localhost"), None);
    }
}
