//! The answer to a query, page after page: it ends when the hub says so, and fails rather than ends early.

use std::collections::HashSet;

use http::HeaderValue;
use serde_json::Value;

use super::HubClient;
use super::error::{Error, Request};
use super::raw::PageText;
use super::send::{Answer, Call};
use crate::wire::query::{CONTINUATION_HEADER, ITEM_TYPE_HEADER, MAX_ITEM_COUNT_HEADER, MAX_PAGE, PATH, QueryBody};

/// The largest page: a thousand twins of the largest size, with their metadata, are well below it.
const PAGE_CEILING: usize = 256 << 20;

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// What the rows are, as the hub says it: `Twin`, `Raw`, `DeviceJob`.
    pub item_type: Option<String>,
    /// The rows, each of them a JSON object. May be empty without being the last.
    pub rows: Vec<Value>,
}

/// The pages of one query's answer. Only one page is in memory at a time.
pub struct Pages {
    client: HubClient,
    text: String,
    page_size: usize,
    next: Next,
    /// The continuations that were followed, so that a hub that goes round in circles is found out.
    followed: HashSet<HeaderValue>,
    number: usize,
}

enum Next {
    First,
    After(HeaderValue),
    Nothing,
}

impl Pages {
    pub(super) fn new(client: HubClient, text: &str, page_size: usize) -> Self {
        Self {
            client,
            text: text.to_owned(),
            page_size: page_size.clamp(1, MAX_PAGE),
            next: Next::First,
            followed: HashSet::new(),
            number: 0,
        }
    }

    /// Says that the page that came last makes no sense, for whoever finds out by reading its rows.
    pub fn nonsense(&self, problem: impl std::fmt::Display) -> Error {
        let request = Request { method: "POST", path: PATH.to_owned(), host: self.client.host().clone() };
        Error::Nonsense { request, problem: format!("page {} of the query: {problem}", self.number) }
    }

    /// Asks for the next page, as patiently as any read; nothing after the last one.
    ///
    /// After an error the same page may be asked for again. Dropping the future loses nothing either.
    pub async fn next(&mut self) -> Result<Option<Page>, Error> {
        let Some(answer) = self.ask().await? else { return Ok(None) };
        let nonsense = |problem: String| answer.nonsense(format!("page {} of the query: {problem}", self.number + 1));
        let Value::Array(rows) = answer.json()? else { return Err(nonsense("it is not a list of rows".to_owned())) };
        if let Some(index) = rows.iter().position(|row| !row.is_object()) {
            return Err(nonsense(format!("row {} is not an object", index + 1)));
        }
        let item_type = answer.headers.get(ITEM_TYPE_HEADER).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        self.turn(&answer)?;
        Ok(Some(Page { item_type, rows }))
    }

    /// The same, and leaves the page as it came.
    pub(super) async fn next_text(&mut self) -> Result<Option<PageText>, Error> {
        let Some(answer) = self.ask().await? else { return Ok(None) };
        self.turn(&answer)?;
        Ok(Some(PageText { answer, number: self.number }))
    }

    async fn ask(&self) -> Result<Option<Answer>, Error> {
        let mut call = Call::new("POST", PATH.to_owned())
            .header(MAX_ITEM_COUNT_HEADER, HeaderValue::from(self.page_size))
            .body(&QueryBody { query: Some(self.text.clone()) })
            .ceiling(PAGE_CEILING);
        match &self.next {
            Next::First => {}
            Next::After(continuation) => call = call.header(CONTINUATION_HEADER, continuation.clone()),
            Next::Nothing => return Ok(None),
        }
        self.client.transport().read(&call).await.map(Some)
    }

    /// Goes on to the page after this one.
    fn turn(&mut self, answer: &Answer) -> Result<(), Error> {
        let number = self.number + 1;
        let nonsense = |problem: String| answer.nonsense(format!("page {number} of the query: {problem}"));
        self.next = match answer.headers.get(CONTINUATION_HEADER) {
            None => Next::Nothing,
            // Neither an end, which has no such header, nor a page that could be asked for.
            Some(continuation) if continuation.is_empty() => {
                return Err(nonsense("its continuation is empty, so that the rest is not to be had".to_owned()));
            }
            Some(continuation) if !self.followed.insert(continuation.clone()) => {
                return Err(nonsense("its continuation leads back to a page that was there before".to_owned()));
            }
            Some(continuation) => Next::After(continuation.clone()),
        };
        self.number = number;
        Ok(())
    }
}
