//! What a check will say: its queries over the twins with the plan applied.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Forecast, Prediction};
use crate::check::{Check, Expectation, evaluate};
use crate::manifest::Sensitive;
use iothub_model::query::{BoundQuery, Collection, Fold, Remainder};
use iothub_model::twin::TwinId;

/// What must be asked of the hub to know what a check will say: about twins that the pass has not seen.
#[derive(Clone, Debug)]
pub(crate) struct Question<'d> {
    remainder: Remainder<'d>,
    check: usize,
    is_whole: bool,
}

impl Question<'_> {
    /// Returns the query.
    pub(crate) fn text(&self) -> &str {
        self.remainder.text()
    }
}

/// All checks, being answered.
#[derive(Debug)]
pub(super) struct Forecasts<'d> {
    checks: Vec<PendingForecast<'d>>,
}

#[derive(Debug)]
struct PendingForecast<'d> {
    check: &'d Check,
    rows: QueryProgress<'d>,
    /// Of the other query, for a share.
    whole: Option<QueryProgress<'d>>,
    unknown: Option<String>,
}

/// One query in progress.
#[derive(Debug)]
struct QueryProgress<'d> {
    query: &'d BoundQuery,
    fold: Fold<'d>,
    found: Vec<Value>,
    /// The twins outside the plan that matched, so that none counts twice.
    unmanaged: HashSet<TwinId>,
}

impl<'d> QueryProgress<'d> {
    fn new(query: &'d BoundQuery) -> Self {
        Self { query, fold: query.start_without_top(), found: Vec::new(), unmanaged: HashSet::new() }
    }

    /// Takes a twin, as much of it as the query looks at.
    fn push(&mut self, id: &TwinId, document: &Value) {
        // Of whole twins no more is looked at than which they are, as in the checks themselves.
        if self.query.selects_documents() {
            if self.query.matches(document) {
                self.found.push(json!({ "deviceId": id.device }));
            }
        } else {
            self.found.extend(self.fold.push(document));
        }
    }

    fn push_unmanaged(&mut self, id: &TwinId, document: &Value) {
        if self.query.matches(document) && self.unmanaged.insert(id.clone()) {
            self.push(id, document);
        }
    }

    /// Ends the query: its rows as `TOP` leaves them, and, where it takes some away, how many it leaves of how many.
    fn finish(self) -> (Vec<Value>, Option<(usize, usize)>) {
        let mut rows = self.found;
        rows.extend(self.fold.finish());
        let all = rows.len();
        if let Some(top) = self.query.top() {
            rows.truncate(usize::try_from(top).unwrap_or(usize::MAX));
        }
        let left = rows.len();
        (rows, (left < all).then_some((left, all)))
    }
}

impl<'d> PendingForecast<'d> {
    fn new(check: &'d Check) -> Self {
        let whole = check.expect.whole();
        let asks_jobs = |query: &BoundQuery| query.collection() == Collection::Jobs;
        let unknown = if asks_jobs(&check.query) || whole.is_some_and(asks_jobs) {
            Some("it asks about jobs, of which a plan knows nothing".to_owned())
        } else if check.query.selects_documents()
            && matches!(check.expect, Expectation::Rows(_) | Expectation::Columns(_))
        {
            Some("it compares whole twins, whose etags and times are not known beforehand".to_owned())
        } else {
            None
        };
        Self { check, rows: QueryProgress::new(&check.query), whole: whole.map(QueryProgress::new), unknown }
    }

    fn queries(&mut self) -> impl Iterator<Item = &mut QueryProgress<'d>> {
        let is_open = self.unknown.is_none();
        std::iter::once(&mut self.rows).chain(&mut self.whole).filter(move |_| is_open)
    }

    fn forecast(self, sensitive: &Sensitive) -> Prediction {
        let Self { check, rows, whole, unknown } = self;
        let mut reads = check.query.live_paths().to_vec();
        if let Some(whole) = &whole {
            reads.extend(whole.query.live_paths().iter().cloned());
            reads.sort_unstable();
            reads.dedup();
        }
        // Of rows that are only counted it does not matter which ones `TOP` leaves.
        let told = match check.expect {
            Expectation::Rows(_) | Expectation::Devices(_) | Expectation::Columns(_) => true,
            Expectation::Share { .. } => check.query.is_aggregate(),
            Expectation::None | Expectation::Some | Expectation::Count(_) => false,
        };
        let (rows, cut) = rows.finish();
        let cut = cut.filter(|_| told);
        let (whole, whole_cut) = whole
            .map(|whole| (whole.query.is_aggregate(), whole.finish()))
            .map_or((None, None), |(told, (rows, cut))| (Some(rows), cut.filter(|_| told)));
        let forecast = match (unknown, cut.or(whole_cut)) {
            (Some(reason), _) => Forecast::Unknown(reason),
            (None, Some((top, all))) => {
                Forecast::Unknown(format!("its `TOP` takes {top} of {all} rows, and a hub does not say which"))
            }
            (None, None) => match (evaluate(check, &rows, whole.as_deref(), sensitive.paths()), reads.is_empty()) {
                (Ok(()), true) => Forecast::WillHold,
                (Err(difference), true) => Forecast::WillFail(difference),
                (outcome, false) => Forecast::DependsOnDevices { reads, as_it_is: outcome.err() },
            },
        };
        let (name, query) = (check.name.clone(), check.query.text().to_owned());
        Prediction { name, query, severity: check.severity, forecast }
    }
}

impl<'d> Forecasts<'d> {
    pub(super) fn new(checks: &'d [Check]) -> Self {
        Self { checks: checks.iter().map(PendingForecast::new).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// Returns the queries that are asked of twins of a collection.
    pub(super) fn queries(&self, collection: Collection) -> impl Iterator<Item = &'d BoundQuery> {
        let open = self.checks.iter().filter(|asked| asked.unknown.is_none());
        let all = open.flat_map(|asked| std::iter::once(&asked.rows).chain(&asked.whole)).map(|rows| rows.query);
        all.filter(move |query| query.collection() == collection)
    }

    /// Takes a twin of the plan, as it is to be: as much of it as the queries look at.
    pub(super) fn push(&mut self, id: &TwinId, planned: &Value) {
        let collection = collection_of(id);
        for rows in
            self.checks.iter_mut().flat_map(PendingForecast::queries).filter(|it| it.query.collection() == collection)
        {
            rows.push(id, planned);
        }
    }

    /// Takes a twin that the plan is not about, as it is: as much of it as the queries look at.
    pub(super) fn push_unmanaged(&mut self, id: &TwinId, document: &Value) {
        let collection = collection_of(id);
        for rows in
            self.checks.iter_mut().flat_map(PendingForecast::queries).filter(|it| it.query.collection() == collection)
        {
            rows.push_unmanaged(id, document);
        }
    }

    /// Returns what to ask about twins of the collections that were not seen whole. `ours` are the devices that the plan is
    /// about, sorted.
    pub(super) fn questions(&mut self, unseen: &[Collection], ours: &[&str]) -> Vec<Question<'d>> {
        let mut questions = Vec::new();
        for (check, asked) in self.checks.iter_mut().enumerate().filter(|(_, asked)| asked.unknown.is_none()) {
            let mut too_long = false;
            for (is_whole, rows) in [(false, Some(&asked.rows)), (true, asked.whole.as_ref())] {
                let Some(rows) = rows.filter(|rows| unseen.contains(&rows.query.collection())) else { continue };
                let query = rows.query;
                let is_ours = |id: &&str| ours.binary_search(id).is_ok();
                if query.collection() == Collection::Devices
                    && query.device_ids().is_some_and(|ids| ids.iter().all(is_ours))
                {
                    continue;
                }
                // Totals cannot leave out unmanaged twins that were seen already.
                let totals = if rows.unmanaged.is_empty() { query.remainder_without(ours) } else { None };
                match totals.or_else(|| query.remainder()) {
                    Some(remainder) => questions.push(Question { remainder, check, is_whole }),
                    None => too_long = true,
                }
            }
            if too_long {
                asked.unknown = Some("what it finds among other twins would take too long a query".to_owned());
            }
        }
        questions
    }

    /// Takes a row of the answer to a question. `is_ours` says of which twins the plan knows better.
    pub(super) fn answer(
        &mut self,
        question: &Question<'_>,
        row: &Value,
        is_ours: impl Fn(&TwinId) -> bool,
    ) -> Result<(), String> {
        let asked = &mut self.checks[question.check];
        let Some(rows) = (if question.is_whole { asked.whole.as_mut() } else { Some(&mut asked.rows) }) else {
            return Ok(());
        };
        if let Some((device, module)) = question.remainder.names(row).map_err(|error| error.to_string())? {
            let id = TwinId {
                device: device.parse().map_err(|error: iothub_model::twin::IdError| error.to_string())?,
                module: module
                    .map(str::parse)
                    .transpose()
                    .map_err(|error: iothub_model::twin::IdError| error.to_string())?,
            };
            if is_ours(&id) || !rows.unmanaged.insert(id) {
                return Ok(());
            }
        }
        if let Some(row) = rows.fold.push_row(&question.remainder, row) {
            let is_whole = rows.query.selects_documents();
            rows.found.push(if is_whole { json!({ "deviceId": row.get("deviceId") }) } else { row });
        }
        Ok(())
    }

    /// Says that a question has no whole answer.
    pub(super) fn give_up(&mut self, question: &Question<'_>, reason: String) {
        self.checks[question.check].unknown = Some(reason);
    }

    pub(super) fn finish(self, sensitive: &Sensitive) -> Vec<Prediction> {
        self.checks.into_iter().map(|asked| asked.forecast(sensitive)).collect()
    }
}

/// Returns where queries find a twin.
pub(super) fn collection_of(id: &TwinId) -> Collection {
    if id.module.is_some() { Collection::Modules } else { Collection::Devices }
}
