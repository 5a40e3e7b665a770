//! The aligner against single stories, and against channels that deliver in any order.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn barrier(checkpoint_id: u64) -> Barrier {
    Barrier { checkpoint_id, timestamp_millis: 0, purpose: weir_api::element::Purpose::Checkpoint }
}

const NOTHING: Decision = Decision { release: false, wait: false, aligned: None };
const WAIT: Decision = Decision { wait: true, ..NOTHING };

#[test]
fn a_snapshot_is_taken_when_the_last_barrier_is_in() {
    let mut aligner = Aligner::new(3);
    assert_eq!(aligner.on_barrier(1, barrier(1)), WAIT);
    assert_eq!(aligner.on_barrier(0, barrier(1)), WAIT);
    let aligned = Decision { release: true, wait: false, aligned: Some(barrier(1)) };
    assert_eq!(aligner.on_barrier(2, barrier(1)), aligned);
    assert_eq!(aligner.on_barrier(2, barrier(1)), NOTHING, "once");
}

#[test]
fn one_channel_never_waits() {
    let mut aligner = Aligner::new(1);
    let aligned = Decision { aligned: Some(barrier(4)), release: true, ..NOTHING };
    assert_eq!(aligner.on_barrier(0, barrier(4)), aligned);
}

#[test]
fn channels_that_end_count_as_having_delivered() {
    let mut aligner = Aligner::new(3);
    assert_eq!(aligner.on_end(0), NOTHING);
    assert_eq!(aligner.on_barrier(1, barrier(1)), WAIT);
    assert_eq!(aligner.on_end(2), Decision { release: true, wait: false, aligned: Some(barrier(1)) });
}

#[test]
fn a_newer_barrier_ends_the_wait_for_an_older_one() {
    let mut aligner = Aligner::new(2);
    assert_eq!(aligner.on_barrier(0, barrier(1)), WAIT);
    assert_eq!(aligner.on_barrier(1, barrier(2)), Decision { release: true, ..WAIT });
    assert_eq!(aligner.on_barrier(0, barrier(2)).aligned, Some(barrier(2)));
    assert_eq!(aligner.on_barrier(0, barrier(1)), NOTHING, "a straggler");
}

/// What stands in a channel: barriers of growing checkpoints, numbered records between them.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Item {
    Record,
    Barrier(u64),
    End,
}

/// Channels with barriers 1 to 6, some of them missing, and records between.
fn channels() -> impl Strategy<Value = Vec<Vec<Item>>> {
    let part = (0..3_usize, prop::bool::weighted(0.85));
    let channel = (prop::collection::vec(part, 6), any::<bool>()).prop_map(|(parts, ends)| {
        let mut items = Vec::new();
        for (checkpoint, (records, present)) in (1..).zip(parts) {
            items.extend(std::iter::repeat_n(Item::Record, records));
            items.extend(present.then_some(Item::Barrier(checkpoint)));
        }
        items.extend(ends.then_some(Item::End));
        items
    });
    prop::collection::vec(channel, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_a_snapshot_holds_stood_before_its_barriers(
        channels in channels(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let mut aligner = Aligner::new(channels.len());
        let mut rest: Vec<VecDeque<Item>> = channels.iter().map(|items| items.iter().copied().collect()).collect();
        let mut waiting = vec![false; channels.len()];
        let mut last = vec![None; channels.len()];
        let mut ended = vec![false; channels.len()];
        let mut out = Vec::new();
        for index in order {
            let free: Vec<_> = (0..channels.len()).filter(|n| !waiting[*n] && !rest[*n].is_empty()).collect();
            if free.is_empty() {
                break;
            }
            let channel = *index.get(&free);
            let item = rest[channel].pop_front().expect("not empty");
            let decision = match item {
                Item::Record => continue,
                Item::Barrier(checkpoint) => {
                    last[channel] = Some(checkpoint);
                    aligner.on_barrier(channel, barrier(checkpoint))
                }
                Item::End => {
                    ended[channel] = true;
                    aligner.on_end(channel)
                }
            };
            if decision.release {
                waiting.fill(false);
            }
            if decision.wait {
                waiting[channel] = true;
            }
            if let Some(aligned) = decision.aligned {
                let checkpoint = aligned.checkpoint_id;
                prop_assert!(out.last().is_none_or(|last| *last < checkpoint), "{out:?} then {checkpoint}");
                for channel in 0..channels.len() {
                    let delivered = last[channel] == Some(checkpoint);
                    prop_assert!(delivered || ended[channel], "channel {channel} stands at {:?}", last[channel]);
                }
                prop_assert!(waiting.iter().all(|waits| !waits), "{checkpoint} is out and somebody waits");
                out.push(checkpoint);
            }
        }
        if rest.iter().all(VecDeque::is_empty) {
            for checkpoint in 1..=6 {
                let everywhere = channels.iter().all(|items| items.contains(&Item::Barrier(checkpoint)));
                prop_assert!(!everywhere || out.contains(&checkpoint), "{checkpoint} is missing in {out:?}");
            }
        }
    }
}
