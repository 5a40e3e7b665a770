//! Names of state files: who wrote them, and what is in them.
//!
//! Invariant: two files of one name hold the same bytes. The attempt and the checkpoint stand in the name, so a zombie of an
//! older attempt never writes to a newer one's file, and a file that was deleted is never written again under its old name by a
//! later checkpoint: deleting can't race with reuse. The hash is xxh3-128: it guards against damage, not against somebody who
//! may write to the bucket and could replace the manifest as well.

use std::fmt;
use std::str::FromStr;

use weir_api::error::{Code, Error};
use weir_api::id::{Attempt, CheckpointId};

/// Ends every state file's name; Arrow tools go by it.
const EXTENSION: &str = ".arrow";

/// The hash of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub u128);

impl ContentHash {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A state file's name: `<attempt>-<checkpoint>-<hash>.arrow`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FileName {
    /// The attempt that wrote it.
    pub attempt: Attempt,
    /// The checkpoint that it was written for.
    pub checkpoint: CheckpointId,
    /// Of its bytes.
    pub hash: ContentHash,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}{EXTENSION}", self.attempt, self.checkpoint, self.hash)
    }
}

impl FromStr for FileName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).filter(|name| name.to_string() == text).ok_or_else(|| {
            Error::new(
                Code::InvalidArgument,
                format!("`{text}` isn't a state file's name: <attempt>-<checkpoint>-<32 hex digits>.arrow"),
            )
        })
    }
}

fn parse(text: &str) -> Option<FileName> {
    let mut parts = text.strip_suffix(EXTENSION)?.split('-');
    let attempt = Attempt(parts.next()?.parse().ok()?);
    let checkpoint = CheckpointId(parts.next()?.parse().ok()?);
    let hash = ContentHash(u128::from_str_radix(parts.next()?, 16).ok()?);
    parts.next().is_none().then_some(FileName { attempt, checkpoint, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        let name =
            FileName { attempt: Attempt(3), checkpoint: CheckpointId(17), hash: ContentHash::of(b"rows") };
        assert_eq!(name.to_string().parse::<FileName>().unwrap(), name);
        for wrong in ["_metadata", "3-17-00.arrow", "+3-17-x.arrow", "03-17-0.arrow", "3-17.arrow"] {
            assert!(wrong.parse::<FileName>().is_err(), "{wrong}");
        }
    }
}
