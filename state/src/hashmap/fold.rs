//! How fixed-width values are folded, on their bits.

use arrow::datatypes::DataType;
use weir_api::state::backend::Fold;

fn of_signed<const BITS: u32>(fold: Fold) -> Option<fn(u64, u64) -> u64> {
    const fn signed<const BITS: u32>(word: u64) -> i64 {
        (word << (64 - BITS)) as i64 >> (64 - BITS)
    }
    Some(match fold {
        Fold::Min => |a, b| if signed::<BITS>(b) < signed::<BITS>(a) { b } else { a },
        Fold::Max => |a, b| if signed::<BITS>(b) > signed::<BITS>(a) { b } else { a },
        Fold::Sum | Fold::Last => return None,
    })
}

/// The function on words without sign extension; `None` if there is none.
pub(crate) fn fold_word(data_type: &DataType, fold: Fold) -> Option<fn(u64, u64) -> u64> {
    match (data_type, fold) {
        (DataType::Int64, Fold::Sum) => Some(u64::wrapping_add),
        (DataType::Float64, Fold::Sum) => Some(|a, b| (f64::from_bits(a) + f64::from_bits(b)).to_bits()),
        (DataType::Float64, Fold::Min) => {
            Some(|a, b| if f64::from_bits(b).total_cmp(&f64::from_bits(a)).is_lt() { b } else { a })
        }
        (DataType::Float64, Fold::Max) => {
            Some(|a, b| if f64::from_bits(b).total_cmp(&f64::from_bits(a)).is_gt() { b } else { a })
        }
        (DataType::Int8, _) => of_signed::<8>(fold),
        (DataType::Int16, _) => of_signed::<16>(fold),
        (DataType::Int32 | DataType::Date32 | DataType::Time32(_), _) => of_signed::<32>(fold),
        (
            DataType::Int64
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Timestamp(_, _)
            | DataType::Duration(_),
            _,
        ) => of_signed::<64>(fold),
        _ => None,
    }
}

/// The function on the bits of 128-bit decimals; `None` if there is none.
pub(crate) fn fold_wide(data_type: &DataType, fold: Fold) -> Option<fn(u128, u128) -> u128> {
    match (data_type, fold) {
        (DataType::Decimal128(_, _), Fold::Sum) => Some(u128::wrapping_add),
        (DataType::Decimal128(_, _), Fold::Min) => Some(|a, b| if (b as i128) < a as i128 { b } else { a }),
        (DataType::Decimal128(_, _), Fold::Max) => Some(|a, b| if b as i128 > a as i128 { b } else { a }),
        _ => None,
    }
}
