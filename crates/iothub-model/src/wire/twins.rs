//! Twins as JSON: what GET, PATCH and queries answer, and what PATCH takes.

use serde_json::{Value, json};

use super::encode_segment;
use super::members::with_names;
use crate::twin::{Desired, ETag, MergePatch, Object, OrderedObject, OrderedValue, Reported, Tags, Twin, TwinId};

/// Returns the path of a twin.
pub fn twin_path(id: &TwinId) -> String {
    let device = encode_segment(id.device.as_str());
    match &id.module {
        None => format!("/twins/{device}"),
        Some(module) => format!("/twins/{device}/modules/{}", encode_segment(module.as_str())),
    }
}

/// Why an answer is not a twin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a twin: {problem}")]
pub struct NotATwin {
    problem: String,
}

impl NotATwin {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }
}

/// Reads a twin from JSON. Members that are not known are kept in `rest`; a section that is absent is empty.
pub fn decode_twin(value: Value) -> Result<Twin, NotATwin> {
    let Value::Object(mut rest) = value else { return Err(NotATwin::new("it is not an object")) };
    let id = take_id(&mut rest)?;
    let etag = match rest.remove("etag") {
        Some(Value::String(etag)) if !etag.is_empty() => ETag::new(etag),
        _ => return Err(NotATwin::new(format!("the twin of {id} has no etag"))),
    };
    let tags = take_object(&mut rest, "tags", &id)?;
    let mut properties = take_object(&mut rest, "properties", &id)?;
    let mut desired = take_object(&mut properties, "desired", &id)?;
    let mut reported = take_object(&mut properties, "reported", &id)?;
    let desired_metadata = take_object(&mut desired, "$metadata", &id)?;
    let desired_version = desired.remove("$version").and_then(|version| version.as_u64()).unwrap_or(0);
    let kept: Object =
        ["$metadata", "$version"].iter().filter_map(|&key| Some((key.to_owned(), reported.remove(key)?))).collect();
    if !kept.is_empty() {
        // Queries may ask for it, so it stays where `encode_twin` finds it again.
        rest.insert(REPORTED_SYSTEM.to_owned(), kept.into());
    }
    Ok(Twin {
        id,
        etag,
        tags: Tags(tags),
        desired: Desired(desired),
        desired_version,
        desired_metadata,
        reported: Reported(reported),
        rest,
    })
}

/// Where [`Twin::rest`] keeps `$metadata` and `$version` of reported; no member of the service's has such a name.
const REPORTED_SYSTEM: &str = "$reported";

/// Writes a twin as the service answers it, so that queries can be asked of it.
pub fn encode_twin(twin: &Twin) -> Value {
    let mut document = twin.rest.clone();
    let mut reported = twin.reported.0.clone();
    if let Some(Value::Object(kept)) = document.remove(REPORTED_SYSTEM) {
        reported.extend(kept);
    }
    let mut desired = twin.desired.0.clone();
    if !twin.desired_metadata.is_empty() {
        desired.insert("$metadata".to_owned(), twin.desired_metadata.clone().into());
    }
    desired.insert("$version".to_owned(), twin.desired_version.into());
    document.insert("deviceId".to_owned(), twin.id.device.as_str().into());
    if let Some(module) = &twin.id.module {
        document.insert("moduleId".to_owned(), module.as_str().into());
    }
    document.insert("etag".to_owned(), twin.etag.as_str().into());
    if !twin.tags.0.is_empty() {
        document.insert("tags".to_owned(), twin.tags.0.clone().into());
    }
    document.insert("properties".to_owned(), json!({ "desired": desired, "reported": reported }));
    document.into()
}

fn take_id(twin: &mut Object) -> Result<TwinId, NotATwin> {
    let Some(Value::String(device)) = twin.remove("deviceId") else { return Err(NotATwin::new("it has no deviceId")) };
    let device = device.parse().map_err(|error| NotATwin::new(format!("{error}")))?;
    let module = match twin.remove("moduleId") {
        Some(Value::String(module)) => Some(module.parse().map_err(|error| NotATwin::new(format!("{error}")))?),
        Some(Value::Null) | None => None,
        Some(_) => return Err(NotATwin::new("its moduleId is not a string")),
    };
    Ok(TwinId { device, module })
}

fn take_object(parent: &mut Object, name: &str, id: &TwinId) -> Result<Object, NotATwin> {
    match parent.remove(name) {
        Some(Value::Object(object)) => Ok(object),
        Some(Value::Null) | None => Ok(Object::new()),
        Some(_) => Err(NotATwin::new(format!("`{name}` of the twin of {id} is not an object"))),
    }
}

/// Writes the body of a PATCH: only the sections that the patch has something to say about.
pub fn encode_patch(patch: &MergePatch) -> Value {
    let mut body = Object::new();
    if !patch.tags.is_empty() {
        body.insert("tags".to_owned(), patch.tags.clone().into());
    }
    if !patch.desired.is_empty() {
        body.insert("properties".to_owned(), json!({ "desired": patch.desired }));
    }
    body.into()
}

/// What a PATCH or PUT of a twin says, as the service reads it.
///
/// Everything else that a body may hold (SDKs send whole twins) is the service's own and is passed over, as are `$metadata` and `$version` of
/// a section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwinBody {
    /// The tags; `None` if the body does not name them.
    pub tags: Option<SectionBody>,
    /// The desired properties; `None` if the body does not name them.
    pub desired: Option<SectionBody>,
}

/// What a body says of a section that it names.
#[derive(Clone, Debug, PartialEq)]
pub enum SectionBody {
    /// `null`: the section becomes empty.
    Null,
    /// An object, nulls and all.
    Object(OrderedObject),
}

/// Why JSON is not the body of a write to a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be a JSON object")]
pub struct NotATwinBody {
    what: &'static str,
}

impl TwinBody {
    /// Reads the body of a PATCH or PUT.
    pub fn decode(body: impl Into<OrderedValue>) -> Result<Self, NotATwinBody> {
        let OrderedValue::Object(body) = body.into() else { return Err(NotATwinBody { what: "the body" }) };
        let mut body = with_names(body, &["tags", "properties"]);
        Self::of_sections(body.remove("tags"), body.remove("properties"))
    }

    fn of_sections(tags: Option<OrderedValue>, properties: Option<OrderedValue>) -> Result<Self, NotATwinBody> {
        let tags = section_of(tags, "`tags`")?;
        let desired = match section_of(properties, "`properties`")? {
            Some(SectionBody::Object(properties)) => {
                section_of(with_names(properties, &["desired"]).remove("desired"), "`properties.desired`")?
            }
            Some(SectionBody::Null) | None => None,
        };
        Ok(Self { tags: tags.map(without_system), desired: desired.map(without_system) })
    }

    /// Reads the twin of an entry in a bulk request or an import, where a section of null is one that the entry does not name: clients that
    /// write all members of an entry write so those that they did not set.
    pub fn decode_entry(tags: Option<OrderedValue>, properties: Option<OrderedValue>) -> Result<Self, NotATwinBody> {
        let Self { tags, desired } = Self::of_sections(tags, properties)?;
        let there = |section: &SectionBody| *section != SectionBody::Null;
        Ok(Self { tags: tags.filter(there), desired: desired.filter(there) })
    }
}

fn section_of(value: Option<OrderedValue>, what: &'static str) -> Result<Option<SectionBody>, NotATwinBody> {
    match value {
        Some(OrderedValue::Object(object)) => Ok(Some(SectionBody::Object(object))),
        Some(OrderedValue::Null) => Ok(Some(SectionBody::Null)),
        None => Ok(None),
        Some(_) => Err(NotATwinBody { what }),
    }
}

fn without_system(section: SectionBody) -> SectionBody {
    match section {
        SectionBody::Object(mut object) => {
            object.retain(|key, _| key != "$metadata" && key != "$version");
            SectionBody::Object(object)
        }
        SectionBody::Null => SectionBody::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_there_and_back() {
        let sent = json!({
            "deviceId": "thermostat-001", "etag": "AAAAAAAAAAI=", "deviceEtag": "ODAx", "version": 3, "status": "enabled",
            "connectionState": "Disconnected", "future": [1],
            "tags": {"location": {"plant": "Redmond43"}},
            "properties": {
                "desired": {"power": 1, "$version": 2, "$metadata": {"$lastUpdated": "2026-01-01T00:00:00Z"}},
                "reported": {"connectivity": "cellular", "$version": 5, "$metadata": {"$lastUpdated": "2026-01-01T00:00:00Z"}}
            }
        });
        let twin = decode_twin(sent.clone()).expect("a twin");
        assert_eq!(Value::Object(twin.tags.0.clone()), json!({"location": {"plant": "Redmond43"}}));
        assert_eq!(Value::Object(twin.desired.0.clone()), json!({"power": 1}));
        assert_eq!(Value::Object(twin.reported.0.clone()), json!({"connectivity": "cellular"}));
        assert_eq!((twin.etag.as_str(), twin.desired_version), ("AAAAAAAAAAI=", 2));
        assert_eq!(encode_twin(&twin), sent);
    }

    #[test]
    fn what_is_no_twin() {
        for (answer, message) in [
            (json!([]), "the answer is not a twin: it is not an object"),
            (json!({}), "the answer is not a twin: it has no deviceId"),
            (json!({"deviceId": "a"}), "the answer is not a twin: the twin of a has no etag"),
            (
                json!({"deviceId": "a", "etag": "x", "tags": 1}),
                "the answer is not a twin: `tags` of the twin of a is not an object",
            ),
        ] {
            assert_eq!(decode_twin(answer).expect_err("no twin").to_string(), message);
        }
    }

    #[test]
    fn patches_name_only_what_they_touch() {
        let mut patch = MergePatch::default();
        patch.set(&"desired.a".parse().expect("a path"), Value::Null);
        assert_eq!(encode_patch(&patch), json!({"properties": {"desired": {"a": null}}}));
        patch.set(&"tags.b".parse().expect("a path"), json!(1));
        assert_eq!(encode_patch(&patch), json!({"tags": {"b": 1}, "properties": {"desired": {"a": null}}}));
    }

    #[test]
    fn bodies_of_writes() {
        let named = |value: Value| match OrderedValue::from(value) {
            OrderedValue::Object(object) => Some(SectionBody::Object(object)),
            _ => Some(SectionBody::Null),
        };
        for (body, tags, desired) in [
            (json!({}), None, None),
            (json!({"tags": null, "properties": {"desired": null}}), named(json!(null)), named(json!(null))),
            (json!({"properties": null}), None, None),
            (json!({"tags": {}, "properties": {}}), named(json!({})), None),
            (
                json!({"Tags": {"T": 1}, "PROPERTIES": {"Desired": {"A": 1}}}),
                named(json!({"T": 1})),
                named(json!({"A": 1})),
            ),
            (json!({"properties": {"desired": {"a": null}, "reported": {"r": 1}}}), None, named(json!({"a": null}))),
            (
                json!({
                    "deviceId": "other", "etag": "x", "version": null, "status": "disabled", "tags": {"t": 1},
                    "properties": {"desired": {"$metadata": {}, "$version": 7, "a": {"b": 1}}}
                }),
                named(json!({"t": 1})),
                named(json!({"a": {"b": 1}})),
            ),
        ] {
            assert_eq!(TwinBody::decode(body.clone()), Ok(TwinBody { tags, desired }), "{body}");
        }
        for (body, message) in [
            (json!([]), "the body must be a JSON object"),
            (json!({"tags": 1}), "`tags` must be a JSON object"),
            (json!({"properties": []}), "`properties` must be a JSON object"),
            (json!({"properties": {"desired": "x"}}), "`properties.desired` must be a JSON object"),
        ] {
            assert_eq!(TwinBody::decode(body).expect_err(message).to_string(), message);
        }
    }

    #[test]
    fn entries_name_no_section_with_null() {
        let entry = |tags: Value, properties: Value| {
            TwinBody::decode_entry(Some(tags.into()), Some(properties.into())).expect("an entry")
        };
        assert_eq!(entry(json!(null), json!({"desired": null})), TwinBody::default());
        assert_eq!(entry(json!({}), json!(null)).tags, Some(SectionBody::Object(OrderedObject::new())));
        assert_eq!(TwinBody::decode_entry(None, None), Ok(TwinBody::default()));
    }

    #[test]
    fn paths_escape_ids() {
        for (id, path) in [("a#b", "/twins/a%23b"), ("gw/mod:1", "/twins/gw/modules/mod%3A1")] {
            assert_eq!(twin_path(&id.parse().expect(id)), path);
        }
    }
}
