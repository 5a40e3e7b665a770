//! Decides which subtask reads which split: a pure function.
//!
//! Wanted, each checked by a property test: every split is read by exactly one subtask; no subtask gets more than an even share
//! plus one split; a subtask reads its splits in the order in which the source named them; the same splits give the same shares.
//! Splits that are found later go to those that have least; what has been given to a subtask stays with it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use weir_proto::v1::Split;

/// Shares of `splits` for each of `parallelism` subtasks, balanced by weight.
///
/// The heaviest first to whoever has least (longest processing time first). A split without a weight counts as one of weight 1.
#[must_use]
pub fn assign(splits: Vec<Split>, parallelism: u32) -> Vec<Vec<Split>> {
    assign_more(splits, &vec![0; parallelism as usize])
}

/// Shares of `splits` for subtasks that have loads already; the loads are those of [`load`].
#[must_use]
pub fn assign_more(splits: Vec<Split>, loads: &[u64]) -> Vec<Vec<Split>> {
    let mut heaviest_first: Vec<(u64, usize)> =
        splits.iter().enumerate().map(|(position, split)| (split.weight.max(1), position)).collect();
    heaviest_first.sort_by_key(|(weight, position)| (Reverse(*weight), *position));

    let mut least: BinaryHeap<_> =
        loads.iter().enumerate().map(|(subtask, load)| Reverse((*load, subtask))).collect();
    let mut owners = vec![0; splits.len()];
    for (weight, position) in heaviest_first {
        if let Some(Reverse((load, subtask))) = least.pop() {
            owners[position] = subtask;
            least.push(Reverse((load.saturating_add(weight), subtask)));
        }
    }
    let mut shares: Vec<Vec<Split>> = vec![Vec::new(); loads.len()];
    for (split, owner) in splits.into_iter().zip(owners) {
        if let Some(share) = shares.get_mut(owner) {
            share.push(split);
        }
    }
    shares
}

/// What splits weigh together.
#[must_use]
pub fn load(splits: &[Split]) -> u64 {
    splits.iter().fold(0, |sum, split| sum.saturating_add(split.weight.max(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn splits(weights: &[u64]) -> Vec<Split> {
        let split = |(n, weight): (usize, &u64)| Split {
            id: n.to_string(),
            payload: vec![],
            weight: *weight,
            ..Split::default()
        };
        weights.iter().enumerate().map(split).collect()
    }

    #[test]
    fn one_large_file_doesnt_bring_its_reader_all_the_others() {
        let shares = assign(splits(&[1, 1, 1, 10, 1, 1]), 2);
        let ids = |share: &[Split]| share.iter().map(|split| split.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&shares[0]), ["3"]);
        assert_eq!(ids(&shares[1]), ["0", "1", "2", "4", "5"]);
    }

    proptest! {
        #[test]
        fn wanted_properties_hold(weights in prop::collection::vec(0..1_000_u64, 0..60), parallelism in 1..9_u32) {
            let all = splits(&weights);
            let shares = assign(all.clone(), parallelism);
            prop_assert_eq!(shares.len(), parallelism as usize);
            let mut ids: Vec<usize> = shares.iter().flatten().map(|split| split.id.parse().expect("a number")).collect();
            ids.sort_unstable();
            prop_assert_eq!(ids, (0..weights.len()).collect::<Vec<_>>(), "each exactly once");

            let counted = |split: &Split| split.weight.max(1);
            let total: u64 = all.iter().map(counted).sum();
            let largest = all.iter().map(counted).max().unwrap_or(0);
            for share in &shares {
                let load: u64 = share.iter().map(counted).sum();
                prop_assert!(load <= total / u64::from(parallelism) + largest, "an even share plus one split");
                let order: Vec<usize> = share.iter().map(|split| split.id.parse().expect("a number")).collect();
                prop_assert!(order.is_sorted(), "in the source's order");
            }
            prop_assert_eq!(assign(all, parallelism), shares);
        }

        #[test]
        fn what_comes_later_goes_to_those_that_have_least(
            weights in prop::collection::vec(0..1_000_u64, 0..30), loads in prop::collection::vec(0..3_000_u64, 1..6),
        ) {
            let shares = assign_more(splits(&weights), &loads);
            prop_assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), weights.len());
            let after: Vec<u64> = shares.iter().zip(&loads).map(|(share, before)| before + load(share)).collect();
            let least = after.iter().copied().min().unwrap_or_default();
            for (share, after) in shares.iter().zip(after) {
                let lightest = share.iter().map(|split| split.weight.max(1)).min();
                // Its last split went to it when nobody had less.
                prop_assert!(lightest.is_none_or(|last| after - last <= least), "{shares:?} onto {loads:?}");
            }
        }
    }
}
