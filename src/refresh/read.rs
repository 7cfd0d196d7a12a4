//! Reads the live twins that a plan needs, and streams them into it.
//!
//! Owns how they are read: one GET a twin, or pages of one query over the whole hub, whichever the hub's own throttles make
//! cheaper, for device twins and for module twins apart, as no query lists both. A query's answer lags, and lists twins that are gone (docs: IoT Hub query language), so its word is taken for what
//! a twin was at an etag, never for its absence: that is asked of a GET. What is to be done about a twin is `plan`'s.

use std::collections::BTreeSet;
use std::str::FromStr;

use futures_util::{StreamExt, TryStreamExt, future, stream};
use serde_json::Value;
use tokio::sync::Notify;

use super::fold::{PlanFold, Seen, SeenOutcome};
use crate::client::{Error, HubClient, Pages, PagesAhead, RawLookup};
use crate::manifest::Declarations;
use crate::plan::ReadBy;
use crate::plan::ownership::RECORDS_KEY;
use iothub_model::query::Collection;
use iothub_model::tiers::{Class, Limits};
use iothub_model::twin::{IdError, Lookup, TwinId};
use iothub_model::wire::query::MAX_PAGE;
use iothub_model::wire::raw_twin::RawTwin;

/// The throttles by which the way of reading is chosen.
const LIMITS: Limits = Limits::S1;
/// So few twins are read by GET without asking how many the hub has.
const FEW: usize = 100;

/// What is read, for whom, and how.
pub(crate) struct FleetReading<'a, 'd> {
    /// The hub.
    pub client: &'a HubClient,
    /// Takes every declared twin, every other twin that carries this fleet's record, and twins that a query lists besides.
    pub fold: &'a mut PlanFold<'d>,
    /// How many twins the hub has, as far as it was asked.
    pub census: Census,
    /// GETs at once.
    pub concurrency: usize,
}

/// How it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FleetRead {
    /// By query as soon as one kind of twin was.
    pub read: ReadBy,
    /// The kinds of which not every twin of the hub was seen.
    pub unseen: Vec<Collection>,
}

/// How many twins a hub has, of the kinds of which so many are declared that it matters.
///
/// A count costs a query, one message and nothing to wait for where it is asked beside other questions. The first page of a listing
/// would tell as much where that is all of the hub, and where it is not, six hundred messages are billed for a thousand twins of 2.5 KB that
/// are nobody's; so it is never asked to find out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    /// Nothing for a kind that was asked for when the answer was no number, as it is only an estimate anyway.
    counts: Vec<(TwinKind, Option<usize>)>,
}

impl Census {
    /// Asks the hub for what it takes to plan for these twins. The questions go out together.
    pub(crate) async fn take<'i>(
        client: &HubClient,
        declared: impl Iterator<Item = &'i TwinId>,
    ) -> Result<Self, Error> {
        let (devices, modules): (Vec<_>, Vec<_>) = declared.partition(|id| TwinKind::Devices.has(id));
        let ask = async |kind: TwinKind, declared: usize| match declared > FEW {
            true => count(client, kind).await.map(|count| Some((kind, count))),
            false => Ok(None),
        };
        let asked = (ask(TwinKind::Devices, devices.len()), ask(TwinKind::Modules, modules.len()));
        let (devices, modules) = future::try_join(asked.0, asked.1).await?;
        Ok(Self { counts: devices.into_iter().chain(modules).collect() })
    }

    fn of(&self, kind: TwinKind) -> Option<Option<usize>> {
        self.counts.iter().find(|(of, _)| *of == kind).map(|(_, count)| *count)
    }
}

/// Reads every declared twin into the fold, and every other twin that carries this fleet's record.
///
/// No more GETs are under way at once than `concurrency` says; beside them the hub is asked for orphaned ones, one page of devices and one
/// of modules at a time. `progress` is told how many twins have been read. Fails whole: after an error the plan must not be finished,
/// since what was not read is not known.
pub(crate) async fn read_fleet(
    reading: FleetReading<'_, '_>,
    progress: &mut (dyn FnMut(usize) + Send),
) -> Result<FleetRead, Error> {
    let (client, declarations, finds_orphaned) =
        (reading.client, reading.fold.declarations(), reading.fold.finds_orphaned());
    // The first answer opens the connection that all share, and a hub that does not answer is found out by what is read first.
    let answered = Notify::new();
    let mut pass = Pass { reading, read: 0, progress, answered: &answered };
    let (mut listed, mut named) = (Vec::new(), Vec::new());
    for kind in TwinKind::ALL {
        match pass.way(kind).await? {
            Some(on_hub) => listed.push((kind, on_hub)),
            None => named.push(kind),
        }
    }
    // Which twins are orphaned does not depend on what is declared.
    let orphaned = async {
        answered.notified().await;
        let kinds = named.iter().filter(|_| finds_orphaned);
        future::try_join_all(kinds.map(|kind| self::orphaned(client, declarations, *kind))).await
    };
    let read = if listed.is_empty() { ReadBy::Get } else { ReadBy::Query };
    let reading = async {
        let mut broken_off = Vec::new();
        for (kind, on_hub) in listed {
            if !pass.by_query(kind, on_hub).await? {
                broken_off.push(kind);
            }
        }
        let pending: Vec<_> = pass.reading.fold.pending().cloned().collect();
        pass.get_all(pending).await?;
        answered.notify_one();
        Ok(broken_off)
    };
    let (mut orphaned, broken_off) = future::try_join(orphaned, reading).await?;
    for kind in broken_off.iter().filter(|_| finds_orphaned) {
        orphaned.push(self::orphaned(client, declarations, *kind).await?);
    }
    pass.get_all(orphaned.into_iter().flatten()).await?;
    named.extend(broken_off);
    named.sort_unstable();
    Ok(FleetRead { read, unseen: named.into_iter().map(TwinKind::collection).collect() })
}

/// Reads twins by GET, so many at a time, and hands each over as it comes.
pub(crate) async fn get_all(
    client: &HubClient,
    ids: impl IntoIterator<Item = TwinId>,
    concurrency: usize,
    take: &mut (dyn FnMut(Lookup) + Send),
) -> Result<(), Error> {
    let mut lookups =
        stream::iter(ids).map(|id| async move { client.get_twin(&id).await }).buffer_unordered(concurrency.max(1));
    while let Some(lookup) = lookups.try_next().await? {
        take(lookup);
    }
    Ok(())
}

/// Reads twins by GET, so many at a time, and takes each into the fold as it comes. `took` is called after each.
pub(crate) async fn fold_all(
    client: &HubClient,
    fold: &mut PlanFold<'_>,
    ids: impl IntoIterator<Item = TwinId>,
    concurrency: usize,
    took: &mut (dyn FnMut() + Send),
) -> Result<(), Error> {
    let mut lookups = stream::iter(ids).map(|id| client.get_twin_text(id)).buffer_unordered(concurrency.max(1));
    while let Some(lookup) = lookups.try_next().await? {
        match lookup {
            RawLookup::Found(text) => {
                let raw = text.raw();
                let by_text = raw.as_ref().map(|raw| (text.id(), raw));
                fold.take(Seen { by: ReadBy::Get, text: by_text, whole: || text.read() })?;
            }
            RawLookup::Absent(id) => {
                fold.take(Seen { by: ReadBy::Get, text: None, whole: || Ok::<_, Error>(Lookup::Absent(id)) })?;
            }
        }
        took();
    }
    Ok(())
}

/// Which twins a query lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TwinKind {
    Devices,
    Modules,
}

impl TwinKind {
    const ALL: [Self; 2] = [Self::Devices, Self::Modules];

    fn has(self, id: &TwinId) -> bool {
        id.module.is_some() == (self == Self::Modules)
    }

    fn source(self) -> &'static str {
        self.collection().name()
    }

    fn collection(self) -> Collection {
        match self {
            Self::Devices => Collection::Devices,
            Self::Modules => Collection::Modules,
        }
    }

    /// The columns that name a twin.
    fn names(self) -> &'static str {
        match self {
            Self::Devices => "deviceId",
            Self::Modules => "deviceId, moduleId",
        }
    }

    fn id_of(self, row: &Value, pages: &Pages) -> Result<TwinId, Error> {
        Ok(TwinId {
            device: named(row, "deviceId", pages)?,
            module: match self {
                Self::Devices => None,
                Self::Modules => Some(named(row, "moduleId", pages)?),
            },
        })
    }
}

struct Pass<'p, 'a, 'd> {
    reading: FleetReading<'a, 'd>,
    /// How many twins are in the plan, orphaned ones among them, which come last.
    read: usize,
    progress: &'p mut (dyn FnMut(usize) + Send),
    /// Is told that the hub answers.
    answered: &'p Notify,
}

impl Pass<'_, '_, '_> {
    /// Returns how many twins the hub has of a kind if it is to list them, and nothing if each declared one is to be read by GET.
    async fn way(&self, kind: TwinKind) -> Result<Option<usize>, Error> {
        let declared = self.pending(kind).count();
        if declared <= FEW {
            return Ok(None);
        }
        let on_hub = match self.reading.census.of(kind) {
            Some(asked) => asked,
            // Selections are declared only when they are known.
            None => count(self.reading.client, kind).await?,
        };
        Ok(on_hub.filter(|on_hub| self.cost(declared).by(*on_hub, MAX_PAGE) == ReadBy::Query))
    }

    fn pending(&self, kind: TwinKind) -> impl Iterator<Item = &TwinId> {
        self.reading.fold.pending().filter(move |id| kind.has(id))
    }

    fn cost(&self, pending: usize) -> ReadCost {
        ReadCost { pending, finds_orphaned: self.reading.fold.finds_orphaned() }
    }

    /// Reads whole pages of all of the hub's twins, and by GET what only a GET can tell of them. Declared twins that were not listed are
    /// still pending then. Says whether the pages were read to the end.
    async fn by_query(&mut self, kind: TwinKind, on_hub: usize) -> Result<bool, Error> {
        let query = format!("SELECT * FROM {}", kind.source());
        let mut pages = PagesAhead::new(self.reading.client.query(&query, MAX_PAGE));
        let (declared, read_before) = (self.pending(kind).count(), self.read);
        let mut orphaned = BTreeSet::new();
        let mut listed = 0;
        while let Some(page) = pages.next().await? {
            self.answered.notify_one();
            let texts = page.rows()?;
            let rows = texts.len();
            listed += rows;
            // A hub may send far smaller pages than it was asked for. The last page of all is small too, so look only when
            // much should be left.
            let rest = on_hub.saturating_sub(listed);
            let pending = declared - (self.read - read_before);
            let turns = rest > 0 && rows > 0 && self.cost(pending).by(rest, rows) == ReadBy::Get;
            if !turns {
                pages.ask();
            }
            for text in texts {
                let raw = RawTwin::find(text).and_then(|raw| Some((raw.id()?, raw)));
                let whole = || page.twin(text).map(|twin| Lookup::Found(Box::new(twin)));
                let seen = Seen { by: ReadBy::Query, text: raw.as_ref().map(|(id, raw)| (id, raw)), whole };
                match self.reading.fold.take(seen)? {
                    SeenOutcome::Read => self.read += 1,
                    SeenOutcome::Left => {}
                    SeenOutcome::Ask(id) => _ = orphaned.insert(id),
                }
            }
            (self.progress)(self.read);
            if turns {
                // Orphaned twins are then asked for in a query of its own.
                return Ok(false);
            }
        }
        // Not listed is not absent: the twin may be younger than the query's view of the hub. So what is pending is not over.
        self.get_all(orphaned).await?;
        Ok(true)
    }

    async fn get_all(&mut self, ids: impl IntoIterator<Item = TwinId>) -> Result<(), Error> {
        let Self { reading: FleetReading { client, fold, concurrency, .. }, read, progress, answered } = self;
        let took = &mut || {
            answered.notify_one();
            *read += 1;
            progress(*read);
        };
        fold_all(client, fold, ids, *concurrency, took).await
    }
}

/// Asks how many twins the hub has; nothing when the answer is no number.
async fn count(client: &HubClient, kind: TwinKind) -> Result<Option<usize>, Error> {
    let mut pages = client.query(&format!("SELECT COUNT() AS n FROM {}", kind.source()), 1);
    let mut count = None;
    while let Some(page) = pages.next().await? {
        count = count.or(page.rows.first().and_then(|row| row.get("n")?.as_u64()));
    }
    Ok(count.and_then(|count| usize::try_from(count).ok()))
}

/// Returns twins that carry this fleet's record, as far as a query knows, and are not declared: each once, though pages of what changes
/// meanwhile may list one twice.
async fn orphaned(client: &HubClient, declarations: &Declarations, kind: TwinKind) -> Result<BTreeSet<TwinId>, Error> {
    let (fleet, names, source) = (&declarations.fleet, kind.names(), kind.source());
    let text = format!("SELECT {names} FROM {source} WHERE is_defined(tags.{RECORDS_KEY}.[[{fleet}]])");
    let mut pages = client.query(&text, MAX_PAGE);
    let mut orphaned = BTreeSet::new();
    while let Some(page) = pages.next().await? {
        for row in page.rows {
            let id = kind.id_of(&row, &pages)?;
            if !declarations.twins.contains_key(&id) {
                orphaned.insert(id);
            }
        }
    }
    Ok(orphaned)
}

fn named<Id: FromStr<Err = IdError>>(row: &Value, column: &str, pages: &Pages) -> Result<Id, Error> {
    match row.get(column) {
        Some(Value::String(id)) => id.parse().map_err(|error: IdError| pages.nonsense(error)),
        _ => Err(pages.nonsense(format!("a row has no {column}"))),
    }
}

/// What it takes to read so many declared twins.
#[derive(Clone, Copy)]
struct ReadCost {
    pending: usize,
    finds_orphaned: bool,
}

impl ReadCost {
    /// Says which way takes the hub's throttles less time, when a query has `rest` twins to list, `page` at a time.
    fn by(self, rest: usize, page: usize) -> ReadBy {
        let pages = |rows: usize| rows.div_ceil(page).max(1) as f64 / LIMITS.rate(Class::Queries);
        let gets = |count: usize| count as f64 / LIMITS.rate(Class::TwinReads);
        // By GET, orphaned ones are asked for in a query of its own, which lists most of what is declared.
        let orphaned = if self.finds_orphaned { pages(self.pending.min(rest)) } else { 0.0 };
        let by_get = gets(self.pending) + orphaned;
        let by_query = pages(rest) + gets(self.pending.saturating_sub(rest));
        if by_query < by_get { ReadBy::Query } else { ReadBy::Get }
    }
}

#[cfg(test)]
mod tests;
