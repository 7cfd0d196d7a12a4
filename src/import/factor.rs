//! Finds what devices have in common: all of them, and those with the same value of a tag.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::leaves::{ImportedDevice, Leaves, Numbers};
use super::{ImportedGroup, ImportedLeaf};
use iothub_model::twin::{Section, TwinPath};

/// How many tags make groups when nobody names them.
const TAGS_MAX: usize = 3;

/// Moves leaves from the devices to the layers that they share. `by` names tags; without any, those that save most lines.
pub(super) fn factor(
    leaves: &Leaves,
    devices: &mut [ImportedDevice],
    by: &[TwinPath],
) -> (Vec<ImportedLeaf>, Vec<ImportedGroup>) {
    let mut defaults = Vec::new();
    if devices.len() > 1 {
        let common = common(devices.iter().map(|device| &*device.own));
        take(devices.iter_mut(), &common);
        defaults = leaves.sorted(&common);
    }
    let mut groups: Vec<ImportedGroup> = Vec::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut make = |devices: &mut [ImportedDevice], split: Split| {
        for class in split.classes {
            let name = name(&split.path, &leaves.get(class.value).1, &mut names);
            for &index in &class.members {
                devices[index].groups.push(groups.len());
            }
            let members: BTreeSet<usize> = class.members.into_iter().collect();
            let of_class = devices.iter_mut().enumerate().filter(|(index, _)| members.contains(index));
            take(of_class.map(|(_, device)| device), &class.common);
            groups.push(ImportedGroup { name, leaves: leaves.sorted(&class.common) });
        }
    };
    if by.is_empty() {
        for _ in 0..TAGS_MAX {
            let splits = candidates(leaves, devices).into_iter().map(|path| split(leaves, devices, &path, 2));
            // Among equals the first: paths come sorted, and later ones must save more.
            let best = splits.map(|split| (split.saved(leaves), split)).filter(|(saved, _)| *saved > 0);
            let best = best.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, split)| split);
            let Some(best) = best else { break };
            make(devices, best);
        }
    } else {
        for path in by {
            let split = split(leaves, devices, path, 1);
            make(devices, split);
        }
    }
    (defaults, groups)
}

/// Returns the leaves that all have. Most bodies are shared, so few are looked at.
fn common<'b>(bodies: impl Iterator<Item = &'b [u32]>) -> Vec<u32> {
    let mut common: Option<Vec<u32>> = None;
    let mut last: *const [u32] = &[];
    for body in bodies {
        if std::ptr::eq(body, last) {
            continue;
        }
        last = body;
        match &mut common {
            None => common = Some(body.to_vec()),
            Some(common) => common.retain(|number| body.binary_search(number).is_ok()),
        }
    }
    common.unwrap_or_default()
}

/// Takes leaves out of devices' own ones. Devices that shared a body still do.
fn take<'d>(devices: impl Iterator<Item = &'d mut ImportedDevice>, taken: &[u32]) {
    if taken.is_empty() {
        return;
    }
    let mut known: HashMap<*const u32, (Numbers, Numbers)> = HashMap::new();
    for device in devices {
        let rest = |body: &Numbers| -> Numbers {
            body.iter().copied().filter(|number| taken.binary_search(number).is_err()).collect()
        };
        // The old body is kept beside the new one, so that no other can come to lie at its address meanwhile.
        let (_, rest) =
            known.entry(device.own.as_ptr()).or_insert_with(|| (Arc::clone(&device.own), rest(&device.own)));
        device.own = Arc::clone(rest);
    }
}

/// Devices apart by their values of one tag.
struct Split {
    path: TwinPath,
    classes: Vec<Class>,
}

/// Devices with the same value.
struct Class {
    /// The leaf that they share: the tag itself.
    value: u32,
    members: Vec<usize>,
    /// What they share, the tag included; never empty.
    common: Vec<u32>,
}

impl Split {
    /// Counts the lines that groups by this tag save: a leaf and the objects over it are written once and not for each device, but
    /// a group has a head and its name stands at each device.
    fn saved(&self, leaves: &Leaves) -> i64 {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.classes
            .iter()
            .map(|class| {
                // Each key, and the section.
                let lines = |&number: &u32| count(1 + leaves.get(number).0.keys().count());
                let (members, common) = (count(class.members.len()), class.common.iter().map(lines).sum::<i64>());
                members.saturating_mul(common) - (common + 1) - members
            })
            .sum()
    }
}

/// Returns the tags by whose values devices could be told apart.
fn candidates(leaves: &Leaves, devices: &[ImportedDevice]) -> BTreeSet<TwinPath> {
    let mut values: HashMap<&TwinPath, (usize, BTreeSet<u32>)> = HashMap::new();
    for device in devices {
        for &number in device.own.iter() {
            let (path, value) = &**leaves.get(number);
            if path.section() == Section::Tags && is_scalar(value) {
                let (count, distinct) = values.entry(path).or_default();
                *count += 1;
                distinct.insert(number);
            }
        }
    }
    // A tag that nearly every device has another value of tells nothing.
    let tells = |(count, distinct): &(usize, BTreeSet<u32>)| distinct.len() * 2 <= *count;
    values.into_iter().filter(|(_, found)| tells(found)).map(|(path, _)| path.clone()).collect()
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

fn split(leaves: &Leaves, devices: &[ImportedDevice], path: &TwinPath, least: usize) -> Split {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, device) in devices.iter().enumerate() {
        let own = device.own.iter().copied();
        if let Some(value) =
            own.into_iter().find(|&number| leaves.get(number).0 == *path && is_scalar(&leaves.get(number).1))
        {
            members.entry(value).or_default().push(index);
        }
    }
    let class = |(value, members): (u32, Vec<usize>)| {
        let common = common(members.iter().map(|&index| &*devices[index].own));
        Class { value, members, common }
    };
    let classes = members.into_iter().filter(|(_, members)| members.len() >= least).map(class);
    let mut classes: Vec<Class> = classes.collect();
    classes.sort_by_key(|class| canonical_name(&leaves.get(class.value).1));
    Split { path: path.clone(), classes }
}

fn canonical_name(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Names a group after the tag's value, and after the tag too where that alone says nothing or is taken.
fn name(path: &TwinPath, value: &Value, taken: &mut BTreeSet<String>) -> String {
    let tag = path.keys().last().unwrap_or_default();
    let word = clean(&canonical_name(value));
    let telling = value.is_string() && !word.is_empty();
    let qualified = match (clean(tag).as_str(), word.as_str()) {
        ("", "") => "group".to_owned(),
        (tag, "") => tag.to_owned(),
        ("", word) => word.to_owned(),
        (tag, word) => format!("{tag}-{word}"),
    };
    let first = if telling { word } else { qualified.clone() };
    let numbered = (2_u32..).map(|number| format!("{qualified}-{number}"));
    let mut names = [first, qualified.clone()].into_iter().chain(numbered);
    let name = names.find(|name| !taken.contains(name)).expect("the numbers do not end before the groups do");
    taken.insert(name.clone());
    name
}

/// Leaves of a text what a group's name may have: ASCII letters, digits, `-`, `_` and `.`, a letter or a digit first.
fn clean(text: &str) -> String {
    let kept: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(60)
        .collect();
    kept.trim_start_matches(['-', '_', '.']).trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_named_after_values() {
        let long = "x".repeat(200);
        let mut taken = BTreeSet::new();
        for (path, value, expected) in [
            ("tags.place.plant", json!("oslo"), "oslo"),
            ("tags.city", json!("oslo"), "city-oslo"),
            ("tags.place.city", json!("oslo"), "city-oslo-2"),
            ("tags.lamp", json!(true), "lamp-true"),
            ("tags.floor", json!(-2), "floor-2"),
            ("tags.floor", json!(1.5), "floor-1.5"),
            ("tags.plant", json!("Redmond 43"), "Redmond-43"),
            ("tags.plant", json!("Redmond/43"), "plant-Redmond-43"),
            ("tags.plant", json!("日本"), "plant"),
            ("tags.日本", json!("日本"), "group"),
            ("tags.plant", json!(""), "plant-2"),
            ("tags.x", json!("../é"), "x"),
            ("tags.y", json!(long), &long[..60]),
        ] {
            assert_eq!(name(&path.parse().expect("a path"), &value, &mut taken), expected, "{path} {value}");
        }
    }
}
