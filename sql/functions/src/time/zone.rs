//! Time zones by the names that Java knows, and what their clocks show.
//!
//! Local times that a clock skips move forward by the length of the gap; of two equal local times the earlier one is meant: both as
//! in Java's `ZonedDateTime`.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion_common::{Result, plan_err};

use super::calendar::SECONDS_PER_DAY;

/// A time zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Zone {
    /// So many seconds ahead of UTC.
    Fixed(i64),
    Named(Tz),
}

impl Zone {
    pub const UTC: Self = Self::Fixed(0);

    /// Reads `UTC`, `Asia/Tokyo`, `+08:00`, `GMT+8`, `UTC-03:30`, …
    pub fn named(name: &str) -> Result<Self> {
        if let Some(offset) = fixed(name) {
            return Ok(Self::Fixed(offset));
        }
        // Java's old short names that the time zone database doesn't have.
        let name = match name {
            "PST" => "America/Los_Angeles",
            "CST" => "America/Chicago",
            "JST" => "Asia/Tokyo",
            "IST" => "Asia/Kolkata",
            "CTT" => "Asia/Shanghai",
            "ECT" => "Europe/Paris",
            other => other,
        };
        match name.parse::<Tz>() {
            Ok(Tz::UTC) => Ok(Self::UTC),
            Ok(zone) => Ok(Self::Named(zone)),
            Err(_) => {
                plan_err!("'{name}' isn't a time zone; write one like 'UTC', 'Europe/Berlin' or 'GMT+08:00'")
            }
        }
    }

    /// How far ahead of UTC the zone's clocks are, `seconds` after 1970 in UTC.
    pub fn offset_at(self, seconds: i64) -> i64 {
        match self {
            Self::Fixed(offset) => offset,
            Self::Named(zone) => match utc(seconds) {
                Some(utc) => i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()),
                None => 0,
            },
        }
    }

    /// What the zone's clocks show, as if it were UTC.
    pub fn to_local(self, seconds: i64) -> i64 {
        seconds.saturating_add(self.offset_at(seconds))
    }

    /// When the zone's clocks show this, in UTC.
    pub fn to_utc(self, local: i64) -> i64 {
        let offset = match self {
            Self::Fixed(offset) => offset,
            Self::Named(zone) => match utc(local).map(|time| zone.offset_from_local_datetime(&time)) {
                Some(MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _)) => {
                    i64::from(offset.fix().local_minus_utc())
                }
                // Skipped: what held before the change.
                Some(MappedLocalTime::None) => self.offset_at(local.saturating_sub(SECONDS_PER_DAY)),
                None => 0,
            },
        };
        local.saturating_sub(offset)
    }
}

fn utc(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc())
}

/// `Z`, `GMT`, `+08:00`, `UTC+8`, `GMT-0330` in seconds.
fn fixed(name: &str) -> Option<i64> {
    let rest = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
    if rest.is_empty() {
        return (!name.is_empty()).then_some(0);
    }
    if rest == "Z" && name == "Z" {
        return Some(0);
    }
    let sign = match rest.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = rest.get(1..)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "0"),
    };
    let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn names_are_java_s() {
        for (name, expected) in [
            ("UTC", 0),
            ("GMT", 0),
            ("Z", 0),
            ("+08:00", 28_800),
            ("GMT+8", 28_800),
            ("GMT-08:00", -28_800),
            ("UTC-0330", -12_600),
        ] {
            assert_eq!(Zone::named(name).expect(name), Zone::Fixed(expected), "{name}");
        }
        for name in ["", "Mars/Olympus", "+25:00", "GMT+", "+1:2:3"] {
            assert!(Zone::named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn clocks_skip_and_repeat_hours() {
        let berlin = Zone::named("Europe/Berlin").expect("known");
        // 2024-03-31 01:00 UTC: 02:00 becomes 03:00.
        let change = 1_711_846_800;
        assert_eq!(berlin.offset_at(change - 1), 3_600);
        assert_eq!(berlin.offset_at(change), 7_200);
        // 02:30 doesn't exist; it means 03:30.
        assert_eq!(berlin.to_local(berlin.to_utc(change + 3_600 + 1_800)), change + 7_200 + 1_800);
        // 2024-10-27 01:00 UTC: 03:00 becomes 02:00; 02:30 is meant the first time.
        let change = 1_729_990_800;
        assert_eq!(berlin.to_utc(change + 3_600 + 1_800), change - 1_800);
    }
}
