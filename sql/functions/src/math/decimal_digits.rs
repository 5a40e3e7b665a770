//! Cuts a DOUBLE at a decimal place as if it were written in decimal: 1.005 rounds to 1.01, though the nearest DOUBLE lies below.
//!
//! Binary arithmetic decides wherever it can't be wrong; the digits of the number's shortest text decide the rest.

/// What happens to the digits that are cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cut {
    /// Half and more away from zero.
    Round,
    /// Always towards zero.
    Truncate,
}

/// So close to a boundary the product's own error could cross it.
const DOUBTFUL: f64 = 1e-6;
/// From here on a DOUBLE has no fraction.
const WHOLE: f64 = 4_503_599_627_370_496.0;

/// `value` with `places` digits after the point; negative places count before the point.
pub(super) fn cut(value: f64, places: i64, how: Cut) -> f64 {
    if !value.is_finite() || value == 0.0 || (places >= 0 && value.abs() >= WHOLE) {
        return value;
    }
    let Some(exponent) = i32::try_from(places).ok().filter(|places| (-22..=22).contains(places)) else {
        return if places > 0 { by_digits(value, places, how) } else { 0.0 };
    };
    let factor = 10_f64.powi(exponent.abs());
    let scaled = if exponent >= 0 { value * factor } else { value / factor };
    if scaled.abs() >= WHOLE / 1024.0 {
        return by_digits(value, places, how);
    }
    let fraction = scaled.abs().fract();
    let (is_doubtful, finer) = match how {
        Cut::Round => ((fraction - 0.5).abs() < DOUBTFUL, 10.0),
        Cut::Truncate => (!(DOUBTFUL..=1.0 - DOUBTFUL).contains(&fraction), 1.0),
    };
    let unscaled = |number: f64| if exponent >= 0 { number / factor } else { number * factor };
    if !is_doubtful {
        return unscaled(match how {
            Cut::Round => scaled.round(),
            Cut::Truncate => scaled.trunc(),
        });
    }
    // Where these digits give the number back, they are its shortest text.
    let digits = (scaled * finer).round();
    if unscaled(digits) / finer != value {
        return by_digits(value, places, how);
    }
    match how {
        Cut::Round => unscaled((digits / 10.0).trunc() + 1.0_f64.copysign(value)),
        Cut::Truncate => value,
    }
}

/// Works on the shortest text that reads back as the number, as Java's `BigDecimal.valueOf` does.
fn by_digits(value: f64, places: i64, how: Cut) -> f64 {
    let text = format!("{:e}", value.abs());
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return value;
    };
    let Ok(exponent) = exponent.parse::<i64>() else {
        return value;
    };
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    // How many digits stay: those before the point, and the places.
    let kept = exponent.saturating_add(1).saturating_add(places);
    let Ok(kept) = usize::try_from(kept) else {
        return 0.0_f64.copysign(value);
    };
    if kept >= digits.len() {
        return value;
    }
    let up = how == Cut::Round && digits.get(kept).is_some_and(|digit| *digit >= 5);
    digits.truncate(kept);
    let mut carry = up;
    for digit in digits.iter_mut().rev() {
        if !carry {
            break;
        }
        carry = *digit == 9;
        *digit = if carry { 0 } else { *digit + 1 };
    }
    if carry {
        digits.insert(0, 1);
    }
    let number: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    let shifted = format!("{}e{}", if number.is_empty() { "0" } else { &number }, -places);
    shifted.parse::<f64>().map_or(value, |result| result.copysign(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_halves_round_up_although_their_doubles_lie_below() {
        for (value, places, expected) in [
            (1.005, 2, 1.01),
            (2.675, 2, 2.68),
            (-1.005, 2, -1.01),
            (0.5, 0, 1.0),
            (-0.5, 0, -1.0),
            (1_234.5, -2, 1_200.0),
            (1_250.0, -2, 1_300.0),
            (9.995, 2, 10.0),
            (0.04, 1, 0.0),
            (1e300, 3, 1e300),
            (4.0, -3, 0.0),
            (1.5e-10, 10, 2e-10),
        ] {
            assert_eq!(cut(value, places, Cut::Round), expected, "{value} to {places}");
        }
    }

    #[test]
    fn truncation_keeps_digits_that_binary_would_lose() {
        for (value, places, expected) in
            [(4.35, 2, 4.35), (42.324, 2, 42.32), (-1.999, 2, -1.99), (0.29, 2, 0.29), (1_299.9, -2, 1_200.0)]
        {
            assert_eq!(cut(value, places, Cut::Truncate), expected, "{value} to {places}");
        }
    }

    proptest! {
        #[test]
        fn binary_and_decimal_ways_agree(cents in -100_000_000_i64..100_000_000, places in -4_i64..6) {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let value = cents as f64 / 1000.0;
            for how in [Cut::Round, Cut::Truncate] {
                prop_assert_eq!(cut(value, places, how), by_digits(value, places, how));
            }
        }
    }
}
