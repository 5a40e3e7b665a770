//! Literals of time: `INTERVAL '1:30' MINUTE TO SECOND`, and which dates, times and timestamps can be written.
//!
//! Intervals become months or milliseconds here, once, so that nobody downstream has to read their text again.

use arrow::compute::kernels::cast_utils::Parser as _;
use arrow::datatypes::{Date32Type, Time64NanosecondType, TimestampNanosecondType};
use datafusion::sql::sqlparser::ast::{Expr, Interval as AstInterval, UnaryOperator, Value};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token};

type Parsed<T> = std::result::Result<T, ParserError>;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const MONTHS_TEXT: &str = " months";
const MILLIS_TEXT: &str = " milliseconds";

/// The length that an INTERVAL literal says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interval {
    /// Years and months.
    Months(i32),
    /// Days and less; a day has 24 hours.
    Millis(i64),
}

impl Interval {
    /// The literal as an expression that DataFusion reads as the same length.
    fn into_expr(self, span: Span) -> Expr {
        let text = match self {
            Self::Months(months) => format!("{months}{MONTHS_TEXT}"),
            Self::Millis(millis) => format!("{millis}{MILLIS_TEXT}"),
        };
        Expr::Interval(AstInterval {
            value: Box::new(Expr::Value(Value::SingleQuotedString(text).with_span(span))),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        })
    }

    /// The length that an expression of the parser's says, signs and parentheses included; `None` for anything else.
    #[must_use]
    pub fn of_expr(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Nested(inner) => Self::of_expr(inner),
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => Self::of_expr(expr),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(match Self::of_expr(expr)? {
                Self::Months(months) => Self::Months(months.checked_neg()?),
                Self::Millis(millis) => Self::Millis(millis.checked_neg()?),
            }),
            Expr::Interval(interval) => {
                let Expr::Value(value) = interval.value.as_ref() else { return None };
                let Value::SingleQuotedString(text) = &value.value else { return None };
                if let Some(months) = text.strip_suffix(MONTHS_TEXT) {
                    return months.parse().ok().map(Self::Months);
                }
                text.strip_suffix(MILLIS_TEXT)?.parse().ok().map(Self::Millis)
            }
            _ => None,
        }
    }
}

/// The units of an interval, in the order in which a compound literal may name them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

impl Unit {
    fn of(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "YEAR" | "YEARS" => Self::Year,
            "QUARTER" | "QUARTERS" => Self::Quarter,
            "MONTH" | "MONTHS" => Self::Month,
            "WEEK" | "WEEKS" => Self::Week,
            "DAY" | "DAYS" => Self::Day,
            "HOUR" | "HOURS" => Self::Hour,
            "MINUTE" | "MINUTES" => Self::Minute,
            "SECOND" | "SECONDS" => Self::Second,
            _ => return None,
        })
    }

    /// How many months or milliseconds one is.
    const fn length(self) -> i64 {
        match self {
            Self::Year => 12,
            Self::Quarter => 3,
            Self::Month => 1,
            Self::Week => 7 * DAY,
            Self::Day => DAY,
            Self::Hour => HOUR,
            Self::Minute => MINUTE,
            Self::Second => SECOND,
        }
    }

    /// Whether it counts months, not milliseconds.
    pub(super) const fn is_months(self) -> bool {
        matches!(self, Self::Year | Self::Quarter | Self::Month)
    }
}

/// What follows the word INTERVAL: `[+|-] 'text' unit [(p)] [TO unit [(p)]]`.
pub(super) fn parse_literal(parser: &mut Parser) -> Parsed<Expr> {
    let negative = match &parser.peek_token_ref().token {
        Token::Minus => true,
        Token::Plus => false,
        Token::Number(digits, _) => {
            let what = format!("an interval's value in quotes, as in INTERVAL '{digits}' SECOND");
            return super::dialect::expected(parser, &what);
        }
        _ => false,
    };
    if matches!(parser.peek_token_ref().token, Token::Minus | Token::Plus) {
        parser.advance_token();
    }
    let token = parser.next_token();
    let Token::SingleQuotedString(text) = &token.token else {
        return parser.expected("an interval's value in quotes", token);
    };
    let (first, last) = parse_units(parser)?;
    let value = value_of(text, first, last).map_err(|what| error_at(&what, token.span.start))?;
    let signed = if negative { value.checked_neg() } else { Some(value) };
    let interval = signed.and_then(|value| {
        if first.is_months() {
            i32::try_from(value).ok().map(Interval::Months)
        } else {
            Some(Interval::Millis(value))
        }
    });
    match interval {
        Some(interval) => Ok(interval.into_expr(token.span)),
        None => Err(error_at("the interval is too long", token.span.start)),
    }
}

/// `unit [(p)] [TO unit [(p)]]`.
pub(super) fn parse_units(parser: &mut Parser) -> Parsed<(Unit, Unit)> {
    let first = parse_unit(parser)?;
    let is_to = matches!(&parser.peek_token_ref().token,
        Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("TO"));
    if !is_to {
        return Ok((first, first));
    }
    parser.advance_token();
    let location = parser.peek_token_ref().span.start;
    let last = parse_unit(parser)?;
    let is_range = match first {
        Unit::Year => last == Unit::Month,
        Unit::Day | Unit::Hour | Unit::Minute => last > first,
        Unit::Quarter | Unit::Month | Unit::Week | Unit::Second => false,
    };
    if is_range {
        return Ok((first, last));
    }
    let message =
        "an interval goes from YEAR TO MONTH, or from DAY, HOUR or MINUTE to a smaller one of them or SECOND";
    Err(error_at(message, location))
}

fn parse_unit(parser: &mut Parser) -> Parsed<Unit> {
    let unit = match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => Unit::of(&word.value),
        _ => None,
    };
    let Some(unit) = unit else {
        return super::dialect::expected(parser, "a unit (YEAR, MONTH, DAY, HOUR, MINUTE, SECOND …)");
    };
    parser.advance_token();
    // A precision, which says how the literal may be written and not what it means.
    if parser.consume_token(&Token::LParen) {
        parser.parse_comma_separated(Parser::parse_literal_uint)?;
        parser.expect_token(&Token::RParen)?;
    }
    Ok(unit)
}

/// The number of months or milliseconds that `text` says in units from `first` to `last`.
fn value_of(text: &str, first: Unit, last: Unit) -> std::result::Result<i64, String> {
    let trimmed = text.trim();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let units: Vec<Unit> = [Unit::Year, Unit::Month, Unit::Day, Unit::Hour, Unit::Minute, Unit::Second]
        .into_iter()
        .filter(|unit| *unit >= first && *unit <= last && unit.is_months() == first.is_months())
        .collect();
    let units = if first == last { vec![first] } else { units };
    let form = || {
        format!("'{text}' doesn't read as {}; write it as in '{}'", names(first, last), example(first, last))
    };
    let mut rest = digits;
    let mut total: i64 = 0;
    for (index, unit) in units.iter().enumerate() {
        let is_last = index + 1 == units.len();
        let (field, remainder) =
            if is_last { (rest, "") } else { rest.split_once(separator_after(*unit)).ok_or_else(form)? };
        rest = remainder;
        // All fields but the first stay below one of the next larger unit.
        let limit = if index == 0 { i64::MAX } else { field_limit(*unit) };
        let length = field_length(field, *unit, limit).ok_or_else(form)?;
        total = total.checked_add(length).ok_or_else(form)?;
    }
    Ok(if negative { -total } else { total })
}

const fn separator_after(unit: Unit) -> char {
    match unit {
        Unit::Year => '-',
        Unit::Day => ' ',
        _ => ':',
    }
}

const fn field_limit(unit: Unit) -> i64 {
    match unit {
        Unit::Month => 12,
        Unit::Hour => 24,
        Unit::Minute | Unit::Second => 60,
        _ => i64::MAX,
    }
}

/// The length that one field says; seconds may have a fraction, of which milliseconds count.
fn field_length(field: &str, unit: Unit, limit: i64) -> Option<i64> {
    let (whole, fraction) = match field.split_once('.') {
        Some((whole, fraction)) if unit == Unit::Second => (whole, fraction),
        Some(_) => return None,
        None => (field, "0"),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let count: i64 = whole.parse().ok()?;
    if count >= limit {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    count.checked_mul(unit.length())?.checked_add(millis)
}

fn names(first: Unit, last: Unit) -> String {
    let name = |unit: Unit| format!("{unit:?}").to_uppercase();
    if first == last { name(first) } else { format!("{} TO {}", name(first), name(last)) }
}

fn example(first: Unit, last: Unit) -> &'static str {
    match (first, last) {
        (Unit::Year, Unit::Month) => "1-6",
        (Unit::Day, Unit::Hour) => "1 12",
        (Unit::Day, Unit::Minute) => "1 12:30",
        (Unit::Day, Unit::Second) => "1 12:30:15.5",
        (Unit::Hour, Unit::Minute) | (Unit::Minute, Unit::Second) => "1:30",
        (Unit::Hour, Unit::Second) => "1:30:15.5",
        (_, Unit::Second) => "1.5",
        _ => "1",
    }
}

fn error_at(message: &str, location: Location) -> ParserError {
    ParserError::ParserError(format!("{message}{location}"))
}

/// Whether `DATE '…'` can say this.
pub(super) fn is_date(text: &str) -> bool {
    Date32Type::parse(text).is_some()
}

/// Whether `TIME '…'` can say this.
pub(super) fn is_time(text: &str) -> bool {
    Time64NanosecondType::parse(text).is_some()
}

/// The precision of `TIMESTAMP '…'`: how many digits of a second are written; `None` if it isn't one.
pub(super) fn timestamp_digits(text: &str) -> Option<u8> {
    TimestampNanosecondType::parse(text)?;
    let digits = text.rsplit_once('.').map_or(0, |(_, fraction)| fraction.len());
    u8::try_from(digits).ok().filter(|digits| *digits <= crate::types::MAX_TIME_PRECISION)
}
