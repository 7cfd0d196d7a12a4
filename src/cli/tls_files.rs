//! What to do about a certificate or a key that `twinctl hub serve` does not take.

use std::path::{Path, PathBuf};

use crate::shell::shell_word;
use iothub_emulator::TlsFileProblem;
use iothub_model::pem::PemFault;

/// Returns the next step after a problem with a file.
pub(super) fn hint(path: &Path, problem: &TlsFileProblem) -> String {
    let file = shell_word(path);
    let made = |suffix: &str| {
        let mut made = path.as_os_str().to_owned();
        made.push(suffix);
        shell_word(&PathBuf::from(made))
    };
    match problem {
        TlsFileProblem::Unreadable(_) => {
            "give a file that can be read; --tls-cert, --tls-key and --tls-ca take PEM".to_owned()
        }
        TlsFileProblem::Damaged(fault) => fault.hint().to_owned(),
        TlsFileProblem::Binary | TlsFileProblem::DamagedCertificate => PemFault::Base64.hint().to_owned(),
        TlsFileProblem::Encrypted => {
            let out = made(".decrypted");
            format!("decrypt it, and give the new file in its place: openssl pkey -in {file} -out {out}")
        }
        TlsFileProblem::DerCertificate => {
            format!(
                "convert it, and give the new file in its place: openssl x509 -inform DER -in {file} -out {}",
                made(".pem")
            )
        }
        TlsFileProblem::DerKey => {
            format!(
                "convert it, and give the new file in its place: openssl pkey -inform DER -in {file} -out {}",
                made(".pem")
            )
        }
        TlsFileProblem::Pkcs12 => {
            let out = made(".pem");
            format!(
                "convert it, and give the new file as --tls-cert and as --tls-key: openssl pkcs12 -in {file} -nodes -out {out}"
            )
        }
        TlsFileProblem::NoCertificate(_) => "give the file that has -----BEGIN CERTIFICATE----- in it".to_owned(),
        TlsFileProblem::NoKey(_) => "give the file as --tls-key that has -----BEGIN PRIVATE KEY----- in it".to_owned(),
        TlsFileProblem::ManyKeys(_) => {
            let out = made(".first");
            format!(
                "leave the certificate's own key alone in the file; this writes the first one to another file: openssl pkey -in {file} -out {out}"
            )
        }
        TlsFileProblem::KeyKind => {
            "make another key, and have the certificate issued for it: openssl genrsa -out server-key.pem 2048"
                .to_owned()
        }
        TlsFileProblem::KeyOfAnother(certificate) => format!(
            "find the two files that belong together; these print the same for them: openssl x509 -noout -pubkey -in {}; \
             openssl pkey -pubout -in {file}",
            shell_word(certificate)
        ),
        TlsFileProblem::Version
        | TlsFileProblem::OfAuthority
        | TlsFileProblem::Purpose
        | TlsFileProblem::NoNames(_) => {
            "have the certificate issued again, with -extfile of `openssl x509 -req` and a file with a line like \
             subjectAltName=DNS:localhost,IP:127.0.0.1; docs/hub.md has the commands"
                .to_owned()
        }
        TlsFileProblem::Name { name, names } => match names.iter().find(|name| !name.starts_with('*')) {
            Some(other) => format!(
                "have the certificate issued for `{name}` too, or let clients be told a name that it has: --host-name {}",
                shell_word(Path::new(other))
            ),
            None => format!("have the certificate issued for `{name}` too"),
        },
        TlsFileProblem::Expired { .. } => {
            format!("have it issued again, and look at its dates: openssl x509 -noout -dates -in {file}")
        }
        TlsFileProblem::NotYet { .. } => {
            format!("set the clock right, or wait; its dates: openssl x509 -noout -dates -in {file}")
        }
        TlsFileProblem::Issuer { .. } => format!(
            "give the certificate of the authority as --tls-ca, and append those between to the file; its issuer: \
             openssl x509 -noout -issuer -in {file}"
        ),
        TlsFileProblem::Rejected { .. } => format!("look at the certificate: openssl x509 -noout -text -in {file}"),
    }
}
