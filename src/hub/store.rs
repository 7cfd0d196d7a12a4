//! What makes an answer true after a crash: the devices on disk, and the thread that puts them there.
//!
//! Changes go to one thread in the order in which the hub made them. It takes all that are waiting, writes them in one
//! transaction, syncs once, and says how far it has come ([`Durable`]); every answer waits until what it shows is on disk.
//!
//! When a transaction fails (a full disk, say) the store stops for good: what is on disk stays readable, and whatever would
//! show or make something newer is refused until the hub is started again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use tokio::sync::watch;

use super::HubStartError;
use super::command::Change;
use super::device::Device;
use super::folder::Folder;
use super::state::Hub;

const FILE: &str = "hub.redb";
/// A device by its place in the order of creation.
const DEVICES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("devices");
/// Numbers of the store's own.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const FORMAT: &str = "format";
const LAST_SEQUENCE: &str = "last sequence";
const FORMAT_VERSION: u64 = 1;
/// What the database may keep in memory; the hub has all devices in memory itself.
const CACHE_BYTES: usize = 16 << 20;
/// Changes in one transaction, at most.
const BATCH: usize = 4096;

/// The devices on disk.
pub(super) struct Store {
    database: Database,
    last_sequence: u64,
    /// Held until the last write is done.
    _folder: Folder,
}

/// Why the store failed, to be told many.
pub(super) type Failure = Arc<str>;

impl Store {
    /// Opens the store of a folder, made when it is missing, with the hub that it holds.
    pub(super) fn open(folder: Folder) -> Result<(Self, Hub), HubStartError> {
        let path = folder.file(FILE);
        let file = FileBackend::new(folder.open_private(FILE)?).map_err(|error| HubStartError::store(&path, error))?;
        Self::on(folder, path, file)
    }

    fn on(folder: Folder, path: PathBuf, backend: impl StorageBackend) -> Result<(Self, Hub), HubStartError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        let database = database.map_err(|error| HubStartError::store(&path, error))?;
        let read = read(&database).map_err(|error| HubStartError::store(&path, error))?;
        let Read { format, last_sequence, records } = read;
        if format != FORMAT_VERSION {
            return Err(HubStartError::Format { path, found: format, known: FORMAT_VERSION });
        }
        let mut devices = Vec::with_capacity(records.len());
        for (sequence, record) in records {
            let device = Device::from_record(sequence, &record);
            devices.push(device.map_err(|source| HubStartError::Record { path: path.clone(), sequence, source })?);
        }
        let hub = Hub::restore(devices, last_sequence);
        Ok((Self { database, last_sequence, _folder: folder }, hub))
    }

    /// Writes changes in one transaction, and returns when it is on disk.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(), Failure> {
        // Of several changes to one device the last is all that matters.
        let last: BTreeMap<u64, &Change> = changes.iter().map(|change| (change.sequence, change)).collect();
        self.write(&last).map_err(|error| error.to_string().into())
    }

    fn write(&mut self, changes: &BTreeMap<u64, &Change>) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut devices = transaction.open_table(DEVICES)?;
            for (sequence, change) in changes {
                match &change.device {
                    Some(device) => devices.insert(sequence, device.to_record().as_slice())?,
                    None => devices.remove(sequence)?,
                };
            }
            let newest = changes.keys().next_back().copied().unwrap_or(0);
            if newest > self.last_sequence {
                transaction.open_table(NUMBERS)?.insert(LAST_SEQUENCE, newest)?;
                self.last_sequence = newest;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

struct Read {
    format: u64,
    last_sequence: u64,
    records: Vec<(u64, Vec<u8>)>,
}

fn read(database: &Database) -> Result<Read, redb::Error> {
    let transaction = database.begin_read()?;
    let numbers = match transaction.open_table(NUMBERS) {
        Ok(numbers) => numbers,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            let transaction = database.begin_write()?;
            transaction.open_table(NUMBERS)?.insert(FORMAT, FORMAT_VERSION)?;
            transaction.open_table(DEVICES)?;
            transaction.commit()?;
            return Ok(Read { format: FORMAT_VERSION, last_sequence: 0, records: Vec::new() });
        }
        Err(error) => return Err(error.into()),
    };
    let number = |name| Ok::<_, redb::Error>(numbers.get(name)?.map_or(0, |number| number.value()));
    let mut records = Vec::new();
    let format = number(FORMAT)?;
    if format == FORMAT_VERSION {
        for entry in transaction.open_table(DEVICES)?.iter()? {
            let (sequence, record) = entry?;
            records.push((sequence.value(), record.value().to_vec()));
        }
    }
    Ok(Read { format, last_sequence: number(LAST_SEQUENCE)?, records })
}

/// How far the store has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Durable {
    /// Every change up to this revision is on disk.
    pub(super) through: u64,
    /// Why nothing more will be.
    pub(super) failure: Option<Failure>,
}

/// The thread that writes, and the way to it.
pub(super) struct Committer {
    queue: Option<mpsc::Sender<Change>>,
    durable: watch::Receiver<Durable>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread, which owns the store until the committer is dropped.
    pub(super) fn start(store: Store) -> std::io::Result<Self> {
        let (queue, changes) = mpsc::channel();
        let (progress, durable) = watch::channel(Durable::default());
        let thread = std::thread::Builder::new()
            .name("hub store".to_owned())
            .spawn(move || commit_all(store, &changes, &progress))?;
        Ok(Self { queue: Some(queue), durable, thread: Some(thread) })
    }

    /// Hands a change over. Must be called in the order of revisions.
    pub(super) fn submit(&self, change: Change) {
        // When the thread is gone, whoever waits for the change hears of it in `wait`.
        let _ = self.queue.as_ref().map(|queue| queue.send(change));
    }

    /// Returns why the store has stopped, when it has.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.durable.borrow().failure.clone()
    }

    /// Waits until a revision is on disk.
    pub(super) async fn wait(&self, revision: u64) -> Result<(), Failure> {
        let mut durable = self.durable.clone();
        let outcome = durable.wait_for(|durable| durable.through >= revision || durable.failure.is_some()).await;
        match outcome {
            Ok(durable) if durable.through >= revision => Ok(()),
            Ok(durable) => Err(durable.failure.clone().unwrap_or_else(|| "the store has stopped".into())),
            Err(_) => Err("the store has stopped".into()),
        }
    }
}

/// Writes what is still queued, and lets go of the folder.
impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn commit_all(mut store: Store, changes: &mpsc::Receiver<Change>, progress: &watch::Sender<Durable>) {
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        batch.extend(changes.try_iter().take(BATCH - 1));
        let through = batch.last().map_or(0, |change| change.revision);
        match store.commit(&batch) {
            Ok(()) => progress.send_modify(|durable| durable.through = through),
            Err(failure) => {
                progress.send_modify(|durable| durable.failure = Some(failure));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::backends::InMemoryBackend;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::hub::command::{Command, Entropy, Refusal, TwinWrite};
    use crate::hub::live::Live;
    use crate::twin::{DeviceId, IfMatch};
    use crate::wire::ErrorCode;
    use crate::wire::twins::TwinBody;

    /// A disk that is full from some moment on.
    #[derive(Debug)]
    struct Disk {
        inner: InMemoryBackend,
        full: Arc<AtomicBool>,
    }

    impl Disk {
        fn room(&self) -> io::Result<()> {
            match self.full.load(Ordering::SeqCst) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.inner.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.inner.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.room()?;
            self.inner.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.room()?;
            self.inner.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room()?;
            self.inner.write(offset, data)
        }
    }

    /// What is on disk stays readable; what is not is shown to nobody.
    #[tokio::test]
    async fn a_full_disk_takes_no_more_and_shows_nothing_that_it_lacks() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let full = Arc::new(AtomicBool::new(false));
        let disk = Disk { inner: InMemoryBackend::new(), full: full.clone() };
        let folder = Folder::open(folder.path()).expect("a folder");
        let (store, hub) = Store::on(folder, PathBuf::from("hub.redb"), disk).expect("a store");
        let committer = Committer::start(store).expect("a thread");
        let live = Live::new(hub, committer, Arc::new(|| datetime!(2026-11-24 10:00:00 UTC)));

        let id = |id: &str| id.parse::<DeviceId>().expect("an id");
        let put = |name: &str| Command::PutDevice {
            id: id(name),
            body: Box::default(),
            if_match: IfMatch::Absent,
            entropy: Entropy([1; 80]),
        };
        let patch = |name: &str| Command::WriteTwin {
            id: id(name).into(),
            how: TwinWrite::Merge,
            body: TwinBody::decode(json!({"tags": {"a": 1}})).expect("a body"),
            if_match: IfMatch::Absent,
        };
        let get = |name: &str| Command::GetTwin { id: id(name).into() };
        live.handle(put("a")).await.expect("there is room");
        live.handle(put("b")).await.expect("there is room");
        full.store(true, Ordering::SeqCst);
        for command in [patch("b"), put("c"), patch("a"), get("b")] {
            let Refusal { code, text } = live.handle(command).await.expect_err("there is none");
            assert_eq!(code, ErrorCode::ServiceUnavailable);
            assert!(text.starts_with("the hub could not write to its data folder and takes no more writes"), "{text}");
        }
        live.handle(get("a")).await.expect("it is on disk as it is");
        full.store(false, Ordering::SeqCst);
        live.handle(patch("a")).await.expect_err("until it is started again");
    }
}
