//! What a checkpoint holds of a writer's output: who may publish it, and where its records are.
//!
//! Layout, version 1: the version, the length of a header (4 bytes, little-endian), the header as JSON, a chunk (or nothing).
//! Further chunks are blobs, in order, before the one in the payload.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_api::error::{Code, Error, Result};
use weir_api::sink::{Blob, Committable};

use super::chunk;

/// A chunk up to so many bytes stands in the manifest itself.
pub const INLINE_BYTES: usize = 32 << 10;
const VERSION: u8 = 1;

/// Says what a batch is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// By whom it is published.
    pub transactional_id: String,
    /// Whose it is: progress is kept by this, the attempt and the transactional id, so that a snapshot that another job is
    /// restored from is known to be published or not.
    pub job: String,
    /// The attempt that prepared it.
    pub attempt: u32,
    /// The checkpoint that it belongs to.
    pub checkpoint: u64,
    /// How many records there are.
    pub records: u64,
    /// Of all its chunks.
    pub bytes: u64,
    /// Of the chunks' encoding.
    pub encoding: u8,
    /// The topics that records name by number.
    pub topics: Vec<String>,
    /// Where progress is kept.
    pub progress_topic: String,
    /// The id of that topic, where brokers have ids: another topic of the same name knows nothing.
    pub progress_topic_id: Option<String>,
}

/// What is published in one transaction: the output of one subtask between two barriers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// What it is.
    pub header: Header,
    /// The first chunks.
    pub blobs: Vec<Blob>,
    /// The last one; may be empty.
    pub inline: Bytes,
}

impl Output {
    /// As it travels in a checkpoint.
    pub fn encode(&self) -> Result<Committable> {
        let header = serde_json::to_vec(&self.header)
            .map_err(|error| Error::internal("write what is prepared for Kafka").with_source(error))?;
        let length = u32::try_from(header.len())
            .map_err(|_| Error::internal("what is prepared for Kafka has a header of gigabytes"))?;
        let mut payload = Vec::with_capacity(5 + header.len() + self.inline.len());
        payload.push(VERSION);
        payload.extend_from_slice(&length.to_le_bytes());
        payload.extend_from_slice(&header);
        payload.extend_from_slice(&self.inline);
        Ok(Committable { payload: payload.into(), blobs: self.blobs.clone() })
    }

    /// Reads it back.
    pub fn of(committable: &Committable) -> Result<Self> {
        let payload = &committable.payload;
        let parts = || {
            let (version, rest) = payload.split_first()?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (header, inline) =
                rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            Some((*version, header, payload.slice_ref(inline)))
        };
        let Some((version, header, inline)) = parts() else {
            return Err(Error::new(Code::SnapshotDamaged, "output that was prepared for Kafka is cut off"));
        };
        if version != VERSION {
            return Err(newer(version));
        }
        let header: Header = serde_json::from_slice(header).map_err(|error| {
            Error::new(Code::SnapshotDamaged, "output that was prepared for Kafka doesn't say what it is")
                .with_source(error)
        })?;
        if header.encoding != chunk::VERSION {
            return Err(newer(header.encoding));
        }
        Ok(Self { header, blobs: committable.blobs.clone(), inline })
    }
}

fn newer(version: u8) -> Error {
    Error::new(
        Code::SnapshotVersion,
        format!(
            "output that was prepared for Kafka is of version {version}, which this Weir doesn't know: restore it with the version that wrote it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> Output {
        Output {
            header: Header {
                transactional_id: "weir-07-sink-3".into(),
                job: "07".into(),
                attempt: 2,
                checkpoint: 17,
                records: 9,
                bytes: 1234,
                encoding: chunk::VERSION,
                topics: vec!["a".into()],
                progress_topic: "__weir_progress".into(),
                progress_topic_id: None,
            },
            blobs: vec![Blob { name: "b".into(), bytes: 1230, hash: 5 }],
            inline: Bytes::from_static(b"WKL1"),
        }
    }

    #[test]
    fn it_survives_the_manifest_and_garbage_is_an_error() {
        let committable = output().encode().unwrap();
        assert_eq!(Output::of(&committable).unwrap(), output());
        let start =
            b"\x01\xbd\x00\x00\x00{\"transactional_id\":\"weir-07-sink-3\",\"job\":\"07\",\"attempt\":2,";
        assert_eq!(&committable.payload[..start.len()], start, "version one");
        for length in 0..committable.payload.len() - 4 {
            let cut = Committable { payload: committable.payload.slice(..length), blobs: Vec::new() };
            assert_eq!(Output::of(&cut).unwrap_err().code(), Code::SnapshotDamaged, "{length}");
        }
        let mut other = committable.payload.to_vec();
        other[0] = 2;
        assert_eq!(Output::of(&other.into()).unwrap_err().code(), Code::SnapshotVersion);
    }
}
