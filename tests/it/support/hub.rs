//! A hub of the test's own, in the test's process or as the binary's `hub serve`, and a client that has nothing of the program's own one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use iothub_emulator::{Emulator, EmulatorBuilder, Policy};
use iothub_model::wire::{ConnectionString, sas};
use serde_json::{Value, json};

use super::Sandbox;

pub(crate) struct Hub {
    server: Server,
    data: PathBuf,
    ready: Value,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// What the hub runs in.
enum Server {
    /// The test's own process.
    Here(Box<Emulator>),
    /// `hub serve`: for tests of the command, of the process, and of what an end without warning leaves behind.
    Process(Child),
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Hub {
    /// Starts one in this process, on free ports of this machine. Its data lies in the sandbox.
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, |builder| builder)
    }

    /// Starts one in this process as it is set up.
    pub(crate) fn start_with(sandbox: &Sandbox, set_up: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let data = sandbox.path("hub-data");
        let emulator = set_up(Emulator::builder().data_dir(&data)).start_blocking().expect("the hub starts");
        let strings: serde_json::Map<_, _> = Policy::ALL
            .iter()
            .map(|policy| (policy.name().to_owned(), emulator.connection_string(*policy).into()))
            .collect();
        let ready = json!({
            "hostName": emulator.host_name(),
            "https": emulator.https_addr(),
            "mqtt": emulator.mqtt_addr(),
            "amqp": emulator.amqp_addr(),
            "caFile": emulator.ca_file(),
            "connectionStrings": strings,
        });
        Self::new(Server::Here(Box::new(emulator)), data, ready)
    }

    /// Starts `hub serve` on a free port.
    pub(crate) fn serve(sandbox: &Sandbox, more: &[&str]) -> Self {
        Self::serve_at(sandbox, "127.0.0.1:0", more)
    }

    /// Starts `hub serve` on a certain address, for clients that cannot be told a port.
    pub(crate) fn serve_at(sandbox: &Sandbox, https: &str, more: &[&str]) -> Self {
        Self::serve_by(sandbox, sandbox.command(["hub", "serve", "--https", https]), more)
    }

    /// Starts `hub serve` by a command that lacks all but the address.
    pub(crate) fn serve_by(sandbox: &Sandbox, mut command: Command, more: &[&str]) -> Self {
        let data = sandbox.path("hub-data");
        let ready_file = data.with_extension("ready.json");
        let _ = fs::remove_file(&ready_file);
        let log = File::options().create(true).append(true).open(data.with_extension("log")).expect("a log");
        command
            .arg("--data")
            .arg(&data)
            .arg("--ready-file")
            .arg(&ready_file)
            .arg("--request-log")
            .arg(data.with_extension("requests"));
        let mut child = command
            .args(more)
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the hub starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        let ready: Value = loop {
            if let Ok(text) = fs::read_to_string(&ready_file) {
                break serde_json::from_str(&text).expect("the ready file is written whole");
            }
            let ended = child.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the hub did not come up: {}",
                fs::read_to_string(data.with_extension("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        Self::new(Server::Process(child), data, ready)
    }

    fn new(server: Server, data: PathBuf, ready: Value) -> Self {
        let client = trusting_client(ready["caFile"].as_str().expect("caFile"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { server, data, ready, client, runtime }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// What its ready file says.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    pub(crate) fn connection_string(&self, policy: &str) -> &str {
        self.ready["connectionStrings"][policy].as_str().expect(policy)
    }

    pub(crate) fn ca_file(&self) -> &str {
        self.ready["caFile"].as_str().expect("caFile")
    }

    /// A token signed by a policy, good for an hour.
    pub(crate) fn token(&self, policy: &str) -> String {
        token(self.connection_string(policy)).1
    }

    /// Sends one request as `iothubowner`; the path has no query string. Sent with the `If-Match` that is given, if any.
    pub(crate) fn send(&self, method: &str, path: &str, if_match: Option<&str>, body: Option<Value>) -> Answer {
        let owner = self.connection_string("iothubowner");
        let answer = self.runtime.block_on(try_request(&self.client, owner, method, path, if_match, body));
        answer.expect("an answer")
    }

    /// Sends one request with a token of its own, and returns the status of the answer.
    pub(crate) fn status_with(&self, token: &str, method: &str, path: &str) -> u16 {
        let (host, _) = self::token(self.connection_string("iothubowner"));
        let url = format!("https://{host}{path}?api-version=2021-04-12");
        let request = self.client.request(method.parse().expect("a method"), url).header("Authorization", token);
        self.runtime.block_on(request.send()).expect("an answer").status().as_u16()
    }

    /// A client for another runtime: one's connections live on the runtime that it was first used on.
    pub(crate) fn new_client(&self) -> reqwest::Client {
        trusting_client(self.ca_file())
    }

    /// Creates a device as the body says.
    pub(crate) fn put_device(&self, id: &str, body: Value) {
        self.done(&self.send("PUT", &format!("/devices/{id}"), None, Some(body)));
    }

    /// Registers a device, or `DEVICE/modules/MODULE`, as paths have it.
    pub(crate) fn create(&self, id: &str) {
        match &self.server {
            Server::Here(emulator) => match id.split_once("/modules/") {
                None => emulator.create_device(id).expect(id),
                Some((device, module)) => emulator.create_module(device, module).expect(id),
            },
            Server::Process(_) => {
                self.done(&self.send("PUT", &format!("/devices/{id}"), None, Some(json!({ "deviceId": id }))));
            }
        }
    }

    pub(crate) fn twin(&self, id: &str) -> Value {
        match &self.server {
            Server::Here(emulator) => emulator.twin(&id.replace("/modules/", "/")).expect(id),
            Server::Process(_) => {
                let answer = self.send("GET", &format!("/twins/{id}"), None, None);
                self.done(&answer);
                answer.body
            }
        }
    }

    /// Writes to a twin as a stranger does: with no regard to its etag.
    pub(crate) fn patch(&self, id: &str, body: Value) {
        match &self.server {
            Server::Here(emulator) => drop(emulator.patch_twin(&id.replace("/modules/", "/"), body).expect(id)),
            Server::Process(_) => self.done(&self.send("PATCH", &format!("/twins/{id}"), None, Some(body))),
        }
    }

    fn done(&self, answer: &Answer) {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// The requests that the hub saw, one JSON object each.
    pub(crate) fn requests(&self) -> Vec<Value> {
        if let Server::Here(emulator) = &self.server {
            return emulator.requests().iter().map(|record| serde_json::to_value(record).expect("JSON")).collect();
        }
        let log = fs::read_to_string(self.data.with_extension("requests")).expect("the request log");
        // The last line may be half written.
        log.rsplit_once('\n')
            .map_or("", |(lines, _)| lines)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// The process of a hub that has one of its own.
    pub(crate) fn pid(&self) -> u32 {
        match &self.server {
            Server::Here(_) => panic!("the hub runs in the process of the test"),
            Server::Process(child) => child.id(),
        }
    }

    /// Waits until the process ends by itself, and returns its exit code.
    #[cfg(target_os = "linux")]
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        match &mut self.server {
            Server::Here(_) => panic!("the hub runs in the process of the test"),
            Server::Process(child) => child.wait().expect("an ended child").code(),
        }
    }

    /// Ends it: its process as a power cut would, and in this process without waiting for anybody.
    pub(crate) fn kill(self) {}
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Server::Process(child) = &mut self.server {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn trusting_client(ca_file: &str) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = reqwest::Certificate::from_pem(&fs::read(ca_file).expect("the CA file")).expect("a certificate");
    reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().expect("a client")
}

/// Sends one request, signed with the connection string's key. No answer comes when the hub dies meanwhile.
pub(crate) async fn try_request(
    client: &reqwest::Client,
    connection_string: &str,
    method: &str,
    path: &str,
    if_match: Option<&str>,
    body: Option<Value>,
) -> Result<Answer, reqwest::Error> {
    let (host, token) = token(connection_string);
    let url = format!("https://{host}{path}?api-version=2021-04-12");
    let mut request = client
        .request(method.parse().expect("a method"), url)
        .header("Authorization", token)
        .header("Content-Type", "application/json; charset=utf-8");
    if let Some(if_match) = if_match {
        request = request.header("If-Match", if_match);
    }
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
}

/// The host of a connection string, and a token by its key that is good for an hour.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no clock of its own, and the hub's tokens end by the real one"
)]
fn token(connection_string: &str) -> (String, String) {
    let connection = ConnectionString::parse(connection_string).expect("a connection string");
    let expiry = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 3600;
    let token = sas::sign(connection.host.as_str(), &connection.key, expiry, connection.policy.as_deref());
    (connection.host.to_string(), token.expose().to_owned())
}
