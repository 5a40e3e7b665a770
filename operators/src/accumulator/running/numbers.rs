//! Running aggregates whose state has a fixed size: counts, sums, averages, variances, and picked values of fixed-width types.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Float64Array, Int64Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int64Type};
use weir_api::error::{Error, Result};
use weir_api::state::chunks::{Chunks, FrozenChunks};
use weir_proto::v1::aggregate_call::Function;

use super::super::average::Averaged;
use super::super::sum::{Summable, widened};
use super::super::variance::{Moments, Spread};
use super::super::{Ids, malformed_partial, one_column};
use super::{FrozenStates, Running, active, rows_of, run};
use crate::column::{primitive, with_integer_type};

/// One kind of state: how a row changes it and what it says.
trait Kind: Send + Sync + 'static {
    type State: Copy + Default + Send + Sync + 'static;
    /// The arguments of a batch, ready to be read by row.
    type Values;

    fn values(&self, argument: Option<&ArrayRef>) -> Result<Self::Values>;

    fn fold(state: &mut Self::State, values: &Self::Values, row: usize);

    fn results(&self, states: &[Self::State], data_type: &DataType) -> Result<ArrayRef>;

    fn partial(&self, states: &[Self::State]) -> Result<Vec<ArrayRef>>;

    fn states(&self, partial: &[ArrayRef]) -> Result<Vec<Self::State>>;
}

/// The states of all keys.
struct States<K: Kind> {
    kind: Arc<K>,
    states: Chunks<K::State>,
}

struct Frozen<K: Kind> {
    kind: Arc<K>,
    states: FrozenChunks<K::State>,
}

fn boxed<K: Kind>(kind: K) -> Box<dyn Running> {
    Box::new(States { kind: Arc::new(kind), states: Chunks::default() })
}

impl<K: Kind> Running for States<K> {
    fn resize(&mut self, keys: usize) {
        self.states.resize(keys);
    }

    fn step(
        &mut self,
        argument: Option<&ArrayRef>,
        mask: Option<&BooleanBuffer>,
        ids: Ids,
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        let values = self.kind.values(argument)?;
        let active = active(argument, mask);
        let rows = rows_of(argument, ids);
        let after =
            run(&mut self.states, rows, ids, active.as_ref(), |state, row| K::fold(state, &values, row));
        self.kind.results(&after, data_type)
    }

    fn set(&mut self, partial: &[ArrayRef], ids: &[u32]) -> Result<()> {
        for (&id, state) in ids.iter().zip(self.kind.states(partial)?) {
            *self.states.slot(id as usize) = state;
        }
        Ok(())
    }

    fn reset(&mut self, id: u32) {
        *self.states.slot(id as usize) = K::State::default();
    }

    fn freeze(&mut self) -> Box<dyn FrozenStates> {
        Box::new(Frozen { kind: Arc::clone(&self.kind), states: self.states.freeze() })
    }

    fn size_bytes(&self) -> usize {
        self.states.size_bytes()
    }
}

impl<K: Kind> FrozenStates for Frozen<K> {
    fn partial(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        self.kind.partial(&self.states.gather(ids))
    }
}

/// `COUNT`.
struct Count;

pub(super) fn create_count() -> Box<dyn Running> {
    boxed(Count)
}

impl Kind for Count {
    type State = i64;
    type Values = ();

    fn values(&self, _argument: Option<&ArrayRef>) -> Result<()> {
        Ok(())
    }

    fn fold(state: &mut i64, _values: &(), _row: usize) {
        *state += 1;
    }

    fn results(&self, states: &[i64], _data_type: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(states.to_vec())))
    }

    fn partial(&self, states: &[i64]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Int64Array::from(states.to_vec()))])
    }

    fn states(&self, partial: &[ArrayRef]) -> Result<Vec<i64>> {
        Ok(one_column(partial, &DataType::Int64)?.as_primitive::<Int64Type>().values().to_vec())
    }
}

/// A value, if there is one.
#[derive(Clone, Copy, Default)]
struct Seen<T> {
    value: T,
    seen: bool,
}

fn values_of<T: Copy>(states: &[Seen<T>]) -> Vec<T> {
    states.iter().map(|state| state.value).collect()
}

fn nulls_of<T>(states: &[Seen<T>]) -> Option<NullBuffer> {
    let all = states.iter().all(|state| state.seen);
    (!all).then(|| states.iter().map(|state| state.seen).collect())
}

/// The values of a column, null where there is none.
fn seen_of<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<Vec<Seen<T::Native>>> {
    let column = column
        .as_primitive_opt::<T>()
        .ok_or_else(|| Error::internal(format!("partial results of type {}", column.data_type())))?;
    let seen = |value: Option<T::Native>| match value {
        Some(value) => Seen { value, seen: true },
        None => Seen::default(),
    };
    Ok(column.iter().map(seen).collect())
}

/// `SUM`.
struct Sum<T> {
    kept: DataType,
    of: PhantomData<fn() -> T>,
}

/// `None` for a type that has no sum.
pub(super) fn create_sum(argument: &DataType) -> Option<Box<dyn Running>> {
    fn of<T: Summable>(kept: DataType) -> Box<dyn Running> {
        boxed(Sum::<T> { kept, of: PhantomData })
    }
    Some(match sum_type(argument)? {
        kept @ DataType::Int64 => of::<Int64Type>(kept),
        kept @ DataType::Float64 => of::<Float64Type>(kept),
        kept => of::<Decimal128Type>(kept),
    })
}

/// In which type the sum of such values is kept.
fn sum_type(argument: &DataType) -> Option<DataType> {
    Some(match argument {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        _ => return None,
    })
}

/// The argument's values in the type of their sum.
fn widened_values<T: ArrowPrimitiveType>(
    argument: Option<&ArrayRef>,
    kept: &DataType,
) -> Result<ScalarBuffer<T::Native>> {
    let mut holder = None;
    Ok(widened::<T>(argument, kept, &mut holder)?.values().clone())
}

impl<T: Summable> Kind for Sum<T> {
    type State = Seen<T::Native>;
    type Values = ScalarBuffer<T::Native>;

    fn values(&self, argument: Option<&ArrayRef>) -> Result<Self::Values> {
        widened_values::<T>(argument, &self.kept)
    }

    fn fold(state: &mut Self::State, values: &Self::Values, row: usize) {
        *state = Seen { value: T::add(state.value, values[row]), seen: true };
    }

    fn results(&self, states: &[Self::State], data_type: &DataType) -> Result<ArrayRef> {
        T::narrow(values_of(states), nulls_of(states), data_type)
    }

    fn partial(&self, states: &[Self::State]) -> Result<Vec<ArrayRef>> {
        Ok(vec![primitive::<T>(values_of(states).into(), nulls_of(states), &self.kept)])
    }

    fn states(&self, partial: &[ArrayRef]) -> Result<Vec<Self::State>> {
        seen_of::<T>(one_column(partial, &self.kept)?)
    }
}

/// `AVG`.
struct Average<T> {
    kept: DataType,
    of: PhantomData<fn() -> T>,
}

/// A sum and of how many values.
#[derive(Clone, Copy, Default)]
struct Counted<T> {
    sum: T,
    count: i64,
}

/// `None` for a type that has no average.
pub(super) fn create_average(argument: &DataType) -> Option<Box<dyn Running>> {
    fn of<T: Averaged>(kept: DataType) -> Box<dyn Running> {
        boxed(Average::<T> { kept, of: PhantomData })
    }
    Some(match sum_type(argument)? {
        kept @ DataType::Int64 => of::<Int64Type>(kept),
        kept @ DataType::Float64 => of::<Float64Type>(kept),
        kept => of::<Decimal128Type>(kept),
    })
}

impl<T: Averaged> Average<T> {
    fn split(states: &[Counted<T::Native>]) -> (Vec<T::Native>, Vec<i64>, Option<NullBuffer>) {
        let counts: Vec<i64> = states.iter().map(|state| state.count).collect();
        let nulls = counts.contains(&0).then(|| counts.iter().map(|&count| count != 0).collect());
        (states.iter().map(|state| state.sum).collect(), counts, nulls)
    }
}

impl<T: Averaged> Kind for Average<T> {
    type State = Counted<T::Native>;
    type Values = ScalarBuffer<T::Native>;

    fn values(&self, argument: Option<&ArrayRef>) -> Result<Self::Values> {
        widened_values::<T>(argument, &self.kept)
    }

    fn fold(state: &mut Self::State, values: &Self::Values, row: usize) {
        *state = Counted { sum: T::add(state.sum, values[row]), count: state.count + 1 };
    }

    fn results(&self, states: &[Self::State], data_type: &DataType) -> Result<ArrayRef> {
        let (sums, counts, nulls) = Self::split(states);
        T::divide(&sums, &counts, nulls, &self.kept, data_type)
    }

    fn partial(&self, states: &[Self::State]) -> Result<Vec<ArrayRef>> {
        let (sums, counts, nulls) = Self::split(states);
        Ok(vec![primitive::<T>(sums.into(), nulls, &self.kept), Arc::new(Int64Array::from(counts))])
    }

    fn states(&self, partial: &[ArrayRef]) -> Result<Vec<Self::State>> {
        let wanted = [&self.kept, &DataType::Int64];
        match partial {
            [sums, counts] if [sums.data_type(), counts.data_type()] == wanted => {
                let counts = counts.as_primitive::<Int64Type>().values();
                let sums = seen_of::<T>(sums)?;
                Ok(sums
                    .into_iter()
                    .zip(counts)
                    .map(|(sum, &count)| Counted { sum: sum.value, count })
                    .collect())
            }
            other => Err(malformed_partial(other, &wanted)),
        }
    }
}

/// `MIN`, `MAX`, `FIRST_VALUE` or `LAST_VALUE` of a fixed-width type. Booleans are kept as 0 and 1; floats are in total order: NaN is
/// larger than every number.
struct Pick<T, const WHICH: u8> {
    data_type: DataType,
    of: PhantomData<fn() -> T>,
}

const LEAST: u8 = 0;
const LARGEST: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 3;

/// `None` for a type that isn't of a fixed width.
pub(super) fn create_pick(function: Function, data_type: &DataType) -> Option<Box<dyn Running>> {
    fn of<T: ArrowPrimitiveType>(function: Function, data_type: DataType) -> Box<dyn Running> {
        fn which<T: ArrowPrimitiveType, const WHICH: u8>(data_type: DataType) -> Box<dyn Running> {
            boxed(Pick::<T, WHICH> { data_type, of: PhantomData })
        }
        match function {
            Function::Min => which::<T, LEAST>(data_type),
            Function::Max => which::<T, LARGEST>(data_type),
            Function::FirstValue => which::<T, FIRST>(data_type),
            _ => which::<T, LAST>(data_type),
        }
    }
    let owned = data_type.clone();
    macro_rules! integers {
        ($type:ty) => {
            of::<$type>(function, owned)
        };
    }
    Some(match data_type {
        DataType::Boolean => of::<Int8Type>(function, owned),
        DataType::Float32 => of::<Float32Type>(function, owned),
        DataType::Float64 => of::<Float64Type>(function, owned),
        DataType::Decimal128(_, _) => of::<Decimal128Type>(function, owned),
        other => with_integer_type!(other, integers, return None),
    })
}

impl<T: ArrowPrimitiveType, const WHICH: u8> Kind for Pick<T, WHICH> {
    type State = Seen<T::Native>;
    type Values = ScalarBuffer<T::Native>;

    fn values(&self, argument: Option<&ArrayRef>) -> Result<Self::Values> {
        let argument = argument.ok_or_else(|| Error::internal("a picked value without an argument"))?;
        let converted;
        let column = if self.data_type == DataType::Boolean {
            converted = cast(argument, &T::DATA_TYPE)?;
            &converted
        } else {
            argument
        };
        let values = column.as_primitive_opt::<T>().map(|values| values.values().clone());
        values
            .ok_or_else(|| Error::internal(format!("{} is picked of {}", self.data_type, column.data_type())))
    }

    fn fold(state: &mut Self::State, values: &Self::Values, row: usize) {
        let value = values[row];
        let better = !state.seen
            || match WHICH {
                LEAST => value.is_lt(state.value),
                LARGEST => value.is_gt(state.value),
                FIRST => false,
                _ => true,
            };
        if better {
            *state = Seen { value, seen: true };
        }
    }

    fn results(&self, states: &[Self::State], data_type: &DataType) -> Result<ArrayRef> {
        let (values, nulls) = (values_of(states).into(), nulls_of(states));
        if *data_type == DataType::Boolean {
            return Ok(cast(&primitive::<T>(values, nulls, &T::DATA_TYPE), data_type)?);
        }
        Ok(primitive::<T>(values, nulls, data_type))
    }

    fn partial(&self, states: &[Self::State]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.results(states, &self.data_type)?])
    }

    fn states(&self, partial: &[ArrayRef]) -> Result<Vec<Self::State>> {
        let column = one_column(partial, &self.data_type)?;
        if self.data_type == DataType::Boolean {
            return seen_of::<T>(&cast(column, &T::DATA_TYPE)?);
        }
        seen_of::<T>(column)
    }
}

/// Variances and deviations.
struct Variance(Spread);

pub(super) fn create_variance(function: Function) -> Box<dyn Running> {
    boxed(Variance(match function {
        Function::VarPop => Spread::VARIANCE,
        Function::VarSamp => Spread::SAMPLE_VARIANCE,
        Function::StddevPop => Spread::DEVIATION,
        _ => Spread::SAMPLE_DEVIATION,
    }))
}

impl Kind for Variance {
    type State = Moments;
    type Values = ScalarBuffer<f64>;

    fn values(&self, argument: Option<&ArrayRef>) -> Result<Self::Values> {
        let argument = argument.ok_or_else(|| Error::internal("a variance without an argument"))?;
        Ok(cast(argument, &DataType::Float64)?.as_primitive::<Float64Type>().values().clone())
    }

    fn fold(state: &mut Moments, values: &Self::Values, row: usize) {
        *state = state.with(values[row]);
    }

    fn results(&self, states: &[Moments], data_type: &DataType) -> Result<ArrayRef> {
        let measures: Float64Array = states.iter().map(|moments| self.0.measure(moments)).collect();
        self.0.as_type(measures, data_type)
    }

    fn partial(&self, states: &[Moments]) -> Result<Vec<ArrayRef>> {
        Ok(Moments::columns(states))
    }

    fn states(&self, partial: &[ArrayRef]) -> Result<Vec<Moments>> {
        Moments::from_columns(partial)
    }
}
