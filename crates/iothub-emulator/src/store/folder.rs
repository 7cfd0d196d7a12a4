//! The data folder: locked while it is open, its secrets readable by their owner alone.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::start_error::HubStartError;

const LOCK: &str = "lock";
const HOLDER: &str = "server.json";
/// The file of the shared access policies' keys.
pub(crate) const POLICIES: &str = "policies.json";
/// The file of the local certificate authority's certificate.
pub(crate) const CA_CERTIFICATE: &str = "ca.pem";
/// The file of the local certificate authority's key.
pub(crate) const CA_KEY: &str = "ca-key.pem";

/// A data folder that this process holds. Dropping it lets go.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Who holds a folder, as written by the holder; what is there after it is gone says where it last was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    #[serde(default)]
    pub(crate) host_name: Option<String>,
}

impl Folder {
    /// Makes the folder where it is missing, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self, HubStartError> {
        let unusable = |source| HubStartError::Folder { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(unusable)?;
        // Absolute, so that the paths which are handed out work from anywhere.
        let path = fs::canonicalize(path).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join(LOCK))
            .map_err(|source| HubStartError::File { path: path.join(LOCK), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(HubStartError::InUse { by: in_use_by(read_holder(&path).unwrap_or_default()), path })
            }
            Err(fs::TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Returns the path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns `true` if it has a file that is only made once there is a store: `mark`, which the store writes, or a key.
    pub(crate) fn had_store(&self, mark: &str) -> bool {
        let made_later = [mark, POLICIES, CA_KEY, CA_CERTIFICATE];
        made_later.iter().any(|name| fs::symlink_metadata(self.file(name)).is_ok())
    }

    /// Reads a file in it, whatever its bytes are; nothing when it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, HubStartError> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HubStartError::File { path, source }),
        }
    }

    /// Writes a file in it whole or not at all, readable by its owner alone when it is `private`.
    pub(crate) fn write(&self, name: &str, text: &str, private: bool) -> Result<(), HubStartError> {
        let path = self.file(name);
        write_whole(&self.path, &path, text, private).map_err(|source| HubStartError::File { path, source })
    }

    /// Gives a file in it another name, for good.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), HubStartError> {
        let path = self.file(to);
        let renamed = fs::rename(self.file(from), &path).and_then(|()| sync(&self.path));
        renamed.map_err(|source| HubStartError::File { path, source })
    }

    /// Opens a file in it for reading and writing, made when it is missing, readable by its owner alone.
    pub(crate) fn open_private(&self, name: &str) -> Result<File, HubStartError> {
        let path = self.file(name);
        let opened = open_private(&path).and_then(|file| sync(&self.path).map(|()| file));
        opened.map_err(|source| HubStartError::File { path, source })
    }

    /// Says who holds the folder, for those who come second.
    pub(crate) fn announce(&self, host_name: Option<&str>) -> Result<(), HubStartError> {
        let host_name = match host_name {
            Some(host_name) => Some(host_name.to_owned()),
            None => self.last_host_name(),
        };
        let holder = Holder { pid: std::process::id(), host_name };
        let text = serde_json::to_string(&holder).expect("numbers and text are JSON");
        self.write(HOLDER, &text, false)
    }

    /// Returns where the folder was last served, or is.
    pub(crate) fn last_host_name(&self) -> Option<String> {
        read_holder(&self.path)?.host_name
    }
}

fn read_holder(folder: &Path) -> Option<Holder> {
    serde_json::from_str(&fs::read_to_string(folder.join(HOLDER)).ok()?).ok()
}

fn in_use_by(holder: Holder) -> String {
    match holder {
        Holder { pid: 0, .. } => "another process".to_owned(),
        Holder { pid, host_name: None } => format!("process {pid}"),
        Holder { pid, host_name: Some(host) } => format!("process {pid}, which serves it as {host}"),
    }
}

fn write_whole(folder: &Path, path: &Path, text: &str, private: bool) -> io::Result<()> {
    // tempfile makes files that only their owner can read.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    if !private {
        set_mode(file.as_file(), 0o644)?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync(folder)
}

/// Makes the names in a folder last.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}
