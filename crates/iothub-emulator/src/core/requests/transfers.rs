//! What can be asked about import and export jobs.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::Refusal;
use crate::core::record::Record;
use crate::core::state::Hub;
use crate::core::timestamp::timestamp;
use crate::core::transfer::{Transfer, check};
use iothub_model::wire::ErrorCode;
use iothub_model::wire::transfers::TransferProperties;
use iothub_model::wire::transfers::TransferStatus;

/// Asks for a job.
#[derive(Clone, Debug)]
pub(crate) struct CreateTransfer {
    /// Its id, random.
    pub(crate) id: String,
    /// What is asked.
    pub(crate) properties: Box<TransferProperties>,
}

impl Ask for CreateTransfer {
    type Reply = Arc<Transfer>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Transfers
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<Arc<Transfer>, Refusal> {
        check(&self.properties)?;
        if let Some(other) = hub.transfers.all().find(|transfer| !transfer.is_over()) {
            let text = format!("the job {} is not over, and one runs at a time", other.properties.job_id);
            return Err(Refusal::new(ErrorCode::JobQuotaExceeded, text));
        }
        let properties = TransferProperties {
            job_id: self.id,
            status: TransferStatus::Enqueued,
            progress: 0,
            start_time_utc: None,
            end_time_utc: None,
            failure_reason: None,
            ..*self.properties
        };
        let transfer = Transfer { sequence: hub.last_sequence() + 1, revision: 0, properties };
        Ok(hub.write_transfer(transfer, records))
    }
}

/// A job as it is.
#[derive(Clone, Debug)]
pub(crate) struct GetTransfer {
    /// Which.
    pub(crate) id: String,
}

impl Ask for GetTransfer {
    type Reply = Arc<Transfer>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Transfers
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Arc<Transfer>, Refusal> {
        hub.transfers.get(&self.id).cloned()
    }
}

/// All jobs, in order of creation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListTransfers;

impl Ask for ListTransfers {
    type Reply = Vec<Arc<Transfer>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Transfers
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        Ok(hub.transfers.all().cloned().collect())
    }
}

/// Stops a job.
#[derive(Clone, Debug)]
pub(crate) struct CancelTransfer {
    /// Which.
    pub(crate) id: String,
}

impl Ask for CancelTransfer {
    type Reply = Arc<Transfer>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Transfers
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Arc<Transfer>, Refusal> {
        let mut transfer = Transfer::clone(hub.transfers.get(&self.id)?);
        if transfer.is_over() {
            let text = "the job is over, and only one that is not can be cancelled";
            return Err(Refusal::new(ErrorCode::OperationNotAllowedInCurrentState, text));
        }
        transfer.properties.status = TransferStatus::Cancelled;
        transfer.properties.end_time_utc = Some(timestamp(now));
        Ok(hub.write_transfer(transfer, records))
    }
}

/// Begins the job that waits; replies with none when none does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BeginTransfer;

impl Ask for BeginTransfer {
    type Reply = Option<Arc<Transfer>>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Transfers
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Some(mut transfer) = hub.transfers.in_status(TransferStatus::Enqueued) else { return Ok(None) };
        transfer.properties.status = TransferStatus::Running;
        transfer.properties.start_time_utc = Some(timestamp(now));
        Ok(Some(hub.write_transfer(transfer, records)))
    }
}

/// Says how far the job at work is. Nothing changes when it was cancelled.
#[derive(Clone, Debug)]
pub(crate) struct AdvanceTransfer {
    /// Which.
    pub(crate) id: String,
    /// In percent.
    pub(crate) progress: u64,
}

impl Ask for AdvanceTransfer {
    type Reply = Arc<Transfer>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Transfers
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<Arc<Transfer>, Refusal> {
        let transfer = hub.transfers.get(&self.id)?;
        if transfer.is_over() || transfer.properties.progress == self.progress {
            return Ok(transfer.clone());
        }
        let mut transfer = Transfer::clone(transfer);
        transfer.properties.progress = self.progress;
        Ok(hub.write_transfer(transfer, records))
    }
}

/// Ends the job at work, whichever it is, and replies with it; with none when none is.
#[derive(Clone, Debug)]
pub(crate) struct EndTransfer {
    /// Why it could not go on, if it could not.
    pub(crate) failure: Option<String>,
}

impl Ask for EndTransfer {
    type Reply = Option<Arc<Transfer>>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Transfers
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Some(mut transfer) = hub.transfers.in_status(TransferStatus::Running) else { return Ok(None) };
        transfer.properties.end_time_utc = Some(timestamp(now));
        match self.failure {
            None => {
                transfer.properties.status = TransferStatus::Completed;
                transfer.properties.progress = 100;
            }
            failure => {
                transfer.properties.status = TransferStatus::Failed;
                transfer.properties.failure_reason = failure;
            }
        }
        Ok(Some(hub.write_transfer(transfer, records)))
    }
}

impl Hub {
    fn write_transfer(&mut self, transfer: Transfer, records: &mut Vec<Record>) -> Arc<Transfer> {
        let transfer = Arc::new(Transfer { revision: self.next_revision(), ..transfer });
        self.write(Record::Transfer(transfer.sequence, Some(transfer.clone())), records);
        transfer
    }
}
