//! Records as they wait to be published: some, one behind the other, in a buffer of about a few MiB.
//!
//! Layout, version 1: the magic `WKL1`, then records: a byte of flags; where it says so the topic (varint, its place in the
//! committable's list), the partition (varint), the timestamp (8 bytes, little-endian), the key, the value (varint length and
//! bytes each), the headers (their number, then name and value each; a value's length is one more, 0 for none).
//! What was read back is checked as it is decoded; that no bit has changed is the business of what carries the bytes.

use weir_api::error::{Code, Error, Result};

use crate::kafka::rows::Row;

/// Of this encoding.
pub const VERSION: u8 = 1;
const MAGIC: &[u8; 4] = b"WKL1";

const KEY: u8 = 1;
const VALUE: u8 = 1 << 1;
const TIMESTAMP: u8 = 1 << 2;
const HEADERS: u8 = 1 << 3;
const PARTITION: u8 = 1 << 4;
const TOPIC: u8 = 1 << 5;
const ALL: u8 = (1 << 6) - 1;

/// A chunk that grows.
#[derive(Debug, Default)]
pub struct Chunk {
    bytes: Vec<u8>,
}

impl Chunk {
    /// Appends a record.
    pub fn push(&mut self, row: &Row<'_>) {
        let bytes = &mut self.bytes;
        if bytes.is_empty() {
            bytes.extend_from_slice(MAGIC);
        }
        let flag = |present: bool, flag: u8| if present { flag } else { 0 };
        bytes.push(
            flag(row.topic != 0, TOPIC)
                | flag(row.partition.is_some(), PARTITION)
                | flag(row.timestamp.is_some(), TIMESTAMP)
                | flag(row.key.is_some(), KEY)
                | flag(row.value.is_some(), VALUE)
                | flag(row.headers.is_some(), HEADERS),
        );
        if row.topic != 0 {
            put_number(bytes, row.topic as u64);
        }
        if let Some(partition) = row.partition {
            put_number(bytes, u64::try_from(partition).unwrap_or(0));
        }
        if let Some(timestamp) = row.timestamp {
            bytes.extend_from_slice(&timestamp.to_le_bytes());
        }
        for part in [row.key, row.value].into_iter().flatten() {
            put_number(bytes, part.len() as u64);
            bytes.extend_from_slice(part);
        }
        if let Some(headers) = row.headers {
            put_number(bytes, headers.len() as u64);
            for (name, value) in headers.iter() {
                put_number(bytes, name.len() as u64);
                bytes.extend_from_slice(name.as_bytes());
                put_number(bytes, value.map_or(0, |value| value.len() as u64 + 1));
                bytes.extend_from_slice(value.unwrap_or_default());
            }
        }
    }

    /// Its size.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the bytes out; the next chunk begins.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// A record read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logged<'a> {
    /// Its topic's place in the committable's list.
    pub topic: usize,
    /// None: by the hash of the key, or any.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; none: when it is sent.
    pub timestamp: Option<i64>,
    /// None: it has no key.
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    /// None: it has none.
    pub headers: Option<Vec<Pair<'a>>>,
}

/// A header.
pub type Pair<'a> = (&'a str, Option<&'a [u8]>);

/// Reads a chunk's records.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over a chunk's bytes; none are a chunk without records.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Self { rest: bytes });
        }
        bytes.strip_prefix(MAGIC).map(|rest| Self { rest }).ok_or_else(malformed)
    }

    fn record(&mut self) -> Option<Logged<'a>> {
        let flags = *self.take(1)?.first()?;
        if flags & !ALL != 0 {
            return None;
        }
        let has = |flag: u8| flags & flag != 0;
        let topic = if has(TOPIC) { usize::try_from(self.number()?).ok()? } else { 0 };
        let partition = match has(PARTITION) {
            true => Some(i32::try_from(self.number()?).ok()?),
            false => None,
        };
        let timestamp = match has(TIMESTAMP) {
            true => Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            false => None,
        };
        let key = if has(KEY) { Some(self.part()?) } else { None };
        let value = if has(VALUE) { Some(self.part()?) } else { None };
        let headers = if has(HEADERS) { Some(self.headers()?) } else { None };
        Some(Logged { topic, partition, timestamp, key, value, headers })
    }

    fn headers(&mut self) -> Option<Vec<Pair<'a>>> {
        let count = self.number()?;
        // A header takes two bytes at least: a number that can't be right allocates nothing.
        let count = usize::try_from(count).ok().filter(|count| *count <= self.rest.len() / 2)?;
        (0..count)
            .map(|_| {
                let name = std::str::from_utf8(self.part()?).ok()?;
                let value = match usize::try_from(self.number()?).ok()?.checked_sub(1) {
                    None => None,
                    Some(length) => Some(self.take(length)?),
                };
                Some((name, value))
            })
            .collect()
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(part)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Logged<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record().ok_or_else(malformed);
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn malformed() -> Error {
    Error::new(
        Code::SnapshotDamaged,
        "output that was prepared for Kafka isn't in the encoding that it says: its records can't be read",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (usize, Option<i32>, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>);

    fn row(owned: &Owned) -> Row<'_> {
        let (topic, partition, timestamp, key, value) = owned;
        Row {
            topic: *topic,
            partition: *partition,
            timestamp: *timestamp,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: None,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in prop::collection::vec(
                (0..300_usize, prop::option::of(0..i32::MAX), any::<Option<i64>>(), any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>()),
                0..40,
            ),
        ) {
            let mut chunk = Chunk::default();
            rows.iter().for_each(|owned| chunk.push(&row(owned)));
            let bytes = chunk.take();
            let back: Vec<Owned> = Reader::new(&bytes)
                .unwrap()
                .map(|record| {
                    let record = record.unwrap();
                    let part = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
                    (record.topic, record.partition, record.timestamp, part(record.key), part(record.value))
                })
                .collect();
            prop_assert_eq!(back, rows);
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), whole in any::<bool>()) {
            if whole {
                bytes.splice(0..0, *MAGIC);
            }
            if let Ok(reader) = Reader::new(&bytes) {
                let _ = reader.count();
            }
        }
    }

    #[test]
    fn these_bytes_are_version_one() {
        use arrow::array::{BinaryBuilder, MapBuilder, StringBuilder};
        let mut builder = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
        builder.keys().append_value("h");
        builder.values().append_value(b"x");
        builder.keys().append_value("none");
        builder.values().append_null();
        builder.append(true).unwrap();
        let map = builder.finish();
        let mut chunk = Chunk::default();
        let plain =
            Row { topic: 0, partition: None, key: None, value: Some(b"v"), timestamp: None, headers: None };
        chunk.push(&plain);
        chunk.push(&Row { value: None, key: Some(b""), ..plain });
        chunk.push(&Row {
            topic: 2,
            partition: Some(300),
            key: Some(b"k"),
            timestamp: Some(-2),
            headers: Some(crate::kafka::rows::Headers::of(&map, 0)),
            ..plain
        });
        let bytes = chunk.take();
        let expected: &[u8] = b"WKL1\x02\x01v\x01\x00\x3f\x02\xac\x02\xfe\xff\xff\xff\xff\xff\xff\xff\x01k\x01v\x02\x01h\x02x\x04none\x00";
        assert_eq!(bytes, expected);
        let records: Vec<_> = Reader::new(&bytes).unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(
            records[2].headers.as_deref(),
            Some([("h", Some(b"x".as_slice())), ("none", None)].as_slice())
        );
        for length in 1..bytes.len() {
            let read = Reader::new(&bytes[..length]).and_then(Iterator::collect::<Result<Vec<_>>>);
            // A chunk may end behind any whole record, and nowhere else.
            assert_eq!(read.is_ok(), [4, 7, 9].contains(&length), "{length}");
        }
    }
}
