//! Units and fields of time by their SQL names.

use datafusion_common::{Result, plan_err};

use crate::function::Call;

/// A unit, or a field of a date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    /// The day of the week from 1 for Sunday.
    DayOfWeek,
    /// The day of the week from 1 for Monday.
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    /// Seconds since 1970.
    Epoch,
}

const NAMES: [(&str, Unit); 19] = [
    ("NANOSECOND", Unit::Nanosecond),
    ("MICROSECOND", Unit::Microsecond),
    ("MILLISECOND", Unit::Millisecond),
    ("SECOND", Unit::Second),
    ("MINUTE", Unit::Minute),
    ("HOUR", Unit::Hour),
    ("DAY", Unit::Day),
    ("WEEK", Unit::Week),
    ("MONTH", Unit::Month),
    ("QUARTER", Unit::Quarter),
    ("YEAR", Unit::Year),
    ("DECADE", Unit::Decade),
    ("CENTURY", Unit::Century),
    ("MILLENNIUM", Unit::Millennium),
    ("DOW", Unit::DayOfWeek),
    ("ISODOW", Unit::IsoDayOfWeek),
    ("DOY", Unit::DayOfYear),
    ("ISOYEAR", Unit::IsoYear),
    ("EPOCH", Unit::Epoch),
];

impl Unit {
    /// Reads a name in any case, with or without ODBC's `SQL_TSI_` and a plural's `S`.
    pub fn named(name: &str) -> Result<Self> {
        let upper = name.trim().to_ascii_uppercase();
        let short = upper.strip_prefix("SQL_TSI_").unwrap_or(&upper);
        let singular = short.strip_suffix('S').unwrap_or(short);
        match NAMES.iter().find(|(known, _)| *known == short || *known == singular) {
            Some((_, unit)) => Ok(*unit),
            None => plan_err!(
                "'{name}' isn't a unit of time; use SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER, YEAR, …"
            ),
        }
    }

    /// Reads the literal that argument `index` must be. Where a call's literals aren't known, any will do.
    pub fn checked(call: &Call<'_>, index: usize) -> Result<()> {
        match call.literal_text(index) {
            Some(name) => Self::named(name).map(|_| ()),
            None if call.literals.is_empty() => Ok(()),
            None => plan_err!("a unit of time must be written out, like DAY"),
        }
    }

    /// How many seconds it lasts, when it always lasts as long, and is at least a second.
    pub const fn seconds(self) -> Option<i64> {
        match self {
            Self::Second => Some(1),
            Self::Minute => Some(60),
            Self::Hour => Some(3_600),
            Self::Day => Some(86_400),
            Self::Week => Some(604_800),
            _ => None,
        }
    }

    /// How many of it make a second, when it is shorter than one.
    pub const fn per_second(self) -> Option<i64> {
        match self {
            Self::Nanosecond => Some(1_000_000_000),
            Self::Microsecond => Some(1_000_000),
            Self::Millisecond => Some(1_000),
            _ => None,
        }
    }

    /// How many months it lasts, when it is made of months.
    pub const fn months(self) -> Option<i64> {
        match self {
            Self::Month => Some(1),
            Self::Quarter => Some(3),
            Self::Year => Some(12),
            Self::Decade => Some(120),
            Self::Century => Some(1_200),
            Self::Millennium => Some(12_000),
            _ => None,
        }
    }
}
