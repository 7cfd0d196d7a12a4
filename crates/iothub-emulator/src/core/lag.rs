//! What queries see of a hub whose queries lag behind: each device as it was some time ago, and devices that are gone; modules
//! likewise.
//!
//! Only what changed within that time is kept, so memory follows the changes and not the fleet.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use time::Duration;
use time::OffsetDateTime;

/// The difference between the devices, or the modules, as they are and as queries see them.
#[derive(Debug)]
pub(crate) struct Lag<T> {
    by: Duration,
    /// What queries see of those that changed meanwhile, by their place in the order of creation.
    seen: BTreeMap<u64, Seen<T>>,
    /// Changes that queries do not see yet, in their order.
    coming: VecDeque<PendingChange<T>>,
}

#[derive(Debug)]
struct Seen<T> {
    /// Nothing for one that they do not see yet.
    what: Option<Arc<T>>,
    /// How many changes to it are coming.
    coming: usize,
}

#[derive(Debug)]
struct PendingChange<T> {
    at: OffsetDateTime,
    sequence: u64,
    what: Option<Arc<T>>,
}

impl<T> Lag<T> {
    pub(crate) fn new(by: std::time::Duration) -> Self {
        let by = Duration::try_from(by).unwrap_or(Duration::MAX);
        Self { by, seen: BTreeMap::new(), coming: VecDeque::new() }
    }

    /// Notes a change: what was there before it, and what is there now.
    pub(crate) fn change(&mut self, sequence: u64, before: Option<Arc<T>>, after: Option<Arc<T>>, now: OffsetDateTime) {
        self.seen.entry(sequence).or_insert(Seen { what: before, coming: 0 }).coming += 1;
        let at = now.checked_add(self.by).unwrap_or(now);
        self.coming.push_back(PendingChange { at, sequence, what: after });
    }

    /// Lets queries see what has been so for long enough.
    pub(crate) fn settle(&mut self, now: OffsetDateTime) {
        while let Some(PendingChange { sequence, what, .. }) = self.coming.pop_front_if(|change| change.at <= now) {
            let Some(seen) = self.seen.get_mut(&sequence) else { continue };
            seen.coming -= 1;
            seen.what = what;
            if seen.coming == 0 {
                // It is again as it is.
                self.seen.remove(&sequence);
            }
        }
    }

    /// Returns those after a place in the order of creation as queries see them.
    pub(crate) fn scan<'a>(&'a self, all: &'a BTreeMap<u64, Arc<T>>, after: u64) -> impl Iterator<Item = &'a Arc<T>> {
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let mut current = all.range(range).peekable();
        let mut seen = self.seen.range(range).peekable();
        std::iter::from_fn(move || {
            loop {
                let next = match (current.peek(), seen.peek()) {
                    (Some((at, _)), Some((earlier, _))) if earlier <= at => {
                        current.next_if(|(at, _)| at == earlier);
                        seen.next().and_then(|(_, seen)| seen.what.as_ref())
                    }
                    (Some(_), _) => current.next().map(|(_, one)| one),
                    (None, Some(_)) => seen.next().and_then(|(_, seen)| seen.what.as_ref()),
                    (None, None) => return None,
                };
                if next.is_some() {
                    return next;
                }
            }
        })
    }

    /// Says whether queries see something else than what is there, and if so what, which may be nothing.
    pub(crate) fn seen(&self, sequence: u64) -> Option<Option<&Arc<T>>> {
        self.seen.get(&sequence).map(|seen| seen.what.as_ref())
    }

    /// Returns those that changed meanwhile, as queries see them.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &Arc<T>> {
        self.seen.values().filter_map(|seen| seen.what.as_ref())
    }
}
