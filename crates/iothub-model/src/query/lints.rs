//! What is allowed and probably not meant, found on the tree of a condition.

use crate::diagnostic::{Span, nearest};

use super::ast::{Collection, ComparisonOperator, Expr, ExprKind, Literal, Membership, Path};
use super::error::{QueryError, QueryErrorKind};
use super::names::{self, BoundPath};

pub(super) fn on_condition(collection: Collection, condition: &Expr) -> Vec<QueryError> {
    let mut remarks = Remarks { collection, tested: Vec::new(), negated: Vec::new(), found: Vec::new() };
    remarks.walk(condition);
    let Remarks { tested, negated, mut found, .. } = remarks;
    let mut told: Vec<BoundPath> = Vec::new();
    for Negated { path, name, span } in negated {
        if tested.contains(&path) || told.contains(&path) {
            continue;
        }
        found.push(
            QueryError::new(
                QueryErrorKind::MissingNotFound,
                span,
                format!("this does not find twins without `{name}`"),
            )
            .label("neither true nor false where it is missing")
            .help(format!("write `(… OR NOT is_defined({name}))` here to find them too"))
            .help(format!("write `(… AND is_defined({name}))` here to say that they are left out")),
        );
        told.push(path);
    }
    found
}

/// A path of which something is denied.
struct Negated {
    path: BoundPath,
    name: String,
    span: Span,
}

struct Remarks {
    collection: Collection,
    /// The paths that `is_defined` is asked about: whoever asks knows.
    tested: Vec<BoundPath>,
    negated: Vec<Negated>,
    found: Vec<QueryError>,
}

impl Remarks {
    fn walk(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Literal(_) | ExprKind::Array(_) => {}
            ExprKind::Path(path) => self.found.extend(names::minus_between_paths(self.collection, path)),
            ExprKind::Call(_, arguments) => {
                if let [Expr { kind: ExprKind::Path(path), .. }] = arguments.as_slice() {
                    self.tested.push(self.resolve(path));
                }
                arguments.iter().for_each(|argument| self.walk(argument));
            }
            ExprKind::Sign(_, operand) => self.walk(operand),
            ExprKind::Arithmetic(first, rest) => {
                self.walk(first);
                rest.iter().for_each(|(_, operand)| self.walk(operand));
            }
            ExprKind::Compare(left, operator, right) => {
                if *operator == ComparisonOperator::NotEqual {
                    self.deny(expr, expr.span);
                }
                self.walk(left);
                self.walk(right);
                self.comparison(left, *operator, right);
            }
            ExprKind::In(needle, membership, members) => {
                if *membership != Membership::In {
                    self.deny(expr, expr.span);
                }
                self.walk(needle);
                self.membership(needle, members);
            }
            ExprKind::Not(operand) => {
                self.deny(operand, expr.span);
                self.walk(operand);
            }
            ExprKind::And(operands) | ExprKind::Or(operands) => operands.iter().for_each(|operand| self.walk(operand)),
        }
    }

    fn resolve(&self, path: &Path) -> BoundPath {
        names::resolve(self.collection, path).0
    }

    /// Notes the paths within a negation. A path compared as a whole truth, `NOT tags.flag`, counts too.
    fn deny(&mut self, expr: &Expr, span: Span) {
        match &expr.kind {
            ExprKind::Path(path) => {
                let (bound, remark) = names::resolve(self.collection, path);
                // What is never defined has a remark of its own.
                if remark.is_none() && !bound.always && self.collection != Collection::Jobs {
                    self.negated.push(Negated { path: bound, name: path.to_string(), span });
                }
            }
            ExprKind::Literal(_) | ExprKind::Array(_) => {}
            // `NOT is_defined(path)` is the remedy and not the trap.
            ExprKind::Call(_, arguments) if arguments.len() == 1 => {}
            ExprKind::Call(_, operands) | ExprKind::And(operands) | ExprKind::Or(operands) => {
                operands.iter().for_each(|operand| self.deny(operand, span));
            }
            ExprKind::Sign(_, operand) | ExprKind::Not(operand) | ExprKind::In(operand, ..) => self.deny(operand, span),
            ExprKind::Arithmetic(first, rest) => {
                self.deny(first, span);
                rest.iter().for_each(|(_, operand)| self.deny(operand, span));
            }
            ExprKind::Compare(left, _, right) => {
                let undefined = |side: &Expr| side.kind == ExprKind::Literal(Literal::Undefined);
                if !undefined(left) && !undefined(right) {
                    self.deny(left, span);
                    self.deny(right, span);
                }
            }
        }
    }

    fn never(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(QueryError::new(QueryErrorKind::NeverTrue, span, message).help(help));
    }

    fn comparison(&mut self, left: &Expr, operator: ComparisonOperator, right: &Expr) {
        for (side, other) in [(left, right), (right, left)] {
            match &side.kind {
                ExprKind::Literal(Literal::Undefined) => {
                    let help = match &other.kind {
                        ExprKind::Path(path) => format!("write `NOT is_defined({path})` or `is_defined({path})`"),
                        _ => "write `is_defined(path)`".into(),
                    };
                    return self.never(side.span, "a comparison with `undefined` is never true", help);
                }
                ExprKind::Array(_) => {
                    return self.never(
                        side.span,
                        "a comparison with an array is never true",
                        "to look for a value in an array, write `path IN [...]`",
                    );
                }
                ExprKind::Path(path) => {
                    let bound = self.resolve(path);
                    if bound.compound {
                        return self.never(
                            side.span,
                            format!("`{path}` is no single value, and a comparison with it is never true"),
                            "compare what lies under it",
                        );
                    }
                    match &other.kind {
                        ExprKind::Literal(Literal::Null) if bound.free && operator == ComparisonOperator::Equal => {
                            return self.never(
                                other.span,
                                format!("`{path}` is never null: writing null to a twin removes the key"),
                                format!("write `NOT is_defined({path})`"),
                            );
                        }
                        ExprKind::Literal(literal)
                            if matches!(operator, ComparisonOperator::Equal | ComparisonOperator::NotEqual) =>
                        {
                            self.value(&bound, path, literal, other.span);
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }

    fn membership(&mut self, needle: &Expr, members: &[Literal]) {
        let ExprKind::Path(path) = &needle.kind else { return };
        let bound = self.resolve(path);
        if bound.compound {
            return self.never(
                needle.span,
                format!("`{path}` is no single value, and a comparison with it is never true"),
                "compare what lies under it",
            );
        }
        for member in members {
            self.value(&bound, path, member, needle.span);
        }
    }

    /// Remarks on a value that the property never has.
    fn value(&mut self, bound: &BoundPath, path: &Path, literal: &Literal, span: Span) {
        let Literal::Text(written) = literal else { return };
        if bound.values.is_empty() || bound.values.contains(&written.as_str()) {
            return;
        }
        let help = match nearest(written, bound.values.iter().copied()) {
            Some(near) => format!("did you mean `'{near}'`?"),
            None => format!("it is one of {}", names::list(bound.values)),
        };
        self.never(span, format!("`{path}` is never `'{written}'`"), help);
    }
}
