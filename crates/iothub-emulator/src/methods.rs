//! Direct methods: a call from the service side, a device's answer, and the patience between (docs: Understand and invoke
//! direct methods).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::connections::{ClientLink, MethodResult};
use crate::core::command::Refusal;
use crate::core::requests::devices::GetDevice;
use crate::core::requests::twins::GetTwin;
use crate::handle::HubHandle;
use iothub_model::duration;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::methods::MethodBody;
use iothub_model::wire::topics::Subscription;

/// Bytes of a payload, either way.
const PAYLOAD_MAX_BYTES: usize = 128 * 1024;
/// Bytes of a method's name.
const NAME_MAX_BYTES: usize = 100;
/// How long a device may take, in seconds, when the call does not say.
const RESPONSE_TIMEOUT_DEFAULT: u64 = 30;
/// And when it does.
const RESPONSE_TIMEOUT: std::ops::RangeInclusive<u64> = 5..=300;

/// A call that may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodCall {
    name: String,
    payload: Bytes,
    /// How long to wait for the device to be there.
    connect: Duration,
    /// How long to wait for its answer, this included.
    respond: Duration,
}

impl MethodCall {
    /// Reads a call, or says what is wrong with it.
    pub(crate) fn read(body: MethodBody) -> Result<Self, Refusal> {
        let invalid = |text: String| Err(Refusal::new(ErrorCode::ArgumentInvalid, text));
        let MethodBody { method_name, payload, response_timeout_in_seconds, connect_timeout_in_seconds } = body;
        let name = method_name.unwrap_or_default();
        // It becomes a level of a topic.
        if name.is_empty()
            || name.len() > NAME_MAX_BYTES
            || name.contains(|c: char| "/+#?".contains(c) || c.is_control())
        {
            return invalid(format!(
                "methodName must have 1 to {NAME_MAX_BYTES} bytes and none of `/`, `+`, `#`, `?` and control characters"
            ));
        }
        let payload = match payload {
            None => Bytes::new(),
            Some(payload) => payload.as_str().to_owned().into(),
        };
        if payload.len() > PAYLOAD_MAX_BYTES {
            return invalid(format!("the payload has more than {PAYLOAD_MAX_BYTES} bytes"));
        }
        let respond = response_timeout_in_seconds.unwrap_or(RESPONSE_TIMEOUT_DEFAULT);
        if !RESPONSE_TIMEOUT.contains(&respond) {
            let (least, most) = (RESPONSE_TIMEOUT.start(), RESPONSE_TIMEOUT.end());
            return invalid(format!("responseTimeoutInSeconds must be from {least} to {most}"));
        }
        let connect = connect_timeout_in_seconds.unwrap_or(0);
        if connect > respond {
            return invalid("connectTimeoutInSeconds must not be greater than responseTimeoutInSeconds".to_owned());
        }
        Ok(Self { name, payload, connect: Duration::from_secs(connect), respond: Duration::from_secs(respond) })
    }
}

/// Calls a method of a device or a module, and waits for what it comes to: the device's status and payload.
///
/// `DeviceNotFound` or `ModuleNotFound`; `DeviceNotOnline` when the device is not there, or has no ear for methods; `GatewayTimeout` when it gives
/// no answer, whether or not it did anything.
pub(crate) async fn invoke(live: &HubHandle, id: &TwinId, call: MethodCall) -> Result<(i32, Bytes), Refusal> {
    registered(live, id).await?;
    let MethodCall { name, payload, connect, respond } = call;
    let begun = Instant::now();
    let Ok(link) = timeout_at(begun + connect, within_reach(live, id)).await else {
        let text = format!("the device {id} is not connected, or is not subscribed to direct methods");
        return Err(Refusal::new(ErrorCode::DeviceNotOnline, text));
    };
    let mut call = link.call(name, payload);
    match timeout_at(begun + respond, call.result()).await {
        Ok(Some(MethodResult { status, payload })) => Ok((status, payload)),
        Ok(None) => Err(Refusal::new(
            ErrorCode::GatewayTimeout,
            format!("the connection of the device {id} ended before it answered"),
        )),
        Err(_) => Err(Refusal::new(
            ErrorCode::GatewayTimeout,
            format!("the device {id} gave no answer within {}", duration::exact(respond)),
        )),
    }
}

/// Looks whether there is whom to call. The methods path tells a module that is missing from a device that is.
async fn registered(live: &HubHandle, id: &TwinId) -> Result<(), Refusal> {
    live.handle(GetDevice { id: id.device.clone() }).await?;
    match live.handle(GetTwin { id: id.clone() }).await {
        Err(Refusal { code: ErrorCode::DeviceNotFound, text }) if id.module.is_some() => {
            Err(Refusal::new(ErrorCode::ModuleNotFound, text))
        }
        other => other.map(|_| ()),
    }
}

/// Waits until a client is connected and subscribed to methods.
async fn within_reach(live: &HubHandle, id: &TwinId) -> Arc<ClientLink> {
    let mut arrivals = live.links().arrivals();
    loop {
        arrivals.mark_unchanged();
        if let Some(link) = live.links().find(id).filter(|link| link.is_subscribed(Subscription::Methods)) {
            return link;
        }
        if arrivals.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_that_may_be_made() {
        let read = |body: Value| MethodCall::read(serde_json::from_str(&body.to_string()).expect("a body"));
        let call = read(json!({"methodName": "reboot"})).expect("a call");
        assert_eq!((call.payload.len(), call.connect.as_secs(), call.respond.as_secs()), (0, 0, 30));
        let call = read(json!({
            "methodName": "a b.c", "payload": {"x": null}, "responseTimeoutInSeconds": 5, "connectTimeoutInSeconds": 5
        }));
        let call = call.expect("a call");
        assert_eq!(&*call.payload, b"{\"x\":null}");
        for (body, message) in [
            (json!({}), "methodName must have"),
            (json!({"methodName": ""}), "methodName must have"),
            (json!({"methodName": "a/b"}), "methodName must have"),
            (json!({"methodName": "a?$rid=1"}), "methodName must have"),
            (json!({"methodName": "m", "payload": "x".repeat(PAYLOAD_MAX_BYTES)}), "the payload has more than"),
            (json!({"methodName": "m", "responseTimeoutInSeconds": 4}), "responseTimeoutInSeconds must be"),
            (json!({"methodName": "m", "responseTimeoutInSeconds": 301}), "responseTimeoutInSeconds must be"),
            (
                json!({"methodName": "m", "responseTimeoutInSeconds": 10, "connectTimeoutInSeconds": 11}),
                "connectTimeoutInSeconds must not be greater",
            ),
        ] {
            let refusal = read(body).expect_err(message);
            assert_eq!(refusal.code, ErrorCode::ArgumentInvalid);
            assert!(refusal.text.starts_with(message), "{}", refusal.text);
        }
    }
}
