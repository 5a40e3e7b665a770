//! Flink's result types of arithmetic with decimals, and how Arrow's kernels are brought to compute them.
//!
//! Decides precision and scale as Flink's `LogicalTypeMerging` does (itself after SQL Server); Arrow's differ in division and
//! in how an integer becomes a decimal. Knows no plans.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Operator;

/// The most digits of a decimal.
const MAX_PRECISION: i32 = 38;
/// The digits after the point that are kept when a result has too many digits.
const MIN_ADJUSTED_SCALE: i32 = 6;

/// Precision and scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decimal {
    /// All digits.
    pub precision: i32,
    /// The digits after the point.
    pub scale: i32,
}

impl Decimal {
    const fn new(precision: i32, scale: i32) -> Self {
        Self { precision, scale }
    }

    /// The decimal that an exact number takes part in arithmetic as; `None` for every other type.
    pub const fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8 => Self::new(3, 0),
            DataType::Int16 => Self::new(5, 0),
            DataType::Int32 => Self::new(10, 0),
            DataType::Int64 => Self::new(19, 0),
            DataType::Decimal128(precision, scale) => Self::new(*precision as i32, *scale as i32),
            _ => return None,
        })
    }

    /// The Arrow type.
    pub const fn data_type(self) -> DataType {
        DataType::Decimal128(self.precision as u8, self.scale as i8)
    }

    /// Flink's `adjustPrecisionScale`: what doesn't fit 38 digits loses digits after the point, down to six.
    const fn adjusted(self) -> Self {
        if self.precision <= MAX_PRECISION {
            return self;
        }
        let before_point = self.precision - self.scale;
        let least = min(self.scale, MIN_ADJUSTED_SCALE);
        Self::new(MAX_PRECISION, max(MAX_PRECISION - before_point, least))
    }
}

/// What `left operator right` is in Flink; `None` for operators other than arithmetic.
pub(super) const fn result(left: Decimal, operator: Operator, right: Decimal) -> Option<Decimal> {
    let scale = max(left.scale, right.scale);
    let (left_before, right_before) = (left.precision - left.scale, right.precision - right.scale);
    let raw = match operator {
        Operator::Plus | Operator::Minus => Decimal::new(max(left_before, right_before) + scale + 1, scale),
        Operator::Multiply => Decimal::new(left.precision + right.precision, left.scale + right.scale),
        Operator::Divide => {
            let scale = max(MIN_ADJUSTED_SCALE, left.scale + right.precision + 1);
            Decimal::new(left_before + right.scale + scale, scale)
        }
        Operator::Modulo => return Some(Decimal::new(min(left_before, right_before) + scale, scale)),
        _ => return None,
    };
    Some(raw.adjusted())
}

/// The type that the dividend is cast to so that Arrow's division, which adds four digits to the dividend's scale and cuts the
/// rest off, yields one digit more than `quotient` has: the cast to `quotient` then rounds half up, as Flink does.
pub(super) const fn dividend(quotient: Decimal) -> Decimal {
    Decimal::new(MAX_PRECISION, max(quotient.scale - 3, 0))
}

const fn max(a: i32, b: i32) -> i32 {
    if a > b { a } else { b }
}

const fn min(a: i32, b: i32) -> i32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_has_flinks_types() {
        let price = Decimal::new(19, 0);
        assert_eq!(Decimal::of(&DataType::Int64), Some(price));
        let rate = Decimal::new(4, 3);
        // Nexmark q1: 0.908 * BIGINT is the DECIMAL(23, 3) of its sink.
        assert_eq!(result(rate, Operator::Multiply, price), Some(Decimal::new(23, 3)));
        let money = Decimal::new(10, 2);
        assert_eq!(result(money, Operator::Plus, money), Some(Decimal::new(11, 2)));
        assert_eq!(result(money, Operator::Divide, money), Some(Decimal::new(23, 13)));
        assert_eq!(result(money, Operator::Modulo, rate), Some(Decimal::new(4, 3)));
        assert_eq!(result(money, Operator::And, rate), None);
    }

    #[test]
    fn what_has_too_many_digits_keeps_six_after_the_point() {
        let wide = Decimal::new(38, 18);
        assert_eq!(result(wide, Operator::Multiply, wide), Some(Decimal::new(38, 6)));
        assert_eq!(result(wide, Operator::Plus, wide), Some(Decimal::new(38, 17)));
        let whole = Decimal::new(38, 2);
        assert_eq!(result(whole, Operator::Multiply, whole), Some(Decimal::new(38, 4)));
    }
}
