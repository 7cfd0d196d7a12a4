//! What a configuration can say: its id, its content, whom it targets, what it measures.

use indexmap::IndexMap;

use crate::core::command::Refusal;
use iothub_model::query;
use iothub_model::query::BoundQuery;
use iothub_model::query::Collection;
use iothub_model::query::Expr;
use iothub_model::query::ExprKind;
use iothub_model::query::Path;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::OrderedValue;
use iothub_model::twin::limits::check_values;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::configurations::CONTENT_NAMES;
use iothub_model::wire::configurations::ContentKind;
use iothub_model::wire::configurations::ContentPath;
use iothub_model::wire::configurations::MODULES_PREFIX;
use iothub_model::wire::configurations::TestQueriesBody;
use iothub_model::wire::configurations::TestQueriesResult;
use iothub_model::wire::configurations::decode_content;

/// Characters of a configuration's id, at most.
const ID_MAX_CHARS: usize = 128;
/// What an id may hold beside small letters and digits.
const ID_PUNCTUATION: &str = "-+%_*!'";

/// Looks at a configuration's id.
pub(crate) fn id(id: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ID_PUNCTUATION.contains(c);
    if (1..=ID_MAX_CHARS).contains(&id.len()) && id.chars().all(allowed) {
        return Ok(());
    }
    let text = format!(
        "`{}` is not a configuration's id, which has 1 to {ID_MAX_CHARS} small letters, digits and {ID_PUNCTUATION}",
        id.escape_debug()
    );
    Err(Refusal::new(ErrorCode::ArgumentInvalid, text))
}

/// Whom a configuration is for.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// An empty condition.
    Nobody,
    /// `*`.
    All,
    /// Those for which this holds.
    Those(Box<BoundQuery>),
}

/// A configuration's content and condition, read.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) kind: ContentKind,
    pub(crate) paths: Vec<WrittenPath>,
    pub(crate) target: Target,
}

impl Checked {
    pub(crate) fn of(content: &OrderedObject, target_condition: &str) -> Result<Self, Refusal> {
        let bad_content = |problem: String| Refusal::new(ErrorCode::InvalidConfigurationContent, problem);
        let (kind, paths) = decode_content(&content.into()).map_err(|error| bad_content(error.to_string()))?;
        for path in &paths {
            // The value where it will stand, so that keys and depth are looked at as well.
            let whole = path.object();
            if let Some(place) = null_in(path) {
                return Err(bad_content(format!("null at {place}")));
            }
            if let Some(violation) = check_values(&whole).first() {
                let keys = violation.keys.join(".").escape_debug().to_string();
                return Err(bad_content(format!("properties.desired.{keys}: {}", violation.rule)));
            }
        }
        let written =
            CONTENT_NAMES.iter().filter_map(|name| content.get(name)?.as_object()).flat_map(OrderedObject::iter);
        let paths = as_written(paths, written);
        let bad_target = |problem: String| Refusal::new(ErrorCode::InvalidConfigurationTargetCondition, problem);
        let target = match target_condition.trim() {
            "" => Target::Nobody,
            "*" => Target::All,
            condition => {
                let (collection, query) = condition_of(condition).map_err(bad_target)?;
                match (kind, collection) {
                    (ContentKind::Modules, Collection::Modules)
                    | (ContentKind::Devices | ContentKind::Edge, Collection::Devices) => {}
                    (ContentKind::Modules, _) => {
                        return Err(bad_target(format!("the condition of moduleContent begins with {MODULES_PREFIX}")));
                    }
                    (ContentKind::Devices | ContentKind::Edge, _) => {
                        return Err(bad_target(
                            "the condition asks for modules, and the content is for devices".to_owned(),
                        ));
                    }
                }
                Target::Those(Box::new(query))
            }
        };
        Ok(Self { kind, paths, target })
    }

    /// Returns what its twins are.
    pub(crate) fn collection(&self) -> Collection {
        match self.kind {
            ContentKind::Modules => Collection::Modules,
            ContentKind::Devices | ContentKind::Edge => Collection::Devices,
        }
    }

    /// Returns the queries of the metrics that every configuration has, as records of the service have them: that of an
    /// empty condition is empty, and an edge device has applied a deployment when its agent has.
    pub(crate) fn system_queries(&self, id: &str, target_condition: &str) -> IndexMap<String, String> {
        let (columns, source) = match self.collection() {
            Collection::Modules => ("deviceId, moduleId", "devices.modules"),
            _ => ("deviceId", "devices"),
        };
        let mut conditions = Vec::new();
        if self.kind == ContentKind::Edge {
            conditions.push("capabilities.iotEdge = true");
        }
        if matches!(self.target, Target::Those(_)) {
            let condition = target_condition.trim();
            conditions.push(strip_prefix(condition).unwrap_or(condition));
        }
        let targeted = match (&self.target, conditions.as_slice()) {
            (Target::Nobody, _) => String::new(),
            (_, []) => format!("select {columns} from {source}"),
            (_, [condition]) => format!("select {columns} from {source} where {condition}"),
            (_, [edge, condition, ..]) if has_alternatives(condition) => {
                format!("select {columns} from {source} where {edge} and ({condition})")
            }
            (_, [edge, condition, ..]) => format!("select {columns} from {source} where {edge} and {condition}"),
        };
        let is_applied = format!("configurations.[[{id}]].status = 'Applied'");
        let mut queries = IndexMap::from([("targetedCount".to_owned(), targeted)]);
        if self.kind == ContentKind::Edge {
            let applied =
                format!("select deviceId from devices.modules where moduleId = '$edgeAgent' and {is_applied}");
            let reported = |comparison: &str| {
                format!(
                    "{applied} and properties.desired.$version = properties.reported.lastDesiredVersion \
                     and properties.reported.lastDesiredStatus.code {comparison} 200"
                )
            };
            let [successful, failed] = ["=", "!="].map(reported);
            queries.insert("appliedCount".to_owned(), applied);
            queries.insert("reportedSuccessfulCount".to_owned(), successful);
            queries.insert("reportedFailedCount".to_owned(), failed);
        } else {
            queries.insert("appliedCount".to_owned(), format!("select {columns} from {source} where {is_applied}"));
        }
        queries
    }
}

/// Returns `true` if a condition on devices is an `or`, which must not follow an `and` without parentheses.
fn has_alternatives(condition: &str) -> bool {
    let parsed = query::parse_condition(condition, Collection::Devices).ok().and_then(|query| query.condition);
    parsed.is_some_and(|expression| matches!(expression.kind, ExprKind::Or(_)))
}

/// One path of a configuration's content.
#[derive(Clone, Debug)]
pub(crate) struct WrittenPath {
    pub(crate) path: ContentPath,
    /// The desired properties with nothing but the value at its place, whose members are in the order in which they were written.
    pub(crate) order: OrderedObject,
}

/// Puts the paths of a content into the order in which it has them.
pub(crate) fn as_written<'c>(
    paths: Vec<ContentPath>,
    content: impl Iterator<Item = (&'c str, &'c OrderedValue)>,
) -> Vec<WrittenPath> {
    let mut places: Vec<(String, OrderedValue)> =
        content.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let mut found: Vec<(usize, WrittenPath)> = Vec::new();
    for path in paths {
        let name = ["properties", "desired"]
            .into_iter()
            .chain(path.keys.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(".");
        let place = places.iter().position(|(other, _)| *other == name).unwrap_or(usize::MAX);
        let value =
            places.get_mut(place).map_or(OrderedValue::Null, |(_, value)| std::mem::replace(value, OrderedValue::Null));
        let value =
            path.keys.iter().rev().fold(value, |value, key| OrderedObject::from_iter([(key.clone(), value)]).into());
        let order = match value {
            OrderedValue::Object(order) => order,
            _ => OrderedObject::new(),
        };
        found.push((place, WrittenPath { path, order }));
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, path)| path).collect()
}

/// Compiles a target condition other than `*`, and says what it is asked of.
fn condition_of(text: &str) -> Result<(Collection, BoundQuery), String> {
    let (collection, condition) = match strip_prefix(text) {
        Some(condition) => (Collection::Modules, condition),
        None => (Collection::Devices, text),
    };
    let first = |errors: Vec<query::QueryError>| {
        errors.first().map_or_else(|| "it is no condition".to_owned(), ToString::to_string)
    };
    let parsed = query::parse_condition(condition, collection).map_err(first)?;
    let bound = query::compile_condition(condition, collection).map_err(first)?;
    let mut other = None;
    if let Some(expression) = &parsed.condition {
        find_paths(expression, &mut |path| {
            if !may_target(path, collection) {
                let names: Vec<_> = path.segments.iter().map(|name| name.text.as_str()).collect();
                other.get_or_insert_with(|| names.join("."));
            }
        });
    }
    match other {
        None => Ok((collection, bound)),
        Some(path) => Err(format!("`{path}` cannot be targeted; deviceId, tags and properties.reported can")),
    }
}

/// Cuts off what makes a condition one of modules, in whatever case and with whatever white space.
fn strip_prefix(text: &str) -> Option<&str> {
    let mut rest = text.trim_start();
    for word in MODULES_PREFIX.split(' ') {
        let head = rest.get(..word.len())?;
        if !head.eq_ignore_ascii_case(word) {
            return None;
        }
        let tail = &rest[word.len()..];
        rest = tail.trim_start();
        if rest.len() == tail.len() {
            return None;
        }
    }
    Some(rest)
}

fn may_target(path: &Path, collection: Collection) -> bool {
    let names = path.below_document(collection);
    let is = |at: usize, name: &str| names.get(at).is_some_and(|found| found.text.eq_ignore_ascii_case(name));
    let id = is(0, "deviceId") || is(0, "id") || (collection == Collection::Modules && is(0, "moduleId"));
    (id && names.len() == 1) || is(0, "tags") || (is(0, "properties") && is(1, "reported"))
}

fn find_paths(expression: &Expr, found: &mut impl FnMut(&Path)) {
    match &expression.kind {
        ExprKind::Literal(_) | ExprKind::Array(_) => {}
        ExprKind::Path(path) => found(path),
        ExprKind::Sign(_, operand) | ExprKind::Not(operand) | ExprKind::In(operand, ..) => find_paths(operand, found),
        ExprKind::Compare(left, _, right) => {
            find_paths(left, found);
            find_paths(right, found);
        }
        ExprKind::Arithmetic(first, rest) => {
            find_paths(first, found);
            rest.iter().for_each(|(_, operand)| find_paths(operand, found));
        }
        ExprKind::Call(_, operands) | ExprKind::And(operands) | ExprKind::Or(operands) => {
            operands.iter().for_each(|operand| find_paths(operand, found));
        }
    }
}

/// Returns the path of the first null in what a content writes, such as `properties.desired.a.b`; `None` if it has none.
pub(crate) fn null_in(path: &ContentPath) -> Option<String> {
    fn keys_to_null(value: &serde_json::Value) -> Option<Vec<&str>> {
        match value {
            serde_json::Value::Null => Some(Vec::new()),
            serde_json::Value::Array(items) => items.iter().find_map(keys_to_null),
            serde_json::Value::Object(object) => {
                object.iter().find_map(|(key, value)| Some([vec![key.as_str()], keys_to_null(value)?].concat()))
            }
            _ => None,
        }
    }
    let below = keys_to_null(&path.value)?;
    let keys = path.keys.iter().map(String::as_str).chain(below);
    let place: String = ["properties.desired"].into_iter().chain(keys).collect::<Vec<_>>().join(".");
    Some(place.escape_debug().to_string())
}

/// Compiles a custom metric's query, or says what is wrong with it.
pub(crate) fn metric(text: &str) -> Result<BoundQuery, String> {
    // A metric may leave out what it asks: `select *` counts devices (live tests of az take it).
    let with_source = || query::compile(&format!("{text} FROM devices")).ok().filter(|_| !names_a_source(text));
    let query = match query::compile(text) {
        Ok(query) => query,
        Err(errors) => with_source()
            .ok_or_else(|| errors.first().map_or_else(|| "it is no query".to_owned(), ToString::to_string))?,
    };
    if query.collection() == Collection::Jobs {
        return Err("a metric counts devices or modules, and not jobs".to_owned());
    }
    if query.is_aggregate() {
        return Err("a metric is the number of its query's rows, so an aggregate would always count 1".to_owned());
    }
    Ok(query)
}

/// Returns `true` if a text has the word `FROM`, be it in its place or not.
fn names_a_source(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("from"))
}

/// Answers `POST /configurations/testQueries`: what is wrong with a condition, and with which metrics.
pub(crate) fn test_queries(body: &TestQueriesBody) -> TestQueriesResult {
    // `*` is refused here, although a configuration may have it.
    let condition = body.target_condition.as_deref().map(str::trim).filter(|condition| !condition.is_empty());
    let metrics = body.custom_metric_queries.iter().flatten();
    let metrics = metrics.filter_map(|(name, query)| Some((name.clone(), metric(query).err()?)));
    TestQueriesResult {
        target_condition_error: condition.and_then(|condition| condition_of(condition).err()),
        custom_metric_query_errors: metrics.collect(),
    }
}
