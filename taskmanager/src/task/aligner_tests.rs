//! The aligner against single stories, and against channels that deliver in any order.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn barrier(checkpoint_id: u64) -> Barrier {
    Barrier { checkpoint_id, timestamp_millis: 0, purpose: weir_api::element::Purpose::Checkpoint }
}

const NOTHING: Decision = Decision { release: false, wait: false, aligned: None, declined: None };
const WAIT: Decision = Decision { wait: true, ..NOTHING };

#[test]
fn a_snapshot_is_taken_when_the_last_barrier_is_in() {
    let mut aligner = Aligner::new(3);
    assert_eq!(aligner.on_barrier(1, barrier(1)), WAIT);
    assert_eq!(aligner.on_barrier(0, barrier(1)), WAIT);
    let aligned = Decision { release: true, aligned: Some(barrier(1)), ..NOTHING };
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
    assert_eq!(aligner.on_end(2), Decision { release: true, aligned: Some(barrier(1)), ..NOTHING });
}

#[test]
fn a_newer_barrier_ends_the_wait_for_an_older_one() {
    let mut aligner = Aligner::new(2);
    assert_eq!(aligner.on_barrier(0, barrier(1)), WAIT);
    assert_eq!(aligner.on_barrier(1, barrier(2)), Decision { release: true, ..WAIT });
    assert_eq!(aligner.on_barrier(0, barrier(2)).aligned, Some(barrier(2)));
    assert_eq!(aligner.on_barrier(0, barrier(1)), NOTHING, "a straggler");
}

#[test]
fn a_cancelled_checkpoint_is_waited_for_no_more_and_others_are() {
    let mut aligner = Aligner::new(2);
    assert_eq!(aligner.on_barrier(0, barrier(1)), WAIT);
    assert_eq!(aligner.on_cancel(1), Decision { release: true, ..NOTHING });
    assert_eq!(aligner.on_barrier(1, barrier(1)), NOTHING, "its straggler");
    // Cancelled before the barrier of an earlier one has come.
    assert_eq!(aligner.on_cancel(3), NOTHING);
    assert_eq!(aligner.on_barrier(0, barrier(2)), WAIT);
    assert_eq!(aligner.on_barrier(1, barrier(2)).aligned, Some(barrier(2)));
    assert_eq!(aligner.on_barrier(0, barrier(3)), NOTHING);
    // The other channel has only the barrier of a cancelled one: what it was waited for won't come.
    assert_eq!(aligner.on_cancel(5), NOTHING);
    assert_eq!(aligner.on_barrier(0, barrier(4)), WAIT);
    assert_eq!(aligner.on_barrier(1, barrier(5)), Decision { release: true, ..NOTHING });
    assert_eq!(aligner.on_barrier(0, barrier(6)), WAIT);
    assert_eq!(aligner.on_barrier(1, barrier(6)).aligned, Some(barrier(6)));
    assert_eq!(aligner.on_cancel(6), NOTHING, "it is out");
    for checkpoint in 7..10_000 {
        aligner.on_cancel(checkpoint);
    }
    assert_eq!(aligner.cancelled.len(), MAX_CANCELLED);
}

#[test]
fn an_alignment_that_takes_too_long_is_declined() {
    let mut aligner = Aligner::new(2);
    assert_eq!(aligner.on_announcement(0, barrier(1)), NOTHING);
    assert_eq!(aligner.on_timer(1), NOTHING, "nobody waits");
    assert_eq!(aligner.on_barrier(0, barrier(1)), WAIT);
    assert_eq!(aligner.on_timer(2), NOTHING);
    assert_eq!(aligner.on_timer(1), Decision { release: true, declined: Some(1), ..NOTHING });
    assert_eq!(aligner.on_barrier(1, barrier(1)), NOTHING);
    assert_eq!(aligner.on_timer(1), NOTHING, "once");
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
        cancels in prop::collection::btree_map(0..40_usize, 1..7_u64, 0..4),
    ) {
        let mut aligner = Aligner::new(channels.len());
        let mut rest: Vec<VecDeque<Item>> = channels.iter().map(|items| items.iter().copied().collect()).collect();
        let mut waiting = vec![false; channels.len()];
        let mut last = vec![None; channels.len()];
        let mut ended = vec![false; channels.len()];
        let mut out = Vec::new();
        for (step, index) in order.into_iter().enumerate() {
            if let Some(&checkpoint) = cancels.get(&step)
                && aligner.on_cancel(checkpoint).release
            {
                waiting.fill(false);
            }
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
                let cancelled = cancels.values().any(|cancelled| *cancelled == checkpoint);
                prop_assert!(!everywhere || cancelled || out.contains(&checkpoint), "{checkpoint} is missing in {out:?}");
            }
        }
    }
}
