//! `twinctl import`

use std::io::Write;
use std::net::IpAddr;

use serde_json::Value;

use super::args::ImportArgs;
use super::command_line::{self, CommandLine};
use super::connect::{connect, read_concurrency};
use super::context::Context;
use super::file;
use super::outcome::{CliError, CliResult, Outcome};
use crate::client::{Error, HubClient};
use crate::import::{ImportOptions, Importer};
use crate::manifest::{FleetName, Ownership};
use crate::plan::ownership::RECORDS_KEY;
use crate::refresh::read::get_all;
use crate::render::manifest as words;
use crate::render::number::counted;
use iothub_model::diagnostic::Source;
use iothub_model::twin::{HubHost, IdError, Lookup, TwinId};
use iothub_model::wire::query::MAX_PAGE;

/// Reads the twins and writes a manifest that declares them.
pub(super) async fn import(context: &mut Context, args: &ImportArgs) -> CliResult {
    let query = query(args.condition.as_deref())?;
    if let Some(path) = &args.out
        && context.resolve(path).is_file()
    {
        // What is in it, somebody may have written by hand.
        return Err(CliError::new(format!("{} is there already, and an import would write over it", path.display()))
            .hint("name another file with --out, or take this one away first"));
    }
    let connection = connect(context, &args.hub).await?;
    let client = &connection.client;
    let fleet = args.fleet.clone().unwrap_or_else(|| fleet_of(client.host()));
    let options = ImportOptions { fleet, ownership: args.ownership, by: args.by.clone() };
    let mut importer = Importer::new(options.clone());
    let mut progress = context.progress("twins read", None);
    let mut read = 0;
    for query in [query.as_str(), "SELECT deviceId, moduleId FROM devices.modules"] {
        let mut pages = client.query(query, MAX_PAGE);
        while let Some(page) = pages.next().await? {
            let ids = page.rows.iter().map(|row| id_of(row).map_err(|error| pages.nonsense(error)));
            let mut ids = ids.collect::<Result<Vec<_>, Error>>()?;
            ids.retain(|id| importer.wants(id));
            // A query lists what is gone, and knows what twins were a while ago. What is in the manifest is what the hub has.
            get_all(client, ids, read_concurrency(&args.hub), &mut |lookup| {
                read += 1;
                match lookup {
                    Lookup::Found(twin) => importer.push(&twin),
                    Lookup::Absent(id) => importer.gone(id),
                }
                progress.done(read);
            })
            .await?;
        }
    }
    drop(progress);
    if options.ownership == Ownership::Record {
        let others = recorded(client, &options.fleet).await?.saturating_sub(importer.recorded());
        if others > 0 {
            let (warning, fleet) = (context.err.palette.warning("warning:"), &options.fleet);
            context.say(format_args!(
                "{warning} fleet {fleet} is known to this hub, and {} of it are not in this manifest: a plan with it would take \
                 them to have left; give the fleet another name with --fleet",
                counted(others, "twin")
            ));
        }
    }
    let (factored, notes) = importer.finish();
    let text = words::yaml(&factored, &options, client.host());
    connection.close().await;
    for note in words::notes(&notes) {
        let warning = context.err.palette.warning("warning:");
        context.say(format_args!("{warning} {note}"));
    }
    if factored.devices == 0 {
        context.say("no device was found");
    }
    let Some(path) = &args.out else {
        context.out.write_all(text.as_bytes())?;
        context.out.flush()?;
        return Ok(Outcome::Done);
    };
    file::write(&context.resolve(path), text.as_bytes())
        .map_err(|error| CliError::doing(format!("writing the manifest to {}", path.display()), error))?;
    let (devices, modules) = (counted(factored.devices, "device"), counted(factored.modules, "module"));
    context.say(format_args!(
        "{devices} and {modules} are declared in {}: a plan with it changes no value",
        path.display()
    ));
    command_line::next(context, &CommandLine::new("plan").path(path).hub(&args.hub));
    Ok(Outcome::Done)
}

/// Makes the query for the devices, and finds mistakes in the condition where it was written.
fn query(condition: Option<&str>) -> CliResult<String> {
    const ALL: &str = "SELECT * FROM devices";
    const IDS: &str = "SELECT deviceId FROM devices";
    let text = condition.map_or_else(|| ALL.to_owned(), |condition| format!("{ALL} WHERE {condition}"));
    let source = Source::new("<--where>", text.as_str());
    match iothub_model::query::compile(&text) {
        // More than a condition would make it another kind of query.
        Ok(bound) if bound.selects_documents() => Ok(text.replacen(ALL, IDS, 1)),
        Ok(_) => Err(CliError::new("--where takes a condition alone, and this is more of a query than that")),
        Err(errors) => Err(errors.iter().map(|error| error.to_diagnostic(&source, 0)).collect::<Vec<_>>().into()),
    }
}

/// Says which twin a row names.
fn id_of(row: &Value) -> Result<TwinId, String> {
    let column = |name: &str| row.get(name).and_then(Value::as_str);
    let device = column("deviceId").ok_or("a row without a deviceId")?;
    let device = device.parse().map_err(|error: IdError| error.to_string())?;
    let module = column("moduleId").map(str::parse).transpose().map_err(|error: IdError| error.to_string())?;
    Ok(TwinId { device, module })
}

/// Counts the twins that carry a fleet's record, as far as a query knows.
async fn recorded(client: &HubClient, fleet: &FleetName) -> Result<usize, Error> {
    let mut count = 0;
    for source in ["devices", "devices.modules"] {
        let text = format!("SELECT COUNT() AS n FROM {source} WHERE is_defined(tags.{RECORDS_KEY}.[[{fleet}]])");
        let mut pages = client.query(&text, 1);
        while let Some(page) = pages.next().await? {
            let found = page.rows.first().and_then(|row| row.get("n")?.as_u64());
            count += found.and_then(|found| usize::try_from(found).ok()).unwrap_or_default();
        }
    }
    Ok(count)
}

/// Makes a fleet's name of the hub's.
fn fleet_of(hub: &HubHost) -> FleetName {
    let name = hub.name();
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let first = if is_address { "" } else { name.split('.').next().unwrap_or_default() };
    first.parse().unwrap_or_else(|_| "imported".parse().expect("a fleet may have this name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleets_are_named_after_hubs() {
        for (hub, fleet) in [
            ("My-Hub.azure-devices.net", "my-hub"),
            ("localhost:8443", "localhost"),
            ("127.0.0.1:8443", "imported"),
            ("[::1]:1", "imported"),
        ] {
            assert_eq!(fleet_of(&hub.parse().expect("a host")).as_str(), fleet);
        }
    }
}
