//! A hub that misbehaves: throttles, faults, and a clock that jumps.
//!
//! ```console
//! $ cargo run -p iothub-emulator --example faults
//! ```

use std::error::Error;
use std::time::Duration;

use iothub_emulator::{Emulator, Policy, Tier};
use iothub_model::wire::{ConnectionString, sas};

/// No tokio here: the hub brings its own runtime. The client below has one to itself.
fn main() -> Result<(), Box<dyn Error>> {
    let hub = Emulator::builder().in_memory().start_blocking()?;
    hub.create_device("thermostat-001")?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(async {
        let authority = reqwest::Certificate::from_pem(hub.ca_pem().as_bytes())?;
        reqwest::Client::builder().tls_certs_only([authority]).build()
    })?;

    // A token as SDKs make it, good for ten minutes by the hub's clock.
    let connection = ConnectionString::parse(&hub.connection_string(Policy::Service))?;
    let expiry = hub.clock().now().duration_since(std::time::SystemTime::UNIX_EPOCH)?.as_secs() + 600;
    let token = sas::sign(connection.host.as_str(), &connection.key, expiry, connection.policy.as_deref());
    let status = || -> Result<u16, Box<dyn Error>> {
        let url = format!("https://{}/twins/thermostat-001?api-version=2021-04-12", hub.host_name());
        let request = client.get(url).header("Authorization", token.expose());
        Ok(runtime.block_on(request.send())?.status().as_u16())
    };

    assert_eq!(status()?, 200);
    hub.set_faults("GET /twins/* 429 first 1")?;
    assert_eq!(status()?, 429);
    assert_eq!(status()?, 200);
    hub.set_faults("")?;

    // The Basic tier has no twins.
    hub.set_throttles(Tier::B1, 1)?;
    assert_ne!(status()?, 200);
    hub.remove_throttles();
    assert_eq!(status()?, 200);

    // The token is over, with the five minutes that the service allows.
    hub.clock().advance(Duration::from_secs(3600));
    assert_eq!(status()?, 401);

    for request in hub.requests() {
        say(&format!("{} {}: {}", request.method, request.status, request.reason.unwrap_or_default()));
    }
    hub.stop_blocking();
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn say(text: &str) {
    println!("{text}");
}
