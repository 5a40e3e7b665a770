//! From text to statements' tokens, within limits.
//!
//! Invariant: what leaves here is small enough for recursion: at most [`MAX_TEXT`] bytes, brackets nest at most [`MAX_DEPTH`]
//! deep, and no expression is a chain of more than [`MAX_CHAIN`] operators (each is a level of the tree). It knows of grammar
//! the semicolon, and where a subquery begins.

use std::fmt::Write;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};
use weir_api::error::Code;

use super::dialect::FlinkDialect;
use super::hints::Hints;
use crate::error::{SqlError, SqlResult};
use crate::statement::{Position, TableHint};

/// The most bytes of a text.
pub const MAX_TEXT: usize = 4 << 20;
/// What some editors put before a text.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';
/// How deep brackets may nest.
const MAX_DEPTH: usize = 128;
/// The most operators and keywords between two commas of one pair of brackets.
const MAX_CHAIN: usize = 1_000;

/// How often the innermost subquery may be read; see [`readings_of`].
const MAX_READINGS: usize = 64;

/// The tokens of one statement, without white space and comments, and where it ends.
#[derive(Debug)]
pub(super) struct StatementTokens {
    /// Never empty.
    pub(super) tokens: Vec<TokenWithSpan>,
    /// Where it begins.
    pub(super) start: Position,
    /// Behind the last token: where something is missing if it breaks off.
    pub(super) end: Position,
    /// The hints of its tables.
    pub(super) hints: Vec<TableHint>,
}

/// The statements of a text, and what the user should hear about.
pub(super) fn split(text: &str) -> SqlResult<(Vec<StatementTokens>, Vec<String>)> {
    if text.len() > MAX_TEXT {
        let message = format!("the text has {} bytes; at most {MAX_TEXT} can be read", text.len());
        return Err(SqlError::at(Code::InvalidArgument, Position::START, message));
    }
    let text = text.trim_start_matches(BYTE_ORDER_MARK);
    let dialect = FlinkDialect::for_tokens(0);
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| {
        SqlError::syntax(position_of(error.location).unwrap_or(Position::START), lower_first(&error.message))
    })?;
    let mut statements = Vec::new();
    let mut current = Vec::new();
    let mut hints = Hints::default();
    for token in tokens {
        match &token.token {
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => {
                hints.comment(comment, token.span.start, &mut current)?;
            }
            Token::Whitespace(_) => {}
            Token::SemiColon => finish(std::mem::take(&mut current), &mut hints, &mut statements)?,
            _ => {
                check_token(&token)?;
                current.push(token);
            }
        }
    }
    finish(current, &mut hints, &mut statements)?;
    Ok((statements, hints.warnings))
}

/// Puts a statement behind the others, unless it is empty.
fn finish(
    tokens: Vec<TokenWithSpan>,
    hints: &mut Hints,
    statements: &mut Vec<StatementTokens>,
) -> SqlResult<()> {
    let hints = std::mem::take(&mut hints.open);
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Ok(()) };
    let start = position_of(first.span.start).unwrap_or(Position::START);
    let end = position_of(last.span.end).unwrap_or(start);
    check_nesting(&tokens)?;
    statements.push(StatementTokens { tokens, start, end, hints });
    Ok(())
}

/// Refuses tokens that sqlparser reads and Flink doesn't.
fn check_token(token: &TokenWithSpan) -> SqlResult<()> {
    let position = position_of(token.span.start).unwrap_or(Position::START);
    match &token.token {
        Token::DoubleQuotedString(text) => {
            let message =
                format!("\"{text}\" is in double quotes; write '{text}' for a string, `{text}` for a name");
            Err(SqlError::syntax(position, message))
        }
        Token::Word(word) if word.value.is_empty() => {
            Err(SqlError::syntax(position, "a name can't be empty"))
        }
        Token::Word(word)
            if word.quote_style.is_some()
                && (super::window::is_placeholder(&word.value) || word.value.contains(TableHint::MARK)) =>
        {
            Err(SqlError::syntax(position, format!("the name `{}` is reserved; choose another", word.value)))
        }
        _ => Ok(()),
    }
}

/// An open bracket.
#[derive(Clone, Copy)]
struct Level {
    /// Operators since the last comma.
    chain: usize,
    /// How often sqlparser may read what is inside.
    readings: usize,
}

/// Refuses what would recurse too deep or be read too often.
fn check_nesting(tokens: &[TokenWithSpan]) -> SqlResult<()> {
    let mut outermost = Level { chain: 0, readings: 1 };
    let mut levels: Vec<Level> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let level = levels.last_mut().unwrap_or(&mut outermost);
        let refusal = match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                let readings = level.readings.saturating_mul(readings_of(tokens, index));
                levels.push(Level { chain: 0, readings });
                if levels.len() > MAX_DEPTH {
                    Some(format!("brackets nest deeper than {MAX_DEPTH}"))
                } else if readings > MAX_READINGS {
                    Some(
                        "too many subqueries in double brackets, ((SELECT …)); use single ones or WITH"
                            .to_owned(),
                    )
                } else {
                    None
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                // Brackets that don't match are the parser's to report.
                levels.pop();
                None
            }
            Token::Comma => {
                level.chain = 0;
                None
            }
            _ if is_link(tokens, index) => {
                level.chain += 1;
                (level.chain > MAX_CHAIN).then(|| {
                    format!(
                        "an expression of more than {MAX_CHAIN} operators; use IN (…) for lists of values, or split it"
                    )
                })
            }
            _ => None,
        };
        if let Some(message) = refusal {
            return Err(SqlError::syntax(position_of(token.span.start).unwrap_or(Position::START), message));
        }
    }
    Ok(())
}

/// How often sqlparser may read what the bracket at `index` holds: behind `((SELECT` it tries a query, a join and an
/// expression, once for each bracket of the run.
fn readings_of(tokens: &[TokenWithSpan], index: usize) -> usize {
    let is_open = |index: usize| tokens.get(index).is_some_and(|token| token.token == Token::LParen);
    if !is_open(index) || index.checked_sub(1).is_some_and(is_open) {
        return 1;
    }
    let run = (index..).take_while(|index| is_open(*index)).count();
    if super::subqueries::begins_query(tokens, index + run) { run } else { 1 }
}

/// Whether the token at `index` can make an expression's tree one level deeper.
fn is_link(tokens: &[TokenWithSpan], index: usize) -> bool {
    match tokens.get(index).map(|token| &token.token) {
        Some(Token::Word(word)) => {
            let is_flat = matches!(
                word.keyword,
                Keyword::NoKeyword
                    | Keyword::WHEN
                    | Keyword::THEN
                    | Keyword::AS
                    | Keyword::NULL
                    | Keyword::ON
            );
            // Many names are keywords of some dialect; before an operator they are names, and the operator counts.
            let is_prefix = matches!(
                tokens.get(index + 1).map(|token| &token.token),
                Some(Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::LParen)
            );
            word.quote_style.is_none() && !is_flat && is_prefix
        }
        Some(Token::Number(..) | Token::SingleQuotedString(_) | Token::Period) | None => false,
        Some(_) => true,
    }
}

/// A place of sqlparser's; `None` where it has none.
pub(super) fn position_of(location: Location) -> Option<Position> {
    (location.line > 0).then_some(Position { line: location.line, column: location.column.max(1) })
}

/// The text with its first letter in lower case, for sqlparser's messages within ours.
pub(super) fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(std::iter::once(second)).chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

/// Tokens as text: what stood apart is one space apart.
pub(super) fn text_of<'a>(tokens: impl Iterator<Item = &'a TokenWithSpan>, hints: &[TableHint]) -> String {
    let mut text = String::new();
    let mut end: Option<Location> = None;
    for token in tokens {
        if end.is_some_and(|end| end != token.span.start) {
            text.push(' ');
        }
        end = Some(token.span.end);
        match &token.token {
            Token::Word(word) => {
                let (name, _) = TableHint::split(&word.value);
                match word.quote_style {
                    Some(_) => text.push_str(&quoted(name)),
                    None => text.push_str(name),
                }
                if let Some(hint) = hints.iter().find(|hint| hint.marked == word.value) {
                    text.push_str(&hint_text(hint));
                }
            }
            Token::SingleQuotedString(literal) | Token::UnicodeStringLiteral(literal) => {
                text.push_str(&literal_text(literal));
            }
            other => {
                let _ = write!(text, "{other}");
            }
        }
    }
    text
}

/// An identifier in back-quotes, those inside doubled.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text in quotes, those inside doubled.
pub(crate) fn literal_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn hint_text(hint: &TableHint) -> String {
    let options: Vec<String> = hint
        .options
        .iter()
        .map(|option| format!("{} = {}", literal_text(&option.key), literal_text(&option.value)))
        .collect();
    format!(" /*+ OPTIONS({}) */", options.join(", "))
}
