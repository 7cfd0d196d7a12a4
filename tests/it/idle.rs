//! Many connections that say nothing: devices that have logged in, clients of HTTPS that have not begun, and others that have
//! not even begun TLS.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use iothub_model::wire::{ConnectionString, sas};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::device::{Device, Door};
use crate::support::hub::{Hub, try_request};
use crate::support::{Sandbox, TWINCTL, scrub};

/// Connections in all, where this process and the hub may have so many files open, and the machine makes so many in time.
const WANTED: usize = 10_000;
/// One in so many is a device's, and as many are clients of HTTPS, both to the end of their handshakes. All of them could be: ten
/// thousand handshakes without optimization take both sides more than half a minute, in which the tests beside this one starve.
const ONE_DEVICE_IN: usize = 10;
/// No more handshakes are begun after this time: a machine that does other things beside makes fewer.
const TIME: Duration = Duration::from_secs(40);
/// So many must have been made in it.
const ENOUGH: usize = 200;
/// How long the hub keeps those that do not begin TLS, with a second to spare.
const KEPT_WITHOUT_TLS: Duration = Duration::from_secs(9);
/// Files that a process needs beside.
const OTHER_FILES: usize = 400;
/// Handshakes under way at once.
const AT_ONCE: usize = 32;
/// What a connection may cost the hub.
const BYTES_EACH: u64 = 40 * 1024;

/// The hub starts with the few files that a shell allows, and raises the limit itself.
#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    let sandbox = Sandbox::new();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -Sn 256; exec \"$@\"", "sh", TWINCTL, "hub", "serve", "--https", "127.0.0.1:0"]);
    scrub(&mut shell, &sandbox.path(""));
    let hub = Hub::serve_by(&sandbox, shell, &[]);
    let allowed = usize::try_from(rlimit::increase_nofile_limit(u64::MAX).expect("a limit")).unwrap_or(usize::MAX);
    let count = WANTED.min(allowed.saturating_sub(OTHER_FILES));
    if count < WANTED {
        say(&format!("{count} connections and not {WANTED}: no more than {allowed} files may be open"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(crowd(&hub, count));
}

async fn crowd(hub: &Hub, count: usize) {
    let door = Arc::new(Door::new(hub.ready()));
    let owner = hub.connection_string("iothubowner");
    let client = hub.new_client();
    let ask = async |method: &str, path: &str, body: Option<Value>| {
        let answer = try_request(&client, owner, method, path, None, body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    };
    let devices = count / ONE_DEVICE_IN;
    let ids: Vec<String> = (0..=devices).map(|number| format!("idle-{number:04}")).collect();
    for batch in ids.chunks(100) {
        let entries: Vec<_> = batch.iter().map(|id| json!({ "id": id, "importMode": "create" })).collect();
        ask("POST", "/devices", Some(entries.into())).await;
    }
    let at_first = memory(hub.pid());
    let begun = Instant::now();

    let token = token_of_a_policy(hub, &door);
    let logins = ids[..devices].iter().map(async |id| Device::login(&door, id, &token).await.expect("let in"));
    let is_time = || std::future::ready(begun.elapsed() < TIME);
    let logins = stream::iter(logins).take_while(|_| is_time());
    let devices_in: Vec<Device> = logins.buffer_unordered(AT_ONCE).collect().await;
    let https = hub.ready()["https"].as_str().expect("https");
    let handshakes = (0..devices).map(async |_| door.tls(https).await.expect("a handshake"));
    let handshakes = stream::iter(handshakes).take_while(|_| is_time());
    let idle: Vec<_> = handshakes.buffer_unordered(AT_ONCE).collect().await;
    let made = devices_in.len() + idle.len();
    assert!(made >= ENOUGH, "only {made} handshakes were made in {:?}", begun.elapsed());
    let bare_since = Instant::now();
    let mut bare = Vec::with_capacity(count - made);
    for number in made..count {
        let address = if number % 2 == 0 { https } else { &door.address };
        bare.push(TcpStream::connect(address).await.expect("a connection"));
    }
    let opened = begun.elapsed();
    say(&format!("{count} idle connections in {opened:?}, {made} of them to the end of the handshake"));

    // Whoever comes now is served, over both protocols.
    let mut late = Device::login(&door, &ids[devices], &token).await.expect("let in");
    assert_eq!(late.report(&json!({ "still": "here" })).await.expect("an answer"), 204);
    let twin = ask("GET", &format!("/twins/{}", ids[devices]), None).await;
    assert_eq!(twin["properties"]["reported"]["still"], "here");
    let connected = ask("GET", "/statistics/service", None).await;
    assert_eq!(connected["connectedDeviceCount"], devices_in.len() + 1);
    let served = begun.elapsed() - opened;
    assert!(served < Duration::from_secs(10), "the next were served after {served:?}");

    let sockets = devices_in.iter().map(Device::socket).chain(idle.iter().map(|stream| stream.get_ref().0));
    let open = sockets.filter(|socket| is_open(socket)).count();
    assert_eq!(open, made, "some were closed within {:?}", begun.elapsed());
    let open = bare.iter().filter(|socket| is_open(socket)).count();
    if bare_since.elapsed() < KEPT_WITHOUT_TLS {
        assert_eq!(open, bare.len(), "some that had not begun TLS were closed early");
    }
    if let (Some(before), Some(now)) = (at_first, memory(hub.pid())) {
        let each = now.saturating_sub(before) / count as u64;
        assert!(each < BYTES_EACH, "a connection costs {each} bytes: {before} grew to {now}");
    }
}

#[expect(clippy::print_stderr, reason = "how many there were depends on the machine, and a reader wants to know")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// What comes after the handshake on its own (tickets, in TLS 1.3) is all that may wait to be read.
fn is_open(socket: &TcpStream) -> bool {
    match socket.try_read(&mut [0; 1]) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

/// One token for all devices, as the policy `device` signs it.
#[expect(clippy::disallowed_methods, reason = "a test has no clock of its own, and tokens end by the real one")]
fn token_of_a_policy(hub: &Hub, door: &Door) -> String {
    let string = ConnectionString::parse(hub.connection_string("device")).expect("a connection string");
    let expiry = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() + 3600;
    let resource = format!("{}/devices", door.host_name);
    sas::sign(&resource, &string.key, expiry, string.policy.as_deref()).expose().to_owned()
}

/// The bytes of memory that a process has, where the system says so.
fn memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}
