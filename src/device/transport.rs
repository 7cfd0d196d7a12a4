//! From a host name to packets: TCP, TLS, a WebSocket where it is wanted, and the codec.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rumqttc::mqttbytes;
use rumqttc::mqttbytes::v4::Packet;
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{self, http};

use super::{DeviceError, Endpoint};

/// Where the hub takes WebSockets (docs: Communicate with an IoT hub by using the MQTT protocol).
const WEB_SOCKET_PATH: &str = "/$iothub/websocket";
/// A packet is no longer: a twin is 72 KB at most, and a message 256 KB.
const PACKET_MAX_BYTES: usize = 1 << 20;
/// How long the hub may take to read what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

type Tls = TlsStream<TcpStream>;

/// A way for packets to and from a hub.
pub(super) struct Link {
    host: String,
    source: Source,
    sink: Sink,
    buffer: BytesMut,
}

enum Source {
    Stream(ReadHalf<Tls>),
    WebSocket(SplitStream<WebSocketStream<Tls>>),
}

enum Sink {
    Stream(WriteHalf<Tls>),
    WebSocket(SplitSink<WebSocketStream<Tls>, Message>),
}

/// Opens a way to the hub; nothing is said yet.
pub(super) async fn dial(endpoint: &Endpoint) -> Result<Link, DeviceError> {
    let (name, port) = (endpoint.name(), endpoint.port);
    let host = || name.to_owned();
    let addresses: Vec<_> = tokio::net::lookup_host((name, port))
        .await
        .map_err(|source| DeviceError::Name { host: host(), source })?
        .collect();
    let stream =
        TcpStream::connect(&*addresses).await.map_err(|source| DeviceError::Connect { host: host(), port, source })?;
    // Packets are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let server = ServerName::try_from(host()).map_err(|_| DeviceError::HostName { host: host() })?;
    let tls = tokio_rustls::TlsConnector::from(endpoint.tls.clone());
    let stream = tls.connect(server, stream).await.map_err(|error| no_tls(error, name))?;
    let (source, sink) = if endpoint.web_socket {
        let (sink, source) = web_socket(stream, name, port).await?.split();
        (Source::WebSocket(source), Sink::WebSocket(sink))
    } else {
        let (source, sink) = tokio::io::split(stream);
        (Source::Stream(source), Sink::Stream(sink))
    };
    Ok(Link { host: host(), source, sink, buffer: BytesMut::new() })
}

fn no_tls(error: io::Error, name: &str) -> DeviceError {
    let host = name.to_owned();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(source @ rustls::Error::InvalidCertificate(reason)) => {
            let source = source.clone();
            match reason {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    DeviceError::OtherName { host, source }
                }
                _ => DeviceError::Untrusted { host, source },
            }
        }
        _ => DeviceError::Handshake { host, source: error },
    }
}

async fn web_socket(stream: Tls, name: &str, port: u16) -> Result<WebSocketStream<Tls>, DeviceError> {
    let refused = |problem: String| DeviceError::WebSocket { host: name.to_owned(), problem };
    let bracketed = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    let mut request = format!("wss://{bracketed}:{port}{WEB_SOCKET_PATH}")
        .into_client_request()
        .map_err(|error| refused(error.to_string()))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", http::HeaderValue::from_static("mqtt"));
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(refused(format!("it answers {}", answer.status()))),
        Err(tungstenite::Error::Io(source)) => Err(DeviceError::Lost { source }),
        Err(error) => Err(refused(error.to_string())),
    }
}

impl Link {
    /// Returns the next packet. What is lost when this is dropped half-way is nothing.
    pub(super) async fn read(&mut self) -> Result<Packet, DeviceError> {
        loop {
            match Packet::read(&mut self.buffer, PACKET_MAX_BYTES) {
                Ok(packet) => return Ok(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(source) => return Err(DeviceError::NotMqtt { host: self.host.clone(), source }),
            }
            if !self.source.read(&mut self.buffer).await? {
                return Err(DeviceError::Closed);
            }
        }
    }

    /// Sends packets off.
    pub(super) async fn write(&mut self, packets: impl IntoIterator<Item = Packet>) -> Result<(), DeviceError> {
        let mut bytes = BytesMut::new();
        for packet in packets {
            packet
                .write(&mut bytes, PACKET_MAX_BYTES)
                .map_err(|source| DeviceError::Lost { source: io::Error::new(io::ErrorKind::InvalidData, source) })?;
        }
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.sink.write(bytes.freeze())).await;
        written.map_err(|_| DeviceError::Silent)?.map_err(|source| DeviceError::Lost { source })
    }

    /// Takes leave, as far as the hub still listens.
    pub(super) async fn close(mut self) {
        let farewell = async {
            if self.write([Packet::Disconnect]).await.is_ok() {
                self.sink.close().await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

impl Source {
    /// Appends some bytes; says whether there were any before the end.
    async fn read(&mut self, buffer: &mut BytesMut) -> Result<bool, DeviceError> {
        let lost = |source| DeviceError::Lost { source };
        match self {
            Self::Stream(stream) => {
                buffer.reserve(1024);
                Ok(stream.read_buf(buffer).await.map_err(lost)? > 0)
            }
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    None | Some(Ok(Message::Close(_))) => return Ok(false),
                    Some(Ok(Message::Binary(bytes))) if !bytes.is_empty() => {
                        buffer.extend_from_slice(&bytes);
                        return Ok(true);
                    }
                    Some(Ok(Message::Text(_))) => return Err(lost(io::ErrorKind::InvalidData.into())),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(lost(io::Error::other(error))),
                }
            },
        }
    }
}

impl Sink {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(&bytes).await?;
                stream.flush().await
            }
            Self::WebSocket(socket) => socket.send(Message::Binary(bytes)).await.map_err(io::Error::other),
        }
    }

    async fn close(&mut self) {
        // A hub that is gone need not be told.
        let _ = match self {
            Self::Stream(stream) => stream.shutdown().await,
            Self::WebSocket(socket) => socket.close().await.map_err(io::Error::other),
        };
    }
}
