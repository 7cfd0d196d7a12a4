//! Files that are there whole or not at all.
//!
//! What is no regular file, such as `/dev/stdout` or a pipe, cannot be put in its place: that is written to as it is.

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
#[cfg(any(test, feature = "embedded"))]
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    persist(&mut tempfile::Builder::new(), path, bytes)
}

fn persist(builder: &mut tempfile::Builder<'_, '_>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Follows links: what a link leads to is written, and the link stays.
    let there = std::fs::metadata(path);
    // A stream of this process may be a file, which others go on writing to.
    let stream =
        ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd"].iter().any(|stream| path.starts_with(stream));
    if stream || there.as_ref().is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return std::fs::OpenOptions::new().append(true).open(path)?.write_all(bytes);
    }
    let path = if there.is_ok() { &path.canonicalize()? } else { path };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::metadata(folder)?;
    // Errors leave without the temporary file's name, which means nothing to anybody.
    let mut file = builder.prefix(".twinctl-").tempfile_in(folder).map_err(|error| io::Error::from(error.kind()))?;
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
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
    }

    #[test]
    fn errors_do_not_name_the_temporary_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = write(&folder.path().join("no/such/folder"), b"").expect_err("nowhere to write");
        assert!(!error.to_string().contains("twinctl-"), "{error}");
        let error = write(folder.path(), b"").expect_err("a folder");
        assert!(!error.to_string().contains("twinctl-"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_leads_to_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, plan) = (folder.path().join("link"), folder.path().join("plan.json"));
        std::fs::write(&plan, "one").expect("written");
        std::os::unix::fs::symlink("plan.json", &link).expect("a link");
        write(&link, b"two").expect("written");
        assert!(link.symlink_metadata().expect("the link").is_symlink());
        assert_eq!(std::fs::read(&plan).expect("read"), b"two");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_written_to_and_not_replaced() {
        use std::os::unix::net::UnixListener;
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        assert!(write(&socket, b"").is_err(), "a socket cannot be opened as a file");
        assert!(!socket.metadata().expect("still there").is_file());
        write(Path::new("/dev/null"), b"gone").expect("written");
        assert!(!Path::new("/dev/null").metadata().expect("still there").is_file());
    }
}
