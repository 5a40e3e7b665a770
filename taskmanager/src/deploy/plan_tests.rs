//! Every subtask is planned once, channels match at both ends, and what doesn't fit is refused.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weir_api::graph::Partitioning;

use super::*;
use crate::tests::fixture::graph::{deployment, line, sink, source, union};

const JOB: JobId = JobId::from_bytes([7; 16]);

fn partitioning() -> impl Strategy<Value = Partitioning> {
    prop_oneof![
        Just(Partitioning::Hash(vec![0])),
        Just(Partitioning::Rebalance),
        Just(Partitioning::Rescale),
        Just(Partitioning::Broadcast),
    ]
}

proptest! {
    #[test]
    fn every_subtask_is_planned_once_and_channels_match_at_both_ends(
        parallelisms in prop::array::uniform3(1_u32..9),
        edges in prop::array::uniform2(partitioning()),
        managers in 1_usize..4,
    ) {
        let graph = line(
            vec![
                (vec![source("s", &[])], parallelisms[0]),
                (vec![union("u")], parallelisms[1]),
                (vec![union("v"), sink("t", &[])], parallelisms[2]),
            ],
            &edges,
        );
        let names: Vec<String> = (0..managers).map(|manager| format!("tm-{manager}")).collect();
        let slots: Vec<_> = (0..graph.required_slots())
            .map(|slot| (names[slot as usize % managers].as_str(), "h:1", slot / managers as u32))
            .collect();
        let mut planned = BTreeSet::new();
        let mut produced = BTreeSet::new();
        let mut consumed = BTreeSet::new();
        for name in &names {
            let plan = Plan::new(JOB, Attempt(1), deployment(7, 1, &graph, &slots), name, 9).unwrap();
            for subtask in &plan.subtasks {
                prop_assert!(planned.insert((subtask.vertex, subtask.index)), "planned twice");
                prop_assert_eq!(subtask.splits.len(), usize::from(subtask.vertex.0 == 0));
                for spec in plan.partitions(subtask).unwrap() {
                    prop_assert!(!spec.targets.is_empty());
                    produced.extend(spec.targets.iter().map(|to| (spec.id.edge, spec.id.subtask, *to)));
                }
                for gate in plan.gates(subtask).unwrap() {
                    for source in gate.sources {
                        let here = slots[source.subtask.0 as usize].0 == name;
                        prop_assert_eq!(source.location == Location::Local, here);
                        consumed.insert((source.edge, source.subtask, gate.id.subtask));
                    }
                }
            }
        }
        prop_assert_eq!(planned.len() as u32, parallelisms.iter().sum::<u32>());
        prop_assert_eq!(produced, consumed);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let graph = line(vec![(vec![source("s", &[]), sink("t", &[])], 2)], &[]);
    let good = deployment(7, 1, &graph, &[("a", "h:1", 0), ("a", "h:1", 1)]);
    let plan = |message| Plan::new(JOB, Attempt(1), message, "a", 2);
    assert_eq!(plan(good.clone()).unwrap().subtasks.len(), 2);
    let broken: [fn(&mut DeployTasks); 5] = [
        |message| message.graph = None,
        |message| message.placement.truncate(1),
        |message| message.placement[1].slot = 2,
        |message| message.splits[0].vertex = 9,
        |message| message.splits[0].subtask = 2,
    ];
    for (number, break_it) in broken.iter().enumerate() {
        let mut message = good.clone();
        break_it(&mut message);
        let meant = meant_for(JOB, Attempt(1), &message, "a").len();
        let error = plan(message).map(|_| number).unwrap_err();
        assert_eq!(error.code(), Code::MalformedMessage, "{error}");
        assert_eq!(meant, if number < 2 { 1 } else { 2 }, "whom it fails");
    }
}
