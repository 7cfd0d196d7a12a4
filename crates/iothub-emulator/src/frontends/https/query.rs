//! `POST /devices/query`: a page of rows, and where the next one begins.
//!
//! The fleet is looked through in slices in the order of creation, so the machine is never locked for longer than it takes to
//! hand out a slice, and no other request waits for a long query. A page's end is the place of its last row in that order,
//! which stays what it is while devices come, change and go.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;

use crate::core::ask::Ask;
use crate::core::command::Refusal;
use crate::core::device::Device;
use crate::core::document::Document;
use crate::core::jobs::DeviceJob;
use crate::core::module::Module;
use crate::core::requests::devices::{FindDevices, ScanDevices};
use crate::core::requests::jobs::ScanDeviceJobs;
use crate::core::requests::modules::{FindModules, ScanModules};
use crate::frontends::https::call::{ServiceCall, ServiceConnect, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{json, text_of};
use iothub_model::query;
use iothub_model::query::BoundQuery;
use iothub_model::query::Collection;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::query::CONTINUATION_HEADER;
use iothub_model::wire::query::ITEM_TYPE_HEADER;
use iothub_model::wire::query::ItemType;
use iothub_model::wire::query::MAX_ITEM_COUNT_HEADER;
use iothub_model::wire::query::MAX_PAGE;
use iothub_model::wire::query::QueryBody;

/// Rows of a page when nobody says how many.
const DEFAULT_PAGE: usize = 100;
/// Devices that are looked through before others get their turn: about a millisecond's work.
const SLICE: usize = 128;

pub(crate) async fn post(
    State(context): State<Arc<Context>>,
    call: ServiceCall<ServiceConnect>,
    body: Body,
) -> Result<Response, Refusal> {
    let QueryBody { query: text } = read_json(body).await?;
    let text = text.filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| Refusal::new(ErrorCode::ArgumentNull, "the body has no query"))?;
    let size = page_size(&call.headers)?;
    let query = compile(&text)?;
    let from = continuation(&call.headers, &text)?;
    let page = match query.is_aggregate() {
        true => aggregate_page(&context, &query, from, size).await?,
        false => row_page(&context, &query, from, size).await?,
    };
    Ok(page.into_response(&text, item_type(&query)))
}

/// The one place where text becomes a query. The service says no more than "BadRequest"; the reason after it is ours.
fn compile(text: &str) -> Result<BoundQuery, Refusal> {
    query::compile(text).map_err(|errors| {
        let reason = errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        Refusal::new(ErrorCode::ArgumentInvalid, format!("BadRequest{reason}"))
    })
}

fn item_type(query: &BoundQuery) -> ItemType {
    match (query.selects_documents(), query.collection()) {
        (true, Collection::Devices | Collection::Modules) => ItemType::Twin,
        (true, Collection::Jobs) => ItemType::DeviceJob,
        (false, _) => ItemType::Raw,
    }
}

fn page_size(headers: &HeaderMap) -> Result<usize, Refusal> {
    let Some(wish) = headers.get(MAX_ITEM_COUNT_HEADER) else { return Ok(DEFAULT_PAGE) };
    // A number too large for any integer is still a wish for as much as there is.
    let digits = wish.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.map(|digits| digits.parse::<usize>().unwrap_or(usize::MAX)) {
        Some(size) if size > 0 => Ok(size.min(MAX_PAGE)),
        _ => Err(Refusal::new(
            ErrorCode::ArgumentInvalid,
            format!("{MAX_ITEM_COUNT_HEADER} must be a positive decimal number"),
        )),
    }
}

/// Answers with the page of `rows` that the headers ask for. The rows come with their places in the order of creation, and `of`
/// says what they are rows of, so that a continuation is good for nothing else.
pub(crate) fn page_of(
    headers: &HeaderMap,
    of: &str,
    rows: impl Iterator<Item = (u64, String)>,
    item_type: ItemType,
) -> Result<Response, Refusal> {
    let size = page_size(headers)?;
    let from = continuation(headers, of)?;
    let mut page = Page::default();
    let mut last = from.after;
    for (sequence, row) in rows.filter(|(sequence, _)| *sequence > from.after) {
        if page.rows == size {
            page.next = Some(Cursor { after: last, rows: from.rows + size as u64 });
            break;
        }
        page.push(&row);
        last = sequence;
    }
    Ok(page.into_response(of, item_type))
}

fn continuation(headers: &HeaderMap, of: &str) -> Result<Cursor, Refusal> {
    match text_of(headers, &HeaderName::from_static(CONTINUATION_HEADER)) {
        None | Some("") => Ok(Cursor::default()),
        Some(continuation) => Cursor::decode(continuation, of),
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// The place of the last row's device in the order of creation; 0 for the first page.
    after: u64,
    /// Rows of the pages before.
    rows: u64,
}

impl Cursor {
    /// Writes it so that nobody reads more into it than a text to send back.
    fn encode(self, query: &str) -> String {
        URL_SAFE_NO_PAD.encode([self.position().as_slice(), &self.seal(query)].concat())
    }

    /// Reads it, and looks that it was given for this query.
    fn decode(continuation: &str, query: &str) -> Result<Self, Refusal> {
        let decoded = URL_SAFE_NO_PAD.decode(continuation).ok().and_then(|bytes| {
            let (after, rest) = bytes.split_first_chunk::<8>()?;
            let (rows, seal) = rest.split_first_chunk::<8>()?;
            let cursor = Self { after: u64::from_be_bytes(*after), rows: u64::from_be_bytes(*rows) };
            (cursor.seal(query) == seal).then_some(cursor)
        });
        decoded.ok_or_else(|| {
            let text = format!("{CONTINUATION_HEADER} was not given for this query");
            Refusal::new(ErrorCode::ArgumentInvalid, text)
        })
    }

    fn position(self) -> [u8; 16] {
        (u128::from(self.after) << 64 | u128::from(self.rows)).to_be_bytes()
    }

    fn seal(self, query: &str) -> [u8; 16] {
        let digest = Sha256::new().chain_update(self.position()).chain_update(query).finalize();
        std::array::from_fn(|at| digest[at])
    }
}

/// Rows on their way out.
#[derive(Default)]
struct Page {
    rows: usize,
    text: String,
    next: Option<Cursor>,
}

impl Page {
    fn push(&mut self, row: &str) {
        if self.rows > 0 {
            self.text.push(',');
        }
        self.text.push_str(row);
        self.rows += 1;
    }

    fn into_response(self, query: &str, item_type: ItemType) -> Response {
        let mut response = json(format!("[{}]", self.text));
        let headers = response.headers_mut();
        headers.insert(ITEM_TYPE_HEADER, HeaderValue::from_static(item_type.name()));
        // On the last page the header must not be there at all: some SDKs would ask on for ever.
        if let Some(next) = self.next.and_then(|next| HeaderValue::try_from(next.encode(query)).ok()) {
            headers.insert(CONTINUATION_HEADER, next);
        }
        response
    }
}

/// A page of rows that leave as they come.
async fn row_page(context: &Context, query: &BoundQuery, from: Cursor, size: usize) -> Result<Page, Refusal> {
    let mut page = Page::default();
    let allowed = query.top().map_or(u64::MAX, |top| top.saturating_sub(from.rows));
    let size = size.min(usize::try_from(allowed).unwrap_or(usize::MAX));
    let mut fleet = Fleet::of(context, query, from.after);
    let mut last = from.after;
    // A full page looks on for one more row, to know whether there is a next page; but not past what TOP allows.
    'fleet: while page.rows < size || allowed > size as u64 {
        let slice = fleet.next().await?;
        if slice.is_empty() {
            break;
        }
        for found in slice {
            if !query.matches_text(found.document.as_str()).expect("a kept document is JSON") {
                continue;
            }
            if page.rows == size {
                page.next = (allowed > size as u64).then(|| Cursor { after: last, rows: from.rows + size as u64 });
                break 'fleet;
            }
            if query.selects_documents() {
                page.push(found.document.as_str());
            } else if let Some(row) = query.row_text(found.document.as_str()) {
                page.push(&row);
            }
            last = found.sequence;
        }
    }
    Ok(page)
}

/// A page of what all devices come to together. Each page counts anew, so later pages show later states.
async fn aggregate_page(context: &Context, query: &BoundQuery, from: Cursor, size: usize) -> Result<Page, Refusal> {
    let mut fold = query.start();
    let mut fleet = Fleet::of(context, query, 0);
    loop {
        let slice = fleet.next().await?;
        if slice.is_empty() {
            break;
        }
        for found in slice {
            if let Some(document) = found.excerpt(query) {
                fold.push_with_text(&document, found.document.as_str());
            }
        }
    }
    let rows = fold.finish_in_order();
    let begin = usize::try_from(from.rows).unwrap_or(usize::MAX).min(rows.len());
    let end = begin.saturating_add(size).min(rows.len());
    let mut page = Page::default();
    for row in &rows[begin..end] {
        page.push(&row.to_string());
    }
    page.next = (end < rows.len()).then_some(Cursor { after: 0, rows: end as u64 });
    Ok(page)
}

/// A document that a query is asked of, and its place in the order of creation.
struct QueriedDocument {
    sequence: u64,
    document: Document,
}

impl QueriedDocument {
    /// Returns what a query looks at of the document; nothing where it cannot match.
    fn excerpt(&self, query: &BoundQuery) -> Option<Value> {
        let text = self.document.as_str();
        query.may_match(text).then(|| query.excerpt(text).expect("a kept document is JSON"))
    }
}

/// The documents that a query is asked of, a slice at a time.
enum Fleet<'a> {
    All { context: &'a Context, collection: Collection, after: u64 },
    Named { context: &'a Context, collection: Collection, after: u64, ids: Vec<String> },
    Nobody,
}

impl<'a> Fleet<'a> {
    fn of(context: &'a Context, query: &BoundQuery, after: u64) -> Self {
        let collection = query.collection();
        match (collection, query.device_ids()) {
            (Collection::Devices | Collection::Modules, Some(ids)) => {
                Self::Named { context, collection, after, ids: ids.into_iter().map(str::to_owned).collect() }
            }
            // Whose the outcomes of jobs are is asked of each.
            (Collection::Devices | Collection::Modules, None) | (Collection::Jobs, _) => {
                Self::All { context, collection, after }
            }
        }
    }

    /// Returns the next ones; none when there are no more.
    async fn next(&mut self) -> Result<Vec<QueriedDocument>, Refusal> {
        match self {
            Self::All { context, collection, after } => {
                tokio::task::yield_now().await;
                let slice = match collection {
                    Collection::Modules => find(context, ScanModules { after: *after, limit: SLICE }).await?,
                    Collection::Jobs => find(context, ScanDeviceJobs { after: *after, limit: SLICE }).await?,
                    Collection::Devices => find(context, ScanDevices { after: *after, limit: SLICE }).await?,
                };
                *after = slice.last().map_or(*after, |found| found.sequence);
                Ok(slice)
            }
            Self::Named { context, collection, after, ids } => {
                let ids = std::mem::take(ids);
                let mut found = match collection {
                    Collection::Modules => find(context, FindModules { devices: ids }).await?,
                    _ => find(context, FindDevices { ids }).await?,
                };
                found.retain(|found| found.sequence > *after);
                *self = Self::Nobody;
                Ok(found)
            }
            Self::Nobody => Ok(Vec::new()),
        }
    }
}

async fn find<A, T>(context: &Context, ask: A) -> Result<Vec<QueriedDocument>, Refusal>
where
    A: Ask<Reply = Vec<Arc<T>>>,
    QueriedDocument: for<'t> From<&'t T>,
{
    Ok(context.live.handle(ask).await?.iter().map(|found| QueriedDocument::from(&**found)).collect())
}

impl From<&Device> for QueriedDocument {
    fn from(device: &Device) -> Self {
        Self { sequence: device.sequence, document: device.twin.clone() }
    }
}

impl From<&Module> for QueriedDocument {
    fn from(module: &Module) -> Self {
        Self { sequence: module.sequence, document: module.twin.clone() }
    }
}

impl From<&DeviceJob> for QueriedDocument {
    fn from(outcome: &DeviceJob) -> Self {
        Self { sequence: outcome.sequence, document: outcome.document.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_for_one_query() {
        let cursor = Cursor { after: 7, rows: 100 };
        let text = cursor.encode("SELECT * FROM devices");
        assert_eq!(Cursor::decode(&text, "SELECT * FROM devices"), Ok(cursor));
        for (continuation, query) in [
            (text.as_str(), "SELECT deviceId FROM devices"),
            ("", "SELECT * FROM devices"),
            ("AAAA", "SELECT * FROM devices"),
            ("not base64!", "SELECT * FROM devices"),
            (&text[1..], "SELECT * FROM devices"),
            (&format!("B{}", &text[1..]), "SELECT * FROM devices"),
            (&format!("{text}AA"), "SELECT * FROM devices"),
        ] {
            let refusal = Cursor::decode(continuation, query).expect_err(continuation);
            assert_eq!(refusal.code, ErrorCode::ArgumentInvalid, "{continuation}");
        }
    }
}
