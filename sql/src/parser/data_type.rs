//! The text of a type, after sqlparser's tokeniser: `ROW<a INT NOT NULL, b MAP<STRING, DECIMAL(10, 2)>> NOT NULL`.
//!
//! Casts carry their type through sqlparser's tree as a custom type named by its text ([`to_ast`], [`from_ast`]), because
//! sqlparser's own types can't say all of Flink's.

use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use weir_api::connector::nearest;

use super::dialect::{FlinkDialect, expected};
use super::interval;
use crate::error::{SqlError, SqlResult};
use crate::statement::Position;
use crate::types::{
    DEFAULT_TIMESTAMP_PRECISION, FlinkType, MAX_DECIMAL_PRECISION, MAX_LENGTH, MAX_TIME_PRECISION, RowField,
    TypeKind,
};

type Parsed<T> = std::result::Result<T, ParserError>;

/// How deep types may nest; a schema message of deeper ones wouldn't verify.
pub(crate) const MAX_TYPE_DEPTH: usize = 24;
/// The most fields of a ROW.
const MAX_ROW_FIELDS: usize = 10_000;

/// The names of types, for the hint behind an unknown one.
const NAMES: &[&str] = &[
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BYTES",
    "CHAR",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "MAP",
    "MULTISET",
    "NUMERIC",
    "ROW",
    "SMALLINT",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "VARBINARY",
    "VARCHAR",
];

/// A type with its `NOT NULL`, at the parser's place.
pub(super) fn parse_type(parser: &mut Parser) -> Parsed<FlinkType> {
    let mut types = TypeParser { parser, closed_ahead: false };
    let data_type = types.parse(0)?;
    if types.closed_ahead {
        let token = types.parser.get_current_token().clone();
        return types.parser.expected("one '>' only", token);
    }
    Ok(data_type)
}

/// The type of a text.
pub fn parse_text(text: &str) -> SqlResult<FlinkType> {
    let dialect = FlinkDialect::for_tokens(text.len());
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::syntax(Position::START, error.message))?;
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let parsed = parse_type(&mut parser).and_then(|data_type| match parser.peek_token_ref().token {
        Token::EOF => Ok(data_type),
        _ => expected(&parser, "the end of the type"),
    });
    parsed.map_err(|error| super::cursor::sql_error(&error, Position::START, Position::START))
}

/// The type as sqlparser's tree carries it.
pub(crate) fn to_ast(kind: &TypeKind) -> ast::DataType {
    ast::DataType::Custom(ObjectName::from(vec![Ident::new(kind.to_string())]), Vec::new())
}

/// The type of a CAST or a typed literal in a tree of this parser's.
pub fn from_ast(data_type: &ast::DataType) -> SqlResult<FlinkType> {
    match data_type {
        ast::DataType::Custom(name, modifiers) if modifiers.is_empty() => match name.0.as_slice() {
            [part] => part
                .as_ident()
                .map_or_else(|| parse_text(&name.to_string()), |ident| parse_text(&ident.value)),
            _ => parse_text(&name.to_string()),
        },
        other => parse_text(&other.to_string()),
    }
}

/// A parser of types; `>>` closes two of them.
struct TypeParser<'p, 'd> {
    parser: &'p mut Parser<'d>,
    /// Whether half of the `>>` that was last read is still to be used.
    closed_ahead: bool,
}

impl TypeParser<'_, '_> {
    fn parse(&mut self, depth: usize) -> Parsed<FlinkType> {
        if depth > MAX_TYPE_DEPTH {
            return expected(self.parser, &format!("a type nested no deeper than {MAX_TYPE_DEPTH}"));
        }
        let mut data_type = FlinkType::nullable(self.parse_kind(depth)?);
        let mut postfixes = 0;
        loop {
            if self.closed_ahead {
                return Ok(data_type);
            }
            if self.words(&["NOT", "NULL"]) {
                data_type.nullable = false;
            } else if self.words(&["NULL"]) {
                data_type.nullable = true;
            } else if self.words(&["ARRAY"]) {
                data_type = FlinkType::nullable(TypeKind::Array(Box::new(data_type)));
                postfixes += 1;
            } else if self.words(&["MULTISET"]) {
                data_type = FlinkType::nullable(TypeKind::Multiset(Box::new(data_type)));
                postfixes += 1;
            } else {
                return Ok(data_type);
            }
            if depth + postfixes > MAX_TYPE_DEPTH {
                return expected(self.parser, &format!("a type nested no deeper than {MAX_TYPE_DEPTH}"));
            }
        }
    }

    fn parse_kind(&mut self, depth: usize) -> Parsed<TypeKind> {
        let token = self.parser.peek_token();
        let name = match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => return self.parser.expected("a type", token),
        };
        self.parser.advance_token();
        Ok(match name.as_str() {
            "BOOLEAN" => TypeKind::Boolean,
            "TINYINT" => TypeKind::TinyInt,
            "SMALLINT" => TypeKind::SmallInt,
            "INT" | "INTEGER" => TypeKind::Int,
            "BIGINT" => TypeKind::BigInt,
            "FLOAT" | "REAL" => TypeKind::Float,
            "DOUBLE" => {
                let _ = self.words(&["PRECISION"]);
                TypeKind::Double
            }
            "DECIMAL" | "NUMERIC" | "DEC" => self.decimal()?,
            "STRING" => TypeKind::STRING,
            "BYTES" => TypeKind::BYTES,
            "CHAR" | "CHARACTER" if self.words(&["VARYING"]) => TypeKind::Varchar(self.length(MAX_LENGTH)?),
            "CHAR" | "CHARACTER" => TypeKind::Char(self.length(1)?),
            "VARCHAR" => TypeKind::Varchar(self.length(MAX_LENGTH)?),
            "BINARY" if self.words(&["VARYING"]) => TypeKind::Varbinary(self.length(MAX_LENGTH)?),
            "BINARY" => TypeKind::Binary(self.length(1)?),
            "VARBINARY" => TypeKind::Varbinary(self.length(MAX_LENGTH)?),
            "DATE" => TypeKind::Date,
            "TIME" => {
                let precision = self.precision(0)?;
                let _ = self.words(&["WITHOUT", "TIME", "ZONE"]);
                TypeKind::Time(precision)
            }
            "TIMESTAMP" => self.timestamp()?,
            "TIMESTAMP_LTZ" => TypeKind::TimestampLtz(self.precision(DEFAULT_TIMESTAMP_PRECISION)?),
            "INTERVAL" => {
                let (first, _) = interval::parse_units(self.parser)?;
                if first.is_months() { TypeKind::IntervalYearMonth } else { TypeKind::IntervalDayTime }
            }
            "ARRAY" => TypeKind::Array(self.element(depth)?),
            "MULTISET" => TypeKind::Multiset(self.element(depth)?),
            "MAP" => self.map(depth)?,
            "ROW" => self.row(depth)?,
            "RAW" | "VARIANT" | "STRUCTURED" | "TIMESTAMP_TZ" | "BITMAP" => {
                let message = format!("the type {name} is not supported yet");
                return Err(ParserError::ParserError(format!("{message}{}", token.span.start)));
            }
            _ => {
                let hint = nearest(&name, NAMES.iter().copied())
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                let message = format!("there is no type '{name}'{hint}");
                return Err(ParserError::ParserError(format!("{message}{}", token.span.start)));
            }
        })
    }

    /// `<element>`.
    fn element(&mut self, depth: usize) -> Parsed<Box<FlinkType>> {
        self.open()?;
        let element = self.parse(depth + 1)?;
        self.close()?;
        Ok(Box::new(element))
    }

    fn map(&mut self, depth: usize) -> Parsed<TypeKind> {
        self.open()?;
        let key = self.parse(depth + 1)?;
        self.expect(&Token::Comma)?;
        let value = self.parse(depth + 1)?;
        self.close()?;
        Ok(TypeKind::Map(Box::new(key), Box::new(value)))
    }

    fn decimal(&mut self) -> Parsed<TypeKind> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(TypeKind::Decimal { precision: 10, scale: 0 });
        }
        let precision = self.number(1, u32::from(MAX_DECIMAL_PRECISION), "DECIMAL's precision")?;
        let scale = if self.parser.consume_token(&Token::Comma) {
            self.number(0, precision, "DECIMAL's scale")?
        } else {
            0
        };
        self.parser.expect_token(&Token::RParen)?;
        // Both are at most 38.
        let (precision, scale) = (u8::try_from(precision), u8::try_from(scale));
        match (precision, scale) {
            (Ok(precision), Ok(scale)) => Ok(TypeKind::Decimal { precision, scale }),
            _ => expected(self.parser, "a precision of at most 38"),
        }
    }

    fn timestamp(&mut self) -> Parsed<TypeKind> {
        let precision = self.precision(DEFAULT_TIMESTAMP_PRECISION)?;
        if self.words(&["WITH", "LOCAL", "TIME", "ZONE"]) {
            return Ok(TypeKind::TimestampLtz(precision));
        }
        let location = self.parser.peek_token_ref().span.start;
        if self.words(&["WITH", "TIME", "ZONE"]) {
            let message =
                "TIMESTAMP WITH TIME ZONE is not supported; TIMESTAMP_LTZ is the type of points in time";
            return Err(ParserError::ParserError(format!("{message}{location}")));
        }
        let _ = self.words(&["WITHOUT", "TIME", "ZONE"]);
        Ok(TypeKind::Timestamp(precision))
    }

    fn row(&mut self, depth: usize) -> Parsed<TypeKind> {
        if self.parser.consume_token(&Token::Neq) {
            return Ok(TypeKind::Row(Vec::new()));
        }
        let in_parentheses = self.parser.consume_token(&Token::LParen);
        if !in_parentheses {
            self.open()?;
        }
        let mut fields: Vec<RowField> = Vec::new();
        loop {
            let name = match &self.parser.peek_token_ref().token {
                Token::Word(word) => word.value.clone(),
                _ => return expected(self.parser, "the name of a field"),
            };
            if fields.iter().any(|field| field.name == name) {
                return expected(
                    self.parser,
                    &format!("a field other than '{name}', which the ROW has already"),
                );
            }
            if fields.len() >= MAX_ROW_FIELDS {
                return expected(self.parser, &format!("no more than {MAX_ROW_FIELDS} fields"));
            }
            self.parser.advance_token();
            let data_type = self.parse(depth + 1)?;
            let comment = match &self.parser.peek_token_ref().token {
                Token::SingleQuotedString(text) if !self.closed_ahead => Some(text.clone()),
                _ => None,
            };
            if comment.is_some() {
                self.parser.advance_token();
            }
            fields.push(RowField { name, data_type, comment });
            if self.closed_ahead || !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        if in_parentheses {
            self.expect(&Token::RParen)?;
        } else {
            self.close()?;
        }
        Ok(TypeKind::Row(fields))
    }

    /// Takes a token that can't come while half of a `>>` is open.
    fn expect(&mut self, token: &Token) -> Parsed<()> {
        if self.closed_ahead {
            let location = self.parser.get_current_token().span.start;
            return Err(ParserError::ParserError(format!(
                "expected '>' and {token} behind it, found >>{location}"
            )));
        }
        self.parser.expect_token(token).map(|_| ())
    }

    fn open(&mut self) -> Parsed<()> {
        self.parser.expect_token(&Token::Lt).map(|_| ())
    }

    fn close(&mut self) -> Parsed<()> {
        if self.closed_ahead {
            self.closed_ahead = false;
            return Ok(());
        }
        match self.parser.peek_token_ref().token {
            Token::Gt => self.parser.advance_token(),
            Token::ShiftRight => {
                self.parser.advance_token();
                self.closed_ahead = true;
            }
            _ => return expected(self.parser, "',' or '>'"),
        }
        Ok(())
    }

    /// `(n)` of a CHAR or BINARY type, or what it is without.
    fn length(&mut self, default: u32) -> Parsed<u32> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(default);
        }
        let length = self.number(1, MAX_LENGTH, "the length")?;
        self.parser.expect_token(&Token::RParen)?;
        Ok(length)
    }

    /// `(p)` of a type of time, or what it is without.
    fn precision(&mut self, default: u8) -> Parsed<u8> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(default);
        }
        let precision = self.number(0, u32::from(MAX_TIME_PRECISION), "the precision")?;
        self.parser.expect_token(&Token::RParen)?;
        Ok(u8::try_from(precision).unwrap_or(MAX_TIME_PRECISION))
    }

    fn number(&mut self, least: u32, most: u32, what: &str) -> Parsed<u32> {
        let number = match &self.parser.peek_token_ref().token {
            Token::Number(digits, false) => {
                digits.parse().ok().filter(|number| (least..=most).contains(number))
            }
            _ => None,
        };
        match number {
            Some(number) => {
                self.parser.advance_token();
                Ok(number)
            }
            None => expected(self.parser, &format!("{what}, {least} to {most}")),
        }
    }

    /// Takes these words if they come next; not reserved ones of sqlparser's, so compared as text.
    fn words(&mut self, expected: &[&str]) -> bool {
        let come_next = expected.iter().enumerate().all(|(index, word)| {
            matches!(&self.parser.peek_nth_token_ref(index).token,
                Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
        });
        if come_next {
            for _ in expected {
                self.parser.advance_token();
            }
        }
        come_next
    }
}
