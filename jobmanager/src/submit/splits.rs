//! Decides which subtask reads which split: a pure function.
//!
//! Wanted, each checked by a property test: every split is read by exactly one subtask; no subtask gets more than an even share
//! plus one split; a subtask reads its splits in the order in which the source named them; the same splits give the same shares.

use weir_proto::v1::Split;

/// Shares of `splits` for each of `parallelism` subtasks, balanced by weight.
///
/// The heaviest first to whoever has least (longest processing time first). A split without a weight counts as one of weight 1.
#[must_use]
pub fn assign(splits: Vec<Split>, parallelism: u32) -> Vec<Vec<Split>> {
    use std::cmp::Reverse;
    let mut heaviest_first: Vec<(u64, usize)> =
        splits.iter().enumerate().map(|(position, split)| (split.weight.max(1), position)).collect();
    heaviest_first.sort_by_key(|(weight, position)| (Reverse(*weight), *position));

    let mut least: std::collections::BinaryHeap<_> =
        (0..parallelism as usize).map(|subtask| Reverse((0_u64, subtask))).collect();
    let mut owners = vec![0; splits.len()];
    for (weight, position) in heaviest_first {
        if let Some(Reverse((load, subtask))) = least.pop() {
            owners[position] = subtask;
            least.push(Reverse((load.saturating_add(weight), subtask)));
        }
    }
    let mut shares: Vec<Vec<Split>> = vec![Vec::new(); parallelism as usize];
    for (split, owner) in splits.into_iter().zip(owners) {
        if let Some(share) = shares.get_mut(owner) {
            share.push(split);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn splits(weights: &[u64]) -> Vec<Split> {
        let split =
            |(n, weight): (usize, &u64)| Split { id: n.to_string(), payload: vec![], weight: *weight };
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
    }
}
