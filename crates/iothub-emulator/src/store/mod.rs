//! What makes an answer true after a crash: devices and all else on disk, and the thread that puts them there.
//!
//! Changes go to one thread in the order in which the hub made them. It takes all that are waiting, writes them in one
//! transaction, syncs once, and says how far it has come ([`Committer`]); every answer waits until what it shows is on disk.
//!
//! When a transaction fails (a full disk, say) the store stops for good: what is on disk stays readable, and whatever would
//! show or make something newer is refused until the hub is started again.
//!
//! Each record has a checksum, and the store counts its records ([`contents::Totals`]) and, in a file of its own, its commits
//! ([`mark`]). A store that does not match all of them is not opened, and stays as it is. A new store is made under another
//! name, so that an empty or missing file is a store that was lost as soon as the directory has any of the files that are
//! made after it ([`Folder::had_store`]).

// In reading order: a module uses those above it, and none below.
pub(crate) mod failure;
pub(crate) mod committer;
pub(crate) mod folder;
pub(crate) mod overlay;
pub(crate) mod quietly;
pub(crate) mod records;
pub(crate) mod contents;
pub(crate) mod mark;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;

use redb::Database;
use redb::StorageBackend;
use redb::backends::FileBackend;

pub(crate) use committer::Committer;
use contents::Contents;
use contents::Rejected;
use contents::Totals;
pub(crate) use failure::Failure;
use mark::Mark;
use quietly::quietly;
pub(crate) use records::Table;
pub(crate) use records::encode;
use records::seal;
use records::sealed_checksum;

use crate::core::record::{Change, Record};
use crate::core::state::Hub;
use crate::start_error::HubStartError;
use crate::store::folder::Folder;

const FILE: &str = "hub.redb";
/// A store that is being made.
const NEW_FILE: &str = "hub.redb.new";

/// The devices on disk.
pub(crate) struct Store {
    /// `None` after a panic of the database, and while the store is dropped.
    database: Option<Database>,
    totals: Totals,
    mark: Mark,
    /// Held until the last write is done.
    _folder: Arc<Folder>,
}

impl Store {
    /// Opens the store of a directory, made when the directory is new, with the hub that it holds.
    pub(crate) fn open(folder: Arc<Folder>) -> Result<(Self, Hub), HubStartError> {
        let path = folder.file(FILE);
        match fs::metadata(&path) {
            Ok(file) if !file.is_file() => return Err(HubStartError::damaged(&path, "is not a file")),
            Ok(file) if file.len() == 0 => return Err(HubStartError::damaged(&path, "is empty")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if folder.had_store(mark::FILE) {
                    return Err(HubStartError::damaged(&path, "is missing"));
                }
                create(&folder)?;
            }
            Err(source) => return Err(HubStartError::File { path, source }),
        }
        let backend = || Ok(FileBackend::new(folder.open_private(FILE)?));
        Self::on(folder.clone(), || backend()?.map_err(|error| HubStartError::store(&path, error)))
    }

    fn on<B: StorageBackend>(
        folder: Arc<Folder>,
        backend: impl Fn() -> Result<B, HubStartError>,
    ) -> Result<(Self, Hub), HubStartError> {
        let path = folder.file(FILE);
        let rejected = |rejected: Rejected| rejected.at(&path);
        let mut contents = contents::read(backend()?).map_err(rejected)?;
        if let Some(counted) = Mark::read(&folder)?
            && counted > contents.totals.commits
        {
            let found = contents.totals.commits;
            return Err(HubStartError::Older { path, mark: folder.file(mark::FILE), found, counted });
        }
        let database = contents::open_for_writing(backend()?, &mut contents).map_err(rejected)?;
        let Contents { totals, records, .. } = contents;
        let mark = Mark::open(&folder, totals.commits)?;
        let hub = Hub::restore(records, totals.last_sequence);
        Ok((Self { database: Some(database), totals, mark, _folder: folder }, hub))
    }

    /// Writes changes in one transaction, and returns when it is on disk.
    pub(crate) fn commit(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let Some(database) = &self.database else { return Err("the database has failed before".into()) };
        // Of several changes to one thing the last is all that matters.
        let records = changes.iter().flat_map(|change| &change.records);
        let last: BTreeMap<(Table, u64), &Record> = records.map(|record| (Table::of(record), record)).collect();
        match quietly(|| write(database, self.totals, &last)) {
            Some(Ok(totals)) => self.totals = totals,
            Some(Err(error)) => return Err(error.to_string().into()),
            None => {
                self.close();
                return Err("the file was changed by another program, or is damaged".into());
            }
        }
        self.mark.set(self.totals.commits);
        Ok(())
    }

    fn close(&mut self) {
        let database = self.database.take();
        // What it has to write is written, or will be repaired at the next start.
        let _ = quietly(|| drop(database));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes the store of a new directory, whole or not at all.
fn create(folder: &Folder) -> Result<(), HubStartError> {
    let path = folder.file(NEW_FILE);
    let failed = |error| HubStartError::store(&path, error);
    let file = folder.open_private(NEW_FILE)?;
    // A first start may have ended here before.
    file.set_len(0).map_err(|source| HubStartError::File { path: path.clone(), source })?;
    let backend = FileBackend::new(file).map_err(failed)?;
    contents::create(backend).map_err(|rejected| rejected.at(&path))?;
    folder.rename(NEW_FILE, FILE)
}

fn write(
    database: &Database,
    mut totals: Totals,
    records: &BTreeMap<(Table, u64), &Record>,
) -> Result<Totals, redb::Error> {
    let transaction = database.begin_write()?;
    for table in Table::ALL {
        let mut of_table = records.range((table, 0)..=(table, u64::MAX)).peekable();
        if of_table.peek().is_none() {
            continue;
        }
        let mut open = transaction.open_table(table.definition())?;
        for (&(_, key), record) in of_table {
            let before = match encode(record).map(|record| seal(table, key, &record)) {
                Some(sealed) => {
                    totals.add(sealed_checksum(&sealed));
                    open.insert(key, sealed.as_slice())?
                }
                None => open.remove(key)?,
            };
            if let Some(before) = before {
                totals.subtract(sealed_checksum(before.value()));
            }
        }
    }
    let newest = records.keys().map(|(_, key)| *key).max().unwrap_or(0);
    totals.last_sequence = totals.last_sequence.max(newest);
    totals.commits += 1;
    totals.write(&transaction)?;
    transaction.commit()?;
    Ok(totals)
}
