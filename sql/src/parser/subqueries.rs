//! Subqueries are read alone before what surrounds them, innermost first.
//!
//! Where brackets may hold a query or something else, sqlparser tries both and reports the second failure, far from the
//! mistake. Once every subquery is known to read, a failure is in the words around it and is reported there. Invariant: this
//! reads at most [`MAX_READINGS`] times as many tokens as there are; what is nested deeper than that is not checked ahead.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{RECURSION_LIMIT, shown, sql_error};
use super::dialect::FlinkDialect;
use super::tokens::position_of;
use crate::error::{SqlError, SqlResult};
use crate::statement::Position;

/// How many times a token may be read, on average.
const MAX_READINGS: usize = 20;

/// Fails at the first mistake in a subquery; `end` is where the tokens end.
pub(super) fn check(tokens: &[TokenWithSpan], end: Position) -> SqlResult<()> {
    // The brackets that are open, each with where its subquery begins, if it holds one.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut budget = tokens.len().saturating_mul(MAX_READINGS);
    for (index, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => open.push(begins_query(tokens, index + 1).then_some(index + 1)),
            Token::RParen => {
                if let Some(Some(start)) = open.pop() {
                    let subquery = tokens.get(start..=index).unwrap_or_default();
                    let Some(left) = budget.checked_sub(subquery.len()) else { return Ok(()) };
                    budget = left;
                    check_one(subquery, end)?;
                }
            }
            _ => {}
        }
    }
    // Brackets that nobody closes: the innermost is where something is missing.
    match open.into_iter().rev().flatten().next() {
        Some(start) => check_one(tokens.get(start..).unwrap_or_default(), end),
        None => Ok(()),
    }
}

/// Whether the token at `index` can only begin a query.
pub(super) fn begins_query(tokens: &[TokenWithSpan], index: usize) -> bool {
    let word = |index: usize, text: &str| {
        matches!(tokens.get(index).map(|token| &token.token),
            Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
    };
    let bracket_follows = matches!(tokens.get(index + 1).map(|token| &token.token), Some(Token::LParen));
    word(index, "SELECT")
        || (word(index, "WITH") && !bracket_follows)
        || (word(index, "VALUES") && bracket_follows)
}

/// One subquery, its closing bracket included where there is one.
fn check_one(tokens: &[TokenWithSpan], end: Position) -> SqlResult<()> {
    let dialect = FlinkDialect::for_tokens(tokens.len());
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(RECURSION_LIMIT)
        .with_tokens_with_locations(tokens.to_vec());
    let start = tokens.first().and_then(|token| position_of(token.span.start)).unwrap_or(end);
    parser.parse_query().map_err(|error| sql_error(&error, start, end))?;
    let next = parser.peek_token_ref();
    if next.token == Token::RParen {
        return Ok(());
    }
    let position = position_of(next.span.start).unwrap_or(end);
    Err(SqlError::syntax(position, format!("expected ), found {}", shown(&next.token))))
}
