//! What holds under any policy as well.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::property_tests::{
    after_a_history, config, declared, equal_twins, is_record, leaf_map, live_object, live_twin, only, owned,
};
use super::*;
use crate::plan::file::{read, write};
use crate::plan::restore::RestoreError;

const PATHS: &[&str] = &[
    "tags",
    "tags.a",
    "tags.a.b",
    "tags.b",
    "tags.c",
    "desired",
    "desired.a",
    "desired.a.b",
    "desired.b",
    "desired.c.a",
];

fn any_policy() -> impl Strategy<Value = Policy> {
    let below = || select(&PATHS[1..5]).prop_union(select(&PATHS[6..]));
    let renames =
        prop_oneof![(select(&PATHS[1..5]), select(&PATHS[1..5])), (select(&PATHS[6..]), select(&PATHS[6..])),];
    (vec(select(PATHS), 0..3), vec(renames, 0..3), vec(below(), 0..2), vec(below(), 0..3))
        .prop_map(|(exact, moved, released, sensitive)| policy(&exact, &moved, &released, &sensitive))
}

/// A policy, what is declared under it, and a twin with a history: brought to another state of the manifest, and then written to
/// by others.
pub(super) fn any_case() -> impl Strategy<Value = (Policy, Value, Twin, bool)> {
    (any_policy(), after_a_history(), any::<bool>(), any::<bool>()).prop_map(
        |(policy, (first, second, live), take, same)| {
            // Often nothing but the policy is new.
            (policy, if same { first } else { second }, live, take)
        },
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn after_applying_there_is_nothing_to_do_and_the_inverse_takes_it_back((policy, declared, live, take) in any_case()) {
        let plan = plan_under(&policy, declared.clone(), &live, take);
        let Some(twin) = only(&plan).filter(|twin| twin.conflicts.is_empty()) else { return Ok(()) };
        let after = twin.patch.apply(&live);
        let again = plan_under(&policy, declared, &after, take);
        prop_assert!(again.is_empty(), "{:?}", lines(&again));
        prop_assert!(twin.target_reached(&after) && !twin.target_reached(&live));
        prop_assert!(equal_twins(&twin.inverse.apply(&after), &live));
        prop_assert_eq!(MergePatch::diff(&live, &after), MergePatch::clone(&twin.patch));
    }

    #[test]
    fn nothing_changes_that_is_neither_declared_nor_owned_nor_exact((policy, declared, live, _) in any_case()) {
        let plan = plan_under(&policy, declared.clone(), &live, false);
        let Some(twin) = only(&plan) else { return Ok(()) };
        let (before, after) = (leaf_map(&live), leaf_map(&twin.patch.apply(&live)));
        let (leaves, owned) = (body(declared).leaves().into_owned(), owned(&live));
        let records = ownership::Records::read(&live.tags.0, &"redmond".parse().expect("a fleet"));
        let changed: BTreeSet<_> = before.keys().chain(after.keys()).filter(|path| before.get(path) != after.get(path)).collect();
        for path in changed.into_iter().filter(|path| !is_record(path)) {
            let by_declaration = leaves.iter().any(|leaf| leaf.path == *path || path.covers(&leaf.path));
            let by_exact = policy.exact.iter().any(|exact| exact.path.covers(path)) && !after.contains_key(path);
            prop_assert!(by_declaration || owned.contains_key(path) || by_exact, "{}", path);
            // What is released keeps its value, unless it is declared none the less.
            let is_released = policy.released.iter().any(|released| released.path.covers(path));
            prop_assert!(!is_released || by_declaration, "{} is released", path);
            if !by_declaration {
                let mut others = 0;
                records.overlapping(path, |_, _, _| others += 1);
                prop_assert_eq!(others, 0, "{} is another fleet's", path);
            }
            if before.get(path).is_some_and(|value| *value != json!({})) {
                prop_assert!(twin.changes.iter().any(|change| change.path == *path), "{} is not shown", path);
            }
        }
        let theirs = path("tags.twinctl.oslo");
        let after = twin.patch.apply(&live);
        prop_assert_eq!(theirs.find(&live.tags.0), theirs.find(&after.tags.0));
    }

    #[test]
    fn renames_have_two_ends((policy, declared, live, take) in any_case()) {
        let plan = plan_under(&policy, declared, &live, take);
        let Some(twin) = only(&plan) else { return Ok(()) };
        let moved_away = twin.changes.iter().filter(|change| change.is_moved_away()).count();
        let arrived = twin.changes.iter().filter(|change| change.moved_from.is_some());
        prop_assert_eq!(arrived.clone().count(), moved_away);
        for change in arrived {
            let from = change.moved_from.as_ref().expect("filtered");
            let from = twin.changes.iter().find(|other| other.path == *from).expect("both are changes");
            prop_assert!(from.is_moved_away() && from.before.has_value());
            prop_assert!(!change.before.has_value() && change.after.has_value());
        }
    }

    #[test]
    fn a_rebase_keeps_what_others_wrote(
        (policy, declared, live, take) in any_case(), tags in live_object(), desired in live_object()
    ) {
        let plan = plan_under(&policy, declared, &live, take);
        let Some(twin) = only(&plan).filter(|twin| twin.conflicts.is_empty()) else { return Ok(()) };
        prop_assert_eq!(twin.rebase(&live), Rebase::Send(MergePatch::clone(&twin.patch)));
        prop_assert_eq!(twin.rebase(&twin.patch.apply(&live)), Rebase::Converged);
        let fresh = MergePatch { tags, desired }.apply(&live);
        match twin.rebase(&fresh) {
            Rebase::Send(rest) => {
                let after = rest.apply(&fresh);
                prop_assert!(twin.target_reached(&after), "{:?}", after);
                let (before, after) = (leaf_map(&fresh), leaf_map(&after));
                for (path, value) in before.iter().filter(|(path, value)| !is_record(path) && **value != json!({})) {
                    if after.get(path) != Some(value) {
                        let change = twin.changes.iter().find(|change| change.path == *path);
                        let is_seen = change.is_some_and(|change| change.before.is_same(Some(value)));
                        prop_assert!(is_seen, "{} was not seen as {}", path, value);
                    }
                }
            }
            Rebase::Converged => prop_assert!(twin.target_reached(&fresh)),
            Rebase::Conflict(moved) => {
                for moved in moved {
                    prop_assert_eq!(moved.sensitive, policy.sensitive.covers(&moved.path));
                    prop_assert!(moved.seen.known() != moved.found.as_ref() || is_record(&moved.path), "{:?}", moved);
                }
            }
        }
    }

    #[test]
    fn a_plan_file_and_its_manifest_make_the_plan_again((policy, declared, live, take) in any_case()) {
        let declarations = Declarations { policy: policy.clone(), ..declarations([(live.id.clone(), body(declared.clone()))]) };
        let plan = plan_under(&policy, declared, &live, take);
        let text = write(&plan, "0.1.0");
        let mut back = match read(&text) {
            Ok(back) => back,
            Err(error) => return Err(TestCaseError::fail(format!("{error} {plan:#?}"))),
        };
        prop_assert_eq!(write(&back, "0.1.0"), text.clone(), "nothing is lost on the way");
        prop_assert_eq!(back.review_digest(), plan.review_digest());
        prop_assert_eq!(back.clusters().len(), plan.clusters().len());
        prop_assert_eq!(&back.policy.sensitive, &policy.sensitive);
        if policy.sensitive.is_empty() {
            prop_assert_eq!(&back.twins, &plan.twins);
        }
        if let Err(error) = back.restore(&declarations) {
            prop_assert!(take && matches!(error, RestoreError::OtherRecord { .. }), "{}", error);
            return Ok(());
        }
        prop_assert_eq!(back.first_redacted(), None);
        let (Some(twin), Some(back)) = (only(&plan), only(&back)) else { return Ok(()) };
        prop_assert_eq!(&back.patch, &twin.patch);
        let after = twin.patch.apply(&live);
        prop_assert!(back.target_reached(&after));
        prop_assert_eq!(back.rebase(&after), if twin.conflicts.is_empty() { Rebase::Converged } else { back.rebase(&after) });
        // The inverse takes back all but what it says it does not.
        let (was, is) = (leaf_map(&live), leaf_map(&back.inverse.apply(&after)));
        let lost: Vec<_> = back.not_restored().collect();
        for path in was.keys().chain(is.keys()).filter(|path| !is_record(path)) {
            let known = lost.iter().any(|lost| lost.overlaps(path)) || was.get(path).or(is.get(path)) == Some(&json!({}));
            prop_assert!(known || was.get(path) == is.get(path), "{}: {:?} {:?}", path, was.get(path), is.get(path));
        }
    }

    #[test]
    fn a_twin_that_left_comes_back_from_a_file(policy in any_policy(), live in live_twin()) {
        let declarations = Declarations { policy: policy.clone(), ..declarations([]) };
        let plan = plan(&declarations, context(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get);
        let text = write(&plan, "0.1.0");
        let mut back = read(&text).map_err(|error| TestCaseError::fail(format!("{error} {plan:#?}")))?;
        prop_assert!(back.restore(&declarations).is_ok());
        if let (Some(twin), Some(back)) = (only(&plan), only(&back)) {
            prop_assert_eq!(&back.patch, &twin.patch);
        }
    }

    #[test]
    fn the_order_of_pushes_does_not_matter(policy in any_policy(), all in vec((declared(), live_twin()), 1..4)) {
        let name = |at: usize| id(&format!("d{at}"));
        let bodies = all.iter().enumerate().map(|(at, (declared, _))| (name(at), body(declared.clone())));
        let declarations = Declarations { policy, ..declarations(bodies) };
        let lookups: Vec<Lookup> =
            all.iter().enumerate().map(|(at, (_, live))| Lookup::Found(Box::new(Twin { id: name(at), ..live.clone() }))).collect();
        let forward = plan(&declarations, context(), lookups.clone(), ReadBy::Get);
        let backward = plan(&declarations, context(), lookups.into_iter().rev(), ReadBy::Get);
        prop_assert_eq!(&forward.twins, &backward.twins);
        prop_assert_eq!(forward.review_digest(), backward.review_digest());
        prop_assert_eq!(guard::refusals(&forward), guard::refusals(&backward));
    }
}
