//! The coordinator against single stories, and against a model of its promises under random events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

type Test = Coordinator<u32>;

impl Summarized for u32 {
    type Summary = Self;

    fn summary(&self, _: CheckpointId) -> Self {
        *self
    }
}

fn task(vertex: u32, subtask: u32) -> Task {
    (VertexIndex(vertex), SubtaskIndex(subtask))
}

fn at(millis: u64) -> Now {
    Now { monotonic_millis: millis, unix_millis: 1_000_000 + millis as i64 }
}

fn settings() -> Settings {
    Settings {
        interval: Some(Duration::from_millis(100)),
        timeout: Duration::from_millis(1000),
        min_pause: Duration::from_millis(20),
        tolerable_failures: Some(1),
        retained: 2,
        ..Settings::default()
    }
}

fn running(coordinator: &mut Test, now: u64) {
    let tasks = vec![task(0, 0), task(1, 0)];
    coordinator.reserve(CheckpointId(1_000));
    assert_eq!(coordinator.handle(Event::Running { attempt: Attempt(1), tasks }, at(now)), []);
}

fn ack(checkpoint: u64, task: Task) -> Event<u32> {
    Event::Acknowledged { attempt: Attempt(1), checkpoint: CheckpointId(checkpoint), task, part: task.0.0 }
}

/// Its end, behind the barrier of `newest`.
fn finished(task: Task, newest: u64) -> Event<u32> {
    Event::TaskFinished { attempt: Attempt(1), task, newest: CheckpointId(newest), part: 7 }
}

fn written(checkpoint: u64) -> Event<u32> {
    let result = Ok(Written { path: format!("chk-{checkpoint}"), full_size: 10, new_size: 1 });
    Event::Written { checkpoint: CheckpointId(checkpoint), result }
}

fn published(checkpoint: u64) -> Event<u32> {
    Event::Published { checkpoint: CheckpointId(checkpoint), result: Ok(()) }
}

/// Everything that a checkpoint needs, in order; the actions of the last step.
fn complete(coordinator: &mut Test, checkpoint: u64, now: u64) -> Vec<Action<u32>> {
    coordinator.handle(ack(checkpoint, task(0, 0)), at(now));
    coordinator.handle(ack(checkpoint, task(1, 0)), at(now));
    coordinator.handle(written(checkpoint), at(now));
    coordinator.handle(published(checkpoint), at(now))
}

fn savepoint(request: u128, stop: Option<Stop>) -> Kind {
    Kind::Savepoint(Savepoint { request, target: "file:///s".to_owned(), stop })
}

#[test]
fn a_checkpoint_is_notified_when_its_pointer_is_durable_and_not_before() {
    let mut coordinator = Test::new(settings(), CheckpointId(0), Vec::new());
    running(&mut coordinator, 0);
    assert_eq!(coordinator.deadline(), Some(100));
    let id = CheckpointId(1);
    let trigger = Action::Trigger { checkpoint: id, unix_millis: 1_000_100, kind: Kind::Periodic };
    assert_eq!(coordinator.handle(Event::Tick, at(100)), [trigger]);
    assert_eq!(coordinator.handle(ack(1, task(1, 0)), at(101)), []);
    assert_eq!(coordinator.handle(ack(1, task(1, 0)), at(101)), [], "the same part twice");
    let parts = BTreeMap::from([(task(0, 0), 0), (task(1, 0), 1)]);
    let write = Action::Write { checkpoint: id, kind: Kind::Periodic, parts };
    assert_eq!(coordinator.handle(ack(1, task(0, 0)), at(102)), [write]);
    let publish = Action::Publish { checkpoint: id, path: "chk-1".to_owned() };
    assert_eq!(coordinator.handle(written(1), at(103)), [publish]);
    assert!(coordinator.is_publishing() && coordinator.latest().is_none());
    assert_eq!(coordinator.handle(published(1), at(104)), [Action::Notify { checkpoint: id }]);
    assert_eq!(coordinator.latest().map(|latest| latest.checkpoint), Some(id));
    assert_eq!(coordinator.deadline(), Some(200));
}

#[test]
fn the_pause_counts_from_the_end_and_old_ones_are_discarded() {
    let mut coordinator = Test::new(settings(), CheckpointId(0), Vec::new());
    running(&mut coordinator, 0);
    for (checkpoint, begin) in [(1, 100), (2, 215), (3, 330)] {
        assert_eq!(coordinator.handle(Event::Tick, at(begin - 1)), [], "{checkpoint} isn't due");
        assert_eq!(coordinator.handle(Event::Tick, at(begin)).len(), 1);
        let actions = complete(&mut coordinator, checkpoint, begin + 95);
        let discards = actions.iter().filter(|action| matches!(action, Action::Discard { .. })).count();
        assert_eq!(discards, usize::from(checkpoint == 3));
    }
    let retained: Vec<_> = coordinator.retained().map(|retained| retained.checkpoint.0).collect();
    assert_eq!(retained, [2, 3]);
}

#[test]
fn failures_in_a_row_fail_the_job_and_a_success_forgives() {
    let mut coordinator = Test::new(settings(), CheckpointId(0), Vec::new());
    running(&mut coordinator, 0);
    let decline = |checkpoint| Event::Declined {
        attempt: Attempt(1),
        checkpoint: CheckpointId(checkpoint),
        task: task(1, 0),
        reason: "no".to_owned(),
    };
    coordinator.handle(Event::Tick, at(100));
    let actions = coordinator.handle(decline(1), at(110));
    assert!(matches!(&actions[..], [Action::Abort { reason, .. }] if reason.contains("declined: no")));
    coordinator.handle(Event::Tick, at(200));
    complete(&mut coordinator, 2, 210);
    coordinator.handle(Event::Tick, at(300));
    assert_eq!(coordinator.handle(decline(3), at(310)).len(), 1);
    coordinator.handle(Event::Tick, at(400));
    assert_eq!(coordinator.deadline(), Some(1400));
    let actions = coordinator.handle(Event::Tick, at(1400));
    assert!(
        matches!(&actions[0], Action::Abort { reason, .. } if reason.contains("subtask 0 of vertex 0")),
        "{actions:?}"
    );
    assert!(
        matches!(&actions[1], Action::FailJob { reason } if reason.starts_with("2 checkpoints")),
        "{actions:?}"
    );
}

#[test]
fn finished_tasks_count_and_when_all_have_finished_nothing_begins() {
    let mut coordinator = Test::new(settings(), CheckpointId(0), Vec::new());
    running(&mut coordinator, 0);
    coordinator.handle(Event::Tick, at(100));
    let finish = |task| finished(task, 0);
    assert_eq!(coordinator.handle(finish(task(0, 0)), at(101)), []);
    let actions = coordinator.handle(ack(1, task(1, 0)), at(102));
    assert!(matches!(&actions[..], [Action::Write { parts, .. }] if parts[&task(0, 0)] == 7));
    coordinator.handle(written(1), at(103));
    coordinator.handle(published(1), at(103));
    coordinator.handle(Event::Tick, at(200));
    let actions = coordinator.handle(ack(2, task(1, 0)), at(201));
    assert!(matches!(&actions[..], [Action::Write { parts, .. }] if parts[&task(0, 0)] == 7));
    coordinator.handle(finished(task(1, 0), 2), at(202));
    coordinator.handle(written(2), at(203));
    coordinator.handle(published(2), at(203));
    assert_eq!(coordinator.handle(Event::Tick, at(400)), []);
}

/// It met the barrier of the second checkpoint first, so the first one's cut doesn't go through it: its end, which lies behind
/// the second, is no part of the first.
#[test]
fn the_end_of_a_task_is_no_part_of_a_checkpoint_that_it_passed_over() {
    let settings = Settings { max_concurrent: 2, ..settings() };
    let mut coordinator = Test::new(settings, CheckpointId(0), Vec::new());
    running(&mut coordinator, 0);
    coordinator.handle(Event::Tick, at(100));
    coordinator.handle(Event::Tick, at(200));
    coordinator.handle(ack(1, task(1, 0)), at(201));
    coordinator.handle(ack(2, task(0, 0)), at(202));
    let actions = coordinator.handle(finished(task(0, 0), 2), at(203));
    assert!(matches!(&actions[..], [Action::Abort { checkpoint: CheckpointId(1), .. }]), "{actions:?}");
    let actions = coordinator.handle(ack(2, task(1, 0)), at(204));
    assert!(matches!(&actions[..], [Action::Write { checkpoint: CheckpointId(2), .. }]), "{actions:?}");
}

#[test]
fn a_savepoint_moves_no_pointer_and_one_that_stops_the_job_does() {
    let mut coordinator = Test::new(settings(), CheckpointId(8), Vec::new());
    running(&mut coordinator, 0);
    let actions = coordinator.handle(Event::Requested(savepoint(1, None)), at(10));
    assert!(matches!(&actions[..], [Action::Trigger { checkpoint: CheckpointId(9), .. }]));
    coordinator.handle(ack(9, task(0, 0)), at(11));
    coordinator.handle(ack(9, task(1, 0)), at(11));
    let answer = Action::Answer { kind: savepoint(1, None), result: Ok("chk-9".to_owned()) };
    assert_eq!(coordinator.handle(written(9), at(12)), [answer], "nobody commits by it");
    assert_eq!(coordinator.latest(), None);

    let stop = savepoint(2, Some(Stop::Suspend));
    coordinator.handle(Event::Requested(stop.clone()), at(20));
    assert_eq!(coordinator.handle(Event::Tick, at(500)), [], "nothing begins while the job stops");
    let actions = complete(&mut coordinator, 10, 501);
    let answer = Action::Answer { kind: stop, result: Ok("chk-10".to_owned()) };
    assert_eq!(actions[..2], [answer, Action::Notify { checkpoint: CheckpointId(10) }]);
    for checkpoint in 11..15 {
        let actions = complete(&mut coordinator, checkpoint, 500 + checkpoint * 100);
        let discarded =
            |action: &Action<u32>| matches!(action, Action::Discard { checkpoint: CheckpointId(10), .. });
        assert!(!actions.iter().any(discarded), "the savepoint is the user's");
    }
}

/// The first checkpoint's pointer is on its way at 202, the second one waits for its tasks.
fn one_written_and_one_begun() -> Test {
    let mut coordinator =
        Test::new(Settings { max_concurrent: 2, ..settings() }, CheckpointId(0), Vec::new());
    running(&mut coordinator, 0);
    coordinator.handle(Event::Tick, at(100));
    coordinator.handle(Event::Tick, at(200));
    for task in [task(0, 0), task(1, 0)] {
        coordinator.handle(ack(1, task), at(201));
    }
    coordinator.handle(written(1), at(202));
    coordinator
}

#[test]
fn the_end_of_an_attempt_voids_everything_but_a_pointer_on_its_way() {
    let mut coordinator = one_written_and_one_begun();
    assert_eq!(coordinator.handle(Event::Ended, at(203)), []);
    assert_eq!(coordinator.handle(published(1), at(204)), [], "there is nobody to notify");
    assert_eq!(coordinator.latest().map(|latest| latest.checkpoint), Some(CheckpointId(1)));
    assert_eq!(coordinator.handle(ack(2, task(0, 0)), at(205)), []);
    assert_eq!(coordinator.statistics().counts(), Counts { triggered: 2, completed: 1, failed: 1 });
}

#[test]
fn tasks_that_go_on_are_told_what_is_given_up_when_a_part_starts_anew() {
    let mut coordinator = one_written_and_one_begun();
    let told = coordinator.handle(Event::Interrupted, at(203));
    assert!(matches!(told.as_slice(), [Action::Abort { checkpoint: CheckpointId(2), .. }]), "{told:?}");
    assert_eq!(coordinator.handle(published(1), at(204)), [], "whoever restores it tells the others");
    assert_eq!(coordinator.handle(ack(2, task(0, 0)), at(205)), []);
    assert_eq!(coordinator.handle(Event::Tick, at(10_000)), [], "nothing begins before all tasks run again");
    let tasks = vec![task(0, 0), task(1, 0)];
    coordinator.handle(Event::Running { attempt: Attempt(2), tasks }, at(20_000));
    let told = coordinator.handle(Event::Tick, at(30_000));
    assert!(matches!(told.as_slice(), [Action::Trigger { checkpoint: CheckpointId(3), .. }]), "{told:?}");
}

/// The part of a task that has finished.
const END: u32 = 7;

/// What the world does next; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Ack(usize, usize),
    Decline(usize),
    Finish(usize),
    Store(usize, bool),
    Publish(usize, bool),
    Request(bool, bool),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..150_u64).prop_map(Step::Pass),
        12 => (0..4_usize, 0..3_usize).prop_map(|(checkpoint, task)| Step::Ack(checkpoint, task)),
        1 => (0..4_usize).prop_map(Step::Decline),
        1 => (0..3_usize).prop_map(Step::Finish),
        6 => (0..4_usize, prop::bool::weighted(0.9)).prop_map(|(which, ok)| Step::Store(which, ok)),
        6 => (0..4_usize, prop::bool::weighted(0.9)).prop_map(|(which, ok)| Step::Publish(which, ok)),
        1 => (any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(savepoint, stop)| Step::Request(savepoint, stop)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..200)
}

/// The world around a coordinator, and what the coordinator must never do to it.
struct World {
    coordinator: Test,
    now: u64,
    attempt: u32,
    tasks: Vec<Task>,
    /// The newest checkpoint that each has taken part in.
    met: BTreeMap<Task, CheckpointId>,
    /// What that was for those that have finished.
    ended: BTreeMap<Task, CheckpointId>,
    open: BTreeMap<CheckpointId, Kind>,
    writing: Vec<CheckpointId>,
    publishing: Vec<CheckpointId>,
    pointer: Option<CheckpointId>,
    discarded: BTreeSet<CheckpointId>,
    last_end: Option<u64>,
    requests: u128,
    answers: BTreeSet<u128>,
    failed: bool,
}

impl World {
    fn tell(&mut self, event: Event<u32>) {
        let actions = self.coordinator.handle(event, at(self.now));
        for action in actions {
            self.check(action);
        }
        let periodic = self.open.values().filter(|kind| **kind == Kind::Periodic).count();
        assert!(periodic <= 2, "{periodic} periodic checkpoints at once");
        for retained in self.coordinator.retained() {
            assert!(
                !self.discarded.contains(&retained.checkpoint),
                "{} is retained and discarded",
                retained.checkpoint
            );
        }
    }

    fn check(&mut self, action: Action<u32>) {
        match action {
            Action::Trigger { checkpoint, kind, .. } => {
                assert!(self.open.keys().all(|open| *open < checkpoint), "ids grow");
                if kind == Kind::Periodic {
                    assert!(self.last_end.is_none_or(|end| self.now >= end + 20), "the pause isn't over");
                }
                self.open.insert(checkpoint, kind);
            }
            Action::Abort { checkpoint, .. } => {
                assert!(self.open.remove(&checkpoint).is_some(), "{checkpoint} ends twice");
                self.last_end = Some(self.now);
            }
            Action::Write { checkpoint, parts, .. } => {
                assert_eq!(parts.keys().copied().collect::<Vec<_>>(), self.tasks, "every task's part");
                for task in parts.iter().filter(|(_, part)| **part == END).map(|(task, _)| task) {
                    assert!(
                        self.ended[task] < checkpoint,
                        "{checkpoint} holds the end of {task:?}, which met a newer barrier first"
                    );
                }
                self.writing.push(checkpoint);
            }
            Action::Publish { checkpoint, .. } => {
                assert!(self.pointer.is_none_or(|pointer| pointer < checkpoint), "the pointer goes back");
                self.publishing.push(checkpoint);
            }
            Action::Notify { checkpoint } => {
                assert_eq!(self.pointer, Some(checkpoint), "notified before its pointer is durable");
                assert!(self.open.remove(&checkpoint).is_some(), "{checkpoint} ends twice");
                self.last_end = Some(self.now);
            }
            Action::Discard { checkpoint, .. } => {
                assert_ne!(self.pointer, Some(checkpoint), "what the pointer leads to is discarded");
                self.discarded.insert(checkpoint);
            }
            Action::Answer { kind, result } => {
                if let Some(request) = kind.request() {
                    assert!(self.answers.insert(request), "answered twice");
                    if result.is_ok() {
                        self.last_end = Some(self.now);
                    }
                }
            }
            Action::FailJob { .. } => self.failed = true,
        }
    }

    fn step(&mut self, step: Step) {
        let pick = |from: &BTreeMap<CheckpointId, Kind>, n: usize| from.keys().nth(n).copied();
        let attempt = Attempt(self.attempt);
        match step {
            Step::Pass(millis) => {
                self.now += millis;
                self.tell(Event::Tick);
            }
            Step::Ack(checkpoint, task) => {
                if let Some(checkpoint) = pick(&self.open, checkpoint) {
                    let task = self.tasks[task];
                    let met = self.met.entry(task).or_default();
                    *met = checkpoint.max(*met);
                    self.tell(Event::Acknowledged { attempt, checkpoint, task, part: 0 });
                }
            }
            Step::Decline(checkpoint) => {
                if let Some(checkpoint) = pick(&self.open, checkpoint) {
                    let (task, reason) = (self.tasks[0], "no".to_owned());
                    self.tell(Event::Declined { attempt, checkpoint, task, reason });
                }
            }
            Step::Finish(task) => {
                let task = self.tasks[task];
                let met = self.met.get(&task).copied().unwrap_or_default();
                let newest = *self.ended.entry(task).or_insert(met);
                self.tell(Event::TaskFinished { attempt, task, newest, part: END });
            }
            Step::Store(which, ok) if which < self.writing.len() => {
                let checkpoint = self.writing.remove(which);
                let written = Written { path: format!("chk-{checkpoint}"), full_size: 1, new_size: 1 };
                let result = if ok { Ok(written) } else { Err("full".to_owned()) };
                self.tell(Event::Written { checkpoint, result });
            }
            Step::Publish(which, ok) if which < self.publishing.len() => {
                let checkpoint = self.publishing.remove(which);
                // The metadata compares: it refuses to go back, as it refuses another attempt.
                let ok = ok && self.pointer.is_none_or(|pointer| pointer < checkpoint);
                if ok {
                    self.pointer = Some(checkpoint);
                }
                let result = if ok { Ok(()) } else { Err("refused".to_owned()) };
                self.tell(Event::Published { checkpoint, result });
                // Of an attempt that has ended there is nobody to notify.
                self.open.remove(&checkpoint);
                self.last_end = Some(self.now);
            }
            Step::Store(..) | Step::Publish(..) => {}
            Step::Request(savepoint, stop) => {
                self.requests += 1;
                let kind = if savepoint || stop {
                    super::tests::savepoint(self.requests, stop.then_some(Stop::Drain))
                } else {
                    Kind::Requested { request: self.requests, full: false }
                };
                self.tell(Event::Requested(kind));
            }
            Step::Restart => {
                // Nobody aborts tasks that are gone.
                let voided: Vec<_> =
                    self.open.keys().filter(|id| !self.publishing.contains(id)).copied().collect();
                self.tell(Event::Ended);
                voided.iter().for_each(|id| drop(self.open.remove(id)));
                self.attempt += 1;
                self.met.clear();
                self.ended.clear();
                self.last_end = None;
                let tasks = self.tasks.clone();
                self.tell(Event::Running { attempt: Attempt(self.attempt), tasks });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn promises_hold_whatever_happens(steps in steps()) {
        let settings = Settings { max_concurrent: 2, tolerable_failures: None, ..settings() };
        let mut world = World {
            coordinator: Test::new(settings, CheckpointId(0), Vec::new()),
            now: 0,
            attempt: 1,
            tasks: vec![task(0, 0), task(0, 1), task(1, 0)],
            met: BTreeMap::new(),
            ended: BTreeMap::new(),
            open: BTreeMap::new(),
            writing: Vec::new(),
            publishing: Vec::new(),
            pointer: None,
            discarded: BTreeSet::new(),
            last_end: None,
            requests: 0,
            answers: BTreeSet::new(),
            failed: false,
        };
        let tasks = world.tasks.clone();
        world.coordinator.reserve(CheckpointId(10_000));
        world.tell(Event::Running { attempt: Attempt(1), tasks });
        for step in steps {
            world.step(step);
        }
        prop_assert!(!world.failed);
        // Everything ends once storage and metadata answer and time passes.
        for _ in 0..=world.requests {
            world.now += 10_000;
            world.tell(Event::Tick);
            while !world.publishing.is_empty() {
                world.step(Step::Publish(0, true));
            }
        }
        let counts = world.coordinator.statistics().counts();
        let under_way = counts.triggered - counts.completed - counts.failed;
        prop_assert!(under_way <= 2, "{counts:?}");
        prop_assert_eq!(world.coordinator.latest().map(|latest| latest.checkpoint), world.pointer);
    }
}
