//! A position in one line of JSON: tokens, and values that nobody wants.
//!
//! Invariant: never reads outside the line, never recurses. Strings that are skipped are checked for their end only.

use std::borrow::Cow;

use super::MAX_DEPTH;
pub use crate::formats::record::{Parsed, Problem};

/// A text between quotes.
#[derive(Clone, Copy)]
pub struct Quoted<'a> {
    /// What stands between the quotes.
    pub raw: &'a [u8],
    /// Whether there are escapes in it.
    pub escaped: bool,
}

/// See the module.
pub struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

/// 0x80 in each byte of `word` that is `byte`; bytes after the first such may be marked wrongly.
#[inline]
const fn marks(word: u64, byte: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let difference = word ^ (ONES * byte as u64);
    difference.wrapping_sub(ONES) & !difference & (ONES << 7)
}

/// Position of the first quote or backslash.
#[inline]
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    // Most texts end within a few words: a call into a vectorised search would cost more.
    let mut at = 0;
    while at < 16 {
        let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let word = u64::from_le_bytes(*chunk);
        let found = marks(word, b'"') | marks(word, b'\\');
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    memchr::memchr2(b'"', b'\\', bytes.get(at..)?).map(|position| at + position)
}

impl<'a> Cursor<'a> {
    /// At the start of `line`.
    #[must_use]
    pub const fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    /// An error here.
    pub fn problem(&self, what: impl Into<Cow<'static, str>>) -> Problem {
        Problem { at: self.at, what: what.into() }
    }

    /// Where it is.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// What has been read since `start`.
    #[must_use]
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.line.get(start..self.at).unwrap_or_default()
    }

    /// The next byte that isn't white space, which stays.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.line.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes `byte`, which must be next.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(&format!("`{}`", char::from(byte)))) }
    }

    /// Takes these bytes if they are next, white space before them included.
    #[inline]
    pub fn take_token(&mut self, token: &[u8]) -> bool {
        self.peek();
        let is_next = self.line.get(self.at..).is_some_and(|rest| rest.starts_with(token));
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    /// The error for something else than `wanted`.
    #[must_use]
    pub fn unexpected(&self, wanted: &str) -> Problem {
        match self.line.get(self.at) {
            None => self.problem(format!("the line ends where {wanted} belongs")),
            Some(byte) if byte.is_ascii_graphic() => {
                self.problem(format!("`{}` stands where {wanted} belongs", char::from(*byte)))
            }
            Some(byte) => self.problem(format!("byte 0x{byte:02x} stands where {wanted} belongs")),
        }
    }

    /// Takes a word like `null`.
    pub fn word(&mut self, word: &'static str) -> Parsed<()> {
        if self.line.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.unexpected("a value"))
        }
    }

    /// Takes a text with its quotes.
    #[inline]
    pub fn quoted(&mut self) -> Parsed<Quoted<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.line.get(self.at..).unwrap_or_default();
            let Some(found) = quote_or_backslash(rest) else {
                self.at = start;
                return Err(self.problem("a text without its closing quote"));
            };
            if rest.get(found) == Some(&b'"') {
                let raw = self.line.get(start..self.at + found).unwrap_or_default();
                self.at += found + 1;
                return Ok(Quoted { raw, escaped });
            }
            escaped = true;
            self.at += found + 2;
        }
    }

    /// Takes a number's characters.
    #[inline]
    pub fn number(&mut self) -> &'a [u8] {
        let rest = self.line.get(self.at..).unwrap_or_default();
        let len = rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// Takes a whole number of up to 18 digits; takes nothing where the number has another form.
    #[inline]
    pub fn small_integer(&mut self) -> Option<i64> {
        let rest = self.line.get(self.at..)?;
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest.get(sign..)?;
        let (mut value, mut len) = (0_i64, 0);
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            // Too many digits wrap around here and are refused below.
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            len += 1;
        }
        if len == 0 || len > 18 || matches!(digits.get(len), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += sign + len;
        Some(if sign == 1 { -value } else { value })
    }

    /// Goes over one value of any kind.
    pub fn skip(&mut self) -> Parsed<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.quoted()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                    if depth > MAX_DEPTH {
                        return Err(self.problem(format!("values nested deeper than {MAX_DEPTH}")));
                    }
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                Some(b'-' | b'0'..=b'9') => {
                    self.number();
                }
                _ => return Err(self.unexpected("a value")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// The line must have ended.
    pub fn end(&mut self) -> Parsed<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the line")),
        }
    }
}

/// Appends a text with its escapes resolved.
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = raw;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(found);
        out.extend_from_slice(plain);
        let (byte, used) = match escape.get(1) {
            Some(b'n') => (b'\n', 2),
            Some(b't') => (b'\t', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0C, 2),
            Some(byte @ (b'"' | b'\\' | b'/')) => (*byte, 2),
            Some(b'u') => {
                let (character, used) = unicode(escape)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = escape.get(used..).unwrap_or_default();
                continue;
            }
            _ => return Err("an escape that JSON doesn't have"),
        };
        out.push(byte);
        rest = escape.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The character of `\uXXXX` or of a surrogate pair, and how many bytes that is.
fn unicode(escape: &[u8]) -> Result<(char, usize), &'static str> {
    let unit = |at: usize| -> Option<u32> {
        let digits = escape.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    };
    let high = unit(0).ok_or("`\\u` without four hexadecimal digits")?;
    if !(0xD800..0xE000).contains(&high) {
        return char::from_u32(high)
            .map(|character| (character, 6))
            .ok_or("an escaped character that doesn't exist");
    }
    unit(6)
        .filter(|low| high < 0xDC00 && (0xDC00..0xE000).contains(low))
        .and_then(|low| char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)))
        .map(|character| (character, 12))
        .ok_or("half of an escaped surrogate pair")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_quote_or_backslash_is_found(text in "[a-z\"\\\\é!\\[\\]#]{0,90}") {
            let expected = text.bytes().position(|byte| byte == b'"' || byte == b'\\');
            prop_assert_eq!(quote_or_backslash(text.as_bytes()), expected);
        }

        #[test]
        fn skipping_garbage_ends(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\tfn-0 x".to_vec()), 0..80)) {
            let mut cursor = Cursor::new(&bytes);
            let _ = cursor.skip();
            prop_assert!(cursor.position() <= bytes.len() + 1);
        }

        #[test]
        fn a_text_survives_serde_jsons_escapes(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("a text");
            let quoted = Cursor::new(json.as_bytes()).quoted().expect("quoted");
            let mut out = Vec::new();
            unescape(quoted.raw, &mut out).expect("valid escapes");
            prop_assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn escapes() {
        let text = |raw: &str| {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out).map(|()| String::from_utf8(out).expect("UTF-8"))
        };
        assert_eq!(text(r"a\u00e9\ud83d\ude00\/\n"), Ok("aé😀/\n".to_owned()));
        for wrong in [r"\x", r"\u12", r"\ud83d", r"\ud83d\u0041", r"\ude00", "\\"] {
            assert!(text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whole_values_are_skipped() {
        for value in [r#"{"a":[1,{"b":"}]"}],"c":null}"#, "-1.5e3", "\"x\\\"y\"", "true", "[]"] {
            let line = format!("{value} ,");
            let mut cursor = Cursor::new(line.as_bytes());
            cursor.skip().expect(value);
            assert_eq!(cursor.position(), value.len());
        }
        assert!(Cursor::new(&[b'['; 1_000]).skip().is_err());
    }
}
