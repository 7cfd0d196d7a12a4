//! What is planned for one twin: tables of what is declared, what is live, and what comes of it.

use super::*;
use crate::digest::Hasher;

/// A twin with this fleet's record of `owned` and the other sections as given.
pub(super) fn owning(owned: Value, sections: Value) -> Twin {
    let mut live = twin("d", sections);
    live.tags.0.insert("twinctl".to_owned(), json!({ "redmond": record(owned) }));
    live
}

fn check(declared: Value, live: Twin, expected: &[&str]) {
    assert_eq!(lines(&plan_one(declared.clone(), &live)), expected, "{declared} on {}", sections(&live));
}

#[test]
fn values() {
    let untouched = twin("d", json!({"desired": {"a": 1}}));
    check(
        json!({"desired": {"a": 1}}),
        untouched.clone(),
        &["adopt desired.a 1 → 1", r#"patch {"tags":{"twinctl":"…"}}"#],
    );
    check(
        json!({"desired": {"a": 2}}),
        untouched.clone(),
        &["overwrite desired.a 1 → 2", r#"patch {"desired":{"a":2},"tags":{"twinctl":"…"}}"#],
    );
    check(
        json!({"desired": {"a": null}}),
        untouched.clone(),
        &["overwrite desired.a 1 → –", r#"patch {"desired":{"a":null},"tags":{"twinctl":"…"}}"#],
    );
    check(json!({"desired": {"b": null}}), untouched, &["adopt desired.b – → –", r#"patch {"tags":{"twinctl":"…"}}"#]);
    let owned = || owning(json!({"desired": {"a": 1}}), json!({"desired": {"a": 1}}));
    check(json!({"desired": {"a": 1.0}}), owned(), &[]);
    check(
        json!({"desired": {"a": 1, "b": [1]}}),
        owned(),
        &["new desired.b – → [1]", r#"patch {"desired":{"b":[1]},"tags":{"twinctl":"…"}}"#],
    );
    // The edit is live already: somebody was there first. Only the record is written.
    let ahead = owning(json!({"desired": {"a": 1}}), json!({"desired": {"a": 2}}));
    check(json!({"desired": {"a": 2}}), ahead, &["adopt desired.a 2 → 2", r#"patch {"tags":{"twinctl":"…"}}"#]);
}

#[test]
fn removals_leave_no_empty_objects_behind() {
    let removed = "removed desired.a.b 1 → –";
    let owned = json!({"desired": {"a": {"b": 1}}});
    for (live, patch) in [
        (json!({"a": {"b": 1}}), json!({"a": null})),
        (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null}})),
        // Empty objects are somebody's.
        (json!({"a": {"b": 1, "c": {}}}), json!({"a": {"b": null}})),
        (json!({"a": {"b": 1}, "z": {}}), json!({"a": null})),
    ] {
        let plan = plan_one(json!({}), &owning(owned.clone(), json!({"desired": live})));
        assert_eq!(lines(&plan)[0], removed);
        assert_eq!(Value::from(plan.twins[0].patch.desired.clone()), patch);
    }
    let deep = json!({"desired": {"a": {"b": {"c": {"d": 1}}, "e": 2}}});
    check(
        json!({"desired": {"a": {"e": 2}}}),
        owning(deep.clone(), deep.clone()),
        &["removed desired.a.b.c.d 1 → –", r#"patch {"desired":{"a":{"b":null}},"tags":{"twinctl":"…"}}"#],
    );
    // A leaf that moves within an object does not take the object with it.
    check(
        json!({"desired": {"a": {"c": 1}}}),
        owning(owned.clone(), owned.clone()),
        &[
            "removed desired.a.b 1 → –",
            "new desired.a.c – → 1",
            r#"patch {"desired":{"a":{"b":null,"c":1}},"tags":{"twinctl":"…"}}"#,
        ],
    );
    // Nor does one whose object is declared to stay, empty.
    check(
        json!({"desired": {"a": {}}}),
        owning(owned.clone(), owned),
        &[
            "new desired.a – → {}",
            "removed desired.a.b 1 → –",
            r#"patch {"desired":{"a":{"b":null}},"tags":{"twinctl":"…"}}"#,
        ],
    );
}

#[test]
fn objects_and_scalars_in_each_others_place() {
    // An object replaces a scalar, and the scalar is listed.
    check(
        json!({"desired": {"a": {"b": 1, "c": 2}}}),
        twin("d", json!({"desired": {"a": 5}})),
        &[
            "overwrite desired.a 5 → –",
            "new desired.a.b – → 1",
            "new desired.a.c – → 2",
            r#"patch {"desired":{"a":{"b":1,"c":2}},"tags":{"twinctl":"…"}}"#,
        ],
    );
    check(
        json!({"desired": {"a": {"b": 1}}}),
        owning(json!({"desired": {"a": 5}}), json!({"desired": {"a": 5}})),
        &[
            "removed desired.a 5 → –",
            "new desired.a.b – → 1",
            r#"patch {"desired":{"a":{"b":1}},"tags":{"twinctl":"…"}}"#,
        ],
    );
    // But for an absence under it nothing need go.
    check(
        json!({"desired": {"a": {"b": null}}}),
        twin("d", json!({"desired": {"a": 5}})),
        &["adopt desired.a.b – → –", r#"patch {"tags":{"twinctl":"…"}}"#],
    );
    // What stands in the place of an object takes all of it, which is fine for what is ours.
    let ours = json!({"desired": {"a": {"b": 1, "c": {"d": 2}}}});
    check(
        json!({"desired": {"a": 5}}),
        owning(ours.clone(), ours.clone()),
        &[
            "new desired.a – → 5",
            "removed desired.a.b 1 → –",
            "removed desired.a.c.d 2 → –",
            r#"patch {"desired":{"a":5},"tags":{"twinctl":"…"}}"#,
        ],
    );
    check(
        json!({"desired": {"a": null}}),
        owning(ours.clone(), ours.clone()),
        &[
            "adopt desired.a – → –",
            "removed desired.a.b 1 → –",
            "removed desired.a.c.d 2 → –",
            r#"patch {"desired":{"a":null},"tags":{"twinctl":"…"}}"#,
        ],
    );
    // And a conflict for what is not.
    for declared in [json!(5), json!([1]), json!({}), Value::Null] {
        let live = json!({"desired": {"a": {"b": 1, "c": {"d": 2}, "e": {}, "f": [3]}}});
        check(
            json!({"desired": {"a": declared, "x": 1}}),
            owning(ours.clone(), live),
            &["conflict desired.a: would destroy [desired.a.e, desired.a.f]", "patch {}"],
        );
    }
}

#[test]
fn what_is_no_longer_there_leaves_the_record_alone() {
    let live = owning(json!({"desired": {"a": 1, "b": 2}}), json!({"desired": {"b": 2}}));
    let plan = plan_one(json!({"desired": {"b": 2}}), &live);
    assert_eq!(lines(&plan), [r#"patch {"tags":{"twinctl":"…"}}"#]);
    let summary = plan.summary();
    assert_eq!((summary.record_only, summary.twins[&Action::Update], summary.changes.len()), (1, 1, 0));
    assert!(!plan.is_empty());
    assert!(plan_one(json!({"desired": {"b": 2}}), &plan.twins[0].patch.apply(&live)).is_empty());
    // An object that took the leaf's place is not what this fleet wrote, and stays.
    let replaced = owning(json!({"desired": {"a": 1}}), json!({"desired": {"a": {"x": 1}}}));
    check(json!({}), replaced, &[r#"patch {"tags":{"twinctl":"…"}}"#]);
}

#[test]
fn the_record_in_the_patch() {
    let records = |live: &Twin, declared: Value| {
        let plan = plan_one(declared, live);
        plan.twins
            .first()
            .map_or(Value::Null, |twin| json!([twin.patch.tags.get("twinctl"), twin.inverse.tags.get("twinctl")]))
    };
    let owned = json!({"desired": {"a": 1}});
    let others = json!({"rev": "", "v": 1, "owns": ["tags.z=0000"]});
    let bare = twin("d", json!({}));
    assert_eq!(
        records(&bare, owned.clone()),
        json!([{"redmond": {"v": 1, "rev": "r1", "owns": ["desired.a=6b86"]}}, null])
    );
    // Only what differs: an edit writes entries and revision, drift the revision alone, and a commit nothing.
    let mut live = owning(owned.clone(), owned.clone());
    assert_eq!(
        records(&live, json!({"desired": {"a": 2}})),
        json!([
            {"redmond": {"rev": "r1", "owns": ["desired.a=d473"]}},
            {"redmond": {"rev": "r0", "owns": ["desired.a=6b86"]}}
        ])
    );
    live.desired.0.insert("a".to_owned(), json!(7));
    assert_eq!(records(&live, owned.clone()), json!([{"redmond": {"rev": "r1"}}, {"redmond": {"rev": "r0"}}]));
    live.desired.0.insert("a".to_owned(), json!(1));
    assert_eq!(records(&live, owned.clone()), Value::Null);
    // The last record takes `tags.twinctl` with it, and none but the last.
    assert_eq!(records(&live, json!({}))[0], Value::Null);
    assert!(plan_one(json!({}), &live).twins[0].patch.tags.contains_key("twinctl"));
    live.tags.0["twinctl"]["oslo"] = others;
    assert_eq!(records(&live, json!({}))[0], json!({"redmond": null}));
    // An order of entries that is not ours is left as it is.
    let mut shuffled = owning(json!({"desired": {"a": 1, "b": 2}}), json!({"desired": {"a": 1, "b": 3}}));
    shuffled.tags.0["twinctl"]["redmond"]["owns"] = json!(["desired.b=d473", "desired.a=6b86"]);
    assert_eq!(records(&shuffled, json!({"desired": {"a": 1, "b": 2}}))[0], json!({"redmond": {"rev": "r1"}}));
}

#[test]
fn records_that_cannot_be_read() {
    for (records, problem) in [
        (json!(5), "tags.twinctl is no object, so there is no place for a record"),
        (json!({"redmond": 5}), "the record tags.twinctl.redmond cannot be read: it is not an object"),
        (
            json!({"redmond": {"v": 2}}),
            "the record tags.twinctl.redmond cannot be read: it has version 2, and this twinctl reads version 1: a newer one wrote it",
        ),
        (
            json!({"oslo": {"v": 1}}),
            "the record tags.twinctl.oslo of another fleet cannot be read, so what it owns is not known: its `rev` is not a text",
        ),
    ] {
        let live = twin("d", json!({"tags": {"twinctl": records}}));
        check(json!({"desired": {"a": 1}}), live, &[&format!("conflict {problem}"), "patch {}"]);
    }
    // What twinctl cannot have written is no record.
    check(
        json!({"desired": {"a": 1}}),
        twin("d", json!({"tags": {"twinctl": {"Oslo!": 5}}})),
        &["new desired.a – → 1", r#"patch {"desired":{"a":1},"tags":{"twinctl":"…"}}"#],
    );
}

#[test]
fn paths_of_other_fleets() {
    let live = |owned: &str| {
        let owns = json!([format!("{owned}=6b86")]);
        twin(
            "d",
            json!({"tags": {"twinctl": {"oslo": {"v": 1, "rev": "9f3c", "owns": owns}}}, "desired": {"a": {"b": 1}}}),
        )
    };
    let declared = json!({"desired": {"a": {"b": 1}, "x": 1}});
    for owned in ["desired.a.b", "desired.a", "desired.a.b.c"] {
        check(
            declared.clone(),
            live(owned),
            &[&format!("conflict desired.a.b: {owned} is oslo's at 9f3c"), "patch {}"],
        );
    }
    for unrelated in ["desired.a.c", "desired.ab", "tags.a.b"] {
        assert!(plan_one(declared.clone(), &live(unrelated)).twins[0].conflicts.is_empty(), "{unrelated}");
    }

    // Taken over, the entry leaves the other's record, so that the other plans it as what it does not own.
    let mut live = live("desired.a.b");
    live.tags.0["twinctl"]["oslo"]["owns"] = json!(["desired.a.b=6b86", "tags.z=0000"]);
    let redmond = declarations([(live.id.clone(), body(declared.clone()))]);
    let take = PlanContext { take_ownership: true, ..context() };
    let plan_it = |live: &Twin| plan(&redmond, take.clone(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get);
    let taking = plan_it(&live);
    assert_eq!(
        lines(&taking),
        [
            "adopt desired.a.b 1 → 1",
            "new desired.x – → 1",
            "taken desired.a.b from oslo",
            r#"patch {"desired":{"x":1},"tags":{"twinctl":"…"}}"#,
        ]
    );
    let twin = &taking.twins[0];
    let after = twin.patch.apply(&live);
    assert_eq!(after.tags.0["twinctl"]["oslo"], json!({"v": 1, "rev": "9f3c", "owns": ["tags.z=0000"]}));
    assert!(twin.target_reached(&after) && plan_it(&after).is_empty());
    let oslo = Declarations { fleet: "oslo".parse().expect("a fleet"), ..redmond.clone() };
    let theirs = plan(&oslo, context(), [Lookup::Found(Box::new(after))], ReadBy::Get);
    assert_eq!(lines(&theirs)[0], "conflict desired.a.b: desired.a.b is redmond's at r1");
    // Should the other fleet write meanwhile, nothing of this is sent.
    let mut fresh = live.clone();
    fresh.tags.0["twinctl"]["oslo"]["owns"] = json!(["desired.a.b=6b86", "desired.x=0000"]);
    assert!(matches!(twin.rebase(&fresh), Rebase::Conflict(_)));
    // Should its record go meanwhile, there is nothing left to take.
    fresh.tags.0.remove("twinctl");
    let Rebase::Send(rest) = twin.rebase(&fresh) else { panic!("{:?}", twin.rebase(&fresh)) };
    assert!(twin.target_reached(&rest.apply(&fresh)));
}

#[test]
fn what_another_fleet_took_is_let_go() {
    let mut live = owning(json!({"desired": {"a": 1, "b": 2}}), json!({"desired": {"a": 1, "b": 2}}));
    live.tags.0["twinctl"]["oslo"] = record(json!({"desired": {"a": 1}}));
    check(json!({}), live, &["removed desired.b 2 → –", r#"patch {"desired":{"b":null},"tags":{"twinctl":"…"}}"#]);
}

#[test]
fn without_records() {
    let mut live = owning(json!({"desired": {"a": 1, "gone": 1}}), json!({"desired": {"a": 2, "b": 3, "gone": 1}}));
    let declared = body(json!({"desired": {"a": 1, "b": 3, "c": 4, "d": null}}));
    let declarations = Declarations { ownership: Ownership::None, ..declarations([(live.id.clone(), declared)]) };
    let plan_it = |live: &Twin| plan(&declarations, context(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get);
    // What was recorded before is neither used nor touched.
    assert_eq!(
        lines(&plan_it(&live)),
        ["overwrite desired.a 2 → 1", "new desired.c – → 4", r#"patch {"desired":{"a":1,"c":4}}"#]
    );
    live = plan_it(&live).twins[0].patch.apply(&live);
    assert!(plan_it(&live).is_empty());
    // A record that nobody here reads may be broken.
    live.tags.0["twinctl"] = json!(5);
    assert!(plan_it(&live).is_empty());
    // Another fleet's is respected.
    live.tags.0["twinctl"] = json!({"oslo": record(json!({"desired": {"a": 1}}))});
    assert_eq!(lines(&plan_it(&live)), ["conflict desired.a: desired.a is oslo's at r0", "patch {}"]);
    let stranger = Twin { id: id("other"), ..live };
    let plan = plan(&declarations, context(), [Lookup::Found(Box::new(stranger))], ReadBy::Get);
    assert!(plan.is_empty(), "nobody is taken to have left");
}

#[test]
fn limits() {
    let long = "x".repeat(4000);
    // The record alone is what does not fit.
    let mut tags = json!({"a": long, "b": long});
    let live = twin("d", json!({ "tags": tags }));
    let many: Object = (0..10).map(|at| (format!("key-{at}"), json!(at))).collect();
    let found = plan_one(json!({ "desired": many }), &live);
    let expected = "conflict tags would have 8214 bytes as the hub counts, and it takes 8192 at most; 205 of them are the record \
                    of what redmond owns, which grows with the number of declared leaves; 8002 are there now";
    assert_eq!(lines(&found), [expected, "patch {}"]);
    // A section that is too large already may shrink.
    tags["c"] = json!("x".repeat(600));
    let mut full = twin("d", json!({ "tags": tags }));
    full.tags.0.insert("twinctl".to_owned(), json!({"redmond": record(json!({"tags": {"c": 1, "d": 1}}))}));
    check(
        json!({"tags": {"d": null}}),
        full,
        &[
            &format!("removed over drift tags.c \"{}\" → –", "x".repeat(600)),
            "adopt tags.d – → –",
            r#"patch {"tags":{"c":null,"twinctl":"…"}}"#,
        ],
    );
    // An entry of the record is a text like any other.
    let key = "k".repeat(1000);
    let deep = (0..5).fold(json!(1), |inner, _| json!({ key.clone(): inner }));
    let conflicts = lines(&plan_one(json!({ "desired": deep }), &twin("d", json!({}))));
    let expected = "conflict tags.twinctl.redmond.owns.0: the text has 5017 bytes, and the hub takes 4096 at most";
    assert_eq!(conflicts, [expected, "patch {}"]);
}

#[test]
fn devices_and_modules_that_the_hub_lacks() {
    let declared = || body(json!({"tags": {"a": 1}, "desired": {"b": null}}));
    let actions = [
        (Missing::Fail, Action::Missing, vec!["patch {}"]),
        (Missing::Skip, Action::Skip, vec!["patch {}"]),
        (
            Missing::Register,
            Action::Register,
            vec!["new tags.a – → 1", "adopt desired.b – → –", r#"patch {"tags":{"a":1,"twinctl":"…"}}"#],
        ),
    ];
    for (name, (missing, action, expected)) in
        ["d", "d/m"].iter().flat_map(|name| actions.iter().map(move |row| (*name, row)))
    {
        let (missing, action) = (*missing, *action);
        let declarations = Declarations { missing, ..declarations([(id(name), declared())]) };
        let plan = plan(&declarations, context(), [Lookup::Absent(id(name))], ReadBy::Get);
        assert_eq!((plan.twins[0].action, lines(&plan)), (action, expected.iter().map(ToString::to_string).collect()));
        assert_eq!(plan.twins[0].etag, None);
        assert_eq!(plan.is_empty(), action == Action::Skip);
        assert_eq!(plan.twins[0].is_sent(), action == Action::Register);
        assert_eq!(plan.unchanged, 0);
    }
    // Nothing declared is something to do where the device is to be made.
    let bare = Declarations { missing: Missing::Register, ..declarations([(id("d"), Body::default())]) };
    let plan = plan(&bare, context(), [Lookup::Absent(id("d"))], ReadBy::Get);
    assert!(plan.twins[0].is_sent() && !plan.is_empty());
    assert_eq!(plan.summary().record_only, 0);
}

#[test]
fn a_device_and_its_modules_are_twins_of_their_own() {
    let declarations = Declarations {
        missing: Missing::Register,
        ..declarations([
            (id("gw"), body(json!({"desired": {"batch": 5}}))),
            (id("gw/there"), body(json!({"desired": {"batch": 5}}))),
            (id("gw/new"), body(json!({"desired": {"batch": 5}}))),
        ])
    };
    let owned = json!({"desired": {"batch": 5, "old": 1}});
    let mut left = owning(owned.clone(), owned);
    left.id = id("gw/left");
    let lookups = [
        Lookup::Found(Box::new(left)),
        Lookup::Found(Box::new(twin("gw/there", json!({"desired": {"batch": 4}})))),
        Lookup::Found(Box::new(twin("gw/stranger", json!({"desired": {"batch": 4}})))),
        Lookup::Absent(id("gw/new")),
        Lookup::Found(Box::new(twin("gw", json!({"desired": {"batch": 5}})))),
    ];
    let made = plan(&declarations, context(), lookups, ReadBy::Get);
    let twins: Vec<_> = made
        .twins
        .iter()
        .map(|twin| (twin.id.to_string(), twin.action, patch_json(&twin.patch)["desired"].clone()))
        .collect();
    assert_eq!(
        twins,
        [
            ("gw".to_owned(), Action::Update, Value::Null),
            ("gw/left".to_owned(), Action::Release, json!({"batch": null, "old": null})),
            ("gw/new".to_owned(), Action::Register, json!({"batch": 5})),
            ("gw/there".to_owned(), Action::Update, json!({"batch": 5})),
        ]
    );
    let digest = |name: &str| {
        let mut other = made.clone();
        other.twins[2].id = id(name);
        other.review_digest()
    };
    assert_eq!(digest("gw/new"), made.review_digest());
    assert_ne!(digest("gw/nex"), made.review_digest(), "what is reviewed is of these modules");
}

#[test]
fn devices_that_left() {
    let none = declarations([]);
    let left =
        owning(json!({"desired": {"a": {"b": 1}}}), json!({"tags": {"z": 1}, "desired": {"a": {"b": 1}, "c": 2}}));
    let stranger = twin("stranger", json!({"tags": {"twinctl": {"oslo": record(json!({"tags": {"a": 1}}))}}}));
    let lookups = [
        Lookup::Found(Box::new(left.clone())),
        Lookup::Found(Box::new(stranger)),
        Lookup::Absent(id("gone-altogether")),
    ];
    let plan = plan(&none, context(), lookups, ReadBy::Get);
    assert_eq!(lines(&plan), ["removed desired.a.b 1 → –", r#"patch {"desired":{"a":null},"tags":{"twinctl":"…"}}"#]);
    assert_eq!((plan.twins.len(), plan.twins[0].action, plan.unchanged), (1, Action::Release, 0));
    let after = plan.twins[0].patch.apply(&left);
    assert_eq!(sections(&after), json!({"tags": {"z": 1}, "desired": {"c": 2}}));
    assert!(super::plan(&none, context(), [Lookup::Found(Box::new(after))], ReadBy::Get).is_empty());
}

#[test]
fn pushes() {
    let declarations = declarations([(id("a"), body(json!({"tags": {"x": 1}}))), (id("b"), Body::default())]);
    let mut planner = Planner::new(&declarations, context());
    assert_eq!(planner.pending().map(TwinId::to_string).collect::<Vec<_>>(), ["a", "b"]);
    planner.push(&Lookup::Found(Box::new(twin("a", json!({"tags": {"x": 1}})))));
    assert!(!planner.is_pending(&id("a")) && planner.is_pending(&id("b")));
    planner.push(&Lookup::Absent(id("a")));
    let plan = planner.finish(ReadBy::Query);
    assert_eq!(
        lines(&plan)[0],
        "adopt tags.x 1 → 1",
        "the second push is ignored, and what was not pushed is not missing"
    );
    assert_eq!((plan.twins.len(), plan.unchanged), (1, 0));
}

#[test]
fn clusters_read_well() {
    let mut twins: Vec<_> =
        (0..10).map(|at| (id(&format!("d{at}")), body(json!({"desired": {"power": i64::from(at > 6)}})))).collect();
    twins.push((id("e"), body(json!({"desired": {"power": 1}}))));
    let mut declarations = declarations(twins);
    // Where it is written does not matter.
    let body = &mut declarations.twins.get_mut(&id("d9")).expect("declared").body;
    let mut leaves = body.leaves().into_owned();
    leaves[0].origin.line = 99;
    *body = Arc::new(leaves.into());
    let lookups = declarations.twins.keys().map(|id| match id.device.as_str() {
        "e" => Lookup::Absent(id.clone()),
        name => Lookup::Found(Box::new(twin(
            name,
            json!({"desired": {"power": if name == "d0" { json!({"x": 1}) } else { json!(5) }}}),
        ))),
    });
    let plan = plan(&declarations, context(), lookups, ReadBy::Get);
    let clusters: Vec<_> = plan
        .clusters()
        .iter()
        .map(|cluster| {
            let ids: Vec<_> = cluster.ids.iter().map(ToString::to_string).collect();
            format!("{:?} {} {} {}", cluster.action, cluster.changes.len(), cluster.conflicts.len(), ids.join(" "))
        })
        .collect();
    assert_eq!(clusters, ["Update 0 1 d0", "Missing 0 0 e", "Update 1 0 d1 d2 d3 d4 d5 d6", "Update 1 0 d7 d8 d9"]);
    let twins = &plan.twins;
    assert!(Arc::ptr_eq(&twins[1].changes, &twins[2].changes) && Arc::ptr_eq(&twins[1].patch, &twins[2].patch));
    let summary = plan.summary();
    assert_eq!((summary.conflicting_twins, summary.conflicts, summary.twins[&Action::Update]), (1, 1, 9));
    assert_eq!((summary.changes[&Verdict::Overwrite], summary.twins[&Action::Missing]), (9, 1));
}

#[test]
fn guards() {
    let declared =
        |twins: &[&str]| declarations(twins.iter().map(|&name| (id(name), body(json!({"desired": {"a": 1}})))));
    let refusal = |declarations: &Declarations, lookups: Vec<Lookup>| {
        let plan = plan(declarations, context(), lookups, ReadBy::Get);
        approve(plan, Consent::Flag, None).map(|plan| plan.twins.len()).map_err(|refusal| refusal.to_string())
    };
    let ids: Vec<String> = (0..7).map(|at| format!("d{at}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found = |name: &str, sections: Value| Lookup::Found(Box::new(twin(name, sections)));
    assert_eq!(refusal(&declared(&["a"]), vec![found("a", json!({}))]), Ok(1));
    assert_eq!(
        refusal(&declared(&["a"]), vec![Lookup::Absent(id("a"))]),
        Err("the hub has no device a; `missing: register` in the manifest creates what is missing, `missing: skip` leaves it out".to_owned())
    );
    assert_eq!(
        refusal(&declared(&names), names.iter().map(|name| Lookup::Absent(id(name))).collect()),
        Err("the hub has no devices d0, d1, d2, d3, d4 and 2 more; `missing: register` in the manifest creates what is missing, \
             `missing: skip` leaves it out"
            .to_owned())
    );
    assert_eq!(
        refusal(&declared(&names), names.iter().map(|name| found(name, json!({"desired": {"a": {"b": 1}}}))).collect()),
        Err("7 twins have 7 conflicts, and nothing is sent while there is any: d0, d1, d2, d3, d4 and 2 more"
            .to_owned())
    );
    let mut guarded = declared(&["a"]);
    let hub: iothub_model::twin::HubHost = "hub.example.net".parse().expect("a host");
    assert_eq!(check_hub(&guarded, &hub), Ok(()));
    guarded.hub = Some(hub.clone());
    assert_eq!(check_hub(&guarded, &hub), Ok(()));
    guarded.hub = Some("other.example.net".parse().expect("a host"));
    assert_eq!(
        check_hub(&guarded, &hub).expect_err("another hub").to_string(),
        "the manifest is for the hub other.example.net, and this is hub.example.net"
    );
}

#[test]
fn the_review_digest_is_of_hub_fleet_and_patches() {
    let live = twin("d", json!({"desired": {"power": 1}}));
    let digest = |live: &Twin, declared: Value| plan_one(declared, live).review_digest();
    let declared = || json!({"desired": {"power": 2}});
    let reviewed = digest(&live, declared());
    // Moved elsewhere, under another etag: the same.
    let moved = Twin { etag: ETag::new("AAAAAAAAAAI="), ..live.clone() };
    assert_eq!(digest(&moved, declared()), reviewed);
    assert_ne!(digest(&live, json!({"desired": {"power": 3}})), reviewed);
    let plan = plan_one(declared(), &live);
    let mut other = plan.clone();
    other.hub = "other.example.net".parse().expect("a host");
    assert_ne!(other.review_digest(), reviewed);
    let mut other = plan.clone();
    other.twins[0].id = id("e");
    assert_ne!(other.review_digest(), reviewed);
    let mut hasher = Hasher::new();
    hasher.part(concat!(
        r#"{"fleet":"redmond","hub":"hub.example.net","twins":[{"id":"d","patch":{"desired":{"power":2},"#,
        r#""tags":{"twinctl":{"redmond":{"owns":["desired.power=d473"],"rev":"r1","v":1}}}}}]}"#
    ));
    assert_eq!(plan.patch_digest(), hasher.finish());
}
