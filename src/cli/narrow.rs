//! `--only`: a part of a fleet.

use std::collections::BTreeSet;

use super::args::Only;
use super::context::Context;
use super::outcome::{CliError, CliResult};
use crate::manifest::{Declarations, LoadOptions};
use crate::refresh::FleetPart;
use crate::render::number::{counted, grouped};
use iothub_model::diagnostic::{nearest, nearest_id};
use iothub_model::twin::{DeviceId, TwinId};

/// Returns the part of the fleet that is asked for, or nothing when that is all of it.
pub(super) fn narrow(
    context: &mut Context,
    declarations: &Declarations,
    only: &[Only],
    files: &LoadOptions,
) -> CliResult<Option<FleetPart>> {
    if only.is_empty() {
        return Ok(None);
    }
    let mut wanted: BTreeSet<TwinId> = BTreeSet::new();
    for part in only {
        match part {
            Only::Twins { text, devices, module } => {
                for device in devices {
                    let id = device.parse::<DeviceId>().ok().map(|device| TwinId { device, module: module.clone() });
                    // A device that is declared by a selector alone is known when the hub has been asked.
                    let may_be_found = module.is_none() && !declarations.selectors.is_empty();
                    let known = |id: &TwinId| declarations.twins.contains_key(id) || may_be_found;
                    wanted.insert(id.filter(known).ok_or_else(|| undeclared(declarations, text, device))?);
                }
            }
            Only::Group(name) => {
                let members = crate::manifest::members(files, name)?;
                let members = members.ok_or_else(|| {
                    let near = nearest(name, declarations.groups.keys().map(|known| &**known));
                    CliError::new(format!("--only group:{name}: there is no such group"))
                        .hint_if(near.map(|near| format!("did you mean group:{near}?")))
                })?;
                wanted.extend(members.into_iter().map(TwinId::device));
            }
        }
    }
    let part = FleetPart::new(wanted);
    let some = grouped(declarations.twins.keys().filter(|id| part.includes(id)).count());
    let all = counted(declarations.twins.len(), "twin");
    context.say(format_args!("--only: {some} of {all}; whether others left the manifest is not looked at"));
    Ok(Some(part))
}

/// Says that a part of a fleet is not declared, and what may have been meant.
pub(super) fn undeclared(declarations: &Declarations, text: &str, device: &str) -> CliError {
    let among = if text == device { String::new() } else { format!(" ({device})") };
    let error = CliError::new(format!("--only {text}: no manifest declares it{among}"));
    let ids: Vec<String> = declarations.twins.keys().map(ToString::to_string).collect();
    error.hint_if(nearest_id(text, ids.iter().map(String::as_str)).map(|near| format!("did you mean {near}?")))
}
