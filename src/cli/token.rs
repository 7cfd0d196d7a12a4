//! `twinctl hub token`

use std::io::Write;
use std::time::SystemTime;

use super::args::{HubName, TokenArgs};
use super::command_line::CommandLine;
use super::connect::{CONNECTION_STRING, connect};
use super::context::Context;
use super::credentials::connection_string;
use super::outcome::{CliError, CliResult, Outcome};
use iothub_model::twin::DeviceId;
use iothub_model::wire::Secret;
use iothub_model::wire::connection_string::ConnectionString;
use iothub_model::wire::sas;

/// The policy of `--data` when none is named.
const OWNER: &str = "iothubowner";

/// Prints a shared access signature.
pub(super) async fn token(context: &mut Context, args: &TokenArgs) -> CliResult {
    let ConnectionString { host, policy, device, module, key, .. } = signer(context, args).await?;
    let module = args.module.clone().or(module);
    let mut resource = if args.no_port { host.name() } else { host.as_str() }.to_owned();
    for (kind, id) in
        [("devices", device.as_ref().map(DeviceId::as_str)), ("modules", module.as_ref().map(|module| module.as_str()))]
    {
        resource.extend(id.iter().flat_map(|id| ["/", kind, "/", id]));
    }
    let now = (context.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let expiry = now.saturating_add(args.expires).as_secs();
    writeln!(context.out, "{}", sas::sign(&resource, &key, expiry, policy.as_deref()).expose())?;
    Ok(Outcome::Done)
}

/// Returns the connection string whose key signs.
async fn signer(context: &Context, args: &TokenArgs) -> CliResult<ConnectionString> {
    let TokenArgs { device, policy, target, .. } = args;
    if let Some(data) = &target.data {
        let mut hub = super::embedded::open(context, data)?;
        let secret = match device {
            None => {
                let policy = policy.as_deref().unwrap_or(OWNER);
                hub.policy_connection_string(policy).ok_or_else(|| {
                    CliError::new(format!("the hub has no shared access policy {}", policy.escape_debug()))
                        .hint("the policies are iothubowner, service, device, registryRead and registryReadWrite")
                })?
            }
            Some(id) => {
                let refused = |refusal| CliError::new(format!("reading {id}: {refusal}"));
                hub.connection_string(id).map_err(refused)?.ok_or_else(|| without_key(id))?
            }
        };
        return parse(&secret);
    }
    if let Some(HubName::Embedded(folder)) = &target.hub.hub {
        let error = CliError::new("a hub inside this process is gone before anybody can use a token for it");
        let Some(folder) = folder else { return Err(error) };
        let command = CommandLine::new("hub token").path_option("--data", folder);
        let command = command.option_if("--device", device.as_ref()).option_if("--module", args.module.as_ref());
        return Err(error.hint(command.in_hint("")));
    }
    if let Some(id) = device {
        let connection = connect(context, &target.hub).await?;
        let unknown = || CliError::new(format!("the hub {} has no device {id}", connection.client.host()));
        let identity = connection.client.get_device(id).await?.ok_or_else(unknown)?;
        let secret = connection_string(connection.client.host(), &identity).ok_or_else(|| without_key(id))?;
        connection.close().await;
        return parse(&secret);
    }
    let text = target.hub.connection_string.clone().or_else(|| context.variable(CONNECTION_STRING));
    let text = text.ok_or_else(|| {
        CliError::new("no connection string is given, whose key would sign")
            .hint(format!("{CONNECTION_STRING} in the environment, or --connection-string STRING"))
            .hint("--data DIR: the keys of an embedded hub that is not running")
    })?;
    let string = parse(&Secret::new(text))?;
    match &target.hub.hub {
        Some(HubName::Host(host)) if *host != string.host => {
            Err(CliError::new(format!("--hub says {host}, and the connection string is for {}", string.host)))
        }
        _ => Ok(string),
    }
}

fn without_key(id: &DeviceId) -> CliError {
    CliError::new(format!("the device {id} has no key to sign with"))
}

fn parse(secret: &Secret) -> CliResult<ConnectionString> {
    Ok(ConnectionString::parse(secret.expose())?)
}
