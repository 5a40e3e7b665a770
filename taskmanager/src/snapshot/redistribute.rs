//! Operator state at another parallelism: a pure function of what all subtasks had.
//!
//! Wanted, and tested: over all new subtasks each entry of a list comes once, each of a union everywhere; at the same parallelism a
//! list's entries stay where they were.

use std::collections::BTreeMap;

use weir_api::state::{OperatorState, Redistribution};
use weir_snapshots::manifest::Operator;

/// What subtask `subtask` of `parallelism` gets.
pub(crate) fn redistribute(operator: &Operator, subtask: u32, parallelism: u32) -> Vec<OperatorState> {
    let mut states: BTreeMap<&str, Vec<(u32, &OperatorState)>> = BTreeMap::new();
    for before in &operator.subtasks {
        for state in &before.operator_states {
            states.entry(&state.name).or_default().push((before.index.0, state));
        }
    }
    let mut shares = Vec::with_capacity(states.len());
    for parts in states.into_values() {
        let Some((_, first)) = parts.first() else { continue };
        let all = || parts.iter().flat_map(|(_, part)| &part.entries).cloned();
        let entries = match first.redistribution {
            Redistribution::Union => all().collect(),
            Redistribution::Broadcast => first.entries.clone(),
            Redistribution::List if operator.parallelism == parallelism => {
                let own = parts.iter().filter(|(index, _)| *index == subtask);
                own.flat_map(|(_, part)| &part.entries).cloned().collect()
            }
            Redistribution::List => {
                let dealt =
                    all().enumerate().filter(|(at, _)| at % parallelism.max(1) as usize == subtask as usize);
                dealt.map(|(_, entry)| entry).collect()
            }
        };
        shares.push(OperatorState { entries, ..(*first).clone() });
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_api::id::{OperatorUid, SubtaskIndex};
    use weir_snapshots::manifest::Subtask;

    use super::*;

    fn operator(counts: &[u8], redistribution: Redistribution) -> Operator {
        let subtasks = (0..).zip(counts).map(|(index, count)| {
            let entry = |n: u8| {
                vec![if redistribution == Redistribution::Broadcast { 0 } else { index as u8 }, n].into()
            };
            let entries = (0..*count).map(entry).collect();
            let state = OperatorState { name: "s".to_owned(), redistribution, encoding_version: 1, entries };
            Subtask { index: SubtaskIndex(index), operator_states: vec![state], ..Subtask::default() }
        });
        Operator {
            uid: OperatorUid::new("o").unwrap(),
            name: "o".to_owned(),
            parallelism: counts.len() as u32,
            schemas: Vec::new(),
            subtasks: subtasks.collect(),
        }
    }

    proptest! {
        #[test]
        fn every_entry_is_where_it_belongs(counts in prop::collection::vec(0..6u8, 1..5), parallelism in 1..6u32) {
            let shares = |redistribution| -> Vec<Vec<_>> {
                let operator = operator(&counts, redistribution);
                let share = |subtask| redistribute(&operator, subtask, parallelism).remove(0).entries;
                (0..parallelism).map(share).collect()
            };
            let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let mut dealt: Vec<_> = shares(Redistribution::List).concat();
            prop_assert_eq!(dealt.len(), total);
            dealt.sort();
            dealt.dedup();
            prop_assert_eq!(dealt.len(), total);
            prop_assert!(shares(Redistribution::Union).iter().all(|share| share.len() == total));
            prop_assert!(shares(Redistribution::Broadcast).iter().all(|share| share.len() == usize::from(counts[0])));
            if parallelism as usize == counts.len() {
                let kept = shares(Redistribution::List);
                prop_assert!(kept.iter().zip(&counts).all(|(share, count)| share.len() == usize::from(*count)));
            }
        }
    }
}
