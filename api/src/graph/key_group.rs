//! Which subtask owns which key groups: one function, for router, state and planner.
//!
//! Invariant, tested for every parallelism: each key group is owned by exactly one subtask, and [`subtask_of_key_group`] names
//! it.

/// The key groups `start..end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyGroupRange {
    /// The first.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl KeyGroupRange {
    /// The range that a subtask owns; Flink's `computeKeyGroupRangeForOperatorIndex`.
    #[must_use]
    pub const fn of_subtask(subtask: u32, parallelism: u32, max_parallelism: u32) -> Self {
        Self {
            start: (subtask as u64 * max_parallelism as u64).div_ceil(parallelism as u64) as u32,
            end: ((subtask as u64 + 1) * max_parallelism as u64).div_ceil(parallelism as u64) as u32,
        }
    }

    /// Whether the range holds the key group.
    #[must_use]
    pub const fn contains(&self, key_group: u32) -> bool {
        self.start <= key_group && key_group < self.end
    }

    /// How many key groups.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.end - self.start
    }

    /// Whether there are none (more subtasks than key groups).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// The subtask that owns a key group; Flink's `computeOperatorIndexForKeyGroup`.
#[must_use]
pub const fn subtask_of_key_group(key_group: u32, parallelism: u32, max_parallelism: u32) -> u32 {
    (key_group as u64 * parallelism as u64 / max_parallelism as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_group_is_owned_exactly_once_at_every_parallelism() {
        for max_parallelism in [1, 2, 7, 128, 1000] {
            for parallelism in 1..=max_parallelism {
                let mut next = 0;
                for subtask in 0..parallelism {
                    let range = KeyGroupRange::of_subtask(subtask, parallelism, max_parallelism);
                    assert_eq!(range.start, next);
                    for key_group in range.start..range.end {
                        assert_eq!(subtask_of_key_group(key_group, parallelism, max_parallelism), subtask);
                    }
                    next = range.end;
                }
                assert_eq!(next, max_parallelism);
            }
        }
    }
}
