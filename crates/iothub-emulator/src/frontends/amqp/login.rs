//! The first words of a connection: layers, SASL, and the two sides' limits.

use bytes::BytesMut;
use fe2o3_amqp_types::performatives::Open;
use fe2o3_amqp_types::performatives::Performative;
use fe2o3_amqp_types::sasl::SaslCode;
use fe2o3_amqp_types::sasl::SaslInit;
use fe2o3_amqp_types::sasl::SaslMechanisms;
use fe2o3_amqp_types::sasl::SaslOutcome;
use serde_amqp::primitives::Array;
use serde_amqp::primitives::Symbol;
use tokio::time::timeout;

use crate::core::command::Refusal;
use crate::frontends::amqp::frames::{
    FRAME_MAX_BYTES, FRAME_MIN_MAX_BYTES, FrameReader, Layer, NoFrame, write, write_sasl,
};
use crate::frontends::amqp::{AMQP, AmqpFront};
use crate::transport::stream::{Farewell, Sink};
use iothub_model::wire::ErrorCode;

/// How a client may say who it is: by a token in `$cbs` later on, or by one that is its password.
const MECHANISMS: [&str; 3] = ["MSSBCBS", "PLAIN", "ANONYMOUS"];
/// A client that says nothing for twice as long is taken for gone, in milliseconds.
pub(crate) const IDLE_TIMEOUT: u32 = 240_000;
/// Channels of a connection, less one, as the service tells its clients (azure-iot-sdk-c#2233).
pub(crate) const CHANNEL_MAX: u16 = 8191;

/// Where the log has what happens before a connection is open.
const CONNECT: &str = "/connect";

/// What the hub knows of a client that has opened a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Bytes of a frame that it takes, at most.
    pub(crate) frame_max: usize,
    /// When it wants to hear something, in milliseconds, if it does.
    pub(crate) idle_timeout: Option<u32>,
    /// The token that it brought as a password.
    pub(crate) token: Option<String>,
}

/// Why a client has no open connection.
#[derive(Debug)]
pub(crate) enum NoPeer {
    /// What came, or did not come.
    NoFrame(NoFrame),
    /// What came is not what stands here.
    Unexpected(&'static str),
    /// It was told that its SASL is refused, and the log has it.
    Refused,
}

impl From<NoFrame> for NoPeer {
    fn from(why: NoFrame) -> Self {
        Self::NoFrame(why)
    }
}

impl AmqpFront {
    /// Takes a client as far as an open connection. The log has why it does not come so far, if it said anything; then this returns how
    /// the connection is to end.
    pub(crate) async fn admit(&self, reader: &mut FrameReader, sink: &mut Sink) -> Result<Peer, Farewell> {
        let why = match timeout(self.patience.connect, self.open(reader, sink)).await {
            Ok(Ok(peer)) => return Ok(peer),
            Ok(Err(why)) => why,
            Err(_) => {
                self.log.cut(AMQP, CONNECT, "the client sent no OPEN in time");
                return Err(Farewell::Policy);
            }
        };
        let garbage = |what: &str| {
            let text = format!("what came before the client's OPEN is not what AMQP 1.0 has there: {what}");
            self.log.refused(AMQP, CONNECT, &Refusal::new(ErrorCode::InvalidOperation, text));
            Farewell::Protocol
        };
        Err(match why {
            NoPeer::Refused => Farewell::Normal,
            NoPeer::Unexpected(what) | NoPeer::NoFrame(NoFrame::Garbage(what)) => garbage(what),
            NoPeer::NoFrame(NoFrame::Transport(fault)) => {
                self.log.refused(AMQP, CONNECT, &fault.refusal());
                fault.farewell
            }
            NoPeer::NoFrame(NoFrame::Ended) => {
                // Port scans end without a word.
                if reader.has_heard() {
                    self.log.cut(AMQP, CONNECT, "the connection ended before the client's OPEN");
                }
                Farewell::Normal
            }
        })
    }

    async fn open(&self, reader: &mut FrameReader, sink: &mut Sink) -> Result<Peer, NoPeer> {
        // Some SDKs leave SASL out, since their token comes later anyway.
        let (asked, token) = match reader.layer().await? {
            Some(Layer::Sasl) => {
                let token = self.authenticate(reader, sink).await?;
                (reader.layer().await?, token)
            }
            asked => (asked, None),
        };
        // Who asks for anything else is told what there is.
        let mut out = BytesMut::from(&Layer::Amqp.header()[..]);
        write_out(sink, &mut out).await?;
        match asked {
            Some(Layer::Amqp) => {}
            Some(Layer::Sasl) => return Err(NoPeer::Unexpected("a second header of SASL")),
            None => return Err(NoPeer::Unexpected("a protocol header of another version or layer")),
        }
        let Some(Performative::Open(theirs)) = reader.frame().await?.performative else {
            return Err(NoPeer::Unexpected("the first frame is no OPEN"));
        };
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
        write_out(sink, &mut out).await?;
        let frame_max = usize::try_from(frame_max).expect("no more than 64 KiB");
        Ok(Peer { frame_max, idle_timeout: theirs.idle_time_out, token })
    }

    /// Goes through SASL, and returns the token that came with it, if one did.
    async fn authenticate(&self, reader: &mut FrameReader, sink: &mut Sink) -> Result<Option<String>, NoPeer> {
        let mut out = BytesMut::from(&Layer::Sasl.header()[..]);
        let offered = Array::from(MECHANISMS.map(Symbol::from).to_vec());
        write_sasl(&mut out, &SaslMechanisms { sasl_server_mechanisms: offered });
        write_out(sink, &mut out).await?;
        let init: SaslInit = reader.sasl().await?;
        let token = match init.mechanism.as_str() {
            "MSSBCBS" | "ANONYMOUS" => Ok(None),
            "PLAIN" => self.password(init.initial_response.as_deref().map(Vec::as_slice)).map(Some),
            other => {
                let text = format!("the hub has no SASL mechanism `{other}`; it has {}", MECHANISMS.join(", "));
                Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text))
            }
        };
        if let Err(refusal) = &token {
            self.log.refused(AMQP, CONNECT, refusal);
        }
        let code = if token.is_ok() { SaslCode::Ok } else { SaslCode::Auth };
        write_sasl(&mut out, &SaslOutcome { code, additional_data: None });
        // The log has the refusal, whether or not the client still hears it.
        let written = write_out(sink, &mut out).await;
        let token = token.map_err(|_| NoPeer::Refused)?;
        written.map(|()| token)
    }

    /// Returns the token that a client gives as its password, if that opens anything (docs: Communicate with your IoT hub by
    /// using the AMQP protocol). The user's name is passed over: the token names its policy.
    fn password(&self, response: Option<&[u8]>) -> Result<String, Refusal> {
        let token = response.and_then(|response| {
            let mut parts = response.split(|byte| *byte == 0);
            let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
            // Neither may be empty (RFC 4616, part 2).
            let is_whole = parts.next().is_none() && !user.is_empty() && !password.is_empty();
            str::from_utf8(password).ok().filter(|_| is_whole)
        });
        let Some(token) = token else {
            let text = "SASL PLAIN wants a user's name and a token as the password";
            return Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
        };
        self.opens_anything(token).map(|()| token.to_owned())
    }
}

/// Writes what waits. A client that does not take it is gone.
async fn write_out(sink: &mut Sink, out: &mut BytesMut) -> Result<(), NoPeer> {
    sink.write(out.split().freeze()).await.map_err(|_| NoPeer::NoFrame(NoFrame::Ended))
}
