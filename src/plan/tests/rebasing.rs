//! A plan carried over to a twin that moved meanwhile: what was planned on, what is there now, and what comes of it.

use super::*;

fn rebase(declared: Value, seen: &Twin, fresh: &Twin) -> String {
    let plan = plan_one(declared, seen);
    // Just as out of a file.
    let plan = file::read(&file::write(&plan, "0.1.0")).expect("a plan file");
    let value = |value: Option<&Value>| value.map_or("–".to_owned(), Value::to_string);
    match plan.twins[0].rebase(fresh) {
        Rebase::Send(mut rest) => {
            assert!(plan.twins[0].target_reached(&rest.apply(fresh)));
            if rest.tags.contains_key("twinctl") {
                rest.tags.insert("twinctl".to_owned(), "…".into());
            }
            format!("send {}", patch_json(&rest))
        }
        Rebase::Converged => {
            assert!(plan.twins[0].target_reached(fresh));
            "converged".to_owned()
        }
        Rebase::Conflict(moved) => {
            assert!(!plan.twins[0].target_reached(fresh));
            let moved: Vec<_> = moved
                .iter()
                .map(|moved| {
                    let (seen, planned) = (value(moved.seen.known()), value(moved.planned.known()));
                    let found = value(moved.found.as_ref());
                    format!("{}: {seen} became {found}, not {planned}", moved.path)
                })
                .collect();
            moved.join("; ")
        }
    }
}

#[test]
fn values_that_moved() {
    // Planned on 1, to become 2; the record is new.
    let desired = |desired: Value| twin("d", json!({ "desired": desired }));
    let seen = desired(json!({"power": 1, "fan": true}));
    for (fresh, expected) in [
        (json!({"power": 1, "fan": false}), r#"send {"desired":{"power":2},"tags":{"twinctl":"…"}}"#),
        (json!({"power": 2}), r#"send {"tags":{"twinctl":"…"}}"#),
        (json!({"power": 9}), "desired.power: 1 became 9, not 2"),
        (json!({}), "desired.power: 1 became –, not 2"),
        (json!({"power": {"level": 1}}), r#"desired.power: 1 became {"level":1}, not 2"#),
    ] {
        assert_eq!(rebase(json!({"desired": {"power": 2}}), &seen, &desired(fresh.clone())), expected, "{fresh}");
    }
    // Planned on nothing, to become an object with a leaf in it.
    for (fresh, expected) in [
        (json!({"a": {}}), r#"send {"desired":{"a":{"b":1}},"tags":{"twinctl":"…"}}"#),
        (json!({"a": {"c": 1}}), r#"send {"desired":{"a":{"b":1}},"tags":{"twinctl":"…"}}"#),
        (json!({"a": 5}), "desired.a: – became 5, not –"),
        (json!({"a": {"b": {"c": 1}}}), r#"desired.a.b: – became {"c":1}, not 1"#),
    ] {
        assert_eq!(
            rebase(json!({"desired": {"a": {"b": 1}}}), &desired(json!({})), &desired(fresh.clone())),
            expected,
            "{fresh}"
        );
    }
    // Planned on a scalar, to give way to an object. Whatever another fleet put into such an object may stay.
    for (fresh, expected) in [
        (json!({"a": 5}), r#"send {"desired":{"a":{"b":1}},"tags":{"twinctl":"…"}}"#),
        (json!({"a": 6}), "desired.a: 5 became 6, not –"),
        (json!({"a": {"c": 1}}), r#"send {"desired":{"a":{"b":1}},"tags":{"twinctl":"…"}}"#),
    ] {
        assert_eq!(
            rebase(json!({"desired": {"a": {"b": 1}}}), &desired(json!({"a": 5})), &desired(fresh.clone())),
            expected,
            "{fresh}"
        );
    }
    // An adopted value is no part of the patch, but what the record says of it must be so.
    assert_eq!(
        rebase(json!({"desired": {"power": 1}}), &seen, &desired(json!({"power": 3}))),
        "desired.power: 1 became 3, not 1"
    );
    assert_eq!(
        rebase(json!({"desired": {"x": null}}), &seen, &desired(json!({"x": {"y": 1}}))),
        r#"desired.x: – became {"y":1}, not –"#
    );
}

#[test]
fn a_whole_object_that_somebody_wrote_into_keeps_what_is_new() {
    let owned = json!({"desired": {"a": {"b": 1}}});
    let records = json!({ "redmond": record(owned.clone()) });
    let live = |desired: Value| twin("d", json!({"tags": {"twinctl": records}, "desired": desired}));
    let seen = live(json!({"a": {"b": 1}}));
    assert_eq!(plan_one(json!({}), &seen).twins[0].patch.desired, object(json!({"a": null})));
    for (fresh, expected) in [
        (json!({"a": {"b": 1, "c": 2}}), r#"send {"desired":{"a":{"b":null}},"tags":{"twinctl":"…"}}"#),
        (json!({"a": {"b": 1, "c": {}}}), r#"send {"desired":{"a":{"b":null}},"tags":{"twinctl":"…"}}"#),
        (json!({"a": {"c": 2}}), r#"send {"tags":{"twinctl":"…"}}"#),
        (json!({"a": {"b": {"c": 2}}}), r#"send {"tags":{"twinctl":"…"}}"#),
        (json!({"a": {"b": 2}}), "desired.a.b: 1 became 2, not –"),
    ] {
        assert_eq!(rebase(json!({}), &seen, &live(fresh.clone())), expected, "{fresh}");
    }
    // Where the object is to become a scalar, what is new in it is in the way.
    assert_eq!(
        rebase(json!({"desired": {"a": 5}}), &seen, &live(json!({"a": {"b": 1, "c": 2}}))),
        r#"desired.a: – became {"b":1,"c":2}, not 5"#
    );
}

#[test]
fn records_that_moved() {
    let with = |redmond: Value, oslo: Value, power: i64| {
        let records: Object = [("redmond", redmond), ("oslo", oslo)]
            .into_iter()
            .filter(|(_, record)| !record.is_null())
            .map(|(fleet, record)| (fleet.to_owned(), record))
            .collect();
        twin("d", json!({"tags": {"twinctl": records}, "desired": {"power": power}}))
    };
    let of = |value: Value| record(json!({"desired": value}));
    let (one, two) = (of(json!({"power": 1})), of(json!({"power": 2})));
    let edit = |fresh: Twin| rebase(json!({"desired": {"power": 2}}), &with(one.clone(), Value::Null, 1), &fresh);
    let expected = r#"send {"desired":{"power":2},"tags":{"twinctl":"…"}}"#;
    assert_eq!(edit(with(one.clone(), Value::Null, 1)), expected);
    // Another run of the same fleet was there already, under whatever revision.
    let mut other_revision = two.clone();
    other_revision["rev"] = json!("r9");
    assert_eq!(edit(with(other_revision, Value::Null, 2)), "converged");
    assert_eq!(edit(with(two.clone(), Value::Null, 1)), r#"send {"desired":{"power":2},"tags":{"twinctl":"…"}}"#);
    // Or it was there with another manifest, or let the twin go.
    let moved = edit(with(of(json!({"power": 1, "fan": 1})), Value::Null, 1));
    assert!(moved.starts_with(r#"tags.twinctl.redmond: {"owns":["desired.power=6b86"],"rev":"r0"} became"#), "{moved}");
    let gone = edit(with(Value::Null, Value::Null, 1));
    assert!(gone.contains("tags.twinctl.redmond") && gone.contains("became –"), "{gone}");
    let broken = edit(with(json!(5), Value::Null, 1));
    assert!(broken.contains("became 5"), "{broken}");
    // A new record of another fleet matters where it is about these paths, or about nobody knows what.
    assert_eq!(edit(with(one.clone(), of(json!({"other": 1})), 1)), expected);
    assert_eq!(
        edit(with(one.clone(), of(json!({"power": 1})), 1)),
        r#"tags.twinctl.oslo: – became ["desired.power"], not –"#
    );
    assert_eq!(edit(with(one.clone(), json!(5), 1)), "tags.twinctl.oslo: – became 5, not –");

    // Drift that is set back writes no entries, only the revision; without a record there is nothing to write it into.
    let drift = |fresh: Twin| rebase(json!({"desired": {"power": 1}}), &with(one.clone(), Value::Null, 7), &fresh);
    assert_eq!(drift(with(one.clone(), Value::Null, 7)), r#"send {"desired":{"power":1},"tags":{"twinctl":"…"}}"#);
    assert_eq!(drift(with(one.clone(), Value::Null, 1)), "converged");
    assert!(drift(with(Value::Null, Value::Null, 7)).contains("tags.twinctl.redmond"));
}

#[test]
fn a_release_spares_the_records_of_others() {
    let owned = json!({"desired": {"a": 1}});
    let live = |others: Value| {
        let mut records = object(others);
        records.insert("redmond".to_owned(), record(owned.clone()));
        twin("d", json!({"tags": {"twinctl": records}, "desired": {"a": 1}}))
    };
    let plan = plan_one(json!({}), &live(json!({})));
    assert_eq!(plan.twins[0].patch.tags, object(json!({"twinctl": null})));
    let fresh = live(json!({"oslo": record(json!({"tags": {"z": 1}}))}));
    let Rebase::Send(rest) = plan.twins[0].rebase(&fresh) else { panic!("{:?}", plan.twins[0].rebase(&fresh)) };
    assert_eq!(rest.tags, object(json!({"twinctl": {"redmond": null}})));
}

#[test]
fn a_device_that_came_to_exist_before_it_was_registered() {
    let declarations = Declarations {
        missing: Missing::Register,
        ..declarations([(id("d"), body(json!({"desired": {"power": 1}})))])
    };
    let plan = plan(&declarations, context(), [Lookup::Absent(id("d"))], ReadBy::Get);
    let fresh = |desired: Value| plan.twins[0].rebase(&twin("d", json!({ "desired": desired })));
    assert_eq!(fresh(json!({})), Rebase::Send(MergePatch::clone(&plan.twins[0].patch)));
    assert!(matches!(fresh(json!({"power": 1, "x": 2})), Rebase::Send(rest) if rest.desired.is_empty()));
    assert!(matches!(fresh(json!({"power": 2})), Rebase::Conflict(moved) if moved.len() == 1));
}

#[test]
fn when_a_value_was_written() {
    let seen = twin("d", json!({"tags": {"t": 1}, "desired": {"a": {"b": 1}, "c": 1}}));
    let plan = plan_one(json!({"tags": {"t": 2}, "desired": {"a": {"b": 2}, "c": 2}}), &seen);
    let mut fresh = twin("d", json!({"tags": {"t": 9}, "desired": {"a": {"b": 9}}}));
    fresh.desired_metadata = object(json!({
        "$lastUpdated": "2026-11-24T10:00:00.0000000Z",
        "a": {"$lastUpdated": "2026-11-24T11:00:00.0000000Z", "b": {"$lastUpdated": "2026-11-24T12:00:00.0000000Z"}},
    }));
    let Rebase::Conflict(moved) = plan.twins[0].rebase(&fresh) else { panic!("moved") };
    let moved: Vec<_> = moved.iter().map(|moved| (moved.path.as_str(), moved.written_at.as_deref())).collect();
    assert_eq!(
        moved,
        [
            ("tags.t", None),
            ("desired.a.b", Some("2026-11-24T12:00:00.0000000Z")),
            // It is gone; when, the nearest node says.
            ("desired.c", Some("2026-11-24T10:00:00.0000000Z")),
        ]
    );
}
