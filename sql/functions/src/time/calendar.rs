//! Days counted from 1970-01-01 as dates of the proleptic Gregorian calendar, and back. Pure integer arithmetic.
//!
//! The conversions are Howard Hinnant's (`chrono-Compatible Low-Level Date Algorithms`). Years are astronomical: year 0 exists.

pub(super) const SECONDS_PER_DAY: i64 = 86_400;

/// A date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Date {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

/// The date of a day.
pub(super) const fn date_of(days: i64) -> Date {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    Date { year, month, day }
}

/// The day of a date; the day of the month may lie outside of the month.
pub(super) const fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// How many days the month has.
pub(super) const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day of a date that exists; `None` for others.
pub(super) fn valid_day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    exists.then(|| day_number(year, month, day))
}

/// The first day of the month that lies `months` months after year 0's January.
const fn month_start(months: i64) -> i64 {
    day_number(months.div_euclid(12), months.rem_euclid(12) + 1, 1)
}

/// Months since year 0's January.
const fn month_number(date: Date) -> i64 {
    date.year * 12 + date.month - 1
}

/// The same day of the month `months` later, or that month's last day.
pub(super) fn add_months(days: i64, months: i64) -> Option<i64> {
    let date = date_of(days);
    let target = month_number(date).checked_add(months)?;
    // Far beyond what a timestamp holds, but safe to compute with.
    if target.unsigned_abs() > 1 << 45 {
        return None;
    }
    let (year, month) = (target.div_euclid(12), target.rem_euclid(12) + 1);
    Some(day_number(year, month, date.day.min(days_in_month(year, month))))
}

/// Whole months from one local time (day, seconds in the day) to another.
pub(super) fn months_between(from: (i64, i64), to: (i64, i64)) -> i64 {
    if to < from {
        return -months_between(to, from);
    }
    let months = month_number(date_of(to.0)) - month_number(date_of(from.0));
    let reached = add_months(from.0, months).map_or(from, |day| (day, from.1));
    if reached > to { months - 1 } else { months }
}

/// 0 for Sunday to 6 for Saturday.
pub(super) const fn weekday(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

/// 1 for Monday to 7 for Sunday.
pub(super) const fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// 1 for January 1st.
pub(super) const fn day_of_year(days: i64) -> i64 {
    days - day_number(date_of(days).year, 1, 1) + 1
}

/// The year and number of the ISO week.
pub(super) const fn iso_week(days: i64) -> (i64, i64) {
    // A week belongs to the year that its Thursday lies in.
    let thursday = days + 4 - iso_weekday(days);
    (date_of(thursday).year, (day_of_year(thursday) - 1) / 7 + 1)
}

/// The first day of the period of `months` months, counted from year `origin`, that the day lies in, and of the next.
pub(super) const fn period(days: i64, months: i64, origin: i64) -> (i64, i64) {
    let shift = origin * 12;
    let index = (month_number(date_of(days)) - shift).div_euclid(months);
    (month_start(index * months + shift), month_start((index + 1) * months + shift))
}

#[cfg(test)]
mod tests {

    use super::*;
    use chrono::{Datelike, Months, NaiveDate};
    use proptest::prelude::*;

    fn chrono_date(days: i64) -> NaiveDate {
        NaiveDate::from_epoch_days(i32::try_from(days).expect("small")).expect("in range")
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(days in -2_000_000_i64..3_000_000, months in 0_i64..5_000) {
            let (ours, theirs) = (date_of(days), chrono_date(days));
            prop_assert_eq!(
                (ours.year, ours.month, ours.day),
                (i64::from(theirs.year()), i64::from(theirs.month()), i64::from(theirs.day()))
            );
            prop_assert_eq!(day_number(ours.year, ours.month, ours.day), days);
            prop_assert_eq!(valid_day_number(ours.year, ours.month, ours.day), Some(days));
            prop_assert_eq!(day_of_year(days), i64::from(theirs.ordinal()));
            prop_assert_eq!(weekday(days), i64::from(theirs.weekday().num_days_from_sunday()));
            let week = theirs.iso_week();
            prop_assert_eq!(iso_week(days), (i64::from(week.year()), i64::from(week.week())));
            let later = theirs.checked_add_months(Months::new(u32::try_from(months).expect("small"))).expect("in range");
            prop_assert_eq!(add_months(days, months), Some(i64::from(later.to_epoch_days())));
        }

        #[test]
        fn months_between_are_the_most_that_can_be_added(from in -20_000_i64..20_000, length in 0_i64..20_000) {
            let to = from + length;
            let months = months_between((from, 0), (to, 0));
            prop_assert!(add_months(from, months).expect("in range") <= to);
            prop_assert!(add_months(from, months + 1).expect("in range") > to);
            prop_assert_eq!(months_between((to, 0), (from, 0)), -months);
        }

        #[test]
        fn periods_hold_their_days(days in -2_000_000_i64..3_000_000) {
            for (months, origin) in [(1, 0), (3, 0), (12, 0), (120, 0), (1200, 1), (12_000, 1)] {
                let (start, next) = period(days, months, origin);
                prop_assert!(start <= days && days < next);
                prop_assert_eq!(period(start, months, origin).0, start);
            }
        }
    }
}
