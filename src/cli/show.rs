//! `twinctl show`

use std::io::Write;
use std::path::PathBuf;

use super::args::{PlanFormat, ShowArgs, VarArgs};
use super::command_line::CommandLine;
use super::connect::connect;
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};
use super::secrets::CommandSecrets;
use super::{manifest, plan};
use crate::inspect::inspect;
use crate::manifest::{Declarations, Sensitive};
use crate::plan::{check_hub, guard};
use crate::refresh::selection;
use crate::render::{escape, inspection, markdown};
use iothub_model::diagnostic::nearest_id;
use iothub_model::twin::{Lookup, TwinId};

/// Shows a saved plan, or a live twin beside its declaration.
pub(super) async fn show(context: &mut Context, args: &ShowArgs) -> CliResult {
    if args.what.ends_with(".json") {
        return saved(context, args);
    }
    let id: TwinId = args.what.parse().map_err(CliError::from_error)?;
    let (declarations, sensitive) = declarations(context, &args.paths, &args.vars)?;
    let connection = connect(context, &args.hub).await?;
    let hub = connection.client.host().clone();
    if let Some(declarations) = &declarations {
        check_hub(declarations, &hub)?;
    }
    let twin = match connection.client.get_twin(&id).await? {
        Lookup::Found(twin) => *twin,
        Lookup::Absent(_) => return Err(absent(&id, &hub, declarations.as_ref())),
    };
    connection.close().await;
    let declarations = match declarations {
        // Which device a selector finds, its own twin decides.
        Some(declarations) if !declarations.selectors.is_empty() => {
            Some(declarations.select(selection::of_twin(&declarations, &twin))?)
        }
        declarations => declarations,
    };
    let inspection = inspect(twin, declarations.map(|declarations| (declarations, hub.clone())), &sensitive);
    let text = match args.format {
        PlanFormat::Text => inspection::text(&inspection, &hub, args.full, context.out.palette),
        PlanFormat::Json => inspection::json(&inspection, &hub),
        PlanFormat::Markdown | PlanFormat::Html => {
            return Err(CliError::new(
                "--format markdown and --format html are for saved plans; a twin is shown as text or json",
            ));
        }
    };
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    Ok(Outcome::Done)
}

fn absent(id: &TwinId, hub: &iothub_model::twin::HubHost, declarations: Option<&Declarations>) -> CliError {
    let declared = declarations.and_then(|declarations| declarations.twins.get(id));
    let ids: Vec<String> = declarations.iter().flat_map(|all| all.twins.keys()).map(ToString::to_string).collect();
    let near = nearest_id(&id.to_string(), ids.iter().map(String::as_str)).filter(|_| declared.is_none());
    CliError::new(format!("the hub {hub} has no {} {id}", id.kind()))
        .hint_if(near.map(|near| format!("did you mean {near}?")))
        .hint_if(declared.map(|declaration| format!("it is declared at {}", declaration.origin)))
}

/// Loads the manifests that are named, or those under this folder if they can be read: a twin can be looked at anywhere. What one that is
/// not whole calls sensitive is sensitive all the same.
fn declarations(
    context: &mut Context,
    paths: &[PathBuf],
    vars: &VarArgs,
) -> CliResult<(Option<Declarations>, Sensitive)> {
    if !paths.is_empty() {
        return Ok((manifest::load(context, paths, vars).map(Some)?, Sensitive::default()));
    }
    let options = manifest::options(context, &[PathBuf::from(".")], vars);
    match crate::manifest::load(&options) {
        Ok(loaded) => Ok((Some(loaded.declarations), Sensitive::default())),
        Err(_) => {
            let validate = CommandLine::new("validate").vars(vars, &CommandSecrets::default());
            context.say(format_args!(
                "there is no manifest here that can be read, so the twin is shown by itself; to see why: {}",
                validate.in_hint("")
            ));
            Ok((None, crate::manifest::sensitive(&options)))
        }
    }
}

fn saved(context: &mut Context, args: &ShowArgs) -> CliResult {
    if !args.paths.is_empty() {
        return Err(CliError::new("a saved plan is shown by itself, without manifests"));
    }
    let reading = || format!("reading the plan {}", args.what);
    let read = std::fs::read_to_string(context.resolve(args.what.as_ref()));
    let text = read.map_err(|error| CliError::doing(reading(), error))?;
    context.err.learn(&text);
    let saved = crate::plan::file::read(&text).map_err(|error| CliError::doing(reading(), error))?;
    plan::present(context, &saved, args.format, args.full, markdown::GITHUB_MAX)?;
    if let Err(refusal) = guard::check_approved(&saved, None) {
        let refusal = refusal.to_string();
        let why = escape::lines(refusal.strip_prefix("the plan is refused: ").unwrap_or(&refusal));
        let warning = context.err.palette.warning("warning:");
        context.say(format_args!("{warning} apply refuses this plan: {why}"));
    }
    Ok(Outcome::Done)
}
