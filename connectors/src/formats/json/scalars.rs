//! Numbers, booleans and bytes out of JSON's texts, with the leniency that Flink's format has: a number or a boolean may
//! stand in quotes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A whole number; `1.0` and `1e3` are whole too.
#[inline]
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return wide_integer(text);
    }
    let magnitude = digits.iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -magnitude } else { magnitude })
}

/// The rare forms: 19 digits, a fraction of zeros, an exponent.
#[cold]
fn wide_integer(text: &[u8]) -> Option<i64> {
    i64::try_from(decimal(text, 0, Rounding::Exact)?).ok()
}

/// What happens to digits beyond the scale.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// There may be none but zeros.
    Exact,
    /// Half away from zero, as Flink reads decimals.
    HalfUp,
}

/// A decimal number times 10^scale.
#[must_use]
pub fn decimal(text: &[u8], scale: i8, rounding: Rounding) -> Option<i128> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], std::str::from_utf8(&unsigned[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &mantissa[mantissa.len()..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The digit at position p (0 = the first) is worth 10^(whole.len() + exponent + scale - 1 - p) units.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value = 0_i128;
    let mut round_up = false;
    for (position, digit) in (0_i64..).zip(whole.iter().chain(fraction)) {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        if position < kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else if rounding == Rounding::Exact && digit != 0 {
            return None;
        } else if position == kept {
            round_up = digit >= 5;
        }
    }
    let given = i64::try_from(whole.len() + fraction.len()).ok()?;
    if value != 0 {
        for _ in given..kept {
            value = value.checked_mul(10)?;
        }
    }
    value += i128::from(round_up);
    Some(if negative { -value } else { value })
}

/// A floating-point number; `NaN` and `Infinity` have Java's names.
#[must_use]
pub fn double(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" => Some(f64::NAN),
        b"Infinity" | b"+Infinity" => Some(f64::INFINITY),
        b"-Infinity" => Some(f64::NEG_INFINITY),
        // The parser of Rust also takes words like `inf`, which JSON and Java don't.
        _ if text
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')) =>
        {
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// `true` or `false` in any case.
#[must_use]
pub fn boolean(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// Appends the bytes of a base64 text; whether it was one.
#[must_use]
pub fn base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    STANDARD.decode_vec(text, out).is_ok()
}

/// Appends bytes as base64.
pub fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what the encoding takes, so this doesn't fail.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_read_back(value in any::<i64>()) {
            prop_assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn garbage_never_panics(text in prop::collection::vec(prop::sample::select(b"0123456789-+.eE".to_vec()), 0..40), scale in -3_i8..38) {
            let _ = (integer(&text), double(&text), decimal(&text, scale, Rounding::HalfUp));
        }

        #[test]
        fn decimals_read_back(value in any::<i64>(), scale in 0_i8..12) {
            let mut out = Vec::new();
            crate::formats::values::write_decimal(&mut out, i128::from(value), scale);
            prop_assert_eq!(decimal(&out, scale, Rounding::Exact), Some(i128::from(value)));
        }
    }

    #[test]
    fn forms_of_numbers() {
        assert_eq!(integer(b"1.0"), Some(1));
        assert_eq!(integer(b"12e2"), Some(1200));
        assert_eq!(integer(b"1.5"), None);
        assert_eq!(integer(b"9223372036854775808"), None);
        assert_eq!(integer(b""), None);
        assert_eq!(integer(b"-"), None);
        assert_eq!(decimal(b"1.235", 2, Rounding::HalfUp), Some(124));
        assert_eq!(decimal(b"-0.005", 2, Rounding::HalfUp), Some(-1));
        assert_eq!(decimal(b"1.5e-3", 4, Rounding::HalfUp), Some(15));
        assert_eq!(decimal(b"0.04", 0, Rounding::HalfUp), Some(0));
        assert_eq!(decimal(b"0.006e2", 0, Rounding::HalfUp), Some(1));
        assert_eq!(decimal(b"6e-9", 2, Rounding::HalfUp), Some(0));
        assert_eq!(double(b"inf"), None);
        assert_eq!(double(b"-1.5e3"), Some(-1500.0));
        let mut out = Vec::new();
        assert!(base64(b"AQID", &mut out) && out == [1, 2, 3]);
        assert!(!base64(b"A", &mut out));
        out.clear();
        write_base64(&[1, 2], &mut out);
        assert_eq!(out, b"AQI=");
    }
}
