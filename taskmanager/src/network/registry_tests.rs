//! The two ends in any order, too late, twice, and not at all.

use weir_api::id::SubtaskIndex;

use super::*;
use crate::network::id::PartitionId;

const JOB: JobId = JobId::from_bytes([3; 16]);
const TIMEOUT: Duration = Duration::from_secs(30);

fn key(attempt: u32, consumer: u32) -> ChannelKey {
    let partition = PartitionId { job: JOB, attempt: Attempt(attempt), edge: 0, subtask: SubtaskIndex(0) };
    ChannelKey { partition, consumer: SubtaskIndex(consumer) }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a start for made-up times")]
fn an_end_that_waits_alone_fails_in_time_and_a_pair_never() {
    let registry = Registry::new(10, 100, TIMEOUT);
    let start = Instant::now();
    let alone = registry.claim(key(1, 0), End::Consumer, start).unwrap();
    let pair = registry.claim(key(1, 1), End::Consumer, start).unwrap();
    assert!(Arc::ptr_eq(&pair, &registry.claim(key(1, 1), End::Producer, start).unwrap()));
    registry.expire(start + TIMEOUT / 2);
    assert!(alone.failure().is_none());
    registry.expire(start + TIMEOUT);
    assert_eq!(alone.failure().unwrap().code(), Code::ConnectionLost);
    assert!(pair.failure().is_none());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a start for made-up times")]
fn those_who_wait_are_bounded_and_each_end_is_claimed_once() {
    let registry = Registry::new(10, 3, TIMEOUT);
    let now = Instant::now();
    let first = registry.claim(key(1, 0), End::Consumer, now).unwrap();
    assert!(registry.claim(key(1, 0), End::Consumer, now).is_err(), "claimed twice");
    registry.claim(key(1, 1), End::Consumer, now).unwrap();
    registry.claim(key(1, 2), End::Consumer, now).unwrap();
    assert!(registry.claim(key(1, 3), End::Consumer, now).is_err(), "too many wait");
    // One that goes, and one that meets its other end, make room.
    registry.leave(&first, End::Consumer);
    registry.claim(key(1, 1), End::Producer, now).unwrap();
    registry.claim(key(1, 4), End::Consumer, now).unwrap();
    registry.claim(key(1, 5), End::Consumer, now).unwrap();
    assert!(registry.claim(key(1, 6), End::Consumer, now).is_err());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a start for made-up times")]
fn a_release_ends_old_attempts_and_leaves_newer_ones() {
    let registry = Registry::new(10, 3, TIMEOUT);
    let now = Instant::now();
    let old = registry.claim(key(1, 0), End::Producer, now).unwrap();
    let new = registry.claim(key(2, 0), End::Producer, now).unwrap();
    registry.release(JOB, Attempt(1), &Region::default());
    assert_eq!(old.failure().unwrap().code(), Code::Fenced);
    assert!(new.failure().is_none());
    assert_eq!(registry.claim(key(1, 1), End::Producer, now).unwrap_err().code(), Code::Fenced);
    registry.claim(key(2, 1), End::Producer, now).unwrap();
}

#[test]
fn a_release_of_a_part_leaves_the_channels_and_gates_of_the_rest() {
    struct Gate(std::sync::Mutex<bool>);
    impl Releasable for Gate {
        fn release(&self, _: &Failure) {
            *self.0.lock().unwrap() = true;
        }
    }
    let registry = Registry::new(10, 100, TIMEOUT);
    let other = |attempt| {
        let mut other = key(attempt, 0);
        other.partition.edge = 1;
        other
    };
    let gate = |vertex| GateId {
        job: JOB,
        attempt: Attempt(1),
        vertex: weir_api::id::VertexIndex(vertex),
        input: 0,
        subtask: SubtaskIndex(0),
    };
    #[expect(clippy::disallowed_methods, reason = "a start for made-up times")]
    let now = Instant::now();
    let gates = [1, 3].map(|vertex| {
        let watched = Arc::new(Gate(Default::default()));
        let weak: Weak<dyn Releasable> = Arc::downgrade(&(Arc::clone(&watched) as Arc<dyn Releasable>));
        registry.watch(gate(vertex), weak).unwrap();
        watched
    });
    let part = registry.claim(key(1, 0), End::Producer, now).unwrap();
    let rest = registry.claim(other(1), End::Producer, now).unwrap();
    registry.release(JOB, Attempt(1), &Region::new([0, 1], [0]));
    assert!(part.failure().is_some() && rest.failure().is_none());
    assert_eq!(gates.map(|gate| *gate.0.lock().unwrap()), [true, false]);
    assert!(registry.claim(key(1, 1), End::Producer, now).is_err(), "late for the part");
    assert!(registry.claim(other(1), End::Consumer, now).is_ok(), "the rest goes on");
    assert!(registry.claim(key(2, 0), End::Producer, now).is_ok(), "the part's next attempt");
    registry.release(JOB, Attempt(2), &Region::default());
    assert!(registry.claim(other(2), End::Producer, now).is_err());
}
