//! One value column: fixed-width values as words, others encoded in an arena.
//!
//! Invariant: a row's value is what was written last, null if nothing was. Knows nothing of keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, make_array, new_empty_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, SortField};
use weir_api::error::{Code, Error, Result};
use weir_api::state::backend::{ABSENT, Fold};
use weir_api::state::chunks::{Chunks, FrozenChunks};

use super::arena::{Arena, FrozenArena, NOWHERE};
use super::bits::{Bits, FrozenBits};
use super::fold::{fold_wide, fold_word};

/// See the module.
#[derive(Debug)]
pub(crate) struct Column {
    data_type: DataType,
    valid: Bits,
    store: Store,
}

#[derive(Debug)]
enum Store {
    /// Up to 8 bytes, without sign extension; booleans as 0 and 1.
    Words(Chunks<u64>),
    /// 16 bytes.
    Wide(Chunks<u128>),
    Encoded {
        converter: Arc<RowConverter>,
        slots: Chunks<u64>,
        arena: Arena,
    },
}

/// How many bytes a fixed-width value has; 0 for booleans.
fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean => Some(0),
        other => other.primitive_width().filter(|width| *width <= 16),
    }
}

impl Column {
    pub(crate) fn new(field: &Field) -> Result<Self> {
        let data_type = field.data_type().clone();
        let store = match width(&data_type) {
            Some(16) => Store::Wide(Chunks::default()),
            Some(_) => Store::Words(Chunks::default()),
            None => {
                let fields = vec![SortField::new(data_type.clone())];
                if !RowConverter::supports_fields(&fields) {
                    let message =
                        format!("the column '{}' of type {data_type} can't be kept in state", field.name());
                    return Err(Error::new(Code::Unsupported, message));
                }
                let converter = Arc::new(RowConverter::new(fields)?);
                Store::Encoded { converter, slots: Chunks::default(), arena: Arena::default() }
            }
        };
        Ok(Self { data_type, valid: Bits::default(), store })
    }

    /// Makes room for rows `0..rows`, new ones null.
    pub(crate) fn resize(&mut self, rows: usize) {
        self.valid.resize(rows);
        match &mut self.store {
            Store::Words(values) => values.resize(rows),
            Store::Wide(values) => values.resize(rows),
            Store::Encoded { slots, .. } => {
                let before = slots.len();
                slots.resize(rows);
                (before..rows).for_each(|row| *slots.slot(row) = NOWHERE);
            }
        }
    }

    /// Whether values of this type can be folded.
    pub(crate) fn check_fold(field: &Field, fold: Fold) -> Result<()> {
        let known = match width(field.data_type()) {
            _ if fold == Fold::Last => true,
            Some(16) => fold_wide(field.data_type(), fold).is_some(),
            Some(_) => fold_word(field.data_type(), fold).is_some(),
            None => false,
        };
        if known {
            return Ok(());
        }
        let message =
            format!("{fold:?} of '{}' of type {} can't be kept as a fold", field.name(), field.data_type());
        Err(Error::new(Code::Unsupported, message))
    }

    /// Overwrites rows; one that comes twice has the later value.
    pub(crate) fn write(&mut self, rows: &[u32], values: &ArrayRef) -> Result<()> {
        self.check(values)?;
        let nulls = values.logical_nulls();
        for (at, &row) in rows.iter().enumerate() {
            self.valid.set(row, nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at)));
        }
        match &mut self.store {
            Store::Words(slots) => {
                words(values).into_iter().zip(rows).for_each(|(word, &row)| *slots.slot(row as usize) = word);
            }
            Store::Wide(slots) => {
                wide(values)
                    .into_iter()
                    .zip(rows)
                    .for_each(|(value, &row)| *slots.slot(row as usize) = value);
            }
            Store::Encoded { converter, slots, arena } => {
                let encoded = converter.convert_columns(std::slice::from_ref(values))?;
                for (value, &row) in encoded.iter().zip(rows) {
                    let slot = slots.slot(row as usize);
                    arena.release(*slot);
                    *slot = arena.append(row, value.data());
                }
            }
        }
        Ok(())
    }

    /// Folds values into rows, in order; nulls change nothing.
    pub(crate) fn fold(&mut self, rows: &[u32], values: &ArrayRef, fold: Fold) -> Result<()> {
        self.check(values)?;
        let nulls = values.logical_nulls();
        let valid: Vec<u32> = (0..rows.len() as u32)
            .filter(|&at| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at as usize)))
            .collect();
        if fold == Fold::Last {
            let values = arrow::compute::take(values, &arrow::array::UInt32Array::from(valid.clone()), None)?;
            let rows: Vec<u32> = valid.iter().map(|&at| rows[at as usize]).collect();
            return self.write(&rows, &values);
        }
        let unknown = || Error::internal(format!("{fold:?} of {}", self.data_type));
        match &mut self.store {
            Store::Words(slots) => {
                let function = fold_word(&self.data_type, fold).ok_or_else(unknown)?;
                let words = words(values);
                for at in valid {
                    let (row, word) = (rows[at as usize], words[at as usize]);
                    let slot = slots.slot(row as usize);
                    *slot = if self.valid.get(row) { function(*slot, word) } else { word };
                    self.valid.set(row, true);
                }
            }
            Store::Wide(slots) => {
                let function = fold_wide(&self.data_type, fold).ok_or_else(unknown)?;
                let values = wide(values);
                for at in valid {
                    let (row, value) = (rows[at as usize], values[at as usize]);
                    let slot = slots.slot(row as usize);
                    *slot = if self.valid.get(row) { function(*slot, value) } else { value };
                    self.valid.set(row, true);
                }
            }
            Store::Encoded { .. } => return Err(unknown()),
        }
        Ok(())
    }

    fn check(&self, values: &ArrayRef) -> Result<()> {
        if *values.data_type() == self.data_type {
            return Ok(());
        }
        Err(Error::internal(format!(
            "{} is written to a column of state of {}",
            values.data_type(),
            self.data_type
        )))
    }

    /// Makes a row null.
    pub(crate) fn release(&mut self, row: u32) {
        self.valid.set(row, false);
        if let Store::Encoded { slots, arena, .. } = &mut self.store {
            arena.release(std::mem::replace(slots.slot(row as usize), NOWHERE));
        }
    }

    pub(crate) fn read(&self, rows: &[u32]) -> Result<ArrayRef> {
        let valid = |row: u32| row != ABSENT && self.valid.get(row);
        match &self.store {
            Store::Words(values) => {
                build(&self.data_type, rows, valid, |row| values.get(row as usize).into())
            }
            Store::Wide(values) => build(&self.data_type, rows, valid, |row| values.get(row as usize)),
            Store::Encoded { converter, slots, arena } => {
                decode(&self.data_type, converter, rows, valid, |row| arena.get(slots.get(row as usize)))
            }
        }
    }

    /// Gives memory back, some at a time.
    pub(crate) fn tidy(&mut self) {
        self.valid.settle();
        match &mut self.store {
            Store::Words(values) => values.settle(),
            Store::Wide(values) => values.settle(),
            Store::Encoded { slots, arena, .. } => {
                slots.settle();
                arena.tidy(
                    slots,
                    |slots, row| slots.get(row as usize),
                    |slots, row, next| *slots.slot(row as usize) = next,
                );
            }
        }
    }

    pub(crate) fn freeze(&mut self) -> FrozenColumn {
        let store = match &mut self.store {
            Store::Words(values) => FrozenStore::Words(values.freeze()),
            Store::Wide(values) => FrozenStore::Wide(values.freeze()),
            Store::Encoded { converter, slots, arena } => FrozenStore::Encoded {
                converter: Arc::clone(converter),
                slots: slots.freeze(),
                arena: arena.freeze(),
            },
        };
        FrozenColumn { data_type: self.data_type.clone(), valid: self.valid.freeze(), store }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.valid.size_bytes()
            + match &self.store {
                Store::Words(values) => values.size_bytes(),
                Store::Wide(values) => values.size_bytes(),
                Store::Encoded { slots, arena, .. } => slots.size_bytes() + arena.size_bytes(),
            }
    }
}

/// A column as it was at a freeze.
#[derive(Debug)]
pub(crate) struct FrozenColumn {
    data_type: DataType,
    valid: FrozenBits,
    store: FrozenStore,
}

#[derive(Debug)]
enum FrozenStore {
    Words(FrozenChunks<u64>),
    Wide(FrozenChunks<u128>),
    Encoded { converter: Arc<RowConverter>, slots: FrozenChunks<u64>, arena: FrozenArena },
}

impl FrozenColumn {
    pub(crate) fn read(&self, rows: &[u32]) -> Result<ArrayRef> {
        let valid = |row: u32| self.valid.get(row);
        match &self.store {
            FrozenStore::Words(values) => {
                build(&self.data_type, rows, valid, |row| values.get(row as usize).into())
            }
            FrozenStore::Wide(values) => build(&self.data_type, rows, valid, |row| values.get(row as usize)),
            FrozenStore::Encoded { converter, slots, arena } => {
                decode(&self.data_type, converter, rows, valid, |row| arena.get(slots.get(row as usize)))
            }
        }
    }
}

/// The values as words without sign extension.
fn words(values: &ArrayRef) -> Vec<u64> {
    if let Some(values) = values.as_boolean_opt() {
        return values.values().iter().map(u64::from).collect();
    }
    let data = values.to_data();
    let width = width(values.data_type()).unwrap_or(8).max(1);
    let Some(buffer) = data.buffers().first() else { return Vec::new() };
    let bytes = &buffer.as_slice()[data.offset() * width..(data.offset() + data.len()) * width];
    let word = |value: &[u8]| {
        let mut word = [0; 8];
        word[..width].copy_from_slice(value);
        u64::from_le_bytes(word)
    };
    bytes.chunks_exact(width).map(word).collect()
}

fn wide(values: &ArrayRef) -> Vec<u128> {
    let data = values.to_data();
    let Some(buffer) = data.buffers().first() else { return Vec::new() };
    let bytes = &buffer.as_slice()[data.offset() * 16..(data.offset() + data.len()) * 16];
    bytes.chunks_exact(16).filter_map(|value| value.try_into().ok()).map(u128::from_le_bytes).collect()
}

fn nulls_of(rows: &[u32], valid: impl Fn(u32) -> bool) -> Option<NullBuffer> {
    let nulls: NullBuffer = rows.iter().map(|&row| valid(row)).collect();
    (nulls.null_count() > 0).then_some(nulls)
}

fn build(
    data_type: &DataType,
    rows: &[u32],
    valid: impl Fn(u32) -> bool,
    value: impl Fn(u32) -> u128,
) -> Result<ArrayRef> {
    let nulls = nulls_of(rows, &valid);
    let value = |row: u32| if valid(row) { value(row) } else { 0 };
    if *data_type == DataType::Boolean {
        return Ok(Arc::new(BooleanArray::new(rows.iter().map(|&row| value(row) != 0).collect(), nulls)));
    }
    let width = width(data_type).ok_or_else(|| Error::internal(format!("{data_type} has no fixed width")))?;
    let mut bytes = Vec::with_capacity(rows.len() * width);
    rows.iter().for_each(|&row| bytes.extend_from_slice(&value(row).to_le_bytes()[..width]));
    let data = ArrayData::builder(data_type.clone())
        .len(rows.len())
        .add_buffer(Buffer::from_vec(bytes))
        .align_buffers(true)
        .nulls(nulls);
    Ok(make_array(data.build()?))
}

fn decode<'a>(
    data_type: &DataType,
    converter: &RowConverter,
    rows: &[u32],
    valid: impl Fn(u32) -> bool,
    value: impl Fn(u32) -> &'a [u8],
) -> Result<ArrayRef> {
    if rows.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let null = converter.convert_columns(&[arrow::array::new_null_array(data_type, 1)])?;
    let parser = converter.parser();
    let value = |&row: &u32| parser.parse(if valid(row) { value(row) } else { null.row(0).data() });
    let mut columns = converter.convert_rows(rows.iter().map(value))?;
    columns.pop().ok_or_else(|| Error::internal("a column of state decodes to nothing"))
}
