//! `twinctl doctor`

use std::io::Write;
use std::time::Duration;

use super::args::{DoctorArgs, HubArgs, ReportFormat};
use super::connect::{CONNECTION_STRING, Connection, connect, proxy, read_ca};
use super::context::Context;
use super::outcome::{CliResult, Outcome};
use crate::client::is_loopback;
use crate::doctor::{Finding, Health, Patient, Way, examine};
use crate::render::doctor as words;

/// How long one answer may take: who asks a doctor does not want to wait as long as an apply would.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks at everything between here and a hub that works.
pub(super) async fn doctor(context: &mut Context, args: &DoctorArgs) -> CliResult {
    let hub = HubArgs {
        retry_budget: Duration::ZERO,
        timeout: args.hub.timeout.min(PATIENCE),
        concurrency: Some(1),
        ..args.hub.clone()
    };
    let mut findings = Vec::new();
    let mut out = context.out.clone();
    let palette = context.out.palette;
    let mut told = Ok(());
    let mut tell = |finding: Finding| {
        // Each at once, since the next one may take its time.
        if args.format == ReportFormat::Text && told.is_ok() {
            told = out.write_all(words::line(&finding, palette).as_bytes()).and_then(|()| out.flush());
        }
        findings.push(finding);
    };
    match connect(context, &hub).await {
        Ok(connection) => {
            tell(named(context, &hub, &connection));
            let patient = patient(context, &hub, &connection)?;
            examine(&patient, &mut tell).await;
            drop(patient);
            connection.close().await;
        }
        Err(error) => {
            let (says, next) = error.in_a_line();
            tell(Finding::new("settings", Health::Fail, says).next(next));
        }
    }
    told?;
    let text = match args.format {
        ReportFormat::Text => words::summary(&findings, palette),
        ReportFormat::Json => words::json(&findings),
    };
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    let fails = findings.iter().any(|finding| finding.health == Health::Fail);
    Ok(if fails { Outcome::Failed } else { Outcome::Done })
}

/// Says which hub is looked at, and who says so.
fn named(context: &Context, args: &HubArgs, connection: &Connection) -> Finding {
    let host = connection.client.host();
    let says = match (connection.is_embedded(), &args.connection_string) {
        (true, _) => format!("the embedded hub {host}, which makes its own key"),
        (false, Some(_)) => format!("--connection-string names the hub {host} and a policy's key"),
        (false, None) => format!("{CONNECTION_STRING} names the hub {host} and a policy's key"),
    };
    let finding = Finding::new("settings", Health::Ok, says);
    if args.connection_string.is_some() && context.variable(CONNECTION_STRING).is_some() {
        let next = format!("{CONNECTION_STRING} is set too, and the option counts");
        return finding.next(Some(next));
    }
    finding
}

fn patient(context: &Context, args: &HubArgs, connection: &Connection) -> CliResult<Patient> {
    let host = connection.client.host();
    let way = match proxy(context) {
        _ if connection.is_embedded() => Way::InProcess,
        Some(proxy) if !is_loopback(host) && !excepted(proxy.except.as_deref(), host.name()) => Way::Proxy,
        _ => Way::Direct,
    };
    let ca_pem = args.ca_file.as_deref().map(|path| read_ca(context, path)).transpose()?;
    Ok(Patient { client: connection.client.clone(), way, ca_pem })
}

/// Says whether NO_PROXY names a host, or a domain that it is in.
fn excepted(except: Option<&str>, host: &str) -> bool {
    let entries = except.unwrap_or_default().split(',').map(|entry| entry.trim().trim_start_matches('.'));
    entries.filter(|entry| !entry.is_empty()).any(|entry| {
        entry == "*" || host.strip_suffix(entry).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_proxy_excepts() {
        for (except, expected) in [
            (None, false),
            (Some(""), false),
            (Some("*"), true),
            (Some("azure-devices.net"), true),
            (Some("localhost, .azure-devices.net"), true),
            (Some("hub.azure-devices.net"), true),
            (Some("devices.net"), false),
        ] {
            assert_eq!(excepted(except, "hub.azure-devices.net"), expected, "{except:?}");
        }
    }
}
