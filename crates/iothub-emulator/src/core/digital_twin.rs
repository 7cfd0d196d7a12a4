//! Digital twins: the device twin of an IoT Plug and Play device, seen by components and properties (docs: Understand IoT Plug
//! and Play digital twins; Manage IoT Plug and Play digital twins).
//!
//! Nothing here is stored: `view` makes a digital twin out of a device twin, and `DigitalTwinChange::patch` makes a patch of desired
//! properties out of a JSON Patch.

use indexmap::IndexMap;

use crate::core::command::Refusal;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::OrderedValue;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::members::with_names;

/// Marks an object in a device twin as a component.
const MARKER: &str = "__t";
const METADATA: &str = "$metadata";
/// Characters of a name in the Digital Twins Definition Language, at most.
const NAME_MAX_CHARS: usize = 64;
/// Levels of objects in a property's value, at most.
const VALUE_MAX_DEPTH: usize = 5;

/// Returns the digital twin of a device, from its device twin: members in the device twin's order, `$metadata` last.
pub(crate) fn view(twin: &OrderedObject) -> OrderedObject {
    let none = OrderedObject::new();
    let properties = object_in(Some(twin), "properties");
    let section = |name: &str| object_in(properties, name).unwrap_or(&none);
    let (desired, reported) = (section("desired"), section("reported"));
    let sides = Sides { desired, reported, version: desired.get("$version") };
    let (values, about) = sides.view(desired.get(METADATA), reported.get(METADATA));
    let model = twin.get("modelId").cloned().unwrap_or_else(|| "".into());
    let metadata: OrderedObject = [("$model".to_owned(), model)].into_iter().chain(about).collect();
    let id = twin.get("deviceId").cloned().unwrap_or(OrderedValue::Null);
    [("$dtId".to_owned(), id)].into_iter().chain(values).chain([(METADATA.to_owned(), metadata.into())]).collect()
}

fn object_in<'o>(object: Option<&'o OrderedObject>, name: &str) -> Option<&'o OrderedObject> {
    object?.get(name)?.as_object()
}

/// Both sides of a device twin, or of one component.
struct Sides<'a> {
    desired: &'a OrderedObject,
    reported: &'a OrderedObject,
    /// The version of the desired properties, for those whose metadata have none.
    version: Option<&'a OrderedValue>,
}

impl Sides<'_> {
    /// Returns the values and their metadata; a component's stand in the component.
    fn view(
        &self,
        desired_metadata: Option<&OrderedValue>,
        reported_metadata: Option<&OrderedValue>,
    ) -> (OrderedObject, OrderedObject) {
        let (mut values, mut metadata) = (OrderedObject::new(), OrderedObject::new());
        let only_desired = self.desired.iter().filter(|(name, _)| !self.reported.contains_key(name));
        for (name, _) in self.reported.iter().chain(only_desired) {
            if name.starts_with('$') || name == MARKER {
                continue;
            }
            let (desired, reported) = (self.desired.get(name), self.reported.get(name));
            let node = |metadata: Option<&'_ OrderedValue>| metadata?.as_object()?.get(name).cloned();
            let (desired_node, reported_node) = (node(desired_metadata), node(reported_metadata));
            if [desired, reported].into_iter().flatten().any(is_component) {
                let none = OrderedObject::new();
                let (desired, reported) = (object_in(Some(self.desired), name), object_in(Some(self.reported), name));
                let (desired, reported) = (desired.unwrap_or(&none), reported.unwrap_or(&none));
                let component = Sides { desired, reported, version: self.version };
                let (mut component, inner) = component.view(desired_node.as_ref(), reported_node.as_ref());
                component.insert(METADATA, inner);
                values.insert(name, component);
                continue;
            }
            let mut about = OrderedObject::new();
            if let Some(desired) = desired {
                let node = desired_node.as_ref().and_then(OrderedValue::as_object);
                about.insert("desiredValue", desired.clone());
                let version = node.and_then(|node| node.get("$lastUpdatedVersion")).or(self.version);
                about.insert("desiredVersion", version.cloned().unwrap_or(OrderedValue::Null));
            }
            if let Some(reported) = reported {
                let value = match acknowledged(reported) {
                    Some((value, acknowledgement)) => {
                        for (member, name) in [("av", "ackVersion"), ("ac", "ackCode"), ("ad", "ackDescription")] {
                            if let Some(value) = acknowledgement.get(member) {
                                about.insert(name, value.clone());
                            }
                        }
                        value
                    }
                    None => reported,
                };
                values.insert(name, value.clone());
                let node = reported_node.as_ref().and_then(OrderedValue::as_object);
                if let Some(time) = node.and_then(|node| node.get("$lastUpdated")) {
                    about.insert("lastUpdateTime", time.clone());
                }
            }
            metadata.insert(name, about);
        }
        (values, metadata)
    }
}

/// Returns the value in what a device reports of a writable property, and the whole of it.
fn acknowledged(reported: &OrderedValue) -> Option<(&OrderedValue, &OrderedObject)> {
    let object = reported.as_object().filter(|object| object.contains_key("ac"))?;
    Some((object.get("value")?, object))
}

fn is_component(value: &OrderedValue) -> bool {
    value.as_object().and_then(|object| object.get(MARKER)).and_then(OrderedValue::as_str) == Some("c")
}

/// Returns the component of these properties, as a device twin has it: the marker first, by which devices know it.
fn component_of(properties: OrderedObject) -> OrderedObject {
    let properties = properties.into_iter().filter(|(name, _)| name != METADATA && name != MARKER);
    [(MARKER.to_owned(), "c".into())].into_iter().chain(properties).collect()
}

/// One operation of a JSON Patch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DigitalTwinChange {
    path: Vec<String>,
    /// The value to set; none for one to remove.
    value: Option<OrderedValue>,
}

impl DigitalTwinChange {
    /// Reads a JSON Patch.
    ///
    /// # Errors
    ///
    /// When it is none, or has an operation, a path or a value that a digital twin does not take.
    pub(crate) fn read(patch: OrderedValue) -> Result<Vec<Self>, Refusal> {
        let bad = |text: String| Refusal::new(ErrorCode::InvalidDigitalTwinJsonPatch, text);
        let OrderedValue::Array(operations) = patch else {
            return Err(bad("the body is not an array of operations".to_owned()));
        };
        let mut changes = Vec::new();
        for operation in operations {
            let OrderedValue::Object(operation) = operation else {
                return Err(bad("an operation is not an object".to_owned()));
            };
            let operation = with_names(operation, &["op", "path", "value"]);
            let text = |name: &str| {
                let missing = || bad(format!("an operation has no `{name}`"));
                operation.get(name).and_then(OrderedValue::as_str).ok_or_else(missing)
            };
            let path = read_path(text("path")?)?;
            let value = match text("op")? {
                op if ["add", "replace"].iter().any(|name| name.eq_ignore_ascii_case(op)) => {
                    let value = operation.get("value").filter(|value| !value.is_null());
                    Some(value.ok_or_else(|| bad("an operation that sets has no `value`".to_owned()))?.clone())
                }
                op if op.eq_ignore_ascii_case("remove") => None,
                other => return Err(bad(format!("the operation `{}` is not served", other.escape_debug()))),
            };
            if let Some(value) = &value {
                let members = value.as_object().filter(|object| path.len() == 1 && object.contains_key(METADATA));
                match members {
                    Some(component) => check_component(component)?,
                    None => check_value(value, 0)?,
                }
            }
            changes.push(Self { path, value });
        }
        Ok(changes)
    }

    /// Returns the patch of the desired properties that makes all changes to a device twin.
    ///
    /// # Errors
    ///
    /// When a path leads into what is not a component.
    pub(crate) fn patch(changes: &[Self], twin: &OrderedObject) -> Result<OrderedObject, Refusal> {
        let no = |text: String| Err(Refusal::new(ErrorCode::ArgumentInvalid, text));
        let properties = object_in(Some(twin), "properties");
        let reported = object_in(properties, "reported");
        let before = object_in(properties, "desired").cloned().unwrap_or_default();
        let mut desired = before.clone();
        for Self { path, value } in changes {
            let name = &path[0];
            let there = [desired.get(name), reported.and_then(|reported| reported.get(name))];
            let is_there = there.iter().any(Option::is_some);
            let has_component = there.into_iter().flatten().any(is_component);
            match (path.get(1), value) {
                (Some(_), _) if is_there && !has_component => {
                    return no(format!(
                        "'{name}' exists within the device twin and is not digital twin conformant property"
                    ));
                }
                (Some(_), Some(_)) if !has_component => {
                    return no(format!(
                        "there is no component '{name}'; add it with an empty $metadata and its properties"
                    ));
                }
                (Some(property), Some(value)) => {
                    let component = desired.get_or_insert_with(name, || component_of(OrderedObject::new()).into());
                    // What is desired need not be a component because what is reported is one.
                    if !is_component(component) {
                        *component = component_of(OrderedObject::new()).into();
                    }
                    if let Some(component) = component.as_object_mut() {
                        component.insert(property.as_str(), value.clone());
                    }
                }
                (Some(property), None) => {
                    let Some(OrderedValue::Object(component)) = desired.get_mut(name) else { continue };
                    component.remove(property);
                    if component.iter().all(|(name, _)| name == MARKER) {
                        desired.remove(name);
                    }
                }
                (None, Some(OrderedValue::Object(component))) if component.contains_key(METADATA) => {
                    desired.insert(name.as_str(), component_of(component.clone()));
                }
                (None, Some(_)) if has_component => {
                    return no(format!("'{name}' is a component: its value needs an empty $metadata"));
                }
                (None, Some(value)) => {
                    desired.insert(name.as_str(), value.clone());
                }
                (None, None) => {
                    desired.remove(name);
                }
            }
        }
        Ok(difference(&before, &desired, changes).in_order_of(&Self::order(changes)))
    }

    /// Returns what the changes set, each at its place and in their order.
    fn order(changes: &[Self]) -> OrderedObject {
        let mut all = OrderedObject::new();
        for Self { path, value } in changes {
            match (path.get(1), value) {
                (None, Some(OrderedValue::Object(value))) if value.contains_key(METADATA) => {
                    all.insert(path[0].as_str(), component_of(value.clone()));
                }
                (None, value) => all.insert(path[0].as_str(), value.clone().unwrap_or(OrderedValue::Null)),
                (Some(property), value) => {
                    let component = all.get_or_insert_with(&path[0], || component_of(OrderedObject::new()).into());
                    if let Some(component) = component.as_object_mut() {
                        component.insert(property.as_str(), value.clone().unwrap_or(OrderedValue::Null));
                    }
                }
            }
        }
        all
    }
}

/// Returns the merge patch between two states of the desired properties, as far as changes name them. A value that is set to
/// what it was counts: the hub goes by the keys that are sent. Of a component whose properties are named one by one, the patch has
/// these and the marker, and nothing of the others.
fn difference(before: &OrderedObject, after: &OrderedObject, changes: &[DigitalTwinChange]) -> OrderedObject {
    // None where a change names the whole.
    let mut named: IndexMap<&str, Option<Vec<&str>>> = IndexMap::new();
    for DigitalTwinChange { path, .. } in changes {
        let properties = named.entry(path[0].as_str()).or_insert_with(|| Some(Vec::new()));
        match (path.get(1), &mut *properties) {
            (Some(property), Some(properties)) => properties.push(property),
            _ => *properties = None,
        }
    }
    let mut patch = OrderedObject::new();
    for (name, properties) in named {
        match (before.get(name), after.get(name), properties) {
            (None, None, _) => {}
            (Some(_), None, _) => patch.insert(name, OrderedValue::Null),
            (Some(old), Some(new), Some(properties)) if is_component(old) && is_component(new) => {
                let inner = difference_of_properties(old, new, &properties);
                if !inner.is_empty() {
                    patch.insert(
                        name,
                        [(MARKER.to_owned(), "c".into())].into_iter().chain(inner).collect::<OrderedObject>(),
                    );
                }
            }
            (old, Some(new), _) => patch.insert(name, replacement(old, new)),
        }
    }
    patch
}

/// Returns the merge patch between two states of a component, as far as its properties are named.
fn difference_of_properties(before: &OrderedValue, after: &OrderedValue, names: &[&str]) -> OrderedObject {
    let of = |component: &'_ OrderedValue, name: &str| component.as_object()?.get(name).cloned();
    let mut patch = OrderedObject::new();
    for name in names {
        match (of(before, name), of(after, name)) {
            (None, None) => {}
            (Some(_), None) => patch.insert(*name, OrderedValue::Null),
            (old, Some(new)) => patch.insert(*name, replacement(old.as_ref(), &new)),
        }
    }
    patch
}

/// Returns the merge patch that puts a value in the place of another: what it lacks is null.
fn replacement(old: Option<&OrderedValue>, new: &OrderedValue) -> OrderedValue {
    let (Some(OrderedValue::Object(old)), OrderedValue::Object(new)) = (old, new) else { return new.clone() };
    let kept = new.iter().map(|(key, value)| (key.to_owned(), replacement(old.get(key), value)));
    let gone = old.iter().filter(|(key, _)| !new.contains_key(key));
    let gone = gone.map(|(key, _)| (key.to_owned(), OrderedValue::Null));
    OrderedValue::Object(kept.chain(gone).collect())
}

/// Reads `/property`, `/component` or `/component/property`.
fn read_path(path: &str) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> =
        path.strip_prefix('/').into_iter().flat_map(|path| path.split('/')).map(str::to_owned).collect();
    if (1..=2).contains(&names.len()) && names.iter().all(|name| is_name(name)) {
        return Ok(names);
    }
    let text = format!("`{}` is not the path of a component or of a property", path.escape_debug());
    Err(Refusal::new(ErrorCode::InvalidDigitalTwinPatchPath, text))
}

fn check_component(component: &OrderedObject) -> Result<(), Refusal> {
    let no = |text: String| Err(Refusal::new(ErrorCode::InvalidDigitalTwinPatch, text));
    if !object_in(Some(component), METADATA).is_some_and(OrderedObject::is_empty) {
        return no("the $metadata of a component must be an empty object".to_owned());
    }
    for (name, value) in component.iter().filter(|(name, _)| *name != METADATA) {
        if !is_name(name) {
            return no(format!("`{}` is not the name of a property", name.escape_debug()));
        }
        check_value(value, 0)?;
    }
    Ok(())
}

fn check_value(value: &OrderedValue, depth: usize) -> Result<(), Refusal> {
    let no = |text: String| Err(Refusal::new(ErrorCode::InvalidDigitalTwinPatch, text));
    match value {
        OrderedValue::Null => no("the value of a property holds null".to_owned()),
        OrderedValue::Array(_) => no("the value of a property holds an array".to_owned()),
        OrderedValue::Object(_) if depth == VALUE_MAX_DEPTH => {
            no(format!("the value of a property has more than {VALUE_MAX_DEPTH} levels"))
        }
        OrderedValue::Object(members) => members.iter().try_for_each(|(name, value)| match is_name(name) {
            true => check_value(value, depth + 1),
            false => no(format!("`{}` is not a name in the value of a property", name.escape_debug())),
        }),
        OrderedValue::Bool(_) | OrderedValue::Number(_) | OrderedValue::Text(_) => Ok(()),
    }
}

/// Returns `true` if a text is a name of the Digital Twins Definition Language.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX_CHARS
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn twin() -> OrderedObject {
        let OrderedValue::Object(twin) = documented().into() else { panic!("an object") };
        twin
    }

    fn documented() -> Value {
        let node = |version: u64| json!({"$lastUpdated": "T", "$lastUpdatedVersion": version});
        json!({
            "deviceId": "sample-device", "modelId": "dtmi:com:example:TemperatureController;1",
            "properties": {
                "desired": {
                    "fanSpeed": 2.0,
                    "thermostat1": {"__t": "c", "targetTemperature": 21.8},
                    "$metadata": {
                        "$lastUpdated": "T", "fanSpeed": node(2),
                        "thermostat1": {"$lastUpdated": "T", "targetTemperature": node(4)},
                    },
                    "$version": 4
                },
                "reported": {
                    "serialNumber": "alwinexlepaho8329",
                    "fanSpeed": {"value": 3.0, "ac": 200, "av": 1, "ad": "done"},
                    "thermostat1": {
                        "__t": "c", "maxTempSinceLastReboot": 25.3,
                        "targetTemperature": {"value": 21.8, "ac": 200, "ad": "Successfully executed patch", "av": 4}
                    },
                    "$metadata": {
                        "$lastUpdated": "A", "serialNumber": {"$lastUpdated": "B"}, "fanSpeed": {"$lastUpdated": "C"},
                        "thermostat1": {
                            "$lastUpdated": "D", "maxTempSinceLastReboot": {"$lastUpdated": "E"},
                            "targetTemperature": {"$lastUpdated": "F", "value": {"$lastUpdated": "F"}}
                        }
                    },
                    "$version": 11
                }
            }
        })
    }

    #[test]
    fn a_digital_twin_of_the_documentation() {
        let expected = json!({
            "$dtId": "sample-device",
            "serialNumber": "alwinexlepaho8329",
            "fanSpeed": 3.0,
            "thermostat1": {
                "maxTempSinceLastReboot": 25.3,
                "targetTemperature": 21.8,
                "$metadata": {
                    "targetTemperature": {
                        "desiredValue": 21.8, "desiredVersion": 4, "ackVersion": 4, "ackCode": 200,
                        "ackDescription": "Successfully executed patch", "lastUpdateTime": "F"
                    },
                    "maxTempSinceLastReboot": {"lastUpdateTime": "E"}
                }
            },
            "$metadata": {
                "$model": "dtmi:com:example:TemperatureController;1",
                "serialNumber": {"lastUpdateTime": "B"},
                "fanSpeed": {
                    "desiredValue": 2.0, "desiredVersion": 2, "ackVersion": 1, "ackCode": 200, "ackDescription": "done",
                    "lastUpdateTime": "C"
                }
            }
        });
        assert_eq!(Value::from(&OrderedValue::from(view(&twin()))), expected);
    }

    #[test]
    fn patches_become_desired_properties() {
        let meta = json!({});
        let mut twin = documented();
        let desired = &mut twin["properties"]["desired"];
        desired["many"] = json!({"__t": "c", "a": 1, "o": {"x": {"y": 1}, "w": 2}});
        desired["plain"] = json!({"deep": {"a": 1}});
        let OrderedValue::Object(twin) = twin.into() else { panic!("an object") };
        for (patch, expected) in [
            (json!([]), Ok(json!({}))),
            (json!([{"op": "add", "path": "/fanSpeed", "value": 5}]), Ok(json!({"fanSpeed": 5}))),
            (json!([{"op": "replace", "path": "/fanSpeed", "value": 2.0}]), Ok(json!({"fanSpeed": 2.0}))),
            (json!([{"op": "add", "path": "/new", "value": {"a": {"b": 1}}}]), Ok(json!({"new": {"a": {"b": 1}}}))),
            (json!([{"op": "remove", "path": "/fanSpeed"}]), Ok(json!({"fanSpeed": null}))),
            (json!([{"op": "remove", "path": "/serialNumber"}]), Ok(json!({}))),
            (
                json!([{"op": "add", "path": "/thermostat1/targetTemperature", "value": 21.4}]),
                Ok(json!({"thermostat1": {"__t": "c", "targetTemperature": 21.4}})),
            ),
            (json!([{"op": "remove", "path": "/thermostat1/targetTemperature"}]), Ok(json!({"thermostat1": null}))),
            (
                json!([{"op": "add", "path": "/thermostat1", "value": {"other": 42, "$metadata": meta}}]),
                Ok(json!({"thermostat1": {"__t": "c", "other": 42, "targetTemperature": null}})),
            ),
            (
                json!([{"op": "add", "path": "/thermostat2", "value": {"other": 42, "$metadata": meta}}]),
                Ok(json!({"thermostat2": {"__t": "c", "other": 42}})),
            ),
            (json!([{"op": "remove", "path": "/thermostat2"}]), Ok(json!({}))),
            (json!([{"op": "add", "path": "/many/a", "value": 9}]), Ok(json!({"many": {"__t": "c", "a": 9}}))),
            (
                json!([{"op": "replace", "path": "/many/o", "value": {"x": {"z": 1}}}]),
                Ok(json!({"many": {"__t": "c", "o": {"x": {"y": null, "z": 1}, "w": null}}})),
            ),
            (
                json!([{"op": "remove", "path": "/many/a"}, {"op": "add", "path": "/many/n", "value": 1}]),
                Ok(json!({"many": {"__t": "c", "a": null, "n": 1}})),
            ),
            (json!([{"op": "remove", "path": "/many/none"}]), Ok(json!({}))),
            (
                json!([{"op": "remove", "path": "/many/a"}, {"op": "remove", "path": "/many/o"}]),
                Ok(json!({"many": null})),
            ),
            (
                json!([{"op": "add", "path": "/many", "value": {"b": 1, "$metadata": {}}}, {"op": "add", "path": "/many/c", "value": 2}]),
                Ok(json!({"many": {"__t": "c", "b": 1, "c": 2, "a": null, "o": null}})),
            ),
            (
                json!([{"op": "add", "path": "/plain", "value": {"deep": {"b": 1}}}]),
                Ok(json!({"plain": {"deep": {"a": null, "b": 1}}})),
            ),
            (json!({}), Err(ErrorCode::InvalidDigitalTwinJsonPatch)),
            (json!([{"op": "move", "path": "/a", "from": "/b"}]), Err(ErrorCode::InvalidDigitalTwinJsonPatch)),
            (json!([{"op": "add", "path": "/a"}]), Err(ErrorCode::InvalidDigitalTwinJsonPatch)),
            (json!([{"op": "add", "value": 1}]), Err(ErrorCode::InvalidDigitalTwinJsonPatch)),
            (json!([{"op": "remove", "path": "a"}]), Err(ErrorCode::InvalidDigitalTwinPatchPath)),
            (json!([{"op": "remove", "path": "/"}]), Err(ErrorCode::InvalidDigitalTwinPatchPath)),
            (json!([{"op": "remove", "path": "/a/b/c"}]), Err(ErrorCode::InvalidDigitalTwinPatchPath)),
            (json!([{"op": "remove", "path": "/$metadata"}]), Err(ErrorCode::InvalidDigitalTwinPatchPath)),
            (json!([{"op": "remove", "path": "/_a"}]), Err(ErrorCode::InvalidDigitalTwinPatchPath)),
            (json!([{"op": "add", "path": "/a", "value": [1]}]), Err(ErrorCode::InvalidDigitalTwinPatch)),
            (json!([{"op": "add", "path": "/a", "value": {"b c": 1}}]), Err(ErrorCode::InvalidDigitalTwinPatch)),
            (
                json!([{"op": "add", "path": "/a", "value": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}]),
                Err(ErrorCode::InvalidDigitalTwinPatch),
            ),
            (json!([{"op": "add", "path": "/a", "value": {"$metadata": 1}}]), Err(ErrorCode::InvalidDigitalTwinPatch)),
            (json!([{"op": "add", "path": "/thermostat1", "value": {"x": 1}}]), Err(ErrorCode::ArgumentInvalid)),
            (json!([{"op": "add", "path": "/nothing/x", "value": 1}]), Err(ErrorCode::ArgumentInvalid)),
            (json!([{"op": "add", "path": "/fanSpeed/x", "value": 1}]), Err(ErrorCode::ArgumentInvalid)),
        ] {
            let found = DigitalTwinChange::read(patch.clone().into())
                .and_then(|changes| DigitalTwinChange::patch(&changes, &twin));
            assert_eq!(
                found.map(|patch| Value::Object((&patch).into())).map_err(|refusal| refusal.code),
                expected,
                "{patch}"
            );
        }
    }

    #[test]
    fn a_property_of_a_component_takes_the_place_of_a_desired_value_that_is_none() {
        let reported = json!({"c": {"__t": "c", "p": 1}});
        for desired in [json!({"c": 5}), json!({"c": {"x": 1}}), json!({})] {
            let OrderedValue::Object(twin) = json!({"properties": {"desired": desired, "reported": reported}}).into()
            else {
                panic!("an object")
            };
            let changes =
                DigitalTwinChange::read(json!([{"op": "add", "path": "/c/p", "value": 2}]).into()).expect("a patch");
            let patch = DigitalTwinChange::patch(&changes, &twin).expect("a patch");
            let value = patch.get("c").and_then(OrderedValue::as_object).expect("a component");
            assert_eq!(value.get("p"), Some(&json!(2).into()), "{desired}");
            assert_eq!(value.get(MARKER), Some(&"c".into()), "{desired}");
        }
    }
}
