//! What a database holds, read and held against its checksums.

use std::path::Path;

use redb::Database;
use redb::ReadTransaction;
use redb::ReadableDatabase;
use redb::ReadableTable;
use redb::StorageBackend;
use redb::TableDefinition;
use redb::TableError;
use redb::WriteTransaction;

use crate::core::record::Record;
use crate::start_error::HubStartError;
use crate::store::overlay::Overlay;
use crate::store::quietly::quietly;
use crate::store::records::{Table, checksum, seal, unseal};

/// Numbers of the store's own.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const FORMAT: &str = "format";
const LAST_SEQUENCE: &str = "last sequence";
const COMMITS: &str = "commits";
const RECORDS: &str = "records";
const SUM: &str = "sum of checksums";
const SEAL: &str = "seal";
const FORMAT_VERSION: u64 = 5;
/// The format that differs in its documents alone: twins always had tags, and their members were sorted. They are read as they are.
const OLDER_DOCUMENTS: u64 = 4;
/// The formats that are read as well: 1 had devices alone, 2 no messages, 3 no checksums.
const OLDER_FORMATS: [u64; 3] = [1, 2, 3];
/// What the database may keep in memory; the hub has all devices in memory itself.
const CACHE_BYTES: usize = 16 << 20;

/// What the store counts of itself. A table that has lost a record, or has one too many, does not match it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// The newest place in the order of creation that was given.
    pub(crate) last_sequence: u64,
    /// The number of commits, conversions of the format included.
    pub(crate) commits: u64,
    records: u64,
    /// The wrapping sum of the records' checksums.
    sum: u64,
}

impl Totals {
    /// Counts a record that was added.
    pub(crate) fn add(&mut self, checksum: u64) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(checksum);
    }

    /// Counts a record that was removed.
    pub(crate) fn subtract(&mut self, checksum: u64) {
        self.records = self.records.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(checksum);
    }

    fn seal(&self) -> u64 {
        let numbers = [self.last_sequence, self.commits, self.records, self.sum].map(u64::to_le_bytes);
        checksum(&[b"totals", numbers.as_flattened()])
    }

    /// Writes them as a part of a transaction.
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let mut numbers = transaction.open_table(NUMBERS)?;
        for (name, number) in [
            (FORMAT, FORMAT_VERSION),
            (LAST_SEQUENCE, self.last_sequence),
            (COMMITS, self.commits),
            (RECORDS, self.records),
            (SUM, self.sum),
            (SEAL, self.seal()),
        ] {
            numbers.insert(name, number)?;
        }
        Ok(())
    }
}

/// Why a database is not taken.
#[derive(Debug)]
pub(crate) enum Rejected {
    /// A version of this program wrote it that this one does not know.
    Format(u64),
    /// It is not what this program wrote.
    Damaged(String),
    /// It cannot be read or written.
    Failed(Box<redb::Error>),
}

impl Rejected {
    /// Says it of a file.
    pub(crate) fn at(self, path: &Path) -> HubStartError {
        match self {
            Self::Format(found) => HubStartError::Format { path: path.to_owned(), found, known: FORMAT_VERSION },
            Self::Damaged(reason) => HubStartError::damaged(path, format!("is damaged: {reason}")),
            Self::Failed(error) => HubStartError::store(path, *error),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Rejected {
    fn from(error: E) -> Self {
        use std::io::ErrorKind::InvalidData;
        use std::io::ErrorKind::InvalidInput;
        use std::io::ErrorKind::UnexpectedEof;
        match error.into() {
            redb::Error::Io(error) if !matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof) => {
                Self::Failed(Box::new(error.into()))
            }
            error @ (redb::Error::DatabaseAlreadyOpen | redb::Error::PreviousIo) => Self::Failed(Box::new(error)),
            redb::Error::Io(error) => Self::Damaged(error.to_string()),
            redb::Error::Corrupted(reason) => Self::Damaged(reason),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// What a database holds.
pub(crate) struct Contents {
    format: u64,
    pub(crate) totals: Totals,
    pub(crate) records: Vec<Record>,
}

/// Reads a database and compares all of it with its checksums. Nothing is written to it.
pub(crate) fn read(backend: impl StorageBackend) -> Result<Contents, Rejected> {
    let read = quietly(|| {
        let database = open(Overlay::over(backend).map_err(redb::Error::from)?)?;
        let transaction = database.begin_read()?;
        let format = read_format(&transaction)?;
        match format {
            FORMAT_VERSION | OLDER_DOCUMENTS => {
                let mut contents = Contents { format, totals: read_totals(&transaction)?, records: Vec::new() };
                contents.read_records(&transaction)?;
                Ok(contents)
            }
            older if OLDER_FORMATS.contains(&older) => {
                let mut contents = Contents { format, totals: Totals::default(), records: Vec::new() };
                contents.totals.last_sequence = read_number(&transaction, LAST_SEQUENCE)?.unwrap_or(0);
                contents.read_older_records(&transaction)?;
                Ok(contents)
            }
            newer => Err(Rejected::Format(newer)),
        }
    });
    read.unwrap_or_else(|| Err(contradictory()))
}

/// Opens a database that [`read`] has found to be whole, and brings it to the format of this version.
pub(crate) fn open_for_writing(backend: impl StorageBackend, contents: &mut Contents) -> Result<Database, Rejected> {
    let opened = quietly(|| {
        let database = open(backend)?;
        if contents.format == OLDER_DOCUMENTS {
            let transaction = database.begin_write()?;
            contents.totals.commits += 1;
            contents.totals.write(&transaction)?;
            transaction.commit()?;
        } else if contents.format != FORMAT_VERSION {
            contents.totals = convert(&database, contents.totals.last_sequence)?;
        }
        contents.format = FORMAT_VERSION;
        Ok(database)
    });
    opened.unwrap_or_else(|| Err(contradictory()))
}

/// Makes a database without records.
pub(crate) fn create(backend: impl StorageBackend) -> Result<(), Rejected> {
    let database = open(backend)?;
    let transaction = database.begin_write()?;
    for table in Table::ALL {
        transaction.open_table(table.definition())?;
    }
    Totals::default().write(&transaction)?;
    transaction.commit()?;
    Ok(database.close()?)
}

/// Opens a database, and compares its pages with their checksums.
fn open(backend: impl StorageBackend) -> Result<Database, Rejected> {
    let mut builder = Database::builder();
    Ok(builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(backend)?)
}

/// The pages of a database may each match its checksum and not fit together.
fn contradictory() -> Rejected {
    Rejected::Damaged("its pages contradict each other".to_owned())
}

fn read_format(transaction: &ReadTransaction) -> Result<u64, Rejected> {
    read_number(transaction, FORMAT)?
        .ok_or_else(|| Rejected::Damaged("it is the database of another program".to_owned()))
}

fn read_number(transaction: &ReadTransaction, name: &str) -> Result<Option<u64>, Rejected> {
    match transaction.open_table(NUMBERS) {
        Ok(numbers) => Ok(numbers.get(name)?.map(|number| number.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read_totals(transaction: &ReadTransaction) -> Result<Totals, Rejected> {
    let number = |name| Ok::<_, Rejected>(read_number(transaction, name)?.unwrap_or(0));
    let (last_sequence, commits) = (number(LAST_SEQUENCE)?, number(COMMITS)?);
    let totals = Totals { last_sequence, commits, records: number(RECORDS)?, sum: number(SUM)? };
    match number(SEAL)? == totals.seal() {
        true => Ok(totals),
        false => Err(Rejected::Damaged("its totals do not match their checksum".to_owned())),
    }
}

impl Contents {
    fn read_records(&mut self, transaction: &ReadTransaction) -> Result<(), Rejected> {
        let Totals { last_sequence, commits, .. } = self.totals;
        let mut found = Totals { last_sequence, commits, ..Totals::default() };
        for table in Table::ALL {
            for entry in transaction.open_table(table.definition())?.iter()? {
                let (key, sealed) = entry?;
                let key = key.value();
                let (checksum, record) = unseal(table, key, sealed.value())
                    .ok_or_else(|| Rejected::Damaged(format!("{} {key} does not match its checksum", table.name())))?;
                found.add(checksum);
                self.keep(table, key, record)?;
            }
        }
        match found == self.totals {
            true => Ok(()),
            false => {
                Err(Rejected::Damaged(format!("it has {} records and counts {}", found.records, self.totals.records)))
            }
        }
    }

    fn read_older_records(&mut self, transaction: &ReadTransaction) -> Result<(), Rejected> {
        for table in Table::ALL {
            let open = match transaction.open_table(table.definition()) {
                Ok(open) => open,
                Err(TableError::TableDoesNotExist(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            for entry in open.iter()? {
                let (key, record) = entry?;
                self.keep(table, key.value(), record.value())?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, table: Table, key: u64, record: &[u8]) -> Result<(), Rejected> {
        let record = table.decode(key, record);
        let damaged = |error| Rejected::Damaged(format!("{} {key} cannot be read: {error}", table.name()));
        self.records.push(record.map_err(damaged)?);
        Ok(())
    }
}

/// Gives all records of a database of an older format their checksums, in one transaction. Returns its totals.
fn convert(database: &Database, last_sequence: u64) -> Result<Totals, Rejected> {
    let mut totals = Totals { last_sequence, commits: 1, ..Totals::default() };
    let transaction = database.begin_write()?;
    for table in Table::ALL {
        let mut open = transaction.open_table(table.definition())?;
        let mut sealed = Vec::new();
        for entry in open.iter()? {
            let (key, record) = entry?;
            sealed.push((key.value(), seal(table, key.value(), record.value())));
        }
        for (key, sealed) in sealed {
            totals.add(crate::store::records::sealed_checksum(&sealed));
            open.insert(key, sealed.as_slice())?;
        }
    }
    totals.write(&transaction)?;
    transaction.commit()?;
    Ok(totals)
}
