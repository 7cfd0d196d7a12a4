//! What guards refuse, and what lets a plan pass none the less.

use super::planning::owning;
use super::*;
use crate::digest::DigestPrefix;
use crate::manifest::layers::declaration::Group;
use crate::manifest::{Amount, Limits, Selection};

/// A fleet of `declared` devices, of which the first `edited` differ, and twins that left.
fn fleet(declared: usize, edited: usize, left: usize, limits: Limits) -> Plan {
    let of = |value: i64| json!({"desired": {"power": value}});
    let twins = (0..declared).map(|at| (id(&format!("d{at:03}")), body(of(if at < edited { 2 } else { 1 }))));
    let mut declarations = declarations(twins);
    declarations.policy.limits = limits;
    plan_fleet(&declarations, declared, left)
}

fn plan_fleet(declarations: &Declarations, declared: usize, left: usize) -> Plan {
    let of = |value: i64| json!({"desired": {"power": value}});
    let names = (0..declared).map(|at| format!("d{at:03}")).chain((0..left).map(|at| format!("gone{at:03}")));
    let lookups = names.map(|name| Lookup::Found(Box::new(Twin { id: id(&name), ..owning(of(1), of(1)) })));
    plan(declarations, context(), lookups, ReadBy::Get)
}

fn refused(plan: &Plan) -> Vec<String> {
    let refusals = guard::refusals(plan);
    let guards = refusals.iter().flat_map(|refusal| match refusal {
        PlanRefusal::Guarded { guards, .. } => guards.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    });
    guards.collect()
}

#[test]
fn limits_on_how_much_changes() {
    let changed = |amount| Limits { max_changed: Some(amount), ..Limits::default() };
    for (declared, edited, left, limits, expected) in [
        (10, 2, 0, changed(Amount::Count(2)), None),
        (10, 3, 0, changed(Amount::Count(2)), Some("3 of 10 twins are changed, and `max_changed` allows 2")),
        (10, 2, 0, changed(Amount::Percent(20.0)), None),
        (
            10,
            3,
            0,
            changed(Amount::Percent(20.0)),
            Some("3 of 10 twins are changed (30%), and `max_changed` allows 20%"),
        ),
        // Those that leave are among both the changed and the whole.
        (
            8,
            1,
            2,
            changed(Amount::Percent(29.0)),
            Some("3 of 10 twins are changed (30%), and `max_changed` allows 29%"),
        ),
        (
            49,
            10,
            0,
            changed(Amount::Percent(20.0)),
            Some("10 of 49 twins are changed (20.4%), and `max_changed` allows 20%"),
        ),
        (0, 0, 0, changed(Amount::Percent(0.5)), None),
        (
            2,
            0,
            3,
            Limits { max_removed_keys: Some(2), ..Limits::default() },
            Some("3 keys are removed, and `max_removed_keys` allows 2"),
        ),
        (2, 0, 2, Limits { max_removed_keys: Some(2), ..Limits::default() }, None),
        (2, 0, 0, Limits { min_population: Some(2), ..Limits::default() }, None),
        (
            1,
            0,
            0,
            Limits { min_population: Some(2), ..Limits::default() },
            Some("1 device is declared, and `min_population` asks for 2"),
        ),
        (1, 1, 20, Limits::default(), None),
        (
            0,
            0,
            1,
            Limits::default(),
            Some("no device is declared any more, and 1 twin that this fleet owns would be released"),
        ),
        (
            0,
            0,
            10,
            Limits::default(),
            Some("no device is declared any more, and 10 twins that this fleet owns would be released"),
        ),
    ] {
        let plan = fleet(declared, edited, left, limits.clone());
        assert_eq!(refused(&plan), expected.iter().map(ToString::to_string).collect::<Vec<_>>(), "{limits:?}");
        // What a file says is refused alike.
        let back = file::read(&file::write(&plan, "0.1.0")).expect("a plan");
        assert_eq!(guard::refusals(&back), guard::refusals(&plan));
    }
}

#[test]
fn what_is_removed_is_counted_by_keys() {
    let limits = Limits { max_removed_keys: Some(0), ..Limits::default() };
    let count = |policy: Policy, declared: Value, live: Twin| {
        let policy = Policy { limits: limits.clone(), ..policy };
        refused(&plan_under(&policy, declared, &live, false))
            .first()
            .and_then(|text| text.split(' ').next()?.parse().ok())
    };
    let owned = json!({"desired": {"a": 1, "b": 2}});
    let live = || owning(owned.clone(), json!({"desired": {"a": 1, "b": 2, "c": 3}}));
    let none = || Policy::default();
    assert_eq!(count(none(), json!({}), live()), Some(2));
    assert_eq!(count(none(), json!({"desired": {"a": null, "b": 2}}), live()), Some(1));
    assert_eq!(count(policy(&["desired"], &[], &[], &[]), owned.clone(), live()), Some(1));
    // A rename takes nothing away, nor a release, nor an object in a scalar's place.
    assert_eq!(
        count(policy(&[], &[("desired.a", "desired.x")], &[], &[]), json!({"desired": {"x": 1, "b": 2}}), live()),
        None
    );
    assert_eq!(count(policy(&[], &[], &["desired.a"], &[]), json!({"desired": {"b": 2}}), live()), None);
    assert_eq!(count(none(), json!({"desired": {"a": {"x": 1}, "b": 2}}), live()), None);
}

#[test]
fn a_group_that_fell_to_nothing() {
    let group = |leaves: Value, members: usize| Group { body: Arc::new(body(leaves)), members, origin: origin(7) };
    let with_group = |group: Group, declared: usize, left: usize| {
        let twins = (0..declared).map(|at| (id(&format!("d{at:03}")), Body::default()));
        let mut declarations = declarations(twins.chain([(id("other"), Body::default())]));
        declarations.groups.insert("saver".into(), group);
        refused(&plan_fleet(&declarations, declared, left))
    };
    let power = |value: i64| json!({"desired": {"power": value}});
    let expected = "the group saver (fleet.yaml:7) has no device any more, and 12 twins lose what it gave them";
    assert_eq!(with_group(group(power(1), 0), 12, 0), [expected]);
    // Also if they left altogether, or some did.
    assert_eq!(with_group(group(power(1), 0), 5, 7), [expected]);
    assert_eq!(with_group(group(power(1), 0), 2, 0), [""; 0]);
    assert_eq!(with_group(group(power(1), 0), 3, 0).len(), 1);
    assert_eq!(with_group(group(power(1), 1), 12, 0), [""; 0], "it has a member");
    assert_eq!(with_group(group(power(3), 0), 12, 0), [""; 0], "what is lost was not the group's");
    assert_eq!(with_group(group(json!({"desired": {"power": 1, "fan": 1}}), 0), 12, 0), [""; 0]);
    assert_eq!(with_group(group(json!({"desired": {"power": 1, "fan": null}}), 0), 12, 0), [expected]);
    assert_eq!(with_group(group(json!({}), 0), 12, 0), [""; 0], "it gives nothing");
}

#[test]
fn approval_is_of_one_plan() {
    let limits = Limits { max_changed: Some(Amount::Count(1)), min_population: Some(4), ..Limits::default() };
    let plan = fleet(3, 2, 0, limits);
    let digest = plan.review_digest();
    let prefix = |text: &str| text.parse::<DigestPrefix>().expect("a prefix");
    let approve = |plan: &Plan, approved: Option<&str>| {
        approve(plan.clone(), Consent::Flag, approved.map(prefix).as_ref())
            .map(|_| ())
            .map_err(|refusal| refusal.to_string())
    };
    let reasons =
        "2 of 3 twins are changed, and `max_changed` allows 1; 3 devices are declared, and `min_population` asks for 4";
    assert_eq!(approve(&plan, None), Err(reasons.to_owned()));
    assert_eq!(approve(&plan, Some(digest.short())), Ok(()));
    assert_eq!(approve(&plan, Some(digest.as_str())), Ok(()));
    let back = file::read(&file::write(&plan, "0.1.0")).expect("a plan");
    assert_eq!(approve(&back, None), Err(reasons.to_owned()), "the limits are in the file");
    assert_eq!(approve(&back, Some(digest.short())), Ok(()));
    assert_eq!(
        approve(&plan, Some("0123456789ab")),
        Err(format!(
            "the approval is of a plan whose digest starts with 0123456789ab, and this plan has {digest}; {reasons}"
        ))
    );
    // Conflicts and missing devices are not a matter of approval.
    let mut missing = plan.clone();
    missing.twins[0].action = Action::Missing;
    (missing.twins[0].changes, missing.twins[0].patch) = Default::default();
    let refusal = approve(&missing, Some(missing.review_digest().as_str())).expect_err("a device is missing");
    assert!(refusal.starts_with("the hub has no device d000"), "{refusal}");

    assert_eq!(guard::check_reviewed(&plan, &prefix(digest.short())), Ok(()));
    assert_eq!(
        guard::check_reviewed(&plan, &prefix("0123456789ab")).expect_err("another").to_string(),
        format!("the plan that was reviewed has a digest that starts with 0123456789ab, and this plan has {digest}")
    );
    assert_eq!(
        guard::check_reviewed(&fleet(3, 0, 0, Limits::default()), &prefix("0123456789ab")),
        Ok(()),
        "nothing to do"
    );
}

#[test]
fn a_selector_that_finds_none_while_devices_leave() {
    let text = "fleet: redmond\nselectors:\n  - name: hot\n    where: tags.hot = true\n    desired: { power: 1 }\n\
                devices: { d000: {} }\n";
    let loaded = crate::manifest::load_texts(&[("fleet.yaml", text)], &|_| None).expect("a manifest").declarations;
    let selection = |ids: &[&str]| Selection {
        name: "hot".into(),
        condition: "tags.hot = true".to_owned(),
        ids: ids.iter().map(|text| id(text)).collect(),
        origin: origin(3),
    };
    let refused = |ids: &[&str], left| {
        let declarations = loaded.select(vec![selection(ids)]).expect("selected");
        refused(&plan_fleet(&declarations, 1, left))
    };
    let expected = "the selector hot (fleet.yaml:3) finds no device, and 3 twins leave the fleet";
    assert_eq!(refused(&[], 3), [expected]);
    assert_eq!(refused(&[], 2), [""; 0]);
    assert_eq!(refused(&["d000"], 3), [""; 0]);
}

#[test]
fn what_is_registered_or_only_recorded_is_not_changed() {
    let declared = json!({"desired": {"power": 1}});
    let mut declarations = declarations(["a", "b", "c", "d"].map(|name| (id(name), body(declared.clone()))));
    declarations.missing = Missing::Register;
    let refused = |limit, lookups: Vec<Lookup>| {
        let limits = Limits { max_changed: Some(limit), ..Limits::default() };
        let policy = Policy { limits, ..Policy::default() };
        refused(&plan(&Declarations { policy, ..declarations.clone() }, context(), lookups, ReadBy::Get))
    };
    let found = |name: &str, power: i64| Lookup::Found(Box::new(twin(name, json!({"desired": {"power": power}}))));
    let absent = |name: &str| Lookup::Absent(id(name));
    let none = || Amount::Percent(0.0);
    // The first plan of a new fleet: none is there, or some are and have what is declared.
    assert_eq!(refused(none(), ["a", "b", "c", "d"].map(absent).into()), [""; 0]);
    assert_eq!(refused(none(), vec![found("a", 1), found("b", 1), absent("c"), absent("d")]), [""; 0]);
    // Of those that are there.
    assert_eq!(
        refused(Amount::Percent(50.0), vec![found("a", 2), found("b", 2), absent("c"), absent("d")]),
        ["2 of 2 twins are changed (100%), and `max_changed` allows 50%"]
    );
    assert_eq!(refused(Amount::Percent(50.0), vec![found("a", 2), found("b", 1), absent("c"), absent("d")]), [""; 0]);
}

#[test]
fn an_inventory_without_rows_while_devices_leave() {
    const FLEET: &str = "fleet: redmond\ninventory:\n  - { from: a.csv, id: 'a-${row.id}', desired: { power: 1, n: '${row.n}' } }\n  \
                         - { from: b.csv, id: 'b-${row.id}', desired: { power: 1 } }\ndevices: { other: {} }\n";
    let refused = |leaving: &[&str], live: Value| {
        let texts = [("fleet.yaml", FLEET), ("a.csv", "id,n\n"), ("b.csv", "id\n")];
        let declarations = crate::manifest::load_texts(&texts, &|_| None).expect("a manifest").declarations;
        // One that stays.
        let lookups = leaving
            .iter()
            .chain(&["other"])
            .map(|name| Lookup::Found(Box::new(Twin { id: id(name), ..owning(live.clone(), live.clone()) })));
        let plan = plan(&declarations, context(), lookups, ReadBy::Get);
        let back = file::read(&file::write(&plan, "0.1.0")).expect("a plan");
        assert_eq!(guard::refusals(&back), guard::refusals(&plan));
        refused(&plan)
    };
    let whole = || json!({"desired": {"power": 1, "n": "5"}});
    let expected = "the inventory a.csv (fleet.yaml:3) has no rows, and 3 twins leave the fleet";
    assert_eq!(refused(&["a-1", "a-2", "a-3"], whole()), [expected], "not b's: their ids are others");
    assert_eq!(refused(&["a-1", "a-2", "b-3"], whole()), [""; 0]);
    assert_eq!(refused(&["a-1", "a-2", "a-3"], json!({"desired": {"power": 2, "n": "5"}})), [""; 0]);
    assert_eq!(refused(&["a-1", "a-2", "a-3"], json!({"desired": {"power": 1}})), [""; 0]);
}

#[test]
fn a_fleet_of_which_selectors_alone_find_something() {
    let text = "fleet: redmond\nselectors: [{ name: hot, where: tags.hot = true, tags: { cooled: true } }]\n";
    let loaded = crate::manifest::load_texts(&[("fleet.yaml", text)], &|_| None).expect("a manifest").declarations;
    let found = ["s1"].map(id).to_vec();
    let selection =
        Selection { name: "hot".into(), condition: "tags.hot = true".to_owned(), ids: found, origin: origin(2) };
    let declarations = loaded.select(vec![selection]).expect("selected");
    let cooled = json!({"tags": {"cooled": true}});
    let refused = |left: Value| {
        let there = Twin { id: id("s1"), ..owning(cooled.clone(), cooled.clone()) };
        let left = Twin { id: id("d1"), ..owning(left.clone(), left) };
        let lookups = [there, left].map(|twin| Lookup::Found(Box::new(twin)));
        refused(&plan(&declarations, context(), lookups, ReadBy::Get))
    };
    assert_eq!(
        refused(json!({"desired": {"power": 1}})),
        [
            "no device is written down any more (selectors alone find 1), and 1 twin that this fleet owns would be released"
        ]
    );
    assert_eq!(refused(cooled.clone()), [""; 0], "it was found by the selector");
}

#[test]
fn a_fleet_of_which_no_applied_twin_stays() {
    let power = || json!({"desired": {"power": 1}});
    let refused = |missing, staying: usize, new: usize, left: usize| {
        let names = (0..staying).map(|at| format!("d{at:03}")).chain((0..new).map(|at| format!("new{at:03}")));
        let mut declarations = declarations(names.map(|name| (id(&name), body(power()))));
        declarations.missing = missing;
        let there = (0..staying).map(|at| format!("d{at:03}")).chain((0..left).map(|at| format!("gone{at:03}")));
        let there = there.map(|name| Lookup::Found(Box::new(Twin { id: id(&name), ..owning(power(), power()) })));
        let absent = (0..new).map(|at| Lookup::Absent(id(&format!("new{at:03}"))));
        let plan = plan(&declarations, context(), there.chain(absent), ReadBy::Get);
        let back = file::read(&file::write(&plan, "0.1.0")).expect("a plan");
        assert_eq!(guard::refusals(&back), guard::refusals(&plan));
        refused(&plan)
    };
    let expected = |released: &str, declared: &str| {
        [format!(
            "no twin that this fleet was applied to stays in it: {released} that it owns would be released, and the {declared} would \
             be new"
        )]
    };
    assert_eq!(refused(Missing::Skip, 0, 5, 6), expected("6 twins", "5 declared twins"));
    assert_eq!(refused(Missing::Register, 0, 9, 9), expected("9 twins", "9 declared twins"));
    assert_eq!(refused(Missing::Register, 0, 1, 1), expected("1 twin", "1 declared twin"));
    assert_eq!(refused(Missing::Register, 1, 8, 8), [""; 0], "one stays");
    assert_eq!(refused(Missing::Register, 0, 9, 0), [""; 0], "a new fleet");
}
