//! `--only`: a part of a fleet.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::args::Only;
use super::context::Context;
use super::manifest;
use super::outcome::{CliError, CliResult};
use crate::diagnostic::nearest;
use crate::manifest::Declarations;
use crate::render::number::{counted, grouped};
use crate::twin::{DeviceId, TwinId};

/// Returns the part of the fleet that is asked for, or nothing when that is all of it.
pub(super) fn narrow(
    context: &mut Context,
    declarations: &Declarations,
    only: &[Only],
    paths: &[PathBuf],
) -> CliResult<Option<Declarations>> {
    if only.is_empty() {
        return Ok(None);
    }
    let mut wanted: BTreeSet<TwinId> = BTreeSet::new();
    for part in only {
        match part {
            Only::Twins { text, devices, module } => {
                for device in devices {
                    let found = device.parse::<DeviceId>().ok().map(|device| match module {
                        Some(module) => {
                            let id = TwinId { device, module: Some(module.clone()) };
                            declarations.twins.contains_key(&id).then_some(id).into_iter().collect()
                        }
                        None => with_modules(declarations, &device),
                    });
                    match found.filter(|found| !found.is_empty()) {
                        Some(found) => wanted.extend(found),
                        None => return Err(undeclared(declarations, text, device)),
                    }
                }
            }
            Only::Group(name) => {
                let members = crate::manifest::members(&manifest::options(context, paths), name)?;
                let members =
                    members.ok_or_else(|| CliError::new(format!("--only group:{name}: there is no such group")))?;
                wanted.extend(members.iter().flat_map(|device| with_modules(declarations, device)));
            }
        }
    }
    let mut narrowed = declarations.clone();
    narrowed.twins.retain(|id, _| wanted.contains(id));
    let (some, all) = (grouped(narrowed.twins.len()), counted(declarations.twins.len(), "twin"));
    context.say(format_args!("--only: {some} of {all}; whether others left the manifest is not looked at"));
    Ok(Some(narrowed))
}

fn with_modules(declarations: &Declarations, device: &DeviceId) -> Vec<TwinId> {
    let from = TwinId::device(device.clone());
    let twins = declarations.twins.range(from..).map(|(id, _)| id);
    twins.take_while(|id| id.device == *device).cloned().collect()
}

fn undeclared(declarations: &Declarations, text: &str, device: &str) -> CliError {
    let among = if text == device { String::new() } else { format!(" ({device})") };
    let error = CliError::new(format!("--only {text}: the manifests do not declare it{among}"));
    let ids: Vec<String> = declarations.twins.keys().map(ToString::to_string).collect();
    error.hint_if(nearest(text, ids.iter().map(String::as_str)).map(|near| format!("did you mean {near}?")))
}
