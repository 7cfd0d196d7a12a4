//! One connection from CONNECT to its end: packets in, steps of the session out, and the timers that hold it together.

use std::time::{Duration, UNIX_EPOCH};

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Packet, PubAck, Publish, Subscribe, SubscribeFilter, SubscribeReasonCode,
};
use tokio::time::{Instant, sleep_until};

use super::event::{Event, Watcher};
use super::options::{Device, DeviceOptions};
use super::session::{Session, SessionStep, payload_of};
use super::transport::{self, Link};
use super::{DeviceError, pause};
use iothub_model::wire::messages::MessageProperties;
use iothub_model::wire::sas;
use iothub_model::wire::topics::{FromHub, Subscription};

/// How the hub is told that we live, in seconds, and how long it may be quiet.
const KEEP_ALIVE: u16 = 60;
/// How often it is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(30);
/// The version that newer SDKs name in CONNECT.
const API_VERSION: &str = "2021-04-12";
/// What is subscribed to, as SDKs do: the hub sends messages at QoS 1 to whoever asks for that, and the rest at QoS 0.
const SUBSCRIPTIONS: [(Subscription, QoS); 4] = [
    (Subscription::TwinResponses, QoS::AtMostOnce),
    (Subscription::DesiredPatches, QoS::AtMostOnce),
    (Subscription::Methods, QoS::AtMostOnce),
    (Subscription::CloudToDevice, QoS::AtLeastOnce),
];

/// How a connection ended that was not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Somebody wants the device to stop.
    Stopped,
    /// All is done, and nothing more is wanted.
    Settled,
    /// The token is about to end.
    Stale,
}

/// Connects as the device and is let in.
pub(super) async fn establish(device: &Device, options: &DeviceOptions) -> Result<Link, DeviceError> {
    let connecting = async {
        let mut link = transport::dial(&options.endpoint).await?;
        link.write([Packet::Connect(login(device, options))]).await?;
        match link.read().await {
            Ok(Packet::ConnAck(answer)) => admitted(answer.code, device, options).map(|()| link),
            Ok(_) | Err(DeviceError::Closed) => {
                Err(DeviceError::Unanswered { host: options.host.name().to_owned(), port: options.endpoint.port })
            }
            Err(error) => Err(error),
        }
    };
    tokio::time::timeout(options.connect_timeout, connecting).await.unwrap_or(Err(DeviceError::Silent))
}

fn admitted(code: ConnectReturnCode, device: &Device, options: &DeviceOptions) -> Result<(), DeviceError> {
    let refused = |reason| Err(DeviceError::Refused { reason });
    match code {
        ConnectReturnCode::Success => Ok(()),
        ConnectReturnCode::RefusedProtocolVersion => refused("it does not speak MQTT 3.1.1"),
        ConnectReturnCode::BadClientId => refused("the client id is not valid"),
        ConnectReturnCode::ServiceUnavailable => Err(DeviceError::Unavailable),
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            let at = &options.endpoint;
            let host = format!("{}:{}", at.host.name(), at.port);
            Err(DeviceError::NotAuthorized { host, device: device.id.to_string() })
        }
    }
}

/// Writes the CONNECT as SDKs do: the session lasts, the token is good for some time (docs: Communicate with an IoT hub by
/// using the MQTT protocol).
fn login(device: &Device, options: &DeviceOptions) -> Connect {
    let client_id = device.id.to_string();
    let host = options.host.as_str();
    let resource = match &device.id.module {
        None => format!("{host}/devices/{}", device.id.device),
        Some(module) => format!("{host}/devices/{}/modules/{module}", device.id.device),
    };
    // A clock before 1970 is refused by the hub, which says so better than we could.
    let now = (options.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Rounded up: it must not end before the connection is renewed.
    let expiry = (now + options.token_life).as_secs() + 1;
    let token = sas::sign(&resource, &device.key, expiry, device.policy.as_deref());
    let version = env!("CARGO_PKG_VERSION");
    let user_name = format!("{host}/{client_id}/?api-version={API_VERSION}&DeviceClientType=twinctl%2F{version}");
    let mut connect = Connect::new(client_id);
    connect.clean_session = false;
    connect.keep_alive = KEEP_ALIVE;
    connect.set_login(user_name, token.expose());
    connect
}

/// Talks until something ends it. `begun` is when the token was made.
pub(super) async fn converse(
    link: &mut Link,
    device: &Device,
    session: &mut Session,
    options: &DeviceOptions,
    watcher: &Watcher,
    begun: Instant,
) -> Result<End, DeviceError> {
    // Each renews at a time of its own, so that a thousand that began together do not come back together.
    let stale = begun + options.token_life.mul_f64(0.75 + 0.15 * pause::random());
    let mut ping = tokio::time::interval_at(begun + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    // The answer to SUBSCRIBE first, then those that the session waits for.
    let (mut is_subscribed, mut asked) = (false, None);
    let mut due = Some(Instant::now() + options.answer_timeout);
    let mut again: Option<Instant> = None;
    let mut failures = 0;

    // A module has no messages of its own.
    let filters =
        SUBSCRIPTIONS.iter().filter_map(|(kind, qos)| Some(SubscribeFilter::new(kind.filter(&device.id)?, *qos)));
    let mut subscribe = Subscribe::new_many(filters);
    subscribe.pkid = 1;
    link.write([Packet::Subscribe(subscribe)]).await?;

    loop {
        let mut taken = None;
        let steps = tokio::select! {
            packet = link.read() => {
                heard = Instant::now();
                match packet? {
                    Packet::SubAck(answer) => {
                        if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                            return Err(DeviceError::Refused { reason: "it allows no subscription to the twin" });
                        }
                        (is_subscribed, due) = (true, None);
                        session.subscribed()
                    }
                    Packet::Publish(publish) => {
                        taken = (publish.qos == QoS::AtLeastOnce).then_some(publish.pkid);
                        match FromHub::parse(&publish.topic) {
                            Some(topic) => {
                                if let FromHub::TwinResponse { status: ..=299, .. } = topic {
                                    failures = 0;
                                }
                                session.received(topic, &publish.payload)
                            }
                            None => message(device, &publish).into_iter().collect(),
                        }
                    }
                    _ => Vec::new(),
                }
            }
            () = options.stop.requested() => return Ok(End::Stopped),
            () = sleep_until(stale) => return Ok(End::Stale),
            _ = ping.tick() => {
                if heard.elapsed() > PING_EVERY * 2 {
                    return Err(DeviceError::Silent);
                }
                link.write([Packet::PingReq]).await?;
                Vec::new()
            }
            () = until(due) => return Err(DeviceError::Silent),
            () = until(again) => {
                again = None;
                session.again()
            }
        };
        for step in steps {
            match step {
                SessionStep::Say { topic, payload } => {
                    link.write([Packet::Publish(Publish::from_bytes(
                        topic.topic(&device.id),
                        QoS::AtMostOnce,
                        payload,
                    ))])
                    .await?;
                }
                SessionStep::Tell(event) => watcher.tell(event).await,
                SessionStep::Later => {
                    again = Some(Instant::now() + pause::pause(failures, pause::random()));
                    failures += 1;
                }
            }
        }
        // What is told of has been received, and not before.
        if let Some(pkid) = taken {
            link.write([Packet::PubAck(PubAck::new(pkid))]).await?;
        }
        if is_subscribed && asked != session.waiting_for() {
            asked = session.waiting_for();
            due = asked.map(|_| Instant::now() + options.answer_timeout);
        }
        if options.once && session.is_settled() {
            return match session.refusal() {
                None => Ok(End::Settled),
                Some((status, message)) => Err(DeviceError::NotTaken { status, message: message.to_owned() }),
            };
        }
    }
}

/// Reads a message from the cloud; nothing when it is none for this device.
fn message(device: &Device, publish: &Publish) -> Option<SessionStep> {
    let properties = MessageProperties::parse(&publish.topic, &device.id.device)?;
    Some(SessionStep::Tell(Event::Message { properties: Box::new(properties), payload: payload_of(&publish.payload) }))
}

/// Waits until then; for ever when there is no such time.
async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
