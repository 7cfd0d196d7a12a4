//! The embedded hub in this process: for `--hub embedded`, and for the commands of `hub`.
//!
//! `embedded_absent.rs` stands in its place in a build without the feature `embedded`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use iothub_emulator::{Emulator, EmulatorBuilder, EmulatorClock, HubStartError, OfflineHub, Policy};
use iothub_model::wire::connection_string::ConnectionString;

use super::context::Context;
use super::outcome::{CliError, CliResult};
use crate::shell::shell_word;

/// What is said of it where no hub is named.
pub(super) const OFFER: Option<&str> =
    Some("--hub embedded:DIR: a hub inside this process that keeps its state in DIR");

/// A hub for one command.
pub(super) struct EmbeddedHub {
    hub: Emulator,
    /// By which plans know it.
    name: String,
    /// Removed with all that is in it when it goes out of scope.
    _folder: Option<tempfile::TempDir>,
}

impl EmbeddedHub {
    /// Starts a hub that keeps its state in a folder, or in a temporary one that ends with it.
    pub(super) async fn start(context: &Context, folder: Option<&Path>) -> CliResult<Self> {
        let (data, temporary): (PathBuf, _) = match folder {
            Some(folder) => (context.resolve(folder), None),
            None => {
                let folder = tempfile::Builder::new().prefix("twinctl-hub-").tempdir();
                let folder =
                    folder.map_err(|error| CliError::doing("making a temporary folder for the embedded hub", error))?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        // Made before its name is asked for, so that `.` and links have one.
        std::fs::create_dir_all(&data)
            .map_err(|error| CliError::doing(format!("making the data folder {}", data.display()), error))?;
        let name = folder.map_or_else(|| "embedded".to_owned(), |_| host_name(&data));
        // Nobody but this process asks it.
        let options = Emulator::builder().data_dir(data).host_name(name.as_str()).mqtt(None).amqp(None);
        let hub = start(context, options).await?;
        Ok(Self { hub, name, _folder: temporary })
    }

    /// Returns its owner's connection string, under the name by which plans know it.
    pub(super) fn connection(&self) -> CliResult<ConnectionString> {
        let mut connection = ConnectionString::parse(&self.hub.connection_string(Policy::IotHubOwner))?;
        // Its port is another each time; a plan made yesterday is to find the same hub today.
        connection.host = self.name.parse().map_err(CliError::from_error)?;
        Ok(connection)
    }

    /// Returns where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.hub.https_addr()
    }

    /// Returns the certificate of its authority.
    pub(super) fn ca_pem(&self) -> &str {
        self.hub.ca_pem()
    }

    /// Finishes what is under way and closes the folder.
    pub(super) async fn stop(self) {
        self.hub.stop().await;
    }
}

/// Says whether there can be such a hub.
pub(super) fn check_available() -> CliResult<()> {
    Ok(())
}

/// Returns the clock as the embedded hub reads it.
fn clock(context: &Context) -> EmulatorClock {
    let clock = context.clock.clone();
    EmulatorClock::from_fn(move || clock())
}

/// Opens the hub of a folder that nobody serves.
pub(super) fn open(context: &Context, data: &Path) -> Result<OfflineHub, HubStartError> {
    Emulator::builder().data_dir(context.resolve(data)).clock(clock(context)).open()
}

/// Starts an embedded hub in this process.
pub(super) async fn start(context: &Context, options: EmulatorBuilder) -> Result<Emulator, HubStartError> {
    // A server has more connections than the few files that a shell lets its programs open. One that may not have more works on.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    // The requests of a long run would pile up, and nobody asks for them.
    options.clock(clock(context)).request_history(0).start().await
}

/// Names an embedded hub after its folder, so that plans tell two of them apart.
fn host_name(data: &Path) -> String {
    let folder = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(48).collect();
    match name.trim_matches('-') {
        "" => "embedded".to_owned(),
        name => format!("{name}.embedded"),
    }
}

impl From<HubStartError> for CliError {
    fn from(error: HubStartError) -> Self {
        let hint = match &error {
            HubStartError::Folder { source, .. } | HubStartError::File { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(
                    "the hub keeps its devices, keys and certificates there: give a folder that can be read and written"
                        .to_owned(),
                ),
                io::ErrorKind::IsADirectory => Some("a file belongs there, not a directory".to_owned()),
                _ => None,
            },
            HubStartError::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need rights that ordinary users do not have".to_owned())
            }
            HubStartError::Damaged { path, .. } => path.parent().map(|directory| {
                format!(
                    "restore the directory from a backup, or begin anew and keep what is left: mv {} {}",
                    shell_word(directory),
                    shell_word(&free_name(directory))
                )
            }),
            HubStartError::Older { mark, .. } => Some(format!(
                "restore the directory as a whole from a backup, or accept what the store has: rm {}",
                shell_word(mark)
            )),
            HubStartError::MarkDamaged { path } => Some(format!(
                "restore the directory from a backup, or accept what the hub's store has: rm {}",
                shell_word(path)
            )),
            HubStartError::Policies { path } => {
                Some(format!("restore the file from a backup, or let the hub make new keys: rm {}", shell_word(path)))
            }
            HubStartError::AuthorityKey { path, certificate, .. } => Some(format!(
                "restore the file from a backup, or let the hub make a new authority, which clients must be told to trust: \
                 rm -f {} {}",
                shell_word(path),
                shell_word(certificate)
            )),
            HubStartError::AuthorityCertificate { path } => {
                Some(format!("let the hub write it again from its key: rm {}", shell_word(path)))
            }
            HubStartError::TlsFile { path, problem } => Some(super::tls_files::hint(path, problem)),
            _ => None,
        };
        Self::from_error(error).hint_if(hint)
    }
}

/// Returns a name beside a directory that nothing has yet.
fn free_name(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".damaged");
    while Path::new(&name).symlink_metadata().is_ok() {
        name.push("-2");
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_their_hubs() {
        for (folder, name) in
            [("/nowhere/demo", "demo.embedded"), ("/nowhere/My Hub_2", "my-hub-2.embedded"), ("/", "embedded")]
        {
            assert_eq!(host_name(Path::new(folder)), name);
        }
    }
}
