//! The way to the hub: its name, a connection, and TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Finding, Health};
use crate::client::Obstacle;
use crate::client::send::look_into;
use crate::client::tls;
use iothub_model::duration;
use iothub_model::twin::HubHost;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The port of HTTPS.
const PORT: u16 = 443;

/// Goes the way step by step, and says whether it leads there.
pub(super) async fn examine(host: &HubHost, ca_pem: Option<&[u8]>, tell: &mut (dyn FnMut(Finding) + Send)) -> bool {
    let port = host.as_str().strip_prefix(host.name()).and_then(|rest| rest.strip_prefix(':')?.parse().ok());
    let port: u16 = port.unwrap_or(PORT);
    let name = host.name().trim_start_matches('[').trim_end_matches(']');
    let Some(addresses) = resolve(name, port, tell).await else { return false };
    let Some(stream) = connect(&addresses, tell).await else { return false };
    encrypt(name, stream, ca_pem, tell).await
}

async fn resolve(name: &str, port: u16, tell: &mut (dyn FnMut(Finding) + Send)) -> Option<Vec<SocketAddr>> {
    let failed = |why: String| {
        Finding::new("name", Health::Fail, format!("{name} leads nowhere: {why}")).next(Obstacle::NoSuchName.advice())
    };
    let found = timeout(PATIENCE, tokio::net::lookup_host((name, port))).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            tell(failed(error.to_string()));
            return None;
        }
        Err(_) => {
            tell(failed("no answer in time".to_owned()));
            return None;
        }
    };
    if addresses.is_empty() {
        tell(failed("it has no address".to_owned()));
        return None;
    }
    let says = match name.parse::<std::net::IpAddr>() {
        Ok(_) => format!("{name} is an address"),
        Err(_) => {
            let few: Vec<_> = addresses.iter().take(3).map(|address| address.ip().to_string()).collect();
            format!("{name} is {}", few.join(", "))
        }
    };
    tell(Finding::new("name", Health::Ok, says));
    Some(addresses)
}

async fn connect(addresses: &[SocketAddr], tell: &mut (dyn FnMut(Finding) + Send)) -> Option<TcpStream> {
    let mut last = None;
    for address in addresses {
        let begun = Instant::now();
        let (obstacle, why) = match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let took = duration::rounded(begun.elapsed());
                tell(Finding::new("connection", Health::Ok, format!("{address} answers in {took}")));
                return Some(stream);
            }
            Ok(Err(error)) => look_into(&error),
            Err(_) => (Obstacle::TimedOut, "no answer in time".to_owned()),
        };
        last = Some((address, obstacle, why));
    }
    if let Some((address, obstacle, why)) = last {
        let says = format!("{address}: {obstacle} ({why})");
        tell(Finding::new("connection", Health::Fail, says).next(obstacle.advice()));
    }
    None
}

async fn encrypt(name: &str, stream: TcpStream, ca_pem: Option<&[u8]>, tell: &mut (dyn FnMut(Finding) + Send)) -> bool {
    let trusted = if ca_pem.is_some() { "the CA file" } else { "this system" };
    let fail = |says: String, next: Option<&str>| Finding::new("tls", Health::Fail, says).next(next);
    let config = match tls::trust(ca_pem) {
        Ok(config) => config,
        Err(error) => {
            tell(fail(error.to_string(), None));
            return false;
        }
    };
    let Ok(server) = ServerName::try_from(name.to_owned()) else {
        tell(fail(format!("{name} is no name that a certificate could have"), None));
        return false;
    };
    let connected = timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(server, stream)).await;
    match connected {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let version = match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS 1.3",
            };
            let chain = session.peer_certificates().map_or(0, <[_]>::len);
            let says = format!("{version}; the certificate, of a chain of {chain}, is trusted by {trusted}");
            tell(Finding::new("tls", Health::Ok, says));
            true
        }
        Ok(Err(error)) => {
            let (obstacle, why) = look_into(&error);
            let next = match obstacle {
                Obstacle::Untrusted if ca_pem.is_some() => {
                    Some("give the file of the authority that signed it: each `twinctl hub serve` has its own")
                }
                obstacle => obstacle.advice(),
            };
            tell(fail(format!("{obstacle} ({why})"), next));
            false
        }
        Err(_) => {
            tell(fail("no handshake in time".to_owned(), Obstacle::TimedOut.advice()));
            false
        }
    }
}
