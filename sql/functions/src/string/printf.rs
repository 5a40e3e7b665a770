//! PRINTF: a text by a format of `java.util.Formatter`, as in the United States.
//!
//! Known are `%[argument$][flags][width][.precision]` with `d x X o f e E g s S c b n %`, the flags `- + 0 , # (` and a space. A
//! format that can't be read, or doesn't fit a value, makes the row NULL, as in Flink.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::cast::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion_common::Result;

use crate::arguments::Arguments;
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::{Any, Text};
use crate::returns::string;

/// The widest field, and the longest text: a format can't ask for more memory.
const MAX_WIDTH: usize = 1 << 16;
const MAX_TEXT: usize = 1 << 24;

pub(super) static DEFINITIONS: &[Definition] = &[Definition::new(
    "printf",
    "PRINTF(format, value, ...)",
    "A text by a format as of C's printf: %d, %x, %o, %f, %e, %g, %s, %c, %b, %n and %%, with flags, width and precision. A NULL \
     value reads null; NULL when the format doesn't fit the values.",
    &[Text],
    string,
    printf,
)
.rest(Any)
.nulls(Nulls::Own)];

/// What is written for one place of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Directive {
    /// From 1; `None` for the next one.
    argument: Option<usize>,
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    comma: bool,
    alternate: bool,
    parentheses: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

/// One value.
enum Value<'a> {
    Null,
    Long(i64),
    Double(f64),
    Boolean(bool),
    Text(&'a str),
}

/// One argument, in a form that can be printed.
struct Printable {
    values: ArrayRef,
    text: ArrayRef,
    is_one_value: bool,
}

impl Printable {
    fn of(arguments: &Arguments<'_>, index: usize) -> Result<Self> {
        let column = arguments.column(index)?;
        let values = match column.values.data_type() {
            integer if integer.is_integer() => cast(&column.values, &DataType::Int64)?,
            DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _) => {
                cast(&column.values, &DataType::Float64)?
            }
            _ => column.values.clone(),
        };
        let text = match column.values.data_type() {
            DataType::Float32 | DataType::Float64 => double_texts(&values),
            nested if nested.is_nested() => nested_texts(&column.values),
            _ => cast(&column.values, &DataType::Utf8)?,
        };
        Ok(Self { values, text, is_one_value: column.is_one_value() })
    }

    fn value(&self, row: usize) -> Value<'_> {
        let row = if self.is_one_value { 0 } else { row };
        if self.values.data_type().is_null() || self.values.is_null(row) {
            return Value::Null;
        }
        match self.values.data_type() {
            DataType::Int64 => Value::Long(self.values.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Value::Double(self.values.as_primitive::<Float64Type>().value(row)),
            DataType::Boolean => Value::Boolean(self.values.as_boolean().value(row)),
            _ => Value::Text(self.text(row)),
        }
    }

    fn text(&self, row: usize) -> &str {
        let row = if self.is_one_value { 0 } else { row };
        self.text.as_string::<i32>().value(row)
    }
}

fn double_texts(values: &ArrayRef) -> ArrayRef {
    let mut out = arrow::array::StringBuilder::new();
    for value in values.as_primitive::<Float64Type>() {
        // Writing into a string builder doesn't fail.
        let _ = value.map(|value| crate::cast::write_double(value, &mut out));
        if value.is_some() { out.append_value("") } else { out.append_null() }
    }
    std::sync::Arc::new(out.finish())
}

fn nested_texts(values: &ArrayRef) -> ArrayRef {
    let texts = (0..values.len()).map(|row| crate::example_text(values, row));
    std::sync::Arc::new(texts.map(Some).collect::<arrow::array::StringArray>())
}

fn printf(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let formats = arguments.text(0)?;
    let printables =
        (1..arguments.len()).map(|index| Printable::of(arguments, index)).collect::<Result<Vec<_>>>()?;
    let mut scratch = String::new();
    let mut out = arrow::array::StringBuilder::new();
    for row in 0..arguments.rows() {
        scratch.clear();
        let written = formats.get(row).and_then(|format| write_all(format, &printables, row, &mut scratch));
        out.append_option(written.map(|()| scratch.as_str()));
        crate::column::check_size(arguments, out.values_slice().len())?;
    }
    Ok(std::sync::Arc::new(out.finish()))
}

/// `None` when the format can't be read or doesn't fit.
fn write_all(format: &str, printables: &[Printable], row: usize, out: &mut String) -> Option<()> {
    let mut rest = format;
    let mut next = 0;
    while let Some((plain, after)) = rest.split_once('%') {
        out.push_str(plain);
        let (directive, after) = read(after)?;
        rest = after;
        match directive.conversion {
            'n' => out.push('\n'),
            '%' => padded(out, &directive, "%"),
            _ => {
                let index = match directive.argument {
                    Some(number) => number.checked_sub(1)?,
                    None => {
                        next += 1;
                        next - 1
                    }
                };
                let printable = printables.get(index)?;
                write_one(&directive, printable, row, out)?;
            }
        }
        if out.len() > MAX_TEXT {
            return None;
        }
    }
    out.push_str(rest);
    Some(())
}

fn read(text: &str) -> Option<(Directive, &str)> {
    let mut directive = Directive::default();
    let mut rest = text;
    if let (Some(number), after) = number(rest)
        && let Some(after) = after.strip_prefix('$')
    {
        directive.argument = Some(number);
        rest = after;
    }
    loop {
        let mut characters = rest.chars();
        match characters.next()? {
            '-' => directive.left = true,
            '+' => directive.plus = true,
            ' ' => directive.space = true,
            '0' => directive.zero = true,
            ',' => directive.comma = true,
            '#' => directive.alternate = true,
            '(' => directive.parentheses = true,
            _ => break,
        }
        rest = characters.as_str();
    }
    let (width, after) = number(rest);
    directive.width = width.unwrap_or(0);
    rest = after;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = number(after);
        directive.precision = Some(precision?);
        rest = after;
    }
    if directive.width > MAX_WIDTH || directive.precision.is_some_and(|precision| precision > MAX_WIDTH) {
        return None;
    }
    let mut characters = rest.chars();
    directive.conversion = characters.next()?;
    Some((directive, characters.as_str()))
}

fn number(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok(), rest)
}

fn write_one(directive: &Directive, printable: &Printable, row: usize, out: &mut String) -> Option<()> {
    let value = printable.value(row);
    if matches!(value, Value::Null) && directive.conversion != 'b' {
        text(out, directive, "null");
        return Some(());
    }
    match (directive.conversion, value) {
        ('d', Value::Long(value)) => {
            let digits = value.unsigned_abs().to_string();
            numeric(out, directive, value < 0, &grouped(directive, &digits));
        }
        ('x' | 'X' | 'o', Value::Long(value)) => {
            let (prefix, digits) = match directive.conversion {
                'x' => ("0x", format!("{value:x}")),
                'X' => ("0X", format!("{value:X}")),
                _ => ("0", format!("{value:o}")),
            };
            let prefix = if directive.alternate { prefix } else { "" };
            numeric(out, directive, false, &format!("{prefix}{digits}"));
        }
        ('f', Value::Double(value)) => {
            let digits = rounded(value.abs(), directive.precision.unwrap_or(6));
            numeric(out, directive, value.is_sign_negative(), &grouped(directive, &digits));
        }
        ('e' | 'E', Value::Double(value)) => {
            let digits = scientific(value.abs(), directive.precision.unwrap_or(6));
            let digits = if directive.conversion == 'E' { digits.to_uppercase() } else { digits };
            numeric(out, directive, value.is_sign_negative(), &digits);
        }
        ('g', Value::Double(value)) => {
            let precision = directive.precision.unwrap_or(6).max(1);
            let size = value.abs();
            let digits = if size != 0.0 && !(1e-4..10_f64.powi(precision as i32)).contains(&size) {
                scientific(size, precision - 1)
            } else {
                let whole = if size < 1.0 { 0 } else { size.log10().floor() as usize };
                rounded(size, (precision - 1).saturating_sub(whole))
            };
            numeric(out, directive, value.is_sign_negative(), &digits);
        }
        ('s', _) => text(out, directive, printable.text(row)),
        ('S', _) => text(out, directive, &printable.text(row).to_uppercase()),
        ('c', Value::Long(value)) => {
            let character = u32::try_from(value).ok().and_then(char::from_u32)?;
            text(out, directive, character.encode_utf8(&mut [0; 4]));
        }
        ('c', Value::Text(value)) if value.chars().count() == 1 => text(out, directive, value),
        ('b', Value::Boolean(value)) => text(out, directive, if value { "true" } else { "false" }),
        ('b', value) => text(out, directive, if matches!(value, Value::Null) { "false" } else { "true" }),
        _ => return None,
    }
    Some(())
}

/// Java rounds halves away from zero, by the shortest digits that tell the value.
fn rounded(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "NaN".to_owned() } else { "Infinity".to_owned() };
    }
    let shortest = format!("{value}");
    let (whole, fraction) = shortest.split_once('.').unwrap_or((&shortest, ""));
    if fraction.len() <= places {
        return match places {
            0 => whole.to_owned(),
            _ => format!("{whole}.{fraction:0<places$}"),
        };
    }
    let (kept, cut) = fraction.split_at(places);
    let mut digits: Vec<u8> = whole.bytes().chain(kept.bytes()).collect();
    if cut.as_bytes().first().is_some_and(|digit| *digit >= b'5') {
        let mut carries = true;
        for digit in digits.iter_mut().rev() {
            if !carries {
                break;
            }
            carries = *digit == b'9';
            *digit = if carries { b'0' } else { *digit + 1 };
        }
        if carries {
            digits.insert(0, b'1');
        }
    }
    let mut text: String = digits.into_iter().map(char::from).collect();
    if places > 0 {
        text.insert(text.len() - places, '.');
    }
    text
}

fn scientific(value: f64, places: usize) -> String {
    let text = format!("{value:.places$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{exponent:0>2}")
}

/// With a comma between thousands, if asked for.
fn grouped(directive: &Directive, digits: &str) -> String {
    let (whole, fraction) = digits.find('.').map_or((digits, ""), |at| digits.split_at(at));
    if !directive.comma {
        return digits.to_owned();
    }
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

fn numeric(out: &mut String, directive: &Directive, negative: bool, digits: &str) {
    let (before, after) = match (negative, directive) {
        (true, Directive { parentheses: true, .. }) => ("(", ")"),
        (true, _) => ("-", ""),
        (false, Directive { plus: true, .. }) => ("+", ""),
        (false, Directive { space: true, .. }) => (" ", ""),
        (false, _) => ("", ""),
    };
    let length = before.len() + digits.len() + after.len();
    if directive.zero && !directive.left {
        let zeros = directive.width.saturating_sub(length);
        // Writing into a string doesn't fail.
        let _ = write!(out, "{before}{}{digits}{after}", "0".repeat(zeros));
        return;
    }
    padded(out, directive, &format!("{before}{digits}{after}"));
}

fn text(out: &mut String, directive: &Directive, text: &str) {
    let end =
        directive.precision.and_then(|most| text.char_indices().nth(most)).map_or(text.len(), |(at, _)| at);
    padded(out, directive, text.get(..end).unwrap_or(text));
}

fn padded(out: &mut String, directive: &Directive, text: &str) {
    let width = directive.width;
    let _ = if directive.left { write!(out, "{text:<width$}") } else { write!(out, "{text:>width$}") };
}
