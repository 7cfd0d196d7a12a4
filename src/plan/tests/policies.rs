//! What `exact`, `moved` and `released` make of a twin.

use super::planning::owning;
use super::*;

fn check(policy: &Policy, declared: Value, live: &Twin, expected: &[&str]) {
    let plan = plan_under(policy, declared.clone(), live, false);
    assert_eq!(lines(&plan), expected, "{declared} on {}", sections(live));
    for twin in plan.twins.iter().filter(|twin| twin.conflicts.is_empty()) {
        let after = twin.patch.apply(live);
        assert!(plan_under(policy, declared.clone(), &after, false).is_empty());
        assert_eq!(sections(&twin.inverse.apply(&after)), sections(live));
    }
}

#[test]
fn exact_removes_what_nobody_declares() {
    let exact = policy(&["tags.place"], &[], &[], &[]);
    let declared = json!({"tags": {"place": {"plant": "P"}, "x": 1}});
    let live = |place: Value| owning(declared.clone(), json!({"tags": {"place": place, "x": 1, "y": 1}}));
    check(
        &exact,
        declared.clone(),
        &live(json!({"plant": "P", "floor": 3, "room": {"n": 1}, "spare": {}})),
        &[
            "undeclared tags.place.floor 3 → –",
            "undeclared tags.place.room.n 1 → –",
            "undeclared tags.place.spare {} → –",
            r#"patch {"tags":{"place":{"floor":null,"room":null,"spare":null},"twinctl":"…"}}"#,
        ],
    );
    check(&exact, declared.clone(), &live(json!({"plant": "P"})), &[]);
    // What this fleet owned there is removed, as anywhere.
    let owned = json!({"tags": {"place": {"plant": "P", "floor": 3}, "x": 1}});
    check(
        &exact,
        declared.clone(),
        &owning(owned.clone(), owned),
        &["removed tags.place.floor 3 → –", r#"patch {"tags":{"place":{"floor":null},"twinctl":"…"}}"#],
    );
    // A scalar or an empty object in the place of the path.
    for place in [json!(5), json!({})] {
        let bare = twin("d", json!({"tags": {"place": place}}));
        let change = format!("undeclared tags.place {place} → –");
        check(&exact, json!({}), &bare, &[&change, r#"patch {"tags":{"place":null}}"#]);
        let absent = json!({"tags": {"place": {"plant": null}}});
        let adopt = "adopt tags.place.plant – → –";
        check(&exact, absent, &bare, &[&change, adopt, r#"patch {"tags":{"place":null,"twinctl":"…"}}"#]);
    }
    check(
        &exact,
        json!({"tags": {"place": {"plant": "P"}}}),
        &twin("d", json!({"tags": {"place": {}}})),
        &["new tags.place.plant – → \"P\"", r#"patch {"tags":{"place":{"plant":"P"},"twinctl":"…"}}"#],
    );
}

#[test]
fn exact_spares_records_and_what_others_own() {
    let exact = policy(&["tags"], &[], &[], &[]);
    let mut live = owning(json!({"tags": {"x": 1}}), json!({"tags": {"x": 1}}));
    check(&exact, json!({"tags": {"x": 1}}), &live, &[]);
    live.tags.0["twinctl"]["oslo"] = record(json!({"tags": {"z": {"a": 1}}}));
    live.tags.0.insert("z".to_owned(), json!({"a": 1, "b": 1}));
    check(&exact, json!({"tags": {"x": 1}}), &live, &["conflict tags.z.a: tags.z.a is oslo's at r0", "patch {}"]);
    // Taken over, it is this fleet's to remove.
    let taking = plan_under(&exact, json!({"tags": {"x": 1}}), &live, true);
    assert_eq!(
        lines(&taking),
        [
            "undeclared tags.z.a 1 → –",
            "undeclared tags.z.b 1 → –",
            "taken tags.z.a from oslo",
            r#"patch {"tags":{"twinctl":"…","z":null}}"#,
        ]
    );
    // What both own is not let go of here, only to be in the way afterwards.
    let both = json!({"tags": {"x": 1, "z": 1}});
    let mut live = owning(both.clone(), both);
    live.tags.0["twinctl"]["oslo"] = record(json!({"tags": {"y": 1, "z": 1}}));
    check(&exact, json!({"tags": {"x": 1}}), &live, &["conflict tags.z: tags.z is oslo's at r0", "patch {}"]);
    let taking = plan_under(&exact, json!({"tags": {"x": 1}}), &live, true);
    assert_eq!(
        lines(&taking),
        ["removed tags.z 1 → –", "taken tags.z from oslo", r#"patch {"tags":{"twinctl":"…","z":null}}"#]
    );
    // Without records too: whatever was recorded before.
    let declarations = Declarations {
        ownership: Ownership::None,
        policy: policy(&["desired"], &[], &[], &[]),
        ..declarations([(id("d"), body(json!({"desired": {"a": 1}})))])
    };
    let live = owning(json!({"desired": {"b": 1}}), json!({"desired": {"a": 1, "b": 1}}));
    let plan = plan(&declarations, context(), [Lookup::Found(Box::new(live))], ReadBy::Get);
    assert_eq!(lines(&plan), ["undeclared desired.b 1 → –", r#"patch {"desired":{"b":null}}"#]);
}

#[test]
fn exact_lets_a_scalar_replace_a_strangers_object() {
    let live = twin("d", json!({"desired": {"a": {"b": 1, "c": {"d": 2}}}}));
    let declared = json!({"desired": {"a": 5}});
    check(
        &Policy::default(),
        declared.clone(),
        &live,
        &["conflict desired.a: would destroy [desired.a.b, desired.a.c.d]", "patch {}"],
    );
    // Over part of it is not enough.
    check(
        &policy(&["desired.a.b"], &[], &[], &[]),
        declared.clone(),
        &live,
        &["conflict desired.a: would destroy [desired.a.c.d]", "patch {}"],
    );
    check(
        &policy(&["desired.a"], &[], &[], &[]),
        declared,
        &live,
        &[
            "new desired.a – → 5",
            "undeclared desired.a.b 1 → –",
            "undeclared desired.a.c.d 2 → –",
            r#"patch {"desired":{"a":5},"tags":{"twinctl":"…"}}"#,
        ],
    );
}

#[test]
fn exact_does_not_follow_a_twin_that_left() {
    let declarations = Declarations { policy: policy(&["desired"], &[], &[], &[]), ..declarations([]) };
    let live = owning(json!({"desired": {"a": 1}}), json!({"desired": {"a": 1, "b": 1}}));
    let plan = plan(&declarations, context(), [Lookup::Found(Box::new(live))], ReadBy::Get);
    assert_eq!(lines(&plan), ["removed desired.a 1 → –", r#"patch {"desired":{"a":null},"tags":{"twinctl":"…"}}"#]);
}

#[test]
fn renames() {
    let rename = policy(&[], &[("desired.freq", "desired.interval")], &[], &[]);
    let owned = json!({"desired": {"freq": 5}});
    let live = |desired: Value| owning(owned.clone(), json!({ "desired": desired }));
    let declared = |value: i64| json!({"desired": {"interval": value}});
    let moved = |value: i64| {
        [
            "moved desired.freq 5 → –".to_owned(),
            format!("moved desired.interval – → {value}"),
            format!(r#"patch {{"desired":{{"freq":null,"interval":{value}}},"tags":{{"twinctl":"…"}}}}"#),
        ]
    };
    // With another value at once, too.
    for value in [5, 6] {
        check(&rename, declared(value), &live(json!({"freq": 5})), &moved(value).each_ref().map(String::as_str));
    }
    let plan = plan_under(&rename, declared(5), &live(json!({"freq": 5})), false);
    assert_eq!(plan.twins[0].changes[1].moved_from, Some(path("desired.freq")));
    assert_eq!(plan.twins[0].changes[0].origin, Some(origin(91)));
    assert_eq!(plan.summary().changes, [(Verdict::Moved, 1)].into());
    // The old value is not what was applied: what somebody wrote there is removed as such.
    check(
        &rename,
        declared(5),
        &live(json!({"freq": 7})),
        &[
            "removed over drift desired.freq 7 → –",
            "new desired.interval – → 5",
            r#"patch {"desired":{"freq":null,"interval":5},"tags":{"twinctl":"…"}}"#,
        ],
    );
    // The old one is gone, or the new one is there already.
    check(
        &rename,
        declared(5),
        &live(json!({})),
        &["new desired.interval – → 5", r#"patch {"desired":{"interval":5},"tags":{"twinctl":"…"}}"#],
    );
    check(
        &rename,
        declared(5),
        &live(json!({"freq": 5, "interval": 5})),
        &[
            "removed desired.freq 5 → –",
            "adopt desired.interval 5 → 5",
            r#"patch {"desired":{"freq":null},"tags":{"twinctl":"…"}}"#,
        ],
    );
    // Without a record nothing is removed; and once it has been done there is nothing to do.
    check(
        &rename,
        declared(5),
        &twin("d", json!({"desired": {"freq": 5}})),
        &["new desired.interval – → 5", r#"patch {"desired":{"interval":5},"tags":{"twinctl":"…"}}"#],
    );
    check(&rename, declared(5), &owning(declared(5), json!({"desired": {"interval": 5, "freq": 5}})), &[]);
    // A whole object, and a path that was moved twice since.
    let twice = policy(&[], &[("desired.a", "desired.b"), ("desired.b.x", "desired.c")], &[], &[]);
    let owned = json!({"desired": {"a": {"x": 1, "y": 2}}});
    check(
        &twice,
        json!({"desired": {"b": {"y": 2}, "c": 1}}),
        &owning(owned.clone(), owned),
        &[
            "moved desired.a.x 1 → –",
            "moved desired.a.y 2 → –",
            "moved desired.b.y – → 2",
            "moved desired.c – → 1",
            r#"patch {"desired":{"a":null,"b":{"y":2},"c":1},"tags":{"twinctl":"…"}}"#,
        ],
    );
    // In a circle.
    let circle = policy(&[], &[("desired.a", "desired.b"), ("desired.b", "desired.a")], &[], &[]);
    let owned = json!({"desired": {"a": 1}});
    check(
        &circle,
        json!({}),
        &owning(owned.clone(), owned),
        &["removed desired.a 1 → –", r#"patch {"desired":{"a":null},"tags":{"twinctl":"…"}}"#],
    );
}

#[test]
fn a_rename_is_rebased_whole() {
    let rename = policy(&[], &[("desired.freq", "desired.interval")], &[], &[]);
    let owned = json!({"desired": {"freq": 5}});
    let seen = owning(owned.clone(), owned.clone());
    let plan = plan_under(&rename, json!({"desired": {"interval": 5}}), &seen, false);
    let rebase = |desired: Value| plan.twins[0].rebase(&owning(owned.clone(), json!({ "desired": desired })));
    assert!(
        matches!(rebase(json!({"freq": 5, "x": 1})), Rebase::Send(rest) if rest.desired == object(json!({"freq": null, "interval": 5})))
    );
    assert!(matches!(rebase(json!({"interval": 5})), Rebase::Send(rest) if rest.desired.is_empty()));
    for moved in [json!({"freq": 6}), json!({"freq": 5, "interval": 6})] {
        assert!(matches!(rebase(moved), Rebase::Conflict(moved) if moved.len() == 1));
    }
}

#[test]
fn released_paths_keep_their_values() {
    let release = policy(&["tags"], &[], &["tags.legacy"], &[]);
    let owned = json!({"tags": {"legacy": {"a": 1, "b": 2}, "x": 1}});
    let live = owning(owned.clone(), json!({"tags": {"legacy": {"a": 1, "b": 7, "c": 3}, "x": 1}}));
    // Under an exact path as well, and whatever somebody else made of it.
    check(
        &release,
        json!({"tags": {"x": 1}}),
        &live,
        &["released tags.legacy.a 1 → 1", "released tags.legacy.b 7 → 7", r#"patch {"tags":{"twinctl":"…"}}"#],
    );
    let plan = plan_under(&release, json!({"tags": {"x": 1}}), &live, false);
    let twin_plan = &plan.twins[0];
    let after = twin_plan.patch.apply(&live);
    assert_eq!(after.tags.0["twinctl"]["redmond"]["owns"], json!(["tags.x=6b86"]));
    // What becomes of the value between plan and apply does not matter, nor who takes it.
    let mut fresh = live.clone();
    fresh.tags.0["legacy"] = json!({"b": 9});
    fresh.tags.0["twinctl"]["oslo"] = record(json!({"tags": {"legacy": {"b": 9}}}));
    let Rebase::Send(rest) = twin_plan.rebase(&fresh) else { panic!("{:?}", twin_plan.rebase(&fresh)) };
    let after = rest.apply(&fresh);
    assert_eq!(after.tags.0["legacy"], json!({"b": 9}));
    assert!(twin_plan.target_reached(&after));
    // A twin that leaves the manifest keeps it, too.
    let declarations = Declarations { policy: release.clone(), ..declarations([]) };
    let left = plan_of(&declarations, &live);
    assert_eq!(
        lines(&left)[..3],
        ["released tags.legacy.a 1 → 1", "released tags.legacy.b 7 → 7", "removed tags.x 1 → –"]
    );
    // It does not go with an object that a scalar would replace.
    check(
        &release,
        json!({"tags": {"legacy": 5}}),
        &live,
        &["conflict tags.legacy: would destroy [tags.legacy.a, tags.legacy.b, tags.legacy.c]", "patch {}"],
    );
    // What is gone already leaves the record alone.
    check(
        &release,
        json!({"tags": {"x": 1}}),
        &owning(owned, json!({"tags": {"x": 1}})),
        &[r#"patch {"tags":{"twinctl":"…"}}"#],
    );
}

fn plan_of(declarations: &Declarations, live: &Twin) -> Plan {
    plan(declarations, context(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get)
}
