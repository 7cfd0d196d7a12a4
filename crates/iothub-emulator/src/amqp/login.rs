//! The first words of a connection: layers, SASL, and the two sides' limits.

use bytes::BytesMut;
use fe2o3_amqp_types::performatives::{Open, Performative};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use serde_amqp::primitives::{Array, Symbol};

use super::frames::{FRAME_MAX_BYTES, FRAME_MIN_MAX_BYTES, Layer, Reader, write, write_sasl};
use super::{AMQP, Front};
use crate::command::Refusal;
use crate::mqtt::transport::Sink;
use iothub_model::wire::ErrorCode;

/// How a client may say who it is: by a token in `$cbs` later on, or by one that is its password.
const MECHANISMS: [&str; 3] = ["MSSBCBS", "PLAIN", "ANONYMOUS"];
/// A client that says nothing for twice as long is taken for gone, in milliseconds.
pub(super) const IDLE_TIMEOUT: u32 = 240_000;
/// Channels of a connection, less one, as the service tells its clients (azure-iot-sdk-c#2233).
pub(super) const CHANNEL_MAX: u16 = 8191;

/// What the hub knows of a client that has opened a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// Bytes of a frame that it takes, at most.
    pub(super) frame_max: usize,
    /// When it wants to hear something, in milliseconds, if it does.
    pub(super) idle_timeout: Option<u32>,
    /// The token that it brought as a password.
    pub(super) token: Option<String>,
}

impl Front {
    /// Takes a client as far as an open connection; none when it does not come so far.
    pub(super) async fn admit(&self, reader: &mut Reader, sink: &mut Sink) -> Option<Peer> {
        // Some SDKs leave SASL out, since their token comes later anyway.
        let (asked, token) = match reader.layer().await.ok()? {
            Some(Layer::Sasl) => {
                let token = self.authenticate(reader, sink).await?;
                (reader.layer().await.ok()?, token)
            }
            asked => (asked, None),
        };
        // Who asks for anything else is told what there is.
        let mut out = BytesMut::from(&Layer::Amqp.header()[..]);
        sink.write(out.split().freeze()).await.ok()?;
        if asked != Some(Layer::Amqp) {
            return None;
        }
        let Some(Performative::Open(theirs)) = reader.frame().await.ok()?.performative else { return None };
        let frame_max = theirs.max_frame_size.0.clamp(FRAME_MIN_MAX_BYTES, FRAME_MAX_BYTES);
        let ours = Open {
            container_id: "twinctl".to_owned(),
            hostname: None,
            max_frame_size: FRAME_MAX_BYTES.into(),
            channel_max: CHANNEL_MAX.into(),
            idle_time_out: Some(IDLE_TIMEOUT),
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        write(&mut out, 0, &ours, &[]);
        sink.write(out.freeze()).await.ok()?;
        let frame_max = usize::try_from(frame_max).expect("no more than 64 KiB");
        Some(Peer { frame_max, idle_timeout: theirs.idle_time_out, token })
    }

    /// Goes through SASL, and returns the token that came with it, if one did; none when the client may not go on.
    async fn authenticate(&self, reader: &mut Reader, sink: &mut Sink) -> Option<Option<String>> {
        let mut out = BytesMut::from(&Layer::Sasl.header()[..]);
        let offered = Array::from(MECHANISMS.map(Symbol::from).to_vec());
        write_sasl(&mut out, &SaslMechanisms { sasl_server_mechanisms: offered });
        sink.write(out.split().freeze()).await.ok()?;
        let init: SaslInit = reader.sasl().await.ok()?;
        let token = match init.mechanism.as_str() {
            "MSSBCBS" | "ANONYMOUS" => Ok(None),
            "PLAIN" => self.password(init.initial_response.as_deref().map(Vec::as_slice)).map(Some),
            other => {
                let text = format!("the hub has no SASL mechanism `{other}`; it has {}", MECHANISMS.join(", "));
                Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text))
            }
        };
        if let Err(refusal) = &token {
            self.log.refused(AMQP, "/connect", refusal);
        }
        let code = if token.is_ok() { SaslCode::Ok } else { SaslCode::Auth };
        write_sasl(&mut out, &SaslOutcome { code, additional_data: None });
        sink.write(out.split().freeze()).await.ok()?;
        token.ok()
    }

    /// Returns the token that a client gives as its password, if that opens anything (docs: Communicate with your IoT hub by
    /// using the AMQP protocol). The user's name is passed over: the token names its policy.
    fn password(&self, response: Option<&[u8]>) -> Result<String, Refusal> {
        let token = response.and_then(|response| {
            let mut parts = response.split(|byte| *byte == 0);
            let (_, _, password) = (parts.next()?, parts.next()?, parts.next()?);
            str::from_utf8(password).ok().filter(|_| parts.next().is_none())
        });
        let Some(token) = token else {
            let text = "SASL PLAIN wants a user's name and a token as the password";
            return Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
        };
        self.opens_anything(token).map(|()| token.to_owned())
    }
}
