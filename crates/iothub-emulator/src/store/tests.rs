//! Stores of other formats, on bad disks, and damaged.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use redb::ReadableTable;
use redb::TableDefinition;
use redb::backends::InMemoryBackend;
use serde_json::json;
use time::macros::datetime;

use crate::core::ask::Ask;
use crate::core::command::{Entropy, Refusal, TwinWrite};
use crate::core::requests::devices::{DeleteDevice, PutDevice};
use crate::core::requests::modules::PutModule;
use crate::core::requests::twins::{GetTwin, WriteTwin};
use crate::fuzzing::documents;
use crate::handle::HubHandle;
use crate::store::*;
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::twins::TwinBody;

/// A disk that is full, or breaks in a way that nobody thought of, from some moment on.
#[derive(Clone, Debug, Default)]
struct Disk {
    inner: Arc<InMemoryBackend>,
    full: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> io::Result<()> {
        assert!(!self.broken.load(Ordering::SeqCst), "the disk is broken");
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

const NOW: time::OffsetDateTime = datetime!(2026-11-24 10:00:00 UTC);

fn id(id: &str) -> DeviceId {
    id.parse().expect("an id")
}

fn put(name: &str) -> PutDevice {
    let (body, if_match) = (Box::default(), IfMatch::Absent);
    PutDevice { id: id(name), body, if_match, entropy: Entropy([1; 80]) }
}

fn patch(name: &str, value: u64) -> WriteTwin {
    WriteTwin {
        id: id(name).into(),
        how: TwinWrite::Merge,
        body: TwinBody::decode(json!({"tags": {"a": value, "text": "x".repeat(100)}})).expect("a body"),
        if_match: IfMatch::Absent,
    }
}

/// Makes a store on a disk, and opens it.
fn on(folder: &Path, disk: &Disk) -> (Store, Hub) {
    contents::create(disk.clone()).expect("a database");
    Store::on(Arc::new(Folder::open(folder).expect("a folder")), || Ok(disk.clone())).expect("a store")
}

fn open(path: &Path) -> Result<(Store, Hub), HubStartError> {
    Store::open(Arc::new(Folder::open(path)?))
}

/// Has a hub do something, and its store keep it.
fn act<A: Ask>(store: &mut Store, hub: &mut Hub, ask: A) {
    let outcome = hub.handle(ask, NOW);
    assert!(outcome.reply.is_ok(), "it is allowed");
    store.commit(&[outcome.change.expect("it changes something")]).expect("it is kept");
}

/// What is on disk stays readable; what is not is shown to nobody.
#[tokio::test]
async fn a_full_disk_takes_no_more_and_shows_nothing_that_it_lacks() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let disk = Disk::default();
    let full = disk.full.clone();
    let (store, hub) = on(folder.path(), &disk);
    let committer = Committer::start(store).expect("a thread");
    let live = HubHandle::new(hub, committer, Arc::new(|| datetime!(2026-11-24 10:00:00 UTC)));

    let patch = |name: &str| patch(name, 1);
    let get = |name: &str| GetTwin { id: id(name).into() };
    live.handle(put("a")).await.expect("there is room");
    live.handle(put("b")).await.expect("there is room");
    full.store(true, Ordering::SeqCst);
    for refused in [
        live.handle(patch("b")).await.map(drop),
        live.handle(put("c")).await.map(drop),
        live.handle(patch("a")).await.map(drop),
        live.handle(get("b")).await.map(drop),
    ] {
        let Refusal { code, text } = refused.expect_err("there is none");
        assert_eq!(code, ErrorCode::ServiceUnavailable);
        assert!(text.starts_with("the hub could not write to its data folder and takes no more writes"), "{text}");
    }
    live.handle(get("a")).await.expect("it is on disk as it is");
    full.store(false, Ordering::SeqCst);
    live.handle(patch("a")).await.expect_err("until it is started again");
}

/// A panic of the database is a failure of the store like any other.
#[test]
fn a_panic_of_the_database_ends_no_hub() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let disk = Disk::default();
    let (mut store, mut hub) = on(folder.path(), &disk);
    act(&mut store, &mut hub, put("a"));
    disk.broken.store(true, Ordering::SeqCst);
    for name in ["b", "c"] {
        let change = hub.handle(put(name), NOW).change.expect("it changes something");
        store.commit(&[change]).expect_err("the disk is broken");
    }
    drop(store);
    disk.broken.store(false, Ordering::SeqCst);
    let folder = Arc::new(Folder::open(folder.path()).expect("it is free"));
    let (_, hub) = Store::on(folder, || Ok(disk.clone())).expect("what was kept is whole");
    assert_eq!(hub.devices_after(0).count(), 1);
}

/// A directory of format 4 has the tables of this one. Its number goes up, so that a version that does not know its documents says so.
#[test]
fn a_directory_of_the_last_format_is_numbered_anew() {
    let path = tempfile::TempDir::new().expect("a folder");
    drop(open(path.path()).expect("a new store"));
    let numbers = TableDefinition::<&str, u64>::new("numbers");
    let number = |write: Option<u64>| {
        let database = Database::create(path.path().join(FILE)).expect("a database");
        let transaction = database.begin_write().expect("a transaction");
        let found = {
            let mut numbers = transaction.open_table(numbers).expect("a table");
            write.iter().for_each(|format| drop(numbers.insert("format", format).expect("a number")));
            numbers.get("format").expect("a read").expect("a number").value()
        };
        transaction.commit().expect("a commit");
        found
    };
    assert_eq!(number(Some(4)), 4);
    for _ in 0..2 {
        drop(open(path.path()).expect("format 4"));
        assert_eq!(number(None), 5);
    }
}

/// A directory of an earlier format opens with all that it has; one of a format to come is refused.
#[test]
fn formats_old_and_new() {
    let numbers = TableDefinition::<&str, u64>::new("numbers");
    let change = Hub::default().handle(put("old"), NOW).change.expect("a device");
    let device = change.records.into_iter().next().expect("a device");
    let all = Table::ALL.len();
    for (format, tables, opens) in [(1, 1, true), (2, 6, true), (3, all, true), (6, all, false)] {
        let path = tempfile::TempDir::new().expect("a folder");
        let database = Database::create(path.path().join(FILE)).expect("a database");
        let transaction = database.begin_write().expect("a transaction");
        {
            let mut numbers = transaction.open_table(numbers).expect("a table");
            numbers.insert("format", format).expect("a number");
            numbers.insert("last sequence", 7).expect("a number");
        }
        for table in Table::ALL.into_iter().take(tables) {
            let mut open = transaction.open_table(table.definition()).expect("a table");
            if table == Table::Devices {
                let (_, key) = Table::of(&device);
                open.insert(key, encode(&device).expect("it is there").as_slice()).expect("a device");
            }
        }
        transaction.commit().expect("a commit");
        drop(database);
        // Twice: what is brought up to date must open again.
        for _ in 0..2 {
            match open(path.path()) {
                Ok((store, hub)) => {
                    assert!(opens, "{format}");
                    assert_eq!(store.totals.last_sequence, 7);
                    let devices: Vec<_> = hub.devices_after(0).map(|device| device.id.clone()).collect();
                    assert_eq!(devices, [id("old")], "{format}");
                }
                Err(HubStartError::Format { found, known, .. }) => {
                    assert!(!opens, "{format}");
                    assert_eq!((found, known), (format, 5));
                }
                Err(other) => panic!("{format}: {other:?}"),
            }
        }
    }
}

/// A first start that ended at any moment is no lost store. A lost store is no first start.
#[test]
fn missing_files() {
    let directory = tempfile::TempDir::new().expect("a folder");
    let path = directory.path();
    std::fs::write(path.join(NEW_FILE), "half of a new store").expect("a file");
    let (mut store, mut hub) = open(path).expect("a first start that ended before there was a store");
    act(&mut store, &mut hub, put("a"));
    drop(store);
    assert!(!path.join(NEW_FILE).exists());
    std::fs::remove_file(path.join(mark::FILE)).expect("it is there");
    drop(open(path).expect("a first start that ended after there was a store"));

    std::fs::remove_file(path.join(FILE)).expect("it is there");
    for made_later in [mark::FILE, "policies.json", "ca-key.pem", "ca.pem"] {
        let only = |name: &str| std::fs::write(path.join(name), "").expect("a file");
        let _ = std::fs::remove_file(path.join(mark::FILE));
        only(made_later);
        let error = open(path).map(drop).expect_err(made_later);
        assert!(error.to_string().ends_with("hub.redb is missing"), "{error}");
        std::fs::remove_file(path.join(made_later)).expect("it is there");
    }
    std::fs::create_dir(path.join(FILE)).expect("a folder");
    let error = open(path).map(drop).expect_err("a directory in its place");
    assert!(error.to_string().ends_with("hub.redb is not a file"), "{error}");
}

/// An older copy of the store is refused, though it is whole.
#[test]
fn an_older_copy() {
    let directory = tempfile::TempDir::new().expect("a folder");
    let file = directory.path().join(FILE);
    let (mut store, mut hub) = open(directory.path()).expect("a store");
    act(&mut store, &mut hub, put("a"));
    drop(store);
    let older = std::fs::read(&file).expect("a store");
    let (mut store, mut hub) = open(directory.path()).expect("a store");
    act(&mut store, &mut hub, put("b"));
    drop(store);
    std::fs::write(&file, older).expect("written");
    match open(directory.path()).map(drop).expect_err("it lacks a device") {
        HubStartError::Older { found: 1, counted: 2, .. } => {}
        other => panic!("{other:?}"),
    }
    // What the hint says.
    std::fs::remove_file(directory.path().join(mark::FILE)).expect("it is there");
    let (_, hub) = open(directory.path()).expect("a store");
    assert_eq!(hub.devices_after(0).count(), 1);
}

/// A generator of numbers, which are the same in each run (Marsaglia: Xorshift RNGs).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("a small number")
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }
}

/// Damages a file in one of the ways in which files are damaged. Returns which.
fn damage(file: &mut Vec<u8>, chance: &mut Chance) -> String {
    const PAGE: usize = 4096;
    const HEADER: usize = 320;
    let pages = file.len() / PAGE;
    // Most of the file is not in use.
    let used: Vec<usize> =
        (0..pages).filter(|page| file[page * PAGE..][..PAGE].iter().any(|byte| *byte != 0)).collect();
    let page = used[chance.below(used.len())] * PAGE;
    let at = page + chance.below(PAGE);
    match chance.below(10) {
        0 => {
            let at = chance.below(HEADER);
            file[at] ^= 1 << chance.below(8);
            format!("a bit of byte {at} of the header")
        }
        1 => {
            let (at, bytes) = (chance.below(HEADER - 16), chance.bytes(16));
            file[at..at + 16].copy_from_slice(&bytes);
            format!("16 bytes from {at} of the header")
        }
        2 | 3 => {
            file[at] ^= 1 << chance.below(8);
            format!("a bit of byte {at}")
        }
        4 => {
            let count = (1 + chance.below(64)).min(file.len() - at);
            let bytes = chance.bytes(count);
            file[at..at + count].copy_from_slice(&bytes);
            format!("{count} bytes from {at}")
        }
        5 => {
            file.truncate(at);
            format!("no bytes from {at}")
        }
        6 => {
            file[page..page + PAGE].fill(0);
            format!("zeros in the page at {page}")
        }
        7 => {
            let from = used[chance.below(used.len())] * PAGE;
            file.copy_within(from..from + PAGE, page);
            format!("the page at {from} in the place of that at {page}")
        }
        8 => {
            let count = 1 + chance.below(2 * PAGE);
            let bytes = chance.bytes(count);
            file.extend_from_slice(&bytes);
            format!("{} bytes more", bytes.len())
        }
        _ => {
            let bytes = chance.bytes(PAGE);
            file[page..page + PAGE].copy_from_slice(&bytes);
            format!("chance in the page at {page}")
        }
    }
}

/// A damaged store is refused by its name and left as it is, or has exactly what it had and goes on. It never panics.
#[test]
fn damaged_stores() {
    const SEED: u64 = 0x7477_696e_6374_6c31;
    const DAMAGES: u64 = 120;
    let origin = tempfile::TempDir::new().expect("a folder");
    let (mut store, mut hub) = open(origin.path()).expect("a store");
    for n in 0..40 {
        let name = format!("device-{n}");
        act(&mut store, &mut hub, put(&name));
        act(&mut store, &mut hub, patch(&name, n));
        if n % 4 == 0 {
            let (body, if_match) = (Box::default(), IfMatch::Absent);
            let (device, module) = (id(&name), "m".parse().expect("an id"));
            let put = PutModule { device, module, body, if_match, entropy: Entropy([2; 80]) };
            act(&mut store, &mut hub, put);
        }
        if n % 10 == 9 {
            act(&mut store, &mut hub, DeleteDevice { id: id(&name), if_match: IfMatch::Any });
        }
    }
    let expected = documents(&hub);
    // As after `kill -9`, and as after an orderly end.
    let killed = std::fs::read(origin.path().join(FILE)).expect("a file");
    drop(store);
    let closed = std::fs::read(origin.path().join(FILE)).expect("a file");
    let mark = std::fs::read(origin.path().join(mark::FILE)).expect("a file");

    let mut chance = Chance(SEED);
    let (mut refused, mut served) = (0, 0);
    for number in 0..DAMAGES {
        let mut file = if number % 2 == 0 { killed.clone() } else { closed.clone() };
        let what = damage(&mut file, &mut chance);
        let directory = tempfile::TempDir::new().expect("a folder");
        let path = directory.path().join(FILE);
        std::fs::write(&path, &file).expect("written");
        std::fs::write(directory.path().join(mark::FILE), &mark).expect("written");
        match open(directory.path()) {
            Err(error) => {
                assert!(
                    matches!(error, HubStartError::Damaged { .. } | HubStartError::Older { .. }),
                    "{number}: {what}: {error:?}"
                );
                assert!(std::fs::read(&path).expect("it is there") == file, "{number}: {what}: it was changed");
                refused += 1;
            }
            Ok((mut store, mut hub)) => {
                assert_eq!(documents(&hub), expected, "{number}: {what}");
                act(&mut store, &mut hub, patch("device-0", 99));
                act(&mut store, &mut hub, DeleteDevice { id: id("device-1"), if_match: IfMatch::Any });
                act(&mut store, &mut hub, put("new"));
                let expected = documents(&hub);
                drop(store);
                let (_, hub) = open(directory.path()).unwrap_or_else(|error| panic!("{number}: {what}: {error:?}"));
                assert_eq!(documents(&hub), expected, "{number}: {what}");
                served += 1;
            }
        }
    }
    assert!(refused > DAMAGES / 3 && served > 0, "{refused} refused, {served} served");
}
