//! Hints, `/*+ NAME(…) */`: comments that say something.
//!
//! `OPTIONS('key' = 'value')` behind a table's name marks that name; the mark goes with it through sqlparser into the tree,
//! see [`TableHint`]. Invariant: an OPTIONS that no table has taken in the end is an error, any other hint is a warning: hints
//! change how a result is computed, not what it is.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::dialect::FlinkDialect;
use super::tokens::position_of;
use crate::error::{SqlError, SqlResult};
use crate::statement::{Position, TableHint, TableOption};

/// The one hint that has a meaning here.
const OPTIONS: &str = "OPTIONS";

/// The hints of a text.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// How many OPTIONS there are so far, for their marks.
    count: usize,
    /// Of the statement that is being read, those that no table has taken yet.
    pub(super) open: Vec<TableHint>,
    /// What the user should hear about.
    pub(super) warnings: Vec<String>,
}

impl Hints {
    /// Takes in a comment; `before` are the statement's tokens so far.
    pub(super) fn comment(
        &mut self,
        comment: &str,
        start: Location,
        before: &mut [TokenWithSpan],
    ) -> SqlResult<()> {
        if !is_hint(comment) {
            return Ok(());
        }
        let tokens = tokens_of(comment, start)?;
        let mut rest = tokens.as_slice();
        while let Some((name, arguments, behind)) = next_hint(rest, start)? {
            let position = position_of(name.span.start).unwrap_or(Position::START);
            let Token::Word(word) = &name.token else {
                return Err(SqlError::syntax(
                    position,
                    "a hint is a name with arguments, as in /*+ OPTIONS('key' = 'value') */",
                ));
            };
            if word.value.eq_ignore_ascii_case(OPTIONS) {
                let options = options_of(arguments, position)?;
                self.mark(options, position, before)?;
            } else {
                self.warnings.push(format!("{position}: the hint {} has no effect", word.value));
            }
            rest = behind;
        }
        Ok(())
    }

    /// Marks the name that the hint stands behind.
    fn mark(
        &mut self,
        options: Vec<TableOption>,
        position: Position,
        before: &mut [TokenWithSpan],
    ) -> SqlResult<()> {
        let Some(TokenWithSpan { token: Token::Word(word), .. }) = before.last_mut() else {
            return Err(misplaced(position));
        };
        let is_clause = matches!(
            word.keyword,
            Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::JOIN | Keyword::INTO | Keyword::TABLE
        );
        if word.quote_style.is_none() && is_clause {
            return Err(misplaced(position));
        }
        self.count += 1;
        let marked = format!("{}{}{}", word.value, TableHint::MARK, self.count);
        if word.value.contains(TableHint::MARK) {
            return Err(SqlError::syntax(position, "a table has one hint OPTIONS at most"));
        }
        word.value.clone_from(&marked);
        self.open.push(TableHint { marked, options, position });
        Ok(())
    }

    /// The hint of a marked name, which has found its table.
    pub(super) fn take(&mut self, marked: &str) -> Option<TableHint> {
        let index = self.open.iter().position(|hint| hint.marked == marked)?;
        Some(self.open.swap_remove(index))
    }

    /// Fails if a hint of the statement stands behind no table.
    pub(super) fn expect_taken(&mut self) -> SqlResult<()> {
        match self.open.drain(..).next() {
            Some(hint) => Err(misplaced(hint.position)),
            None => Ok(()),
        }
    }
}

fn misplaced(position: Position) -> SqlError {
    SqlError::syntax(
        position,
        "the hint OPTIONS belongs right behind the name of a table that a query reads or an INSERT writes",
    )
}

/// Whether a comment is a hint, `/*+ NAME(…) */`, and not just a comment that begins with a plus.
fn is_hint(comment: &str) -> bool {
    comment.strip_prefix('+').is_some_and(|rest| {
        let name_end = rest
            .trim_start()
            .trim_start_matches(|character: char| character.is_alphanumeric() || character == '_');
        rest.trim_start().len() > name_end.len() && name_end.trim_start().starts_with('(')
    })
}

/// The tokens of a hint, at their places in the text.
fn tokens_of(comment: &str, start: Location) -> SqlResult<Vec<TokenWithSpan>> {
    let inner = comment.strip_prefix('+').unwrap_or(comment);
    let moved = |location: Location| match location.line {
        // Behind the slash, the star and the plus.
        1 => Location { line: start.line, column: start.column + 3 + location.column.saturating_sub(1) },
        line => Location { line: start.line + line - 1, column: location.column },
    };
    let dialect = FlinkDialect::for_tokens(0);
    let mut tokens = Tokenizer::new(&dialect, inner).tokenize_with_location().map_err(|error| {
        let position = position_of(moved(error.location)).unwrap_or(Position::START);
        SqlError::syntax(position, format!("in a hint: {}", error.message))
    })?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    for token in &mut tokens {
        token.span.start = moved(token.span.start);
        token.span.end = moved(token.span.end);
    }
    Ok(tokens)
}

/// A hint's name, the tokens between its brackets, and what stands behind it.
type Hint<'a> = (&'a TokenWithSpan, &'a [TokenWithSpan], &'a [TokenWithSpan]);

/// The next hint of a list, with or without a comma before it.
fn next_hint(tokens: &[TokenWithSpan], start: Location) -> SqlResult<Option<Hint<'_>>> {
    let tokens = match tokens {
        [comma, rest @ ..] if comma.token == Token::Comma => rest,
        all => all,
    };
    let [name, rest @ ..] = tokens else { return Ok(None) };
    let [open, rest @ ..] = rest else { return Ok(Some((name, &[], rest))) };
    if open.token != Token::LParen {
        return Ok(Some((name, &[], tokens.get(1..).unwrap_or_default())));
    }
    let mut depth = 1_usize;
    for (index, token) in rest.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let (arguments, behind) = rest.split_at(index);
            return Ok(Some((name, arguments, behind.get(1..).unwrap_or_default())));
        }
    }
    let position = position_of(start).unwrap_or(Position::START);
    Err(SqlError::syntax(position, "a hint whose bracket isn't closed"))
}

/// `'key' = 'value', …`
fn options_of(tokens: &[TokenWithSpan], position: Position) -> SqlResult<Vec<TableOption>> {
    let place = |token: &TokenWithSpan| position_of(token.span.start).unwrap_or(position);
    let mut options: Vec<TableOption> = Vec::new();
    for item in tokens.split(|token| token.token == Token::Comma) {
        match item {
            [key, equals, value] if equals.token == Token::Eq => match (&key.token, &value.token) {
                (Token::SingleQuotedString(name), Token::SingleQuotedString(value)) => {
                    if options.iter().any(|option| option.key == *name) {
                        return Err(SqlError::syntax(
                            place(key),
                            format!("the option '{name}' is given twice"),
                        ));
                    }
                    options.push(TableOption {
                        key: name.clone(),
                        value: value.clone(),
                        position: place(key),
                    });
                }
                _ => return Err(not_an_option(place(key))),
            },
            [first, ..] => return Err(not_an_option(place(first))),
            [] => return Err(not_an_option(position)),
        }
    }
    Ok(options)
}

fn not_an_option(position: Position) -> SqlError {
    SqlError::syntax(position, "the hint is written OPTIONS('key' = 'value', …), keys and values in quotes")
}
