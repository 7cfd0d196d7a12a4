//! The loop: does what the scheduler asks for, with so many requests under way, and tells it what came of them.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::event::ApplyEvent;
use super::request::{GuardedPatch, TwinRequest};
use super::scheduler::{Scheduler, Step, StepOutcome};
use crate::cancel::CancelFlag;
use crate::client::HubClient;
use crate::client::retry::random_fraction;
use iothub_model::twin::TwinId;

/// How long a read may still take once the run is to end: it tells what became of a write, so it is worth a moment.
const READ_GRACE: Duration = Duration::from_secs(10);

/// Drives the scheduler to its end.
pub(super) async fn drive(
    mut scheduler: Scheduler<'_>,
    client: &HubClient,
    stop: &CancelFlag,
    events: &mut (dyn FnMut(ApplyEvent) + Send),
) {
    let started = Instant::now();
    let mut under_way = FuturesUnordered::new();
    let mut stopping = false;
    loop {
        if !stopping && stop.is_requested() {
            stopping = true;
            scheduler.stop();
        }
        match scheduler.next(started.elapsed()) {
            Step::Tell(event) => events(event),
            Step::Wait(until) => tokio::select! {
                Some((ticket, outcome)) = under_way.next() => {
                    scheduler.told(ticket, outcome, started.elapsed(), random_fraction());
                }
                () = sleep_until(until.map(|until| started + until)) => {}
                () = stop.requested(), if !stopping => {}
            },
            Step::End => return,
            Step::Send(ticket, id, request) => {
                let hurried = scheduler.is_ending();
                under_way.push(async move { (ticket, perform(id, request, hurried, client, stop).await) });
            }
        }
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Sends a request. While the run is to end, which makes it `hurried`, a read gets a moment and not more.
async fn perform(
    id: &TwinId,
    request: TwinRequest,
    hurried: bool,
    client: &HubClient,
    stop: &CancelFlag,
) -> StepOutcome {
    match request {
        TwinRequest::Register => StepOutcome::Registered(match &id.module {
            None => client.create_device(&id.device).await.map(|_identity| ()),
            Some(module) => client.create_module(&id.device, module).await.map(|_identity| ()),
        }),
        TwinRequest::Read | TwinRequest::Refresh => {
            let too_long = async {
                if !hurried {
                    stop.requested().await;
                }
                tokio::time::sleep(READ_GRACE).await;
            };
            tokio::select! {
                answer = client.get_twin(id) => StepOutcome::Read(answer),
                () = too_long => StepOutcome::Unread,
            }
        }
        TwinRequest::Patch(GuardedPatch { etag, patch }) => {
            StepOutcome::Patched(client.update_twin(id, &patch, &etag).await)
        }
    }
}
