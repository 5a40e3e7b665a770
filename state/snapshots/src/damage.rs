//! What is wrong with a file, in the words that a person needs: which file, where, what belongs there, what is there.
//!
//! Invariant: whatever a checksum, a length or a format check refuses becomes a [`Damage`]; nothing here decides what is refused.

use std::fmt;

use weir_api::error::{Code, Error};

/// One place at which a file isn't what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file's path in its store.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The part that is wrong.
    pub part: &'static str,
    /// What belongs there.
    pub expected: String,
    /// What is there.
    pub actual: String,
}

impl Damage {
    /// `part` of `file`, at `offset`, is `actual` where `expected` belongs.
    pub fn new(
        file: &str,
        offset: u64,
        part: &'static str,
        expected: impl fmt::Display,
        actual: impl fmt::Display,
    ) -> Self {
        Self {
            file: file.to_owned(),
            offset,
            part,
            expected: expected.to_string(),
            actual: actual.to_string(),
        }
    }

    /// A file that is gone.
    #[must_use]
    pub fn missing(file: &str, bytes: u64) -> Self {
        Self::new(file, 0, "the file", format_args!("{bytes} bytes"), "missing")
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, part, expected, actual } = self;
        write!(f, "{file} is damaged at offset {offset}: {part}: expected {expected}, found {actual}")
    }
}

impl std::error::Error for Damage {}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Error::new(
            Code::SnapshotDamaged,
            format!("{damage}; nothing of this snapshot was used: start from another one"),
        )
    }
}

/// A 64-bit checksum as people compare it.
pub(crate) fn hex(checksum: u64) -> String {
    format!("xxh3 {checksum:016x}")
}
