//! Laws of the folder, checked over random input.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value};

use crate::manifest::fields::policy::Selection;
use crate::manifest::layers::declaration::{Declaration, Declarations};
use crate::manifest::layers::merge;
use crate::manifest::leaf::{Layer, Leaf};
use crate::manifest::leaves;
use crate::manifest::load::{Loaded, Outside, load_texts, resolve_files};
use crate::manifest::text::node::{Kind, Node, to_json};
use crate::manifest::text::source::{File, Tables};
use crate::manifest::text::{node, yaml};
use iothub_model::diagnostic::Diagnostic;
use iothub_model::twin::{Section, TwinId};

fn load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let file = File::new("fleet.yaml", text);
    resolve_files(
        &[file],
        &Outside::new(Tables::Texts(&[]), &|name| (name == "PLANT").then(|| "Redmond43".to_owned())),
        Vec::new(),
    )
}

/// Loads a text and looks at whatever comes of it: every label must point into its source.
fn load_and_look(text: &str) {
    look(load(text));
}

fn look(loaded: Result<Loaded, Vec<Diagnostic>>) {
    let found = match loaded {
        Ok(loaded) => loaded.warnings,
        Err(found) => {
            assert!(found.iter().any(Diagnostic::is_error), "refused without an error");
            found
        }
    };
    for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
        assert!(label.source.text().get(label.span.start..label.span.end).is_some(), "{label:?}");
    }
}

fn parse(text: &str) -> Result<Node, Vec<Diagnostic>> {
    let file = File::new("fleet.yaml", text);
    let mut found = Vec::new();
    match yaml::parse(&file, &mut found) {
        Some(node) if found.is_empty() => Ok(node),
        _ => Err(found),
    }
}

/// Values that both JSON and the hub can hold.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        r"[-+.0-9eExobinfaNty_:~#!&*'\n\t ]{0,8}",
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("true".to_owned()),
        Just("<<".to_owned()),
        Just("0o17".to_owned()),
        Just("---".to_owned()),
        Just("1.10".to_owned()),
    ];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |float| serde_json::Number::from_f64(float).map(Value::Number)),
        text.clone().prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text.clone().prop_filter("a merge key", |key| key != "<<"), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A section of a layer: few keys, so that layers meet, and nothing that the hub refuses.
fn section() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..3).prop_map(Value::from),
        Just(Value::from(vec![1])),
        Just(Value::Object(Map::new())),
    ];
    let inner = leaf.prop_recursive(4, 24, 4, |inner| {
        prop::collection::vec(("[abc]|a-|a0", inner), 1..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    });
    prop::collection::vec(("[abc]|a-|a0", inner), 0..4).prop_map(|members| members.into_iter().collect())
}

fn leaves_of(section: &Map<String, Value>) -> Vec<Leaf> {
    let text = serde_json::to_string(section).expect("JSON is YAML");
    let file = File::new("fleet.yaml", text.as_str());
    let node = yaml::parse(&file, &mut Vec::new()).expect(&text);
    leaves::leaves(&file, Section::Tags, &Layer::Defaults, node)
}

/// Says plainly what one value over another is: the reference for [`merge::merge`].
fn over(base: Option<&Value>, above: &Value) -> Value {
    match (base, above) {
        (Some(Value::Object(base)), Value::Object(above)) => {
            let mut merged = base.clone();
            for (key, value) in above {
                let value = over(base.get(key), value);
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        _ => above.clone(),
    }
}

/// Two cells of a csv row, a number and a text, with whatever a text may hold.
fn row() -> impl Strategy<Value = (i32, String)> {
    (any::<i32>(), prop_oneof!["[ -~]{0,12}", "[a-z\",\r\n;é'$ ]{1,8}"])
}

/// A twin's name, and its leaves without their origins.
type Plain = (String, Vec<(String, Option<Value>)>);

fn plain(declarations: &Declarations) -> Vec<Plain> {
    let leaf = |leaf: &Leaf| (leaf.path.to_string(), leaf.value.clone());
    let twin = |(id, declaration): (&TwinId, &Declaration)| {
        (id.to_string(), declaration.body.leaves().iter().map(leaf).collect())
    };
    declarations.twins.iter().map(twin).collect()
}

/// The same input on every run, so that a failure is nobody else's; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` look further.
pub(crate) fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_text_makes_it_panic(text in r"[a-z0-9:{}\[\],&*!|>'%@`#$. \n\t~<?é\u{1}\u{85}\u{feff}-]{0,80}") {
        load_and_look(&text);
    }

    #[test]
    fn no_text_of_any_characters_makes_it_panic(text in "\\PC{0,60}") {
        load_and_look(&text);
    }

    #[test]
    fn no_change_to_a_good_manifest_makes_it_panic(
        at in any::<prop::sample::Index>(),
        length in 0_usize..12,
        put in prop_oneof![r"[a-z0-9:{}\[\],&*!|>'%$. \n\t~<?é-]{0,6}", Just("${env.".to_owned()), Just("&a *a".to_owned()), Just("\"".to_owned())],
        good in prop::sample::select(vec![
            include_str!("../../tests/data/manifest/good/article.yaml"),
            include_str!("../../tests/data/manifest/good/checks.yaml"),
            include_str!("../../tests/data/manifest/good/modules.yaml"),
            include_str!("../../tests/data/manifest/good/references.yaml"),
            include_str!("../../tests/data/manifest/good/values.yaml"),
        ]),
    ) {
        let places: Vec<_> = good.char_indices().map(|(offset, _)| offset).collect();
        let start = *at.get(&places);
        let end = good[start..].char_indices().nth(length).map_or(good.len(), |(offset, _)| start + offset);
        load_and_look(&[&good[..start], &put, &good[end..]].concat());
    }

    #[test]
    fn values_are_what_serde_yaml_reads(value in value()) {
        // As serde_yaml writes it, and as JSON, which is YAML too.
        let written = serde_yaml::to_string(&value).expect("YAML");
        // It writes lines as YAML 1.1 has them, which also end in these; in YAML 1.2 they are characters as any other.
        prop_assume!(!written.contains(['\u{85}', '\u{2028}', '\u{2029}']));
        let node = parse(&written);
        let node = node.map_err(|found| TestCaseError::fail(format!("{written}\n{found:?}")))?;
        let read: Value = serde_yaml::from_str(&written).expect("serde_yaml reads what it writes");
        prop_assert_eq!(&to_json(&node.kind), &read, "{}", written);
        prop_assert_eq!(&read, &value);
    }

    #[test]
    fn what_both_can_read_is_read_alike(text in r"a:( |\n  )([a-c]|- |: |\n|  |\{|\}|\[|\]|,|'|\x22|[0-9]|\||>|#|-|~|\.|\? |\t|é|\\|\r){0,40}") {
        let (Ok(node), Ok(read)) = (parse(&text), serde_yaml::from_str::<serde_yaml::Value>(&text)) else { return Ok(()) };
        let Ok(read) = serde_json::to_value(read) else { return Ok(()) };
        if !matches!(node.kind, Kind::Mapping(_)) {
            return Ok(());
        }
        prop_assert_eq!(to_json(&node.kind), read, "{:?}", text);
    }

    #[test]
    fn plain_scalars_are_what_serde_yaml_reads(
        text in prop_oneof![r"[-+.0-9eExobinfaNAlustrTFLU~_]{1,8}", r"[-+]?(0x|0o|0b)?[0-9a-f]{1,20}", r"[-+]?[0-9]{1,3}\.?[0-9]{0,3}([eE][-+]?[0-9]{1,3})?"],
    ) {
        let wrapped = format!("a: {text}\n");
        let Ok(expected) = serde_yaml::from_str::<serde_yaml::Value>(&wrapped) else { return Ok(()) };
        let expected = expected.get("a").expect("the key").clone();
        match node::resolve(&text) {
            Ok(kind) => prop_assert_eq!(to_json(&kind), serde_json::to_value(expected).expect("JSON"), "{}", text),
            // What JSON does not have.
            Err(_) => prop_assert!(expected.as_f64().is_none_or(|float| !float.is_finite()), "{} {:?}", text, expected),
        }
    }

    #[test]
    fn a_row_is_the_device_that_it_stands_for(rows in prop::collection::vec(row(), 1..8)) {
        let head = "fleet: f\ngroups: { even: { tags: { parity: even } }, odd: { tags: { parity: odd } } }\n";
        let parity = |number: i32| if number % 2 == 0 { "even" } else { "odd" };
        let template = format!("{head}inventory: [{{ from: LIST, id: 'd-${{row.id}}', groups: ['${{row.group}}'], \
            desired: {{ number: '${{row.number:int}}', text: '${{row.text}}' }} }}]\n");
        let mut written = format!("{head}devices:\n");
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["id", "group", "number", "text"]).expect("csv");
        let mut json = Vec::new();
        for (id, (number, text)) in rows.iter().enumerate() {
            // A table ends the lines in its cells as YAML does.
            let text = &text.replace("\r\n", "\n").replace('\r', "\n");
            let (group, quoted) = (parity(*number), serde_json::to_string(&text.replace("${", "$${")).expect("JSON"));
            written.push_str(&format!("  d-{id}: {{ groups: [{group}], desired: {{ number: {number}, text: {quoted} }} }}\n"));
            csv.write_record([&id.to_string(), group, &number.to_string(), text]).expect("csv");
            json.push(serde_json::json!({ "id": id, "group": group, "number": number, "text": text }).to_string());
        }
        let csv = String::from_utf8(csv.into_inner().expect("csv")).expect("UTF-8");
        let tables = [("t.csv", csv), ("t.json", format!("[{}]", json.join(" ,\n"))), ("t.jsonl", json.join("\n"))];
        let fleet = |texts: &[(&str, &str)]| match load_texts(texts, &|_| None) {
            Ok(loaded) => Ok(loaded.declarations),
            Err(found) => Err(TestCaseError::fail(format!("{texts:?} {found:?}"))),
        };
        let expected = fleet(&[("fleet.yaml", &written)])?;
        for (name, table) in &tables {
            let read = fleet(&[("fleet.yaml", &template.replace("LIST", name)), (name, table)])?;
            prop_assert_eq!(plain(&read), plain(&expected), "{}", name);
            prop_assert_eq!(&read.digest, &expected.digest);
        }
    }

    #[test]
    fn no_table_makes_it_panic(
        table in prop_oneof!["[a-c,\"\r\n{}\\[\\]: 1\u{feff}é-]{0,60}", "\\[(\\{\"(id|a)\": [\"1-3,}{a]{0,6}\\},? ?){0,4}\\]?"],
        name in prop::sample::select(vec!["t.csv", "t.json", "t.jsonl"]),
    ) {
        let fleet = format!("fleet: f\ninventory: [{{ from: {name}, id: '${{row.id}}', tags: {{ a: '${{row.a:int:-1}}' }} }}]\n");
        look(load_texts(&[("fleet.yaml", &fleet), (name, &table)], &|_| None));
    }

    #[test]
    fn selections_come_in_any_order(first in section(), second in section(), own in section(), found in prop::collection::vec(0_usize..4, 3)) {
        let json = |section: &Map<String, Value>| serde_json::to_string(section).expect("JSON");
        let text = format!(
            "fleet: f\nselectors:\n  - {{ name: a, where: tags.x = 1, desired: {} }}\n  - {{ name: b, where: tags.y = 1, desired: {} }}\ndevices: {{ d: {{ desired: {} }}, e: {{}} }}\n",
            json(&first), json(&second), json(&own),
        );
        let fleet = load(&text).map_err(|found| TestCaseError::fail(format!("{text} {found:?}")))?.declarations;
        let ids = ["d", "e", "s"].into_iter().zip(&found);
        // Each device is found by none, one, the other or both.
        let selection = |index: usize| {
            let selector = &fleet.selectors[index];
            let ids = ids.clone().filter(|(_, by)| *by & (1 << index) != 0);
            Selection {
                name: selector.name.clone(),
                condition: selector.condition.text().to_owned(),
                ids: ids.map(|(id, _)| TwinId::device(id.parse().expect("an id"))).collect(),
                origin: selector.origin.clone(),
            }
        };
        let one = fleet.select(vec![selection(0), selection(1)]).expect("selected");
        let other = fleet.select(vec![selection(1), selection(0)]).expect("selected");
        prop_assert_eq!(plain(&one), plain(&other));
        // What each device comes to by itself, layer by layer.
        for (id, by) in ["d", "e", "s"].into_iter().zip(&found) {
            let layers = [(by & 1 != 0, &first), (by & 2 != 0, &second), (id == "d", &own)];
            let layers: Vec<_> = layers.into_iter().filter(|(is, _)| *is).collect();
            let twin = one.twins.get(&TwinId::device(id.parse().expect("an id")));
            prop_assert_eq!(twin.is_some(), id != "s" || *by != 0);
            let Some(twin) = twin else { continue };
            let value = layers.into_iter().fold(Value::Object(Map::new()), |base, (_, above)| {
                over(Some(&base), &Value::Object(above.clone()))
            });
            let expected = leaves_of(value.as_object().expect("an object"));
            let relative = |leaf: &Leaf| (leaf.path.keys().map(str::to_owned).collect::<Vec<_>>(), leaf.value.clone());
            prop_assert_eq!(
                twin.body.leaves().iter().map(relative).collect::<Vec<_>>(),
                expected.iter().map(relative).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn layers_merge_as_objects_do(base in section(), middle in section(), above in section()) {
        let [below, between, top] = [&base, &middle, &above].map(leaves_of);
        let [base, middle, above] = [base, middle, above].map(Value::Object);
        let merged = merge::merge(&merge::merge(&below, &between), &top);
        let expected = over(Some(&over(Some(&base), &middle)), &above);
        let expected = leaves_of(expected.as_object().expect("an object"));
        let plain = |leaves: &[Leaf]| {
            leaves.iter().map(|leaf| (leaf.path.clone(), leaf.value.clone())).collect::<Vec<_>>()
        };
        prop_assert_eq!(plain(&merged), plain(&expected));
        for pair in merged.windows(2) {
            prop_assert!(pair[0].path < pair[1].path && !pair[0].path.covers(&pair[1].path));
        }
    }

    #[test]
    fn a_layer_over_itself_or_over_nothing_is_itself(section in section()) {
        let leaves = leaves_of(&section);
        prop_assert_eq!(&merge::merge(&leaves, &leaves), &leaves);
        prop_assert_eq!(&merge::merge(&[], &leaves), &leaves);
        prop_assert_eq!(&merge::merge(&leaves, &[]), &leaves);
    }

    #[test]
    fn the_digest_is_of_values(value in section(), other in section()) {
        let fleet = |desired: &Map<String, Value>, head: &str| {
            let desired = serde_json::to_string(desired).expect("JSON");
            let text = format!("{head}fleet: f\ndevices:\n  a: {{ desired: {desired} }}\n");
            load(&text).map(|loaded| loaded.declarations.digest)
        };
        let plain = fleet(&value, "");
        prop_assert_eq!(&plain, &fleet(&value, "# a comment\n\n"));
        let same = leaves_of(&value).into_iter().map(|leaf| (leaf.path, leaf.value))
            .eq(leaves_of(&other).into_iter().map(|leaf| (leaf.path, leaf.value)));
        prop_assert_eq!(plain == fleet(&other, ""), same);
    }
}

#[test]
fn places_are_bytes_whatever_the_characters() {
    let text = "é: ü\n\"日本\": ['x', \"y\", {ß: 1}]\r\nb: &a plain é\nc: *a\n";
    let node = parse(text).expect("YAML");
    let mut places = Vec::new();
    fn walk(text: &str, node: &Node, places: &mut Vec<String>) {
        places.push(text[node.span.start..node.span.end].to_owned());
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| walk(text, item, places)),
            Kind::Mapping(entries) => {
                for (key, value) in entries {
                    places.push(text[key.span.start..key.span.end].to_owned());
                    walk(text, value, places);
                }
            }
            _ => {}
        }
    }
    walk(text, &node, &mut places);
    assert_eq!(
        places[1..],
        [
            "é",
            "ü",
            "\"日本\"",
            "['x', \"y\", {ß: 1}]",
            "'x'",
            "\"y\"",
            "{ß: 1}",
            "ß",
            "1",
            "b",
            "plain é",
            "c",
            "plain é"
        ]
    );
    // Past the first stretch of characters that share a mark.
    let long = format!("a: {}\né: [1, \"x\"]\n", "ü".repeat(1000));
    let Kind::Mapping(entries) = parse(&long).expect("YAML").kind else { panic!("a mapping") };
    let span = entries[1].1.span;
    assert_eq!(&long[span.start..span.end], "[1, \"x\"]");
}
