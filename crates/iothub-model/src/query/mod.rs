//! IoT Hub's query language: text in, rows out.
//!
//! Owns the whole way from a query's text to its rows: [`parse`] makes a [`Query`] (a tree with spans), [`bind()`] checks its
//! names and types once and makes a [`BoundQuery`], and a [`Fold`] takes documents one by one and gives rows. Does not know
//! where documents come from, how pages are cut, or what a twin is beyond the names of its properties.
//!
//! Read [`BoundQuery`] first. The language is described by "IoT Hub query language for device and module twins, jobs, and
//! message routing"; what that page leaves open is decided here and said at the place that decides it:
//!
//! | question | here |
//! |---|---|
//! | comments, a trailing `;`, `''` for a quote, exponents, `.5`, a name that begins with a digit | refused, with a hint |
//! | a `-` in a name without brackets | a part of it, but at its end; between blanks it subtracts |
//! | `devices.` in front of a path of a module | names the document, as `devices.modules.` does |
//! | functions documented for message routing only | refused, and the message says so |
//! | a comparison with something missing | neither true nor false, `!=` included |
//! | two primitives of different types | not equal, and in no order |
//! | `AND`, `OR`, `NOT` | three-valued; what is no boolean counts as undefined |
//! | a missing path that is selected | its key is left out, the row stays |
//! | an aggregate without a name | the key is `$` and its place in the list |
//! | a group of documents without the grouped path | a row without that key |
//! | `SUM`, `AVG`, `MIN`, `MAX` over nothing | the key is left out; `COUNT()` is 0 |
//! | case | system names without, names under tags and properties with |

// In reading order: a module uses those above it, and none below.
mod error;
mod functions;
mod lexer;
mod ast;
mod names;
mod condition;
mod projection;
mod parser;
mod expression;
mod lints;
mod value;
mod aggregate;
mod eval;
mod bound;
mod bind;
mod residual;
mod rows;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod laws;

pub use ast::{
    Aggregate, ArithmeticOperator, Collection, ComparisonOperator, Expr, ExprKind, Item, Literal, Membership, Name,
    Path, Query, Select, Selected,
};
pub use bind::bind;
pub use bound::{BoundQuery, excerpt};
pub use error::{QueryError, QueryErrorKind};
pub use eval::Fold;
pub use parser::{MAX_CHARACTERS, parse, parse_condition};
pub use residual::{Remainder, RowError};

/// Parses and binds a whole query.
///
/// The errors are all that one pass finds, in the order of the text.
pub fn compile(text: &str) -> Result<BoundQuery, Vec<QueryError>> {
    bind_reading(parser::read_query(text))
}

/// Parses and binds a `WHERE` condition without the word `WHERE`: a selector, a job's `queryCondition`, a configuration's
/// target condition. The result is `SELECT *` over `collection`; spans are relative to `text`.
///
/// `*`, which some of those places take for "all", is no condition of the language and is refused here.
pub fn compile_condition(text: &str, collection: Collection) -> Result<BoundQuery, Vec<QueryError>> {
    bind_reading(parser::read_condition(text, collection))
}

/// Binds what could be read, so that one pass names both what does not parse and what does not exist.
fn bind_reading(reading: parser::Reading) -> Result<BoundQuery, Vec<QueryError>> {
    let parser::Reading { query, mut errors } = reading;
    match query.map(bind) {
        Some(Ok(query)) if errors.is_empty() => return Ok(query),
        Some(Err(more)) => errors.extend(more),
        _ => {}
    }
    errors.sort_by_key(|error| error.span);
    Err(errors)
}
