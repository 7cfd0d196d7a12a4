//! Small fleets by chance: the manifests of a first and a second version, and what each twin must be by the second.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use crate::chance::Chance;

/// Values of a twin by their paths; `None` where nothing may be.
pub(crate) type Leaves = BTreeMap<String, Option<Value>>;

/// Paths whose values the manifests set. No path lies under another one.
const PATHS: [&str; 8] = [
    "tags.plant",
    "tags.zone.name",
    "tags.zone.floor",
    "desired.level",
    "desired.fan",
    "desired.net.mode",
    "desired.net.retry",
    "desired.list",
];
/// The path that the second version renames.
const MOVED: (&str, &str) = ("desired.freq", "desired.interval");
/// The path whose values no output may have.
const SENSITIVE: &str = "desired.psk";
/// Below which the fleet may own everything.
const EXACT: &str = "desired.net";

/// A fleet in two versions.
pub(crate) struct Fleet {
    /// Registered before the first version is applied.
    pub(crate) devices: Vec<String>,
    /// `device/module`, registered before as well.
    pub(crate) modules: Vec<String>,
    pub(crate) first: String,
    pub(crate) second: String,
    /// What each twin of the second version must be.
    pub(crate) declared: BTreeMap<String, Leaves>,
    /// Paths of the second version, by their twins, that another writer may write to.
    pub(crate) contested: Vec<(String, String)>,
    /// No output may have one of these.
    pub(crate) secrets: Vec<String>,
}

/// What a device, a module or a group declares.
type Entry = BTreeMap<&'static str, Value>;

struct Version {
    groups: BTreeMap<String, Entry>,
    /// With the groups of each.
    devices: BTreeMap<String, (Vec<String>, Entry)>,
    modules: BTreeMap<String, Entry>,
}

impl Fleet {
    pub(crate) fn by_chance(chance: &mut Chance) -> Self {
        let count = chance.between(3, 12);
        let ids: Vec<String> = (0..count).map(|n| format!("d{n:02}")).collect();
        let modules: Vec<String> =
            ids.iter().filter(|_| chance.percent(30)).map(|id| format!("{id}/telemetry")).collect();
        let secrets: Vec<String> =
            (1..=2).map(|version| format!("psk-{version}-{:016x}", chance.between(1, u64::MAX - 1))).collect();
        let exact = chance.percent(40);
        let first = Version::by_chance(chance, 1, &ids, &modules, &secrets[0]);
        let mut second = Version::by_chance(chance, 2, &ids, &modules, &secrets[1]);
        // Some is as it was.
        for (id, (_, entry)) in &mut second.devices {
            if chance.percent(30) {
                *entry = first.devices[id].1.clone();
            }
        }
        let moves = chance.percent(50);
        if moves {
            for (_, entry) in second.devices.values_mut() {
                if let Some(value) = entry.remove(MOVED.0) {
                    entry.insert(MOVED.1, value);
                }
            }
        }
        // A device that is not there yet is registered by the first version.
        let devices = ids
            .iter()
            .filter(|id| chance.percent(80) || modules.iter().any(|it| it.starts_with(*id)))
            .cloned()
            .collect();

        let mut declared = second.leaves();
        for (id, before) in first.leaves() {
            let now = declared.get_mut(&id).expect("the second version has the same twins");
            // What the fleet owned and declares no more goes.
            before.into_keys().for_each(|path| _ = now.entry(path).or_insert(None));
            let owns_net = now.iter().any(|(path, value)| path.starts_with(EXACT) && value.is_some());
            if exact && owns_net {
                now.insert(format!("{EXACT}.stray"), None);
            }
        }
        let contested = second.leaves().into_iter().flat_map(|(id, leaves)| {
            let paths = leaves.into_keys().filter(|path| path != MOVED.1 && path != SENSITIVE);
            paths.map(move |path| (id.clone(), path)).collect::<Vec<_>>()
        });
        Self {
            devices,
            modules,
            contested: contested.collect(),
            declared,
            first: first.manifest(exact, false),
            second: second.manifest(exact, moves),
            secrets,
        }
    }

    /// What is on each twin before anybody declares anything, and must stay: somebody else's.
    pub(crate) fn strays() -> Value {
        json!({
            "tags": { "stray": 1 },
            "properties": { "desired": { "stray": { "a": [1, "y"] }, "net": { "stray": 1 } } },
        })
    }
}

impl Version {
    fn by_chance(chance: &mut Chance, version: u64, ids: &[String], modules: &[String], secret: &str) -> Self {
        let groups = ["day", "night"].map(|name| (name.to_owned(), entry(chance, version, 40)));
        let devices = ids.iter().map(|id| {
            let of_groups = ["day", "night"].iter().filter(|_| chance.percent(50)).map(|&name| name.to_owned());
            let of_groups = of_groups.collect();
            let mut entry = entry(chance, version, 50);
            // Every device is declared to be something.
            entry.insert("tags.id", json!(id));
            if chance.percent(60) {
                entry.insert(MOVED.0, json!(chance.between(1, 9)));
            }
            if chance.percent(50) {
                entry.insert(SENSITIVE, json!(secret));
            }
            (id.clone(), (of_groups, entry))
        });
        let devices = devices.collect();
        let modules = modules.iter().map(|id| {
            let mut entry = entry(chance, version, 50);
            entry.insert("desired.batch", json!(version * 100));
            (id.clone(), entry)
        });
        Self { groups: groups.into(), devices, modules: modules.collect() }
    }

    /// Returns what each twin is by this version: groups in their order, then its own entry.
    fn leaves(&self) -> BTreeMap<String, Leaves> {
        let mut all = BTreeMap::new();
        for (id, (groups, entry)) in &self.devices {
            let mut leaves = Leaves::new();
            let layers = groups.iter().map(|name| &self.groups[name]).chain([entry]);
            for (path, value) in layers.flatten() {
                leaves.insert((*path).to_owned(), (!value.is_null()).then(|| value.clone()));
            }
            all.insert(id.clone(), leaves);
        }
        for (id, entry) in &self.modules {
            let leaf = |(path, value): (&&str, &Value)| ((*path).to_owned(), (!value.is_null()).then(|| value.clone()));
            all.insert(id.clone(), entry.iter().map(leaf).collect());
        }
        all
    }

    fn manifest(&self, exact: bool, moves: bool) -> String {
        let mut text = format!("fleet: campaign\nmissing: register\nsensitive: [{SENSITIVE}]\n");
        if exact {
            writeln!(text, "exact: [{EXACT}]").expect("text");
        }
        if moves {
            writeln!(text, "moved: [{{ from: {}, to: {} }}]", MOVED.0, MOVED.1).expect("text");
        }
        text.push_str("groups:\n");
        for (name, entry) in &self.groups {
            writeln!(text, "  {name}: {}", sections(entry)).expect("text");
        }
        text.push_str("devices:\n");
        for (id, (groups, entry)) in &self.devices {
            let mut device = sections(entry);
            device["groups"] = json!(groups);
            let modules = self.modules.iter().filter_map(|(module, entry)| {
                let (device, name) = module.split_once('/')?;
                (device == id).then(|| (name.to_owned(), sections(entry)))
            });
            let modules: serde_json::Map<String, Value> = modules.collect();
            if !modules.is_empty() {
                device["modules"] = Value::Object(modules);
            }
            writeln!(text, "  {id}: {device}").expect("text");
        }
        text
    }
}

fn entry(chance: &mut Chance, version: u64, share: u64) -> Entry {
    let mut entry = Entry::new();
    for path in PATHS.into_iter().filter(|path| path.starts_with("tags") || path.starts_with("desired")) {
        if !chance.percent(share) {
            continue;
        }
        let number = version * 100 + chance.between(0, 3);
        let value = match path {
            "desired.fan" => Value::Null,
            "desired.list" => json!([number, "x"]),
            "tags.plant" | "tags.zone.name" | "desired.net.mode" => json!(format!("v{number}")),
            _ => json!(number),
        };
        entry.insert(path, value);
    }
    entry
}

/// Writes paths as a manifest has them: JSON, which is YAML as well.
fn sections(entry: &Entry) -> Value {
    let mut out = json!({});
    for (path, value) in entry {
        put(&mut out, path, value.clone());
    }
    out
}

pub(crate) fn put(out: &mut Value, path: &str, value: Value) {
    let mut at = out;
    for key in path.split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[key];
    }
    *at = value;
}

/// Returns what a twin has at a path of a manifest.
pub(crate) fn at<'t>(twin: &'t Value, path: &str) -> Option<&'t Value> {
    let (section, rest) = path.split_once('.').expect("a section and a key");
    let section = if section == "desired" { &twin["properties"]["desired"] } else { &twin[section] };
    rest.split('.').try_fold(section, |at, key| at.get(key))
}

/// Returns the rules of a hub that misbehaves, or none.
pub(crate) fn faults(chance: &mut Chance) -> String {
    const RULES: [&str; 12] = [
        "PATCH /twins/** 429 {}%",
        "PATCH /twins/** 500 {}%",
        "PATCH /twins/** 503 {}%",
        "PATCH /twins/** reset-before {}%",
        "PATCH /twins/** reset-after {}%",
        "PATCH /twins/** half {}%",
        "PATCH /twins/** garbage {}%",
        "PATCH /twins/** no-answer 3%",
        "GET /twins/** 503 {}%",
        "GET /twins/** garbage {}%",
        "* /devices/** reset-after {}%",
        "* * slow 1ms..40ms {}%",
    ];
    let chosen: BTreeSet<&str> = (0..chance.between(1, 4)).map(|_| *chance.pick(&RULES)).collect();
    let mut rules: Vec<String> =
        chosen.into_iter().map(|rule| rule.replace("{}", &chance.between(5, 30).to_string())).collect();
    rules.push(format!("seed {}", chance.between(1, 1_000_000)));
    rules.join("; ")
}
