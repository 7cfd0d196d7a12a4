//! A plan from a hub: all that is asked of it, in which order, and what becomes of the answers.
//!
//! [`plan()`] owns the order. `read` reads the fleet, `selection` decides which devices the selectors match, and `fold` hands each twin to
//! them and to `crate::plan`, which makes the plan.

pub(crate) mod selection;
mod fold;
pub(crate) mod read;

use std::collections::BTreeSet;

use futures_util::future;

use crate::client::{Error, HubClient};
use crate::manifest::{Declarations, Selection};
use crate::plan::impact::cost::cost;
use crate::plan::impact::{Question, ReadConfiguration};
use crate::plan::{ImpactObserver, Plan, PlanContext, Population, ReadBy};
use fold::PlanFold;
use iothub_model::diagnostic::Diagnostic;
use iothub_model::tiers::Limits;
use iothub_model::twin::{Section, TwinId};
use iothub_model::wire::query::MAX_PAGE;
use read::{Census, FleetReading, fold_all, read_fleet};
use selection::Membership;

/// How many pages one question may take that a check asks about twins which the plan does not read: half a minute on an S1
/// hub of one unit, which takes 20 queries a minute.
const PAGES: usize = 10;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    /// The hub did not answer, or not so that it makes sense.
    #[error(transparent)]
    Hub(#[from] Error),
    /// A device of the part that is planned for is declared by nobody, and no selector finds it.
    #[error("no manifest declares {0}, and no selector finds it")]
    Undeclared(TwinId),
    /// What the selectors found cannot be declared.
    #[error("what the selectors found cannot be declared")]
    Selection(Vec<Diagnostic>),
}

/// How a plan is made, beside what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct RefreshOptions {
    /// GETs at once. A few questions, a page each, are asked beside them.
    pub concurrency: usize,
    /// What times and messages are reckoned by.
    pub limits: Limits,
    /// The part of the fleet that is planned for, when it is not all of it.
    pub only: Option<FleetPart>,
    /// Read each twin by GET that seems to have drifted, or to have lost its record.
    pub confirm_drift: bool,
}

/// A part of a fleet: devices with their modules, and modules alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct FleetPart(BTreeSet<TwinId>);

impl FleetPart {
    /// Makes it of twins; a device's brings its modules with it.
    pub(crate) fn new(ids: BTreeSet<TwinId>) -> Self {
        Self(ids)
    }

    /// Returns a twin of it that is not declared.
    fn undeclared(&self, declarations: &Declarations) -> Option<&TwinId> {
        self.0.iter().find(|id| !declarations.twins.contains_key(*id))
    }

    /// Says whether a twin is in it.
    pub(crate) fn includes(&self, id: &TwinId) -> bool {
        self.0.contains(id) || (id.module.is_some() && self.0.contains(&TwinId::device(id.device.clone())))
    }
}

/// Reads the live twins, plans, and finds out what the plan will lead to. Writes nothing to the hub.
///
/// `progress` is told how many twins have been read.
pub(crate) async fn plan(
    client: &HubClient,
    declarations: &Declarations,
    context: PlanContext,
    options: &RefreshOptions,
    progress: &mut (dyn FnMut(usize) + Send),
) -> Result<Plan, RefreshError> {
    let before = client.usage();
    let included = |id: &&TwinId| options.only.as_ref().is_none_or(|part| part.includes(id));
    let (selections, (subjects, unread), census) = future::try_join3(
        selections(client, declarations),
        subjects(client, declarations),
        Census::take(client, declarations.twins.keys().filter(included)),
    )
    .await?;
    let selected = match selections {
        Some(selections) => Some(declarations.select(selections).map_err(RefreshError::Selection)?),
        None => None,
    };
    let current = selected.as_ref().unwrap_or(declarations);
    if let Some(undeclared) = options.only.as_ref().and_then(|part| part.undeclared(current)) {
        return Err(RefreshError::Undeclared(undeclared.clone()));
    }
    let fold = PlanFold::new(current, context.clone(), subjects).map_err(RefreshError::Selection)?;
    let mut fold = fold.confirming_drift(options.confirm_drift);
    if let Some(part) = &options.only {
        fold = fold.narrowed_to(|id| part.includes(id));
    }
    let reading = FleetReading { client, fold: &mut fold, census, concurrency: options.concurrency };
    let read = read_fleet(reading, progress).await?;
    let (mut plan, mut observer, membership) = fold.finish(read.read);
    let mut misplaced = membership.as_ref().map(Membership::misplaced).unwrap_or_default();
    if let Some(part) = &options.only {
        misplaced.retain(|id| part.includes(id));
    }
    let corrected;
    if let Some(membership) = membership.filter(|_| !misplaced.is_empty()) {
        corrected = declarations.select(membership.corrected()).map_err(RefreshError::Selection)?;
        let mut fold = PlanFold::corrected(&corrected, context, &misplaced, observer);
        fold_all(client, &mut fold, misplaced.iter().cloned(), options.concurrency, &mut || ()).await?;
        let rest;
        (rest, observer, _) = fold.finish(ReadBy::Get);
        plan.take_over(rest);
        // Of a part it is not known who else carries the record.
        if options.only.is_none() {
            plan.population = Population::of(&corrected, &plan.twins, &plan.records);
        }
    }
    let mut questions = observer.questions(&read.unseen);
    questions.sort_by(|a, b| a.text().cmp(b.text()));
    for questions in questions.chunk_by(|a, b| a.text() == b.text()) {
        answer(client, &mut observer, questions).await?;
    }
    plan.impact = observer.finish();
    plan.impact.unread.splice(0..0, unread);
    plan.impact.cost = Some(cost(&plan.twins, &client.usage().since(&before), options.limits));
    Ok(plan)
}

async fn selections(client: &HubClient, declarations: &Declarations) -> Result<Option<Vec<Selection>>, Error> {
    if declarations.selectors.is_empty() {
        return Ok(None);
    }
    selection::ask(client, declarations).await.map(Some)
}

/// Reads the hub's configurations, where one could write what is declared; and says what of them cannot be read.
async fn subjects(
    client: &HubClient,
    declarations: &Declarations,
) -> Result<(Vec<ReadConfiguration>, Vec<String>), Error> {
    let mut unread = Vec::new();
    let mut subjects = Vec::new();
    if !declares_desired(declarations) {
        return Ok((subjects, unread));
    }
    match client.configurations().await {
        Ok(configurations) => {
            for configuration in configurations {
                match ReadConfiguration::read(&configuration) {
                    Ok(subject) => subjects.push(subject),
                    Err(problem) => unread.push(format!("the configuration {}: {problem}", configuration.id)),
                }
            }
        }
        // A policy that plans and applies twins need not have the right, and no plan is worth less for a busy hub.
        Err(
            Error::Unauthorized { hub, .. }
            | Error::Refused { hub, .. }
            | Error::NotFound { hub, .. }
            | Error::Throttled { hub, .. }
            | Error::Unavailable { hub, .. },
        ) => {
            // Without the tracking id and its time: the same plan gives the same bytes.
            let said = hub.code_name.unwrap_or_else(|| hub.status.to_string());
            unread.push(format!("the hub's configurations were not read: it answers {said}"));
        }
        Err(error) => return Err(error),
    }
    Ok((subjects, unread))
}

fn declares_desired(declarations: &Declarations) -> bool {
    let mut seen = BTreeSet::new();
    !declarations.selectors.is_empty()
        || declarations.twins.values().any(|declaration| {
            seen.insert(std::sync::Arc::as_ptr(&declaration.body).addr())
                && declaration.body.leaves().iter().any(|leaf| leaf.path.section() == Section::Desired)
        })
}

/// Asks what checks have to know of twins that were not read, unless that takes too long. The questions have one text.
async fn answer(
    client: &HubClient,
    observer: &mut ImpactObserver<'_>,
    questions: &[Question<'_>],
) -> Result<(), Error> {
    let Some(first) = questions.first() else { return Ok(()) };
    let mut pages = client.query(first.text(), MAX_PAGE);
    let mut count = 0;
    while let Some(page) = pages.next().await? {
        count += 1;
        for question in questions {
            if count > PAGES {
                let reason = format!("it looks at more twins of the hub than {PAGES} pages of a query list");
                observer.give_up(question, reason);
                continue;
            }
            for row in &page.rows {
                observer.answer(question, row).map_err(|problem| pages.nonsense(problem))?;
            }
        }
        if count > PAGES {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::server::{Server, answer, json};
    use crate::manifest::load_texts;
    use crate::plan::Forecast;

    #[tokio::test]
    async fn a_check_does_not_read_a_whole_hub() {
        let text = "
fleet: demo
devices: { d: { tags: { x: 1 } } }
checks: [{ name: all, query: SELECT deviceId FROM devices, expect: some }]
";
        let declarations = load_texts(&[("fleet.yaml", text)], &|_| None).expect("a manifest").declarations;
        let twin = r#"{"deviceId":"d","etag":"AAE="}"#;
        let page = |n: usize| {
            let more = format!("content-type: application/json\r\nx-ms-continuation: {n}\r\n");
            answer("200 OK", &more, &format!(r#"[{{"deviceId":"other-{n}"}}]"#))
        };
        // The twin, and none that left.
        let mut replies = vec![("GET /twins/", json(twin)), ("is_defined", json("[]")), ("is_defined", json("[]"))];
        replies.extend((0..=PAGES).map(|n| ("c0 FROM devices", page(n))));
        let server = Server::start_by_word(replies).await;
        let client = server.client();
        let context = PlanContext { hub: client.host().clone(), revision: String::new(), take_ownership: false };
        let options = RefreshOptions { concurrency: 1, limits: Limits::S1, only: None, confirm_drift: false };
        let plan = plan(&client, &declarations, context, &options, &mut |_| {}).await.expect("a plan");
        let expected = "it looks at more twins of the hub than 10 pages of a query list";
        assert_eq!(plan.impact.predictions[0].forecast, Forecast::Unknown(expected.to_owned()));
        assert_eq!(plan.impact.cost.expect("reckoned").read.requests, 3 + PAGES as u64 + 1);
    }
}
