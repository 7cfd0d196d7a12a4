//! The digest of a fleet's declarations: of their values, not of how they are written.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::declaration::{Body, Declarations};
use crate::check::{Bound, Column, Expectation};
use crate::digest::{Digest, Hasher};
use crate::twin::value::canonical;

/// Returns the digest of all but the digest itself and the origins.
pub(super) fn of(declarations: &Declarations) -> Digest {
    let Declarations { fleet, hub, ownership, missing, checks, twins, digest: _ } = declarations;
    let mut hasher = Hasher::new();
    let head = json!({ "fleet": fleet, "hub": hub, "ownership": ownership, "missing": missing });
    hasher.piece(canonical(&head));
    hasher.piece("checks");
    for check in checks {
        let value = json!({
            "name": check.name,
            "query": check.query.text(),
            "expect": expectation(&check.expect),
            "within": check.within.as_secs_f64(),
            "severity": check.severity,
        });
        hasher.piece(canonical(&value));
    }
    hasher.piece("twins");
    // Many devices share a body; the address tells which, and does not go into the digest.
    let mut bodies: HashMap<*const Body, Digest> = HashMap::new();
    for (id, declaration) in twins {
        hasher.piece(id.to_string());
        if Arc::strong_count(&declaration.body) == 1 {
            hasher.piece(body(&declaration.body).as_str());
            continue;
        }
        let body = bodies.entry(Arc::as_ptr(&declaration.body)).or_insert_with(|| body(&declaration.body));
        hasher.piece(body.as_str());
    }
    hasher.finish()
}

fn body(body: &Body) -> Digest {
    let mut hasher = Hasher::new();
    for leaf in &body.leaves {
        hasher.piece(leaf.path.as_str());
        hasher.piece(leaf.value.as_ref().map_or_else(|| "null".to_owned(), canonical));
    }
    hasher.finish()
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
