//! Floating-point numbers as Java writes them: `1.0`, `0.001`, `1.0E7`, `NaN`. The digits are the shortest that read back.

use std::io::Write;

/// Appends a DOUBLE.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        write_scientific(out, format_args!("{value:e}"), value.abs());
    } else {
        write_special(out, value);
    }
}

/// Appends a FLOAT.
pub fn write_float(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        write_scientific(out, format_args!("{value:e}"), f64::from(value.abs()));
    } else {
        write_special(out, f64::from(value));
    }
}

fn write_special(out: &mut Vec<u8>, value: f64) {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    };
    out.extend_from_slice(text);
}

/// Lays out `d.ddde±x` as Java does: plain from 10^-3 to 10^7, with an exponent outside.
fn write_scientific(out: &mut Vec<u8>, scientific: std::fmt::Arguments<'_>, magnitude: f64) {
    let start = out.len();
    // Writing to a Vec doesn't fail.
    let _ = out.write_fmt(scientific);
    let mut text = [0_u8; 40];
    let written = &out[start..];
    let len = written.len().min(text.len());
    text[..len].copy_from_slice(&written[..len]);
    out.truncate(start);

    let text = &text[..len];
    let (mantissa, exponent) = match text.iter().position(|byte| *byte == b'e') {
        Some(at) => (&text[..at], exponent(&text[at + 1..])),
        None => (text, 0),
    };
    let mantissa = match mantissa {
        [b'-', rest @ ..] => {
            out.push(b'-');
            rest
        }
        mantissa => mantissa,
    };
    let digits = mantissa.iter().copied().filter(u8::is_ascii_digit);
    let count = digits.clone().count();
    if magnitude != 0.0 && !(1e-3..1e7).contains(&magnitude) {
        place_point(out, digits, count, 0);
        out.push(b'E');
        out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
    } else {
        place_point(out, digits, count, exponent);
    }
}

fn exponent(text: &[u8]) -> i32 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Writes digits `d0 d1 d2 …`, worth `d0.d1d2… × 10^exponent`, with at least one digit on each side of the point.
fn place_point(out: &mut Vec<u8>, digits: impl Iterator<Item = u8>, count: usize, exponent: i32) {
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend(digits);
        return;
    }
    let whole = exponent as usize + 1;
    for (position, digit) in digits.enumerate() {
        if position == whole {
            out.push(b'.');
        }
        out.push(digit);
    }
    if count <= whole {
        out.resize(out.len() + whole - count, b'0');
        out.extend_from_slice(b".0");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn double(value: f64) -> String {
        let mut out = Vec::new();
        write_double(&mut out, value);
        String::from_utf8(out).expect("ASCII")
    }

    proptest! {
        #[test]
        fn text_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(double(value).parse::<f64>().expect("a number").to_bits(), value.to_bits());
        }
    }

    #[test]
    fn as_java_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (123.456, "123.456"),
            (-0.001, "-0.001"),
            (0.00099, "9.9E-4"),
            (1e7, "1.0E7"),
            (9_999_999.5, "9999999.5"),
            (1.5e-10, "1.5E-10"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
        let mut out = Vec::new();
        write_float(&mut out, 0.1);
        assert_eq!(out, b"0.1");
    }
}
