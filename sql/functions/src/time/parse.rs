//! Text as points in time, by patterns and by the forms that Flink reads without one.
//!
//! Two of Java's parsers are behind Flink's functions: `DateTimeFormatter` wants the whole text and exact widths
//! ([`parse_whole`]); `SimpleDateFormat` reads any number of digits and ignores what follows ([`parse_prefix`]).

use super::calendar::{SECONDS_PER_DAY, day_number, valid_day_number};
use super::pattern::{Field, Item, MONTHS, Pattern, WEEKDAYS};

/// What a text said; what it didn't say is as on 1970-01-01 00:00.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Parsed {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    half_day_hour: Option<i64>,
    is_afternoon: bool,
    minute: i64,
    second: i64,
    pub nanos: i64,
    /// Seconds ahead of UTC, when the text says so.
    pub offset: Option<i64>,
}

impl Parsed {
    /// The day, when it exists.
    pub fn day(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        match self.day_of_year {
            Some(day) if self.month.is_none() => {
                let day = day_number(year, 1, 1) + (1..=366).contains(&day).then_some(day)? - 1;
                (super::calendar::date_of(day).year == year).then_some(day)
            }
            _ => valid_day_number(year, self.month.unwrap_or(1), self.day.unwrap_or(1)),
        }
    }

    /// What a clock shows, in seconds since 1970, when there is such a time.
    pub fn local_seconds(&self) -> Option<i64> {
        let hour = match self.half_day_hour {
            Some(hour) => hour % 12 + if self.is_afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let is_time =
            (0..24).contains(&hour) && (0..60).contains(&self.minute) && (0..60).contains(&self.second);
        let seconds = self.day()? * SECONDS_PER_DAY + hour * 3_600 + self.minute * 60 + self.second;
        is_time.then_some(seconds)
    }

    fn set(&mut self, field: Field, value: i64) {
        match field {
            Field::Year => self.year = Some(value),
            Field::Month => self.month = Some(value),
            Field::Day => self.day = Some(value),
            Field::DayOfYear => self.day_of_year = Some(value),
            Field::Hour => self.hour = value,
            Field::HourFromOne => self.hour = value % 24,
            Field::HalfDayHour | Field::HalfDayHourFromOne => self.half_day_hour = Some(value),
            Field::Minute => self.minute = value,
            Field::Second => self.second = value,
            Field::Fraction => self.nanos = value,
            Field::HalfDay | Field::Weekday | Field::Quarter | Field::OffsetOrZ | Field::Offset => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Exact,
    Lenient,
}

/// As `DateTimeFormatter` reads: the whole text, in the widths of the pattern.
pub(super) fn parse_whole(pattern: &Pattern, text: &str) -> Option<Parsed> {
    let (parsed, rest) = parse(pattern, text, Manner::Exact)?;
    rest.is_empty().then_some(parsed)
}

/// As `SimpleDateFormat` reads: any widths where no digit follows, and text may follow.
pub(super) fn parse_prefix(pattern: &Pattern, text: &str) -> Option<Parsed> {
    parse(pattern, text, Manner::Lenient).map(|(parsed, _)| parsed)
}

fn parse<'t>(pattern: &Pattern, text: &'t str, manner: Manner) -> Option<(Parsed, &'t str)> {
    let mut parsed = Parsed::default();
    let mut rest = text;
    for (index, item) in pattern.items.iter().enumerate() {
        let (field, count) = match item {
            Item::Literal(literal) => {
                rest = rest.strip_prefix(literal.as_str())?;
                continue;
            }
            Item::Field(field, count) => (*field, *count),
        };
        let digits_follow = pattern.items.get(index + 1).is_some_and(is_digits);
        rest = match field {
            Field::HalfDay => half_day(&mut parsed, rest)?,
            Field::Weekday => named(rest, &WEEKDAYS)?.1,
            Field::Month if count > 2 => {
                let (month, rest) = named(rest, &MONTHS)?;
                parsed.month = Some(month + 1);
                rest
            }
            Field::OffsetOrZ | Field::Offset => offset(&mut parsed, rest)?,
            Field::Fraction => fraction(&mut parsed, rest, count, manner)?,
            _ => {
                let (digits, after) = take_digits(rest, widths(count, manner, digits_follow))?;
                let value = digits.parse::<i64>().ok()?;
                let two_digit_year = field == Field::Year && count == 2 && digits.len() == 2;
                parsed.set(field, if two_digit_year { 2_000 + value } else { value });
                after
            }
        };
    }
    Some((parsed, rest))
}

fn is_digits(item: &Item) -> bool {
    match item {
        Item::Literal(_) => false,
        Item::Field(Field::HalfDay | Field::Weekday | Field::OffsetOrZ | Field::Offset, _) => false,
        Item::Field(Field::Month, count) => *count <= 2,
        Item::Field(..) => true,
    }
}

/// The fewest and most digits.
const fn widths(count: usize, manner: Manner, digits_follow: bool) -> (usize, usize) {
    match (manner, digits_follow) {
        (_, true) => (count, count),
        (Manner::Exact, false) if count == 1 => (1, 19),
        (Manner::Exact, false) => (count, count),
        (Manner::Lenient, false) => (1, 18),
    }
}

fn take_digits(text: &str, (least, most): (usize, usize)) -> Option<(&str, &str)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if digits < least { None } else { text.split_at_checked(digits) }
}

fn half_day<'t>(parsed: &mut Parsed, text: &'t str) -> Option<&'t str> {
    let (word, rest) = text.split_at_checked(2)?;
    parsed.is_afternoon = word.eq_ignore_ascii_case("PM");
    (parsed.is_afternoon || word.eq_ignore_ascii_case("AM")).then_some(rest)
}

/// A long name, or its first three letters.
fn named<'t>(text: &'t str, names: &[&str]) -> Option<(i64, &'t str)> {
    let starts = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    for (index, name) in names.iter().enumerate() {
        for form in [*name, name.get(..3)?] {
            if starts(form) {
                return Some((i64::try_from(index).ok()?, text.get(form.len()..)?));
            }
        }
    }
    None
}

/// `Z`, `+08`, `+0800` or `+08:00`.
fn offset<'t>(parsed: &mut Parsed, text: &'t str) -> Option<&'t str> {
    if let Some(rest) = text.strip_prefix('Z') {
        parsed.offset = Some(0);
        return Some(rest);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = take_digits(rest, (2, 2))?;
    let minutes = take_digits(rest.strip_prefix(':').unwrap_or(rest), (2, 2));
    let (minutes, rest) = minutes.unwrap_or(("0", rest));
    parsed.offset = Some(sign * (hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60));
    Some(rest)
}

/// Digits of a second for `DateTimeFormatter`, a number of milliseconds for `SimpleDateFormat`.
fn fraction<'t>(parsed: &mut Parsed, text: &'t str, count: usize, manner: Manner) -> Option<&'t str> {
    if manner == Manner::Lenient {
        let (digits, rest) = take_digits(text, (1, 9))?;
        parsed.nanos = digits.parse::<i64>().ok()?.min(999) * 1_000_000;
        return Some(rest);
    }
    let (digits, rest) = take_digits(text, (count, count))?;
    parsed.nanos = nanos_of(digits)?;
    Some(rest)
}

fn nanos_of(digits: &str) -> Option<i64> {
    let shown = digits.get(..9).unwrap_or(digits);
    if shown.is_empty() {
        return Some(0);
    }
    let missing = u32::try_from(9 - shown.len()).ok()?;
    Some(shown.parse::<i64>().ok()? * 10_i64.pow(missing))
}

/// `yyyy-MM-dd[ HH:mm:ss[.fraction]]`, months to seconds with one or two digits.
pub(super) fn parse_timestamp(text: &str) -> Option<Parsed> {
    let mut parsed = Parsed::default();
    let mut field = |field: Field, text: &mut &str, widths: (usize, usize)| {
        let (digits, rest) = take_digits(text, widths)?;
        parsed.set(field, digits.parse().ok()?);
        *text = rest;
        Some(())
    };
    let mut rest = text;
    field(Field::Year, &mut rest, (4, 4))?;
    for part in [Field::Month, Field::Day] {
        rest = rest.strip_prefix('-')?;
        field(part, &mut rest, (1, 2))?;
    }
    if rest.is_empty() {
        return Some(parsed);
    }
    for (separator, part) in [(' ', Field::Hour), (':', Field::Minute), (':', Field::Second)] {
        rest = rest.strip_prefix(separator)?;
        field(part, &mut rest, (1, 2))?;
    }
    if let Some(digits) = rest.strip_prefix('.') {
        if digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        parsed.nanos = nanos_of(digits)?;
        return Some(parsed);
    }
    rest.is_empty().then_some(parsed)
}

/// `yyyy[-MM[-dd]]` with any number of digits; what follows a space is ignored.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let date = text.split(' ').next().filter(|date| !date.is_empty())?;
    let mut numbers = [1; 3];
    let mut parts = date.splitn(3, '-');
    for number in &mut numbers {
        match parts.next() {
            Some(part) if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) => {
                *number = part.parse().ok()?;
            }
            Some(_) => return None,
            None => break,
        }
    }
    let [year, month, day] = numbers;
    (0..=9_999).contains(&year).then_some(())?;
    valid_day_number(year, month, day)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn seconds(pattern: &str, text: &str) -> Option<i64> {
        parse_whole(&Pattern::compile(pattern).expect("valid"), text)?.local_seconds()
    }

    #[test]
    fn patterns_read_what_they_write() {
        assert_eq!(seconds("yyyy-MM-dd HH:mm:ss", "1970-01-02 00:00:01"), Some(86_401));
        assert_eq!(seconds("yyyyMMddHHmm", "197001020001"), Some(86_460));
        assert_eq!(
            seconds("d MMM yy hh:mm a", "2 Jan 70 12:05 PM"),
            seconds("yyyy-MM-dd HH:mm", "2070-01-02 12:05")
        );
        assert_eq!(seconds("EEEE, MMMM d, yyyy", "Friday, January 2, 1970"), Some(86_400));
        assert_eq!(seconds("HH:mm", "01:30"), Some(5_400));
        assert_eq!(seconds("yyyy-DDD", "1970-033"), Some(32 * 86_400));
        for (pattern, text) in [
            ("yyyy-MM-dd", "1970-1-1"),
            ("yyyy-MM-dd", "1970-02-30"),
            ("yyyy-MM-dd", "1970-01-01 "),
            ("HH:mm", "24:00"),
            ("yyyy-MM-dd", ""),
        ] {
            assert_eq!(seconds(pattern, text), None, "{pattern} {text}");
        }
    }

    #[test]
    fn offsets_and_fractions() {
        let pattern = Pattern::compile("HH:mm:ss.SSS X").expect("valid");
        let parsed = parse_prefix(&pattern, "08:00:01.001 +0800").expect("fits");
        assert_eq!(
            (parsed.local_seconds(), parsed.offset, parsed.nanos),
            (Some(28_801), Some(28_800), 1_000_000)
        );
        assert_eq!(parse_prefix(&pattern, "08:00:01.001"), None);
        assert_eq!(parse_timestamp("2020-01-01 00:00:00.5").expect("fits").nanos, 500_000_000);
    }

    #[test]
    fn default_forms() {
        for (text, expected) in [
            ("1970-01-02", Some(86_400)),
            ("1970-1-2 3:4:5", Some(86_400 + 3 * 3_600 + 4 * 60 + 5)),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01 00:00", None),
            ("1970-13-01", None),
            ("hello", None),
        ] {
            assert_eq!(parse_timestamp(text).and_then(|parsed| parsed.local_seconds()), expected, "{text}");
        }
        for (text, expected) in [
            ("1970", Some(0)),
            ("1970-2", Some(31)),
            ("1970-01-03 rest", Some(2)),
            ("1970-01-32", None),
            ("-1", None),
        ] {
            assert_eq!(parse_date(text), expected, "{text}");
        }
    }
}
