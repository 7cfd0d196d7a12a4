//! `POST /devices/query`: the body's one field, and the headers that page.

use serde::{Deserialize, Serialize};

/// Where queries are posted.
pub const PATH: &str = "/devices/query";
/// Asks for at most so many rows a page, a decimal number; the service may send fewer.
pub const MAX_ITEM_COUNT_HEADER: &str = "x-ms-max-item-count";
/// Asks for the page after one; opaque. Answers have it until the last page, which has none.
pub const CONTINUATION_HEADER: &str = "x-ms-continuation";
/// Says what the rows are; one of [`ItemType`]'s names, case and all.
pub const ITEM_TYPE_HEADER: &str = "x-ms-item-type";
/// The largest page that the SDKs' documentation speaks of.
pub const MAX_PAGE: usize = 1000;

/// What the rows of an answer are. C#'s client reads the name with its case and fails without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemType {
    /// Whole twins: `SELECT *` from devices or modules.
    Twin,
    /// A projection or an aggregate.
    Raw,
    /// A job's outcome on one device.
    DeviceJob,
    /// A job.
    JobResponse,
}

impl ItemType {
    /// Returns the name that the header has.
    pub fn name(self) -> &'static str {
        match self {
            Self::Twin => "Twin",
            Self::Raw => "Raw",
            Self::DeviceJob => "DeviceJob",
            Self::JobResponse => "JobResponse",
        }
    }
}

/// The body of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryBody {
    /// The query's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}
