//! The expressions of the grammar, one function for each production.

use crate::diagnostic::Span;

use super::ast::{Aggregate, ArithmeticOperator, ComparisonOperator, Expr, ExprKind, Literal, Membership, Name};
use super::error::{QueryError, QueryErrorKind};
use super::lexer::{self, Token};
use super::parser::{MAX_DEPTH, Parsed, Parser};

const VALUE: &str = "a value or a path";

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        if self.depth >= MAX_DEPTH {
            let error = QueryError::new(
                QueryErrorKind::TooDeep,
                self.peek_span(),
                format!("parentheses are nested more than {MAX_DEPTH} deep"),
            );
            return Err(self.report(error));
        }
        self.depth += 1;
        let expression = self.or();
        self.depth -= 1;
        expression
    }

    fn or(&mut self) -> Parsed<Expr> {
        self.joined("OR", Self::and, ExprKind::Or)
    }

    fn and(&mut self) -> Parsed<Expr> {
        self.joined("AND", Self::not, ExprKind::And)
    }

    /// Operands with one word between them: flat, so that a long chain costs no depth.
    fn joined(
        &mut self,
        keyword: &str,
        operand: fn(&mut Self) -> Parsed<Expr>,
        join: fn(Vec<Expr>) -> ExprKind,
    ) -> Parsed<Expr> {
        let first = operand(self)?;
        if !self.is_keyword(keyword) {
            return Ok(first);
        }
        let start = first.span;
        let mut operands = vec![first];
        while self.eat_keyword(keyword) {
            operands.push(operand(self)?);
        }
        Ok(Expr { kind: join(operands), span: start.to(self.previous_span()) })
    }

    fn not(&mut self) -> Parsed<Expr> {
        let start = self.peek_span();
        if !self.is_keyword("NOT") || self.is_keyword_used_as_name() {
            return self.comparison();
        }
        self.advance();
        if self.is_keyword("NOT") && !self.is_keyword_used_as_name() {
            let help = Some("two `NOT` cancel out; otherwise write `NOT (NOT …)`".to_owned());
            return Err(self.expected_or(VALUE, help));
        }
        let operand = self.comparison()?;
        let span = start.to(operand.span);
        Ok(Expr { kind: ExprKind::Not(Box::new(operand)), span })
    }

    fn comparison(&mut self) -> Parsed<Expr> {
        let start = self.peek_span();
        let left = self.sum()?;
        let membership = if self.eat_keyword("IN") {
            Some(Membership::In)
        } else if self.eat_keyword("NIN") {
            Some(Membership::Nin)
        } else if self.is_keyword("NOT") && self.is_keyword_at(1, "IN") {
            self.advance();
            self.advance();
            Some(Membership::NotIn)
        } else {
            None
        };
        let kind = if let Some(membership) = membership {
            ExprKind::In(Box::new(left), membership, self.members(membership)?)
        } else if let Some(operator) = self.comparison_operator() {
            self.advance();
            ExprKind::Compare(Box::new(left), operator, Box::new(self.sum()?))
        } else {
            return Ok(left);
        };
        if self.comparison_operator().is_some() {
            let error = QueryError::new(QueryErrorKind::Syntax, self.peek_span(), "comparisons cannot be chained");
            return Err(self.report(error.help("join two comparisons with `AND`")));
        }
        Ok(Expr { kind, span: start.to(self.previous_span()) })
    }

    fn comparison_operator(&self) -> Option<ComparisonOperator> {
        Some(match self.peek() {
            Token::Equal => ComparisonOperator::Equal,
            Token::NotEqual => ComparisonOperator::NotEqual,
            Token::Less => ComparisonOperator::Less,
            Token::Greater => ComparisonOperator::Greater,
            Token::LessOrEqual => ComparisonOperator::LessOrEqual,
            Token::GreaterOrEqual => ComparisonOperator::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The array after `IN`.
    fn members(&mut self, membership: Membership) -> Parsed<Vec<Literal>> {
        if self.peek() == &Token::OpenBracket {
            return Ok(self.array()?.0);
        }
        let what = format!("an array after `{membership}`");
        match self.peek() {
            Token::Open if self.is_keyword_at(1, "SELECT") => Err(self.subquery()),
            Token::Open => {
                let span = self.peek_span();
                let error = QueryError::new(
                    QueryErrorKind::Syntax,
                    span,
                    format!("the array after `{membership}` stands in square brackets"),
                );
                self.report(error.help(format!("write `{membership} ['a', 'b']`")));
                Ok(self.literals(&Token::Close, "`)`")?.0)
            }
            Token::Bracketed(_) => Err(self.expected_or(&what, Some("arrays are not nested".into()))),
            _ => Err(self.expected_or(&what, Some(format!("for example `{membership} ['a', 'b']`")))),
        }
    }

    fn array(&mut self) -> Parsed<(Vec<Literal>, Span)> {
        self.literals(&Token::CloseBracket, "`]`")
    }

    /// Constants with commas between them, from the opening bracket here to `close`.
    fn literals(&mut self, close: &Token<'_>, close_name: &str) -> Parsed<(Vec<Literal>, Span)> {
        let start = self.advance();
        let mut literals = Vec::new();
        if let Some(end) = self.eat(close) {
            return Ok((literals, start.to(end)));
        }
        loop {
            literals.push(self.signed_literal()?);
            if self.eat(&Token::Comma).is_some() {
                continue;
            }
            return match self.eat(close) {
                Some(end) => Ok((literals, start.to(end))),
                None => Err(self.expected(&format!("`,` or {close_name}"))),
            };
        }
    }

    fn signed_literal(&mut self) -> Parsed<Literal> {
        let sign = match self.peek() {
            Token::Minus => Some(-1.0),
            Token::Plus => Some(1.0),
            _ => None,
        };
        if let (Some(sign), &Token::Number(value, _)) = (sign, self.peek_at(1)) {
            self.advance();
            self.advance();
            return Ok(Literal::Number(sign * value));
        }
        match self.literal() {
            Some(literal) => {
                self.advance();
                Ok(literal)
            }
            None => {
                let help = match self.peek() {
                    Token::OpenBracket | Token::Bracketed(_) => Some("arrays are not nested".to_owned()),
                    Token::Word(_) if *self.peek_at(1) == Token::Dot => {
                        Some("an array holds constants only".to_owned())
                    }
                    Token::Word(word) if !lexer::is_keyword(word) => {
                        Some(format!("an array holds constants only; a text is written `'{word}'`"))
                    }
                    Token::CloseBracket | Token::Close => Some("leave out the last `,`".to_owned()),
                    _ => None,
                };
                Err(self.expected_or("a constant", help))
            }
        }
    }

    /// The constant here, not yet passed.
    fn literal(&self) -> Option<Literal> {
        Some(match self.peek() {
            Token::Number(value, _) => Literal::Number(*value),
            Token::Text(text) => Literal::Text(text.clone()),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Literal::Bool(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Literal::Bool(false),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => Literal::Null,
            Token::Word(word) if word.eq_ignore_ascii_case("undefined") => Literal::Undefined,
            _ => return None,
        })
    }

    fn sum(&mut self) -> Parsed<Expr> {
        self.arithmetic(Self::product, |token| match token {
            Token::Plus => Some(ArithmeticOperator::Add),
            Token::Minus => Some(ArithmeticOperator::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Parsed<Expr> {
        self.arithmetic(Self::unary, |token| match token {
            Token::Star => Some(ArithmeticOperator::Multiply),
            Token::Slash => Some(ArithmeticOperator::Divide),
            Token::Percent => Some(ArithmeticOperator::Remainder),
            _ => None,
        })
    }

    fn arithmetic(
        &mut self,
        operand: fn(&mut Self) -> Parsed<Expr>,
        operator: fn(&Token<'_>) -> Option<ArithmeticOperator>,
    ) -> Parsed<Expr> {
        let first = operand(self)?;
        let start = first.span;
        let mut rest = Vec::new();
        while let Some(operator) = operator(self.peek()) {
            self.advance();
            rest.push((operator, operand(self)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr { kind: ExprKind::Arithmetic(Box::new(first), rest), span: start.to(self.previous_span()) })
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let negative = match self.peek() {
            Token::Minus => true,
            Token::Plus => false,
            _ => return self.primary(),
        };
        let start = self.advance();
        let operand = self.primary()?;
        let span = start.to(operand.span);
        Ok(Expr { kind: ExprKind::Sign(negative, Box::new(operand)), span })
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let span = self.peek_span();
        if let Some(literal) = self.literal()
            && !matches!((self.peek(), self.peek_at(1)), (Token::Word(_), Token::Dot))
        {
            self.advance();
            return Ok(Expr { kind: ExprKind::Literal(literal), span });
        }
        match *self.peek() {
            Token::OpenBracket => {
                let (literals, span) = self.array()?;
                Ok(Expr { kind: ExprKind::Array(literals), span })
            }
            Token::Open if self.is_keyword_at(1, "SELECT") => Err(self.subquery()),
            Token::Open => {
                self.advance();
                let inner = self.expression()?;
                if *self.peek() != Token::Close {
                    return Err(self.unclosed(span));
                }
                let end = self.advance();
                Ok(Expr { kind: inner.kind, span: span.to(end) })
            }
            Token::Word(word) if !lexer::is_keyword(word) && *self.peek_at(1) == Token::Open => self.call(word),
            Token::Word(word) if lexer::is_keyword(word) && !self.is_keyword_used_as_name() => {
                Err(if self.is_keyword("SELECT") { self.subquery() } else { self.expected(VALUE) })
            }
            Token::Word(_) | Token::Bracketed(_) => {
                let path = self.path(VALUE)?;
                if *self.peek() == Token::Open {
                    let error = QueryError::new(
                        QueryErrorKind::UnknownFunction,
                        path.span(),
                        format!("`{path}` is not a function"),
                    );
                    return Err(self.report(error));
                }
                let span = path.span();
                Ok(Expr { kind: ExprKind::Path(path), span })
            }
            _ => Err(self.expected(VALUE)),
        }
    }

    fn call(&mut self, name: &str) -> Parsed<Expr> {
        if Aggregate::named(name).is_some() {
            return Err(self.aggregate_in_condition(name));
        }
        let span = self.advance();
        let name = Name { text: name.to_owned(), span };
        let opening = self.advance();
        let mut arguments = Vec::new();
        if *self.peek() != Token::Close {
            loop {
                arguments.push(self.expression()?);
                if self.eat(&Token::Comma).is_none() {
                    break;
                }
            }
        }
        if *self.peek() != Token::Close {
            return Err(self.unclosed(opening));
        }
        let end = self.advance();
        Ok(Expr { kind: ExprKind::Call(name, arguments), span: span.to(end) })
    }

    /// Reports a missing `)`: at the `(` when the text just ends, at the wrong token otherwise.
    fn unclosed(&mut self, opening: Span) -> super::parser::Failed {
        if matches!(self.peek(), Token::End) || self.is_keyword("GROUP") {
            let error = QueryError::new(QueryErrorKind::Syntax, opening, "this `(` is never closed");
            return self.report(error.label("opened here"));
        }
        self.after_expression("an operator or `)`")
    }
}
