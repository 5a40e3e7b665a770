//! What needs all values of a group: `ARRAY_AGG`, `LISTAGG`, `JSON_ARRAYAGG`, `JSON_OBJECTAGG`, `PERCENTILE`.
//!
//! Values are kept in the order of arrival, with the group of each; results are made of them at the end. Chunks of like size are
//! joined, so that there are few and each value is copied a few times. Invariant: an accumulator holds at most [`MAX_BYTES`],
//! which Arrow's offsets can address; more is an error that says so.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListArray, StringBuilder, UInt32Array, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat, filter, interleave, is_not_null, take};
use arrow::datatypes::{DataType, Field, Float64Type, UInt32Type};
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::literal::Value;

use super::ordered::Ordered;
use super::{Accumulator, Ids, Options, one_column};
use crate::group::Which;

/// The most bytes of values that one window, or slice of one, may collect.
const MAX_BYTES: usize = 1 << 30;

/// What is made of a group's values.
pub(super) enum Shape {
    Array,
    Joined { separator: String },
    JsonArray,
    JsonObject,
    Percentiles { percentages: Vec<f64>, array: bool },
}

impl Shape {
    pub(super) fn new(function: Function, options: &Options) -> Result<Self> {
        let malformed = || {
            Error::new(Code::MalformedMessage, format!("{} with other parameters", function.as_str_name()))
        };
        let values = || options.parameters.iter().map(|parameter| parameter.value.as_ref());
        Ok(match function {
            Function::ArrayAgg => Self::Array,
            Function::JsonArrayagg => Self::JsonArray,
            Function::JsonObjectagg => Self::JsonObject,
            Function::Listagg => match values().next() {
                None => Self::Joined { separator: ",".to_owned() },
                Some(Some(Value::String(separator))) => Self::Joined { separator: separator.clone() },
                Some(_) => return Err(malformed()),
            },
            Function::Percentile | Function::Percentiles => {
                let percentages = values()
                    .map(|value| match value {
                        Some(Value::Float(percentage)) if (0.0..=1.0).contains(percentage) => Ok(*percentage),
                        _ => Err(malformed()),
                    })
                    .collect::<Result<Vec<_>>>()?;
                let array = function == Function::Percentiles;
                if !array && percentages.len() != 1 {
                    return Err(malformed());
                }
                Self::Percentiles { percentages, array }
            }
            _ => return Err(malformed()),
        })
    }
}

struct Chunk {
    values: ArrayRef,
    groups: Vec<u32>,
}

/// All values per group.
pub(super) struct List {
    data_type: DataType,
    shape: Shape,
    keeps_nulls: bool,
    chunks: Vec<Chunk>,
    groups: usize,
    bytes: usize,
    /// Made when results are read.
    ordered: OnceLock<Ordered<(u32, u32)>>,
}

impl List {
    pub(super) const fn new(data_type: DataType, shape: Shape, options: &Options) -> Self {
        Self {
            data_type,
            shape,
            keeps_nulls: options.keeps_nulls,
            chunks: Vec::new(),
            groups: 0,
            bytes: 0,
            ordered: OnceLock::new(),
        }
    }

    /// Keeps values that nobody else holds.
    fn keep(&mut self, values: ArrayRef, groups: Vec<u32>) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        self.ordered.take();
        self.bytes += values.get_array_memory_size();
        if self.bytes > MAX_BYTES {
            let message = format!(
                "an aggregate that collects values holds over {} MiB in one window; use smaller windows, filter its rows, or \
                 aggregate something smaller",
                MAX_BYTES >> 20
            );
            return Err(Error::new(Code::StateLimit, message));
        }
        self.chunks.push(Chunk { values, groups });
        while let [.., before, last] = self.chunks.as_slice()
            && before.groups.len() < 2 * last.groups.len()
        {
            let values = concat(&[before.values.as_ref(), last.values.as_ref()])?;
            let sizes = before.values.get_array_memory_size() + last.values.get_array_memory_size();
            self.bytes = (self.bytes + values.get_array_memory_size()).saturating_sub(sizes);
            let groups = self.chunks.pop().map_or_else(Vec::new, |chunk| chunk.groups);
            if let Some(before) = self.chunks.last_mut() {
                before.values = values;
                before.groups.extend(groups);
            }
        }
        Ok(())
    }

    fn ordered(&self) -> &Ordered<(u32, u32)> {
        self.ordered.get_or_init(|| {
            let rows = self.chunks.iter().enumerate().flat_map(|(chunk, Chunk { groups, .. })| {
                groups.iter().enumerate().map(move |(row, &group)| (group, (chunk as u32, row as u32)))
            });
            Ordered::new(self.groups, rows)
        })
    }

    /// The values of a range of groups, group by group.
    fn values(&self, groups: Which) -> Result<(ArrayRef, OffsetBuffer<i32>)> {
        let ordered = self.ordered();
        let places: Vec<(usize, usize)> =
            ordered.rows(groups).iter().map(|&(chunk, row)| (chunk as usize, row as usize)).collect();
        let values = if places.is_empty() {
            new_empty_array(&self.data_type)
        } else {
            let chunks: Vec<&dyn Array> = self.chunks.iter().map(|chunk| chunk.values.as_ref()).collect();
            interleave(&chunks, &places)?
        };
        Ok((values, OffsetBuffer::from_lengths(ordered.lengths(groups))))
    }

    fn lists(&self, groups: Which, field: &Arc<Field>) -> Result<ArrayRef> {
        let (values, offsets) = self.values(groups)?;
        let nulls: NullBuffer = offsets.lengths().map(|length| length > 0).collect();
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls)?))
    }

    /// Texts joined; `None` for groups without any, where there is no frame.
    fn joined(&self, groups: Which, separator: &str, frame: Option<[&str; 2]>) -> Result<ArrayRef> {
        let (values, offsets) = self.values(groups)?;
        let values = values.as_string_opt::<i32>().ok_or_else(|| Error::internal("texts of another type"))?;
        let ends = frame.map_or(0, |[start, end]| start.len() + end.len());
        let bytes = values.value_data().len() + values.len() * separator.len() + ends * groups.len();
        if bytes > i32::MAX as usize {
            let message = format!("{} results of an aggregate are over 2 GiB together", groups.len());
            return Err(Error::new(Code::StateLimit, message));
        }
        let [start, end] = frame.unwrap_or(["", ""]);
        let mut out = StringBuilder::with_capacity(groups.len(), bytes);
        let mut text = String::new();
        for range in offsets.windows(2).map(|pair| pair[0] as usize..pair[1] as usize) {
            if range.is_empty() && frame.is_none() {
                out.append_null();
                continue;
            }
            text.clear();
            text.push_str(start);
            for row in range.clone() {
                if row > range.start {
                    text.push_str(separator);
                }
                text.push_str(values.value(row));
            }
            text.push_str(end);
            out.append_value(&text);
        }
        Ok(Arc::new(out.finish()))
    }

    /// A key that comes twice, or is null, has no place in an object.
    fn check_keys(&self, groups: Which) -> Result<()> {
        let (values, offsets) = self.values(groups)?;
        let values =
            values.as_string_opt::<i32>().ok_or_else(|| Error::internal("members of another type"))?;
        let mut keys: HashSet<&str> = HashSet::new();
        for pair in offsets.windows(2) {
            keys.clear();
            for row in pair[0] as usize..pair[1] as usize {
                let member = values.value(row);
                if !member.starts_with('"') {
                    return Err(Error::new(
                        Code::Evaluation,
                        "JSON_OBJECTAGG got a NULL key; leave such rows out with FILTER (WHERE key IS NOT NULL)",
                    ));
                }
                let key = key_of(member);
                if !keys.insert(key) {
                    return Err(Error::new(
                        Code::Evaluation,
                        format!("JSON_OBJECTAGG got the key {key} twice; keys of one object must differ"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn percentiles(&self, groups: Which, percentages: &[f64], array: bool) -> Result<ArrayRef> {
        let (values, offsets) = self.values(groups)?;
        let mut sorted = values.as_primitive::<Float64Type>().values().to_vec();
        let mut results: Vec<Option<f64>> = Vec::with_capacity(groups.len() * percentages.len());
        for pair in offsets.windows(2) {
            let group = &mut sorted[pair[0] as usize..pair[1] as usize];
            group.sort_unstable_by(f64::total_cmp);
            if array && group.is_empty() {
                continue;
            }
            results.extend(percentages.iter().map(|percentage| percentile(group, *percentage)));
        }
        let results = Float64Array::from(results);
        if !array {
            return Ok(Arc::new(results));
        }
        let lengths = offsets.lengths().map(|length| if length > 0 { percentages.len() } else { 0 });
        let nulls: NullBuffer = offsets.lengths().map(|length| length > 0).collect();
        let field = Arc::new(Field::new_list_field(DataType::Float64, true));
        Ok(Arc::new(ListArray::try_new(
            field,
            OffsetBuffer::from_lengths(lengths),
            Arc::new(results),
            Some(nulls),
        )?))
    }
}

/// The JSON string with which a member starts.
fn key_of(member: &str) -> &str {
    let mut escaped = false;
    let end = member.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.and_then(|end| member.get(..end + 2)).unwrap_or(member)
}

/// Between the two values around the place, in proportion.
fn percentile(sorted: &[f64], percentage: f64) -> Option<f64> {
    let place = percentage * sorted.len().checked_sub(1)? as f64;
    let low = *sorted.get(place.floor() as usize)?;
    let high = *sorted.get(place.ceil() as usize)?;
    Some(if low == high { low } else { low + (high - low) * place.fract() })
}

impl Accumulator for List {
    fn resize(&mut self, groups: usize) {
        if groups > self.groups {
            self.groups = groups;
            self.ordered.take();
        }
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("values without an argument"))?;
        let groups = match ids {
            Ids::One { rows } => vec![0; rows],
            Ids::Each(ids) => ids.to_vec(),
        };
        if self.keeps_nulls || argument.logical_null_count() == 0 {
            // A copy: a slice would keep its whole batch alive.
            let rows = UInt32Array::from_iter_values(0..argument.len() as u32);
            return self.keep(take(argument, &rows, None)?, groups);
        }
        let valid = is_not_null(argument)?;
        let groups = filter(&UInt32Array::from(groups), &valid)?;
        self.keep(filter(argument, &valid)?, groups.as_primitive::<UInt32Type>().values().to_vec())
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        let wanted = DataType::new_list(self.data_type.clone(), true);
        let lists = one_column(partial, &wanted)?.as_list::<i32>();
        let (mut rows, mut groups) = (Vec::new(), Vec::new());
        for (row, pair) in lists.value_offsets().windows(2).enumerate() {
            if lists.is_valid(row) {
                rows.extend(pair[0] as u32..pair[1] as u32);
                groups.resize(rows.len(), ids.of(row) as u32);
            }
        }
        self.keep(take(lists.values(), &UInt32Array::from(rows), None)?, groups)
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        let field = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        Ok(vec![self.lists(groups, &field)?])
    }

    fn result(&self, groups: Which, data_type: &DataType) -> Result<ArrayRef> {
        match &self.shape {
            Shape::Array => match data_type {
                DataType::List(field) => self.lists(groups, field),
                other => Err(Error::internal(format!("ARRAY_AGG as {other}"))),
            },
            Shape::Joined { separator } => self.joined(groups, separator, None),
            Shape::JsonArray => self.joined(groups, ",", Some(["[", "]"])),
            Shape::JsonObject => {
                self.check_keys(groups)?;
                self.joined(groups, ",", Some(["{", "}"]))
            }
            Shape::Percentiles { percentages, array } => self.percentiles(groups, percentages, *array),
        }
    }

    fn clear(&mut self) {
        self.chunks.clear();
        self.ordered.take();
        self.groups = 0;
        self.bytes = 0;
    }

    fn size_bytes(&self) -> usize {
        let groups: usize = self.chunks.iter().map(|chunk| chunk.groups.capacity() * size_of::<u32>()).sum();
        self.bytes + groups + self.ordered.get().map_or(0, Ordered::size_bytes)
    }
}
