//! What queries see of a hub whose queries lag behind: each device as it was some time ago, and devices that are gone.
//!
//! Only what changed within that time is kept, so memory follows the changes and not the fleet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::device::Device;

/// The difference between the devices as they are and as queries see them.
#[derive(Debug)]
pub(super) struct Lag {
    by: Duration,
    /// What queries see of devices that changed meanwhile, by their place in the order of creation.
    seen: BTreeMap<u64, Seen>,
    /// Changes that queries do not see yet, in their order.
    coming: VecDeque<Coming>,
}

#[derive(Debug)]
struct Seen {
    /// Nothing for a device that they do not see yet.
    device: Option<Arc<Device>>,
    /// How many changes to it are coming.
    coming: usize,
}

#[derive(Debug)]
struct Coming {
    at: OffsetDateTime,
    sequence: u64,
    device: Option<Arc<Device>>,
}

impl Lag {
    pub(super) fn new(by: std::time::Duration) -> Self {
        let by = Duration::try_from(by).unwrap_or(Duration::MAX);
        Self { by, seen: BTreeMap::new(), coming: VecDeque::new() }
    }

    /// Notes a change: what was there before it, and what is there now.
    pub(super) fn change(
        &mut self,
        sequence: u64,
        before: Option<Arc<Device>>,
        after: Option<Arc<Device>>,
        now: OffsetDateTime,
    ) {
        self.seen.entry(sequence).or_insert(Seen { device: before, coming: 0 }).coming += 1;
        let at = now.checked_add(self.by).unwrap_or(now);
        self.coming.push_back(Coming { at, sequence, device: after });
    }

    /// Lets queries see what has been so for long enough.
    pub(super) fn settle(&mut self, now: OffsetDateTime) {
        while let Some(Coming { sequence, device, .. }) = self.coming.pop_front_if(|change| change.at <= now) {
            let Some(seen) = self.seen.get_mut(&sequence) else { continue };
            seen.coming -= 1;
            seen.device = device;
            if seen.coming == 0 {
                // It is again as it is.
                self.seen.remove(&sequence);
            }
        }
    }

    /// Returns the devices after a place in the order of creation as queries see them.
    pub(super) fn scan<'a>(
        &'a self,
        devices: &'a BTreeMap<u64, Arc<Device>>,
        after: u64,
    ) -> impl Iterator<Item = &'a Arc<Device>> {
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let mut current = devices.range(range).peekable();
        let mut seen = self.seen.range(range).peekable();
        std::iter::from_fn(move || {
            loop {
                let next = match (current.peek(), seen.peek()) {
                    (Some((at, _)), Some((earlier, _))) if earlier <= at => {
                        current.next_if(|(at, _)| at == earlier);
                        seen.next().and_then(|(_, seen)| seen.device.as_ref())
                    }
                    (Some(_), _) => current.next().map(|(_, device)| device),
                    (None, Some(_)) => seen.next().and_then(|(_, seen)| seen.device.as_ref()),
                    (None, None) => return None,
                };
                if next.is_some() {
                    return next;
                }
            }
        })
    }

    /// Says whether queries see something else than what is there, and if so what, which may be nothing.
    pub(super) fn seen(&self, sequence: u64) -> Option<Option<&Arc<Device>>> {
        self.seen.get(&sequence).map(|seen| seen.device.as_ref())
    }

    /// Returns the devices that changed meanwhile, as queries see them.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.seen.values().filter_map(|seen| seen.device.as_ref())
    }
}
