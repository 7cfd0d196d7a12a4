//! What makes an answer true after a crash: devices and all else on disk, and the thread that puts them there.
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
use super::command::{Change, Record};
use super::configurations::Configuration;
use super::device::Device;
use super::folder::Folder;
use super::identity::is_count;
use super::jobs::{DeviceJob, Job};
use super::messages::{CloudMessage, Feedback};
use super::modules::Module;
use super::state::Hub;
use super::transfers::Transfer;

const FILE: &str = "hub.redb";
/// A device by its place in the order of creation.
const DEVICES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("devices");
/// A module by its place in the order of creation.
const MODULES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("modules");
/// A configuration by its place in the order of creation.
const CONFIGURATIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("configurations");
/// A job by its place in the order of creation.
const JOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("jobs");
/// A job's outcome on a device by its place in the order of creation.
const DEVICE_JOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("device jobs");
/// An import or export job by its place in the order of creation.
const TRANSFERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("import and export jobs");
/// A message from the cloud by its place in the order of creation.
const MESSAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");
/// What became of a message by its place in the order of creation.
const FEEDBACK: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("feedback");
/// Numbers of the store's own.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const FORMAT: &str = "format";
const LAST_SEQUENCE: &str = "last sequence";
const FORMAT_VERSION: u64 = 3;
/// The formats that are read as well: 1 had devices alone, 2 no messages.
const OLDER_FORMATS: [u64; 2] = [1, 2];
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
        let mut kept = Vec::with_capacity(records.len());
        for (table, key, bytes) in records {
            let record = table.decode(key, &bytes);
            kept.push(record.map_err(|source| HubStartError::Record {
                path: path.clone(),
                what: table.name(),
                key,
                source,
            })?);
        }
        let hub = Hub::restore(kept, last_sequence);
        Ok((Self { database, last_sequence, _folder: folder }, hub))
    }

    /// Writes changes in one transaction, and returns when it is on disk.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(), Failure> {
        // Of several changes to one thing the last is all that matters.
        let records = changes.iter().flat_map(|change| &change.records);
        let last: BTreeMap<(Table, u64), &Record> = records.map(|record| (Table::of(record), record)).collect();
        self.write(&last).map_err(|error| error.to_string().into())
    }

    fn write(&mut self, records: &BTreeMap<(Table, u64), &Record>) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            for table in Table::ALL {
                let mut of_table = records.range((table, 0)..=(table, u64::MAX)).peekable();
                if of_table.peek().is_none() {
                    continue;
                }
                let mut open = transaction.open_table(table.definition())?;
                for ((_, key), record) in of_table {
                    match encode(record) {
                        Some(bytes) => open.insert(key, bytes.as_slice())?,
                        None => open.remove(key)?,
                    };
                }
            }
            let newest = records.keys().map(|(_, key)| *key).max().unwrap_or(0);
            if newest > self.last_sequence {
                transaction.open_table(NUMBERS)?.insert(LAST_SEQUENCE, newest)?;
                self.last_sequence = newest;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// The tables of things, each by its place in the order of creation, which all of them share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Devices,
    Modules,
    Configurations,
    Jobs,
    DeviceJobs,
    Transfers,
    Messages,
    Feedback,
}

impl Table {
    pub(super) const ALL: [Self; 8] = [
        Self::Devices,
        Self::Modules,
        Self::Configurations,
        Self::Jobs,
        Self::DeviceJobs,
        Self::Transfers,
        Self::Messages,
        Self::Feedback,
    ];

    fn definition(self) -> TableDefinition<'static, u64, &'static [u8]> {
        match self {
            Self::Devices => DEVICES,
            Self::Modules => MODULES,
            Self::Configurations => CONFIGURATIONS,
            Self::Jobs => JOBS,
            Self::DeviceJobs => DEVICE_JOBS,
            Self::Transfers => TRANSFERS,
            Self::Messages => MESSAGES,
            Self::Feedback => FEEDBACK,
        }
    }

    /// Returns what one thing in it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Devices => "device",
            Self::Modules => "module",
            Self::Configurations => "configuration",
            Self::Jobs => "job",
            Self::DeviceJobs => "device job",
            Self::Transfers => "import or export job",
            Self::Messages => "message",
            Self::Feedback => "feedback",
        }
    }

    pub(super) fn of(record: &Record) -> (Self, u64) {
        match record {
            Record::Device(sequence, _) => (Self::Devices, *sequence),
            Record::Module(sequence, _) => (Self::Modules, *sequence),
            Record::Configuration(sequence, _) => (Self::Configurations, *sequence),
            Record::Job(sequence, _) => (Self::Jobs, *sequence),
            Record::DeviceJob(sequence, _) => (Self::DeviceJobs, *sequence),
            Record::Transfer(sequence, _) => (Self::Transfers, *sequence),
            Record::Message(sequence, _) => (Self::Messages, *sequence),
            Record::Feedback(sequence, _) => (Self::Feedback, *sequence),
        }
    }

    pub(super) fn decode(self, key: u64, bytes: &[u8]) -> Result<Record, serde_json::Error> {
        if !is_count(key) {
            return Err(serde::de::Error::custom("a place in the order of creation that this program does not give"));
        }
        Ok(match self {
            Self::Devices => Record::Device(key, Some(Arc::new(Device::from_record(key, bytes)?))),
            Self::Modules => Record::Module(key, Some(Arc::new(Module::from_record(key, bytes)?))),
            Self::Transfers => Record::Transfer(key, Some(Arc::new(Transfer::from_record(key, bytes)?))),
            Self::Messages => Record::Message(key, Some(Arc::new(CloudMessage::from_record(key, bytes)?))),
            Self::Feedback => Record::Feedback(key, Some(Arc::new(Feedback::from_record(key, bytes)?))),
            Self::Jobs => Record::Job(key, Some(Arc::new(Job::from_record(key, bytes)?))),
            Self::DeviceJobs => Record::DeviceJob(key, Some(Arc::new(DeviceJob::from_record(key, bytes)?))),
            Self::Configurations => Record::Configuration(key, Some(Arc::new(Configuration::from_record(key, bytes)?))),
        })
    }
}

/// Writes a thing for the disk; nothing when it is gone.
pub(super) fn encode(record: &Record) -> Option<Vec<u8>> {
    match record {
        Record::Device(_, device) => device.as_ref().map(|device| device.to_record()),
        Record::Module(_, module) => module.as_ref().map(|module| module.to_record()),
        Record::Transfer(_, it) => it.as_ref().map(|it| it.to_json().into_bytes()),
        Record::Message(_, it) => it.as_ref().map(|it| it.to_record()),
        Record::Feedback(_, it) => it.as_ref().map(|it| it.to_record()),
        Record::Job(_, job) => job.as_ref().map(|job| job.to_record()),
        Record::DeviceJob(_, it) => it.as_ref().map(|it| it.document.as_str().as_bytes().to_vec()),
        Record::Configuration(_, it) => it.as_ref().map(|it| it.to_json().into_bytes()),
    }
}

struct Read {
    format: u64,
    last_sequence: u64,
    records: Vec<(Table, u64, Vec<u8>)>,
}

fn read(database: &Database) -> Result<Read, redb::Error> {
    let format = prepare(database)?;
    let mut read = Read { format, last_sequence: 0, records: Vec::new() };
    if format != FORMAT_VERSION {
        return Ok(read);
    }
    let transaction = database.begin_read()?;
    let numbers = transaction.open_table(NUMBERS)?;
    read.last_sequence = numbers.get(LAST_SEQUENCE)?.map_or(0, |number| number.value());
    for table in Table::ALL {
        for entry in transaction.open_table(table.definition())?.iter()? {
            let (key, bytes) = entry?;
            read.records.push((table, key.value(), bytes.value().to_vec()));
        }
    }
    Ok(read)
}

/// Makes the tables of a new database, and those that an older one lacks. Returns the format that it then has.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let found = match database.begin_read()?.open_table(NUMBERS) {
        Ok(numbers) => Some(numbers.get(FORMAT)?.map_or(0, |number| number.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(found) if !OLDER_FORMATS.contains(&found) => return Ok(found),
        Some(_) | None => {}
    }
    let transaction = database.begin_write()?;
    transaction.open_table(NUMBERS)?.insert(FORMAT, FORMAT_VERSION)?;
    for table in Table::ALL {
        transaction.open_table(table.definition())?;
    }
    transaction.commit()?;
    Ok(FORMAT_VERSION)
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
            // Not what `RUST_MIN_STACK` says.
            .stack_size(2 << 20)
            .spawn(move || commit_all(store, &changes, &progress))?;
        Ok(Self { queue: Some(queue), durable, thread: Some(thread) })
    }

    /// Makes one without a disk, for which everything is on disk at once, and the end at which its changes come out.
    #[cfg(any(test, fuzzing))]
    pub(super) fn without_disk() -> (Self, mpsc::Receiver<Change>) {
        let (queue, changes) = mpsc::channel();
        let (_, durable) = watch::channel(Durable { through: u64::MAX, failure: None });
        (Self { queue: Some(queue), durable, thread: None }, changes)
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

    /// A folder of an earlier time opens; one of a time to come says so.
    #[test]
    fn formats_old_and_new() {
        let all = Table::ALL.len();
        for (format, tables, opens) in
            [(1, 1, true), (2, 6, true), (FORMAT_VERSION, all, true), (FORMAT_VERSION + 1, all, false)]
        {
            let path = tempfile::TempDir::new().expect("a folder");
            let database = Database::create(path.path().join(FILE)).expect("a database");
            let transaction = database.begin_write().expect("a transaction");
            transaction.open_table(NUMBERS).expect("a table").insert(FORMAT, format).expect("a number");
            for table in Table::ALL.into_iter().take(tables) {
                transaction.open_table(table.definition()).expect("a table");
            }
            transaction.commit().expect("a commit");
            drop(database);
            // Twice: what is brought up to date must open again.
            for _ in 0..2 {
                let opened = Store::open(Folder::open(path.path()).expect("a folder")).map(|_| ());
                match opened {
                    Ok(()) => assert!(opens, "{format}"),
                    Err(HubStartError::Format { found, known, .. }) => {
                        assert!(!opens, "{format}");
                        assert_eq!((found, known), (format, FORMAT_VERSION));
                    }
                    Err(other) => panic!("{format}: {other:?}"),
                }
            }
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
