//! Files that are there whole or not at all.

use std::io::{self, Write};
use std::path::Path;

/// Writes a file for everybody whom the user's mask allows: beside its place first, then moved there.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    persist(&mut builder, path, bytes)
}

/// Writes a file for its owner alone.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    persist(&mut tempfile::Builder::new(), path, bytes)
}

fn persist(builder: &mut tempfile::Builder<'_, '_>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = builder.prefix(".twinctl-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_whole_and_leave_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plan.json");
        write(&path, b"one").expect("written");
        write_private(&path, b"two").expect("written over");
        assert_eq!(std::fs::read(&path).expect("read"), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1);
        assert!(write(&folder.path().join("no/such/folder"), b"").is_err());
    }
}
