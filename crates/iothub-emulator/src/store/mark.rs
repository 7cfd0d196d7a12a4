//! How many commits the store has had, in a file of its own beside it.
//!
//! The file is written after each commit and is not synced, so that it never counts more commits than are on disk. A store
//! that has fewer commits has lost some: it was damaged, or an older copy was put in its place. A store without the file is
//! taken as it is, as one that an older version of this program wrote.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;

use crate::start_error::HubStartError;
use crate::store::folder::Folder;
use crate::store::records::checksum;

pub(crate) const FILE: &str = "hub.commits";

/// The open file.
#[derive(Debug)]
pub(crate) struct Mark(File);

impl Mark {
    /// Returns the number that the file of a directory has, or `None` if there is no file.
    pub(crate) fn read(folder: &Folder) -> Result<Option<u64>, HubStartError> {
        let Some(text) = folder.read(FILE)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| HubStartError::MarkDamaged { path: folder.file(FILE) })
    }

    /// Opens the file of a directory, with this number.
    pub(crate) fn open(folder: &Folder, commits: u64) -> Result<Self, HubStartError> {
        folder.write(FILE, &text(commits), false)?;
        let path = folder.file(FILE);
        let file = OpenOptions::new().write(true).open(&path);
        file.map(Self).map_err(|source| HubStartError::File { path, source })
    }

    /// Writes another number. A number that is not written does no harm: it is smaller than it could be.
    pub(crate) fn set(&mut self, commits: u64) {
        let _: io::Result<()> =
            self.0.seek(SeekFrom::Start(0)).and_then(|_| self.0.write_all(text(commits).as_bytes()));
    }
}

/// The text of a number; as long for each of them, so that it is written over in one piece.
fn text(commits: u64) -> String {
    format!("commits {commits:020} {:016x}\n", checksum(&[&commits.to_le_bytes()]))
}

fn parse(found: &str) -> Option<u64> {
    let commits = found.split(' ').nth(1)?.parse().ok()?;
    (found == text(commits)).then_some(commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for commits in [0, 1, u64::MAX] {
            let text = text(commits);
            assert_eq!(parse(&text), Some(commits));
            for at in 0..text.len() {
                let mut damaged = text.clone().into_bytes();
                damaged[at] ^= 1;
                assert_eq!(parse(&String::from_utf8_lossy(&damaged)), None, "{at}");
                assert_eq!(parse(&text[..at]), None, "{at}");
            }
        }
    }
}
