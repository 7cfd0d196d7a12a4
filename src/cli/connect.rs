//! From options to a hub that can be asked.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::CliError;
use super::args::{HubArgs, HubName};
use super::context::{Context, Output};
use super::embedded::{self, EmbeddedHub};
use super::outcome::CliResult;
use crate::client::{Backoff, ClientOptions, HubClient, OnRetry, ProxySettings, roots};
use crate::render::escape;
use iothub_model::duration;
use iothub_model::wire::Secret;
use iothub_model::wire::connection_string::ConnectionString;

/// Where the connection string comes from when no option says so.
pub(super) const CONNECTION_STRING: &str = "IOTHUB_CONNECTION_STRING";

/// A hub that can be asked, and for an embedded one the hub itself.
pub(super) struct Connection {
    /// The client.
    pub client: HubClient,
    hub: Option<EmbeddedHub>,
}

impl Connection {
    /// Says whether the hub runs in this process.
    pub(super) fn is_embedded(&self) -> bool {
        self.hub.is_some()
    }

    /// Lets the hub go. An embedded one finishes and closes its folder.
    pub(super) async fn close(self) {
        let Self { client, hub } = self;
        // Idle connections first: a hub that stops waits for them.
        drop(client);
        if let Some(hub) = hub {
            hub.stop().await;
        }
    }
}

/// Connects to the hub that the options or the environment name. A hub elsewhere is not asked anything yet.
pub(super) async fn connect(context: &Context, args: &HubArgs) -> CliResult<Connection> {
    match (&args.hub, &args.connection_string) {
        (Some(_), Some(_)) => Err(CliError::new("both --hub and --connection-string are given, and each names a hub")),
        (Some(HubName::Embedded(folder)), None) => in_process(context, args, folder.as_deref()).await,
        (Some(HubName::Host(host)), None) => match context.variable(CONNECTION_STRING) {
            // Which hub and who one is may come from two places, as long as they agree.
            Some(text) => match ConnectionString::parse(&text)?.host {
                named if named == *host => remote(context, args, &text),
                named => Err(CliError::new(format!("--hub says {host}, and {CONNECTION_STRING} is for {named}"))),
            },
            None => Err(CliError::new(format!(
                "--hub {host} alone does not say who you are, and signing in with Entra ID is not there yet"
            ))
            .hint(format!(
                "give a shared access policy: --connection-string, or {CONNECTION_STRING} in the environment"
            ))),
        },
        (None, Some(text)) => remote(context, args, text),
        (None, None) => match context.variable(CONNECTION_STRING) {
            Some(text) => remote(context, args, &text),
            None => Err(CliError::new(none_given(context))
                .hint(format!("{CONNECTION_STRING} in the environment: a shared access policy's connection string"))
                .hint("--connection-string STRING: the same as an option")
                .hint_if(embedded::OFFER)),
        },
    }
}

/// A pipeline that lost its secret sets the variable to nothing.
fn none_given(context: &Context) -> &'static str {
    match (context.environment)(CONNECTION_STRING) {
        Some(_) => "no hub is given: IOTHUB_CONNECTION_STRING is set, and empty",
        None => "no hub is given",
    }
}

fn remote(context: &Context, args: &HubArgs, connection_string: &str) -> CliResult<Connection> {
    let connection = ConnectionString::parse(connection_string)?;
    let mut options = options(context, args, connection);
    if let Some(path) = &args.ca_file {
        options.ca_pem = Some(read_ca(context, path)?);
    }
    options.proxy = proxy(context);
    Ok(Connection { client: HubClient::new(options)?, hub: None })
}

/// Reads a CA file, and names it where it is not one.
pub(super) fn read_ca(context: &Context, path: &Path) -> CliResult<Vec<u8>> {
    let pem = std::fs::read(context.resolve(path));
    let pem = pem.map_err(|error| CliError::doing(format!("reading the CA file {}", path.display()), error))?;
    match roots(&pem) {
        Ok(_) => Ok(pem),
        Err(problem) => {
            let hint = problem.hint();
            Err(CliError::new(format!("the CA file {}: {problem}", path.display())).hint(hint))
        }
    }
}

async fn in_process(context: &Context, args: &HubArgs, folder: Option<&Path>) -> CliResult<Connection> {
    if args.ca_file.is_some() {
        return Err(CliError::new("--ca-file is for a hub elsewhere; the embedded one brings its own"));
    }
    let hub = EmbeddedHub::start(context, folder).await?;
    let mut options = options(context, args, hub.connection()?);
    options.address = Some(hub.address());
    options.ca_pem = Some(hub.ca_pem().as_bytes().to_vec());
    Ok(Connection { client: HubClient::new(options)?, hub: Some(hub) })
}

fn options(context: &Context, args: &HubArgs, connection: ConnectionString) -> ClientOptions {
    let mut options = ClientOptions::new(connection, context.clock.clone());
    options.concurrency = read_concurrency(args);
    options.request_timeout = args.timeout;
    options.backoff = Backoff { budget: args.retry_budget, ..Backoff::default() };
    options.on_retry = Some(patience(context.err.clone()));
    options
}

/// How often the user is told that the hub is waited for.
const REMINDER: Duration = Duration::from_secs(10);

/// Tells the user now and then why nothing happens.
fn patience(err: Output) -> OnRetry {
    let last: Mutex<Option<Instant>> = Mutex::new(None);
    Arc::new(move |error, after| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if after >= Duration::from_secs(1) && last.is_none_or(|last| last.elapsed() >= REMINDER) {
            *last = Some(Instant::now());
            _ = writeln!(
                err.clone(),
                "{}; trying again in {}",
                escape::line(&error.to_string()),
                duration::rounded(after)
            );
        }
    })
}

/// How many reads are under way at once.
pub(super) fn read_concurrency(args: &HubArgs) -> usize {
    args.concurrency.map_or(32, usize::from)
}

/// How many writes are under way at once.
pub(super) fn write_concurrency(args: &HubArgs) -> usize {
    args.concurrency.map_or(16, usize::from)
}

/// Returns the way out of this network that the environment names.
pub(super) fn proxy(context: &Context) -> Option<ProxySettings> {
    let find = |names: &[&str]| names.iter().find_map(|name| context.variable(name));
    let url = find(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?;
    Some(ProxySettings { url: Secret::new(url), except: find(&["NO_PROXY", "no_proxy"]) })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Arguments, Command};
    use crate::cli::context::tests::context;

    const STRING: &str = "HostName=hub;SharedAccessKeyName=service;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==";

    #[tokio::test]
    async fn which_hub() {
        let variable: &[_] = &[(CONNECTION_STRING, STRING)];
        for (arguments, variables, found) in [
            (&[][..], variable, Ok("hub")),
            (&["--connection-string", STRING], &[], Ok("hub")),
            (&["--connection-string", "HostName=x"], variable, Err("error: the connection string names neither")),
            (&[], &[], Err("error: no hub is given\nhint: IOTHUB_CONNECTION_STRING")),
            (
                &[],
                &[(CONNECTION_STRING, "")],
                Err("error: no hub is given: IOTHUB_CONNECTION_STRING is set, and empty"),
            ),
            (&["--hub", "h", "--connection-string", STRING], &[], Err("error: both --hub and --connection-string")),
            (&["--hub", "my-hub.azure-devices.net"], &[], Err("error: --hub my-hub.azure-devices.net alone")),
            (&["--hub", "other"], variable, Err("error: --hub says other, and IOTHUB_CONNECTION_STRING is for hub")),
            (&["--hub", "HUB"], variable, Ok("hub")),
            (
                &["--connection-string", STRING, "--ca-file", "/nowhere"],
                &[],
                Err("error: reading the CA file /nowhere"),
            ),
            (&["--hub", "embedded", "--ca-file", "x"], &[], Err("error: --ca-file is for a hub elsewhere")),
        ] {
            let (mut context, _, err) = context(variables);
            let all = ["twinctl", "plan"].iter().chain(arguments);
            let Command::Plan(plan) = Arguments::parse_from(all).command else { panic!("not a plan") };
            match (connect(&context, &plan.hub).await, found) {
                (Ok(connection), Ok(host)) => assert_eq!(connection.client.host().as_str(), host),
                (Err(error), Err(start)) => {
                    error.report(&mut context);
                    assert!(err.text().starts_with(start), "{}", err.text());
                    assert!(!err.text().contains("AAEC"));
                }
                (Ok(_), Err(_)) => panic!("{arguments:?} connects"),
                (Err(error), Ok(_)) => panic!("{arguments:?}: {error:?}"),
            }
        }
    }
}
