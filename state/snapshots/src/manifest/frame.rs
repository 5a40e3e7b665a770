//! The frame around a manifest: magic, version, length, and checksums of both the frame and what is in it.
//!
//! ```text
//! WEIRMETA · version u32 · length u64 · CRC-32 of these 20 bytes │ body │ CRC-32 of the body     (little-endian)
//! ```
//!
//! Invariant: the first 24 bytes are laid out so in every version, so that a newer version is told from a damaged file. An older
//! version that can still be read is a branch in [`unwrap`].

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::SnapshotManifest;

use crate::damage::Damage;

const MAGIC: [u8; 8] = *b"WEIRMETA";
/// Raised by changes that an older reader must not pass over.
pub(super) const VERSION: u32 = 1;
/// Magic, version, length, checksum.
const HEADER: usize = 8 + 4 + 8 + 4;
const CHECKSUM: usize = 4;

pub(super) fn wrap(message: &SnapshotManifest) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(HEADER + length + CHECKSUM);
    out.put_slice(&MAGIC);
    out.put_u32_le(VERSION);
    out.put_u64_le(length as u64);
    out.put_u32_le(crc32fast::hash(&out));
    // A BytesMut grows, so there is always room.
    message.encode_raw(&mut out);
    let checksum = crc32fast::hash(out.get(HEADER..).unwrap_or_default());
    out.put_u32_le(checksum);
    out.freeze()
}

pub(super) fn unwrap(path: &str, bytes: &[u8]) -> Result<SnapshotManifest> {
    let (version, length) = header(path, bytes)?;
    if version != VERSION {
        return Err(Error::new(
            Code::SnapshotVersion,
            format!(
                "{path} has version {version}, this Weir reads version {VERSION}: run the Weir that wrote it, or a newer one"
            ),
        ));
    }
    let expected = (HEADER as u64).saturating_add(length).saturating_add(CHECKSUM as u64);
    let actual = bytes.len() as u64;
    if expected != actual {
        let at = actual.min(expected);
        return Err(Damage::new(path, at, "the file's length", expected, actual).into());
    }
    let framed = bytes.get(HEADER..).and_then(<[u8]>::split_last_chunk::<CHECKSUM>);
    let Some((body, checksum)) = framed else {
        return Err(Damage::new(path, HEADER as u64, "the body", "bytes", "none").into());
    };
    check(path, HEADER, "the body's checksum", u32::from_le_bytes(*checksum), body)?;
    SnapshotManifest::decode(body)
        .map_err(|error| Damage::new(path, HEADER as u64, "the body", "a SnapshotManifest", error).into())
}

fn header(path: &str, bytes: &[u8]) -> Result<(u32, u64)> {
    let short =
        || Damage::new(path, bytes.len() as u64, "the header", format_args!("{HEADER} bytes"), bytes.len());
    let header = bytes.first_chunk::<HEADER>().ok_or_else(short)?;
    let (magic, rest) = header.split_first_chunk::<8>().ok_or_else(short)?;
    if *magic != MAGIC {
        let found = magic.escape_ascii();
        return Err(Damage::new(path, 0, "the magic", MAGIC.escape_ascii(), found).into());
    }
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let checksum = rest.first_chunk::<4>().ok_or_else(short)?;
    let covered = header.get(..HEADER - CHECKSUM).unwrap_or_default();
    check(path, 0, "the header's checksum", u32::from_le_bytes(*checksum), covered)?;
    Ok((u32::from_le_bytes(*version), u64::from_le_bytes(*length)))
}

fn check(path: &str, at: usize, part: &'static str, expected: u32, bytes: &[u8]) -> Result<()> {
    let actual = crc32fast::hash(bytes);
    if expected == actual {
        return Ok(());
    }
    let hex = |checksum| format!("crc {checksum:08x}");
    Err(Damage::new(path, at as u64, part, hex(expected), hex(actual)).into())
}
