//! A device's view: it connects over MQTT with its own key, gets its twin, and is told of a write.
//!
//! ```console
//! $ cargo run -p iothub-emulator --example device
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use iothub_emulator::Emulator;
use iothub_model::wire::{ConnectionString, sas};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, Packet, Publish, Subscribe};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ID: &str = "thermostat-001";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Emulator::builder().in_memory().start().await?;
    hub.create_device(ID)?;
    hub.set_desired(ID, json!({ "intervalSeconds": 30 }))?;

    // Microsoft's SDKs take the connection string and do the rest. This is what they do.
    let connection = ConnectionString::parse(&hub.device_connection_string(ID)?)?;
    let host = connection.host.as_str();
    let token = sas::sign(&format!("{host}/devices/{ID}"), &connection.key, in_an_hour()?, None);
    let address = hub.mqtt_addr().ok_or("it listens for MQTT")?;
    let stream = TcpStream::connect(address).await?;
    let stream = trusting(hub.ca_pem())?.connect(ServerName::try_from("localhost")?, stream).await?;
    let mut device = Device { stream, buffer: BytesMut::new() };
    let mut connect = Connect::new(ID);
    connect.set_login(format!("{host}/{ID}/?api-version=2021-04-12"), token.expose());
    device.send(Packet::Connect(connect)).await?;
    for (number, filter) in (1..).zip(["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"]) {
        let mut subscribe = Subscribe::new(filter, QoS::AtMostOnce);
        subscribe.pkid = number;
        device.send(Packet::Subscribe(subscribe)).await?;
    }
    device.send(Packet::Publish(Publish::new("$iothub/twin/GET/?$rid=1", QoS::AtMostOnce, ""))).await?;

    let twin = device.message().await?;
    assert_eq!(twin["desired"]["intervalSeconds"], 30);
    assert_eq!(hub.twin(ID)?["connectionState"], "Connected");
    // It has its twin. Now the back end writes.
    hub.set_desired(ID, json!({ "intervalSeconds": 5 }))?;
    assert_eq!(device.message().await?["intervalSeconds"], 5);
    hub.stop().await;
    Ok(())
}

struct Device {
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
}

impl Device {
    async fn send(&mut self, packet: Packet) -> Result<(), Box<dyn Error>> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, 1 << 20)?;
        self.stream.write_all(&bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Returns the next message as JSON.
    async fn message(&mut self) -> Result<Value, Box<dyn Error>> {
        loop {
            match Packet::read(&mut self.buffer, 1 << 20) {
                Ok(Packet::Publish(message)) => {
                    say(&format!("{}: {}", message.topic, String::from_utf8_lossy(&message.payload)));
                    return Ok(serde_json::from_slice(&message.payload)?);
                }
                Ok(_) => {}
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return Err("the hub has closed the connection".into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a device has the system's clock")]
fn in_an_hour() -> Result<u64, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() + 3600)
}

fn trusting(authority: &str) -> Result<TlsConnector, Box<dyn Error>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn say(text: &str) {
    println!("{text}");
}
