//! Tokens to a tree, by recursive descent. An error ends the clause it is in, and the next clause is read all the same.

use crate::diagnostic::{Span, nearest};

use super::ast::{Aggregate, Collection, Item, Name, Path, Query, Select, Selected};
use super::error::{QueryError, QueryErrorKind};
use super::functions;
use super::lexer::{self, Spanned, Token};

/// The longest query that the service takes (docs: Queries for IoT Hub device and module twins).
pub const MAX_CHARACTERS: usize = 8192;

/// The deepest nesting of parentheses and calls. People write five; the bound keeps the stack.
pub(super) const MAX_DEPTH: usize = 100;

/// Parses a whole query.
pub fn parse(text: &str) -> Result<Query, Vec<QueryError>> {
    read_query(text).into_result()
}

/// Parses a condition without the word `WHERE`; the query it stands for is `SELECT *` over `collection`.
pub fn parse_condition(text: &str, collection: Collection) -> Result<Query, Vec<QueryError>> {
    read_condition(text, collection).into_result()
}

/// A tree as far as there is one, and what is wrong with its text in the order of the text.
///
/// There can be both: an error that leaves no doubt about what was meant is read as that.
pub(super) struct Reading {
    pub(super) query: Option<Query>,
    pub(super) errors: Vec<QueryError>,
}

impl Reading {
    fn into_result(self) -> Result<Query, Vec<QueryError>> {
        match self.query {
            Some(query) if self.errors.is_empty() => Ok(query),
            _ => Err(self.errors),
        }
    }
}

pub(super) fn read_query(text: &str) -> Reading {
    read(text, "SELECT * FROM devices", |parser| parser.query())
}

pub(super) fn read_condition(text: &str, collection: Collection) -> Reading {
    read(text, "status = 'enabled'", |parser| parser.lone_condition(collection))
}

fn read(text: &str, example: &str, production: impl FnOnce(&mut Parser<'_>) -> Parsed<Query>) -> Reading {
    let mut parser = match Parser::new(text, example) {
        Ok(parser) => parser,
        Err(errors) => return Reading { query: None, errors },
    };
    let query = production(&mut parser).ok();
    let mut errors = parser.errors;
    if query.is_none() && errors.is_empty() {
        errors.push(QueryError::new(QueryErrorKind::Syntax, Span::new(0, text.len()), "this is not a query"));
    }
    errors.sort_by_key(|error| error.span);
    Reading { query, errors }
}

/// Says that an error has been reported already.
#[derive(Debug)]
pub(super) struct Failed;

pub(super) type Parsed<T> = Result<T, Failed>;

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    tokens: Vec<Spanned<'t>>,
    at: usize,
    /// How many parentheses and calls are open.
    pub(super) depth: usize,
    errors: Vec<QueryError>,
}

/// What other dialects of SQL have: the first word, what to call it, and what to do instead.
const MISSING: [(&str, &str, &str); 16] = [
    ("ORDER", "`ORDER BY`", "the order of rows is not promised: sort them when they have come"),
    ("LIKE", "`LIKE`", "compare beginnings and ends with STARTSWITH(path, 'text') and ENDSWITH(path, 'text')"),
    ("LIMIT", "`LIMIT`", "write `SELECT TOP n …`"),
    ("OFFSET", "`OFFSET`", "results come in pages with a continuation token"),
    ("DISTINCT", "`DISTINCT`", "write `SELECT path FROM … GROUP BY path`"),
    ("HAVING", "`HAVING`", "drop the groups that are not wanted when the rows have come"),
    ("JOIN", "`JOIN`", "one query reads one collection"),
    ("INNER", "`JOIN`", "one query reads one collection"),
    ("LEFT", "`JOIN`", "one query reads one collection"),
    ("UNION", "`UNION`", "run two queries"),
    ("BETWEEN", "`BETWEEN`", "write `path >= low AND path <= high`"),
    ("IS", "`IS`", "write `is_defined(path)`, `NOT is_defined(path)` or `path = null`"),
    ("EXISTS", "`EXISTS`", "write `is_defined(path)`"),
    ("CASE", "`CASE`", "a query selects paths and aggregates only"),
    ("ASC", "`ORDER BY`", "the order of rows is not promised: sort them when they have come"),
    ("DESC", "`ORDER BY`", "the order of rows is not promised: sort them when they have come"),
];

impl<'t> Parser<'t> {
    fn new(text: &'t str, example: &str) -> Result<Self, Vec<QueryError>> {
        if let Some((start, _)) = text.char_indices().nth(MAX_CHARACTERS) {
            let length = text.chars().count();
            let error = QueryError::new(
                QueryErrorKind::TooLong,
                Span::new(start, text.len()),
                format!("the query has {length} characters, and the hub takes {MAX_CHARACTERS}"),
            );
            return Err(vec![error.label("this is too much")]);
        }
        if text.trim().is_empty() {
            let error = QueryError::new(QueryErrorKind::Empty, Span::new(0, 0), "nothing is written here");
            return Err(vec![error.help(format!("for example `{example}`"))]);
        }
        let lexed = lexer::lex(text);
        if lexed.unclosed {
            return Err(lexed.errors);
        }
        Ok(Self { text, tokens: lexed.tokens, at: 0, depth: 0, errors: lexed.errors })
    }

    // Looking at tokens.

    pub(super) fn peek(&self) -> &Token<'t> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> &Token<'t> {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].token
    }

    pub(super) fn peek_span(&self) -> Span {
        self.tokens[self.at].span
    }

    pub(super) fn previous_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    pub(super) fn advance(&mut self) -> Span {
        let span = self.peek_span();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        span
    }

    pub(super) fn eat(&mut self, token: &Token<'_>) -> Option<Span> {
        (self.peek() == token).then(|| self.advance())
    }

    pub(super) fn is_keyword_at(&self, ahead: usize, keyword: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        self.is_keyword_at(0, keyword)
    }

    pub(super) fn eat_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        if found {
            self.advance();
        }
        found
    }

    /// Moves to the next clause that begins with one of `keywords`; `tags.group` begins none.
    fn skip_to(&mut self, keywords: &[&str]) {
        let begins = |parser: &Self, keyword: &str| {
            parser.is_keyword(keyword) && (keyword != "GROUP" || parser.is_keyword_at(1, "BY"))
        };
        while *self.peek() != Token::End && !keywords.iter().any(|keyword| begins(self, keyword)) {
            self.advance();
        }
    }

    // Saying what is wrong.

    pub(super) fn report(&mut self, error: QueryError) -> Failed {
        self.errors.push(error);
        Failed
    }

    /// Names the current token for a message.
    fn found(&self) -> String {
        match self.peek() {
            Token::End => "the end of the query".into(),
            Token::Text(_) => "a text".into(),
            Token::Number(_, text) => format!("the number {text}"),
            Token::Word(word) if lexer::is_keyword(word) => format!("the keyword `{}`", word.to_uppercase()),
            Token::Word(word) => format!("the name `{word}`"),
            _ => format!("`{}`", &self.text[self.peek_span().start..self.peek_span().end]),
        }
    }

    /// Reports that something else should have stood here; quiet where the lexer has spoken already.
    pub(super) fn expected(&mut self, what: &str) -> Failed {
        self.expected_or(what, None)
    }

    pub(super) fn expected_or(&mut self, what: &str, help: Option<String>) -> Failed {
        if *self.peek() == Token::Bad {
            return Failed;
        }
        let unknown = [0, 1].into_iter().find_map(|ahead| match self.peek_at(ahead) {
            Token::Word(word) if ahead == 0 || self.is_keyword("NOT") => {
                MISSING.iter().find(|(first, _, _)| first.eq_ignore_ascii_case(word))
            }
            _ => None,
        });
        let error = match unknown {
            Some((_, name, instead)) => {
                QueryError::new(QueryErrorKind::Syntax, self.peek_span(), format!("this language has no {name}"))
                    .help(*instead)
            }
            None => QueryError::new(
                QueryErrorKind::Syntax,
                self.peek_span(),
                format!("expected {what}, found {}", self.found()),
            )
            .help_if(help),
        };
        self.report(error)
    }

    pub(super) fn expect(&mut self, token: &Token<'_>, what: &str) -> Parsed<Span> {
        self.eat(token).ok_or_else(|| self.expected(what))
    }

    /// Reports a keyword where a name stands.
    pub(super) fn keyword_as_name(&mut self, word: &str, span: Span) -> Failed {
        let error = QueryError::new(QueryErrorKind::Keyword, span, format!("`{word}` is a keyword and no bare name"))
            .help(format!("write `[[{word}]]`"));
        self.report(error)
    }

    // Clauses.

    fn query(&mut self) -> Parsed<Query> {
        let text = self.text.to_owned();
        let head = self.head();
        if head.is_err() {
            self.skip_to(&["FROM"]);
        }
        let from = self.from();
        if from.is_err() {
            self.skip_to(&["WHERE", "GROUP"]);
        }
        let condition = if self.eat_keyword("WHERE") { self.expression().map(Some) } else { Ok(None) };
        if condition.is_err() {
            self.skip_to(&["GROUP"]);
        } else if *self.peek() != Token::End && !self.is_keyword("GROUP") {
            let failed = if matches!(condition, Ok(Some(_))) {
                self.after_expression("an operator, `GROUP BY` or the end of the query")
            } else {
                self.after_source()
            };
            let Failed = failed;
            self.skip_to(&["GROUP"]);
        }
        let group_by = self.group_by();
        let (top, select) = head?;
        Ok(Query { text, top, select, from: from?, condition: condition?, group_by: group_by? })
    }

    fn lone_condition(&mut self, collection: Collection) -> Parsed<Query> {
        for (keyword, help) in
            [("WHERE", "leave out the `WHERE`"), ("SELECT", "keep only what would stand after `WHERE`")]
        {
            if self.is_keyword(keyword) {
                let span = self.peek_span();
                let error = QueryError::new(
                    QueryErrorKind::Syntax,
                    span,
                    format!("only the condition is written here, without `{keyword}`"),
                );
                return Err(self.report(error.help(help)));
            }
        }
        if (self.peek(), self.peek_at(1)) == (&Token::Star, &Token::End) {
            let error = QueryError::new(QueryErrorKind::Syntax, self.peek_span(), "`*` is no condition");
            return Err(self.report(error.help("leave the condition out to mean all")));
        }
        let condition = self.expression()?;
        if *self.peek() != Token::End {
            return Err(self.after_expression("an operator or the end of the condition"));
        }
        Ok(Query {
            text: self.text.to_owned(),
            top: None,
            select: Select::All(Span::default()),
            from: collection,
            condition: Some(condition),
            group_by: Vec::new(),
        })
    }

    fn head(&mut self) -> Parsed<(Option<u64>, Select)> {
        if !self.eat_keyword("SELECT") {
            let typo = matches!(self.peek(), Token::Word(word) if nearest(word, ["SELECT"]).is_some());
            let help =
                if typo { "write `SELECT`" } else { "a query is `SELECT … FROM … [WHERE …] [GROUP BY …]`" };
            let failed = self.expected_or("`SELECT`", Some(help.into()));
            if !typo {
                return Err(failed);
            }
            self.advance();
        }
        let top = self.top()?;
        if self.is_keyword("DISTINCT")
            && matches!(self.peek_at(1), Token::Word(_) | Token::Star | Token::Bracketed(_))
            && !self.is_keyword_at(1, "FROM")
            && !self.is_keyword_at(1, "AS")
        {
            let Failed = self.expected("a path");
            self.advance();
        }
        Ok((top, self.select()?))
    }

    fn top(&mut self) -> Parsed<Option<u64>> {
        let bare_name = matches!(self.peek_at(1), Token::Comma | Token::Dot)
            || self.is_keyword_at(1, "FROM")
            || self.is_keyword_at(1, "AS");
        if !self.is_keyword("TOP") || bare_name {
            return Ok(None);
        }
        self.advance();
        let start = self.peek_span();
        let sign = [Token::Minus, Token::Plus].iter().any(|sign| self.eat(sign).is_some());
        let n = match self.peek() {
            Token::Number(_, text) if !sign => text.parse::<u64>().ok().filter(|&n| n > 0),
            Token::Number(..) => None,
            _ => {
                return Err(
                    self.expected_or("a positive integer after `TOP`", Some("for example `SELECT TOP 10 *`".into()))
                );
            }
        };
        let span = start.to(self.advance());
        if n.is_none() {
            // The list that follows is read all the same.
            let error = QueryError::new(QueryErrorKind::Syntax, span, "`TOP` takes a positive integer")
                .help("without `TOP` there are all rows");
            self.report(error);
        }
        Ok(n)
    }

    fn select(&mut self) -> Parsed<Select> {
        if let Some(span) = self.eat(&Token::Star) {
            if *self.peek() == Token::Comma {
                let error = QueryError::new(QueryErrorKind::Syntax, span, "`*` stands alone");
                return Err(self.report(error.help("`*` is the whole document, and holds every path already")));
            }
            return Ok(Select::All(span));
        }
        let mut items = Vec::new();
        loop {
            items.push(self.item()?);
            if self.eat(&Token::Comma).is_some() {
                if self.is_keyword("FROM") {
                    return Err(self.expected_or("another path after `,`", Some("leave out the last `,`".into())));
                }
                continue;
            }
            if self.is_keyword("FROM") || *self.peek() == Token::End {
                return Ok(Select::Items(items));
            }
            let help = match self.peek() {
                Token::Word(word) if !lexer::is_keyword(word) => {
                    Some(format!("a name for the column is written `AS {word}`"))
                }
                _ => self.arithmetic_outside_of_where(),
            };
            return Err(self.expected_or("`,` or `FROM`", help));
        }
    }

    /// Returns the help for an operator after a path that is selected or grouped by.
    fn arithmetic_outside_of_where(&self) -> Option<String> {
        matches!(self.peek(), Token::Plus | Token::Minus | Token::Slash | Token::Percent | Token::Star)
            .then(|| "only a condition computes".to_owned())
    }

    fn item(&mut self) -> Parsed<Item> {
        let start = self.peek_span();
        let what = match (self.peek(), self.peek_at(1)) {
            (&Token::Word(word), Token::Open) if !lexer::is_keyword(word) => match Aggregate::named(word) {
                Some(aggregate) => self.aggregate(aggregate)?,
                None => {
                    let error =
                        QueryError::new(QueryErrorKind::NotAllowedHere, start, format!("`{word}` cannot be selected"))
                            .label("a query selects paths and aggregates only")
                            .help_if(
                                nearest(word, Aggregate::ALL.map(Aggregate::name))
                                    .map(|name| format!("did you mean `{name}`?")),
                            );
                    return Err(self.report(error));
                }
            },
            (Token::Star, _) => {
                let error = QueryError::new(QueryErrorKind::Syntax, start, "`*` stands alone");
                return Err(self.report(error.help("`*` is the whole document, and holds every path already")));
            }
            (Token::Word(_) | Token::Bracketed(_), _) => Selected::Path(self.path("a path, an aggregate or `*`")?),
            (Token::Open, Token::Word(word)) if word.eq_ignore_ascii_case("SELECT") => return Err(self.subquery()),
            _ => {
                let help = "a query selects paths and aggregates only".to_owned();
                return Err(self.expected_or("a path, an aggregate or `*`", Some(help)));
            }
        };
        let alias = if self.eat_keyword("AS") { Some(self.alias()?) } else { None };
        Ok(Item { what, alias, span: start.to(self.previous_span()) })
    }

    fn alias(&mut self) -> Parsed<Name> {
        let span = self.peek_span();
        match *self.peek() {
            Token::Word(word) => {
                if lexer::is_keyword(word) {
                    let bare = matches!(self.peek_at(1), Token::Comma) || self.is_keyword_at(1, "FROM");
                    if !bare {
                        return Err(self.expected("a name after `AS`"));
                    }
                    self.keyword_as_name(word, span);
                }
                self.advance();
                Ok(Name { text: word.to_owned(), span })
            }
            Token::Bracketed(name) => {
                self.advance();
                Ok(Name { text: name.to_owned(), span })
            }
            Token::Text(_) => {
                let written = self.text[span.start + 1..span.end - 1].to_owned();
                let help = if lexer::is_bare_name(&written) { written } else { format!("[[{written}]]") };
                Err(self.expected_or("a name after `AS`", Some(format!("write `AS {help}` without quotes"))))
            }
            _ => Err(self.expected("a name after `AS`")),
        }
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Parsed<Selected> {
        let name = aggregate.name();
        let start = self.advance();
        self.advance();
        if aggregate == Aggregate::Count {
            if self.eat(&Token::Close).is_some() {
                return Ok(Selected::Aggregate(aggregate, None));
            }
            if self.is_keyword("FROM") || *self.peek() == Token::End {
                return Err(self.expected("`)`"));
            }
            let help = "`COUNT()` counts documents; to count those with a path, add `WHERE is_defined(path)`";
            let error = QueryError::new(
                QueryErrorKind::Arguments,
                self.peek_span(),
                "`COUNT` takes nothing in its parentheses",
            );
            self.report(error.help(help));
            while !matches!(self.peek(), Token::Close | Token::Comma | Token::End) && !self.is_keyword("FROM") {
                self.advance();
            }
            self.expect(&Token::Close, "`)`")?;
            return Ok(Selected::Aggregate(aggregate, None));
        }
        if !matches!(self.peek(), Token::Word(_) | Token::Bracketed(_)) {
            let span = start.to(self.peek_span());
            let error = QueryError::new(QueryErrorKind::Arguments, span, format!("`{name}` takes one path"));
            return Err(self.report(error.help(format!("for example `{name}(properties.reported.temperature)`"))));
        }
        let path = self.path("a path")?;
        if self.eat(&Token::Close).is_none() {
            return Err(self.expected_or("`)` after the path", Some(format!("`{name}` takes one path"))));
        }
        Ok(Selected::Aggregate(aggregate, Some(path)))
    }

    fn from(&mut self) -> Parsed<Collection> {
        if !self.eat_keyword("FROM") {
            let typo = matches!(self.peek(), Token::Word(word) if nearest(word, ["FROM"]).is_some());
            let help = if typo { "write `FROM`" } else { "for example `SELECT * FROM devices`" };
            let failed = self.expected_or("`FROM`", Some(help.into()));
            if !typo {
                return Err(failed);
            }
            self.advance();
        }
        match self.peek() {
            Token::Word(word) if !lexer::is_keyword(word) => {}
            Token::Open if self.is_keyword_at(1, "SELECT") => return Err(self.subquery()),
            _ => return Err(self.expected("`devices`, `devices.modules` or `devices.jobs`")),
        }
        let path = self.path("a collection")?;
        let name = path.to_string();
        if let Some(collection) = Collection::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(&name)) {
            return Ok(collection);
        }
        let last = path.segments.last().map_or("", |segment| &segment.text);
        let near = Collection::ALL
            .into_iter()
            .find(|known| known.name().rsplit('.').next().is_some_and(|known| nearest(last, [known]).is_some()));
        let message = format!("there is no collection `{name}`");
        let error = QueryError::new(QueryErrorKind::UnknownSource, path.span(), message).help(match near {
            Some(near) => format!("did you mean `{}`?", near.name()),
            None => "the collections are `devices`, `devices.modules` and `devices.jobs`".into(),
        });
        self.report(error);
        // The other clauses are read as if.
        Ok(near.unwrap_or(Collection::Devices))
    }

    fn after_source(&mut self) -> Failed {
        let help = match self.peek() {
            Token::Comma => Some("one query reads one collection"),
            Token::Word(word) if word.eq_ignore_ascii_case("AS") => Some("a collection has no other name"),
            Token::Word(word) if nearest(word, ["WHERE"]).is_some() => Some("write `WHERE`"),
            Token::Word(word) if !lexer::is_keyword(word) => {
                Some("a condition begins with `WHERE`; a collection has no other name")
            }
            _ => None,
        };
        self.expected_or("`WHERE`, `GROUP BY` or the end of the query", help.map(str::to_owned))
    }

    fn group_by(&mut self) -> Parsed<Vec<Path>> {
        let mut paths = Vec::new();
        if !self.eat_keyword("GROUP") {
            return Ok(paths);
        }
        if !self.eat_keyword("BY") {
            return Err(self.expected("`BY` after `GROUP`"));
        }
        loop {
            if self.is_keyword("WHERE") || *self.peek() == Token::End {
                return Err(self.expected("a path to group by"));
            }
            if let (Token::Word(word), Token::Open) = (self.peek(), self.peek_at(1)) {
                let message = format!("`{word}` cannot be grouped by");
                let error = QueryError::new(QueryErrorKind::NotAllowedHere, self.peek_span(), message);
                return Err(self.report(error.help("a query groups by paths only")));
            }
            paths.push(self.path("a path to group by")?);
            if self.eat(&Token::Comma).is_none() {
                break;
            }
        }
        if *self.peek() != Token::End {
            let help = if self.is_keyword("WHERE") {
                Some("`WHERE` stands before `GROUP BY`".to_owned())
            } else {
                self.arithmetic_outside_of_where()
            };
            return Err(self.expected_or("`,` or the end of the query", help));
        }
        Ok(paths)
    }

    /// Reports what stands after a complete expression and does not go on with it.
    pub(super) fn after_expression(&mut self, what: &str) -> Failed {
        let help = match self.peek() {
            Token::OpenBracket => {
                Some("there is no indexing: a name that is no identifier is written `path.[[name]]`".into())
            }
            Token::Close => Some("there is no `(` for this `)`".into()),
            Token::Word(word) if !lexer::is_keyword(word) => {
                nearest(word, ["AND", "OR", "IN", "NIN", "GROUP"]).map(|near| format!("did you mean `{near}`?"))
            }
            _ => None,
        };
        self.expected_or(what, help)
    }

    /// Reports a query within the query, at its `(` or its `SELECT`, and passes it.
    pub(super) fn subquery(&mut self) -> Failed {
        let span = self.peek_span();
        let error = QueryError::new(QueryErrorKind::Syntax, span, "this language has no queries within queries");
        let failed = self.report(error.help("run two queries"));
        let mut open = usize::from(*self.peek() != Token::Open);
        loop {
            match self.peek() {
                Token::Open => open += 1,
                Token::Close => open -= 1,
                Token::End => return failed,
                _ => {}
            }
            self.advance();
            if open == 0 {
                return failed;
            }
        }
    }

    // Names.

    /// Reads `segment.segment…`.
    pub(super) fn path(&mut self, what: &str) -> Parsed<Path> {
        let mut segments = vec![self.segment(what, false)?];
        loop {
            if self.eat(&Token::Dot).is_some() {
                segments.push(self.segment("a name after `.`", true)?);
            } else if let (&Token::Bracketed(name), true) =
                (self.peek(), self.peek_span().start == self.previous_span().end)
            {
                let span = self.peek_span();
                let error = QueryError::new(QueryErrorKind::Syntax, span, "a `.` is missing before `[[`");
                self.report(error.help(format!("write `.[[{name}]]`")));
                segments.push(self.segment("a name", true)?);
            } else if *self.peek() == Token::OpenBracket {
                let error = QueryError::new(QueryErrorKind::Syntax, self.peek_span(), "there is no indexing with `[`");
                let error = match self.peek_at(1) {
                    Token::Text(name) => error.help(format!("write `.[[{name}]]`")),
                    _ => error.help("the elements of an array cannot be reached"),
                };
                return Err(self.report(error));
            } else {
                return Ok(Path { segments });
            }
        }
    }

    fn segment(&mut self, what: &str, after_dot: bool) -> Parsed<Name> {
        let span = self.peek_span();
        match *self.peek() {
            Token::Word(word) => {
                if lexer::is_keyword(word) {
                    let meant_as_name =
                        if after_dot { self.previous_span().end == span.start } else { self.is_keyword_used_as_name() };
                    if !meant_as_name {
                        return Err(self.expected(what));
                    }
                    self.keyword_as_name(word, span);
                }
                self.advance();
                Ok(Name { text: word.to_owned(), span })
            }
            Token::Bracketed(name) => {
                self.advance();
                Ok(Name { text: name.to_owned(), span })
            }
            Token::Star if after_dot => {
                Err(self.expected_or(what, Some("everything under a path is the path itself".into())))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Says whether the keyword here is followed by what only follows a name.
    pub(super) fn is_keyword_used_as_name(&self) -> bool {
        match self.peek_at(1) {
            Token::Dot
            | Token::Comma
            | Token::Equal
            | Token::NotEqual
            | Token::Less
            | Token::Greater
            | Token::LessOrEqual
            | Token::GreaterOrEqual => true,
            Token::Word(next) => ["FROM", "AS", "IN", "NIN"].iter().any(|keyword| keyword.eq_ignore_ascii_case(next)),
            _ => false,
        }
    }

    /// Reports an aggregate where one document at a time is looked at.
    pub(super) fn aggregate_in_condition(&mut self, name: &str) -> Failed {
        let error = QueryError::new(
            QueryErrorKind::NotAllowedHere,
            self.peek_span(),
            format!("`{}` can only be selected", name.to_uppercase()),
        );
        self.report(error.label("a condition looks at one document").help_if(functions::instead_of_aggregate(name)))
    }
}
