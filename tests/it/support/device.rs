//! A device of the test's own: another MQTT codec than the hub's, over TLS, with a key.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use iothub_model::wire::sas::{self, Key};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Packet, Publish, Subscribe};
use rumqttc::mqttbytes::{Error, QoS};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const PACKET_MAX: usize = 1 << 20;
const RESPONSES: &str = "$iothub/twin/res/#";

/// Where a hub listens for devices, and how they trust it.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) address: String,
    pub(crate) host_name: String,
    tls: Arc<rustls::ClientConfig>,
}

impl Door {
    /// Takes it from what a ready file says.
    pub(crate) fn new(ready: &Value) -> Self {
        let text = |name: &str| ready[name].as_str().unwrap_or_else(|| panic!("{name} in {ready}")).to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pem = fs::read(text("caFile")).expect("the CA file");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("an authority");
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { address: text("mqtt"), host_name: text("hostName"), tls: Arc::new(tls) }
    }
}

impl Door {
    /// Connects as far as TLS, to the door or to another address of the same hub.
    pub(crate) async fn tls(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, stream).await
    }
}

/// A connected device that has subscribed to the answers to its twin requests.
pub(crate) struct Device {
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
    requests: u64,
}

impl Device {
    /// Connects with a token that the device's key signs.
    ///
    /// # Errors
    ///
    /// When the connection breaks; being refused is no error but a panic.
    #[expect(clippy::disallowed_methods, reason = "a test has no clock of its own, and tokens end by the real one")]
    pub(crate) async fn connect(door: &Door, id: &str, key: &Key) -> io::Result<Self> {
        let expiry = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 3600;
        let token = sas::sign(&format!("{}/devices/{id}", door.host_name), key, expiry, None);
        let mut device = Self::login(door, id, token.expose()).await?;
        let mut subscribe = Subscribe::new(RESPONSES, QoS::AtMostOnce);
        subscribe.pkid = 1;
        device.send(Packet::Subscribe(subscribe)).await?;
        match device.next().await? {
            Packet::SubAck(_) => Ok(device),
            other => panic!("not the answer to a SUBSCRIBE: {other:?}"),
        }
    }

    /// Connects with a token, and says no more than that for as long as MQTT allows.
    ///
    /// # Errors
    ///
    /// When the connection breaks; being refused is no error but a panic.
    pub(crate) async fn login(door: &Door, id: &str, token: &str) -> io::Result<Self> {
        let stream = door.tls(&door.address).await?;
        let mut device = Self { stream, buffer: BytesMut::new(), requests: 0 };
        let mut connect = Connect::new(id);
        connect.clean_session = false;
        connect.keep_alive = 1177;
        connect.set_login(format!("{}/{id}/?api-version=2021-04-12", door.host_name), token);
        device.send(Packet::Connect(connect)).await?;
        match device.next().await? {
            Packet::ConnAck(answer) => assert_eq!(answer.code, ConnectReturnCode::Success),
            other => panic!("not the answer to a CONNECT: {other:?}"),
        }
        Ok(device)
    }

    /// Returns the bytes' way, for looking whether the hub has closed it.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    /// Reports properties, and returns the status that the hub answers with.
    pub(crate) async fn report(&mut self, patch: &Value) -> io::Result<u16> {
        self.requests += 1;
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={}", self.requests);
        self.send(Packet::Publish(Publish::new(topic, QoS::AtMostOnce, patch.to_string()))).await?;
        match self.next().await? {
            Packet::Publish(answer) => {
                let rest = answer.topic.strip_prefix("$iothub/twin/res/").expect("an answer's topic");
                let (status, rid) = rest.split_once("/?$rid=").expect("an answer's topic");
                assert_eq!(rid.split('&').next(), Some(&*self.requests.to_string()));
                Ok(status.parse().expect("a status"))
            }
            other => panic!("not an answer: {other:?}"),
        }
    }

    async fn send(&mut self, packet: Packet) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        packet.write(&mut buffer, PACKET_MAX).expect("a packet that can be written");
        self.stream.write_all(&buffer).await?;
        self.stream.flush().await
    }

    async fn next(&mut self) -> io::Result<Packet> {
        loop {
            match Packet::read(&mut self.buffer, PACKET_MAX) {
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("the hub sent no packet: {error:?}"),
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
