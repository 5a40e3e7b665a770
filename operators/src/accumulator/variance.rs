//! `VAR_POP`, `VAR_SAMP`, `STDDEV_POP`, `STDDEV_SAMP`: by Welford's method, merged by that of Chan, Golub and LeVeque, in doubles.
//!
//! Sums of squares would lose all digits where values are large and lie close together; means and differences don't. A result
//! of an integer type is cut off, one of a decimal type rounded.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use weir_api::error::{Error, Result};

use super::{Accumulator, Ids, fold_primitive, malformed_partial};
use crate::group::Which;

/// Which measure.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    /// One value less is divided by.
    sample: bool,
    root: bool,
}

impl Spread {
    pub(super) const VARIANCE: Self = Self { sample: false, root: false };
    pub(super) const SAMPLE_VARIANCE: Self = Self { sample: true, root: false };
    pub(super) const DEVIATION: Self = Self { sample: false, root: true };
    pub(super) const SAMPLE_DEVIATION: Self = Self { sample: true, root: true };

    pub(super) fn measure(self, moments: &Moments) -> Option<f64> {
        let divisor = moments.count - i64::from(self.sample);
        let variance = (divisor > 0).then(|| moments.squares / divisor as f64)?;
        Some(if self.root { variance.sqrt() } else { variance })
    }

    /// Measures in the type of the result.
    pub(super) fn as_type(self, measures: Float64Array, data_type: &DataType) -> Result<ArrayRef> {
        if *data_type == DataType::Float64 {
            return Ok(Arc::new(measures));
        }
        let measures = if data_type.is_integer() { measures.unary(cut_off) } else { measures };
        // What doesn't fit the type is null.
        Ok(cast_with_options(&measures, data_type, &CastOptions { safe: true, ..CastOptions::default() })?)
    }
}

/// Count, mean, and sum of squared differences from the mean.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    count: i64,
    mean: f64,
    squares: f64,
}

impl Moments {
    pub(super) fn with(self, value: f64) -> Self {
        let count = self.count + 1;
        let difference = value - self.mean;
        let mean = self.mean + difference / count as f64;
        Self { count, mean, squares: self.squares + difference * (value - mean) }
    }

    fn merged(self, other: Self) -> Self {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let count = self.count + other.count;
        let difference = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        Self {
            count,
            mean: self.mean + difference * share,
            squares: self.squares + other.squares + difference * difference * self.count as f64 * share,
        }
    }
}

impl Moments {
    /// Counts, means, and sums of squared differences.
    pub(super) fn columns(moments: &[Self]) -> Vec<ArrayRef> {
        vec![
            Arc::new(moments.iter().map(|moments| moments.count).collect::<Int64Array>()),
            Arc::new(moments.iter().map(|moments| moments.mean).collect::<Float64Array>()),
            Arc::new(moments.iter().map(|moments| moments.squares).collect::<Float64Array>()),
        ]
    }

    /// What [`Moments::columns`] gave.
    pub(super) fn from_columns(partial: &[ArrayRef]) -> Result<Vec<Self>> {
        let wanted = [&DataType::Int64, &DataType::Float64, &DataType::Float64];
        let [counts, means, squares] = partial else { return Err(malformed_partial(partial, &wanted)) };
        if [counts.data_type(), means.data_type(), squares.data_type()] != wanted {
            return Err(malformed_partial(partial, &wanted));
        }
        let counts = counts.as_primitive::<Int64Type>().values();
        let means = means.as_primitive::<Float64Type>().values();
        let squares = squares.as_primitive::<Float64Type>().values();
        let moments = counts.iter().zip(means).zip(squares);
        Ok(moments.map(|((&count, &mean), &squares)| Self { count, mean, squares }).collect())
    }
}

/// The whole number that isn't larger; a rounding error below one isn't cut off to the one before.
fn cut_off(value: f64) -> f64 {
    let nearest = value.round();
    if (value - nearest).abs() <= 1e-9 * nearest.abs().max(1.0) { nearest } else { value.trunc() }
}

/// Moments per group.
pub(super) struct Variance {
    spread: Spread,
    moments: Vec<Moments>,
}

impl Variance {
    pub(super) const fn new(spread: Spread) -> Self {
        Self { spread, moments: Vec::new() }
    }
}

impl Accumulator for Variance {
    fn resize(&mut self, groups: usize) {
        self.moments.resize(groups.max(self.moments.len()), Moments::default());
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("a variance without an argument"))?;
        let values = cast(argument, &DataType::Float64)?;
        fold_primitive(values.as_primitive::<Float64Type>(), ids, &mut self.moments, Moments::with);
        Ok(())
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        for (row, moments) in Moments::from_columns(partial)?.into_iter().enumerate() {
            let slot = &mut self.moments[ids.of(row)];
            *slot = slot.merged(moments);
        }
        Ok(())
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        Ok(Moments::columns(&groups.of(&self.moments)))
    }

    fn result(&self, groups: Which, data_type: &DataType) -> Result<ArrayRef> {
        let moments = groups.iter().map(|group| self.spread.measure(&self.moments[group]));
        self.spread.as_type(moments.collect(), data_type)
    }

    fn clear(&mut self) {
        self.moments.clear();
    }

    fn size_bytes(&self) -> usize {
        self.moments.capacity() * size_of::<Moments>()
    }
}
