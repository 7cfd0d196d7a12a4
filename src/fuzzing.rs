//! What the fuzzer calls: one function a target, bytes in, and a panic when something does not hold.
//!
//! `fuzz/` gives them what libFuzzer makes up, and the tests below everything in `fuzz/corpus`, so that what was found once is
//! looked for by every `cargo test`. Compiled for these two alone.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::manifest::{self, Loaded};
use crate::plan::file::{self, PlanFileError};
use crate::render;
use crate::render::style::Palette;
use iothub_emulator::FaultSpec;
pub use iothub_emulator::fuzzing::{amqp, http, mqtt, store};
use iothub_model::diagnostic::{Diagnostic, Source};
use iothub_model::query::{self, Collection, QueryError};
use iothub_model::wire::ConnectionString;
use iothub_model::wire::sas::{self, Key, SasToken};

/// What is given bytes, and panics when something does not hold.
pub type Target = fn(&[u8]);

/// All targets, by the names of their folders in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 10] = [
    ("amqp", amqp),
    ("connection_string", connection_string),
    ("faults", faults),
    ("http", http),
    ("manifest", manifest),
    ("mqtt", mqtt),
    ("plan_file", plan_file),
    ("query", query),
    ("sas_token", sas_token),
    ("store", store),
];

/// Stands where a key is parsed, and may be in no message.
const SECRET: &str = "c2VjcmV0LWtleS1mb3ItdGVzdHM=";

/// A connection string is one, and read again is the same one, or it is refused by words that do not hold its key.
pub fn connection_string(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match ConnectionString::parse(text) {
        Ok(read) => {
            let again = ConnectionString::parse(read.expose().expose());
            assert_eq!(again.as_ref(), Ok(&read), "written out and read again");
        }
        Err(error) => {
            let shown = format!("{error} {error:?}");
            let mut pieces = SECRET.as_bytes().windows(8).filter_map(|piece| str::from_utf8(piece).ok());
            assert!(!pieces.any(|piece| shown.contains(piece)), "a piece of the key is in the message {shown}");
        }
    }
}

/// A token is taken apart or refused; nobody's signature but the key's own is one of the key, and whatever is signed verifies.
pub fn sas_token(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let (key, other) = (Key::from_bytes(*b"the key of the tokens"), Key::from_bytes(*b"another key"));
    match SasToken::parse(text) {
        Ok(token) => {
            let resource = token.resource().unwrap_or_default();
            let _ = (token.expiry(), token.policy(), sas::covers(&resource, "hub.example/twins/a"));
            assert!(sas::covers(&resource, &resource) || resource.split('/').next() == Some(""), "{resource}");
            assert!(!token.is_signed_by(&other), "a key that signed no token");
            if token.is_signed_by(&key) {
                // With the separator before it: a policy's name, which is not signed, may hold the rest.
                let damaged = text.replacen("&sig=", "&sig=AAAA", 1);
                assert!(
                    damaged == text || !SasToken::parse(&damaged).is_ok_and(|token| token.is_signed_by(&key)),
                    "with another signature"
                );
            }
        }
        Err(error) => {
            let _ = error.to_string();
        }
    }
    let signed = sas::sign(text, &key, 1_900_000_000, Some(text));
    match SasToken::parse(signed.expose()) {
        Ok(token) => {
            assert!(token.is_signed_by(&key));
            assert_eq!(token.resource().as_deref(), Some(text));
            assert_eq!(token.policy().unwrap_or_default(), text);
        }
        Err(error) => assert!(text.is_empty(), "{error}"),
    }
}

/// A query is compiled or refused with places in its text; written out it is the same query; over a small fleet it gives rows.
pub fn query(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    for compiled in [query::compile(text), query::compile_condition(text, Collection::Devices)] {
        match compiled {
            Ok(query) => {
                show(query.warnings(), text);
                let [documents, modules, jobs] = fleet();
                let documents = match query.collection() {
                    Collection::Devices => documents,
                    Collection::Modules => modules,
                    Collection::Jobs => jobs,
                };
                let rows = query.rows(documents);
                assert!(query.top().is_none_or(|top| rows.len() as u64 <= top), "more rows than TOP");
                let missed = documents.iter().find(|it| query.matches(it) && !query.may_match(&it.to_string()));
                assert_eq!(missed, None, "a document that matches, and may not");
                let excerpts: Vec<Value> =
                    documents.iter().map(|it| query.excerpt(&it.to_string()).expect("JSON")).collect();
                if query.selects_documents() {
                    assert!(rows.iter().all(|row| query.matches(row)), "a row that does not match");
                    let matching = excerpts.iter().filter(|excerpt| query.matches(excerpt)).count();
                    assert_eq!(matching, documents.iter().filter(|it| query.matches(it)).count(), "of excerpts");
                } else {
                    assert_eq!(query.rows(&excerpts), rows, "of excerpts");
                }
                if let Some(ids) = query.device_ids() {
                    let beyond = documents
                        .iter()
                        .filter(|it| query.matches(it))
                        .find(|it| !it["deviceId"].as_str().is_some_and(|id| ids.contains(&id)));
                    assert_eq!(beyond, None, "a document matches beyond the ids {ids:?}");
                }
            }
            Err(errors) => {
                assert!(!errors.is_empty(), "refused without a word");
                show(&errors, text);
            }
        }
    }
    if let Ok(tree) = query::parse(text) {
        let written = tree.to_string();
        if written.chars().count() <= query::MAX_CHARACTERS {
            let again = query::parse(&written).unwrap_or_else(|errors| panic!("{written}: {errors:?}"));
            assert_eq!(again.to_string(), written, "written out, read and written out");
        }
    }
}

fn show(errors: &[QueryError], text: &str) {
    let source = Source::new("query", text);
    draw(&errors.iter().map(|error| error.to_diagnostic(&source, 0)).collect::<Vec<_>>());
}

fn draw(diagnostics: &[Diagnostic]) {
    let drawn = render::diagnostic::diagnostics(diagnostics, Palette::new(false), 80);
    assert!(diagnostics.is_empty() || !drawn.is_empty());
}

/// Returns documents of devices, modules and jobs.
fn fleet() -> &'static [Vec<Value>; 3] {
    static FLEET: OnceLock<[Vec<Value>; 3]> = OnceLock::new();
    FLEET.get_or_init(|| {
        let devices = [
            json!({ "deviceId": "a", "etag": "AAAAAAAAAAE=", "version": 2, "status": "enabled", "tags": {} }),
            json!({
                "deviceId": "b", "etag": "AAAAAAAAAAI=", "version": 3, "status": "disabled", "connectionState": "Connected",
                "lastActivityTime": "2026-11-24T10:00:00Z",
                "tags": { "location": { "plant": "Redmond43", "floor": 2 }, "list": [1, "a", null], "n": -1.5 },
                "properties": {
                    "desired": { "interval": 60, "$version": 2, "$metadata": { "$lastUpdated": "2026-11-24T10:00:00Z" } },
                    "reported": { "connectivity": "cellular", "interval": 6e1, "deep": { "a": { "b": true } }, "$version": 9 },
                },
                "configurations": { "c": { "status": "Applied" } },
            }),
            json!({ "deviceId": "c", "tags": { "location": "plant", "n": 9_007_199_254_740_993_i64, "empty": "" } }),
        ];
        let modules = devices.clone().map(|mut device| {
            device["moduleId"] = json!("m");
            device
        });
        let jobs = [json!({
            "deviceId": "a", "jobId": "j", "jobType": "scheduleUpdateTwin", "status": "completed",
            "startTimeUtc": "2026-11-24T10:00:00Z", "endTimeUtc": "2026-11-24T10:00:01Z",
        })];
        [devices.into(), modules.into(), jobs.into()]
    })
}

/// Manifests, one after the other with lines `#### name` between them, are a fleet or are refused at places that can be shown, and the same
/// whether they are read in pieces or whole.
pub fn manifest(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let mut texts: Vec<(&str, &str)> = Vec::new();
    for (number, part) in text.split("\n#### ").enumerate() {
        match number {
            0 => texts.push(("fleet.yaml", part)),
            _ => texts.push(part.split_once('\n').unwrap_or((part, ""))),
        }
    }
    let environment = |name: &str| match name {
        "PLANT" => Some("Redmond43".to_owned()),
        "INTERVAL" => Some("600".to_owned()),
        "LIST" => Some("[1, {\"a\": null}]".to_owned()),
        _ => None,
    };
    let loaded = manifest::load_texts(&texts, &environment);
    // Files are read in pieces where they can be, which must make no difference.
    let told = |loaded: &Result<Loaded, Vec<Diagnostic>>| match loaded {
        Ok(Loaded { declarations, warnings }) => {
            // A range is a hundred thousand twins in a line.
            let some: Vec<_> = declarations.twins.iter().take(1000).collect();
            format!("{} {some:?} {warnings:?}", declarations.digest)
        }
        Err(diagnostics) => format!("{diagnostics:?}"),
    };
    assert_eq!(told(&loaded), told(&manifest::load_whole_texts(&texts, &environment)), "in pieces and whole");
    match loaded {
        Ok(loaded) => draw(&loaded.warnings),
        Err(diagnostics) => {
            assert!(diagnostics.iter().any(Diagnostic::is_error), "refused without an error");
            draw(&diagnostics);
        }
    }
}

/// A plan file is read, and written again is the same plan, or it is refused. The digest, which no chance would hit, is put right.
pub fn plan_file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let mut text = text.to_owned();
    let plan = match file::read(&text) {
        Err(PlanFileError::Altered { said, found }) => {
            text = text.replace(said.as_str(), found.as_str());
            file::read(&text)
        }
        read => read,
    };
    match plan {
        Ok(plan) => {
            let written = file::write(&plan, "0");
            let again = file::read(&written).unwrap_or_else(|error| panic!("{error} in {written}"));
            assert_eq!(file::write(&again, "0"), written, "written, read and written");
            let _ = (plan.summary(), plan.clusters());
        }
        Err(error) => {
            let _ = error.to_string();
        }
    }
}

/// Rules for a hub's misbehaviour are read, and written out are the same rules, or they are refused at places that can be shown.
pub fn faults(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match FaultSpec::parse(&Source::new("faults", text)) {
        Ok(spec) => {
            let written = spec.to_string();
            let again = FaultSpec::parse(&Source::new("again", written.as_str()));
            assert_eq!(again.as_ref().ok(), Some(&spec), "{written}");
        }
        Err(diagnostics) => draw(&diagnostics),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
    }

    fn names(path: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }

    /// What stands in `fuzz/` and the list above are the same targets.
    #[test]
    fn all_targets_are_there() {
        let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&folder("corpus")), known);
        assert_eq!(names(&folder("fuzz_targets")), known.iter().map(|name| format!("{name}.rs")).collect());
    }

    #[test]
    fn every_seed_holds() {
        for (name, target) in TARGETS {
            let seeds = folder("corpus").join(name);
            let files = names(&seeds);
            assert!(files.len() >= 10, "{name} has {} seeds", files.len());
            for file in files {
                let input = fs::read(seeds.join(&file)).expect("a seed");
                assert!(catch_unwind(|| target(&input)).is_ok(), "fuzz/corpus/{name}/{file} does not hold: see above");
            }
        }
    }
}
