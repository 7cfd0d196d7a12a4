//! What a twin's text alone shows.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::property_tests::{after_a_history, config};
use super::*;
use iothub_model::wire::raw_twin::RawTwin;
use iothub_model::wire::twins::{decode_twin, encode_twin};

/// Says whether the text of a twin is enough to see that it is as declared.
fn is_seen(declarations: &Declarations, context: PlanContext, text: &str) -> bool {
    let mut planner = Planner::new(declarations, context);
    let is_taken =
        RawTwin::find(text).is_some_and(|twin| planner.push_unchanged(&twin.id().expect("an id"), &twin).is_some());
    assert_eq!(planner.pending().count(), usize::from(!is_taken));
    assert_eq!(planner.finish(ReadBy::Get).unchanged, usize::from(is_taken));
    is_taken
}

/// A policy of exact paths.
pub(super) fn exactly(paths: &[&str]) -> Policy {
    let origin = Origin { file: "fleet.yaml".into(), line: 1, layer: Layer::Device };
    let exact = paths.iter().map(|it| PolicyPath { path: path(it), origin: origin.clone() }).collect();
    Policy { exact, ..Policy::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..config() })]

    #[test]
    fn what_is_seen_at_once_is_so(
        (_, declared, live) in after_a_history(), record in any::<bool>(), take_ownership in any::<bool>(),
        exact in subsequence(vec!["tags", "desired", "tags.a", "desired.b.c", "tags.b.a", "desired.a.a.b"], 1..3),
    ) {
        let mut declarations = declarations([(live.id.clone(), body(declared))]);
        declarations.ownership = if record { Ownership::Record } else { Ownership::None };
        let context = PlanContext { take_ownership, ..context() };
        let whole = |live: &Twin| plan(&declarations, context.clone(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get);
        let seen = |live: &Twin| is_seen(&declarations, context.clone(), &encode_twin(live).to_string());
        let first = whole(&live);
        prop_assert!(first.is_empty() || !seen(&live), "{:?}", lines(&first));
        // Under an exact path there may be nothing else.
        let exact = Declarations { policy: exactly(&exact), ..declarations.clone() };
        for live in [&live, &first.twins.first().map_or(live.clone(), |twin| twin.patch.apply(&live))] {
            let whole = plan(&exact, context.clone(), [Lookup::Found(Box::new(live.clone()))], ReadBy::Get);
            let seen = is_seen(&exact, context.clone(), &encode_twin(live).to_string());
            prop_assert!(whole.is_empty() || !seen, "{:?}", lines(&whole));
        }
        // What was just applied is the case that this is for: nothing in the ordinary is missed.
        if let Some(twin) = first.twins.first().filter(|twin| twin.conflicts.is_empty()) {
            let after = twin.patch.apply(&live);
            let records = after.tags.0.get("twinctl").and_then(Value::as_object);
            let is_ordinary = records.is_none_or(|all| all.keys().eq(["redmond"]))
                && declarations.twins.values().all(|it| it.body.leaves().iter().all(|leaf| leaf.value.is_some()));
            prop_assert!(!is_ordinary || seen(&after), "{}", encode_twin(&after));
        }
    }
}

#[test]
fn a_text_is_enough_or_is_not() {
    let declared = json!({"tags": {"a": {"b": 1, "c": "x"}}, "desired": {"d": [1, {"e": 2}], "f": {}, "g": null}});
    let with = |tags: &str, desired: &str| {
        let record = record(declared.clone());
        let tags = format!(r#"{{"twinctl":{{"redmond":{record}}}{tags}}}"#);
        format!(r#"{{"deviceId":"d","etag":"x","tags":{tags},"properties":{{"desired":{{{desired}}}}}}}"#)
    };
    let (tags, desired) = (r#","a":{"b":1,"c":"x"}"#, r#""d":[1,{"e":2}],"f":{}"#);
    for (text, is_enough) in [
        (with(tags, desired), true),
        // White space, the order of members, spellings of numbers and texts, and strangers do not matter.
        (with(r#" , "z": [null] , "a" : { "c":"\u0078", "y":{"b":2}, "b" : 1.0 } "#, desired), true),
        (with(tags, r#""$metadata":{"d":{}},"f":{},"d":[1e0,{"e":2}],"h":{"g":1},"$version":7"#), true),
        (with(r#","a":{"b":2,"c":"x"}"#, desired), false),
        (with(r#","a":{"b":"1","c":"x"}"#, desired), false),
        (with(r#","a":{"b":{"b":1},"c":"x"}"#, desired), false),
        (with(r#","a":{"b":1}"#, desired), false),
        (with(r#","a":1"#, desired), false),
        (with("", desired), false),
        (with(tags, r#""d":[1,{"e":2,"e2":2}],"f":{}"#), false),
        (with(tags, r#""d":[1],"f":{}"#), false),
        (with(tags, r#""d":[1,{"e":2}],"f":{"x":1}"#), false),
        (with(tags, r#""d":[1,{"e":2}]"#), false),
        (with(tags, r#""d":[1,{"e":2}],"f":{},"g":null"#), false),
        // The last of two would count.
        (with(r#","a":{"b":2,"b":1,"c":"x"}"#, desired), false),
        (with(tags, desired).replace("desired.f=", "desired.x="), false),
        (with(tags, desired).replace(r#""v":1"#, r#""v":2"#), false),
        (with(tags, desired).replace(r#""redmond""#, r#""oslo""#), false),
        (with(tags, desired).replace(r#""twinctl""#, r#""other""#), false),
        (with(tags, desired).replace(r#""deviceId":"d""#, r#""deviceId":"e""#), false),
        // Another fleet may own something else.
        (
            with(tags, desired)
                .replace(r#"{"redmond""#, r#"{"oslo":{"v":1,"rev":"","owns":["tags.o=0000"]},"redmond""#),
            true,
        ),
        (
            with(tags, desired)
                .replace(r#"{"redmond""#, r#"{"oslo":{"v":1,"rev":"","owns":["tags.a=0000"]},"redmond""#),
            false,
        ),
        (with(tags, desired).replace(r#"{"redmond""#, r#"{"oslo":5,"redmond""#), false),
    ] {
        let declarations = declarations([(id("d"), body(declared.clone()))]);
        assert_eq!(is_seen(&declarations, context(), &text), is_enough, "{text}");
    }
}

#[test]
fn under_an_exact_path_there_is_nothing_else() {
    let declared =
        json!({"tags": {"a": {"b": 1, "n": null}}, "desired": {"d": {"e": {"f": 1}, "o": {}}, "g": {"h": null}}});
    let text = |tags: &str, desired: &str| {
        let record = record(declared.clone());
        let tags = format!(r#"{{"twinctl":{{"redmond":{record}}},"a":{{"b":1}}{tags}}}"#);
        let desired = format!(r#"{{"d":{{"e":{{"f":1}},"o":{{}}}},"$version":3,"$metadata":{{}}{desired}}}"#);
        format!(r#"{{"deviceId":"d","etag":"x","tags":{tags},"properties":{{"desired":{desired}}}}}"#)
    };
    for (exact, text, is_enough) in [
        ("tags", text("", ""), true),
        ("tags", text(r#","z":1"#, ""), false),
        ("tags.a", text(r#","z":1"#, ""), true),
        ("tags.a", text("", "").replace(r#""b":1"#, r#""b":1,"z":1"#), false),
        ("desired", text("", ""), true),
        ("desired", text("", r#","z":{}"#), false),
        ("desired.d", text("", r#","z":1"#), true),
        ("desired.d", text("", "").replace(r#""f":1"#, r#""f":1,"z":1"#), false),
        ("desired.d.e", text("", "").replace(r#""f":1"#, r#""f":1,"z":1"#), false),
        ("desired.d.e.f", text("", ""), true),
        ("desired.d.o", text("", ""), true),
        ("desired.d.o.p", text("", ""), true),
        // Where nothing is declared nothing may be, not even an empty object.
        ("desired.x", text("", ""), true),
        ("desired.x", text("", r#","x":{}"#), false),
        ("desired.x.y", text("", r#","x":{}"#), true),
        ("desired.x.y", text("", r#","x":{"y":1}"#), false),
        ("desired.g", text("", r#","g":{}"#), false),
        ("desired.d", text("", r#","g":{}"#), true),
    ] {
        let declarations =
            Declarations { policy: exactly(&[exact]), ..declarations([(id("d"), body(declared.clone()))]) };
        assert_eq!(is_seen(&declarations, context(), &text), is_enough, "{exact}: {text}");
        let twin = decode_twin(serde_json::from_str(&text).expect("JSON")).expect("a twin");
        let whole = plan(&declarations, context(), [Lookup::Found(Box::new(twin))], ReadBy::Get);
        assert_eq!(whole.is_empty(), is_enough, "{exact}: {text}");
    }
}
