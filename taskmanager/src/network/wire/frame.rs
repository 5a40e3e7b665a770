//! The header before every frame.
//!
//! 32 bytes, all numbers little-endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..4 | magic `WEIR` |
//! | 4 | version, [`VERSION`] |
//! | 5 | [`Kind`] |
//! | 6..8 | reserved, 0 |
//! | 8..12 | channel; 0 for what concerns the connection |
//! | 12..16 | length of the body |
//! | 16..24 | sequence: 0, 1, 2, … per direction of a connection |
//! | 24..28 | CRC-32 of the body |
//! | 28..32 | CRC-32 of bytes 0..28 |
//!
//! The header has a checksum of its own, so that a wrong length is noticed at once and not after waiting for bytes that never
//! come.

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 32;
/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"WEIR";
/// The version of the protocol; both ends must speak the same.
pub(crate) const VERSION: u8 = 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a frame's body is.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(crate) enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl Kind {
            const fn from_u8(value: u8) -> Option<Self> {
                match value {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// First in both directions: sizes that both ends must share.
    Hello = 1,
    /// Consumer: wants a subpartition on a new channel.
    Request = 2,
    /// Consumer: grants credit.
    Credit = 3,
    /// Consumer: wants back the credit that isn't needed.
    Reclaim = 4,
    /// Consumer: takes nothing more from the channel.
    Cancel = 5,
    /// Producer: what the channel's batches hold; before the first of them.
    Schema = 6,
    /// Producer: records.
    Data = 7,
    /// Producer: what is waiting for credit, and credit given back.
    Backlog = 8,
    /// Producer: a watermark, a barrier, activity, the end.
    Event = 9,
    /// Producer: the channel has ended early, or the cancellation is confirmed.
    Closed = 10,
}

/// A frame's header without its checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) channel: u32,
    pub(crate) length: u32,
    pub(crate) sequence: u64,
    pub(crate) body_crc: u32,
}

/// Why bytes aren't a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the bytes {0:02x?} where a frame begins with `WEIR`")]
    Magic([u8; 4]),
    #[error(
        "protocol version {0} where this process speaks {VERSION}: all TaskManagers must run one version"
    )]
    Version(u8),
    #[error("the header's checksum is wrong")]
    Checksum,
    #[error("frames of kind {0} don't exist")]
    Kind(u8),
    #[error("reserved bits are set")]
    Reserved,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.channel.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Malformed> {
        let [m0, m1, m2, m3, version, kind, r0, r1, rest @ ..] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(Malformed::Magic([m0, m1, m2, m3]));
        }
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3, s0, s1, s2, s3, s4, s5, s6, s7, b0, b1, b2, b3, h0, h1, h2, h3] =
            rest;
        if crc32fast::hash(&bytes[..28]) != u32::from_le_bytes([h0, h1, h2, h3]) {
            return Err(Malformed::Checksum);
        }
        if [r0, r1] != [0, 0] {
            return Err(Malformed::Reserved);
        }
        Ok(Self {
            kind: Kind::from_u8(kind).ok_or(Malformed::Kind(kind))?,
            channel: u32::from_le_bytes([c0, c1, c2, c3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            sequence: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            body_crc: u32::from_le_bytes([b0, b1, b2, b3]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        kind: Kind::Data,
        channel: 0x0102_0304,
        length: 0x0004_0000,
        sequence: 7,
        body_crc: 0xAABB_CCDD,
    };

    #[test]
    fn the_layout_is_what_it_always_was() {
        let golden = [
            b'W', b'E', b'I', b'R', 1, 7, 0, 0, 4, 3, 2, 1, 0, 0, 4, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0xDD, 0xCC,
            0xBB, 0xAA,
        ];
        let bytes = HEADER.encode();
        assert_eq!(bytes[..28], golden);
        assert_eq!(bytes[28..], 0xD25D_DA31_u32.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Ok(HEADER));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = HEADER.encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped).is_err(), "bit {bit}");
        }
    }
}
