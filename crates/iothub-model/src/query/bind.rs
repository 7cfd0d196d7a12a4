//! A tree to a query that is ready to run: names found, functions and places checked, once.

use crate::diagnostic::Span;

use super::ast::{Collection, Expr, ExprKind, Item, Literal, Membership, Name, Path, Query, Select, Selected};
use super::bound::BoundQuery;
use super::condition::{Column, Condition, GroupColumn, Output};
use super::error::{QueryError, QueryErrorKind};
use super::functions::{self, Function, FunctionClass};
use super::lints;
use super::names::{self, BoundPath};
use super::projection::{Needles, Wanted};

/// Checks names, functions and places; all errors at once, in the order of the text.
pub fn bind(query: Query) -> Result<BoundQuery, Vec<QueryError>> {
    let mut binder = Binder { collection: query.from, errors: Vec::new(), warnings: Vec::new(), live: Vec::new() };
    let by: Vec<BoundPath> = query.group_by.iter().map(|path| binder.path(path)).collect();
    let output = binder.output(&query, by);
    let condition = query.condition.as_ref().map(|condition| binder.condition(condition));
    if let Some(condition) = &query.condition {
        binder.warnings.extend(lints::on_condition(query.from, condition));
    }
    let Binder { mut errors, mut warnings, live, .. } = binder;
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.span);
        errors.dedup();
        return Err(errors);
    }
    warnings.sort_by_key(|warning| warning.span);
    warnings.dedup();
    Ok(BoundQuery {
        wanted: Wanted::of(condition.as_ref(), &output),
        conditional: Wanted::of(condition.as_ref(), &Output::Documents),
        needles: Needles::of(condition.as_ref()),
        collection: query.from,
        top: query.top,
        output,
        condition,
        live,
        warnings,
        text: query.text,
    })
}

struct Binder {
    collection: Collection,
    errors: Vec<QueryError>,
    warnings: Vec<QueryError>,
    /// The paths so far that are live.
    live: Vec<String>,
}

impl Binder {
    fn error(&mut self, kind: QueryErrorKind, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.errors.push(QueryError::new(kind, span, message).help(help));
    }

    fn path(&mut self, path: &Path) -> BoundPath {
        let (bound, remark) = names::resolve(self.collection, path);
        if bound.live {
            let text = bound.to_string();
            if !self.live.contains(&text) {
                self.live.push(text);
            }
        }
        match remark {
            Some(remark) if remark.kind == QueryErrorKind::UnknownName => self.errors.push(remark),
            Some(remark) => self.warnings.push(remark),
            None => {}
        }
        bound
    }

    // SELECT and GROUP BY.

    fn output(&mut self, query: &Query, by: Vec<BoundPath>) -> Output {
        if let Some(first) = query.group_by.first()
            && self.collection != Collection::Devices
        {
            self.error(
                QueryErrorKind::NotAllowedHere,
                first.span(),
                format!("`{}` cannot be grouped: `GROUP BY` is for `devices` only", self.collection.name()),
                "select the documents, and count them when they have come",
            );
        }
        let items = match &query.select {
            Select::All(span) => {
                if !query.group_by.is_empty() && self.collection == Collection::Devices {
                    self.error(
                        QueryErrorKind::NotAllowedHere,
                        *span,
                        "`*` cannot be selected with `GROUP BY`",
                        "select the paths that are grouped by, and aggregates",
                    );
                }
                return Output::Documents;
            }
            Select::Items(items) => items,
        };
        if self.collection == Collection::Jobs {
            let span = items.first().map_or(Span::default(), |item| item.span);
            let all = items.last().map_or(span, |item| span.to(item.span));
            self.error(
                QueryErrorKind::NotAllowedHere,
                all,
                "only `*` can be selected from `devices.jobs`",
                "write `SELECT * FROM devices.jobs`",
            );
            return Output::Documents;
        }
        let aggregates = items.iter().any(|item| matches!(item.what, Selected::Aggregate(..)));
        let output = if aggregates || !by.is_empty() {
            Output::Groups { columns: self.group_columns(query, items, &by), by }
        } else {
            Output::Rows(items.iter().filter_map(|item| self.column(item)).collect())
        };
        self.equal_keys(items, &output);
        output
    }

    fn column(&mut self, item: &Item) -> Option<Column> {
        match &item.what {
            Selected::Path(path) => Some(Column { path: self.path(path), alias: alias(item) }),
            Selected::Aggregate(..) => None,
        }
    }

    fn group_columns(&mut self, query: &Query, items: &[Item], by: &[BoundPath]) -> Vec<GroupColumn> {
        let mut columns = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match &item.what {
                Selected::Path(path) => {
                    let bound = self.path(path);
                    match by.iter().position(|grouped| *grouped == bound) {
                        Some(by) => {
                            // `id` and `deviceId` are one path and two keys.
                            let alias = alias(item).or_else(|| bound.key.map(str::to_owned));
                            columns.push(GroupColumn::Value { by, alias });
                        }
                        None => {
                            let (message, help) = if query.group_by.is_empty() {
                                (
                                    format!("`{path}` cannot be selected beside an aggregate"),
                                    format!("add `GROUP BY {path}`"),
                                )
                            } else {
                                (format!("`{path}` is not grouped by"), format!("add `{path}` to `GROUP BY`"))
                            };
                            self.error(QueryErrorKind::NotAllowedHere, path.span(), message, help);
                        }
                    }
                }
                Selected::Aggregate(aggregate, path) => {
                    if item.alias.is_none() {
                        self.warnings.push(
                            QueryError::new(
                                QueryErrorKind::UnnamedAggregate,
                                item.span,
                                "this aggregate has no name, and its key in the row is not documented",
                            )
                            .help("add `AS name`"),
                        );
                    }
                    let key = alias(item).unwrap_or_else(|| format!("${}", index + 1));
                    let path = path.as_ref().map(|path| self.path(path));
                    columns.push(GroupColumn::Aggregate { aggregate: *aggregate, path, key });
                }
            }
        }
        columns
    }

    fn equal_keys(&mut self, items: &[Item], output: &Output) {
        let Some(keys) = output.keys() else { return };
        // An item that was refused has no column; then the places differ, and the errors come first anyway.
        if keys.len() != items.len() {
            return;
        }
        for (index, (key, item)) in keys.iter().zip(items).enumerate() {
            if keys[..index].contains(key) {
                self.warnings.push(
                    QueryError::new(
                        QueryErrorKind::DuplicateKey,
                        item.span,
                        format!("two columns have the key `{key}`, and the earlier is lost"),
                    )
                    .help("give one of them another name with `AS name`"),
                );
            }
        }
    }

    // WHERE.

    fn condition(&mut self, expr: &Expr) -> Condition {
        match &expr.kind {
            ExprKind::Literal(literal) => Condition::Constant(literal.clone()),
            ExprKind::Array(_) => Condition::Array,
            ExprKind::Path(path) => Condition::Path(self.path(path)),
            ExprKind::Call(name, arguments) => self.call(name, arguments, expr.span),
            ExprKind::Sign(negative, operand) => Condition::Sign(*negative, Box::new(self.condition(operand))),
            ExprKind::Arithmetic(first, rest) => {
                let first = Box::new(self.condition(first));
                Condition::Arithmetic(
                    first,
                    rest.iter().map(|(operator, operand)| (*operator, self.condition(operand))).collect(),
                )
            }
            ExprKind::Compare(left, operator, right) => {
                Condition::Compare(Box::new(self.condition(left)), *operator, Box::new(self.condition(right)))
            }
            ExprKind::In(needle, membership, members) => Condition::In {
                needle: Box::new(self.condition(needle)),
                negated: *membership != Membership::In,
                members: members.clone(),
            },
            ExprKind::Not(operand) => Condition::Not(Box::new(self.condition(operand))),
            ExprKind::And(operands) => Condition::And(operands.iter().map(|operand| self.condition(operand)).collect()),
            ExprKind::Or(operands) => Condition::Or(operands.iter().map(|operand| self.condition(operand)).collect()),
        }
    }

    fn call(&mut self, name: &Name, arguments: &[Expr], span: Span) -> Condition {
        let nothing = Condition::Constant(Literal::Undefined);
        match functions::class(&name.text) {
            FunctionClass::Unknown => {
                let message = format!("there is no function `{}`", name.text);
                let help = functions::instead_of_unknown(&name.text);
                self.error(QueryErrorKind::UnknownFunction, name.span, message, help);
                nothing
            }
            FunctionClass::RouteOnly(known) => {
                let message = format!("`{known}` is documented for message routing only, not for queries");
                let help = functions::instead_of_route_function(known);
                self.error(QueryErrorKind::RouteOnlyFunction, name.span, message, help);
                nothing
            }
            FunctionClass::Twin(function) => match (function, arguments) {
                (Function::IsDefined, [Expr { kind: ExprKind::Path(path), .. }]) => {
                    Condition::IsDefined(self.path(path))
                }
                (Function::StartsWith | Function::EndsWith, [text, affix]) => Condition::Affix {
                    at_end: function == Function::EndsWith,
                    text: Box::new(self.condition(text)),
                    affix: Box::new(self.condition(affix)),
                },
                (Function::ArrayContains, [Expr { kind: ExprKind::Path(path), .. }, member]) => {
                    Condition::ArrayContains(self.path(path), Box::new(self.condition(member)))
                }
                _ => {
                    let takes = match function {
                        Function::IsDefined => "one path",
                        Function::StartsWith | Function::EndsWith => "two texts",
                        Function::ArrayContains => "a path and a value",
                    };
                    let message = format!("`{}` takes {takes}", function.name());
                    self.error(QueryErrorKind::Arguments, span, message, format!("write {}", function.usage()));
                    nothing
                }
            },
        }
    }
}

fn alias(item: &Item) -> Option<String> {
    item.alias.as_ref().map(|name| name.text.clone())
}

#[cfg(test)]
mod tests {
    use super::super::{compile, compile_condition};
    use super::*;

    #[test]
    fn ids_that_a_condition_leaves() {
        let check = |condition: &str, expected: Option<&[&str]>| {
            let query = compile_condition(condition, Collection::Devices).expect("a condition");
            assert_eq!(query.device_ids().as_deref(), expected, "{condition}");
        };
        check("deviceId = 'a'", Some(&["a"]));
        check("'a' = devices.DEVICEID", Some(&["a"]));
        check("id = 'a'", Some(&["a"]));
        check("deviceId IN ['b', 'a', 'b', 1]", Some(&["b", "a"]));
        check("deviceId IN []", Some(&[]));
        check("deviceId = 1", Some(&[]));
        check("tags.x = 1 AND deviceId IN ['a', 'b'] AND (deviceId IN ['b', 'c'])", Some(&["b"]));
        check("deviceId = 'a' AND deviceId = 'b'", Some(&[]));
        check("deviceId = 'a' OR deviceId = 'b' AND tags.x = 1", Some(&["a", "b"]));
        check("deviceId = 'a' OR tags.x = 1", None);
        check("deviceId != 'a'", None);
        check("deviceId >= 'a'", None);
        check("NOT deviceId = 'a'", None);
        check("deviceId NIN ['a']", None);
        check("deviceId NOT IN ['a']", None);
        check("tags.deviceId = 'a'", None);
        assert_eq!(compile("SELECT * FROM devices").expect("a query").device_ids(), None);
    }

    #[test]
    fn columns_keep_the_order_of_the_list() {
        let check = |text: &str, expected: Option<&[&str]>| {
            assert_eq!(compile(text).expect("a query").columns().as_deref(), expected, "{text}");
        };
        check("SELECT * FROM devices", None);
        check("SELECT TAGS.z, DEVICEID, id, tags.a AS [[a b]] FROM devices", Some(&["z", "deviceId", "id", "a b"]));
        check("SELECT status, COUNT(), MAX(version) AS v FROM devices GROUP BY status", Some(&["status", "$2", "v"]));
    }

    #[test]
    fn what_cannot_be_known_beforehand() {
        let check = |text: &str, expected: bool| {
            assert_eq!(compile(text).expect("a query").reads_reported(), expected, "{text}");
        };
        check("SELECT * FROM devices", false);
        check(
            "SELECT * FROM devices WHERE tags.reported = 1 AND properties.desired.x = 1 AND status = 'enabled'",
            false,
        );
        check("SELECT deviceId, properties.desired FROM devices", false);
        check("SELECT * FROM devices WHERE properties.reported.x = 1", true);
        check("SELECT * FROM devices WHERE is_defined(Properties.Reported)", true);
        check("SELECT properties FROM devices", true);
        check("SELECT properties.desired.$version FROM devices", true);
        check("SELECT deviceId FROM devices WHERE connectionState = 'Connected'", true);
        check("SELECT COUNT() AS n FROM devices GROUP BY lastActivityTime", true);
        check("SELECT MAX(version) AS n FROM devices", true);
        check("SELECT * FROM devices WHERE configurations.[[a-b]].status = 'Applied'", true);
        check("SELECT * FROM devices.jobs", true);
        let query = compile(
            "SELECT Properties.Reported.x FROM devices WHERE properties.reported.x = 1 AND tags.y = 1 AND configurations.[[a-b]].status = 'Applied'",
        );
        let expected = ["properties.reported.x", "configurations.[[a-b]].status"];
        assert_eq!(query.expect("a query").live_paths(), expected);
    }

    #[test]
    fn what_a_query_looks_at() {
        let query =
            compile("SELECT tags.c FROM devices WHERE TAGS.a.b = 1 AND properties.desired.x > 1").expect("a query");
        for (path, expected) in [
            ("tags.a", true),
            ("tags.a.b", true),
            ("tags.a.b.c", true),
            ("tags.a.c", false),
            ("tags.c", true),
            ("desired.x", true),
            ("desired.a", false),
        ] {
            assert_eq!(query.looks_at(&path.parse().expect("a path")), expected, "{path}");
        }
    }

    #[test]
    fn a_condition_is_a_query_of_documents() {
        let query = compile_condition(" tags.x = 1 ", Collection::Modules).expect("a condition");
        assert_eq!(query.text(), " tags.x = 1 ");
        assert_eq!(query.collection(), Collection::Modules);
        assert!(query.selects_documents());
        assert!(!query.is_aggregate());
        assert!(query.matches(&serde_json::json!({ "tags": { "x": 1 } })));
        assert!(!query.matches(&serde_json::json!({ "tags": { "x": 2 } })));
    }
}
