//! The bytes below MQTT and AMQP: a TLS stream, or the binary frames of a WebSocket, which mean no more than the bytes in them.

use std::io;

use axum::extract::ws::CloseFrame;
use axum::extract::ws::Message;
use axum::extract::ws::WebSocket;
use axum::extract::ws::close_code;
use bytes::Bytes;
use bytes::BytesMut;
use futures_util::SinkExt;
use futures_util::StreamExt;
use futures_util::stream::SplitSink;
use futures_util::stream::SplitStream;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite;

use crate::core::command::Refusal;
use iothub_model::wire::ErrorCode;

/// Where bytes come from.
pub(crate) enum Source {
    Stream(Box<dyn AsyncRead + Send + Unpin>),
    WebSocket(SplitStream<WebSocket>),
}

/// Where bytes go to.
pub(crate) enum Sink {
    Stream(Box<dyn AsyncWrite + Send + Unpin>),
    WebSocket(SplitSink<WebSocket, Message>),
}

/// How a connection ends, as the close frame of a WebSocket has it (RFC 6455, part 7.4.1). A TLS stream just ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// As the protocol over it has it: after CLOSE or DISCONNECT of either side, or after a refusal that the client was sent.
    Normal,
    /// The hub stops.
    GoingAway,
    /// What came is not of the protocol.
    Protocol,
    /// A text came where bytes are needed.
    Unacceptable,
    /// A text came that is no UTF-8.
    InvalidText,
    /// A message came that is too large.
    TooLarge,
    /// The client may not do what it did, or may not stay.
    Policy,
}

impl Farewell {
    fn status(self) -> u16 {
        match self {
            Self::Normal => close_code::NORMAL,
            Self::GoingAway => close_code::AWAY,
            Self::Protocol => close_code::PROTOCOL,
            Self::Unacceptable => close_code::UNSUPPORTED,
            Self::InvalidText => close_code::INVALID,
            Self::TooLarge => close_code::SIZE,
            Self::Policy => close_code::POLICY,
        }
    }
}

/// What a client did that breaks the rules of TLS or WebSocket. A connection that is lost is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransportFault {
    /// How the hub ends the connection.
    pub(crate) farewell: Farewell,
    reason: String,
}

impl TransportFault {
    /// Returns what the log has of it.
    pub(crate) fn refusal(&self) -> Refusal {
        let code = match self.farewell {
            Farewell::TooLarge => ErrorCode::MessageTooLarge,
            _ => ErrorCode::InvalidOperation,
        };
        Refusal::new(code, self.reason.clone())
    }

    fn of_web_socket(farewell: Farewell, reason: impl std::fmt::Display) -> Self {
        let status = farewell.status();
        Self { farewell, reason: format!("the hub closed the WebSocket with the status {status}: {reason}") }
    }

    /// Finds what is at fault in an error of reading; `None` if the connection is lost.
    fn of_error(error: axum::Error) -> Option<Self> {
        use tungstenite::Error;
        use tungstenite::error::ProtocolError;
        let error = error.into_inner().downcast::<Error>().ok()?;
        let farewell = match *error {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
                return None;
            }
            Error::Protocol(_) => Farewell::Protocol,
            Error::Utf8(_) => Farewell::InvalidText,
            Error::Capacity(_) => Farewell::TooLarge,
            _ => return None,
        };
        Some(Self::of_web_socket(farewell, error))
    }
}

/// Takes a stream apart.
pub(crate) fn stream(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> (Source, Sink) {
    let (read, write) = tokio::io::split(stream);
    (Source::Stream(Box::new(read)), Sink::Stream(Box::new(write)))
}

/// Takes a WebSocket apart.
pub(crate) fn web_socket(socket: WebSocket) -> (Source, Sink) {
    let (write, read) = socket.split();
    (Source::WebSocket(read), Sink::WebSocket(write))
}

impl Source {
    /// Appends some bytes. Returns `true` if there were any before the end. What is lost when this is dropped half-way is nothing.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> Result<bool, TransportFault> {
        match self {
            Self::Stream(stream) => match stream.read_buf(buffer).await {
                Ok(count) => Ok(count > 0),
                // What rustls has no sense of.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let reason = format!("the TLS connection broke: {error}");
                    Err(TransportFault { farewell: Farewell::Protocol, reason })
                }
                Err(_) => Ok(false),
            },
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    // The library puts this one in place of a status that may not be sent, and answers it.
                    Some(Ok(Message::Close(Some(CloseFrame { code: close_code::PROTOCOL, .. })))) => {
                        let reason =
                            "the client's close frame has no status that may be sent, or reports a protocol error";
                        return Err(TransportFault::of_web_socket(Farewell::Protocol, reason));
                    }
                    None | Some(Ok(Message::Close(_))) => return Ok(false),
                    Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {}
                    Some(Ok(Message::Binary(bytes))) => {
                        buffer.extend_from_slice(&bytes);
                        return Ok(true);
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Text(_))) => {
                        let reason = "a text frame came, and MQTT and AMQP need binary ones";
                        return Err(TransportFault::of_web_socket(Farewell::Unacceptable, reason));
                    }
                    Some(Err(error)) => return TransportFault::of_error(error).map_or(Ok(false), Err),
                }
            },
        }
    }
}

impl Sink {
    /// Writes bytes, and sees them off.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(&bytes).await?;
                stream.flush().await
            }
            Self::WebSocket(socket) => socket.send(Message::Binary(bytes)).await.map_err(io::Error::other),
        }
    }

    /// Says that nothing more comes. Some clients wait for a close frame with a status.
    pub(crate) async fn close(&mut self, farewell: Farewell) {
        // A client that is gone need not be told.
        let _ = match self {
            Self::Stream(stream) => stream.shutdown().await,
            Self::WebSocket(socket) => {
                let frame = CloseFrame { code: farewell.status(), reason: "".into() };
                let _ = socket.send(Message::Close(Some(frame))).await;
                socket.close().await.map_err(io::Error::other)
            }
        };
    }
}
