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

use super::selection::Membership;
use crate::client::{Error, HubClient, Pages, PagesAhead, RawLookup};
use crate::manifest::Declarations;
use crate::plan::ownership::{RECORDS_KEY, may_have_records};
use crate::plan::{ImpactObserver, Planner, ReadBy};
use iothub_model::query::Collection;
use iothub_model::tiers::{Class, Limits};
use iothub_model::twin::{IdError, Lookup, Twin, TwinId};
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
    /// Gets every declared twin, and every other twin that carries this fleet's record.
    pub planner: &'a mut Planner<'d>,
    /// Sees what the planner gets and what comes of it, and twins that were read beside.
    pub observer: &'a mut ImpactObserver<'d>,
    /// Says which twins must not be planned by these declarations, since they belong into other selections.
    pub membership: &'a mut Membership<'d>,
    /// What the planner plans by.
    pub declarations: &'d Declarations,
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

/// Pushes every declared twin into the planner, and every other twin that carries this fleet's record.
///
/// No more GETs are under way at once than `concurrency` says; beside them the hub is asked for orphaned ones, one page of devices and one
/// of modules at a time. `progress` is told how many twins have been read. Fails whole: after an error the plan must not be finished,
/// since what was not read is not known.
pub(crate) async fn read_fleet(
    reading: FleetReading<'_, '_>,
    progress: &mut (dyn FnMut(usize) + Send),
) -> Result<FleetRead, Error> {
    let (client, declarations, finds_orphaned) =
        (reading.client, reading.declarations, reading.planner.finds_orphaned());
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
        let pending: Vec<_> = pass.reading.planner.pending().cloned().collect();
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
        self.reading.planner.pending().filter(move |id| kind.has(id))
    }

    fn cost(&self, pending: usize) -> ReadCost {
        ReadCost { pending, finds_orphaned: self.reading.planner.finds_orphaned() }
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
                let twin = RawTwin::find(text).and_then(|twin| Some((twin.id()?, twin)));
                if !twin.is_some_and(|(id, twin)| self.take_unchanged(&id, &twin) || self.take_unmanaged(&id, &twin)) {
                    self.take_listed(page.twin(text)?, &mut orphaned);
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

    /// Takes a pending twin of which its text shows that it is as declared: most are, and of these no tree is built but of what checks,
    /// selectors and target conditions look at.
    fn take_unchanged(&mut self, id: &TwinId, twin: &RawTwin<'_>) -> bool {
        let FleetReading { planner, observer, membership, declarations, .. } = &mut self.reading;
        let Some(declaration) = declarations.twins.get(id).filter(|_| planner.is_pending(id)) else { return false };
        // What is in doubt is found to be so when it is read whole.
        let Some(excerpt) = observer.excerpt(id, twin).filter(|it| membership.agrees(id, it)) else { return false };
        let Some(unchanged) = planner.push_unchanged(id, twin) else { return false };
        observer.unchanged(id, &excerpt, unchanged, &declaration.body);
        self.read += 1;
        true
    }

    /// Takes a twin that a query listed and that the plan is not about, if its text is enough to see that.
    fn take_unmanaged(&mut self, id: &TwinId, twin: &RawTwin<'_>) -> bool {
        let FleetReading { planner, observer, membership, declarations, .. } = &mut self.reading;
        let is_left_out = observer.leaves_out(id);
        if planner.is_pending(id) || !is_left_out && twin.tags.is_some_and(may_have_records) {
            return false;
        }
        if !is_left_out && declarations.twins.contains_key(id) {
            // It was there before.
            return true;
        }
        let Some(excerpt) = observer.excerpt(id, twin) else { return false };
        if !is_left_out && !membership.agrees(id, &excerpt) {
            return false;
        }
        observer.unmanaged_excerpt(id, &excerpt);
        true
    }

    fn take_listed(&mut self, twin: Twin, orphaned: &mut BTreeSet<TwinId>) {
        let declarations = self.reading.declarations;
        if self.reading.planner.is_pending(&twin.id) {
            // One that is in doubt stays pending, and is read by GET in the end.
            if !self.reading.membership.is_doubtful(&twin) && !self.reading.planner.is_doubtful(&twin) {
                self.read += 1;
                self.push(Lookup::Found(Box::new(twin)));
            }
        } else if self.reading.observer.leaves_out(&twin.id) {
            self.reading.observer.unmanaged(&twin);
        } else if declarations.twins.contains_key(&twin.id) {
            // It was there before.
        } else if self.reading.planner.finds_orphaned()
            && twin.tags.0.get(RECORDS_KEY).and_then(|all| all.get(declarations.fleet.as_str())).is_some()
            || self.reading.membership.is_doubtful(&twin)
        {
            orphaned.insert(twin.id);
        } else {
            self.reading.observer.unmanaged(&twin);
        }
    }

    /// Hands a twin to the planner, and what comes of it to the observer.
    fn push(&mut self, lookup: Lookup) {
        let FleetReading { planner, observer, declarations, .. } = &mut self.reading;
        let body = declarations.twins.get(lookup.id()).map(|declaration| &*declaration.body);
        let seen = observer.look(&lookup, body);
        let plan = planner.push(lookup);
        if let Some(seen) = seen {
            observer.planned(seen, plan, body);
        }
    }

    /// Reads twins by GET and pushes each as it comes, but those that belong into other selections than they are declared in.
    async fn get_all(&mut self, ids: impl IntoIterator<Item = TwinId>) -> Result<(), Error> {
        let (client, concurrency) = (self.reading.client, self.reading.concurrency.max(1));
        let mut lookups = stream::iter(ids).map(|id| client.get_twin_text(id)).buffer_unordered(concurrency);
        while let Some(lookup) = lookups.try_next().await? {
            self.answered.notify_one();
            let whole = match lookup {
                RawLookup::Found(text) if text.raw().is_some_and(|twin| self.take_unchanged(text.id(), &twin)) => None,
                RawLookup::Found(text) => Some(text.read()?),
                RawLookup::Absent(id) => Some(Lookup::Absent(id)),
            };
            if let Some(lookup) = whole {
                if !self.reading.membership.settle(&lookup) {
                    self.push(lookup);
                }
                self.read += 1;
            }
            (self.progress)(self.read);
        }
        Ok(())
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
