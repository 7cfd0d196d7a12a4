//! Answers as text, for whoever compares what is in them and reads whole only what differs.

use tokio::task::JoinSet;

use super::error::Error;
use super::pages::{PageText, Pages};
use super::send::{Answer, Call};
use super::{HubClient, says_absent, twin};
use iothub_model::twin::{Lookup, ModuleId, TwinId};
use iothub_model::wire::raw_twin::RawTwin;
use iothub_model::wire::twins::twin_path;

/// What a read of one twin found, not taken apart yet.
pub(crate) enum RawLookup {
    /// The twin.
    Found(TwinText),
    /// The hub said that there is none.
    Absent(TwinId),
}

/// A twin as the hub answered it.
pub(crate) struct TwinText {
    id: TwinId,
    answer: Answer,
}

impl TwinText {
    /// Finds the members of the twin that was asked for. Nothing says only that it is to be read whole.
    pub(crate) fn raw(&self) -> Option<RawTwin<'_>> {
        let twin = RawTwin::find(std::str::from_utf8(self.answer.body()).ok()?)?;
        let module = self.id.module.as_ref().map(ModuleId::as_str);
        (twin.device == self.id.device.as_str() && twin.module == module).then_some(twin)
    }

    /// Returns which twin was asked for.
    pub(crate) fn id(&self) -> &TwinId {
        &self.id
    }

    /// Reads it whole.
    pub(crate) fn read(&self) -> Result<Lookup, Error> {
        Ok(Lookup::Found(Box::new(twin(&self.answer, &self.id)?)))
    }
}

impl HubClient {
    /// Reads a twin as [`HubClient::get_twin`] does, and leaves it as it came.
    pub(crate) async fn get_twin_text(&self, id: TwinId) -> Result<RawLookup, Error> {
        match self.transport().read(&Call::new("GET", twin_path(&id))).await {
            Ok(answer) => Ok(RawLookup::Found(TwinText { id, answer })),
            Err(error) if says_absent(&error) => Ok(RawLookup::Absent(id)),
            Err(error) => Err(error),
        }
    }
}

/// Pages of which the next can be asked for while one is looked at. Dropped, it asks no more.
pub(crate) struct PagesAhead {
    /// Not while they are asked.
    pages: Option<Pages>,
    asking: JoinSet<(Pages, Result<Option<PageText>, Error>)>,
}

impl PagesAhead {
    /// Asks nothing yet.
    pub(crate) fn new(pages: Pages) -> Self {
        Self { pages: Some(pages), asking: JoinSet::new() }
    }

    /// Starts to ask for the next page.
    pub(crate) fn ask(&mut self) {
        if let Some(mut pages) = self.pages.take() {
            self.asking.spawn(async move {
                let page = pages.next_text().await;
                (pages, page)
            });
        }
    }

    /// Returns the next page, asked for now if it was not before; nothing after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<PageText>, Error> {
        self.ask();
        match self.asking.join_next().await.expect("it is asked for on the line above") {
            Ok((pages, page)) => {
                self.pages = Some(pages);
                page
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
