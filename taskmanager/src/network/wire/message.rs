//! The bodies of all frames but data: fixed layouts of little-endian numbers.
//!
//! Invariant: decoding takes exactly the bytes that encoding made; anything shorter, longer or out of range is an error.

use weir_api::element::{Barrier, Purpose, StreamElement};
use weir_api::error::Code;
use weir_api::id::{Attempt, JobId, SubtaskIndex};
use weir_api::watermark::Watermark;

use super::frame::Kind;
use crate::network::failure::Failure;
use crate::network::id::{ChannelKey, PartitionId};

/// The most bytes of a message body.
pub(crate) const MAX_MESSAGE_BYTES: usize = 8 << 10;
/// The most bytes of a schema.
pub(crate) const MAX_SCHEMA_BYTES: usize = 1 << 20;
/// The most bytes of an error text that travels.
const MAX_TEXT_BYTES: usize = 4 << 10;

/// What both ends must agree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) segment_bytes: u32,
}

/// A consumer wants a subpartition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) key: ChannelKey,
    /// The initial credit, in segments.
    pub(crate) credit: u32,
}

/// A consumer grants credit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Credit {
    pub(crate) segments: u32,
    pub(crate) released_frames: u64,
}

/// A producer announces what is waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Backlog {
    pub(crate) backlog: u32,
    pub(crate) need: u32,
    pub(crate) returned: u32,
}

/// Takes numbers off the front of a body.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// A message body of one kind.
pub(crate) trait Message: Sized {
    const KIND: Kind;

    fn encode(&self, out: &mut Vec<u8>);

    /// `None`: the bytes aren't such a message.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Message for Hello {
    const KIND: Kind = Kind::Hello;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.segment_bytes.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let hello = Self { segment_bytes: cursor.u32()? };
        cursor.end(hello)
    }
}

impl Message for Request {
    const KIND: Kind = Kind::Request;

    fn encode(&self, out: &mut Vec<u8>) {
        let PartitionId { job, attempt, edge, subtask } = self.key.partition;
        out.extend_from_slice(job.as_bytes());
        for number in [attempt.0, edge, subtask.0, self.key.consumer.0, self.credit] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let partition = PartitionId {
            job: JobId::from_bytes(cursor.take()?),
            attempt: Attempt(cursor.u32()?),
            edge: cursor.u32()?,
            subtask: SubtaskIndex(cursor.u32()?),
        };
        let key = ChannelKey { partition, consumer: SubtaskIndex(cursor.u32()?) };
        let request = Self { key, credit: cursor.u32()? };
        cursor.end(request)
    }
}

impl Message for Credit {
    const KIND: Kind = Kind::Credit;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.segments.to_le_bytes());
        out.extend_from_slice(&self.released_frames.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let credit = Self { segments: cursor.u32()?, released_frames: cursor.u64()? };
        cursor.end(credit)
    }
}

impl Message for Backlog {
    const KIND: Kind = Kind::Backlog;

    fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.backlog, self.need, self.returned] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let backlog = Self { backlog: cursor.u32()?, need: cursor.u32()?, returned: cursor.u32()? };
        cursor.end(backlog)
    }
}

/// Everything that flows but batches: a tag and two numbers.
impl Message for StreamElement {
    const KIND: Kind = Kind::Event;

    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, a, b) = match self {
            Self::Watermark(watermark) => (1_u32, watermark.0, 0),
            Self::Barrier(barrier) => {
                let tag = match barrier.purpose {
                    Purpose::Checkpoint => 2,
                    Purpose::Savepoint => 6,
                    Purpose::Suspend => 7,
                    Purpose::Drain => 8,
                    Purpose::FullCheckpoint => 9,
                };
                (tag, barrier.checkpoint_id.cast_signed(), barrier.timestamp_millis)
            }
            Self::Idle => (3, 0, 0),
            Self::Active => (4, 0, 0),
            Self::EndOfInput => (5, 0, 0),
            // Batches travel as data frames; decoding refuses this tag.
            Self::Batch(_) => (0, 0, 0),
        };
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&a.to_le_bytes());
        out.extend_from_slice(&b.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let (tag, a, b) = (cursor.u32()?, cursor.i64()?, cursor.i64()?);
        let element = match tag {
            1 => Self::Watermark(Watermark(a)),
            2 => barrier(a, b, Purpose::Checkpoint),
            3 => Self::Idle,
            4 => Self::Active,
            5 => Self::EndOfInput,
            6 => barrier(a, b, Purpose::Savepoint),
            7 => barrier(a, b, Purpose::Suspend),
            8 => barrier(a, b, Purpose::Drain),
            9 => barrier(a, b, Purpose::FullCheckpoint),
            _ => return None,
        };
        cursor.end(element)
    }
}

fn barrier(id: i64, timestamp_millis: i64, purpose: Purpose) -> StreamElement {
    StreamElement::Barrier(Barrier { checkpoint_id: id.cast_unsigned(), timestamp_millis, purpose })
}

/// The code's text, its length first, then the message's text up to the end.
impl Message for Failure {
    const KIND: Kind = Kind::Closed;

    fn encode(&self, out: &mut Vec<u8>) {
        let code = self.code().as_str().as_bytes();
        out.extend_from_slice(&(code.len() as u32).to_le_bytes());
        out.extend_from_slice(code);
        let message = self.message();
        let end = (0..=message.len().min(MAX_TEXT_BYTES)).rev().find(|&end| message.is_char_boundary(end));
        out.extend_from_slice(&message.as_bytes()[..end.unwrap_or(0)]);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let length = usize::try_from(cursor.u32()?).ok()?;
        let (code, message) = cursor.0.split_at_checked(length)?;
        let code = Code::ALL.iter().copied().find(|known| known.as_str().as_bytes() == code)?;
        let message = std::str::from_utf8(message).ok()?;
        (message.len() <= MAX_TEXT_BYTES).then(|| Self::new(code, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(message: &impl Message) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out);
        out
    }

    #[test]
    fn the_layouts_are_what_they_always_were() {
        let partition = PartitionId {
            job: JobId::from_bytes(*b"0123456789abcdef"),
            attempt: Attempt(1),
            edge: 2,
            subtask: SubtaskIndex(3),
        };
        let request = Request { key: ChannelKey { partition, consumer: SubtaskIndex(4) }, credit: 5 };
        let golden = b"0123456789abcdef\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05\0\0\0";
        assert_eq!(bytes(&request), golden);
        assert_eq!(Request::decode(golden), Some(request));
        assert_eq!(bytes(&Hello { segment_bytes: 32768 }), [0, 128, 0, 0]);
        let credit = Credit { segments: 2, released_frames: 259 };
        assert_eq!(bytes(&credit), [2, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0]);
        let backlog = Backlog { backlog: 1, need: 2, returned: 3 };
        assert_eq!(bytes(&backlog), [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
        let barrier = Barrier {
            checkpoint_id: 9,
            timestamp_millis: -1,
            purpose: weir_api::element::Purpose::Checkpoint,
        };
        let golden = [2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(bytes(&StreamElement::Barrier(barrier)), golden);
        let failure = Failure::new(Code::ConnectionLost, "gone");
        assert_eq!(bytes(&failure), b"\x09\0\0\0WEIR-3002gone");
    }

    #[test]
    fn messages_survive_and_cut_ones_are_refused() {
        let elements = [
            StreamElement::Watermark(Watermark(-5)),
            StreamElement::Idle,
            StreamElement::Active,
            StreamElement::EndOfInput,
        ];
        for element in &elements {
            let bytes = bytes(element);
            assert_eq!(format!("{:?}", StreamElement::decode(&bytes).unwrap()), format!("{element:?}"));
            assert!((0..bytes.len()).all(|end| StreamElement::decode(&bytes[..end]).is_none()));
        }
        let failure = Failure::new(Code::Fenced, "ä".repeat(5000));
        let decoded = Failure::decode(&bytes(&failure)).unwrap();
        assert_eq!(decoded.code(), Code::Fenced);
        assert_eq!(decoded.message(), "ä".repeat(2048));
    }
}
