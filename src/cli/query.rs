//! `twinctl query`

use std::io::Write;

use super::args::{QueryArgs, QueryFormat};
use super::connect::connect;
use super::context::Context;
use super::manifest;
use super::outcome::{CliError, CliResult, Outcome};
use crate::render::table;
use iothub_model::diagnostic::Source;
use iothub_model::wire::query::MAX_PAGE;

/// Asks a query and writes its rows, page by page.
pub(super) async fn query(context: &mut Context, args: &QueryArgs) -> CliResult {
    if args.csv_safe && args.format != QueryFormat::Csv {
        return Err(CliError::new("--csv-safe is about the cells of --format csv").hint("give both, or neither"));
    }
    let source = Source::new("<query>", args.query.as_str());
    let bound = iothub_model::query::compile(&args.query).map_err(|errors| {
        CliError::from(errors.iter().map(|error| error.to_diagnostic(&source, 0)).collect::<Vec<_>>())
    })?;
    for warning in bound.warnings() {
        manifest::tell(context, [&warning.to_diagnostic(&source, 0)]);
    }
    let connection = connect(context, &args.hub).await?;
    let mut pages = connection.client.query(&args.query, MAX_PAGE);
    let columns = bound.columns();
    let mut table = table::RowTable::new(context.out.palette, context.out.width).listing(columns.as_deref());
    let (mut json, mut csv) =
        (table::Json::default(), table::Csv::default().listing(columns.as_deref()).safe(args.csv_safe));
    let mut rows = 0;
    while let Some(page) = pages.next().await? {
        rows += page.rows.len();
        let text = match args.format {
            QueryFormat::Table if bound.selects_documents() => {
                table.page(&page.rows.iter().map(table::twin_row).collect::<Vec<_>>())
            }
            QueryFormat::Table => table.page(&page.rows),
            QueryFormat::Json => json.page(&page.rows),
            QueryFormat::Csv => csv.page(&page.rows).map_err(|column| {
                CliError::new(format!(
                    "a later page has the column `{column}`, which the first page has not, and CSV's header is written"
                ))
                .hint("name the columns in the query, as in SELECT deviceId, tags.plant, or use --format json")
            })?,
        };
        context.out.write_all(text.as_bytes())?;
        if context.out.is_gone() {
            break;
        }
    }
    match args.format {
        QueryFormat::Json => context.out.write_all(json.finish().as_bytes())?,
        QueryFormat::Table if rows == 0 => context.say("no rows"),
        QueryFormat::Table | QueryFormat::Csv => {}
    }
    context.out.flush()?;
    drop(pages);
    connection.close().await;
    Ok(Outcome::Done)
}
