//! The growing buffers behind the columns of decoders.
//!
//! Knows no JSON and no types of a table; what a row means is the column's business.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, FixedSizeBinaryArray, NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType};
use weir_api::error::Result;

/// Values of one width.
pub struct Fixed<T> {
    /// The values; anything where null.
    pub values: Vec<T>,
    /// Which are null.
    pub nulls: NullBufferBuilder,
}

impl<T: ArrowNativeType> Fixed<T> {
    /// Empty, with room for `rows` rows.
    pub fn new(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), nulls: NullBufferBuilder::new(rows) }
    }

    /// Adds a value.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    /// Cuts back to `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    /// Takes the rows out.
    pub fn finish<P: ArrowPrimitiveType<Native = T>>(&mut self) -> PrimitiveArray<P> {
        let rows = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(rows));
        PrimitiveArray::new(ScalarBuffer::from(values), self.nulls.finish())
    }
}

/// Values of any length.
pub struct Varied {
    /// Where each row ends, after a 0.
    pub offsets: Vec<i32>,
    /// The bytes of all rows.
    pub bytes: Vec<u8>,
    /// Which are null.
    pub nulls: NullBufferBuilder,
}

impl Varied {
    /// Empty, with room for `rows` rows.
    pub fn new(rows: usize) -> Self {
        Self { offsets: first_offset(rows), bytes: Vec::new(), nulls: NullBufferBuilder::new(rows) }
    }

    /// Ends the row.
    #[inline]
    pub fn end(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.nulls.append_non_null();
    }

    /// Cuts back to `rows` rows, and to what belongs to them, even in the midst of one.
    pub fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.nulls.truncate(rows);
        self.bytes.truncate(self.offsets.last().map_or(0, |offset| *offset as usize));
    }

    /// Takes the rows out as texts, which they must be.
    pub fn texts(&mut self) -> Result<ArrayRef> {
        let (offsets, bytes, nulls) = self.finish();
        Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls)?))
    }

    /// Takes the rows out as bytes.
    pub fn binaries(&mut self) -> Result<ArrayRef> {
        let (offsets, bytes, nulls) = self.finish();
        Ok(Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?))
    }

    /// Takes the rows out as bytes, of which each row has so many.
    pub fn fixed_binaries(&mut self, length: usize) -> Result<ArrayRef> {
        let (_, bytes, nulls) = self.finish();
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        Ok(Arc::new(FixedSizeBinaryArray::try_new(length, bytes, nulls)?))
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let (rows, bytes) = (self.offsets.len(), self.bytes.len());
        let offsets = std::mem::replace(&mut self.offsets, first_offset(rows));
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(bytes));
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes), self.nulls.finish())
    }
}

fn first_offset(rows: usize) -> Vec<i32> {
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    offsets
}

/// Rows of items.
pub struct Items<C> {
    /// Where each row ends, after a 0.
    pub offsets: Vec<i32>,
    /// Which are null.
    pub nulls: NullBufferBuilder,
    /// The items of all rows.
    pub items: C,
}

impl<C> Items<C> {
    /// Empty, with room for `rows` rows.
    pub fn new(rows: usize, items: C) -> Self {
        Self { offsets: first_offset(rows), nulls: NullBufferBuilder::new(rows), items }
    }

    /// Ends the row.
    pub fn end(&mut self, items: usize) {
        self.offsets.push(items as i32);
        self.nulls.append_non_null();
    }

    /// Items before the next row.
    pub fn last(&self) -> usize {
        self.offsets.last().map_or(0, |offset| *offset as usize)
    }

    /// Takes the rows out.
    pub fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let rows = self.offsets.len();
        let offsets = std::mem::replace(&mut self.offsets, first_offset(rows));
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), self.nulls.finish())
    }
}
