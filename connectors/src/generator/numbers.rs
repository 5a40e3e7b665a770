//! Which numbers a split owns: units of consecutive numbers dealt out in turn, so that all splits advance together in event
//! time. Pure.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::Split;

/// One of `count` equal shares of all numbers, as it travels in a split's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Which share.
    pub index: u64,
    /// How many there are.
    pub count: u64,
    /// How many consecutive numbers are dealt out at once.
    pub unit: u64,
    /// A number that was fixed when the job was submitted: `nexmark`'s base time, `datagen`'s seed.
    pub fixed: i64,
}

impl Share {
    /// The splits of a source of `total` numbers (none: unbounded).
    pub fn deal(count: u32, unit: u64, fixed: i64, total: Option<u64>) -> Result<Vec<Split>> {
        let count = u64::from(count.max(1));
        (0..count)
            .map(|index| {
                let share = Self { index, count, unit, fixed };
                let payload = serde_json::to_vec(&share)
                    .map_err(|error| Error::internal("a share can't be encoded").with_source(error))?;
                Ok(Split {
                    id: format!("{index}/{count}"),
                    payload,
                    weight: total.map_or(1, |total| total / count),
                    ..Split::default()
                })
            })
            .collect()
    }

    /// The share in a split's payload.
    pub fn of(split: &Split) -> Result<Self> {
        let share: Self = serde_json::from_slice(&split.payload).map_err(|error| {
            Error::new(Code::MalformedMessage, format!("split '{}' isn't a generator's", split.id))
                .with_source(error)
        })?;
        if share.count == 0 || share.unit == 0 || share.index >= share.count {
            return Err(Error::new(
                Code::MalformedMessage,
                format!("split '{}' names no share of numbers", split.id),
            ));
        }
        Ok(share)
    }
}

/// How far a share has been read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    share: Share,
    next: u64,
}

impl Cursor {
    /// At the share's first number.
    #[must_use]
    pub const fn new(share: Share) -> Self {
        Self { share, next: share.index.saturating_mul(share.unit) }
    }

    /// Where reading of the share goes on, as [`Self::next`] said it.
    pub fn at(share: Share, next: u64) -> Result<Self> {
        if next / share.unit % share.count == share.index {
            return Ok(Self { share, next });
        }
        Err(Error::new(
            Code::MalformedMessage,
            format!("number {next} isn't one of share {}/{}", share.index, share.count),
        ))
    }

    /// The next number.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Takes up to `most` numbers below `limit` into `pieces`, each within one unit (neighbours are joined where this share
    /// is all there is).
    pub fn take(&mut self, most: u64, limit: u64, pieces: &mut Vec<Range<u64>>) {
        pieces.clear();
        let mut left = most;
        while left > 0 && self.next < limit {
            let unit_end = (self.next / self.share.unit).saturating_add(1).saturating_mul(self.share.unit);
            let end = unit_end.min(limit).min(self.next.saturating_add(left));
            pieces.push(self.next..end);
            left -= end - self.next;
            self.next = if end == unit_end {
                end.saturating_add((self.share.count - 1).saturating_mul(self.share.unit))
            } else {
                end
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_has_exactly_one_owner(
            count in 1_u64..9, unit in 1_u64..60, total in 0_u64..2_000, most in 1_u64..300,
        ) {
            let mut seen = vec![0_u8; total as usize];
            for index in 0..count {
                let mut cursor = Cursor::new(Share { index, count, unit, fixed: 0 });
                let mut pieces = Vec::new();
                let mut last = None;
                while cursor.next() < total {
                    cursor.take(most, total, &mut pieces);
                    prop_assert!(!pieces.is_empty());
                    prop_assert!(pieces.iter().map(|piece| piece.end - piece.start).sum::<u64>() <= most);
                    for n in pieces.iter().cloned().flatten() {
                        prop_assert!(last < Some(n), "in order");
                        last = Some(n);
                        seen[n as usize] += 1;
                    }
                }
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
        }
    }

    #[test]
    fn a_share_travels_and_nonsense_is_refused() {
        let splits = Share::deal(3, 50, 17, Some(300)).expect("deals");
        assert_eq!(splits.len(), 3);
        assert_eq!(Share::of(&splits[2]).expect("valid"), Share { index: 2, count: 3, unit: 50, fixed: 17 });
        let wrong =
            Split { payload: br#"{"index":3,"count":3,"unit":1,"fixed":0}"#.to_vec(), ..Split::default() };
        assert!(Share::of(&wrong).is_err());
        assert!(Share::of(&Split::default()).is_err());
    }
}
