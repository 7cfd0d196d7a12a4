//! `twinctl explain`

use std::io::Write;
use std::path::PathBuf;

use super::args::{ExplainArgs, ExplainFormat};
use super::command_line::CommandLine;
use super::context::Context;
use super::manifest;
use super::outcome::{CliError, CliResult, Outcome};
use super::secrets::CommandSecrets;
use crate::manifest::{Explained, Explanation, Undeclared};
use crate::render::explanation;
use crate::render::number::counted;
use iothub_model::diagnostic::nearest;
use iothub_model::twin::TwinPath;

/// Says where a twin's declared values come from.
pub(super) fn explain(context: &mut Context, args: &ExplainArgs) -> CliResult {
    let (paths, manifests) = split(context, &args.rest)?;
    let options = manifest::options(context, &manifests, &args.vars);
    let found = match crate::manifest::explain(&options, &args.id, args.selected)? {
        Ok(found) => found,
        Err(undeclared) => return Err(nobody(args, &manifests, &undeclared)),
    };
    let leaves = chosen(&found, &paths)?;
    let text = match args.format {
        ExplainFormat::Text => explanation::text(&found, &leaves, args.full, context.out.palette),
        ExplainFormat::Json => explanation::json(&found, &leaves),
    };
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    Ok(Outcome::Done)
}

/// Says that no manifest declares a twin, and what may have been meant.
fn nobody(args: &ExplainArgs, manifests: &[PathBuf], undeclared: &Undeclared) -> CliError {
    let error = CliError::new(format!("no manifest declares the {} {}", args.id.kind(), args.id));
    let error = match &undeclared.near {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => {
            let render = CommandLine::new("render").paths(manifests).vars(&args.vars, &CommandSecrets::default());
            error.hint(format!("to see what the manifests declare: {}", render.in_hint("")))
        }
    };
    match undeclared.selectors.as_slice() {
        [] => error,
        selectors => error.hint(format!(
            "{} may find it, which only the hub knows: --selected explains what it would get",
            counted(selectors.len(), "selector")
        )),
    }
}

/// Tells paths of the twin from manifests: what begins with a section's name is one, unless a file or folder is called so.
fn split(context: &Context, rest: &[String]) -> CliResult<(Vec<TwinPath>, Vec<PathBuf>)> {
    let (mut paths, mut manifests) = (Vec::new(), Vec::new());
    for text in rest {
        match text.parse::<TwinPath>() {
            Ok(path) if !context.resolve(text.as_ref()).exists() => paths.push(path),
            _ if text == "reported" || text.starts_with("reported.") => {
                return Err(CliError::new(format!(
                    "nothing declares {text}: reported properties are the device's own"
                )));
            }
            _ => manifests.push(PathBuf::from(text)),
        }
    }
    if manifests.is_empty() {
        manifests.push(PathBuf::from("."));
    }
    Ok((paths, manifests))
}

/// Returns the leaves at these paths, over them and under them; all of them when none is named.
fn chosen<'e>(of: &'e Explanation, paths: &[TwinPath]) -> CliResult<Vec<&'e Explained>> {
    if paths.is_empty() {
        return Ok(of.leaves.iter().collect());
    }
    let overlaps = |path: &TwinPath| of.leaves.iter().any(|leaf| leaf.path.overlaps(path));
    if let Some(missing) = paths.iter().find(|path| !overlaps(path)) {
        let near = nearest(missing.as_str(), of.leaves.iter().map(|leaf| leaf.path.as_str()));
        let error = CliError::new(format!("no manifest declares {missing} for {}", of.id));
        return Err(match near {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint("without a path all that is declared for it is explained"),
        });
    }
    Ok(of.leaves.iter().filter(|leaf| paths.iter().any(|path| path.overlaps(&leaf.path))).collect())
}
