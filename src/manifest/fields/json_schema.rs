//! The JSON Schema of a manifest, for editors: draft 7, which YAML language servers read.
//!
//! It says what a file looks like, so that an editor can complete names and mark wrong types. What the hub would refuse, what two files
//! contradict each other in, and whether a query can be read, only [`load`](fn@crate::manifest::load) says.

use serde_json::{Map, Value, json};

use crate::manifest::fields::{self, About, FIELDS, Shape, names};

/// Returns the schema.
pub(crate) fn json_schema() -> Value {
    let mut tables: Vec<&str> = Vec::new();
    for about in FIELDS.iter().filter(|about| about.of != names::MANIFEST) {
        if !tables.contains(&about.of) {
            tables.push(about.of);
        }
    }
    let mut definitions: Map<String, Value> = tables.into_iter().map(|name| (slug(name), table(name))).collect();
    definitions.insert(
        "reference".to_owned(),
        json!({ "type": "string", "pattern": "\\$\\{", "description": "A reference: ${env.NAME}, ${var.NAME} or ${row.COLUMN}." }),
    );
    let mut schema = table(names::MANIFEST);
    let head = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "twinctl manifest",
        "description": "Device twins of an Azure IoT Hub as they should be. Several files make one fleet.",
        "definitions": definitions,
    });
    if let (Value::Object(schema), Value::Object(head)) = (&mut schema, head) {
        schema.extend(head);
    }
    schema
}

/// The name of a table among the definitions.
fn slug(table: &str) -> String {
    table.trim_start_matches("a ").trim_start_matches("an ").trim_matches('`').to_owned()
}

fn table(name: &str) -> Value {
    let properties: Map<String, Value> =
        fields::of(name).map(|about| (about.name.to_owned(), property(about))).collect();
    // One of several files says the fleet's name, so that no file need have it.
    let required: Vec<_> = fields::of(name)
        .filter(|about| about.default.is_empty() && name != names::MANIFEST)
        .map(|about| about.name)
        .collect();
    let mut table = json!({ "type": ["object", "null"], "additionalProperties": false, "properties": properties });
    if name == names::MANIFEST {
        table["type"] = "object".into();
    } else if !required.is_empty() {
        table["type"] = "object".into();
        table["required"] = required.into();
    }
    table
}

fn property(about: &About) -> Value {
    let mut schema = shape(&about.shape);
    let default = match about.default {
        "" => String::new(),
        default => format!("\n\nWithout it: {default}."),
    };
    schema["description"] = format!("{}{default}\n\nAs in `{}`", about.text, about.example).into();
    schema
}

/// What a value may be; a scalar may be a reference as well.
fn shape(shape: &Shape) -> Value {
    let or_reference = |schema: Value| json!({ "anyOf": [schema, { "$ref": "#/definitions/reference" }] });
    let definition = |table: &str| json!({ "allOf": [{ "$ref": format!("#/definitions/{}", slug(table)) }] });
    match shape {
        Shape::Text(None) => json!({ "type": "string" }),
        Shape::Text(Some(pattern)) => or_reference(json!({ "type": "string", "pattern": pattern })),
        Shape::Words(words) => or_reference(json!({ "enum": words })),
        Shape::Boolean => or_reference(json!({ "type": "boolean" })),
        Shape::Count => or_reference(json!({ "type": "integer", "minimum": 0 })),
        Shape::Amount => or_reference(json!({
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^\\s*[0-9]+(\\.[0-9]*)?\\s*%\\s*$" },
            ]
        })),
        Shape::Time => {
            let part = |units| format!("([0-9]+(\\.[0-9]+)?{units})?");
            let parts = ["h", "(m|min)", "s", "ms"].map(part).concat();
            or_reference(json!({ "type": "string", "pattern": format!("^\\s*{parts}\\s*$"), "minLength": 2 }))
        }
        Shape::Path => or_reference(json!({ "type": "string", "pattern": "^(tags|desired)(\\.[^.]+)*$" })),
        Shape::Section | Shape::Variables => json!({ "type": ["object", "null"] }),
        Shape::Expectation => json!({
            "anyOf": [{ "enum": ["none", "some"] }, { "type": ["object", "array"] }, { "$ref": "#/definitions/reference" }]
        }),
        Shape::Table(table) => definition(table),
        Shape::Named(table) => json!({ "type": ["object", "null"], "additionalProperties": definition(table) }),
        // A list may be one reference, too: a variable or a cell that holds a list.
        Shape::List(item) => json!({
            "anyOf": [{ "type": ["array", "null"], "items": self::shape(item) }, { "$ref": "#/definitions/reference" }]
        }),
    }
}
