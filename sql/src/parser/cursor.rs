//! A place in one statement: sqlparser's parser with errors that know where.

use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::data_type;
use super::dialect::FlinkDialect;
use super::tokens::{StatementTokens, lower_first, position_of, text_of};
use super::{subqueries, window};
use crate::error::{SqlError, SqlResult};
use crate::statement::{Expression, Name, Position, Query, TableHint, TableName};
use crate::types::FlinkType;

/// Levels that sqlparser may recurse; brackets nest less deep, but each of theirs may cost two.
pub(super) const RECURSION_LIMIT: usize = 300;
/// The most columns, options or parts of anything in brackets.
const MAX_LIST: usize = 10_000;

/// A statement that is being read.
pub(super) struct Cursor<'d> {
    parser: Parser<'d>,
    end: Position,
    hints: Vec<TableHint>,
}

impl<'d> Cursor<'d> {
    /// A cursor at the beginning of a statement.
    pub(super) fn new(dialect: &'d FlinkDialect, statement: StatementTokens) -> Self {
        let StatementTokens { tokens, end, hints, .. } = statement;
        let parser =
            Parser::new(dialect).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
        Self { parser, end, hints }
    }

    /// How many tokens have been read, for [`Cursor::text_since`].
    pub(super) fn index(&self) -> usize {
        self.parser.index()
    }

    /// What has been read since, as text.
    pub(super) fn text_since(&self, index: usize) -> String {
        text_of((index..self.parser.index()).map(|index| self.parser.token_at(index)), &self.hints)
    }

    /// The place of the next token, or the end of the statement.
    pub(super) fn position(&self) -> Position {
        position_of(self.parser.peek_token_ref().span.start).unwrap_or(self.end)
    }

    /// Whether everything has been read.
    pub(super) fn at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    /// Whether these words come next; case doesn't count.
    pub(super) fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(index, word)| self.sees_nth(index, word))
    }

    /// Whether this word comes so many tokens further on.
    pub(super) fn sees_nth(&self, index: usize, word: &str) -> bool {
        matches!(&self.parser.peek_nth_token_ref(index).token,
            Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    /// Whether this token comes next.
    pub(super) fn sees_token(&self, token: &Token) -> bool {
        self.parser.peek_token_ref().token == *token
    }

    /// The next token, without taking it.
    pub(super) fn peek(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    /// The token so many further on.
    pub(super) fn peek_nth(&self, index: usize) -> &Token {
        &self.parser.peek_nth_token_ref(index).token
    }

    /// Whether a text in quotes comes next.
    pub(super) fn sees_string(&self) -> bool {
        matches!(self.peek(), Token::SingleQuotedString(_) | Token::UnicodeStringLiteral(_))
    }

    /// Whether this token comes so many tokens further on.
    pub(super) fn sees_nth_token(&self, index: usize, token: &Token) -> bool {
        self.parser.peek_nth_token_ref(index).token == *token
    }

    /// Whether a word or a comma comes so many tokens further on.
    pub(super) fn is_word_or_comma(&self, index: usize) -> bool {
        matches!(self.parser.peek_nth_token_ref(index).token, Token::Word(_) | Token::Comma)
    }

    /// Takes these words if they come next.
    pub(super) fn takes(&mut self, words: &[&str]) -> bool {
        let come_next = self.sees(words);
        if come_next {
            for _ in words {
                self.parser.advance_token();
            }
        }
        come_next
    }

    /// Takes this token if it comes next.
    pub(super) fn takes_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes these words or fails.
    pub(super) fn expect(&mut self, words: &[&str]) -> SqlResult<()> {
        if self.takes(words) { Ok(()) } else { Err(self.unexpected(&words.join(" "))) }
    }

    /// Takes this token or fails.
    pub(super) fn expect_token(&mut self, token: &Token) -> SqlResult<()> {
        if self.takes_token(token) { Ok(()) } else { Err(self.unexpected(&format!("'{token}'"))) }
    }

    /// Fails unless everything has been read.
    pub(super) fn expect_end(&self) -> SqlResult<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    /// The error that `what` doesn't come next.
    pub(super) fn unexpected(&self, what: &str) -> SqlError {
        SqlError::syntax(self.position(), format!("expected {what}, found {}", self.found()))
    }

    /// The next token as messages show it.
    pub(super) fn found(&self) -> String {
        shown(&self.parser.peek_token_ref().token)
    }

    /// The next word as it was written, without taking it.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    /// An identifier.
    pub(super) fn name(&mut self, what: &str) -> SqlResult<Name> {
        let Token::Word(word) = &self.parser.peek_token_ref().token else {
            return Err(self.unexpected(what));
        };
        let name = Name { value: word.value.clone(), position: self.position() };
        self.parser.advance_token();
        Ok(name)
    }

    /// The next token, whatever it is.
    pub(super) fn next_token(&mut self) -> Token {
        self.parser.next_token().token
    }

    /// `[catalog.][database.]table`.
    pub(super) fn table_name(&mut self, what: &str) -> SqlResult<TableName> {
        let position = self.position();
        let mut parts = vec![self.name(what)?];
        while self.takes_token(&Token::Period) {
            if parts.len() == 3 {
                return Err(SqlError::syntax(position, "a table's name has at most three parts"));
            }
            parts.push(self.name("a name behind '.'")?);
        }
        Ok(TableName { parts, position })
    }

    /// `'…'`.
    pub(super) fn string(&mut self, what: &str) -> SqlResult<String> {
        let (Token::SingleQuotedString(text) | Token::UnicodeStringLiteral(text)) =
            &self.parser.peek_token_ref().token
        else {
            return Err(self.unexpected(what));
        };
        let text = text.clone();
        self.parser.advance_token();
        Ok(text)
    }

    /// `(item, item, …)`, at least one.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> SqlResult<T>) -> SqlResult<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let mut items = Vec::new();
        loop {
            if items.len() >= MAX_LIST {
                return Err(SqlError::syntax(
                    self.position(),
                    format!("more than {MAX_LIST} items in one list"),
                ));
            }
            items.push(item(self)?);
            if self.takes_token(&Token::RParen) {
                return Ok(items);
            }
            if !self.takes_token(&Token::Comma) {
                return Err(self.unexpected("',' or ')'"));
            }
        }
    }

    /// `(name, name, …)`.
    pub(super) fn names(&mut self, what: &str) -> SqlResult<Vec<Name>> {
        self.list(|cursor| cursor.name(what))
    }

    /// A type.
    pub(super) fn data_type(&mut self) -> SqlResult<FlinkType> {
        self.run(data_type::parse_type)
    }

    /// An expression.
    pub(super) fn expression(&mut self) -> SqlResult<Expression> {
        let start = self.index();
        let ast = self.run(Parser::parse_expr)?;
        window::refuse_in_expression(&ast)?;
        Ok(Expression { ast: Box::new(ast), text: self.text_since(start) })
    }

    /// A query, its window table functions taken out.
    pub(super) fn query(&mut self, placeholders: &mut window::Placeholders) -> SqlResult<Query> {
        let position = self.position();
        if !self.begins_query() {
            return Err(self.unexpected("a query"));
        }
        subqueries::check(&self.tokens(), self.end)?;
        let start = self.index();
        let ast = self.run(Parser::parse_query)?;
        window::take_out(ast, self.text_since(start), position, placeholders)
    }

    /// Whether a query begins here.
    pub(super) fn begins_query(&self) -> bool {
        let mut index = 0;
        while self.parser.peek_nth_token_ref(index).token == Token::LParen {
            index += 1;
        }
        ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| self.sees_nth(index, word))
    }

    /// The whole statement.
    fn tokens(&self) -> Vec<TokenWithSpan> {
        (0..)
            .map(|index| self.parser.token_at(index))
            .take_while(|token| token.token != Token::EOF)
            .cloned()
            .collect()
    }

    fn run<T>(&mut self, parse: impl FnOnce(&mut Parser<'d>) -> Result<T, ParserError>) -> SqlResult<T> {
        let start = self.position();
        parse(&mut self.parser).map_err(|error| sql_error(&error, start, self.end))
    }
}

/// A token as messages show it.
pub(super) fn shown(token: &Token) -> String {
    match token {
        Token::EOF => "the end of the statement".to_owned(),
        Token::Word(word) if word.value.contains(TableHint::MARK) => {
            TableHint::split(&word.value).0.to_owned()
        }
        Token::SingleQuotedString(text) if text.chars().count() > 40 => {
            format!("'{}…'", text.chars().take(40).collect::<String>())
        }
        other => other.to_string(),
    }
}

/// An error of sqlparser's about what begins at `start`; one without a place of its own is at `end`.
pub(super) fn sql_error(error: &ParserError, start: Position, end: Position) -> SqlError {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::syntax(start, "the statement is nested too deep; split it with views or WITH");
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
    };
    let (message, position) = match split_location(text) {
        Some((message, position)) => (message, position),
        None => (text, end),
    };
    let message = message
        .replacen("Expected: ", "expected ", 1)
        .replace(", found: EOF", ", found the end of the statement");
    SqlError::syntax(position, lower_first(&without_marks(&message.replace(", found: ", ", found "))))
}

/// A message without the marks of hints.
fn without_marks(message: &str) -> String {
    let mut pieces = message.split(TableHint::MARK);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str(piece.trim_start_matches(|character: char| character.is_ascii_digit()));
    }
    text
}

/// Takes ` at Line: 3, Column: 12` off the end.
fn split_location(text: &str) -> Option<(&str, Position)> {
    let (message, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let column: u64 = column.trim_end().parse().ok()?;
    Some((message, Position { line: line.parse().ok()?, column: column.max(1) }))
}
