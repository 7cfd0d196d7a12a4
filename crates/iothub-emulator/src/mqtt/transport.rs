//! The bytes below MQTT and AMQP: a TLS stream, or the binary frames of a WebSocket, which mean no more than the bytes in them.

use std::io;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

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
    /// The client may not do what it did, or may not stay.
    Policy,
}

impl Farewell {
    fn status(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::Policy => 1008,
        }
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
    /// Appends some bytes; says whether there were any before the end. What is lost when this is dropped half-way is nothing.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<bool> {
        match self {
            Self::Stream(stream) => Ok(stream.read_buf(buffer).await? > 0),
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    None | Some(Ok(Message::Close(_))) => return Ok(false),
                    Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {}
                    Some(Ok(Message::Binary(bytes))) => {
                        buffer.extend_from_slice(&bytes);
                        return Ok(true);
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Text(_))) => return Err(io::ErrorKind::InvalidData.into()),
                    Some(Err(error)) => return Err(io::Error::other(error)),
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
