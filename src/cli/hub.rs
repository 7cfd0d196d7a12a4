//! `twinctl hub serve`, `twinctl hub device`, `twinctl hub faults`

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{BehaviourArgs, DeviceCommand, DeviceNames, DeviceTarget, FaultsCommand, HubCommand, ServeArgs};
use super::command_line::CommandLine;
use super::connect::connect;
use super::context::Context;
use super::credentials::connection_string;
use super::embedded;
use super::interrupt::Interrupts;
use super::outcome::{CliError, CliResult, Outcome};
use super::ready::{Ready, ReadyFile};
use super::{refusals, token};
use crate::client;
use crate::render::style::Palette;
use crate::render::{number, table};
use iothub_emulator::{Emulator, FaultSpec, HubStartError, OfflineHub, TlsFiles};
use iothub_model::diagnostic::Source;
use iothub_model::twin::{DeviceId, HubHost, Lookup, Object, TwinId};
use iothub_model::wire::connection_string::ConnectionString;
use iothub_model::wire::{Secret, twins};

/// Runs one of the hub's commands.
pub(super) async fn hub(context: &mut Context, command: &HubCommand) -> CliResult {
    match command {
        HubCommand::Serve(args) => serve(context, args).await,
        HubCommand::Device(DeviceCommand::Add { ids, edge, no_port, target }) => {
            add(context, ids, *edge, *no_port, target).await
        }
        HubCommand::Device(DeviceCommand::ConnectionString { id, no_port, target }) => {
            print_connection_string(context, id, *no_port, target).await
        }
        HubCommand::Device(DeviceCommand::Remove { ids, target }) => remove(context, ids, target).await,
        HubCommand::Device(DeviceCommand::List { target }) => list(context, target).await,
        HubCommand::Device(DeviceCommand::Show { id, no_port, target }) => show(context, id, *no_port, target).await,
        HubCommand::Token(args) => token::token(context, args).await,
        HubCommand::Faults(command) => faults(context, command).await,
    }
}

async fn serve(context: &mut Context, args: &ServeArgs) -> CliResult {
    let BehaviourArgs { tier, units, query_lag, latency, faults, entra_issuer } = &args.behaviour;
    let tls = args.tls_cert.as_deref().zip(args.tls_key.as_deref()).map(|(certificate, key)| {
        let files = TlsFiles::new(context.resolve(certificate), context.resolve(key));
        match &args.tls_ca {
            None => files,
            Some(path) => files.with_authority(context.resolve(path)),
        }
    });
    let (observer, mut refused) = refusals::listen();
    let faults = faults.as_deref().map(|rules| read_faults(context, rules)).transpose()?.unwrap_or_default();
    let mut options = Emulator::builder()
        .data_dir(context.resolve(&args.data))
        .https(args.https)
        .mqtt(args.mqtt.unwrap_or_else(|| beside(args.https, 8883)))
        .amqp(args.amqp.unwrap_or_else(|| beside(args.https, 5671)))
        .query_lag(query_lag.unwrap_or_default())
        .latency(latency.unwrap_or_default())
        .faults(faults.to_string())
        .on_request(observer);
    if let Some(tier) = *tier {
        options = options.tier(tier, *units);
    }
    if let Some(path) = entra_issuer {
        options = options.entra_issuer(context.resolve(path));
    }
    if let Some(name) = &args.host_name {
        options = options.host_name(name.as_str());
    }
    if let Some(path) = &args.request_log {
        options = options.request_log(context.resolve(path));
    }
    if let Some(files) = tls {
        options = options.tls_files(files);
    }
    if let Some(every) = args.evaluate_configurations {
        options = options.evaluate_configurations(every);
    }
    let ready_file = args.ready_file.as_deref().map(|path| ReadyFile::new(context.resolve(path)));
    // Whoever waits for the new one must not find an old one.
    let old = ready_file.as_ref().map(ReadyFile::remove_old).transpose()?;
    let running = match embedded::start(context, options).await {
        Ok(running) => running,
        Err(error) => {
            if let (HubStartError::InUse { .. }, Some(file), Some(old)) = (&error, &ready_file, old) {
                // It is most likely that of the hub which has the folder.
                file.put_back(old);
            }
            return Err(error.into());
        }
    };
    // Before anybody is told that it listens, so that whoever waits for that can stop it.
    let mut interrupts = Interrupts::listen().map_err(|error| CliError::doing("listening for Ctrl-C", error))?;
    let ready = Ready::of(&running);
    if let Some(file) = &ready_file {
        file.write(&ready)?;
    }
    let text = ready_text(&ready, context.out.palette);
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    loop {
        tokio::select! {
            _ = interrupts.next() => break,
            line = refused.next() => context.say(line),
        }
    }
    if let Some(file) = &ready_file {
        file.remove(&ready);
    }
    context.say("stopping: requests under way have up to 10 s; Ctrl-C again stops at once");
    tokio::select! {
        () = running.stop() => Ok(Outcome::Done),
        () = interrupts.insisting() => Ok(Outcome::Interrupted),
    }
}

/// Reads rules from a file of this name, or from the text itself.
fn read_faults(context: &Context, text: &str) -> CliResult<FaultSpec> {
    let path = context.resolve(Path::new(text));
    let source = match path.is_file() {
        true => {
            let rules = std::fs::read_to_string(&path);
            let rules = rules.map_err(|error| CliError::doing(format!("reading the faults in {text}"), error))?;
            Source::new(text, rules)
        }
        false if text.trim().is_empty() => {
            return Err(CliError::new("the text of the rules is empty")
                .hint("a rule is METHOD PATH FAULT, and how often: PATCH /twins/* 429 20%")
                .hint("`twinctl hub faults clear` takes all rules away"));
        }
        // A rule has several words.
        false if !text.trim().contains(char::is_whitespace) => {
            return Err(CliError::new(format!("there is no file {text}, and it is no rule either"))
                .hint("a rule is METHOD PATH FAULT, and how often: PATCH /twins/* 429 20%"));
        }
        false => Source::new("<faults>", text),
    };
    Ok(FaultSpec::parse(&source)?)
}

async fn faults(context: &mut Context, command: &FaultsCommand) -> CliResult {
    // Mistakes are found before anybody is asked.
    let rules = match command {
        FaultsCommand::Set { rules, .. } => Some(read_faults(context, rules)?.to_string()),
        FaultsCommand::Show { .. } | FaultsCommand::Clear { .. } => None,
    };
    let (FaultsCommand::Show { hub } | FaultsCommand::Set { hub, .. } | FaultsCommand::Clear { hub }) = command;
    let connection = connect(context, hub).await?;
    let client = &connection.client;
    let answer = match (command, rules) {
        (FaultsCommand::Set { .. }, Some(rules)) => client.set_faults(rules).await,
        (FaultsCommand::Clear { .. }, _) => client.clear_faults().await,
        (FaultsCommand::Show { .. } | FaultsCommand::Set { .. }, _) => client.faults().await,
    };
    let report = answer.map_err(|error| {
        let is_elsewhere = matches!(error, client::Error::NotFound { .. } | client::Error::Refused { .. });
        let hint = is_elsewhere.then_some("only a hub of `twinctl hub serve` can be told to misbehave");
        CliError::from(error).hint_if(hint)
    })?;
    connection.close().await;
    if report.rules.is_empty() {
        context.say("no faults: the hub behaves well");
    }
    let rows: Vec<Value> = report
        .rules
        .iter()
        .map(|rule| json!({"rule": rule.rule, "requests": rule.matched, "due": rule.fired}))
        .collect();
    let columns = ["requests", "due", "rule"];
    let text = table::RowTable::new(context.out.palette, context.out.width).whole().listing(Some(&columns)).page(&rows);
    context.out.write_all(text.as_bytes())?;
    if let Some(seed) = report.spec.lines().last().filter(|line| line.starts_with("seed ")) {
        writeln!(context.out, "{seed}")?;
    }
    Ok(Outcome::Done)
}

/// Where SDKs look for another protocol, on the address of `https`. Whoever asks for any port there is not to meet a taken one
/// here.
fn beside(https: SocketAddr, usual: u16) -> SocketAddr {
    let port = if https.port() == 0 { 0 } else { usual };
    SocketAddr::new(https.ip(), port)
}

/// What people need in order to use a hub that listens.
fn ready_text(ready: &Ready, palette: Palette) -> String {
    let strings = &ready.connection_strings;
    let mut text = format!("{} https://{}\n", palette.title("The hub listens on"), ready.host_name);
    if let Some(mqtt) = ready.mqtt {
        text.push_str(&format!("  devices: mqtts://{mqtt} and {}\n", ready.websocket));
    }
    if let Some(amqp) = ready.amqp {
        text.push_str(&format!("  messages to devices: amqps://{amqp} and {}\n", ready.websocket));
    }
    text.push('\n');
    text.push_str(&format!("{}\n", palette.title("Connection strings")));
    for (policy, string) in strings.by_policy() {
        text.push_str(&format!("  {policy:<17}  {}\n", string.expose()));
    }
    text.push_str(&format!("\n{}  {}\n", palette.title("Certificate authority"), ready.ca_file.display()));
    for (client, trust) in [
        ("twinctl", "--ca-file FILE, or SSL_CERT_FILE=FILE"),
        ("curl", "--cacert FILE; mosquitto: --cafile FILE"),
        ("Node", "NODE_EXTRA_CA_CERTS=FILE"),
        ("Python", "REQUESTS_CA_BUNDLE=FILE for services, SSL_CERT_FILE=FILE for devices"),
        ("C", "SSL_CERT_FILE=FILE for devices; services read the system's store alone"),
        ("C#", "the system's store"),
        ("Java", "a truststore made by keytool"),
    ] {
        text.push_str(&format!("  {client:<7}  {trust}\n"));
    }
    text.push_str("  More, with the ports that each needs: docs/hub.md, \"Point an SDK at it\"\n");
    text.push_str("\nCtrl-C stops it.\n");
    text
}

/// Returns the ids that names stand for, each once.
fn distinct(names: &[DeviceNames], done: &str) -> CliResult<Vec<DeviceId>> {
    let ids: Vec<DeviceId> = names.iter().flat_map(|names| names.ids.iter().cloned()).collect();
    let mut seen = BTreeSet::new();
    match ids.iter().find(|id| !seen.insert(*id)) {
        Some(twice) => Err(CliError::new(format!("{twice} is named twice, and can be {done} once"))),
        None => Ok(ids),
    }
}

async fn add(
    context: &mut Context,
    names: &[DeviceNames],
    edge: bool,
    no_port: bool,
    target: &DeviceTarget,
) -> CliResult {
    let ids = distinct(names, "added")?;
    if let Some(data) = &target.data {
        let mut hub = embedded::open(context, data)?;
        for id in &ids {
            let add = if edge { OfflineHub::add_edge_device } else { OfflineHub::add_device };
            let secret = add(&mut hub, id).map_err(|refusal| CliError::new(format!("adding {id}: {refusal}")))?;
            writeln!(context.out, "{}", at_port(secret, no_port)?.expose())?;
            warn_of_unreadable(context, id);
        }
        return Ok(Outcome::Done);
    }
    let connection = connect(context, &target.hub).await?;
    for id in &ids {
        let identity = match edge {
            true => connection.client.create_edge_device(id).await?,
            false => connection.client.create_device(id).await?,
        };
        let secret = connection_string(connection.client.host(), &identity)
            .ok_or_else(|| CliError::new(format!("{id} is added, and the hub answers without its key")))?;
        writeln!(context.out, "{}", at_port(secret, no_port)?.expose())?;
        warn_of_unreadable(context, id);
    }
    connection.close().await;
    Ok(Outcome::Done)
}

async fn remove(context: &mut Context, names: &[DeviceNames], target: &DeviceTarget) -> CliResult {
    let ids = distinct(names, "removed")?;
    if let Some(data) = &target.data {
        let mut hub = embedded::open(context, data)?;
        for id in &ids {
            hub.remove_device(id).map_err(|refusal| CliError::new(format!("removing {id}: {refusal}")))?;
        }
    } else {
        let connection = connect(context, &target.hub).await?;
        for id in &ids {
            connection.client.delete_device(id).await?;
        }
        connection.close().await;
    }
    context.say(format_args!("{} removed", number::counted(ids.len(), "device")));
    Ok(Outcome::Done)
}

async fn print_connection_string(
    context: &mut Context,
    id: &DeviceId,
    no_port: bool,
    target: &DeviceTarget,
) -> CliResult {
    let secret = if let Some(data) = &target.data {
        let mut hub = embedded::open(context, data)?;
        hub.connection_string(id).map_err(|refusal| CliError::new(format!("reading {id}: {refusal}")))?
    } else {
        let connection = connect(context, &target.hub).await?;
        let unknown = || CliError::new(format!("the hub {} has no device {id}", connection.client.host()));
        let identity = connection.client.get_device(id).await?.ok_or_else(unknown)?;
        let secret = connection_string(connection.client.host(), &identity);
        connection.close().await;
        secret
    };
    let secret = secret.ok_or_else(|| {
        CliError::new(format!("{id} has no shared access key, and so no connection string"))
            .hint("it signs in with a certificate")
    })?;
    writeln!(context.out, "{}", at_port(secret, no_port)?.expose())?;
    warn_of_unreadable(context, id);
    Ok(Outcome::Done)
}

/// Returns a connection string with the port of its host, or without it: device SDKs take it for a part of the hub's name.
fn at_port(string: Secret, no_port: bool) -> CliResult<Secret> {
    if !no_port {
        return Ok(string);
    }
    let (host, rest) = string.expose().split_once(';').unwrap_or((string.expose(), ""));
    let host = host.strip_prefix("HostName=").unwrap_or(host).parse::<HubHost>().map_err(CliError::from_error)?;
    Ok(Secret::new(format!("HostName={};{rest}", host.name())))
}

/// Warns of an id whose connection string nobody can read, as it has the beginning of another part in it.
fn warn_of_unreadable(context: &mut Context, id: &DeviceId) {
    if !ConnectionString::can_hold(id.as_str()) {
        context.say(format!(
            "warning: {id} reads as several parts of a connection string; `twinctl device run` cannot use it"
        ));
    }
}

/// The most that one listing of the service returns.
const LISTED: usize = 1000;

async fn list(context: &mut Context, target: &DeviceTarget) -> CliResult {
    let (rows, cut): (Vec<Value>, bool) = if let Some(data) = &target.data {
        let mut hub = embedded::open(context, data)?;
        let devices = hub.devices().map_err(|refusal| CliError::new(format!("listing devices: {refusal}")))?;
        let row = |device: &Value| json!({"deviceId": device["deviceId"], "status": device["status"]});
        (devices.iter().map(row).collect(), false)
    } else {
        let connection = connect(context, &target.hub).await?;
        let devices = connection.client.list_devices(LISTED).await?;
        connection.close().await;
        let cut = devices.len() == LISTED;
        (devices.iter().map(|device| row(&device.device_id, json!(device.status))).collect(), cut)
    };
    let text = table::RowTable::new(context.out.palette, context.out.width).whole().page(&rows);
    context.out.write_all(text.as_bytes())?;
    context.say(number::counted(rows.len(), "device"));
    if cut {
        let query = CommandLine::new("query").word("SELECT deviceId FROM devices").hub(&target.hub);
        context.say(format_args!("there may be more: the service lists no further; ask {}", query.in_hint("")));
    }
    Ok(Outcome::Done)
}

fn row(id: &DeviceId, status: Value) -> Value {
    json!({"deviceId": id, "status": status})
}

async fn show(context: &mut Context, id: &DeviceId, no_port: bool, target: &DeviceTarget) -> CliResult {
    let (secret, twin) = if let Some(data) = &target.data {
        let mut hub = embedded::open(context, data)?;
        let refused = |refusal| CliError::new(format!("reading {id}: {refusal}"));
        let secret = hub.connection_string(id).map_err(refused)?;
        (secret, hub.twin(id).map_err(refused)?)
    } else {
        let connection = connect(context, &target.hub).await?;
        let unknown = || CliError::new(format!("the hub {} has no device {id}", connection.client.host()));
        let identity = connection.client.get_device(id).await?.ok_or_else(unknown)?;
        let twin = match connection.client.get_twin(&TwinId::device(id.clone())).await? {
            Lookup::Found(twin) => twins::encode_twin(&twin),
            Lookup::Absent(_) => return Err(unknown()),
        };
        let secret = connection_string(connection.client.host(), &identity);
        connection.close().await;
        (secret, twin)
    };
    let mut shown = Object::new();
    if let Some(secret) = secret {
        shown.insert("connectionString".to_owned(), at_port(secret, no_port)?.expose().into());
    }
    shown.insert("twin".to_owned(), twin);
    context.out.write_all(crate::render::json::document(&shown).as_bytes())?;
    Ok(Outcome::Done)
}
