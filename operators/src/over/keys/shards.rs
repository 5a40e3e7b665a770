//! Which of many small hash tables a key lies in.
//!
//! Tables of equal size would all grow within the same few batches; these differ in size by up to two, so that they grow one after
//! the other. Invariant: a key's table depends on its hash alone.

/// How many tables.
pub(super) const SHARDS: usize = 64;
/// How many different hash bits choose one.
const SLOTS: usize = 1024;

/// The table of each choice of hash bits: table n has a share of n + 64.
static SHARD_OF: [u8; SLOTS] = {
    let mut slots = [0; SLOTS];
    let total = SHARDS * SHARDS + SHARDS * (SHARDS - 1) / 2;
    let (mut shard, mut end, mut slot) = (0, SHARDS, 0);
    while slot < SLOTS {
        while slot * total >= end * SLOTS {
            shard += 1;
            end += SHARDS + shard;
        }
        slots[slot] = shard as u8;
        slot += 1;
    }
    slots
};

/// The table of a key with this hash; takes bits that a hash table doesn't look at.
#[inline]
pub(super) const fn shard_of(hash: u64) -> usize {
    SHARD_OF[(hash >> 44) as usize % SLOTS] as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_differ_in_size_by_two() {
        let mut sizes = [0; SHARDS];
        for slot in 0..SLOTS as u64 {
            sizes[shard_of(slot << 44)] += 1;
        }
        assert_eq!(sizes.iter().sum::<usize>(), SLOTS);
        assert!(sizes.iter().all(|&size| (10..=22).contains(&size)), "{sizes:?}");
        assert!(sizes[0] <= 11 && sizes[SHARDS - 1] >= 20, "{sizes:?}");
    }
}
