//! The patch that a connected client is told, held against what the metadata of the written twin shows.

use proptest::prelude::*;
use serde_json::json;

use crate::core::ask::Outcome;
use crate::core::command::{Entropy, Notice, TwinWrite};
use crate::core::requests::devices::PutDevice;
use crate::core::requests::sessions::{Connect, Disconnect};
use crate::core::requests::twins::{GetTwin, TwinReply, WriteTwin};
use crate::core::session::Proof;
use crate::core::state::Hub;
use crate::tests::NOW;
use iothub_model::twin::{IfMatch, OrderedObject, OrderedValue, TwinId};
use iothub_model::wire::twins::{SectionBody, TwinBody};

fn id() -> TwinId {
    "d".parse().expect("an id")
}

/// A hub with one device, whose client is connected.
fn hub() -> Hub {
    let mut hub = Hub::default();
    let body = Box::new(serde_json::from_value(json!({})).expect("a body"));
    let put = PutDevice { id: id().device, body, if_match: IfMatch::Absent, entropy: Entropy([7; 80]) };
    hub.handle(put, NOW).reply.expect("a new device");
    let connect = Connect { id: id(), connection: 1, proof: Proof::Policy, clean: true, model: None };
    hub.handle(connect, NOW).reply.expect("admitted");
    hub
}

fn write(hub: &mut Hub, how: TwinWrite, desired: SectionBody) -> Outcome<TwinReply> {
    let body = TwinBody { tags: None, desired: Some(desired) };
    hub.handle(WriteTwin { id: id(), how, body, if_match: IfMatch::Absent }, NOW)
}

fn desired(hub: &mut Hub) -> OrderedObject {
    let reply = hub.handle(GetTwin { id: id() }, NOW).reply.expect("a device");
    let mut twin: OrderedObject = serde_json::from_str(reply.document().as_str()).expect("JSON");
    let properties = twin.get_mut("properties").and_then(OrderedValue::as_object_mut).expect("properties");
    let Some(OrderedValue::Object(desired)) = properties.remove("desired") else { panic!("desired properties") };
    desired
}

/// Returns what was written since `before`: the keys that the metadata has at the new version, and null for what is gone.
fn stamped(before: &OrderedObject, after: &OrderedObject, metadata: &OrderedObject, version: u64) -> OrderedObject {
    let gone = before.iter().filter(|(key, _)| !after.contains_key(key));
    let mut patch: OrderedObject = gone.map(|(key, _)| (key.to_owned(), OrderedValue::Null)).collect();
    for (key, value) in after.iter() {
        let Some(OrderedValue::Object(metadata)) = metadata.get(key) else { continue };
        if metadata.get("$lastUpdatedVersion").and_then(OrderedValue::as_u64) != Some(version) {
            continue;
        }
        match (value, before.get(key)) {
            (OrderedValue::Object(after), Some(OrderedValue::Object(before))) => {
                let inner = stamped(before, after, metadata, version);
                if !inner.is_empty() {
                    patch.insert(key, inner);
                }
            }
            (value, _) => patch.insert(key, value.clone()),
        }
    }
    patch
}

fn object() -> impl Strategy<Value = OrderedObject> {
    let leaf = prop_oneof![
        2 => Just(OrderedValue::Null),
        2 => (0..3u32).prop_map(|number| OrderedValue::Number(number.into())),
        1 => Just(OrderedValue::Array(vec![OrderedValue::Number(1.into())])),
        1 => Just(OrderedValue::Object(OrderedObject::new())),
    ];
    let members = |value| {
        prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), value), 0..4)
            .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let value = leaf.prop_recursive(3, 12, 4, move |inner| members(inner.boxed()).prop_map(OrderedValue::Object));
    members(value.boxed())
}

proptest! {
    #[test]
    fn what_is_told_is_what_the_metadata_shows(
        writes in prop::collection::vec((any::<bool>(), prop::option::weighted(0.9, object())), 1..8),
    ) {
        let mut hub = hub();
        for (replaces, body) in writes {
            let how = if replaces { TwinWrite::Replace } else { TwinWrite::Merge };
            let section = body.clone().map_or(SectionBody::Null, SectionBody::Object);
            let mut before = desired(&mut hub);
            let outcome = write(&mut hub, how, section);
            if outcome.reply.is_err() {
                prop_assert!(outcome.notices.is_empty());
                continue;
            }
            let mut after = desired(&mut hub);
            let version = after.get("$version").and_then(OrderedValue::as_u64).expect("a version");
            let Some(OrderedValue::Object(metadata)) = after.remove("$metadata") else { panic!("metadata") };
            for section in [&mut before, &mut after] {
                section.retain(|key, _| !key.starts_with('$'));
            }
            let mut expected = stamped(&before, &after, &metadata, version);
            let told = match outcome.notices.as_slice() {
                [] => None,
                [Notice::DesiredPatch { patch, .. }] => Some(patch.to_text()),
                other => panic!("{other:?}"),
            };
            if expected.is_empty() {
                prop_assert_eq!(told, None);
                continue;
            }
            // In the order of the write, with what is gone after it.
            expected = expected.in_order_of(&body.unwrap_or_default());
            expected.insert("$version", version);
            prop_assert_eq!(told, Some(expected.to_string()));
        }
    }
}

#[test]
fn a_write_to_tags_alone_and_one_to_nobody_tell_nothing() {
    let mut hub = hub();
    let tags = TwinBody { tags: Some(SectionBody::Null), desired: None };
    let write_tags = WriteTwin { id: id(), how: TwinWrite::Merge, body: tags, if_match: IfMatch::Absent };
    assert!(hub.handle(write_tags, NOW).notices.is_empty());
    let members = || SectionBody::Object([("a".to_owned(), OrderedValue::Null)].into_iter().collect());
    assert!(write(&mut hub, TwinWrite::Merge, members()).notices.is_empty(), "it removes what is not there");
    let disconnect = Disconnect { id: id(), connection: 1 };
    hub.handle(disconnect, NOW).reply.expect("its own");
    let members = SectionBody::Object([("a".to_owned(), OrderedValue::Bool(true))].into_iter().collect());
    assert!(write(&mut hub, TwinWrite::Merge, members).notices.is_empty());
}
