//! Forms of functions that sqlparser doesn't read: the JSON functions with their clauses, `IS JSON`, `BETWEEN SYMMETRIC`, and
//! `OVERLAPS`.
//!
//! Each becomes a plain call, or plain comparisons: what the clauses say goes on as literal arguments, and the values of JSON
//! constructors are written as JSON here, but for those that are JSON already.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, ObjectName, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::data_type;
use super::dialect::expected;
use crate::types::TypeKind;

type Parsed<T> = std::result::Result<T, ParserError>;

/// The JSON function that begins at the next word, if one does; the word after it is a parenthesis.
pub(super) fn parse_json(parser: &mut Parser, word: &str) -> Option<Parsed<Expr>> {
    let parse = match word.to_ascii_uppercase().as_str() {
        "JSON_VALUE" => json_value,
        "JSON_QUERY" => json_query,
        "JSON_EXISTS" => json_exists,
        "JSON_OBJECT" => json_object,
        "JSON_ARRAY" => json_array,
        "JSON_OBJECTAGG" => json_objectagg,
        "JSON_ARRAYAGG" => json_arrayagg,
        _ => return None,
    };
    let mut call = || {
        let name = parser.parse_identifier()?;
        parser.expect_token(&Token::LParen)?;
        let (arguments, aggregates) = parse(parser, &name)?;
        parser.expect_token(&Token::RParen)?;
        let mut call = function(name, arguments);
        if aggregates && parser.parse_keyword(Keyword::FILTER) {
            parser.expect_token(&Token::LParen)?;
            parser.expect_keyword_is(Keyword::WHERE)?;
            call.filter = Some(Box::new(parser.parse_expr()?));
            parser.expect_token(&Token::RParen)?;
        }
        Ok(Expr::Function(call))
    };
    Some(call())
}

/// `value IS [NOT] JSON …`, `value [NOT] BETWEEN [A]SYMMETRIC …` and `(a, b) OVERLAPS (c, d)`, if one of them goes on here.
///
/// `precedence` is that of BETWEEN.
pub(super) fn parse_infix(parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Parsed<Expr>> {
    let word = |parser: &Parser, at: usize| match &parser.peek_nth_token_ref(at).token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let words = [word(parser, 0), word(parser, 1), word(parser, 2)];
    type Parse = fn(&mut Parser, &Expr, u8) -> Parsed<Expr>;
    let (length, parse): (usize, Parse) = match words {
        [Keyword::IS, Keyword::JSON, _] | [Keyword::IS, Keyword::NOT, Keyword::JSON] => (2, is_json),
        [Keyword::BETWEEN, Keyword::SYMMETRIC, _] | [Keyword::NOT, Keyword::BETWEEN, Keyword::SYMMETRIC] => {
            (2, between_symmetric)
        }
        [Keyword::BETWEEN, Keyword::ASYMMETRIC, _]
        | [Keyword::NOT, Keyword::BETWEEN, Keyword::ASYMMETRIC] => (2, between),
        [Keyword::OVERLAPS, _, _] => (1, overlaps),
        _ => return None,
    };
    let negated = length == 2 && matches!(words, [Keyword::NOT, ..] | [_, Keyword::NOT, _]);
    (0..length + usize::from(negated)).for_each(|_| parser.advance_token());
    let parsed = parse(parser, left, precedence);
    Some(if negated { parsed.map(not) } else { parsed })
}

type Arguments = (Vec<Expr>, bool);

/// `json, path`
fn json_and_path(parser: &mut Parser) -> Parsed<Vec<Expr>> {
    let json = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    Ok(vec![json, parser.parse_expr()?])
}

fn json_value(parser: &mut Parser, _: &Ident) -> Parsed<Arguments> {
    let mut arguments = json_and_path(parser)?;
    let mut returning = None;
    if parser.parse_keyword(Keyword::RETURNING) {
        let at = parser.peek_token_ref().span.start;
        let name = match data_type::parse_type(parser)?.kind {
            TypeKind::Varchar(_) | TypeKind::Char(_) => "STRING",
            TypeKind::Boolean => "BOOLEAN",
            TypeKind::Int => "INT",
            TypeKind::BigInt => "BIGINT",
            TypeKind::Double => "DOUBLE",
            _ => {
                let types = "STRING, BOOLEAN, INT, BIGINT or DOUBLE";
                return Err(ParserError::ParserError(format!("JSON_VALUE can return {types}{at}")));
            }
        };
        returning = Some(name);
    }
    let behaviours = on_empty_and_error(parser, &["NULL", "ERROR"], true)?;
    if returning.is_some() || behaviours.iter().any(Option::is_some) {
        arguments.push(text(returning.unwrap_or("STRING")));
        for behaviour in behaviours {
            let (name, default) = behaviour.unwrap_or_else(|| ("NULL".to_owned(), None));
            arguments.extend([text(&name), default.unwrap_or_else(null)]);
        }
    }
    Ok((arguments, false))
}

fn json_query(parser: &mut Parser, _: &Ident) -> Parsed<Arguments> {
    let mut arguments = json_and_path(parser)?;
    if parser.parse_keyword(Keyword::RETURNING) {
        let at = parser.peek_token_ref().span.start;
        match data_type::parse_type(parser)?.kind {
            TypeKind::Varchar(_) => {}
            _ => return Err(ParserError::ParserError(format!("JSON_QUERY returns a STRING{at}"))),
        }
    }
    let wrapper = if parser.parse_keyword(Keyword::WITHOUT) {
        Some("WITHOUT")
    } else if parser.parse_keyword(Keyword::WITH) {
        let conditional = parse_word(parser, "CONDITIONAL");
        if !conditional {
            parse_word(parser, "UNCONDITIONAL");
        }
        Some(if conditional { "CONDITIONAL" } else { "UNCONDITIONAL" })
    } else {
        None
    };
    if wrapper.is_some() {
        let _ = parser.parse_keyword(Keyword::ARRAY);
        if !parse_word(parser, "WRAPPER") {
            return expected(parser, "WRAPPER");
        }
    }
    let behaviours = on_empty_and_error(parser, &["NULL", "ERROR", "EMPTY ARRAY", "EMPTY OBJECT"], false)?;
    if wrapper.is_some() || behaviours.iter().any(Option::is_some) {
        arguments.push(text(wrapper.unwrap_or("WITHOUT")));
        arguments
            .extend(behaviours.map(|behaviour| text(&behaviour.map_or("NULL".to_owned(), |(name, _)| name))));
    }
    Ok((arguments, false))
}

fn json_exists(parser: &mut Parser, _: &Ident) -> Parsed<Arguments> {
    let mut arguments = json_and_path(parser)?;
    let behaviour = ["TRUE", "FALSE", "UNKNOWN", "ERROR"].into_iter().find(|word| parse_word(parser, word));
    if let Some(behaviour) = behaviour {
        parser.expect_keywords(&[Keyword::ON, Keyword::ERROR])?;
        arguments.push(text(behaviour));
    }
    Ok((arguments, false))
}

type Behaviour = Option<(String, Option<Expr>)>;

/// `… ON EMPTY … ON ERROR`, either or both, in this order.
fn on_empty_and_error(parser: &mut Parser, names: &[&str], takes_default: bool) -> Parsed<[Behaviour; 2]> {
    let mut behaviours = [None, None];
    loop {
        let name = names.iter().find(|name| starts_with(parser, name));
        let behaviour = match name {
            Some(name) => ((*name).to_owned(), None),
            None if takes_default && parser.parse_keyword(Keyword::DEFAULT) => {
                ("DEFAULT".to_owned(), Some(parser.parse_expr()?))
            }
            None => return Ok(behaviours),
        };
        parser.expect_keyword_is(Keyword::ON)?;
        let [on_empty, on_error] = &mut behaviours;
        if on_empty.is_none() && on_error.is_none() && parser.parse_keyword(Keyword::EMPTY) {
            *on_empty = Some(behaviour);
        } else if on_error.is_none() && parser.parse_keyword(Keyword::ERROR) {
            *on_error = Some(behaviour);
        } else {
            return expected(parser, "EMPTY or ERROR, once each and in this order, after ON");
        }
    }
}

/// `[KEY] key VALUE value` or `key : value`, the value as JSON.
fn key_and_value(parser: &mut Parser) -> Parsed<[Expr; 2]> {
    let is_key = |token: &Token| matches!(token, Token::Word(word) if word.keyword == Keyword::KEY);
    let ends_key = |token: &Token| match token {
        Token::Word(word) => word.keyword == Keyword::VALUE,
        Token::Colon | Token::Period | Token::LParen | Token::Comma | Token::RParen => true,
        _ => false,
    };
    if is_key(&parser.peek_token_ref().token) && !ends_key(&parser.peek_nth_token_ref(1).token) {
        parser.advance_token();
    }
    // A colon behind an expression would be read as a path into it.
    let has_colon = parser.peek_nth_token_ref(1).token == Token::Colon;
    let key = if has_colon { parser.parse_prefix()? } else { parser.parse_expr()? };
    if !parser.consume_token(&Token::Colon) {
        parser.expect_keyword_is(Keyword::VALUE)?;
    }
    Ok([key, as_json(parser.parse_expr()?)])
}

/// `{NULL | ABSENT} ON NULL`
fn on_null(parser: &mut Parser) -> Parsed<Option<&'static str>> {
    let behaviour = if parser.parse_keyword(Keyword::NULL) {
        "NULL"
    } else if parser.parse_keyword(Keyword::ABSENT) {
        "ABSENT"
    } else {
        return Ok(None);
    };
    parser.expect_keywords(&[Keyword::ON, Keyword::NULL])?;
    Ok(Some(behaviour))
}

/// Whether the list of a constructor's members has ended: by its parenthesis, or by its clause.
fn at_end(parser: &Parser) -> bool {
    let word = |at: usize| match &parser.peek_nth_token_ref(at).token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    parser.peek_token_ref().token == Token::RParen
        || (matches!(word(0), Keyword::NULL | Keyword::ABSENT) && word(1) == Keyword::ON)
}

fn json_object(parser: &mut Parser, _: &Ident) -> Parsed<Arguments> {
    let mut members = Vec::new();
    if !at_end(parser) {
        members = parser.parse_comma_separated(key_and_value)?;
    }
    let mut arguments = vec![text(on_null(parser)?.unwrap_or("NULL"))];
    arguments.extend(members.into_iter().flatten());
    Ok((arguments, false))
}

fn json_array(parser: &mut Parser, _: &Ident) -> Parsed<Arguments> {
    let mut values = Vec::new();
    if !at_end(parser) {
        values = parser.parse_comma_separated(|parser| parser.parse_expr().map(as_json))?;
    }
    let mut arguments = vec![text(on_null(parser)?.unwrap_or("ABSENT"))];
    arguments.extend(values);
    Ok((arguments, false))
}

fn json_objectagg(parser: &mut Parser, name: &Ident) -> Parsed<Arguments> {
    let [key, value] = key_and_value(parser)?;
    let on_null = text(on_null(parser)?.unwrap_or("NULL"));
    Ok((vec![call(name, "JSON_MEMBER", vec![on_null, key, value])], true))
}

fn json_arrayagg(parser: &mut Parser, name: &Ident) -> Parsed<Arguments> {
    let value = as_json(parser.parse_expr()?);
    let value = match on_null(parser)? {
        Some("NULL") => call(name, "COALESCE", vec![value, text("null")]),
        _ => value,
    };
    Ok((vec![value], true))
}

/// A value as JSON: what a constructor made is JSON already.
fn as_json(value: Expr) -> Expr {
    const MAKES_JSON: &[&str] = &["JSON_OBJECT", "JSON_ARRAY", "JSON", "JSON_OBJECTAGG", "JSON_ARRAYAGG"];
    let name = match &value {
        Expr::Function(function) => match function.name.0.as_slice() {
            [part] => part.as_ident(),
            _ => None,
        },
        _ => None,
    };
    if name.is_some_and(|name| MAKES_JSON.iter().any(|made| made.eq_ignore_ascii_case(&name.value))) {
        return value;
    }
    call(&Ident::new(""), "JSON_STRING", vec![value])
}

fn is_json(parser: &mut Parser, left: &Expr, _: u8) -> Parsed<Expr> {
    let kind = ["VALUE", "SCALAR", "ARRAY", "OBJECT"].into_iter().find(|word| parse_word(parser, word));
    Ok(call(&Ident::new(""), "IS_JSON", vec![left.clone(), text(kind.unwrap_or("VALUE"))]))
}

fn bounds(parser: &mut Parser, precedence: u8) -> Parsed<(Expr, Expr)> {
    let low = parser.parse_subexpr(precedence)?;
    parser.expect_keyword_is(Keyword::AND)?;
    Ok((low, parser.parse_subexpr(precedence)?))
}

fn between(parser: &mut Parser, left: &Expr, precedence: u8) -> Parsed<Expr> {
    let (low, high) = bounds(parser, precedence)?;
    Ok(nested(in_range(left, &low, &high)))
}

fn between_symmetric(parser: &mut Parser, left: &Expr, precedence: u8) -> Parsed<Expr> {
    let (low, high) = bounds(parser, precedence)?;
    Ok(nested(binary(in_range(left, &low, &high), BinaryOperator::Or, in_range(left, &high, &low))))
}

fn in_range(value: &Expr, low: &Expr, high: &Expr) -> Expr {
    Expr::Between {
        expr: Box::new(value.clone()),
        negated: false,
        low: Box::new(low.clone()),
        high: Box::new(high.clone()),
    }
}

/// Each side is a start and an end or a length; ends may come before starts. Touching counts.
fn overlaps(parser: &mut Parser, left: &Expr, precedence: u8) -> Parsed<Expr> {
    let right = parser.parse_subexpr(precedence)?;
    let (Some((a, b)), Some((c, d))) = (period(left), period(&right)) else {
        return expected(
            parser,
            "OVERLAPS between two periods, each a (start, end) or a (start, INTERVAL …)",
        );
    };
    let name = Ident::new("");
    let least = |of: [&Expr; 2]| call(&name, "LEAST", of.map(Clone::clone).into());
    let greatest = |of: [&Expr; 2]| call(&name, "GREATEST", of.map(Clone::clone).into());
    let reaches = |end: Expr, start: Expr| binary(end, BinaryOperator::GtEq, start);
    Ok(nested(binary(
        reaches(greatest([&a, &b]), least([&c, &d])),
        BinaryOperator::And,
        reaches(greatest([&c, &d]), least([&a, &b])),
    )))
}

/// The start and the end.
fn period(tuple: &Expr) -> Option<(Expr, Expr)> {
    let Expr::Tuple(parts) = tuple else { return None };
    let [start, end] = parts.as_slice() else { return None };
    let end = match end {
        Expr::Interval(_) => binary(start.clone(), BinaryOperator::Plus, end.clone()),
        end => end.clone(),
    };
    Some((start.clone(), end))
}

/// Whether the next words are these, which then are taken.
fn starts_with(parser: &mut Parser, wanted: &str) -> bool {
    let fits = wanted.split(' ').enumerate().all(|(at, wanted)| {
        matches!(&parser.peek_nth_token_ref(at).token,
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    });
    if fits {
        wanted.split(' ').for_each(|_| parser.advance_token());
    }
    fits
}

/// Whether the next word is this one, which then is taken.
fn parse_word(parser: &mut Parser, wanted: &str) -> bool {
    starts_with(parser, wanted)
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(inside: Expr) -> Expr {
    Expr::Nested(Box::new(inside))
}

fn not(inside: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(inside) }
}

fn text(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).into())
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// A call at the place of another name.
fn call(at: &Ident, name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(function(Ident::with_span(at.span, name), arguments))
}

fn function(name: Ident, arguments: Vec<Expr>) -> Function {
    let unnamed = |argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument));
    Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(unnamed).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}
