//! Automatic device configurations as JSON: `/configurations/{id}`.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{encode_segment, lenient};
use crate::twin::{Object, OrderedObject};

/// Where configurations are listed.
pub const PATH: &str = "/configurations";
/// Configurations of a paid hub, at most.
pub const CONFIGURATIONS_MAX: usize = 100;
/// How a target condition begins that is asked of modules.
pub const MODULES_PREFIX: &str = "FROM devices.modules WHERE";

/// Returns the path of a configuration.
pub fn configuration_path(id: &str) -> String {
    format!("{PATH}/{}", encode_segment(id))
}

/// A configuration as a PUT sends it and as the service reads it: all optional, read-only members passed over.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationBody {
    /// The id, which must be the path's where it is given.
    pub id: Option<String>,
    /// The version of the content's form.
    pub schema_version: Option<String>,
    /// What people say about it.
    pub labels: Option<IndexMap<String, String>>,
    /// What is written to which path.
    pub content: Option<OrderedObject>,
    /// Which twins.
    pub target_condition: Option<String>,
    /// The higher wins.
    #[serde(default, deserialize_with = "lenient::option")]
    pub priority: Option<i64>,
    /// The custom metrics.
    pub metrics: Option<MetricsBody>,
}

/// A configuration as a list of them answers it, as far as it says what is written where. Whatever else it has is passed over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Its id.
    pub id: String,
    /// The higher wins.
    #[serde(default, deserialize_with = "or_default")]
    pub priority: i64,
    /// Which twins.
    #[serde(default, deserialize_with = "or_default")]
    pub target_condition: String,
    /// What is written to which path.
    #[serde(default, deserialize_with = "or_default")]
    pub content: Object,
    /// When it was made (ISO 8601).
    #[serde(default, deserialize_with = "or_default")]
    pub created_time_utc: String,
}

/// Reads null as a member that is left out: the service answers some members so that nobody set.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Custom metrics as a PUT sends them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsBody {
    /// Queries by name.
    pub queries: Option<IndexMap<String, String>>,
}

/// Queries by name, and what they came to when they were last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metrics {
    /// Rows by name; empty until the first evaluation.
    pub results: IndexMap<String, u64>,
    /// Queries by name.
    pub queries: IndexMap<String, String>,
}

impl Metrics {
    /// Replaces the queries. The results stay only if the queries are the same.
    pub fn set_queries(&mut self, queries: IndexMap<String, String>) {
        // Equal in any order: the order is the new one.
        if self.queries != queries {
            self.results.clear();
        }
        self.queries = queries;
    }
}

/// What `POST /configurations/testQueries` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestQueriesBody {
    /// A target condition.
    pub target_condition: Option<String>,
    /// Metrics' queries by name.
    pub custom_metric_queries: Option<IndexMap<String, String>>,
}

/// The answer to [`TestQueriesBody`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestQueriesResult {
    /// The fault of the target condition.
    pub target_condition_error: Option<String>,
    /// The faults of metrics' queries by name.
    pub custom_metric_query_errors: IndexMap<String, String>,
}

/// One path of a configuration's content, and what is put there.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentPath {
    /// The keys below `properties.desired`; none for all of it.
    pub keys: Vec<String>,
    /// What stands there.
    pub value: Value,
}

impl ContentPath {
    /// Returns the desired properties with nothing but the value at its place.
    pub fn object(&self) -> Object {
        let mut value = self.value.clone();
        for key in self.keys.iter().rev() {
            value = Value::Object([(key.clone(), value)].into_iter().collect());
        }
        match value {
            Value::Object(object) => object,
            // A path without keys has an object as its value, as `decode_content` sees to.
            _ => Object::new(),
        }
    }
}

/// What a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// `deviceContent`: paths of device twins.
    Devices,
    /// `moduleContent`: paths of module twins.
    Modules,
    /// `modulesContent`: a deployment to edge devices.
    Edge,
}

/// Why a configuration's content is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ContentError {
    problem: String,
}

impl ContentError {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }
}

/// The members of a configuration's content.
pub const CONTENT_NAMES: [&str; 3] = ["deviceContent", "moduleContent", "modulesContent"];

/// Reads which paths a configuration writes: for those who write them, and for those who must not.
///
/// Whether the values keep the twins' limits is not asked here.
pub fn decode_content(content: &Object) -> Result<(ContentKind, Vec<ContentPath>), ContentError> {
    let kinds = [
        ("deviceContent", ContentKind::Devices),
        ("moduleContent", ContentKind::Modules),
        ("modulesContent", ContentKind::Edge),
    ];
    let mut given = Vec::new();
    for (name, kind) in kinds {
        match content.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(paths)) if paths.is_empty() => {}
            Some(Value::Object(paths)) => given.push((name, kind, paths)),
            Some(_) => return Err(ContentError::new(format!("`{name}` is not an object"))),
        }
    }
    let (name, kind, paths) = match given.as_slice() {
        [] => {
            return Err(ContentError::new(
                "the content has neither deviceContent nor moduleContent nor modulesContent",
            ));
        }
        [(name, kind, paths)] => (name, *kind, *paths),
        [(first, ..), (second, ..), ..] => {
            return Err(ContentError::new(format!("the content has both {first} and {second}")));
        }
    };
    match kind {
        ContentKind::Edge => Ok((kind, Vec::new())),
        ContentKind::Devices | ContentKind::Modules => Ok((kind, decode_paths(name, paths)?)),
    }
}

/// What a deployment to edge devices writes into the twin of one module.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleContent {
    /// The module's id.
    pub module: String,
    /// Which paths; without keys it replaces all desired properties.
    pub paths: Vec<ContentPath>,
}

/// What a deployment to edge devices writes (docs: IoT Edge automatic deployments).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeContent {
    /// By module; those of the runtime are left out.
    pub modules: Vec<ModuleContent>,
    /// Whether it is a base deployment, of which each device has one alone: it sets all of the runtime's configuration. A layered one
    /// is laid over the next base below it.
    pub is_base: bool,
}

/// Reads which module twins a configuration's `modulesContent` writes, and where; nothing for one without it.
///
/// # Errors
///
/// When a module's content is not one of paths.
pub fn decode_edge_content(content: &Object) -> Result<EdgeContent, ContentError> {
    let mut edge = EdgeContent::default();
    for content in decode_modules(content)? {
        if content.module.starts_with('$') {
            edge.is_base |= content.module == "$edgeAgent" && content.paths.iter().any(|path| path.keys.is_empty());
        } else {
            edge.modules.push(content);
        }
    }
    Ok(edge)
}

/// Reads which module twins a configuration's `modulesContent` writes, and where, those of the runtime included.
///
/// # Errors
///
/// When a module's content is not one of paths.
pub fn decode_modules(content: &Object) -> Result<Vec<ModuleContent>, ContentError> {
    let Some(Value::Object(modules)) = content.get("modulesContent") else { return Ok(Vec::new()) };
    let decode = |(module, paths): (&String, &Value)| {
        let name = format!("modulesContent.{}", module.escape_debug());
        let Value::Object(paths) = paths else {
            return Err(ContentError::new(format!("`{name}` is not an object")));
        };
        Ok(ModuleContent { module: module.clone(), paths: decode_paths(&name, paths)? })
    };
    modules.iter().map(decode).collect()
}

fn decode_paths(name: &str, paths: &Object) -> Result<Vec<ContentPath>, ContentError> {
    let mut read: Vec<ContentPath> = Vec::new();
    for (path, value) in paths {
        let mut segments = path.split('.');
        if (segments.next(), segments.next()) != (Some("properties"), Some("desired")) {
            let problem =
                format!("the path `{}` of {name} does not begin with properties.desired", path.escape_debug());
            return Err(ContentError::new(problem));
        }
        let keys: Vec<String> = segments.map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(ContentError::new(format!("the path `{}` of {name} has an empty part", path.escape_debug())));
        }
        if keys.is_empty() && !value.is_object() {
            return Err(ContentError::new(format!("what {name} puts at properties.desired is not an object")));
        }
        if let Some(other) = read.iter().find(|other| overlap(&other.keys, &keys)) {
            let other = other.keys.join(".");
            let problem =
                format!("the path `{}` of {name} and properties.desired.{other} overlap", path.escape_debug());
            return Err(ContentError::new(problem));
        }
        read.push(ContentPath { keys, value: value.clone() });
    }
    Ok(read)
}

/// Says whether one path leads to the other's place, or through it.
pub fn overlap(a: &[String], b: &[String]) -> bool {
    let shorter = a.len().min(b.len());
    a[..shorter] == b[..shorter]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn contents() {
        for (content, expected) in [
            (json!({}), Err("the content has neither deviceContent nor moduleContent nor modulesContent")),
            (json!({"deviceContent": {}, "moduleContent": null}), Err("the content has neither")),
            (json!({"deviceContent": 1}), Err("`deviceContent` is not an object")),
            (
                json!({"deviceContent": {"properties.desired.a": 1}, "modulesContent": {"m": {}}}),
                Err("the content has both deviceContent and modulesContent"),
            ),
            (json!({"deviceContent": {"tags.a": 1}}), Err("the path `tags.a` of deviceContent does not begin with")),
            (json!({"deviceContent": {"properties.reported.a": 1}}), Err("the path `properties.reported.a`")),
            (json!({"deviceContent": {"properties.desired.a..b": 1}}), Err("the path `properties.desired.a..b`")),
            (json!({"deviceContent": {"properties.desired.": 1}}), Err("the path `properties.desired.` of")),
            (json!({"deviceContent": {"properties.desired": 1}}), Err("what deviceContent puts at properties.desired")),
            (
                json!({"deviceContent": {"properties.desired.a": 1, "properties.desired.a.b": 1}}),
                Err("the path `properties.desired.a.b` of deviceContent and properties.desired.a overlap"),
            ),
            (json!({"deviceContent": {"properties.desired": {"a": 1}}}), Ok((ContentKind::Devices, vec![""]))),
            (
                json!({"deviceContent": {"properties.desired.fw.channel": 1, "properties.desired.fw.ring": 1}}),
                Ok((ContentKind::Devices, vec!["fw.channel", "fw.ring"])),
            ),
            (json!({"moduleContent": {"properties.desired.a": {}}}), Ok((ContentKind::Modules, vec!["a"]))),
            (json!({"modulesContent": {"$edgeAgent": {"properties.desired": {}}}}), Ok((ContentKind::Edge, vec![]))),
        ] {
            let found = decode_content(content.as_object().expect("an object"));
            match (found, expected) {
                (Ok((kind, paths)), Ok((expected, keys))) => {
                    assert_eq!(kind, expected, "{content}");
                    assert_eq!(paths.iter().map(|path| path.keys.join(".")).collect::<Vec<_>>(), keys, "{content}");
                }
                (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{content}: {error}"),
                (found, _) => panic!("{content}: {found:?}"),
            }
        }
    }

    #[test]
    fn members_that_nobody_set_may_be_null() {
        let read: Configuration = serde_json::from_value(json!({
            "id": "c", "schemaVersion": null, "labels": null, "priority": null, "targetCondition": null, "content": null,
            "createdTimeUtc": null,
        }))
        .expect("a configuration");
        assert_eq!((read.priority, read.target_condition.as_str(), read.content.len()), (0, "", 0));
    }

    #[test]
    fn deployments_write_into_modules() {
        let edge = |content: Value| {
            let content = content.as_object().expect("an object").clone();
            let edge = decode_edge_content(&content).map_err(|error| error.to_string())?;
            let paths = |module: &ModuleContent| {
                let keys = module.paths.iter().map(|path| path.keys.join(".")).collect::<Vec<_>>().join(",");
                format!("{}:{keys}", module.module)
            };
            Ok::<_, String>((edge.modules.iter().map(paths).collect::<Vec<_>>().join(" "), edge.is_base))
        };
        for (content, expected) in [
            (json!({"deviceContent": {"properties.desired.a": 1}}), Ok(("", false))),
            (
                json!({"modulesContent": {
                    "$edgeAgent": {"properties.desired": {}}, "$edgeHub": {"properties.desired": {}},
                    "m": {"properties.desired": {"a": 1}},
                }}),
                Ok(("m:", true)),
            ),
            (
                json!({"modulesContent": {
                    "$edgeAgent": {"properties.desired.modules.m": {}}, "m": {"properties.desired.a.b": 1, "properties.desired.c": 2},
                }}),
                Ok(("m:a.b,c", false)),
            ),
            (json!({"modulesContent": {"m": {}}}), Ok(("m:", false))),
            (json!({"modulesContent": {"m": 1}}), Err("`modulesContent.m` is not an object")),
            (
                json!({"modulesContent": {"m": {"tags.a": 1}}}),
                Err("the path `tags.a` of modulesContent.m does not begin"),
            ),
        ] {
            match (edge(content.clone()), expected) {
                (Ok((modules, is_base)), Ok(expected)) => {
                    assert_eq!((modules.as_str(), is_base), expected, "{content}")
                }
                (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{content}: {error}"),
                (found, _) => panic!("{content}: {found:?}"),
            }
        }
    }

    #[test]
    fn paths_overlap_where_one_leads_through_the_other() {
        let keys = |text: &str| text.split_terminator('.').map(str::to_owned).collect::<Vec<_>>();
        for (a, b, expected) in
            [("a", "a", true), ("a", "a.b", true), ("", "a", true), ("a.b", "a.c", false), ("a", "ab", false)]
        {
            assert_eq!(overlap(&keys(a), &keys(b)), expected, "{a} {b}");
            assert_eq!(overlap(&keys(b), &keys(a)), expected, "{b} {a}");
        }
    }
}
