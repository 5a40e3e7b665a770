//! Cuts a record into its fields.
//!
//! A field may stand in quotes; within them a quote is written twice. An escape character, if there is one, takes the meaning
//! from the character behind it, in quotes or not. Fields without either are slices of the record: nothing is copied.

use super::Dialect;
use crate::formats::record::{Parsed, Problem};

/// Cuts a record.
pub struct Fields {
    dialect: Dialect,
    /// A field whose quotes or escapes have been taken out.
    plain: Vec<u8>,
}

impl Fields {
    /// For records of this dialect.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, plain: Vec::new() }
    }

    /// Gives every field with its number and its first byte to `each`; returns how many there are.
    pub fn cut(
        &mut self,
        record: &[u8],
        mut each: impl FnMut(usize, &[u8], usize) -> Parsed<()>,
    ) -> Parsed<usize> {
        let special = match (self.dialect.quote, self.dialect.escape) {
            (Some(quote), Some(escape)) => memchr::memchr2(quote, escape, record),
            (Some(byte), None) | (None, Some(byte)) => memchr::memchr(byte, record),
            (None, None) => None,
        };
        if special.is_some() {
            return self.cut_quoted(record, each);
        }
        let (mut start, mut index) = (0, 0);
        for end in memchr::memchr_iter(self.dialect.delimiter, record) {
            each(index, record.get(start..end).unwrap_or_default(), start)?;
            start = end + 1;
            index += 1;
        }
        each(index, record.get(start..).unwrap_or_default(), start)?;
        Ok(index + 1)
    }

    fn cut_quoted(
        &mut self,
        record: &[u8],
        mut each: impl FnMut(usize, &[u8], usize) -> Parsed<()>,
    ) -> Parsed<usize> {
        let mut plain = std::mem::take(&mut self.plain);
        let (mut at, mut index) = (0, 0);
        let result = loop {
            plain.clear();
            let start = at;
            let is_quoted = self.dialect.quote.is_some_and(|quote| record.get(at) == Some(&quote));
            let end = if is_quoted {
                self.quoted(record, at, &mut plain)
            } else {
                Ok(self.bare(record, at, &mut plain))
            };
            match end.and_then(|end| each(index, &plain, start).map(|()| end)) {
                Err(problem) => break Err(problem),
                Ok(end) if end >= record.len() => break Ok(index + 1),
                // Behind the delimiter.
                Ok(end) => at = end + 1,
            }
            index += 1;
        };
        self.plain = plain;
        result
    }

    /// Takes a field without quotes; returns where it ends.
    fn bare(&self, record: &[u8], start: usize, plain: &mut Vec<u8>) -> usize {
        let mut at = start;
        while let Some(byte) = record.get(at) {
            if *byte == self.dialect.delimiter {
                return at;
            }
            if Some(*byte) == self.dialect.escape {
                at += 1;
            }
            plain.extend(record.get(at));
            at += 1;
        }
        record.len()
    }

    /// Takes a field in quotes; returns where the delimiter behind it is, or the end.
    fn quoted(&self, record: &[u8], start: usize, plain: &mut Vec<u8>) -> Parsed<usize> {
        let quote = self.dialect.quote.unwrap_or_default();
        let mut at = start + 1;
        loop {
            let rest = record.get(at..).unwrap_or_default();
            let found = match self.dialect.escape {
                Some(escape) => memchr::memchr2(quote, escape, rest),
                None => memchr::memchr(quote, rest),
            };
            let Some(found) = found else {
                return Err(Problem { at: start, what: "a field without its closing quote".into() });
            };
            plain.extend_from_slice(rest.get(..found).unwrap_or_default());
            at += found;
            if record.get(at) != Some(&quote) {
                // An escape.
                plain.extend(record.get(at + 1));
                at += 2;
            } else if record.get(at + 1) == Some(&quote) {
                plain.push(quote);
                at += 2;
            } else {
                at += 1;
                break;
            }
        }
        match record.get(at) {
            Some(byte) if *byte != self.dialect.delimiter => {
                Err(Problem { at, what: "characters behind a closing quote".into() })
            }
            _ => Ok(at),
        }
    }
}
