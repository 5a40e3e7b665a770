//! Watermarks and the valve that merges those of several channels.
//!
//! A watermark `w` says that no record with an event time of `w` or less is expected any more.

mod valve;

pub use valve::{Change, Valve};

/// A point in event time, in milliseconds since 1970-01-01T00:00:00 (of the column's own time zone, if it has one).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Watermark(pub i64);

impl Watermark {
    /// Before every record.
    pub const MIN: Self = Self(i64::MIN);
    /// After every record: the input has ended.
    pub const MAX: Self = Self(i64::MAX);
}
