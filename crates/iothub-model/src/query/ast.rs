//! A query as a tree with spans, and its way back to text.

use std::fmt;

use crate::diagnostic::Span;

use super::lexer;

/// A whole query, or a condition that stands for one.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The text that the spans point into: of the query, or of the condition alone.
    pub text: String,
    /// `TOP n`.
    pub top: Option<u64>,
    /// What is selected.
    pub select: Select,
    /// What is read.
    pub from: Collection,
    /// `WHERE …`.
    pub condition: Option<Expr>,
    /// `GROUP BY …`; empty without.
    pub group_by: Vec<Path>,
}

/// The three sources of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collection {
    /// `devices`: the twins of devices.
    Devices,
    /// `devices.modules`: the twins of modules.
    Modules,
    /// `devices.jobs`: one document for each device of each job.
    Jobs,
}

impl Collection {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Devices, Self::Modules, Self::Jobs];

    /// Returns the name that stands after `FROM`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Modules => "devices.modules",
            Self::Jobs => "devices.jobs",
        }
    }
}

/// What is selected.
#[derive(Clone, Debug, PartialEq)]
pub enum Select {
    /// `*`: whole documents.
    All(Span),
    /// Paths and aggregates.
    Items(Vec<Item>),
}

/// One of the things selected.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub what: Selected,
    /// `AS name`.
    pub alias: Option<Name>,
    /// The whole, alias included.
    pub span: Span,
}

/// What one item selects.
#[derive(Clone, Debug, PartialEq)]
pub enum Selected {
    /// A property.
    Path(Path),
    /// `COUNT()` without a path, the others with one.
    Aggregate(Aggregate, Option<Path>),
}

/// The functions over many documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// `COUNT()`.
    Count,
    /// `AVG(path)`.
    Avg,
    /// `SUM(path)`.
    Sum,
    /// `MIN(path)`.
    Min,
    /// `MAX(path)`.
    Max,
}

impl Aggregate {
    pub(super) const ALL: [Self; 5] = [Self::Count, Self::Avg, Self::Sum, Self::Min, Self::Max];

    /// Returns its name as the documentation spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Avg => "AVG",
            Self::Sum => "SUM",
            Self::Min => "MIN",
            Self::Max => "MAX",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aggregate| aggregate.name().eq_ignore_ascii_case(name))
    }
}

/// One name, without the brackets it may have been written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where, brackets included.
    pub span: Span,
}

/// `tags.location.plant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its names, at least one.
    pub segments: Vec<Name>,
}

impl Path {
    /// Returns where the whole path stands.
    pub fn span(&self) -> Span {
        match (self.segments.first(), self.segments.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => Span::default(),
        }
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// What an expression is. Parentheses are not kept: the tree says the same.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A constant.
    Literal(Literal),
    /// `['a', 1]`.
    Array(Vec<Literal>),
    /// A property.
    Path(Path),
    /// `name(arguments)`, known function or not.
    Call(Name, Vec<Expr>),
    /// `-x` is true, `+x` false.
    Sign(bool, Box<Expr>),
    /// A first operand, and at least one operator with another; all operators of one precedence.
    Arithmetic(Box<Expr>, Vec<(ArithmeticOperator, Expr)>),
    /// Two sums compared.
    Compare(Box<Expr>, ComparisonOperator, Box<Expr>),
    /// A sum looked for in an array.
    In(Box<Expr>, Membership, Vec<Literal>),
    /// `NOT x`.
    Not(Box<Expr>),
    /// At least two operands.
    And(Vec<Expr>),
    /// At least two operands.
    Or(Vec<Expr>),
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `undefined`.
    Undefined,
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number, decimal or hexadecimal; negative only in an array.
    Number(f64),
    /// A text in single or double quotes, without its escapes.
    Text(String),
}

/// `+ - * / %`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

/// `= != < > <= >=`; `<>` is another spelling of `!=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonOperator {
    /// `=`
    Equal,
    /// `!=`, `<>`
    NotEqual,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `<=`
    LessOrEqual,
    /// `>=`
    GreaterOrEqual,
}

/// The three spellings of membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
    /// `NIN`
    Nin,
}

impl ExprKind {
    /// How tightly it binds; a looser child needs parentheses.
    fn precedence(&self) -> u8 {
        match self {
            Self::Or(_) => 1,
            Self::And(_) => 2,
            Self::Not(_) => 3,
            Self::Compare(..) | Self::In(..) => 4,
            Self::Arithmetic(_, rest) => match rest.first() {
                Some((ArithmeticOperator::Add | ArithmeticOperator::Subtract, _)) | None => 5,
                Some(_) => 6,
            },
            Self::Sign(..) => 7,
            Self::Literal(_) | Self::Array(_) | Self::Path(_) | Self::Call(..) => 8,
        }
    }
}

/// An expression in a place that takes only what binds at least so tightly.
struct Within<'e>(u8, &'e Expr);

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.kind.precedence() < self.0 { write!(f, "({})", self.1) } else { self.1.fmt(f) }
    }
}

fn separated<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    separator: &str,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

/// A query that parses to the same tree. A condition comes out as the whole query it stands for.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        if let Some(top) = self.top {
            write!(f, "TOP {top} ")?;
        }
        match &self.select {
            Select::All(_) => f.write_str("*")?,
            Select::Items(items) => separated(f, ", ", items)?,
        }
        write!(f, " FROM {}", self.from.name())?;
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        if !self.group_by.is_empty() {
            f.write_str(" GROUP BY ")?;
            separated(f, ", ", &self.group_by)?;
        }
        Ok(())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Selected::Path(path) => path.fmt(f)?,
            Selected::Aggregate(aggregate, None) => write!(f, "{}()", aggregate.name())?,
            Selected::Aggregate(aggregate, Some(path)) => write!(f, "{}({path})", aggregate.name())?,
        }
        match &self.alias {
            Some(alias) => write!(f, " AS {alias}"),
            None => Ok(()),
        }
    }
}

/// As it has to be written: in `[[…]]` where a bare name would not be read as one.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if lexer::is_bare_name(&self.text) { f.write_str(&self.text) } else { write!(f, "[[{}]]", self.text) }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        separated(f, ".", &self.segments)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Literal(literal) => literal.fmt(f),
            ExprKind::Array(literals) => {
                f.write_str("[")?;
                separated(f, ", ", literals)?;
                f.write_str("]")
            }
            ExprKind::Path(path) => path.fmt(f),
            ExprKind::Call(name, arguments) => {
                write!(f, "{}(", name.text)?;
                separated(f, ", ", arguments)?;
                f.write_str(")")
            }
            ExprKind::Sign(negative, operand) => {
                write!(f, "{}{}", if *negative { "-" } else { "+" }, Within(8, operand))
            }
            ExprKind::Arithmetic(first, rest) => {
                let tighter = self.kind.precedence() + 1;
                Within(tighter, first).fmt(f)?;
                for (operator, operand) in rest {
                    write!(f, " {operator} {}", Within(tighter, operand))?;
                }
                Ok(())
            }
            ExprKind::Compare(left, operator, right) => {
                write!(f, "{} {operator} {}", Within(5, left), Within(5, right))
            }
            ExprKind::In(left, membership, literals) => {
                write!(f, "{} {membership} [", Within(5, left))?;
                separated(f, ", ", literals)?;
                f.write_str("]")
            }
            ExprKind::Not(operand) => write!(f, "NOT {}", Within(4, operand)),
            ExprKind::And(operands) => separated(f, " AND ", operands.iter().map(|operand| Within(3, operand))),
            ExprKind::Or(operands) => separated(f, " OR ", operands.iter().map(|operand| Within(2, operand))),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => f.write_str("undefined"),
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(text) => write!(f, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        }
    }
}

impl fmt::Display for ArithmeticOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        })
    }
}

impl fmt::Display for ComparisonOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::LessOrEqual => "<=",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::Nin => "NIN",
        })
    }
}
