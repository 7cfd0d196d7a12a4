//! Which twins carry this fleet's record. A declared twin without it was replaced, was registered anew, or was never applied.

use std::collections::BTreeMap;

use iothub_model::twin::TwinId;

/// What one twin holds of this fleet's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RecordState {
    /// No record.
    #[default]
    Absent,
    /// A record that owns nothing. twinctl never writes one.
    Empty,
    /// A record that owns something, or one that cannot be read.
    Kept,
}

/// How a twin's record was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordLoss {
    /// The twin has no record of this fleet, though the fleet declares paths for it.
    Absent,
    /// The twin has a record that owns nothing.
    Emptied,
}

/// The twins of a plan that carry this fleet's record, and those that should and do not.
///
/// With `ownership: none` there are neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetRecords {
    /// The number of twins that carry a record, orphaned devices included.
    pub carriers: usize,
    /// The twins that lack their record.
    pub lost: BTreeMap<TwinId, RecordLoss>,
}

impl FleetRecords {
    /// Takes in a twin. `is_expected` if the fleet declares paths for it.
    pub(super) fn take(&mut self, id: &TwinId, state: RecordState, is_expected: bool) {
        let loss = match state {
            RecordState::Absent => is_expected.then_some(RecordLoss::Absent),
            RecordState::Empty => Some(RecordLoss::Emptied),
            RecordState::Kept => None,
        };
        self.carriers += usize::from(state != RecordState::Absent);
        if let Some(loss) = loss {
            self.lost.insert(id.clone(), loss);
        }
    }

    pub(super) fn take_over(&mut self, rest: Self) {
        self.carriers += rest.carriers;
        self.lost.extend(rest.lost);
    }

    /// Returns the twins without a record, sorted, if other twins of the fleet carry one. If none does, the fleet may never have
    /// been applied.
    pub fn lost_beside_others(&self) -> impl Iterator<Item = &TwinId> {
        let lost = self.lost.iter().filter(|&(_, &loss)| loss == RecordLoss::Absent && self.carriers > 0);
        lost.map(|(id, _)| id)
    }

    /// Restores what a plan file has: the twins without a record, beside others that carry one.
    pub(super) fn of_lost_beside_others(ids: Vec<TwinId>) -> Self {
        Self {
            carriers: usize::from(!ids.is_empty()),
            lost: ids.into_iter().map(|id| (id, RecordLoss::Absent)).collect(),
        }
    }
}
