//! The digest of a fleet's declarations: of their values, not of how they are written.
//!
//! Of a sensitive leaf only the path goes in, so that nothing can be guessed from the digest; another value there is another plan,
//! but the same manifest. What selectors find is not in it, only how they ask and what they add: it is the same before and after
//! [`Declarations::select`]. What is not said leaves no trace, so that a fleet keeps its digest when this program learns a field.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::check::{Bound, Column, Expectation};
use crate::digest::{Digest, Hasher};
use crate::manifest::entry::scalar::Scalar;
use crate::manifest::fields::policy::{Amount, Limits, Moved, OnFailure, Policy, PolicyPath, Rollout, Sensitive};
use crate::manifest::layers::body::Body;
use crate::manifest::layers::declaration::Declarations;
use crate::manifest::layers::layering::Layered;
use crate::manifest::leaf::Leaf;
use iothub_model::twin::value::canonical;

/// Returns the digest of all but the digest itself and the origins.
pub(crate) fn of(declarations: &Declarations) -> Digest {
    let Declarations {
        fleet,
        hub,
        ownership,
        missing,
        checks,
        check_places: _,
        policy,
        // What groups and layers come to is in the twins; who is in a group changes nothing by itself.
        groups: _,
        empty_inventories: _,
        selectors,
        selections: _,
        twins,
        digest: _,
        layered,
    } = declarations;
    let mut hasher = Hasher::new();
    let head = json!({ "fleet": fleet, "hub": hub, "ownership": ownership, "missing": missing });
    hasher.piece(canonical(&head));
    hasher.piece("checks");
    for check in checks {
        let mut value = json!({
            "name": check.name,
            "query": check.query.text(),
            "expect": expectation(&check.expect),
            "within": check.within.as_secs_f64(),
            "severity": check.severity,
        });
        if check.gate {
            value["gate"] = Value::Bool(true);
        }
        hasher.piece(canonical(&value));
    }
    if *policy != Policy::default() {
        hasher.piece("policy");
        hasher.piece(canonical(&self::policy(policy)));
    }
    let sensitive = &policy.sensitive;
    hasher.piece("twins");
    // Many devices share a body; the address tells which, and does not go into the digest.
    let mut bodies: HashMap<*const Body, Digest> = HashMap::new();
    for (id, declaration) in twins {
        hasher.piece(id.to_string());
        if Arc::strong_count(&declaration.body) == 1 {
            hasher.piece(body(&declaration.body, sensitive).as_str());
            continue;
        }
        let known = bodies.entry(Arc::as_ptr(&declaration.body));
        hasher.piece(known.or_insert_with(|| body(&declaration.body, sensitive)).as_str());
    }
    if let Some(layered) = layered.as_ref().filter(|_| !selectors.is_empty()) {
        let Layered { layers, defaults: _, groups: _, written: _, stacks, of, places: _ } = &**layered;
        hasher.piece("selectors");
        hasher.piece(leaves(&layers.defaults, sensitive).as_str());
        for (selector, own) in selectors.iter().zip(&layers.selectors) {
            hasher.piece(selector.name.as_bytes());
            hasher.piece(selector.condition.text());
            hasher.piece(leaves(own, sensitive).as_str());
        }
        // What is over a selector decides what of it counts.
        let digests =
            |layers: &[Vec<Leaf>]| -> Vec<Digest> { layers.iter().map(|layer| leaves(layer, sensitive)).collect() };
        let [groups, rows] = [&layers.groups, &layers.rows].map(|layers| digests(layers));
        let devices: Vec<Digest> = layers.devices.iter().map(|own| leaves(&own.leaves(), sensitive)).collect();
        for (device, &stack) in of {
            hasher.piece(device.as_str());
            let stack = &stacks[stack];
            let over = stack.groups.iter().map(|&group| &groups[group]);
            let over = over.chain(stack.row.map(|row| &rows[row])).chain(stack.device.map(|device| &devices[device]));
            over.for_each(|digest| hasher.piece(digest.as_str()));
        }
    }
    hasher.finish()
}

fn body(body: &Body, sensitive: &Sensitive) -> Digest {
    let Some(entry) = body.text_entry() else { return leaves(&body.leaves(), sensitive) };
    // The same without the leaves.
    let mut hasher = Hasher::new();
    let mut text = String::new();
    entry.visit(|index, value| {
        let path = entry.path(index);
        hasher.piece(path.as_str());
        match value {
            Err(None) | Ok(Scalar::Null) => hasher.piece("null"),
            _ if sensitive.covers(path) => hasher.piece("sensitive"),
            Err(Some(value)) => hasher.piece(canonical(value)),
            Ok(Scalar::Bool(boolean)) => hasher.piece(if boolean { "true" } else { "false" }),
            Ok(Scalar::Number(number)) => hasher.piece(canonical(&Value::Number(number))),
            Ok(Scalar::Text(value)) => {
                text.clear();
                // It has no character that is written as an escape.
                text.extend(["\"", value, "\""]);
                hasher.piece(&text);
            }
        }
    });
    hasher.finish()
}

fn leaves(leaves: &[Leaf], sensitive: &Sensitive) -> Digest {
    let mut hasher = Hasher::new();
    for leaf in leaves {
        hasher.piece(leaf.path.as_str());
        hasher.piece(match &leaf.value {
            Some(_) if sensitive.covers(&leaf.path) => "sensitive".to_owned(),
            Some(value) => canonical(value),
            None => "null".to_owned(),
        });
    }
    hasher.finish()
}

fn policy(policy: &Policy) -> Value {
    let Policy { exact, sensitive, limits, moved, released, rollout } = policy;
    let Limits { max_changed, max_removed_keys, min_population } = limits;
    let Rollout { waves, pause, max_failed, on_failure } = rollout;
    let amount = |amount: &Amount| match amount {
        Amount::Count(count) => json!(count),
        Amount::Percent(percent) => json!({ "percent": percent }),
    };
    let paths = |paths: &[PolicyPath]| paths.iter().map(|path| path.path.clone()).collect::<Vec<_>>();
    let moved = moved.iter().map(|Moved { from, to, origin: _ }| json!([from, to]));
    json!({
        "exact": paths(exact),
        "sensitive": sensitive.paths(),
        "limits": [max_changed.as_ref().map(amount), max_removed_keys, min_population],
        "moved": moved.collect::<Vec<_>>(),
        "released": paths(released),
        "rollout": {
            "waves": waves.iter().map(amount).collect::<Vec<_>>(),
            "pause": pause.as_secs_f64(),
            "max_failed": max_failed,
            "on_failure": match on_failure {
                OnFailure::Stop => "stop",
                OnFailure::Rollback => "rollback",
            },
        },
    })
}

fn expectation(expectation: &Expectation) -> Value {
    let bound = |bound: &Bound| json!([format!("{:?}", bound.comparison), bound.number]);
    match expectation {
        Expectation::None => json!("none"),
        Expectation::Some => json!("some"),
        Expectation::Rows(rows) => {
            let mut rows: Vec<_> = rows.iter().map(|row| canonical(&Value::Object(row.clone()))).collect();
            rows.sort();
            json!({ "rows": rows })
        }
        Expectation::Count(count) => json!({ "count": bound(count) }),
        Expectation::Devices(ids) => json!({ "devices": ids }),
        Expectation::Columns(columns) => {
            let column = |column: &Column| match column {
                Column::Equals(value) => json!({ "equals": value }),
                Column::Range { min, max } => json!({ "min": min, "max": max }),
            };
            let columns: serde_json::Map<_, _> =
                columns.iter().map(|(name, found)| (name.clone(), column(found))).collect();
            json!({ "columns": columns })
        }
        Expectation::Share { bound: share, of } => json!({ "share": bound(share), "of": of.text() }),
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::load_texts;

    #[test]
    fn another_sensitive_value_is_the_same_manifest() {
        const FLEET: &str = "fleet: f
sensitive: [desired.wifi.psk, tags.token]
defaults: { desired: { wifi: { psk: of-defaults, ssid: plant } } }
selectors: [{ name: s, where: tags.a = 1, desired: { wifi: { psk: of-selector } } }]
groups: { g: { tags: { token: of-group } } }
inventory: [{ from: rows.csv, id: '${row.id}', desired: { wifi: { psk: '${row.psk}' } } }]
devices:
  d1: { groups: [g], desired: { wifi: { psk: { key: of-device } } }, modules: { m: { desired: { wifi: { psk: of-module } } } } }
";
        const ROWS: &str = "id,psk\nr1,of-row\n";
        let digest = |fleet: &str, rows: &str| {
            let loaded = load_texts(&[("fleet.yaml", fleet), ("rows.csv", rows)], &|_| None);
            loaded.unwrap_or_else(|found| panic!("{found:?}")).declarations.digest
        };
        let known = digest(FLEET, ROWS);
        for layer in ["defaults", "selector", "group", "device", "module", "row"] {
            let changed = |text: &str| text.replace(&format!("of-{layer}"), "other");
            assert!(changed(FLEET) != FLEET || changed(ROWS) != ROWS, "{layer}");
            assert_eq!(digest(&changed(FLEET), &changed(ROWS)), known, "{layer}");
        }
        // What is not sensitive, where it stands, and that it is there.
        for (from, to) in [
            ("ssid: plant", "ssid: other"),
            ("psk: of-defaults", "key: of-defaults"),
            ("token: of-group", "token: null"),
            ("sensitive: [desired.wifi.psk, tags.token]", "sensitive: [desired.wifi.psk]"),
        ] {
            assert_ne!(digest(&FLEET.replace(from, to), ROWS), known, "{to}");
        }
    }
}
