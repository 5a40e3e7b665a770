//! Newtypes for everything that is named or numbered, so that an attempt can't be passed for a subtask.
//!
//! Invariant: a value of these types is valid; validation happens in the constructors.

use std::fmt;
use std::str::FromStr;

use crate::error::{Code, Error, Result};

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The id in a message's bytes field.
            pub fn try_from_slice(bytes: &[u8]) -> Result<Self> {
                let bytes: [u8; 16] = bytes.try_into().map_err(|_| {
                    Error::new(
                        Code::MalformedMessage,
                        format!("{} holds {} bytes where 16 belong", stringify!($name), bytes.len()),
                    )
                })?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let invalid = || {
                    Error::new(
                        Code::InvalidArgument,
                        format!("`{text}` is not a {}: 32 hexadecimal digits belong here", stringify!($name)),
                    )
                };
                if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(invalid());
                }
                u128::from_str_radix(text, 16).map(|value| Self(value.to_be_bytes())).map_err(|_| invalid())
            }
        }
    };
}

hex_id! {
    /// A job, from submission to its end; survives restarts.
    JobId
}
hex_id! {
    /// A vertex of a job graph; derived from the uid of its chain's head, so it is the same after every planning.
    VertexId
}

impl VertexId {
    /// The id of the vertex whose chain starts with the operator `uid`.
    #[must_use]
    pub fn from_uid(uid: &OperatorUid) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(uid.as_str().as_bytes()).to_be_bytes())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
    };
}

number! {
    /// Which execution of a job: 1 at the first deployment, one more at each restart.
    Attempt(u32)
}
number! {
    /// Which leadership of a JobManager: grows whenever another process takes over the metadata.
    LeaderEpoch(u64)
}
number! {
    /// Which checkpoint or savepoint of a job: grows for the job's whole life, whoever leads it.
    CheckpointId(u64)
}
number! {
    /// Position of a vertex in `JobGraph::vertices`.
    VertexIndex(u32)
}
number! {
    /// Position of a subtask among its vertex's parallel instances; also its slot's position in the job's placement.
    SubtaskIndex(u32)
}
number! {
    /// Position of a slot in its TaskManager.
    SlotIndex(u32)
}

/// One run of one subtask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ExecutionId {
    /// The job it belongs to.
    pub job: JobId,
    /// The job's attempt.
    pub attempt: Attempt,
    /// The vertex that it runs.
    pub vertex: VertexIndex,
    /// Which parallel instance.
    pub subtask: SubtaskIndex,
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{} (attempt {})", self.job, self.vertex, self.subtask, self.attempt)
    }
}

/// An operator's identity across plannings and restarts; state is found by it. Never empty, at most 255 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OperatorUid(String);

/// A TaskManager process: unique among all that ever lived. Never empty, at most 255 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TaskManagerId(String);

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            /// Refuses an empty text and one longer than 255 bytes.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                if text.is_empty() || text.len() > 255 {
                    return Err(Error::new(
                        Code::InvalidArgument,
                        format!("{} holds {} bytes where 1 to 255 belong", stringify!($name), text.len()),
                    ));
                }
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(OperatorUid);
text_id!(TaskManagerId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_id_is_32_hex_digits_both_ways() {
        let text = "00ff10a0b0c0d0e0f001020304050607";
        let id: JobId = text.parse().expect("valid");
        assert_eq!(id.to_string(), text);
        assert!("0".repeat(31).parse::<JobId>().is_err());
        assert!(format!("+{}", "0".repeat(31)).parse::<JobId>().is_err());
    }

    #[test]
    fn vertex_id_depends_on_the_uid_alone() {
        let uid = |text: &str| OperatorUid::new(text).expect("valid");
        assert_eq!(VertexId::from_uid(&uid("a")), VertexId::from_uid(&uid("a")));
        assert_ne!(VertexId::from_uid(&uid("a")), VertexId::from_uid(&uid("b")));
        assert!(OperatorUid::new("").is_err());
    }
}
