//! Files of keyed state: Arrow IPC files that any Arrow reader opens, with an index and checksums between data and footer.
//!
//! Decides what the bytes of a file are, and refuses every byte that isn't as it was written before a row is handed out.
//! Invariant: rows are sorted by key group, blocks follow each other without gaps, and a key group's rows can be read with the
//! file's tail and the blocks that hold it alone. Knows nothing of where files lie.
//!
//! ```text
//! ARROW1 · schema │ block 0 │ block 1 │ … │ end of stream · index section · footer · footer length · ARROW1
//! ─────head────── │ ────────blocks─────── │ ────────────────────────tail────────────────────────────────────
//! ```
//!
//! A block is one record batch's message. The head and every block have their xxh3-64 in the index section; the section ends
//! with its own; the tail's stands in the manifest, the whole file's xxh3-128 there and in the file's name. Arrow readers go
//! from the footer to the batches, so they never look at the section. See `docs/snapshots.md` for its fields.

mod index;
mod read;
#[cfg(test)]
mod tests;
mod write;

use arrow::datatypes::{DataType, Schema};
use weir_api::error::{Code, Error, Result};
use weir_api::state::KEY_GROUP_COLUMN;

pub use index::{Block, Contents, Index};
pub(crate) use read::caught;
pub use read::{OpenFile, verify_whole};
pub(crate) use write::key_groups;
pub use write::{Encoded, Encoder, Limits, encode};

pub use weir_api::state::TOMBSTONE_COLUMN;

/// What is known of a file without opening it; the manifest holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The file's size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Of all bytes.
    pub hash: crate::name::ContentHash,
    /// How many bytes at the end are the tail.
    pub tail_bytes: u64,
    /// The tail's xxh3-64.
    pub tail_hash: u64,
    /// The smallest key group.
    pub first_key_group: u32,
    /// The largest key group, included.
    pub last_key_group: u32,
}

/// Refuses a schema that isn't one of state: the key group first, then (in a delta) the tombstones, then the key's columns.
pub fn check_schema(schema: &Schema, contents: Contents, key_columns: u32) -> Result<()> {
    let refuse = |why: String| Err(Error::internal(format!("a state table can't have this schema: {why}")));
    let is = |at: usize, name: &str, data_type: &DataType| {
        schema
            .fields()
            .get(at)
            .is_some_and(|f| f.name() == name && f.data_type() == data_type && !f.is_nullable())
    };
    if !is(0, KEY_GROUP_COLUMN, &DataType::UInt32) {
        return refuse(format!("its first column isn't {KEY_GROUP_COLUMN}, UInt32 and not null"));
    }
    if contents == Contents::Delta && !is(1, TOMBSTONE_COLUMN, &DataType::Boolean) {
        return refuse(format!("a delta's second column isn't {TOMBSTONE_COLUMN}, Boolean and not null"));
    }
    if schema.fields().len() < contents.leading_columns() + key_columns as usize {
        return refuse(format!("it has fewer columns than the {key_columns} of its key"));
    }
    match schema.fields().iter().find(|field| holds_dictionary(field.data_type())) {
        Some(field) => Err(Error::new(
            Code::Unsupported,
            format!(
                "the column `{}` is dictionary-encoded; state is written with plain columns",
                field.name()
            ),
        )),
        None => Ok(()),
    }
}

fn holds_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::FixedSizeList(f, _)
        | DataType::Map(f, _) => holds_dictionary(f.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| holds_dictionary(f.data_type())),
        DataType::Union(fields, _) => fields.iter().any(|(_, f)| holds_dictionary(f.data_type())),
        DataType::RunEndEncoded(_, values) => holds_dictionary(values.data_type()),
        _ => false,
    }
}
