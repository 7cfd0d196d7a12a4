//! The answer to a query, page after page: it ends when the hub says so, and fails rather than ends early.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use http::HeaderValue;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::HubClient;
use super::error::{Error, RequestLine};
use super::send::{Answer, Call};
use iothub_model::twin::Twin;
use iothub_model::wire::query::{
    CONTINUATION_HEADER, ITEM_TYPE_HEADER, MAX_ITEM_COUNT_HEADER, MAX_PAGE, PATH, QueryBody,
};
use iothub_model::wire::twins::decode_twin;

/// The largest page, in bytes: a thousand twins of 130 kB each, metadata included.
const PAGE_CEILING: usize = 128 << 20;
/// How many pages without a row may follow one another. A query whose condition few devices of a large hub meet may have some.
const EMPTY_MAX: usize = 1000;
/// How many pages a query may have: a million devices with fifty modules each, a thousand a page.
const PAGES_MAX: usize = 50_000;

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page {
    /// What the rows are, as the hub says it: `Twin`, `Raw`, `DeviceJob`.
    pub item_type: Option<String>,
    /// The rows, each of them a JSON object. May be empty without being the last.
    pub rows: Vec<Value>,
}

/// One page of twins, not taken apart yet.
pub(crate) struct PageText {
    pub(super) answer: Answer,
    pub(super) number: usize,
}

impl PageText {
    /// Returns the rows, each the text of a JSON object.
    pub(crate) fn rows(&self) -> Result<Vec<&str>, Error> {
        let rows = read_rows::<&RawValue>(&self.answer).map_err(|problem| self.nonsense(problem))?;
        if let Some(index) = rows.iter().position(|row| !row.get().starts_with('{')) {
            return Err(self.nonsense(format!("row {} is not an object", index + 1)));
        }
        Ok(rows.into_iter().map(RawValue::get).collect())
    }

    /// Reads one of the rows whole.
    pub(crate) fn twin(&self, row: &str) -> Result<Twin, Error> {
        let value = serde_json::from_str(row).map_err(|error| self.nonsense(error))?;
        decode_twin(value).map_err(|error| self.nonsense(error))
    }

    fn nonsense(&self, problem: impl std::fmt::Display) -> Error {
        self.answer.nonsense(format!("page {} of the query: {problem}", self.number))
    }
}

impl HubClient {
    /// Asks a query, with up to `page_size` rows a page. Nothing is sent until the first page is asked for.
    pub(crate) fn query(&self, text: &str, page_size: usize) -> Pages {
        Pages::new(self.clone(), text, page_size)
    }
}

/// The pages of one query's answer. Only one page is in memory at a time.
pub(crate) struct Pages {
    client: HubClient,
    text: String,
    page_size: usize,
    next: NextPage,
    /// Digests of the continuations that were followed, so that a hub that goes round in circles is found out.
    followed: HashSet<[u8; 32]>,
    number: usize,
    /// How many pages without a row came last.
    empty: usize,
}

enum NextPage {
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
            next: NextPage::First,
            followed: HashSet::new(),
            number: 0,
            empty: 0,
        }
    }

    /// Says that the page that came last makes no sense, for whoever finds out by reading its rows.
    pub(crate) fn nonsense(&self, problem: impl std::fmt::Display) -> Error {
        let request = RequestLine { method: "POST", path: PATH.to_owned(), host: self.client.host().clone() };
        Error::Nonsense { request, problem: format!("page {} of the query: {problem}", self.number) }
    }

    /// Asks for the next page, as patiently as any read; nothing after the last one.
    ///
    /// After an error the same page may be asked for again. Dropping the future loses nothing either.
    pub(crate) async fn next(&mut self) -> Result<Option<Page>, Error> {
        let Some(answer) = self.ask().await? else { return Ok(None) };
        let nonsense = |problem: String| answer.nonsense(format!("page {} of the query: {problem}", self.number + 1));
        let rows = read_rows::<Value>(&answer).map_err(nonsense)?;
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
            NextPage::First => {}
            NextPage::After(continuation) => call = call.header(CONTINUATION_HEADER, continuation.clone()),
            NextPage::Nothing => return Ok(None),
        }
        self.client.transport().read(&call).await.map(Some)
    }

    /// Goes on to the page after this one, unless there is no end to them.
    fn turn(&mut self, answer: &Answer) -> Result<(), Error> {
        let number = self.number + 1;
        let nonsense = |problem: String| answer.nonsense(format!("page {number} of the query: {problem}"));
        self.next = match answer.headers.get(CONTINUATION_HEADER) {
            None => NextPage::Nothing,
            // Neither an end, which has no such header, nor a page that could be asked for.
            Some(continuation) if continuation.is_empty() => {
                return Err(nonsense("its continuation is empty, so that the rest is not to be had".to_owned()));
            }
            Some(continuation) if !self.followed.insert(Sha256::digest(continuation.as_bytes()).into()) => {
                return Err(nonsense("its continuation leads back to a page that was there before".to_owned()));
            }
            Some(continuation) => NextPage::After(continuation.clone()),
        };
        self.empty = if is_empty_list(answer.body()) { self.empty + 1 } else { 0 };
        let goes_on = !matches!(self.next, NextPage::Nothing);
        if goes_on && self.empty >= EMPTY_MAX {
            return Err(nonsense(format!("the last {EMPTY_MAX} pages have no row, and yet another one is to follow")));
        }
        if goes_on && number >= PAGES_MAX {
            return Err(nonsense("no hub has so many rows, and yet another one is to follow".to_owned()));
        }
        self.number = number;
        Ok(())
    }
}

/// Reads the rows of a page; an error is what is wrong with it.
fn read_rows<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<Vec<T>, String> {
    match serde_json::from_slice::<PageRows<T>>(answer.body()) {
        Ok(rows) => Ok(rows.0),
        Err(error) if error.to_string().starts_with(TOO_MANY) => Err(format!("it has more than {MAX_PAGE} rows")),
        Err(error) if error.is_data() => Err("it is not a list of rows".to_owned()),
        Err(error) => Err(answer.why_no_json(&error)),
    }
}

fn is_empty_list(body: &[u8]) -> bool {
    let inside = body.trim_ascii().strip_prefix(b"[").and_then(|body| body.strip_suffix(b"]"));
    inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// The rows of a page, of which there are no more than can be asked for: nobody builds millions of empty ones.
struct PageRows<T>(Vec<T>);

const TOO_MANY: &str = "too many rows";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PageRows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = PageRows<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PageRows<T>, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = list.next_element()? {
                    if rows.len() == MAX_PAGE {
                        return Err(serde::de::Error::custom(TOO_MANY));
                    }
                    rows.push(row);
                }
                Ok(PageRows(rows))
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}
