//! What must be true after a run: its exit code, its report, and every twin that it had to do with.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fleet::{Fleet, at};
use crate::writer::{MARK, Written};

/// A run of `twinctl apply` that came to its end.
pub(crate) struct Applied<'r> {
    pub(crate) code: i32,
    pub(crate) stdout: &'r str,
    /// The hub's log from its start on.
    pub(crate) requests: &'r [Value],
    /// The twins before it.
    pub(crate) before: &'r Twins,
}

/// Twins by their ids; `None` for one that is not there.
pub(crate) type Twins = BTreeMap<String, Option<Value>>;

/// Returns the twins that the report names as not done, and whether it names all of them.
pub(crate) fn named(stdout: &str) -> (BTreeSet<String>, bool) {
    let mut named = BTreeSet::new();
    let (mut all, mut listed) = (true, false);
    for line in stdout.lines() {
        let ids = |text: &str| -> Vec<String> {
            text.split([',', ' ']).filter(|word| word.starts_with('d')).map(str::to_owned).collect()
        };
        if listed && line.starts_with("    ") {
            named.extend(ids(line));
            all &= !line.ends_with(" more");
        }
        listed = false;
        if let Some(rest) = line.strip_prefix("conflict ").or_else(|| line.strip_prefix("failed ")) {
            match rest.split_once(' ') {
                Some((id, _)) if id.starts_with('d') => _ = named.insert(id.to_owned()),
                _ => listed = true,
            }
        } else if let Some(rest) = line.strip_prefix("not attempted: ") {
            named.extend(ids(rest));
            all &= !line.ends_with(" more");
        }
    }
    (named, all)
}

/// Returns what is not true of a run that came to its end. `twins` are as they were then.
pub(crate) fn untrue(applied: &Applied<'_>, fleet: &Fleet, twins: &Twins, written: &Written) -> Vec<String> {
    let mut untrue = Vec::new();
    let (named, all) = named(applied.stdout);
    let writes: Vec<&Value> = applied.requests.iter().filter(|request| is_own_write(request)).collect();
    match applied.code {
        0 if !named.is_empty() => untrue.push(format!("exit 0, and the report names {named:?}")),
        0 => {}
        4 | 5 if named.is_empty() => untrue.push(format!("exit {}, and the report names no twin", applied.code)),
        4 | 5 => {}
        // The plan was not made, or was refused: then nothing may be done.
        1 | 3 => {
            if writes.iter().any(|request| request["status"] == 200) {
                untrue.push(format!("exit {}, and twins were written", applied.code));
            }
            return untrue;
        }
        code => untrue.push(format!("exit {code}")),
    }
    for (id, declared) in &fleet.declared {
        // What is named may be as declared all the same: an answer that got lost leaves that open.
        if named.contains(id) || !all {
            continue;
        }
        let Some(Some(twin)) = twins.get(id) else {
            untrue.push(format!("{id} is not there, and the report does not name it"));
            continue;
        };
        let last = writes.iter().rev().find(|request| request["status"] == 200 && id_of(request) == *id);
        let written_by_us = last.and_then(|request| counter(request["ifMatch"].as_str()?));
        let now = twin["etag"].as_str().and_then(counter);
        let ours_is_last = written_by_us.is_some() && written_by_us.map(|before| before + 1) == now;
        for (path, value) in declared {
            let found = at(twin, path);
            let theirs = written.contested.get(&(id.clone(), path.clone()));
            let is_theirs =
                found.and_then(Value::as_str).is_some_and(|found| theirs.is_some_and(|it| it.contains(found)));
            // A path that was as declared is not in the plan, so that apply does not look at it.
            let before = applied.before.get(id).and_then(|twin| at(twin.as_ref()?, path));
            let was_as_declared = before == value.as_ref();
            if found != value.as_ref() && !(is_theirs && (!ours_is_last || was_as_declared)) {
                untrue.push(format!("{id} {path} is {found:?}, declared {value:?}, and the report does not name it"));
            }
        }
    }
    untrue
}

/// Returns what is not true of the hub's log, whatever the run came to.
pub(crate) fn unguarded(requests: &[Value]) -> Vec<String> {
    let guarded = |request: &&Value| {
        let etag = request["ifMatch"].as_str().unwrap_or("");
        etag.starts_with('"') && counter(etag).is_some()
    };
    let writes = requests.iter().filter(|request| is_own_write(request));
    writes.filter(|request| !guarded(request)).map(|request| format!("a write without an etag: {request}")).collect()
}

/// Returns `true` for a write to a twin that is not the second writer's.
fn is_own_write(request: &Value) -> bool {
    let path = request["path"].as_str().unwrap_or("");
    request["method"] != "GET" && path.starts_with("/twins/") && !path.starts_with(MARK)
}

fn id_of(request: &Value) -> String {
    let path = request["path"].as_str().unwrap_or("");
    path.trim_start_matches("/twins/").replace("/modules/", "/")
}

/// Returns the number of writes that an etag of the embedded hub counts.
fn counter(etag: &str) -> Option<u64> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(etag.trim_matches('"')).ok()?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Asserts that what is not true is found: a campaign that finds nothing must be able to.
pub(crate) fn sees_what_is_not_true() {
    use serde_json::json;

    let declared = BTreeMap::from([("desired.level".to_owned(), Some(json!(2)))]);
    let fleet = Fleet {
        devices: vec!["d00".to_owned()],
        modules: Vec::new(),
        first: String::new(),
        second: String::new(),
        declared: BTreeMap::from([("d00".to_owned(), declared)]),
        contested: Vec::new(),
        secrets: Vec::new(),
    };
    let twin = |etag: &str, level: Value| {
        let twin = json!({ "etag": etag, "tags": {}, "properties": { "desired": { "level": level } } });
        BTreeMap::from([("d00".to_owned(), Some(twin))])
    };
    let (one, two, three) = ("AAAAAAAAAAE=", "AAAAAAAAAAI=", "AAAAAAAAAAM=");
    let write =
        |if_match: Value| json!({ "method": "PATCH", "path": "/twins/d00", "status": 200, "ifMatch": if_match });
    let requests = [write(json!(format!("\"{one}\"")))];
    let mut theirs = Written::default();
    theirs.contested.entry(("d00".to_owned(), "desired.level".to_owned())).or_default().insert("theirs-1".to_owned());
    for (code, stdout, etag, level, count) in [
        (0, "", two, json!(2), 0),
        (0, "", two, json!(1), 1),
        // Another writer's value, written after twinctl's, and before it.
        (0, "", three, json!("theirs-1"), 0),
        (0, "", two, json!("theirs-1"), 1),
        (0, "", three, json!("theirs-2"), 1),
        (0, "failed d00  why\n", two, json!(2), 1),
        (5, "failed d00  why\n", two, json!(1), 0),
        (5, "failed 2 twins  why\n    d00, d01\n", two, json!(1), 0),
        (4, "conflict d00  changed since the plan\n", two, json!(1), 0),
        (5, "not attempted: d00, d01\n", two, json!(1), 0),
        (5, "", two, json!(2), 1),
        (5, "failed d01  why\n", two, json!(1), 1),
        (1, "", two, json!(2), 1),
        (101, "", two, json!(2), 1),
    ] {
        let applied = Applied { code, stdout, requests: &requests, before: &twin(one, json!(1)) };
        let found = untrue(&applied, &fleet, &twin(etag, level.clone()), &theirs);
        assert_eq!(found.len(), count, "exit {code}, {stdout:?}, {level}: {found:?}");
    }
    for (if_match, count) in [(json!("\"*\""), 1), (json!("*"), 1), (json!(one), 1), (json!(null), 1)] {
        assert_eq!(unguarded(&[write(if_match.clone())]).len(), count, "{if_match}");
    }
    assert!(unguarded(&requests).is_empty());
    let applied = Applied { code: 0, stdout: "", requests: &requests, before: &twin(one, json!(2)) };
    assert!(untrue(&applied, &fleet, &twin(two, json!("theirs-1")), &theirs).is_empty());
    assert_eq!(untrue(&applied, &fleet, &twin(two, json!("theirs-2")), &theirs).len(), 1);
    let mut written = Written::default();
    written.counters.insert(("d00".to_owned(), "n0x0".to_owned()), (2, 3));
    for (found, lost) in [(json!(1), true), (json!(2), false), (json!(3), false), (json!(4), true), (json!(null), true)]
    {
        let twin = json!({ "tags": { "theirs": { "n0x0": found } } });
        assert_eq!(!written.lost("d00", &twin).is_empty(), lost, "{found}");
    }
}
