//! Keys: their frozen encoding, their hash, their key group. One function each, for router, state and planner.
//!
//! Invariant: equal keys have equal encodings whatever arrays they come from, and the encoding of [`ENCODING_VERSION`] never
//! changes: state and snapshots are laid out by it. The test vectors pin it.
//!
//! A key is the encodings of its columns, one after the other:
//!
//! | column | bytes |
//! | --- | --- |
//! | null | `00` |
//! | booleans, integers, dates, times, timestamps | `01`, then the value as 64-bit little-endian two's complement |
//! | floats | `01`, then the IEEE 754 double, little-endian; −0.0 as 0.0, every NaN as `7ff8000000000000` |
//! | decimals up to 38 digits | `01`, then the unscaled value as 128-bit little-endian two's complement |
//! | strings, binary, of any offset width or view | `01`, the length as 32-bit little-endian, the bytes |
//! | structs | `01`, then the fields |
//! | lists | `01`, the length as 32-bit little-endian, then the elements |

mod encoder;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
pub use encoder::{EncodedKeys, encode_columns};

/// The version of the encoding, for manifests.
pub const ENCODING_VERSION: u32 = 1;

/// Hashes the key of every row: `xxh3_64` of its encoding. `hashes` is cleared first; afterwards it has one entry per row.
pub fn hash_columns(columns: &[ArrayRef], hashes: &mut Vec<u64>) -> Result<()> {
    hashes.clear();
    if let [column] = columns
        && *column.data_type() == DataType::Int64
        && column.null_count() == 0
    {
        let values = column.as_primitive::<Int64Type>().values();
        let mut bytes = [1_u8; 9];
        hashes.extend(values.iter().map(|value| {
            bytes[1..].copy_from_slice(&value.to_le_bytes());
            xxh3_64(&bytes)
        }));
        return Ok(());
    }
    encoder::for_each_row(columns, |encoding| hashes.push(xxh3_64(encoding)))
}

/// The key group of a key with this hash.
#[must_use]
pub const fn key_group(hash: u64, max_parallelism: u32) -> u32 {
    if max_parallelism.is_power_of_two() {
        // The same, without a division.
        return hash as u32 & (max_parallelism - 1);
    }
    (hash % max_parallelism as u64) as u32
}

#[cfg(test)]
mod tests;
