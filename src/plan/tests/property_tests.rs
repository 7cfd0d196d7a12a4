//! What holds for any declarations, any live twins and any records.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use iothub_model::twin::value::equal;

/// Sections as twins hold them, small enough to meet often.
pub(super) fn live_object() -> impl Strategy<Value = Object> {
    tree(prop_oneof![
        3 => (0i64..3).prop_map(Value::from),
        1 => Just(json!(1.0)),
        1 => Just(json!([1])),
        1 => Just(json!({})),
    ])
}

/// The same with declared absences.
fn declared_object() -> impl Strategy<Value = Object> {
    tree(prop_oneof![
        3 => (0i64..3).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!([1])),
        1 => Just(json!({})),
    ])
}

fn tree(leaf: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Object> {
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        btree_map("[abc]", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
    });
    btree_map("[abc]", value, 0..3).prop_map(|map| map.into_iter().collect())
}

pub(super) fn declared() -> impl Strategy<Value = Value> {
    (declared_object(), declared_object()).prop_map(|(tags, desired)| json!({"tags": tags, "desired": desired}))
}

/// A record of some fleet: of some leaves of what was declared, with hashes that sometimes are of other values.
fn any_record() -> impl Strategy<Value = Option<Value>> {
    proptest::option::of(declared().prop_map(|declared| {
        ownership::OwnershipRecord::of(&body(declared).leaves(), "r0")
            .map_or(json!({"v": 1, "rev": "", "owns": []}), |it| it.write())
    }))
}

/// A twin that this fleet and another may have written to.
pub(super) fn live_twin() -> impl Strategy<Value = Twin> {
    (live_object(), live_object(), any_record(), prop_oneof![4 => Just(None), 1 => any_record()]).prop_map(
        |(tags, desired, own, other)| {
            let mut live = twin("d", json!({"tags": tags, "desired": desired}));
            let records = [("redmond", own), ("oslo", other)];
            let records: Object =
                records.into_iter().filter_map(|(fleet, record)| Some((fleet.to_owned(), record?))).collect();
            if !records.is_empty() {
                live.tags.0.insert("twinctl".to_owned(), records.into());
            }
            live
        },
    )
}

/// A twin that was brought to one state of the manifest and then written to by others, and the next state of the manifest.
pub(super) fn after_a_history() -> impl Strategy<Value = (Value, Value, Twin)> {
    (declared(), declared(), live_twin(), live_object(), live_object()).prop_map(
        |(first, second, mut live, tags, desired)| {
            if let Some(twin) = plan_one(first.clone(), &live).twins.first() {
                live = twin.patch.apply(&live);
            }
            iothub_model::twin::patch::merge(&mut live.tags.0, &tags);
            iothub_model::twin::patch::merge(&mut live.desired.0, &desired);
            (first, second, live)
        },
    )
}

pub(super) fn leaf_map(twin: &Twin) -> BTreeMap<TwinPath, Value> {
    let mut found = BTreeMap::new();
    for section in Section::ALL {
        leaves(section, twin.section(section), |path, value| {
            found.insert(path, value.clone());
        });
    }
    found
}

pub(super) fn is_record(path: &TwinPath) -> bool {
    ownership::records_path().covers(path)
}

pub(super) fn equal_twins(a: &Twin, b: &Twin) -> bool {
    equal(&sections(a), &sections(b))
}

pub(super) fn only(plan: &Plan) -> Option<&TwinPlan> {
    assert!(plan.twins.len() <= 1);
    plan.twins.first()
}

fn plan_taking(declared: Value, live: &Twin, take_ownership: bool) -> Plan {
    let declarations = declarations([(live.id.clone(), body(declared))]);
    let context = PlanContext { take_ownership, ..context() };
    plan(&declarations, context, [Lookup::Found(Box::new(live.clone()))], ReadBy::Get)
}

/// What `redmond` owns in a twin.
pub(super) fn owned(twin: &Twin) -> BTreeMap<TwinPath, u16> {
    let record = twin.tags.0.get("twinctl").and_then(|all| all.get("redmond"));
    record.map(|record| ownership::OwnershipRecord::read(record).expect("a record").owns).unwrap_or_default()
}

/// The same cases each time: a property that fails does so for everybody. `PROPTEST_CASES` asks for more.
pub(super) fn config() -> ProptestConfig {
    const UNASKED: u32 = 256;
    let asked = ProptestConfig::default().cases;
    ProptestConfig {
        cases: if asked == UNASKED { 192 } else { asked },
        rng_seed: proptest::test_runner::RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn after_applying_there_is_nothing_to_do((_, declared, live) in after_a_history(), take in any::<bool>()) {
        let declarations = declarations([(live.id.clone(), body(declared.clone()))]);
        let context = PlanContext { take_ownership: take, ..context() };
        let again = |live: &Twin| plan(&declarations, context.clone(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get);
        let first = again(&live);
        let Some(twin) = only(&first) else { return Ok(()) };
        if !twin.conflicts.is_empty() {
            prop_assert!(twin.patch.is_empty() && twin.inverse.is_empty() && twin.changes.is_empty());
            return Ok(());
        }
        prop_assert!(!twin.patch.is_empty());
        let after = twin.patch.apply(&live);
        prop_assert!(again(&after).is_empty(), "{:?}", lines(&again(&after)));
        prop_assert!(twin.target_reached(&after));
        prop_assert!(!twin.target_reached(&live));
        for leaf in body(declared).leaves().iter() {
            prop_assert!(match (&leaf.value, leaf.path.find(after.section(leaf.path.section()))) {
                (None, None) => true,
                (Some(wanted), Some(found)) => equal(wanted, found),
                _ => false,
            }, "{:?}", leaf);
        }
        // Under the same revision there is nothing to take back, under another neither.
        let other_revision = PlanContext { revision: "r2".to_owned(), ..context.clone() };
        let lookups = [Lookup::Found(Box::new(after.clone()))];
        prop_assert!(plan(&declarations, other_revision, lookups, ReadBy::Get).is_empty());
    }

    #[test]
    fn nothing_changes_that_is_neither_declared_nor_owned((_, declared, live) in after_a_history()) {
        let plan = plan_one(declared.clone(), &live);
        let Some(twin) = only(&plan) else { return Ok(()) };
        let (before, after) = (leaf_map(&live), leaf_map(&twin.patch.apply(&live)));
        let declared = body(declared);
        let owned = owned(&live);
        for path in before.keys().chain(after.keys()).filter(|path| !is_record(path)) {
            if before.get(path) == after.get(path) {
                continue;
            }
            let is_ours = owned.contains_key(path)
                || declared.leaves().iter().any(|leaf| leaf.path == *path)
                // A scalar or an empty object where an object is declared gives way to it.
                || declared.leaves().iter().any(|leaf| path.covers(&leaf.path));
            prop_assert!(is_ours, "{} {:?} → {:?}", path, before.get(path), after.get(path));
        }
        // And what changes is shown.
        for (path, value) in before.iter().filter(|(path, value)| !is_record(path) && **value != json!({})) {
            if after.get(path) != Some(value) {
                prop_assert!(twin.changes.iter().any(|change| change.path == *path), "{path} is not shown");
            }
        }
        // Another fleet's record stays as it is, unless something is taken.
        let theirs = path("tags.twinctl.oslo");
        let after = twin.patch.apply(&live);
        prop_assert_eq!(theirs.find(&live.tags.0), theirs.find(&after.tags.0));
    }

    #[test]
    fn the_inverse_takes_it_back((_, declared, live) in after_a_history(), take in any::<bool>()) {
        let plan = plan_taking(declared, &live, take);
        let Some(twin) = only(&plan) else { return Ok(()) };
        prop_assert!(equal_twins(&twin.inverse.apply(&twin.patch.apply(&live)), &live));
    }

    #[test]
    fn the_patch_is_minimal((_, declared, live) in after_a_history()) {
        let plan = plan_one(declared, &live);
        let Some(twin) = only(&plan) else { return Ok(()) };
        let after = twin.patch.apply(&live);
        prop_assert_eq!(MergePatch::diff(&live, &after), MergePatch::clone(&twin.patch));
    }

    #[test]
    fn taking_a_line_out_removes_its_key_and_only_it(declared in declared(), live in live_twin(), at in any::<Index>()) {
        let plan = plan_one(declared.clone(), &live);
        let Some(twin) = only(&plan).filter(|twin| twin.conflicts.is_empty()) else { return Ok(()) };
        let live = twin.patch.apply(&live);
        let mut fewer = body(declared).leaves().into_owned();
        if fewer.is_empty() {
            return Ok(());
        }
        let gone = fewer.remove(at.index(fewer.len()));
        let declarations = declarations([(live.id.clone(), fewer.into())]);
        let next = super::super::plan(&declarations, context(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get);
        let twin = only(&next).expect("the record differs");
        prop_assert!(twin.conflicts.is_empty());
        let after = twin.patch.apply(&live);
        let mut expected = leaf_map(&live);
        expected.remove(&gone.path);
        let without_records = |mut map: BTreeMap<TwinPath, Value>| { map.retain(|path, _| !is_record(path)); map };
        prop_assert_eq!(without_records(leaf_map(&after)), without_records(expected));
        prop_assert!(!owned(&after).contains_key(&gone.path));
    }

    #[test]
    fn a_rebase_keeps_what_others_wrote(
        (_, declared, live) in after_a_history(), tags in live_object(), desired in live_object(), take in any::<bool>()
    ) {
        let plan = plan_taking(declared, &live, take);
        let Some(twin) = only(&plan).filter(|twin| twin.conflicts.is_empty()) else { return Ok(()) };
        prop_assert_eq!(twin.rebase(&live), Rebase::Send(MergePatch::clone(&twin.patch)));
        prop_assert_eq!(twin.rebase(&twin.patch.apply(&live)), Rebase::Converged);

        // Somebody writes next to it.
        let meddling = MergePatch { tags, desired };
        let fresh = meddling.apply(&live);
        match twin.rebase(&fresh) {
            Rebase::Send(rest) => {
                let after = rest.apply(&fresh);
                prop_assert!(twin.target_reached(&after), "{:?}", after);
                prop_assert_eq!(MergePatch::diff(&fresh, &after), rest);
                let (before, after) = (leaf_map(&fresh), leaf_map(&after));
                for (path, value) in before.iter().filter(|(path, value)| !is_record(path) && **value != json!({})) {
                    if after.get(path) != Some(value) {
                        let change = twin.changes.iter().find(|change| change.path == *path);
                        let change = change.ok_or_else(|| TestCaseError::fail(format!("{path} was not planned")))?;
                        prop_assert!(
                            change.before.is_same(Some(value)),
                            "{} was not seen as {}", path, value
                        );
                    }
                }
            }
            Rebase::Converged => prop_assert!(twin.target_reached(&fresh)),
            Rebase::Conflict(moved) => {
                prop_assert!(!moved.is_empty());
                for moved in moved {
                    // Whatever is reported is neither as seen nor as planned, or has something over or under it.
                    let concerned = twin.changes.iter().any(|change| change.path.overlaps(&moved.path));
                    prop_assert!(concerned || is_record(&moved.path), "{}", moved.path);
                    prop_assert!(moved.found.as_ref() != moved.planned.known(), "{:?}", moved);
                    prop_assert!(moved.seen.known() != moved.found.as_ref(), "{:?}", moved);
                }
            }
        }
    }

    #[test]
    fn a_rebase_onto_unrelated_changes_sends(
        (_, declared, live) in after_a_history(), value in 0i64..3, section in 0..2usize, take in any::<bool>()
    ) {
        let plan = plan_taking(declared, &live, take);
        let Some(twin) = only(&plan).filter(|twin| twin.conflicts.is_empty()) else { return Ok(()) };
        let mut meddling = MergePatch::default();
        let elsewhere = TwinPath::section_root(Section::ALL[section]).child("elsewhere");
        meddling.set(&elsewhere, value.into());
        let fresh = meddling.apply(&live);
        let Rebase::Send(rest) = twin.rebase(&fresh) else {
            return Err(TestCaseError::fail(format!("{:?}", twin.rebase(&fresh))));
        };
        let after = rest.apply(&fresh);
        prop_assert!(twin.target_reached(&after));
        prop_assert!(equal_twins(&after, &meddling.apply(&twin.patch.apply(&live))));
    }

    #[test]
    fn the_order_of_pushes_does_not_matter(
        all in vec((proptest::option::of(declared()), proptest::option::of(live_twin())), 1..5), rotate in any::<Index>()
    ) {
        // Every second one is a module of the one before.
        let name = |index: usize| id(&if index.is_multiple_of(2) { format!("d{index}") } else { format!("d{}/m", index - 1) });
        let bodies = all.iter().enumerate().filter_map(|(at, (declared, _))| Some((name(at), body(declared.clone()?))));
        let declarations = Declarations { missing: Missing::Register, ..declarations(bodies) };
        let mut lookups: Vec<Lookup> = all
            .iter()
            .enumerate()
            .map(|(at, (_, live))| match live {
                Some(live) => Lookup::Found(Box::new(Twin { id: name(at), ..live.clone() })),
                None => Lookup::Absent(name(at)),
            })
            .collect();
        let forward = plan(&declarations, context(), lookups.clone(), ReadBy::Query);
        let middle = rotate.index(lookups.len());
        lookups.rotate_left(middle);
        lookups.extend(lookups.clone());
        let backward = plan(&declarations, context(), lookups.into_iter().rev(), ReadBy::Query);
        prop_assert_eq!(&forward.twins, &backward.twins);
        prop_assert_eq!(forward.unchanged, backward.unchanged);
        prop_assert_eq!(forward.review_digest(), backward.review_digest());
        prop_assert_eq!(forward.clusters(), backward.clusters());
        let clustered: usize = forward.clusters().iter().map(|cluster| cluster.ids.len()).sum();
        prop_assert_eq!(clustered, forward.twins.len());
    }
}
