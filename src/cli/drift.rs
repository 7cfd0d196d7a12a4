//! `twinctl drift`

use std::io::Write;

use super::args::{DriftArgs, PlanFormat, PlanningArgs};
use super::connect::connect;
use super::context::Context;
use super::outcome::{CliResult, Outcome};
use super::{manifest, plan};
use crate::drift::Drift;
use crate::render::view::PlanView;
use crate::render::{annotations, drift as document, html, markdown, text};

/// Plans, and shows the drift alone.
pub(super) async fn drift(context: &mut Context, args: &DriftArgs) -> CliResult {
    let declarations = manifest::load(context, &args.manifest.paths, &args.manifest.vars)?;
    let connection = connect(context, &args.hub).await?;
    // Nothing is written, so the revision does not matter.
    let planning = PlanningArgs {
        revision: Some(String::new()),
        only: args.only.clone(),
        confirm_drift: true,
        ..PlanningArgs::default()
    };
    let files = manifest::options(context, &args.manifest.paths, &args.manifest.vars);
    let made = plan::make(context, &declarations, &connection.client, &planning, &args.hub, &files);
    let drift = Drift::of(&made.await?, &declarations);
    connection.close().await;
    let shown = match args.format {
        PlanFormat::Text => {
            let options = text::TextOptions { palette: context.out.palette, width: context.out.width, full: args.full };
            text::drift(&drift, options)
        }
        PlanFormat::Json => document::json(&drift),
        PlanFormat::Markdown => markdown::drift(&drift, args.pages.max_length),
        PlanFormat::Html => html::drift(&drift),
    };
    context.out.write_all(shown.as_bytes())?;
    context.out.flush()?;
    let shown = |text: String| context.out.redact(&text).into_owned();
    plan::save(context, args.pages.markdown.as_deref(), || shown(markdown::drift(&drift, args.pages.max_length)))?;
    plan::save(context, args.pages.html.as_deref(), || shown(html::drift(&drift)))?;
    context.annotations.extend(annotations::of_plan(&PlanView::of_drift(&drift), &declarations));
    Ok(if args.detailed_exitcode && !drift.is_empty() { Outcome::Changes } else { Outcome::Done })
}
