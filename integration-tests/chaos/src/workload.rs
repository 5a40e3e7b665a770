//! What a round feeds in, and what must come out: a pure function of the seed.
//!
//! The truth is computed again wherever it is needed and never read back. A record's event time is out of order by less than
//! [`DISORDER_MILLIS`], which the job's watermark allows; some in the second half are planted an hour late, in windows where
//! nothing else belongs; the last one of each partition lies an hour ahead, so that all windows before it close. Nothing here
//! knows about topics or clusters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Event time of the first record: 2024-01-01 00:00:00 UTC.
pub const BASE_MILLIS: i64 = 1_704_067_200_000;
/// Records are out of order by less than this.
pub const DISORDER_MILLIS: i64 = 4_000;
/// How far behind the largest time the job's watermark runs.
pub const BOUND_SECONDS: i64 = 5;
/// The size of windows.
pub const WINDOW_MILLIS: i64 = 10_000;
const HOUR_MILLIS: i64 = 3_600_000;
/// Event time between two records of a partition.
const STEP_MILLIS: i64 = 20;
/// Planted late records lie within this long.
const LATE_SPAN_MILLIS: u64 = 60_000;
/// One record in so many of the second half is planted late.
const LATE_ONE_IN: u64 = 150;
/// The key of the records that close the windows.
pub const CLOSING_KEY: i64 = -1;

/// How much is fed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workload {
    /// What everything follows from.
    pub seed: u64,
    /// Partitions of the input topic.
    pub partitions: u32,
    /// Records of each partition, the closing one included.
    pub records: u64,
    /// Different keys.
    pub keys: u64,
}

/// One record of the input.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The seed.
    pub run: u64,
    /// The input's partition.
    pub p: u32,
    /// Its number in the partition, from 0.
    pub seq: u64,
    /// Its key.
    pub key: i64,
    /// How many records of its key and partition there are up to it: from 1.
    pub kseq: u64,
    /// Event time, as the job reads it.
    pub ts: String,
    /// What is summed.
    pub amount: i64,
    /// Of the other fields.
    pub crc32: u32,
    #[serde(skip)]
    at: i64,
}

/// What a window must say of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aggregate {
    /// Records.
    pub count: u64,
    /// Of their amounts.
    pub sum: i64,
    /// Of their amounts.
    pub min: i64,
    /// Of their amounts.
    pub max: i64,
}

impl Aggregate {
    fn of(amount: i64) -> Self {
        Self { count: 1, sum: amount, min: amount, max: amount }
    }

    fn add(&mut self, amount: i64) {
        self.count += 1;
        self.sum += amount;
        self.min = self.min.min(amount);
        self.max = self.max.max(amount);
    }

    /// Of these amounts; `None` for none.
    pub fn over(amounts: impl IntoIterator<Item = i64>) -> Option<Self> {
        amounts.into_iter().fold(None, |sum, amount| match sum {
            None => Some(Self::of(amount)),
            Some(mut sum) => {
                sum.add(amount);
                Some(sum)
            }
        })
    }
}

/// A key's window: its key and its start in milliseconds.
pub type Window = (i64, i64);

impl Workload {
    /// A workload that a debug build gets through in a round's time.
    #[must_use]
    pub const fn of(seed: u64, records: u64) -> Self {
        Self { seed, partitions: 4, records, keys: 40 }
    }

    /// All records.
    #[must_use]
    pub fn total(&self) -> u64 {
        u64::from(self.partitions) * self.records
    }

    /// How many records of a partition are there before the job starts.
    #[must_use]
    pub const fn preloaded(&self) -> u64 {
        self.records / 2
    }

    /// The records of a partition, in its order.
    #[must_use]
    pub fn partition(&self, p: u32) -> Vec<Record> {
        let mut random = Random::new(self.seed, 1 + u64::from(p));
        let mut of_key: BTreeMap<i64, u64> = BTreeMap::new();
        (0..self.records)
            .map(|seq| {
                let (key, at) = self.draw(seq, &mut random);
                let kseq = of_key.entry(key).or_default();
                *kseq += 1;
                let amount = random.within(0..2_000).cast_signed() - 1_000;
                Record::new(self.seed, p, seq, key, *kseq, at, amount)
            })
            .collect()
    }

    fn draw(&self, seq: u64, random: &mut Random) -> (i64, i64) {
        let nominal = BASE_MILLIS + seq.cast_signed() * STEP_MILLIS;
        if seq + 1 == self.records {
            return (CLOSING_KEY, nominal + HOUR_MILLIS);
        }
        // Two draws, so that some keys are hot.
        let key = random.below(self.keys).min(random.below(self.keys)).cast_signed();
        let disorder = random.below(DISORDER_MILLIS.unsigned_abs()).cast_signed();
        if seq >= self.preloaded() && random.one_in(LATE_ONE_IN) {
            return (key, BASE_MILLIS - HOUR_MILLIS + random.below(LATE_SPAN_MILLIS).cast_signed());
        }
        (key, nominal - disorder)
    }

    /// All records, partition by partition.
    pub fn all(&self) -> impl Iterator<Item = Record> + use<> {
        let workload = *self;
        (0..self.partitions).flat_map(move |p| workload.partition(p))
    }

    /// The windows that must fire, each once: those of all records but the planted and the closing ones.
    #[must_use]
    pub fn windows(&self) -> BTreeMap<Window, Aggregate> {
        let mut windows: BTreeMap<Window, Aggregate> = BTreeMap::new();
        for record in self.all().filter(|record| !record.is_planted() && !record.is_closing()) {
            windows
                .entry(record.window())
                .and_modify(|aggregate| aggregate.add(record.amount))
                .or_insert_with(|| Aggregate::of(record.amount));
        }
        windows
    }
}

impl Record {
    fn new(run: u64, p: u32, seq: u64, key: i64, kseq: u64, at: i64, amount: i64) -> Self {
        let ts = timestamp(at);
        let crc32 = crc32fast::hash(format!("{run},{p},{seq},{key},{kseq},{ts},{amount}").as_bytes());
        Self { run, p, seq, key, kseq, ts, amount, crc32, at }
    }

    /// Reads the time again of a record that was read itself; false if it has none.
    pub(crate) fn read_time(&mut self) -> bool {
        match millis_of(&self.ts) {
            Some(at) => {
                // The engine may write it in another of its notations.
                self.ts = timestamp(at);
                self.at = at;
                true
            }
            None => false,
        }
    }

    /// Event time in milliseconds.
    #[must_use]
    pub const fn millis(&self) -> i64 {
        self.at
    }

    /// Whether it was made to be late.
    #[must_use]
    pub const fn is_planted(&self) -> bool {
        self.at < BASE_MILLIS - HOUR_MILLIS / 2
    }

    /// Whether it is there to close the windows before it.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.key == CLOSING_KEY
    }

    /// The window that it belongs to.
    #[must_use]
    pub const fn window(&self) -> Window {
        (self.key, self.at - self.at.rem_euclid(WINDOW_MILLIS))
    }
}

/// Milliseconds as `YYYY-MM-DD hh:mm:ss.mmm`, by the civil calendar.
#[must_use]
pub fn timestamp(millis: i64) -> String {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    // Howard Hinnant's days-to-civil: years begin in March, so that the leap day is the last one.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (rest / 1000, rest % 1000);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{millis:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// The milliseconds of `YYYY-MM-DD hh:mm:ss[.mmm]`, with `T` or a blank between date and time.
#[must_use]
pub fn millis_of(text: &str) -> Option<i64> {
    let (date, time) = text.trim_end_matches('Z').split_once(['T', ' '])?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.split(':').map(str::parse::<i64>);
    let (hours, minutes) = (time.next()?.ok()?, time.next()?.ok()?);
    let seconds = time.next().unwrap_or(Ok(0)).ok()?;
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let shifted_year = year - i64::from(month <= 2);
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKLOAD: Workload = Workload::of(7, 2_000);

    #[test]
    fn a_seed_means_the_same_records_for_ever() {
        let first = WORKLOAD.partition(0);
        assert_eq!(first, WORKLOAD.partition(0));
        assert_ne!(first, WORKLOAD.partition(1));
        // Golden: were it to change, the seeds in the table of results would mean other rounds.
        let json = serde_json::to_string(&first[1234]).unwrap();
        assert_eq!(
            json,
            "{\"run\":7,\"p\":0,\"seq\":1234,\"key\":18,\"kseq\":46,\"ts\":\"2024-01-01 00:00:24.499\",\"amount\":-185,\
             \"crc32\":2776885451}"
        );
    }

    #[test]
    fn disorder_stays_below_the_bound_and_late_ones_are_really_late() {
        for p in 0..WORKLOAD.partitions {
            let mut largest = BASE_MILLIS - HOUR_MILLIS;
            for record in WORKLOAD.partition(p) {
                if record.is_planted() {
                    assert!(record.window().1 + WINDOW_MILLIS < largest - 1000 * BOUND_SECONDS);
                } else {
                    assert!(record.millis() > largest - 1000 * BOUND_SECONDS, "{record:?}");
                    largest = largest.max(record.millis());
                }
            }
        }
        assert!(WORKLOAD.all().filter(Record::is_planted).count() > 10);
        assert_eq!(WORKLOAD.all().filter(Record::is_closing).count(), 4);
    }

    #[test]
    fn windows_hold_all_that_is_neither_planted_nor_closing() {
        let inside = WORKLOAD.all().filter(|record| !record.is_planted() && !record.is_closing()).count();
        let counted: u64 = WORKLOAD.windows().values().map(|aggregate| aggregate.count).sum();
        assert_eq!(counted, inside as u64);
    }

    #[test]
    fn times_are_written_and_read() {
        assert_eq!(timestamp(BASE_MILLIS + 23_094), "2024-01-01 00:00:23.094");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29 00:00:00.000");
        for millis in [BASE_MILLIS, -1, 951_782_400_001, 4_107_542_399_999] {
            assert_eq!(millis_of(&timestamp(millis)), Some(millis));
        }
        assert_eq!(millis_of("2024-01-01T00:00"), Some(BASE_MILLIS));
        assert_eq!(millis_of("soon"), None);
    }
}
