//! Flink's dialect of queries and expressions, as hooks into sqlparser.
//!
//! Decides how CAST, typed literals, INTERVAL, MAP and the arguments of window table functions read, and leaves the JSON
//! functions and some predicates to [`functions`]; all else is sqlparser's.
//! Invariant: parsing takes time in proportion to the text, because every step burns fuel: sqlparser tries alternatives
//! and goes back, which nested calls would otherwise make exponential.

use std::cell::Cell;

use datafusion::sql::sqlparser::ast::{
    CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, TypedString, Value,
};
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use super::{data_type, functions, interval};
use crate::types::TypeKind;

/// The marker of a `TABLE …` argument: the prefix of an [`Expr::Prefixed`].
pub(super) const TABLE_ARGUMENT: &str = "TABLE";

/// Steps that a token may cost.
const FUEL_PER_TOKEN: u64 = 100;
/// Steps that a statement may cost on top.
const FUEL_AT_LEAST: u64 = 10_000;

type Parsed<T> = std::result::Result<T, ParserError>;

/// Flink's dialect, for one statement.
#[derive(Debug)]
pub(super) struct FlinkDialect {
    fuel: Cell<u64>,
}

impl FlinkDialect {
    /// The dialect for a statement of so many tokens.
    pub(super) fn for_tokens(count: usize) -> Self {
        let tokens = u64::try_from(count).unwrap_or(u64::MAX);
        Self { fuel: Cell::new(tokens.saturating_mul(FUEL_PER_TOKEN).saturating_add(FUEL_AT_LEAST)) }
    }

    fn burn(&self) -> Parsed<()> {
        match self.fuel.get().checked_sub(1) {
            Some(left) => {
                self.fuel.set(left);
                Ok(())
            }
            // The one error that sqlparser doesn't take for an alternative that failed.
            None => Err(ParserError::RecursionLimitExceeded),
        }
    }
}

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, character: char) -> bool {
        character == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_' || character == '$'
    }

    fn is_identifier_part(&self, character: char) -> bool {
        character.is_alphanumeric() || character == '_' || character == '$'
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        // So that a mistake inside is reported where it is, not as a stray word behind a column of this name.
        matches!(
            keyword,
            Keyword::CASE
                | Keyword::CAST
                | Keyword::TRY_CAST
                | Keyword::EXISTS
                | Keyword::NOT
                | Keyword::SELECT
        )
    }

    fn get_next_precedence(&self, _parser: &Parser) -> Option<Parsed<u8>> {
        self.burn().err().map(Err)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Parsed<Expr>> {
        if let Err(error) = self.burn() {
            return Some(Err(error));
        }
        let Token::Word(word) = &parser.peek_token_ref().token else { return None };
        if word.quote_style.is_some() {
            return None;
        }
        let (keyword, word) = (word.keyword, word.clone());
        let next = &parser.peek_nth_token_ref(1).token;
        match (keyword, next) {
            (Keyword::CAST, Token::LParen) => Some(parse_cast(parser, CastKind::Cast)),
            (Keyword::TRY_CAST, Token::LParen) => Some(parse_cast(parser, CastKind::TryCast)),
            (Keyword::INTERVAL, next) => parse_interval(parser, &word, next.clone()),
            (Keyword::DATE, Token::SingleQuotedString(_)) => {
                Some(parse_typed_string(parser, &TypedLiteral::Date))
            }
            (Keyword::TIME, Token::SingleQuotedString(_)) => {
                Some(parse_typed_string(parser, &TypedLiteral::Time))
            }
            (Keyword::TIMESTAMP, Token::SingleQuotedString(_)) => {
                Some(parse_typed_string(parser, &TypedLiteral::Timestamp))
            }
            (Keyword::MAP, Token::LBracket) => Some(parse_map(parser)),
            (Keyword::TABLE, Token::Word(_) | Token::LParen) => Some(parse_table_argument(parser)),
            (_, Token::LParen) => functions::parse_json(parser, &word.value),
            _ => None,
        }
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, _precedence: u8) -> Option<Parsed<Expr>> {
        functions::parse_infix(parser, left, self.prec_value(Precedence::Between))
    }
}

/// An error at the next token, in sqlparser's own form.
pub(super) fn expected<T>(parser: &Parser, what: &str) -> Parsed<T> {
    parser.expected_ref(what, parser.peek_token_ref())
}

fn parse_cast(parser: &mut Parser, kind: CastKind) -> Parsed<Expr> {
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    parser.expect_keyword_is(Keyword::AS)?;
    let data_type = data_type::parse_type(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type: data_type::to_ast(&data_type.kind),
        array: false,
        format: None,
    })
}

/// `INTERVAL '…' unit`, or a column that is called interval.
fn parse_interval(parser: &mut Parser, word: &Word, next: Token) -> Option<Parsed<Expr>> {
    let after_sign = &parser.peek_nth_token_ref(2).token;
    let is_literal = matches!(
        (next, after_sign),
        (Token::SingleQuotedString(_) | Token::Number(..), _)
            | (Token::Plus | Token::Minus, Token::SingleQuotedString(_))
    );
    let span = parser.peek_token_ref().span;
    if is_literal {
        parser.advance_token();
        return Some(interval::parse_literal(parser));
    }
    match parser.peek_nth_token_ref(1).token {
        Token::LParen | Token::Word(_) => None,
        _ => {
            parser.advance_token();
            Some(Ok(Expr::Identifier(word.to_ident(span))))
        }
    }
}

/// Which literal a type's name introduces.
enum TypedLiteral {
    Date,
    Time,
    Timestamp,
}

fn parse_typed_string(parser: &mut Parser, literal: &TypedLiteral) -> Parsed<Expr> {
    parser.advance_token();
    let value = parser.parse_value()?;
    let text = match &value.value {
        Value::SingleQuotedString(text) => text.trim(),
        _ => "",
    };
    let kind = match literal {
        TypedLiteral::Date => interval::is_date(text).then_some(TypeKind::Date),
        TypedLiteral::Time => interval::is_time(text).then_some(TypeKind::Time(3)),
        TypedLiteral::Timestamp => interval::timestamp_digits(text).map(TypeKind::Timestamp),
    };
    let Some(kind) = kind else {
        let form = match literal {
            TypedLiteral::Date => "DATE '2026-01-31'",
            TypedLiteral::Time => "TIME '23:59:59.999'",
            TypedLiteral::Timestamp => "TIMESTAMP '2026-01-31 23:59:59.999'",
        };
        let location = value.span.start;
        return Err(ParserError::ParserError(format!(
            "'{text}' is no such value; write it as {form}{location}"
        )));
    };
    Ok(Expr::TypedString(TypedString { data_type: data_type::to_ast(&kind), value, uses_odbc_syntax: false }))
}

/// `MAP[k1, v1, k2, v2]` as a call of a function MAP.
fn parse_map(parser: &mut Parser) -> Parsed<Expr> {
    let name = parser.parse_identifier()?;
    parser.expect_token(&Token::LBracket)?;
    let arguments = if parser.peek_token_ref().token == Token::RBracket {
        Vec::new()
    } else {
        parser.parse_comma_separated(Parser::parse_expr)?
    };
    parser.expect_token(&Token::RBracket)?;
    let args =
        arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Ok(Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }))
}

/// `TABLE name` or `TABLE (query)`: what a window table function reads.
fn parse_table_argument(parser: &mut Parser) -> Parsed<Expr> {
    let marker = Ident::with_span(parser.peek_token_ref().span, TABLE_ARGUMENT);
    parser.advance_token();
    let value = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        Expr::Subquery(query)
    } else {
        let name = parser.parse_object_name(false)?;
        Expr::CompoundIdentifier(name.0.iter().filter_map(|part| part.as_ident().cloned()).collect())
    };
    if parser.peek_keyword(Keyword::PARTITION) {
        let location = parser.peek_token_ref().span.start;
        let message = "PARTITION BY in a window table function (SESSION windows) is not supported yet";
        return Err(ParserError::ParserError(format!("{message}{location}")));
    }
    Ok(Expr::Prefixed { prefix: marker, value: Box::new(value) })
}
