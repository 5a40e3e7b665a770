//! Dates and times as text, both ways, without allocation.
//!
//! Reads SQL's form (`2015-07-15 00:00:00.123`) and ISO-8601's (`2015-07-15T00:00:00.123Z`); writes either. A fraction finer
//! than the type is cut off.

use arrow::datatypes::TimeUnit;

use super::calendar;
use crate::types::{digits, units_per_second};

const SECONDS_PER_DAY: i64 = 86_400;

/// A moment as written, before it becomes a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Seconds since 1970-01-01 00:00:00, the offset already taken off.
    pub seconds: i64,
    /// Within the second.
    pub nanos: u32,
    /// Whether an offset other than `Z` was written.
    pub has_offset: bool,
}

impl Moment {
    /// As a number of units since 1970-01-01 00:00:00, if it fits.
    #[must_use]
    pub fn in_units(self, unit: TimeUnit) -> Option<i64> {
        let per_second = units_per_second(unit);
        let fraction = i64::from(self.nanos) / (1_000_000_000 / per_second);
        self.seconds.checked_mul(per_second)?.checked_add(fraction)
    }
}

/// The number of these decimal digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let value = digit.wrapping_sub(b'0');
        (value < 10).then(|| number * 10 + u32::from(value))
    })
}

/// Days since 1970-01-01 of `yyyy-MM-dd`.
#[must_use]
pub fn parse_date(text: &[u8]) -> Option<i64> {
    let text: &[u8; 10] = text.try_into().ok()?;
    if text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    calendar::days(i64::from(number(&text[..4])?), number(&text[5..7])?, number(&text[8..])?)
}

/// Seconds of the day, nanoseconds, and what follows, of `HH:mm[:ss[.fraction]]`.
fn leading_time(text: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (hour, minute) = (number(text.get(..2)?)?, number(text.get(3..5)?)?);
    if text.get(2) != Some(&b':') || hour > 23 || minute > 59 {
        return None;
    }
    let of_minutes = hour * 3600 + minute * 60;
    let rest = text.get(5..)?;
    if rest.first() != Some(&b':') {
        return Some((of_minutes, 0, rest));
    }
    let second = number(rest.get(1..3)?)?;
    if second > 59 {
        return None;
    }
    let rest = rest.get(3..)?;
    if rest.first() != Some(&b'.') {
        return Some((of_minutes + second, 0, rest));
    }
    let fraction = &rest[1..];
    let len = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > 9 {
        return None;
    }
    let nanos = number(&fraction[..len])? * 10_u32.pow(9 - len as u32);
    Some((of_minutes + second, nanos, &fraction[len..]))
}

/// Nanoseconds of the day of `HH:mm[:ss[.fraction]]`; a final `Z` is allowed.
#[must_use]
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let (seconds, nanos, rest) = leading_time(text)?;
    matches!(rest, b"" | b"Z").then(|| i64::from(seconds) * 1_000_000_000 + i64::from(nanos))
}

/// A timestamp in SQL's or ISO-8601's form.
#[must_use]
pub fn parse_timestamp(text: &[u8]) -> Option<Moment> {
    let days = parse_date(text.get(..10)?)?;
    let Some(separator) = text.get(10) else {
        return Some(Moment { seconds: days * SECONDS_PER_DAY, nanos: 0, has_offset: false });
    };
    if !matches!(separator, b' ' | b'T') {
        return None;
    }
    let (seconds, nanos, rest) = leading_time(&text[11..])?;
    let offset = match rest {
        b"" | b"Z" => None,
        [sign @ (b'+' | b'-'), hour @ .., b':', minute_tens, minute_units] if hour.len() == 2 => {
            let minutes = number(hour)? * 60 + number(&[*minute_tens, *minute_units])?;
            Some(if *sign == b'+' { i64::from(minutes) } else { -i64::from(minutes) })
        }
        _ => return None,
    };
    let seconds = days * SECONDS_PER_DAY + i64::from(seconds) - offset.unwrap_or(0) * 60;
    Some(Moment { seconds, nanos, has_offset: offset.is_some() })
}

/// Milliseconds since 1970-01-01 of a timestamp in UTC.
#[must_use]
pub fn parse_timestamp_millis(text: &str) -> Option<i64> {
    parse_timestamp(text.as_bytes())?.in_units(TimeUnit::Millisecond)
}

fn two(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&[b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]);
}

/// Appends `yyyy-MM-dd`.
pub fn write_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = calendar::date(days);
    if year < 0 {
        out.push(b'-');
    } else if year > 9999 {
        out.push(b'+');
    }
    let magnitude = year.unsigned_abs();
    if magnitude > 9999 {
        out.extend_from_slice(itoa::Buffer::new().format(magnitude).as_bytes());
    } else {
        two(out, magnitude as u32 / 100);
        two(out, magnitude as u32 % 100);
    }
    out.push(b'-');
    two(out, month);
    out.push(b'-');
    two(out, day);
}

/// Appends `HH:mm:ss` and, where `digits` isn't 0, a point and so many digits of the fraction.
pub fn write_time(out: &mut Vec<u8>, seconds: u32, nanos: u32, digits: u8) {
    two(out, seconds / 3600);
    out.push(b':');
    two(out, seconds / 60 % 60);
    out.push(b':');
    two(out, seconds % 60);
    write_fraction(out, nanos, digits);
}

fn write_fraction(out: &mut Vec<u8>, nanos: u32, digits: u8) {
    if digits > 0 {
        out.push(b'.');
        for digit in 0..u32::from(digits.min(9)) {
            out.push(b'0' + (nanos / 10_u32.pow(8 - digit) % 10) as u8);
        }
    }
}

/// Day, second of the day and nanoseconds of a timestamp.
#[must_use]
pub const fn split(value: i64, unit: TimeUnit) -> (i64, u32, u32) {
    let per_second = units_per_second(unit);
    let seconds = value.div_euclid(per_second);
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY) as u32, nanos as u32)
}

/// Appends a timestamp with all digits of its unit, `separator` between date and time.
pub fn write_timestamp(out: &mut Vec<u8>, value: i64, unit: TimeUnit, separator: u8) {
    let (days, seconds, nanos) = split(value, unit);
    write_date(out, days);
    out.push(separator);
    write_time(out, seconds, nanos, digits(unit));
}

/// Fractional digits that a clock value needs in groups of three, as Java's `toString` writes them.
#[must_use]
pub const fn grouped_digits(nanos: u32) -> u8 {
    if nanos == 0 {
        0
    } else if nanos.is_multiple_of(1_000_000) {
        3
    } else if nanos.is_multiple_of(1_000) {
        6
    } else {
        9
    }
}

/// Appends a time as Java's `LocalTime.toString` does: seconds only where there are some.
pub fn write_java_time(out: &mut Vec<u8>, seconds: u32, nanos: u32) {
    if seconds.is_multiple_of(60) && nanos == 0 {
        two(out, seconds / 3600);
        out.push(b':');
        two(out, seconds / 60 % 60);
    } else {
        write_time(out, seconds, nanos, grouped_digits(nanos));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: i64, unit: TimeUnit, separator: u8) -> String {
        let mut out = Vec::new();
        write_timestamp(&mut out, value, unit, separator);
        String::from_utf8(out).expect("ASCII")
    }

    proptest! {
        #[test]
        fn a_timestamp_survives_its_text(millis in -60_000_000_000_000_i64..250_000_000_000_000) {
            let text = written(millis, TimeUnit::Millisecond, b' ');
            prop_assert_eq!(parse_timestamp_millis(&text), Some(millis));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "[0-9T :.Z+-]{0,32}") {
            for text in [bytes.as_slice(), text.as_bytes()] {
                let _ = (parse_timestamp(text), parse_time(text), parse_date(text));
            }
        }
    }

    #[test]
    fn forms_of_a_timestamp() {
        let millis = |text: &str| parse_timestamp_millis(text);
        assert_eq!(millis("1970-01-01 00:00:01.5"), Some(1_500));
        assert_eq!(millis("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(millis("1970-01-01T02:00+02:00"), Some(0));
        assert_eq!(millis("1970-01-02"), Some(86_400_000));
        assert_eq!(millis("1970-01-01 00:00:00.1239"), Some(123));
        for wrong in
            ["1970-02-30 00:00:00", "1970-01-01 24:00:00", "1970-01-01 00:00:00.", "1970-01-01_00:00:00", ""]
        {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
        assert_eq!(parse_time(b"01:02:03.004"), Some(3_723_004_000_000));
    }

    #[test]
    fn written_forms() {
        assert_eq!(written(1_436_918_400_123, TimeUnit::Millisecond, b' '), "2015-07-15 00:00:00.123");
        assert_eq!(written(-1, TimeUnit::Microsecond, b'T'), "1969-12-31T23:59:59.999999");
        assert_eq!(written(0, TimeUnit::Second, b' '), "1970-01-01 00:00:00");
        let mut out = Vec::new();
        write_java_time(&mut out, 3_600, 0);
        assert_eq!(out, b"01:00");
    }
}
