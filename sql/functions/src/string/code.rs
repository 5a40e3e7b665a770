//! Strings as numbers and numbers as strings: characters' codes, hexadecimal, binary, Base64, character sets.

use std::fmt::Write;

use arrow::array::ArrayRef;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion_common::{Result, exec_err, plan_err};

use crate::arguments::Arguments;
use crate::column::{binaries, texts};
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Bytes, Long, Text, TextOrBytes, TextOrLong};
use crate::returns::{bytes, string};

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "chr",
        "CHR(integer)",
        "The character with this number, taken modulo 256; an empty string when it is negative.",
        &[Long],
        string,
        |arguments| {
            let numbers = arguments.longs(0)?;
            texts(arguments, arguments.rows(), |row, out| {
                let number = numbers.value(row);
                if number >= 0 {
                    out.write_char(char::from(u8::try_from(number & 0xFF).unwrap_or(0)))?;
                }
                Ok(Some(()))
            })
        },
    ),
    Definition::new(
        "bin",
        "BIN(integer)",
        "The integer in binary; a negative one as its 64 bits.",
        &[Long],
        string,
        |arguments| {
            let numbers = arguments.longs(0)?;
            texts(arguments, arguments.rows() * 8, |row, out| {
                write!(out, "{:b}", numbers.value(row))?;
                Ok(Some(()))
            })
        },
    ),
    Definition::new(
        "hex",
        "HEX(integer), HEX(string)",
        "The integer, or the string's bytes in UTF-8, in hexadecimal with capital letters.",
        &[TextOrLong],
        string,
        hex,
    ),
    Definition::new(
        "unhex",
        "UNHEX(string)",
        "The bytes that a hexadecimal string stands for; NULL when it isn't one.",
        &[Text],
        bytes,
        |arguments| {
            let text = arguments.text(0)?;
            binaries(arguments, |row, out| Ok(unhex(text.value(row).as_bytes(), out)))
        },
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "to_base64",
        "TO_BASE64(string)",
        "The string's bytes in UTF-8 as Base64.",
        &[TextOrBytes],
        string,
        |arguments| {
            let values = arguments.bytes(0)?;
            let mut scratch = String::new();
            texts(arguments, arguments.rows() * 16, |row, out| {
                scratch.clear();
                STANDARD.encode_string(values.value(row), &mut scratch);
                out.write_str(&scratch)?;
                Ok(Some(()))
            })
        },
    ),
    Definition::new(
        "from_base64",
        "FROM_BASE64(string)",
        "The string that Base64 text stands for.",
        &[Text],
        string,
        from_base64,
    ),
    Definition::new(
        "decode",
        "DECODE(bytes, charset)",
        "The string that the bytes stand for in a character set: 'US-ASCII', 'ISO-8859-1', 'UTF-8', 'UTF-16', 'UTF-16BE' or 'UTF-16LE'.",
        &[Bytes, Text],
        |call| checked_charset(call).and_then(|()| string(call)),
        decode,
    ),
    Definition::new(
        "encode",
        "ENCODE(string, charset)",
        "The string's bytes in a character set: 'US-ASCII', 'ISO-8859-1', 'UTF-8', 'UTF-16', 'UTF-16BE' or 'UTF-16LE'.",
        &[Text, Text],
        |call| checked_charset(call).and_then(|()| bytes(call)),
        encode,
    ),
];

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

fn hex(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    if let Ok(numbers) = arguments.longs(0) {
        return texts(arguments, arguments.rows() * 8, |row, out| {
            write!(out, "{:X}", numbers.value(row))?;
            Ok(Some(()))
        });
    }
    let text = arguments.text(0)?;
    texts(arguments, text.size() * 2, |row, out| {
        for byte in text.value(row).bytes() {
            for half in [byte >> 4, byte & 15] {
                out.write_char(DIGITS.get(usize::from(half)).copied().map_or('0', char::from))?;
            }
        }
        Ok(Some(()))
    })
}

/// Appends the bytes; an odd number of digits reads as if a 0 stood first.
fn unhex(digits: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (first, pairs) = digits.split_at(digits.len() % 2);
    for digit in first {
        out.push(value(*digit)?);
    }
    for pair in pairs.chunks_exact(2) {
        let [high, low] = *pair else { return None };
        out.push(value(high)? << 4 | value(low)?);
    }
    Some(())
}

fn from_base64(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let text = arguments.text(0)?;
    let mut scratch = Vec::new();
    texts(arguments, text.size(), |row, out| {
        scratch.clear();
        if let Err(error) = STANDARD.decode_vec(text.value(row), &mut scratch) {
            return exec_err!(
                "FROM_BASE64 got a string that isn't Base64: {error}; filter such rows out before"
            );
        }
        out.write_str(&String::from_utf8_lossy(&scratch))?;
        Ok(Some(()))
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Charset {
    Utf8,
    Latin1,
    Ascii,
    /// Big-endian unless a byte order mark says otherwise; written with one.
    Utf16,
    Utf16Be,
    Utf16Le,
}

fn charset(name: &str) -> Option<Charset> {
    let known = [
        ("UTF-8", Charset::Utf8),
        ("ISO-8859-1", Charset::Latin1),
        ("US-ASCII", Charset::Ascii),
        ("UTF-16", Charset::Utf16),
        ("UTF-16BE", Charset::Utf16Be),
        ("UTF-16LE", Charset::Utf16Le),
    ];
    known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, charset)| charset)
}

/// Refuses a literal that names none.
fn checked_charset(call: &Call<'_>) -> Result<()> {
    match call.literal_text(1) {
        Some(name) if charset(name).is_none() => {
            plan_err!(
                "'{name}' isn't a known character set; use 'US-ASCII', 'ISO-8859-1', 'UTF-8', 'UTF-16', 'UTF-16BE' or 'UTF-16LE'"
            )
        }
        _ => Ok(()),
    }
}

fn charset_or_error(name: &str) -> Result<Charset> {
    match charset(name) {
        Some(charset) => Ok(charset),
        None => exec_err!(
            "'{name}' isn't a known character set; use 'US-ASCII', 'ISO-8859-1', 'UTF-8', 'UTF-16', 'UTF-16BE' or 'UTF-16LE'"
        ),
    }
}

fn decode(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (values, names) = (arguments.bytes(0)?, arguments.text(1)?);
    texts(arguments, arguments.rows() * 16, |row, out| {
        let value = values.value(row);
        match charset_or_error(names.value(row))? {
            Charset::Utf8 => out.write_str(&String::from_utf8_lossy(value))?,
            Charset::Latin1 => value.iter().try_for_each(|byte| out.write_char(char::from(*byte)))?,
            Charset::Ascii => value.iter().try_for_each(|byte| {
                out.write_char(if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER })
            })?,
            Charset::Utf16Be => write_utf16(value, u16::from_be_bytes, out)?,
            Charset::Utf16Le => write_utf16(value, u16::from_le_bytes, out)?,
            Charset::Utf16 => match value {
                [0xFE, 0xFF, rest @ ..] => write_utf16(rest, u16::from_be_bytes, out)?,
                [0xFF, 0xFE, rest @ ..] => write_utf16(rest, u16::from_le_bytes, out)?,
                all => write_utf16(all, u16::from_be_bytes, out)?,
            },
        }
        Ok(Some(()))
    })
}

/// What isn't UTF-16, half a pair of bytes at the end included, becomes a replacement character.
fn write_utf16(bytes: &[u8], read: fn([u8; 2]) -> u16, out: &mut impl Write) -> std::fmt::Result {
    let pairs = bytes.chunks_exact(2);
    let is_cut = !pairs.remainder().is_empty();
    let units = pairs.filter_map(|pair| <[u8; 2]>::try_from(pair).ok().map(read));
    for character in char::decode_utf16(units) {
        out.write_char(character.unwrap_or(char::REPLACEMENT_CHARACTER))?;
    }
    if is_cut { out.write_char(char::REPLACEMENT_CHARACTER) } else { Ok(()) }
}

fn encode(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, names) = (arguments.text(0)?, arguments.text(1)?);
    binaries(arguments, |row, out| {
        let text = text.value(row);
        let most = match charset_or_error(names.value(row))? {
            Charset::Utf8 => {
                out.extend_from_slice(text.as_bytes());
                return Ok(Some(()));
            }
            charset @ (Charset::Utf16 | Charset::Utf16Be) => {
                if charset == Charset::Utf16 {
                    out.extend_from_slice(&[0xFE, 0xFF]);
                }
                text.encode_utf16().for_each(|unit| out.extend_from_slice(&unit.to_be_bytes()));
                return Ok(Some(()));
            }
            Charset::Utf16Le => {
                text.encode_utf16().for_each(|unit| out.extend_from_slice(&unit.to_le_bytes()));
                return Ok(Some(()));
            }
            Charset::Latin1 => u8::MAX,
            Charset::Ascii => 0x7F,
        };
        let byte =
            |character: char| u8::try_from(character).ok().filter(|byte| *byte <= most).unwrap_or(b'?');
        out.extend(text.chars().map(byte));
        Ok(Some(()))
    })
}
