//! The machine against single stories, and against random ones with a model of what is durable.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

type Tested = Machine<u32, &'static str>;

fn barrier(checkpoint_id: u64, purpose: Purpose) -> Barrier {
    Barrier { checkpoint_id, timestamp_millis: 7, purpose }
}

fn trigger(checkpoint_id: u64, purpose: Purpose) -> Event<u32, &'static str> {
    let location = if purpose.is_savepoint() { format!("sp-{checkpoint_id}") } else { String::new() };
    Event::Triggered(Trigger { barrier: barrier(checkpoint_id, purpose), location })
}

fn aligned(checkpoint_id: u64) -> Event<u32, &'static str> {
    Event::Aligned(barrier(checkpoint_id, Purpose::Checkpoint))
}

fn running(is_source: bool) -> Tested {
    let mut machine = Tested::new(is_source, None, true);
    assert!(!machine.takes_input());
    assert_eq!(machine.handle(Event::Restored), [Action::Start]);
    assert!(machine.takes_input());
    machine
}

fn id(checkpoint: u64) -> CheckpointId {
    CheckpointId(checkpoint)
}

fn snapshot(checkpoint: u64, scope: Scope) -> Action<u32, &'static str> {
    Action::Snapshot { barrier: barrier(checkpoint, Purpose::Checkpoint), scope }
}

fn upload(checkpoint: u64, scope: Scope, prepared: &[(u64, u32)]) -> Action<u32, &'static str> {
    let prepared = prepared.iter().map(|(checkpoint, what)| (id(*checkpoint), *what)).collect();
    Action::Upload { checkpoint: id(checkpoint), scope, savepoint: None, prepared }
}

fn passed(checkpoint: u64, prepared: Option<u32>) -> Event<u32, &'static str> {
    Event::Passed { checkpoint: id(checkpoint), prepared }
}

fn uploaded(checkpoint: u64) -> Event<u32, &'static str> {
    Event::Uploaded { checkpoint: id(checkpoint), result: Ok("part") }
}

fn acknowledge(checkpoint: u64) -> Action<u32, &'static str> {
    Action::Acknowledge { checkpoint: id(checkpoint), part: "part" }
}

fn declined(actions: &[Action<u32, &'static str>]) -> Vec<u64> {
    let declined = actions.iter().filter_map(|action| match action {
        Action::Decline { checkpoint, .. } => Some(checkpoint.0),
        _ => None,
    });
    declined.collect()
}

#[test]
fn a_sinks_output_is_in_every_acknowledgement_until_it_is_committed() {
    let mut machine = running(false);
    assert_eq!(machine.handle(aligned(1)), [snapshot(1, Scope::Full)]);
    assert!(machine.freezes(id(1)));
    assert_eq!(machine.handle(passed(1, Some(10))), [upload(1, Scope::Full, &[(1, 10)])]);
    assert_eq!(machine.handle(uploaded(1)), [acknowledge(1)]);
    assert_eq!(machine.handle(aligned(2)), [snapshot(2, Scope::Changes)]);
    assert_eq!(machine.handle(passed(2, Some(20))), [upload(2, Scope::Changes, &[(1, 10), (2, 20)])]);
    // Nobody can have committed what isn't complete.
    assert!(machine.handle(Event::Committed(id(2))).is_empty());
    assert!(machine.handle(Event::Completed(id(2))).is_empty(), "not acknowledged");
    assert!(machine.handle(Event::Completed(id(99))).is_empty(), "unknown");
    assert_eq!(machine.handle(uploaded(2)), [acknowledge(2)]);
    assert_eq!(machine.handle(Event::Completed(id(2))), [Action::Complete(id(2))]);
    assert!(machine.handle(Event::Completed(id(2))).is_empty(), "twice");
    assert!(machine.handle(Event::Completed(id(1))).is_empty(), "older");
    machine.handle(Event::Committed(id(1)));
    assert_eq!(machine.prepared().copied().collect::<Vec<_>>(), [(id(2), 20)]);
    assert_eq!(machine.last_checkpoint(), id(3));
    let prepared = vec![(id(2), 20), (id(3), 30)];
    assert_eq!(machine.handle(Event::Ended { prepared: Some(30) }), [Action::Finish { prepared }]);
}

/// The word that says where it goes was lost, and the one that gives it up, too.
#[test]
fn a_savepoint_without_a_place_doesnt_hold_up_a_tasks_end() {
    let mut machine = running(false);
    machine.handle(Event::Aligned(barrier(1, Purpose::Savepoint)));
    assert!(machine.handle(passed(1, None)).is_empty(), "nobody has said where it goes");
    let actions = machine.handle(Event::Ended { prepared: None });
    assert_eq!(actions.first(), Some(&Action::Cancel(id(1))));
    assert_eq!(declined(&actions), [1]);
    assert_eq!(actions.last(), Some(&Action::Finish { prepared: Vec::new() }));
}

#[test]
fn a_source_emits_when_it_can_and_newer_checkpoints_make_older_ones_superfluous() {
    let mut machine = Tested::new(true, Some(id(4)), true);
    assert!(machine.handle(trigger(4, Purpose::Checkpoint)).is_empty(), "it was restored from");
    assert!(machine.handle(trigger(5, Purpose::Checkpoint)).is_empty());
    assert!(!machine.has_barrier() && machine.handle(Event::Ready).is_empty(), "not before the restore");
    machine.handle(Event::Restored);
    assert!(machine.has_barrier());
    assert!(machine.handle(trigger(6, Purpose::Savepoint)).len() == 1, "5 is superfluous");
    assert_eq!(declined(&machine.handle(trigger(7, Purpose::Checkpoint))), [0_u64; 0], "6 is somebody's");
    assert_eq!(declined(&machine.handle(trigger(8, Purpose::Checkpoint))), [7]);
    assert!(machine.handle(trigger(8, Purpose::Checkpoint)).is_empty(), "twice");
    let first = machine.handle(Event::Ready);
    assert_eq!(first, [Action::Snapshot { barrier: barrier(6, Purpose::Savepoint), scope: Scope::Full }]);
    assert_eq!(machine.handle(Event::Ready), [snapshot(8, Scope::Full)], "a savepoint's freeze is no base");
    assert!(!machine.has_barrier() && machine.handle(Event::Ready).is_empty());
    machine.handle(passed(6, None));
    let actions = machine.handle(passed(8, None));
    assert_eq!(actions, [upload(8, Scope::Full, &[])]);
    assert_eq!(machine.handle(uploaded(8)), [acknowledge(8)], "a savepoint is nobody's base");
}

#[test]
fn a_source_that_is_stopped_goes_on_when_that_is_given_up() {
    for purpose in [Purpose::Suspend, Purpose::Drain] {
        let mut machine = running(true);
        machine.handle(trigger(1, purpose));
        let actions = machine.handle(Event::Ready);
        assert_eq!(actions.first() == Some(&Action::EndTime), purpose == Purpose::Drain);
        assert!(!machine.takes_input());
        assert_eq!(declined(&machine.handle(trigger(2, Purpose::Checkpoint))), [2]);
        machine.handle(Event::Aborted(id(9)));
        assert!(!machine.takes_input(), "another one");
        let actions = machine.handle(Event::Aborted(id(1)));
        assert_eq!(actions, [Action::Cancel(id(1))]);
        assert_eq!(machine.takes_input(), purpose == Purpose::Suspend);
    }
    let mut machine = running(true);
    machine.handle(trigger(1, Purpose::Suspend));
    assert_eq!(machine.handle(Event::Aborted(id(1))), [Action::Release(id(1))]);
    assert!(!machine.has_barrier() && machine.takes_input());
    assert!(machine.handle(trigger(1, Purpose::Suspend)).is_empty() && !machine.has_barrier(), "too late");
}

#[test]
fn a_savepoint_whose_barrier_is_faster_than_the_job_manager_waits_for_its_place() {
    let mut machine = running(false);
    machine.handle(Event::Aligned(barrier(1, Purpose::Savepoint)));
    assert!(machine.handle(passed(1, Some(3))).is_empty());
    let placed = Action::Upload {
        checkpoint: id(1),
        scope: Scope::Full,
        savepoint: Some("sp-1".to_owned()),
        prepared: vec![(id(1), 3)],
    };
    assert_eq!(machine.handle(trigger(1, Purpose::Savepoint)), [placed]);
    assert!(machine.handle(trigger(1, Purpose::Savepoint)).is_empty());
    // In the other order, and while the barrier is in the chain.
    machine.handle(trigger(2, Purpose::Savepoint));
    machine.handle(Event::Aligned(barrier(2, Purpose::Savepoint)));
    assert_eq!(machine.handle(passed(2, None)).len(), 1);
    machine.handle(Event::Aligned(barrier(3, Purpose::Savepoint)));
    machine.handle(trigger(3, Purpose::Savepoint));
    assert_eq!(machine.handle(passed(3, None)).len(), 1);
}

#[test]
fn what_builds_on_a_lost_change_is_lost_and_the_next_freeze_is_full() {
    let mut machine = running(false);
    for checkpoint in 1..=3 {
        machine.handle(aligned(checkpoint));
        machine.handle(passed(checkpoint, None));
    }
    assert_eq!(machine.handle(uploaded(1)), [acknowledge(1)]);
    assert!(machine.handle(uploaded(3)).is_empty(), "2 isn't durable yet");
    let failed = Event::Uploaded { checkpoint: id(2), result: Err("no store".to_owned()) };
    assert_eq!(declined(&machine.handle(failed)), [2, 3]);
    assert!(machine.handle(uploaded(2)).is_empty() && machine.handle(uploaded(3)).is_empty());
    assert_eq!(machine.handle(aligned(4)), [snapshot(4, Scope::Full)]);
    // An abort in mid-chain likewise.
    assert_eq!(machine.handle(Event::Aborted(id(4))), [Action::Cancel(id(4))]);
    assert!(!machine.freezes(id(4)));
    assert!(machine.handle(passed(4, None)).is_empty());
    assert_eq!(machine.handle(aligned(5)), [snapshot(5, Scope::Full)]);
    assert!(machine.handle(aligned(5)).is_empty(), "a straggler");
}

#[test]
fn a_barrier_of_an_aborted_checkpoint_goes_on_alone() {
    let mut machine = running(false);
    assert_eq!(machine.handle(Event::Aborted(id(2))), [Action::Release(id(2))]);
    machine.handle(aligned(1));
    assert_eq!(machine.handle(aligned(2)), [Action::Pass(barrier(2, Purpose::Checkpoint))]);
    let late = Event::Declined { checkpoint: id(3), reason: "slow".to_owned() };
    assert_eq!(declined(&machine.handle(late)), [3]);
    assert_eq!(machine.handle(aligned(3)), [Action::Pass(barrier(3, Purpose::Checkpoint))]);
    // What an aborted one's sink had prepared already belongs to the next.
    machine.handle(aligned(4));
    machine.handle(Event::Aborted(id(4)));
    assert!(machine.handle(passed(4, Some(40))).is_empty());
    machine.handle(aligned(5));
    assert_eq!(machine.handle(passed(5, Some(50))), [upload(5, Scope::Full, &[(4, 40), (5, 50)])]);
}

#[test]
fn a_task_finishes_behind_its_last_acknowledgement() {
    let mut machine = running(false);
    machine.handle(aligned(1));
    machine.handle(passed(1, None));
    assert!(machine.handle(Event::Ended { prepared: None }).is_empty());
    let actions = machine.handle(uploaded(1));
    assert_eq!(actions, [acknowledge(1), Action::Finish { prepared: Vec::new() }]);
    assert!(machine.handle(uploaded(1)).is_empty());
    let mut machine = running(true);
    machine.handle(trigger(1, Purpose::Checkpoint));
    assert_eq!(machine.handle(Event::Ended { prepared: None }).len(), 1, "the report stands for it");
    assert!(machine.handle(trigger(2, Purpose::Checkpoint)).is_empty() && !machine.has_barrier());
}

#[test]
fn what_is_complete_never_goes_back() {
    let mut machine = running(false);
    machine.handle(aligned(1));
    machine.handle(trigger(2, Purpose::Savepoint));
    machine.handle(Event::Aligned(barrier(2, Purpose::Savepoint)));
    machine.handle(passed(1, Some(10)));
    machine.handle(passed(2, Some(20)));
    assert_eq!(machine.handle(uploaded(2)), [acknowledge(2)], "a savepoint waits for no checkpoint");
    assert_eq!(machine.handle(Event::Completed(id(2))), [Action::Complete(id(2))]);
    assert_eq!(machine.handle(uploaded(1)), [acknowledge(1)]);
    assert!(machine.handle(Event::Completed(id(1))).is_empty());
    assert_eq!(machine.completed(), id(2));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut machine = running(true);
    for checkpoint in 1..5_000 {
        machine.handle(Event::Aborted(id(checkpoint)));
        machine.handle(trigger(checkpoint + 10_000, Purpose::Savepoint));
    }
    assert_eq!(machine.triggers.len(), MAX_TRIGGERS);
    let mut machine = running(false);
    let passes = (1..100).filter(|n| matches!(machine.handle(aligned(*n))[..], [Action::Snapshot { .. }]));
    assert_eq!(passes.count(), MAX_SNAPSHOTS);
    machine.handle(aligned(u64::MAX));
    machine.handle(Event::Aborted(id(u64::MAX)));
    assert_eq!(machine.last_checkpoint(), id(u64::MAX));
}

#[derive(Clone, Debug)]
enum Step {
    Trigger(Purpose),
    Ready,
    Pass,
    Upload(bool, prop::sample::Index),
    Complete(prop::sample::Index),
    Commit,
    Abort(prop::sample::Index),
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let purpose = prop_oneof![
        6 => Just(Purpose::Checkpoint),
        2 => Just(Purpose::Savepoint),
        1 => Just(Purpose::Suspend),
        1 => Just(Purpose::Drain),
    ];
    prop_oneof![
        4 => purpose.prop_map(Step::Trigger),
        5 => Just(Step::Ready),
        5 => Just(Step::Pass),
        5 => (prop::bool::weighted(0.85), index()).prop_map(|(fine, which)| Step::Upload(fine, which)),
        2 => index().prop_map(Step::Complete),
        1 => Just(Step::Commit),
        1 => index().prop_map(Step::Abort),
        1 => Just(Step::End),
    ]
}

/// What the world knows of one task.
#[derive(Default)]
struct World {
    next: u64,
    /// Frozen, in order: which, what for, how much.
    frozen: Vec<(u64, Purpose, Scope)>,
    in_chain: VecDeque<(u64, bool)>,
    uploading: Vec<u64>,
    durable: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    /// Triggered and neither emitted, declined nor aborted.
    open: BTreeSet<u64>,
    prepared: Vec<u64>,
    committed: u64,
    completed: u64,
    stopped_by: Option<(u64, Purpose)>,
    last_barrier: u64,
    ended: bool,
    finished: bool,
}

impl World {
    fn act(&mut self, actions: Vec<Action<u32, &'static str>>) -> Result<(), TestCaseError> {
        for action in actions {
            prop_assert!(!self.finished, "{action:?} after the end");
            match action {
                Action::Snapshot { barrier, scope } => {
                    self.barrier(barrier, true)?;
                    self.frozen.push((barrier.checkpoint_id, barrier.purpose, scope));
                }
                Action::Pass(barrier) => self.barrier(barrier, false)?,
                Action::Upload { checkpoint, prepared, savepoint, .. } => {
                    let wanted: Vec<_> =
                        self.prepared.iter().copied().filter(|one| *one > self.committed).collect();
                    let found: Vec<_> = prepared.iter().map(|(checkpoint, _)| checkpoint.0).collect();
                    prop_assert_eq!(found, wanted);
                    let purpose = self.frozen.iter().find(|one| one.0 == checkpoint.0).unwrap().1;
                    prop_assert_eq!(savepoint.is_some(), purpose.is_savepoint());
                    self.uploading.push(checkpoint.0);
                }
                Action::Cancel(checkpoint) => self.uploading.retain(|one| *one != checkpoint.0),
                Action::Acknowledge { checkpoint, .. } => self.acknowledge(checkpoint.0)?,
                Action::Decline { checkpoint, .. } => {
                    self.open.remove(&checkpoint.0);
                    prop_assert!(!self.acknowledged.contains(&checkpoint.0));
                }
                Action::Complete(checkpoint) => {
                    prop_assert!(self.acknowledged.contains(&checkpoint.0) && checkpoint.0 > self.completed);
                    self.completed = checkpoint.0;
                }
                Action::Finish { .. } => {
                    prop_assert!(self.ended && self.uploading.is_empty());
                    self.finished = true;
                }
                Action::Start | Action::EndTime | Action::Release(_) => {}
            }
        }
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier, freezes: bool) -> Result<(), TestCaseError> {
        prop_assert!(barrier.checkpoint_id > self.last_barrier);
        self.last_barrier = barrier.checkpoint_id;
        prop_assert!(self.open.remove(&barrier.checkpoint_id), "nobody asked for it");
        prop_assert!(self.stopped_by.is_none(), "behind a barrier that stops the source");
        if barrier.purpose.stops_sources() {
            self.stopped_by = Some((barrier.checkpoint_id, barrier.purpose));
        }
        self.in_chain.push_back((barrier.checkpoint_id, freezes));
        Ok(())
    }

    /// All that a checkpoint's state is made of must be durable.
    fn acknowledge(&mut self, checkpoint: u64) -> Result<(), TestCaseError> {
        prop_assert!(self.acknowledged.insert(checkpoint));
        for (one, purpose, scope) in self.frozen.iter().rev().skip_while(|(one, ..)| *one != checkpoint) {
            if *one != checkpoint {
                prop_assert!(!purpose.is_savepoint(), "{checkpoint} builds on the savepoint {one}");
            }
            prop_assert!(self.durable.contains(one), "{checkpoint} builds on {one}, which is lost");
            if *scope == Scope::Full {
                return Ok(());
            }
        }
        Err(TestCaseError::fail(format!("{checkpoint} has no base")))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_story_keeps_the_promises(steps in prop::collection::vec(step(), 1..120)) {
        let mut machine = running(true);
        let mut world = World::default();
        for step in steps {
            if world.finished {
                break;
            }
            let event = match step {
                Step::Trigger(purpose) => {
                    world.next += 1;
                    if !world.ended {
                        world.open.insert(world.next);
                    }
                    trigger(world.next, purpose)
                }
                Step::Ready => {
                    // Parked or not: barriers carry no data.
                    Event::Ready
                }
                Step::Pass => {
                    let Some((checkpoint, freezes)) = world.in_chain.pop_front() else { continue };
                    prop_assert!(freezes || !machine.freezes(id(checkpoint)));
                    let prepares = machine.freezes(id(checkpoint));
                    world.prepared.extend(prepares.then_some(checkpoint));
                    passed(checkpoint, prepares.then_some(0))
                }
                Step::Upload(fine, which) => {
                    if world.uploading.is_empty() {
                        continue;
                    }
                    let checkpoint = world.uploading.remove(which.index(world.uploading.len()));
                    if fine {
                        world.durable.insert(checkpoint);
                        uploaded(checkpoint)
                    } else {
                        Event::Uploaded { checkpoint: id(checkpoint), result: Err("lost".to_owned()) }
                    }
                }
                Step::Complete(which) => Event::Completed(id(which.index(world.next as usize + 2) as u64)),
                Step::Commit => {
                    world.committed = world.completed;
                    Event::Committed(id(world.completed))
                }
                Step::Abort(which) => {
                    let checkpoint = which.index(world.next as usize + 1) as u64;
                    world.open.remove(&checkpoint);
                    if world.stopped_by == Some((checkpoint, Purpose::Suspend)) {
                        world.stopped_by = None;
                    }
                    Event::Aborted(id(checkpoint))
                }
                Step::End if !world.in_chain.is_empty() || world.ended => continue,
                Step::End => {
                    world.ended = true;
                    world.open.clear();
                    Event::Ended { prepared: None }
                }
            };
            world.act(machine.handle(event))?;
            prop_assert_eq!(machine.takes_input(), !world.ended && world.stopped_by.is_none());
        }
        // Whatever is still on its way ends, and then a task that has ended finishes.
        while let Some(checkpoint) = world.uploading.pop() {
            world.act(machine.handle(Event::Uploaded { checkpoint: id(checkpoint), result: Err(String::new()) }))?;
        }
        prop_assert_eq!(world.finished, world.ended);
    }
}
