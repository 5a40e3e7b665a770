//! The contract of record formats: bytes of one record into a row, rows into the bytes of records.
//!
//! Invariant: a record that can't be decoded leaves nothing behind and says what is wrong and where. Knows no format, and
//! nothing of where records come from.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use weir_api::error::Result;

/// A record that is longer is malformed.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// What is wrong with a record, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// Byte within the record.
    pub at: usize,
    /// What is wrong.
    pub what: Cow<'static, str>,
}

/// The result of reading a record, or a part of one.
pub type Parsed<T> = Result<T, Problem>;

/// Decodes records of one format into the columns of a schema.
pub trait RecordDecoder: Send {
    /// Adds a record's row; a blank record adds none. On an error nothing is added. `is_utf8`: the caller has checked the
    /// encoding.
    fn record(&mut self, bytes: &[u8], is_utf8: bool) -> Parsed<()>;

    /// Rows since the last [`Self::finish`].
    fn rows(&self) -> usize;

    /// Takes rows behind the first `rows` back (the other half of a record was malformed).
    fn truncate(&mut self, rows: usize);

    /// Takes the columns out, in the schema's order.
    fn finish(&mut self) -> Result<Vec<ArrayRef>>;
}

/// Encodes rows as records.
pub trait RecordEncoder: Send {
    /// Appends one record per row of these columns, which are those of the schema that the encoder was made for.
    fn encode(&mut self, columns: &[ArrayRef], rows: usize, out: &mut Records) -> Result<()>;
}

/// Records, one behind the other in one buffer.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    /// Where each ends, without its terminator; its high bit says that it is null.
    ends: Vec<usize>,
    terminator: Option<u8>,
}

const NULL: usize = 1 << (usize::BITS - 1);

impl Records {
    /// Each record followed by a line's end, as they stand in a file.
    #[must_use]
    pub fn lines() -> Self {
        Self { terminator: Some(b'\n'), ..Self::default() }
    }

    /// What follows each record: no record may hold it.
    #[must_use]
    pub const fn terminator(&self) -> Option<u8> {
        self.terminator
    }

    /// Where an encoder appends the bytes of the next record, and nothing else.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the record.
    pub fn end(&mut self) {
        self.ends.push(self.bytes.len());
        self.bytes.extend(self.terminator);
    }

    /// Ends the record as null: a tombstone.
    pub fn end_null(&mut self) {
        self.ends.push(self.bytes.len() | NULL);
        self.bytes.extend(self.terminator);
    }

    /// A record's bytes; `None` if it is null, or there is none of this number.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let end = *self.ends.get(row)?;
        if end & NULL != 0 {
            return None;
        }
        let start = match row.checked_sub(1) {
            None => 0,
            Some(before) => (self.ends.get(before)? & !NULL) + usize::from(self.terminator.is_some()),
        };
        self.bytes.get(start..end)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All bytes, terminators included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets all records and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_by_their_number_with_and_without_terminators() {
        for mut records in [Records::default(), Records::lines()] {
            records.bytes_mut().extend_from_slice(b"one");
            records.end();
            records.end_null();
            records.end();
            records.bytes_mut().extend_from_slice(b"four");
            records.end();
            let all: Vec<_> = (0..5).map(|row| records.get(row)).collect();
            assert_eq!(all, [Some(b"one".as_slice()), None, Some(b""), Some(b"four"), None]);
            assert_eq!(records.len(), 4);
            records.clear();
            assert!(records.is_empty() && records.get(0).is_none() && records.bytes().is_empty());
        }
    }
}
