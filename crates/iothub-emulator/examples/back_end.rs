//! A back end's view: devices, twins, and what was asked of the hub.
//!
//! ```console
//! $ cargo run -p iothub-emulator --example back_end
//! ```

use std::error::Error;
use std::time::Duration;

use iothub_emulator::{Emulator, Policy};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Emulator::builder().in_memory().start().await?;
    hub.create_device("thermostat-001")?;
    hub.set_tags("thermostat-001", json!({ "building": "43" }))?;
    hub.set_desired("thermostat-001", json!({ "intervalSeconds": 30 }))?;

    // What the back end under test is given: a connection string, and the authority to trust.
    let connection_string = hub.connection_string(Policy::Service);
    say(&format!("connection string for {}", connection_string.split(';').next().unwrap_or_default()));
    let authority = reqwest::Certificate::from_pem(hub.ca_pem().as_bytes())?;
    let provider = rustls::crypto::ring::default_provider();
    // The client's affair: the emulator installs nothing for the whole process.
    let _ = provider.install_default();
    let client = reqwest::Client::builder().tls_certs_only([authority]).timeout(Duration::from_secs(10)).build()?;
    let url = format!("https://{}/twins/thermostat-001?api-version=2021-04-12", hub.host_name());
    let answer = client.get(&url).send().await?;
    say(&format!("without a token: {}", answer.status()));

    // What happened, as the hub saw it.
    for request in hub.requests() {
        let code = request.error_code.as_deref().unwrap_or("no error");
        say(&format!("{} {}: {} ({code})", request.method, request.path, request.status));
    }
    assert_eq!(hub.requests().len(), 1);
    assert_eq!(hub.requests()[0].device().as_deref(), Some("thermostat-001"));
    hub.stop().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn say(text: &str) {
    println!("{text}");
}
