//! Judges whether each key's records count up by one, in the order of a log: what is lost, what is there again, what stands behind
//! its successor.
//!
//! Invariant: memory is one entry for each key and each open gap, and a bounded number of violations that are kept to be shown; all
//! are counted. It knows places in a log, not what a log is. What is missing behind a key's last number can't be known.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Violations that are kept to be shown.
const SHOWN: usize = 1_000;

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wrong {
    /// Numbers that are nowhere; the places are those of the neighbours.
    Lost,
    /// Numbers that were there before.
    Doubled,
    /// Numbers behind a larger one.
    Disordered,
    /// Numbers below the first, or records without key or number.
    Foreign,
}

impl Wrong {
    pub const ALL: [Self; 4] = [Self::Lost, Self::Doubled, Self::Disordered, Self::Foreign];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Disordered => "out of order",
            Self::Foreign => "foreign",
        }
    }
}

/// A run of numbers that something is wrong with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    pub wrong: Wrong,
    /// `None`: the record has no readable key or number.
    pub key: Option<String>,
    /// First and last.
    pub numbers: (i64, i64),
    /// From where to where; `None`: before the key's first record.
    pub places: (Option<Place>, Place),
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub records: u64,
    pub keys: u64,
    /// How many numbers or records, by kind.
    pub counts: BTreeMap<Wrong, u64>,
    /// The first ones.
    pub violations: Vec<Violation>,
}

struct Sequence {
    next: i64,
    last: Option<Place>,
    /// Open gaps: first number -> last number and the neighbours' places.
    gaps: BTreeMap<i64, (i64, Option<Place>, Place)>,
}

/// Looks at records one by one.
pub struct Judge {
    first: i64,
    sequences: HashMap<String, Sequence>,
    verdict: Verdict,
}

impl Judge {
    /// Of sequences that begin with `first`.
    pub fn new(first: i64) -> Self {
        Self { first, sequences: HashMap::new(), verdict: Verdict::default() }
    }

    /// A record without a key or number that can be read.
    pub fn unreadable(&mut self, place: Place) {
        self.verdict.records += 1;
        self.report(Wrong::Foreign, None, 0, (Some(place), place));
    }

    /// The next record of the log.
    pub fn see(&mut self, key: &str, number: i64, place: Place) {
        self.verdict.records += 1;
        let first = self.first;
        if !self.sequences.contains_key(key) {
            let begins = Sequence { next: first, last: None, gaps: BTreeMap::new() };
            self.sequences.insert(key.to_owned(), begins);
        }
        let Some(sequence) = self.sequences.get_mut(key) else { return };
        let wrong = if number < first {
            Some(Wrong::Foreign)
        } else if number >= sequence.next {
            if number > sequence.next {
                sequence.gaps.insert(sequence.next, (number - 1, sequence.last, place));
            }
            sequence.next = number.saturating_add(1);
            None
        } else if sequence.close(number) {
            Some(Wrong::Disordered)
        } else {
            Some(Wrong::Doubled)
        };
        sequence.last = Some(place);
        if let Some(wrong) = wrong {
            self.report(wrong, Some(key), number, (Some(place), place));
        }
    }

    /// Counts, and keeps it with the run that it goes on with.
    fn report(&mut self, wrong: Wrong, key: Option<&str>, number: i64, places: (Option<Place>, Place)) {
        *self.verdict.counts.entry(wrong).or_default() += 1;
        let before = self.verdict.violations.iter_mut().rev().find(|before| before.key.as_deref() == key);
        if let Some(before) = before
            && before.wrong == wrong
            && before.places.1.partition == places.1.partition
            && key.is_none_or(|_| before.numbers.1.checked_add(1) == Some(number))
        {
            before.numbers.1 = number;
            before.places.1 = places.1;
            return;
        }
        if self.verdict.violations.len() < SHOWN {
            let key = key.map(str::to_owned);
            self.verdict.violations.push(Violation { wrong, key, numbers: (number, number), places });
        }
    }

    /// The end of the log.
    pub fn verdict(self) -> Verdict {
        let mut verdict = self.verdict;
        verdict.keys = self.sequences.len() as u64;
        let mut sequences: Vec<_> = self.sequences.into_iter().collect();
        sequences.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, sequence) in sequences {
            for (from, (to, before, behind)) in sequence.gaps {
                *verdict.counts.entry(Wrong::Lost).or_default() += to.abs_diff(from).saturating_add(1);
                if verdict.violations.len() < SHOWN {
                    let (key, numbers) = (Some(key.clone()), (from, to));
                    let places = (before, behind);
                    verdict.violations.push(Violation { wrong: Wrong::Lost, key, numbers, places });
                }
            }
        }
        verdict
    }
}

impl Sequence {
    /// Takes a number out of the gap that it is in, if it is in one.
    fn close(&mut self, number: i64) -> bool {
        let Some((&from, &(to, before, behind))) = self.gaps.range(..=number).next_back() else {
            return false;
        };
        if number > to {
            return false;
        }
        self.gaps.remove(&from);
        if from < number {
            self.gaps.insert(from, (number - 1, before, behind));
        }
        if number < to {
            self.gaps.insert(number + 1, (to, before, behind));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(records: &[(&str, i64)]) -> Verdict {
        let mut judge = Judge::new(1);
        for ((key, number), offset) in records.iter().zip(0..) {
            judge.see(key, *number, Place { partition: 0, offset });
        }
        judge.verdict()
    }

    /// Kind, numbers, offsets.
    type Found = (Wrong, (i64, i64), (Option<i64>, i64));

    fn found(verdict: &Verdict) -> Vec<Found> {
        let violations = verdict.violations.iter();
        violations
            .map(|one| {
                (one.wrong, one.numbers, (one.places.0.map(|place| place.offset), one.places.1.offset))
            })
            .collect()
    }

    #[test]
    fn whole_sequences_are_right_however_they_are_mixed() {
        let verdict = judge(&[("a", 1), ("b", 1), ("b", 2), ("a", 2), ("a", 3)]);
        assert_eq!((verdict.records, verdict.keys), (5, 2));
        assert!(verdict.violations.is_empty() && verdict.counts.is_empty(), "{verdict:?}");
    }

    #[test]
    fn a_gap_is_lost_between_its_neighbours() {
        let verdict = judge(&[("a", 1), ("b", 1), ("a", 4), ("b", 2), ("a", 5)]);
        assert_eq!(found(&verdict), [(Wrong::Lost, (2, 3), (Some(0), 2))]);
        assert_eq!(verdict.counts[&Wrong::Lost], 2);
        let verdict = judge(&[("a", 3)]);
        assert_eq!(found(&verdict), [(Wrong::Lost, (1, 2), (None, 0))], "the beginning is known");
    }

    #[test]
    fn what_is_there_again_is_doubled() {
        let verdict = judge(&[("a", 1), ("a", 2), ("a", 3), ("a", 2), ("a", 3), ("a", 4)]);
        assert_eq!(found(&verdict), [(Wrong::Doubled, (2, 3), (Some(3), 4))]);
        assert_eq!(verdict.counts[&Wrong::Doubled], 2);
    }

    #[test]
    fn what_comes_late_is_out_of_order_and_then_doubled() {
        let verdict = judge(&[("a", 1), ("a", 4), ("a", 3), ("a", 3), ("a", 2)]);
        let late = |number, offset| (Wrong::Disordered, (number, number), (Some(offset), offset));
        assert_eq!(found(&verdict), [late(3, 2), (Wrong::Doubled, (3, 3), (Some(3), 3)), late(2, 4)]);
        assert!(!verdict.counts.contains_key(&Wrong::Lost), "{verdict:?}");
    }

    #[test]
    fn what_cannot_belong_there_is_foreign() {
        let mut judge = Judge::new(1);
        judge.see("a", 0, Place { partition: 0, offset: 0 });
        judge.see("a", 1, Place { partition: 0, offset: 1 });
        judge.unreadable(Place { partition: 0, offset: 2 });
        judge.unreadable(Place { partition: 1, offset: 7 });
        let verdict = judge.verdict();
        assert_eq!(verdict.counts[&Wrong::Foreign], 3);
        assert_eq!(verdict.violations.len(), 3, "{verdict:?}");
    }
}
