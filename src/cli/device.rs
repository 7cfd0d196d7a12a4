//! `twinctl device run`

use std::io::Write;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};

use super::args::{DeviceRunArgs, HubName};
use super::connect::{CONNECTION_STRING, connect, read_ca, read_concurrency};
use super::context::Context;
use super::embedded;
use super::interrupt::Interrupts;
use super::outcome::{CliError, CliResult, Outcome};
use crate::cancel::CancelFlag;
use crate::client::HubClient;
use crate::device::{self, Behaviour, Device, DeviceOptions, Endpoint, Event, report};
use crate::manifest::range::Pattern;
use crate::render::device::{Tally, answer, remark};
use crate::render::number::counted;
use iothub_model::twin::{DeviceId, HubHost, TwinId};
use iothub_model::wire::connection_string::ConnectionString;
use iothub_model::wire::sas::Key;

/// Where a device's connection string comes from when no option says so, as in Microsoft's own samples.
const DEVICE_CONNECTION_STRING: &str = "IOTHUB_DEVICE_CONNECTION_STRING";
/// The built-in policy that connects devices and may do nothing else, so it cannot fetch their keys.
const DEVICE_POLICY: &str = "device";
/// How often the user is told how many devices fare.
const SUMMARY_EVERY: Duration = Duration::from_secs(5);
/// When the user is told so for the first time.
const FIRST_SUMMARY: Duration = Duration::from_secs(1);
/// More would be a simulation of another kind: each is a connection and a task.
const DEVICES_MAX: u64 = 50_000;

/// Runs simulated devices until they have done all, or the user stops them.
pub(super) async fn run(context: &mut Context, args: &DeviceRunArgs) -> CliResult {
    let behaviour =
        Behaviour { report: report::combine(&args.report).map_err(CliError::from_error)?, acknowledge: args.ack };
    let ids = ids(args)?;
    let mut interrupts = Interrupts::listen().map_err(|error| CliError::doing("listening for Ctrl-C", error))?;
    let found = tokio::select! {
        found = devices(context, args, ids) => found?,
        _ = interrupts.next() => return Ok(Outcome::Interrupted),
    };
    let DevicesToRun { host, gateway, devices } = found;
    let ca = args.hub.ca_file.as_deref().map(|path| read_ca(context, path)).transpose()?;
    let endpoint = Endpoint::new(gateway.as_ref().unwrap_or(&host), args.port, args.websocket, ca.as_deref())?;
    let stop = CancelFlag::new();
    let options = DeviceOptions {
        once: args.once,
        at_a_time: args.hub.concurrency.map_or(16, usize::from),
        answer_timeout: args.hub.timeout,
        budget: args.hub.retry_budget,
        stop: stop.clone(),
        ..DeviceOptions::new(host, endpoint, behaviour, context.clock.clone())
    };
    let is_interrupted = CancelFlag::new();
    let (wish, told) = (stop.clone(), is_interrupted.clone());
    let listening = tokio::spawn(interrupts.first_and_second(move || {
        told.request();
        wish.request();
    }));
    let ending = args.exit_after.map(|after| {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            stop.request();
        })
    });
    let ids: Vec<TwinId> = devices.iter().map(|device| device.id.clone()).collect();
    let outcome = watch(context, &ids, device::start(devices, options)).await;
    listening.abort();
    if let Some(ending) = ending {
        ending.abort();
    }
    // What has no end of its own ends by Ctrl-C, and ends well.
    let is_cut_short = is_interrupted.is_requested() && (args.once || args.exit_after.is_some());
    match outcome? {
        Outcome::Done if is_cut_short => Ok(Outcome::Interrupted),
        outcome => Ok(outcome),
    }
}

/// Says what happens until all devices have ended.
async fn watch(
    context: &mut Context,
    ids: &[TwinId],
    mut told: tokio::sync::mpsc::Receiver<device::Told>,
) -> CliResult {
    let many = ids.len() > 1;
    let mut tally = Tally::new(ids.len());
    let (mut last_error, mut last_said) = (None, None);
    let mut due = tokio::time::interval_at((Instant::now() + FIRST_SUMMARY).into(), SUMMARY_EVERY);
    loop {
        let told = tokio::select! {
            told = told.recv() => told,
            _ = due.tick(), if many => {
                if last_said.as_ref() != Some(&tally) {
                    context.say(&tally);
                    last_said = Some(tally.clone());
                }
                continue;
            }
        };
        let Some(device::Told { device, event }) = told else { break };
        tally.count(device, &event);
        if let Some(line) = answer(&ids[device], &event, context.out.palette) {
            writeln!(context.out, "{line}")?;
            context.out.flush()?;
        }
        if !many && let Some(line) = remark(&ids[device], &event) {
            context.say(line);
        }
        if let Event::Failed(error) = event {
            last_error = Some(error);
        }
    }
    if many {
        context.say(&tally);
    }
    match last_error {
        None => Ok(Outcome::Done),
        Some(error) if tally.failed() == ids.len() => {
            let advice = error.advice();
            Err(CliError::from_error(error).hint_if(advice))
        }
        Some(error) => {
            if let Some(advice) = error.advice() {
                context.say(format_args!("{}: {advice}", error.reason()));
            }
            Ok(Outcome::TwinsFailed)
        }
    }
}

/// Returns the devices that `--id` and `--count` name.
fn ids(args: &DeviceRunArgs) -> CliResult<Vec<DeviceId>> {
    let mut ids = Vec::new();
    for name in &args.ids {
        let pattern = Pattern::parse(name)
            .map_err(|error| CliError::new(format!("--id {name}: {}", error.message)).hint(error.help))?;
        if pattern.count() + ids.len() as u64 > DEVICES_MAX
            && args.count.is_none_or(|count| u64::from(count) > DEVICES_MAX)
        {
            return Err(CliError::new(format!("--id {name}: more than {DEVICES_MAX} devices in one process"))
                .hint("--count N takes the first N of them"));
        }
        let left = args.count.map_or(usize::MAX, |count| count as usize).saturating_sub(ids.len());
        for name in pattern.names().take(left) {
            ids.push(name.parse::<DeviceId>().map_err(CliError::from_error)?);
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = ids.iter().find(|id| !seen.insert(*id)) {
        return Err(CliError::new(format!("--id names {twice} twice, and a hub lets a device in once")));
    }
    if let Some(count) = args.count.filter(|&count| count as usize > ids.len()) {
        return Err(CliError::new(format!(
            "--count {count} wants more than the {} of --id",
            counted(ids.len(), "device")
        ))
        .hint("a range names many: --id 'press-{001..100}'"));
    }
    Ok(ids)
}

/// Who is to be run, and where.
struct DevicesToRun {
    host: HubHost,
    gateway: Option<HubHost>,
    devices: Vec<Device>,
}

/// Finds the hub, and each device with its key.
async fn devices(context: &Context, args: &DeviceRunArgs, ids: Vec<DeviceId>) -> CliResult<DevicesToRun> {
    if let Some(HubName::Embedded(_)) = args.hub.hub {
        embedded::check_available()?;
        return Err(CliError::new("a hub for one command has nobody else on it to meet the device")
            .hint("run `twinctl hub serve --data hub` beside this, and give the connection string that it prints"));
    }
    let given = args.hub.connection_string.clone();
    let given = given.or_else(|| context.variable(DEVICE_CONNECTION_STRING).filter(|_| ids.is_empty()));
    let Some(text) = given.or_else(|| context.variable(CONNECTION_STRING)) else {
        return Err(CliError::new("no hub is given")
            .hint(format!(
                "--connection-string or {DEVICE_CONNECTION_STRING}: a device's connection string{}",
                if cfg!(feature = "embedded") { ", which `hub device show` prints" } else { "" }
            ))
            .hint(format!(
                "--id ID with {CONNECTION_STRING}: a shared access policy's, which fetches the device's key"
            )));
    };
    let string = ConnectionString::parse(&text).map_err(|error| {
        CliError::from_error(error).hint("a device's reads HostName=HUB.azure-devices.net;DeviceId=DEVICE;SharedAccessKey=KEY, in quotes where a shell sees it")
    })?;
    if let Some(HubName::Host(host)) = &args.hub.hub
        && *host != string.host
    {
        return Err(CliError::new(format!("--hub says {host}, and the connection string is for {}", string.host)));
    }
    let ConnectionString { host, gateway, policy, device, module, key } = string;
    let devices = match (device, policy) {
        (Some(device), policy) if ids.is_empty() => {
            vec![Device { id: TwinId { device, module }, key, policy }]
        }
        (Some(device), _) => {
            let message = format!("the connection string is the one of {device}, and --id names others");
            return Err(
                CliError::new(message).hint("leave --id out, or give a shared access policy's connection string")
            );
        }
        (None, _) if ids.is_empty() => {
            return Err(CliError::new("the connection string is a policy's, and no device is named")
                .hint("--id thermostat-001, or --id 'press-{001..100}'"));
        }
        (None, Some(policy)) if policy == DEVICE_POLICY => {
            let device = |id: DeviceId| Device { id: id.into(), key: key.clone(), policy: Some(policy.clone()) };
            ids.into_iter().map(device).collect()
        }
        (None, _) => {
            let connection = connect(context, &args.hub).await?;
            let fetched = fetch(&connection.client, ids, read_concurrency(&args.hub)).await;
            connection.close().await;
            fetched?
        }
    };
    Ok(DevicesToRun { host, gateway, devices })
}

/// Fetches the devices' keys.
async fn fetch(client: &HubClient, ids: Vec<DeviceId>, at_once: usize) -> CliResult<Vec<Device>> {
    let reads = ids.into_iter().map(async |id| {
        let identity = client.get_device(&id).await?;
        Ok::<_, CliError>((id, identity))
    });
    let found: Vec<_> = futures_util::stream::iter(reads).buffered(at_once).try_collect().await?;
    let missing: Vec<&DeviceId> = found.iter().filter(|(_, identity)| identity.is_none()).map(|(id, _)| id).collect();
    if let Some(first) = missing.first() {
        let others = match missing.len() - 1 {
            0 => String::new(),
            others => format!(", nor {}", counted(others, "other")),
        };
        return Err(CliError::new(format!("the hub {} has no device {first}{others}", client.host())).hint(
            match cfg!(feature = "embedded") {
                true => "`hub device add` registers devices, and so does `missing: register` in a manifest",
                false => "`missing: register` in a manifest registers devices",
            },
        ));
    }
    found
        .into_iter()
        .map(|(id, identity)| {
            let key = identity.and_then(|identity| Key::from_base64(identity.primary_key()?.expose()).ok());
            let key = key.ok_or_else(|| {
                CliError::new(format!("{id} has no shared access key"))
                    .hint("devices that sign in with certificates cannot be simulated")
            })?;
            Ok(Device { id: id.into(), key, policy: None })
        })
        .collect()
}
