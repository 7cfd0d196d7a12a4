//! A manifest as text: YAML that is read back as just the values that went in.
//!
//! `${` is written `$${`; how texts are quoted is `render::yaml`'s.

use std::fmt::Write;

use serde_json::Value;

use super::escape;
use super::number::counted;
use super::yaml::{self, KEY_MAX, key, quoted};
use crate::import::{Factored, ImportOptions, ImportedLeaf, Note, Reason, Whose};
use crate::manifest::Ownership;
use iothub_model::twin::{HubHost, MergePatch, Object, Section};

/// Writes a manifest.
pub(crate) fn yaml(of: &Factored, options: &ImportOptions, hub: &HubHost) -> String {
    let Factored { defaults, groups, entries, devices, modules } = of;
    let mut out = String::new();
    _ = writeln!(
        out,
        "# Imported by twinctl from {hub}: {}, {}.\n# `hub: {hub}` would refuse any other hub.",
        counted(*devices, "device"),
        counted(*modules, "module")
    );
    _ = writeln!(out, "fleet: {}", text(options.fleet.as_str()));
    if options.ownership == Ownership::None {
        out.push_str("ownership: none\n");
    }
    if !defaults.is_empty() {
        out.push_str("\ndefaults:\n");
        sections(&mut out, 1, defaults);
    }
    if !groups.is_empty() {
        out.push_str("\ngroups:\n");
        for group in groups {
            key(&mut out, 1, &group.name);
            out.push('\n');
            sections(&mut out, 2, &group.leaves);
        }
    }
    out.push_str("\ndevices:");
    if entries.is_empty() {
        out.push_str(" {}\n");
        return out;
    }
    out.push('\n');
    for entry in entries {
        key(&mut out, 1, &entry.name);
        let names: Vec<_> = entry.groups.iter().map(|&group| text(&groups[group].name)).collect();
        let names = names.join(", ");
        if entry.leaves.is_empty() && entry.modules.is_empty() {
            _ = if names.is_empty() { writeln!(out, " {{}}") } else { writeln!(out, " {{ groups: [{names}] }}") };
            continue;
        }
        out.push('\n');
        if !names.is_empty() {
            _ = writeln!(out, "    groups: [{names}]");
        }
        sections(&mut out, 2, &entry.leaves);
        if !entry.modules.is_empty() {
            out.push_str("    modules:\n");
            for (module, leaves) in &entry.modules {
                key(&mut out, 3, module.as_str());
                out.push_str(if leaves.is_empty() { " {}\n" } else { "\n" });
                sections(&mut out, 4, leaves);
            }
        }
    }
    out
}

/// Writes leaves as `tags` and `desired`, those of the two that have some.
fn sections(out: &mut String, level: usize, leaves: &[ImportedLeaf]) {
    let mut all = MergePatch::default();
    for leaf in leaves {
        all.set(&leaf.0, leaf.1.clone());
    }
    for section in Section::ALL {
        if !all.section(section).is_empty() {
            key(out, level, section.name());
            out.push('\n');
            object(out, level + 1, all.section(section));
        }
    }
}

fn object(out: &mut String, level: usize, members: &Object) {
    for (name, value) in members {
        key(out, level, name);
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                object(out, level + 1, inner);
            }
            value => {
                out.push(' ');
                flow(out, value);
                out.push('\n');
            }
        }
    }
}

/// Writes a value on one line.
fn flow(out: &mut String, value: &Value) {
    match value {
        Value::String(of) => out.push_str(&text(of)),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                flow(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                let name = quoted(name);
                out.push_str(if index > 0 { ", " } else { "" });
                _ = if name.len() > KEY_MAX { write!(out, "? {name} : ") } else { write!(out, "{name}: ") };
                flow(out, value);
            }
            out.push('}');
        }
        Value::Number(of) => out.push_str(&yaml::number(of)),
        scalar => _ = write!(out, "{scalar}"),
    }
}

/// Writes a text as a value, in which manifests look for references.
fn text(of: &str) -> String {
    quoted(&of.replace("${", "$${"))
}

/// How many notes are told.
const NOTES: usize = 20;

/// Says what of the live twins the manifest does not have, a line each.
pub(crate) fn notes(notes: &[Note]) -> Vec<String> {
    let mut lines: Vec<String> = notes.iter().take(NOTES).map(note).collect();
    if notes.len() > NOTES {
        lines.push(format!("and {} more of the kind", notes.len() - NOTES));
    }
    lines
}

fn note(note: &Note) -> String {
    match note {
        Note::Path { path, reason, whose } => {
            let reason = match reason {
                Reason::OwnedBy(fleet) => format!("fleet {fleet} owns it"),
                Reason::Refused(why) => escape::line(why).into_owned(),
            };
            format!("left out: {} of {}: {reason}", escape::path(path.as_str()), named(whose))
        }
        Note::Gone(ids) => {
            let (modules, devices): (Vec<_>, Vec<_>) = ids.iter().partition(|id| id.module.is_some());
            let counts = [(devices.len(), "device"), (modules.len(), "module")];
            let counts = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what));
            let whose = Whose { count: ids.len(), first: ids.iter().take(3).cloned().collect() };
            format!(
                "left out: {} that a query still lists and the hub has no more: {}",
                counts.collect::<Vec<_>>().join(" and "),
                named(&whose)
            )
        }
        Note::System(count) => format!(
            "left out: {} of the IoT Edge runtime ($edgeAgent, $edgeHub), whose twins a deployment alone may write",
            counted(*count, "module")
        ),
        Note::Twin { id, problem } => {
            format!("left out: the whole twin of {}: {}", escape::id(id), escape::line(problem))
        }
        Note::Outgrown { id, bytes } => format!(
            "{} has no room for the record of what the fleet would own: its tags would have {bytes} bytes; `--ownership none` \
             does without",
            escape::id(id)
        ),
    }
}

fn named(whose: &Whose) -> String {
    let names: Vec<_> = whose.first.iter().map(escape::id).collect();
    match whose.count - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::import::Importer;
    use crate::manifest::load_texts;
    use crate::manifest::property_tests::config;
    use crate::plan::{Plan, PlanContext, ReadBy, Verdict, plan};
    use crate::render::samples::snapshot;
    use iothub_model::diagnostic::Diagnostic;
    use iothub_model::twin::{Desired, ETag, Lookup, Reported, Tags, Twin, TwinId};

    fn twin(id: &str, tags: Value, desired: Value) -> Twin {
        Twin {
            id: id.parse().expect(id),
            etag: ETag::new("AAAAAAAAAAE="),
            tags: Tags(tags.as_object().expect("an object").clone()),
            desired: Desired(desired.as_object().expect("an object").clone()),
            desired_version: 1,
            desired_metadata: Object::new(),
            reported: Reported::default(),
            rest: Object::new(),
        }
    }

    fn options(ownership: Ownership, by: &[&str]) -> ImportOptions {
        ImportOptions {
            fleet: "here".parse().expect("a name"),
            ownership,
            by: by.iter().map(|path| path.parse().expect("a path")).collect(),
        }
    }

    fn import(twins: &[Twin], options: ImportOptions) -> (String, Vec<Note>) {
        let mut importer = Importer::new(options.clone());
        twins.iter().for_each(|twin| importer.push(twin));
        let (factored, notes) = importer.finish();
        (yaml(&factored, &options, &"hub".parse().expect("a host")), notes)
    }

    fn planned(text: &str, twins: &[Twin]) -> Plan {
        let loaded = load_texts(&[("imported.yaml", text)], &|_| None);
        let loaded = loaded.unwrap_or_else(|found| panic!("{text}\n{found:#?}"));
        // What a live twin is full of is no fault of the import.
        let is_odd = |warning: &&Diagnostic| !warning.message.ends_with("that the hub takes");
        let odd: Vec<_> = loaded.warnings.iter().filter(is_odd).collect();
        assert!(odd.is_empty(), "{text}\n{odd:#?}");
        let context =
            PlanContext { hub: "hub".parse().expect("a host"), revision: String::new(), take_ownership: false };
        let lookups = twins.iter().map(|twin| Lookup::Found(Box::new(twin.clone())));
        plan(&loaded.declarations, context, lookups, ReadBy::Get)
    }

    /// Asserts that there is nothing to do but to write records, and without them nothing at all.
    fn nothing_to_do(twins: &[Twin], by: &[&str]) -> Result<(), TestCaseError> {
        let (text, _) = import(twins, options(Ownership::None, by));
        let found = planned(&text, twins);
        prop_assert!(found.is_empty(), "{}\n{:#?}", text, found.twins);
        let (text, notes) = import(twins, options(Ownership::Record, by));
        let found = planned(&text, twins);
        let left_out =
            |id: &TwinId| notes.iter().any(|note| matches!(note, Note::Twin { id: other, .. } if other == id));
        for twin in found.twins.iter().filter(|twin| !left_out(&twin.id)) {
            let adopts = twin.changes.iter().all(|change| change.verdict == Verdict::Adopt);
            let outgrown = notes.iter().any(|note| matches!(note, Note::Outgrown { id, .. } if *id == twin.id));
            let blocked = !twin.conflicts.is_empty();
            prop_assert!(adopts && blocked == outgrown, "{}\n{:#?}", text, twin.conflicts);
        }
        Ok(())
    }

    #[test]
    fn what_is_common_is_said_once() {
        let mut twins = Vec::new();
        for n in 1..=6 {
            let plant = if n <= 4 { "oslo" } else { "Redmond 43" };
            let interval = if n <= 4 { 30 } else { 60 };
            let mut desired = json!({ "interval": interval, "mode": "full", "note": "costs ${env.X} or $${y}" });
            if n == 2 {
                desired["fan"] = json!({});
            }
            twins.push(twin(&format!("press-{n:03}"), json!({ "place": { "plant": plant }, "by": "us" }), desired));
        }
        twins.push(twin("press-004/vision", json!({}), json!({ "list": [1, "on", { "k": "- x" }], "t": "yes" })));
        twins.push(twin("lone/m", json!({}), json!({})));
        let (text, notes) = import(&twins, options(Ownership::Record, &[]));
        snapshot("import", &text);
        assert_eq!(super::notes(&notes), ["left out: the whole twin of lone/m: its device is not in the manifest"]);
        nothing_to_do(&twins[..7], &[]).expect("nothing to do");
        nothing_to_do(&twins[..7], &["tags.by", "tags.place.plant", "tags.none"]).expect("nothing to do");
    }

    #[test]
    fn devices_that_no_url_can_name_are_left_out() {
        let twins = [twin(".", json!({ "x": 1 }), json!({})), twin("..", json!({}), json!({}))];
        let (text, notes) = import(&twins, options(Ownership::Record, &[]));
        assert!(text.ends_with("devices: {}\n"), "{text}");
        assert_eq!(
            super::notes(&notes),
            [".", ".."].map(|id| format!(
                "left out: the whole twin of {id}: device id `{id}` means a folder in a URL, so that nothing can be asked of it"
            ))
        );
    }

    #[test]
    fn what_a_manifest_cannot_say_is_left_out_and_said() {
        let owned = json!({ "v": 1, "rev": "", "owns": ["desired.theirs=0000"] });
        let twins = [
            twin(
                "a",
                json!({ "n": null, "big": 9007199254740993_i64, "twinctl": { "other": owned } }),
                json!({ "theirs": { "x": 1 }, "ours": 1 }),
            ),
            twin("b", json!({ "twinctl": { "other": { "v": 7 } } }), json!({ "x": 1 })),
            twin("c", json!({ "a.b": 1, "list": [null], "ok": "\u{1b}" }), json!({ "x": "y".repeat(5000) })),
            twin("d", json!({ "n": null }), json!({})),
            twin(
                "b/m",
                json!({ "twinctl": { "here": { "v": 1, "rev": "", "owns": ["desired.x=0000"] } } }),
                json!({ "x": 1 }),
            ),
            twin(
                "e",
                json!({ "twinctl": { "here": { "v": 1, "rev": "", "owns": ["desired.x=0000"] } } }),
                json!({ "x": 1 }),
            ),
        ];
        let (text, notes) = import(&twins, options(Ownership::Record, &[]));
        let said = format!("{text}\n{}", super::notes(&notes).join("\n"));
        snapshot("import-left-out", &said);
        let many: Object = (0..500).map(|n| (format!("key-{n:03}"), json!(n))).collect();
        let (_, notes) = import(&[twin("f", json!({}), Value::Object(many))], options(Ownership::Record, &[]));
        assert!(matches!(&notes[..], [Note::Outgrown { bytes, .. }] if *bytes > 8192), "{notes:?}");
        let deep = (0..4).fold(json!(1), |inner, _| json!({ ("k".repeat(1024)): inner }));
        for (ownership, expected) in [(Ownership::Record, 1), (Ownership::None, 0)] {
            let (_, notes) = import(&[twin("g", json!({}), deep.clone())], options(ownership, &[]));
            let said = super::notes(&notes);
            assert_eq!(said.len(), expected, "{said:?}");
            assert!(said.iter().all(|note| note.ends_with("too long for a record of what the fleet owns")), "{said:?}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            prop::sample::select(vec![
                "",
                "yes",
                "No",
                "on",
                "y",
                "~",
                "null",
                "TRUE",
                "1.10",
                "0x1F",
                "0o17",
                "1e3",
                ".5",
                "-",
                "- a",
                "a: b",
                "a #b",
                "#",
                "${env.HOME}",
                "$${",
                "$$${var.x}",
                "${",
                "$",
                "{",
                "}",
                "[x]",
                "&a",
                "*a",
                "!t",
                "|",
                ">",
                "%",
                "@",
                "`",
                "\"q\"",
                "'q'",
                "\\n",
                " lead",
                "trail ",
                "a\nb",
                "\t",
                "\u{85}",
                "\u{2028}",
                "\u{feff}",
                "\u{7f}",
                "\u{1b}[31m",
                "\u{e0041}",
                "é漢🦀",
                "<<",
                "2026-11-24",
                "12:30:00",
                "=",
                "?",
                "? a",
                "plain",
                "a-b_c.d/e",
                "nan",
                ".inf",
                "---",
                "...",
            ])
            .prop_map(str::to_owned),
            "\\PC{0,12}",
        ];
        let leaf = prop_oneof![
            word.prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            (-3_i64..3).prop_map(Value::from),
            prop::sample::select(vec![4_503_599_627_370_495_i64, -4_503_599_627_370_496, i64::MAX])
                .prop_map(Value::from),
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Value::from),
            (-4_i32..4).prop_map(|n| json!(f64::from(n) / 2.0)),
            Just(json!({})),
            Just(json!([])),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(key_name(), inner, 0..3).prop_map(|members| json!(members)),
            ]
        })
    }

    fn key_name() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => prop::sample::select(vec!["a", "b", "plant", "place"]).prop_map(str::to_owned),
            1 => prop::sample::select(vec![
                "", "yes", "1", "1.5", "~", "<<", "-", "?", ":", "a:b", "tags", "twinctl", "${x}", "a b", "é", "\u{200b}", "=", "#x", "\u{85}", "\u{2028}",
            ])
            .prop_map(str::to_owned),
            1 => Just("k".repeat(1024)),
            1 => Just("é".repeat(510)),
        ]
    }

    fn fleet() -> impl Strategy<Value = Vec<Twin>> {
        let section = || prop::collection::btree_map(key_name(), value(), 0..4).prop_map(|members| json!(members));
        // Few different bodies, so that there is something in common.
        let bodies = prop::collection::vec((section(), section()), 1..4);
        let ids = prop::sample::select(vec![
            "press-1", "press-2", "press-3", "press-9", "press-10", "press-08", "press-09", "d1x", "d2x", "true", "1",
            "2", "a:b", "#c", "x",
        ]);
        let record = prop::sample::select(vec![
            Value::Null,
            json!({ "other": { "v": 1, "rev": "r", "owns": ["desired.a=0000", "tags.place=0000"] } }),
            json!({ "here": { "v": 1, "rev": "r", "owns": ["desired.owned=0000", "desired.gone=0000"] } }),
            json!({ "other": { "v": 2 } }),
            json!({ "Not a fleet": 1 }),
            json!(5),
        ]);
        let module = prop::option::weighted(0.2, prop::sample::select(vec!["m", "no"]));
        let device = (ids, module, any::<prop::sample::Index>(), prop::option::weighted(0.2, record), 0_i64..3);
        (bodies, prop::collection::vec(device, 0..12)).prop_map(|(bodies, devices)| {
            let mut twins: BTreeMap<TwinId, Twin> = BTreeMap::new();
            for (id, module, body, record, plant) in devices {
                let (mut tags, mut desired) = bodies[body.index(bodies.len())].clone();
                tags["plant"] = json!(format!("plant {plant}"));
                desired["owned"] = json!(1);
                // No module is without its device.
                let device = twin(id, json!({}), json!({}));
                twins.entry(device.id.clone()).or_insert(device);
                if let Some(record) = record {
                    tags["twinctl"] = record;
                }
                let id = module.map_or(id.to_owned(), |module| format!("{id}/{module}"));
                let twin = twin(&id, tags, desired);
                twins.insert(twin.id.clone(), twin);
            }
            twins.into_values().collect()
        })
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_plan_on_what_was_imported_is_empty(twins in fleet(), by in prop::sample::select(vec![&[][..], &["tags.plant"], &["tags.a", "tags.b"]])) {
            nothing_to_do(&twins, by)?;
        }
    }
}
