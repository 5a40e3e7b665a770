//! The session against a scripted JobManager, and against garbage.

use proptest::prelude::*;
use prost::Message;
use weir_proto::v1::{JobManagerHeartbeat, Refused, SubtaskId, TaskState};

use super::*;

fn machine() -> Machine {
    let register = Register { task_manager_id: "tm".to_owned(), slots: 2, ..Register::default() };
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5), 7);
    Machine::new(register, vec!["a:1".to_owned(), "b:2".to_owned()], backoff)
}

fn message(epoch: u64, body: job_manager_message::Body) -> Event {
    Event::Received(Box::new(JobManagerMessage { leader_epoch: epoch, body: Some(body) }))
}

fn registered(interval: u64, timeout: u64) -> job_manager_message::Body {
    job_manager_message::Body::Registered(Registered {
        heartbeat_interval_millis: interval,
        heartbeat_timeout_millis: timeout,
    })
}

fn deploy(attempt: u32) -> job_manager_message::Body {
    job_manager_message::Body::Deploy(DeployTasks { job_id: vec![1; 16], attempt, ..DeployTasks::default() })
}

fn cancel(attempt: u32) -> job_manager_message::Body {
    job_manager_message::Body::Cancel(CancelTasks { job_id: vec![1; 16], attempt, ..Default::default() })
}

/// A machine that has registered with the leader of epoch 3 at time 0.
fn active() -> Machine {
    let mut machine = machine();
    assert!(matches!(machine.handle(Event::Tick, 0).as_slice(), [Action::Dial(address)] if address == "a:1"));
    assert!(matches!(machine.handle(Event::Opened, 0).as_slice(), [Action::Send(_)]));
    assert!(machine.handle(message(3, registered(1_000, 5_000)), 0).is_empty());
    assert!(machine.is_active());
    machine
}

/// The whole of an end: close, drain, then wait for the next attempt.
fn assert_lost(machine: &mut Machine, actions: &[Action], now: u64) {
    assert!(matches!(actions, [Action::Close, Action::Drain]), "{actions:?}");
    assert!(!machine.is_active());
    assert!(machine.handle(Event::Tick, now).is_empty(), "not before the last task has ended");
    assert!(machine.handle(Event::Drained, now).is_empty());
    let due = machine.deadline().unwrap();
    assert!(due > now && due <= now + 100);
    assert!(
        matches!(machine.handle(Event::Tick, due).as_slice(), [Action::Dial(address)] if address == "b:2")
    );
}

#[test]
fn heartbeats_are_sent_and_a_silent_job_manager_is_lost() {
    let mut machine = active();
    assert_eq!(machine.deadline(), Some(1_000));
    assert!(machine.handle(Event::Tick, 999).is_empty());
    for (now, sequence) in [(1_000, 1), (2_000, 2), (3_000, 3)] {
        let actions = machine.handle(Event::Tick, now);
        let [Action::Send(sent)] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!(sent.leader_epoch, 3);
        let beat = task_manager_message::Body::Heartbeat(TaskManagerHeartbeat { sequence });
        assert_eq!(sent.body, Some(beat));
    }
    let beat = job_manager_message::Body::Heartbeat(JobManagerHeartbeat { sequence: 1 });
    machine.handle(message(3, beat.clone()), 4_999);
    assert!(!machine.handle(Event::Tick, 5_500).iter().any(|action| matches!(action, Action::Close)));
    // A heartbeat of another leader isn't one.
    machine.handle(message(2, beat), 6_000);
    let actions = machine.handle(Event::Tick, 9_999);
    assert_lost(&mut machine, &actions, 9_999);
}

#[test]
fn commands_are_obeyed_once_and_only_from_the_leader() {
    let mut machine = active();
    let deployed = |actions: Vec<Action>| matches!(actions.as_slice(), [Action::Deploy(..)]);
    assert!(!deployed(machine.handle(message(2, deploy(1)), 1)), "an old leader");
    assert!(!deployed(machine.handle(message(4, deploy(1)), 1)), "an unknown leader");
    assert!(deployed(machine.handle(message(3, deploy(2)), 1)));
    assert!(!deployed(machine.handle(message(3, deploy(2)), 1)), "twice");
    assert!(!deployed(machine.handle(message(3, deploy(1)), 1)), "an old attempt");
    let actions = machine.handle(message(3, cancel(3)), 1);
    assert!(matches!(actions.as_slice(), [Action::Cancel(_, Attempt(3), _)]));
    assert!(!deployed(machine.handle(message(3, deploy(3)), 1)), "cancelled before it came");
    assert!(deployed(machine.handle(message(3, deploy(4)), 1)));
    assert!(machine.is_active());
}

#[test]
fn splits_are_passed_on_and_what_names_no_task_ends_the_session() {
    let add = |task: Option<SubtaskId>| {
        let split = Split { id: "a".to_owned(), ..Split::default() };
        job_manager_message::Body::AddSplits(AddSplits { task, first: 3, splits: vec![split] })
    };
    let task = SubtaskId { job_id: vec![1; 16], attempt: 2, vertex: 4, subtask: 5 };
    let mut machine = active();
    let actions = machine.handle(message(3, add(Some(task.clone()))), 1);
    let [Action::AddSplits(id, 3, splits)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((id.attempt, id.vertex, id.subtask), (Attempt(2), VertexIndex(4), SubtaskIndex(5)));
    assert_eq!(splits.len(), 1);
    assert!(machine.handle(message(2, add(Some(task.clone()))), 1).is_empty(), "an old leader");
    let actions = machine.handle(message(3, add(Some(SubtaskId { attempt: 0, ..task }))), 1);
    assert_lost(&mut machine, &actions, 1);
    let mut machine = active();
    let actions = machine.handle(message(3, add(None)), 1);
    assert_lost(&mut machine, &actions, 1);
}

#[test]
fn notices_of_checkpoints_reach_the_current_attempt_only_and_make_sense() {
    use weir_api::element::Purpose as P;
    use weir_proto::v1::trigger_checkpoint::Purpose;
    let trigger = |attempt, purpose: Purpose, location: &str, full| {
        job_manager_message::Body::TriggerCheckpoint(weir_proto::v1::TriggerCheckpoint {
            job_id: vec![1; 16],
            attempt,
            checkpoint_id: 5,
            timestamp_millis: 9,
            purpose: purpose.into(),
            location: location.to_owned(),
            full,
        })
    };
    let complete = |attempt, checkpoint_id| {
        let job_id = vec![1; 16];
        job_manager_message::Body::CheckpointComplete(weir_proto::v1::CheckpointComplete {
            job_id,
            attempt,
            checkpoint_id,
        })
    };
    let mut machine = active();
    assert!(machine.handle(message(3, complete(2, 5)), 1).is_empty(), "an unknown job");
    machine.handle(message(3, deploy(2)), 1);
    for (purpose, full, expected) in [
        (Purpose::Checkpoint, false, P::Checkpoint),
        (Purpose::Checkpoint, true, P::FullCheckpoint),
        (Purpose::Savepoint, false, P::Savepoint),
        (Purpose::Suspend, false, P::Suspend),
        (Purpose::Drain, false, P::Drain),
    ] {
        let actions = machine.handle(message(3, trigger(2, purpose, "s3://b/sp", full)), 1);
        let [Action::Checkpoint(_, Attempt(2), Notice::Trigger(trigger))] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!((trigger.barrier.checkpoint_id, trigger.barrier.purpose), (5, expected));
        assert_eq!((trigger.barrier.timestamp_millis, trigger.location.as_str()), (9, "s3://b/sp"));
    }
    let actions = machine.handle(message(3, complete(2, 5)), 1);
    assert!(matches!(actions[..], [Action::Checkpoint(_, _, Notice::Complete(_))]), "{actions:?}");
    let abort = weir_proto::v1::AbortCheckpoint { job_id: vec![1; 16], attempt: 2, checkpoint_id: 5 };
    let abort = job_manager_message::Body::AbortCheckpoint(abort);
    let actions = machine.handle(message(3, abort.clone()), 1);
    assert!(matches!(actions[..], [Action::Checkpoint(_, _, Notice::Abort(_))]), "{actions:?}");
    for attempt in [1, 3] {
        assert!(machine.handle(message(3, complete(attempt, 5)), 1).is_empty(), "another attempt");
        let other = trigger(attempt, Purpose::Checkpoint, "s3://b/c", false);
        assert!(machine.handle(message(3, other), 1).is_empty(), "another attempt");
    }
    assert!(machine.handle(message(2, abort.clone()), 1).is_empty(), "an old leader");
    machine.handle(message(3, deploy(4)), 1);
    assert!(machine.handle(message(3, abort), 1).is_empty(), "an attempt that is over");
    for body in [
        trigger(4, Purpose::Unspecified, "s3://b/c", false),
        trigger(4, Purpose::Savepoint, "", false),
        complete(4, 0),
        complete(0, 1),
    ] {
        let mut machine = active();
        machine.handle(message(3, deploy(4)), 1);
        let actions = machine.handle(message(3, body), 1);
        assert_lost(&mut machine, &actions, 1);
    }
}

#[test]
fn reports_go_out_only_while_somebody_listens() {
    let state = || {
        Event::TaskState(Box::new(TaskStateChanged {
            state: TaskState::Running.into(),
            ..Default::default()
        }))
    };
    let metrics = || Event::Metrics(Box::default());
    assert!(machine().handle(state(), 0).is_empty() && machine().handle(metrics(), 0).is_empty());
    let mut machine = active();
    assert!(matches!(machine.handle(state(), 1).as_slice(), [Action::Send(_)]));
    assert!(matches!(machine.handle(metrics(), 1).as_slice(), [Action::Send(_)]));
    let actions = machine.handle(Event::Ended("gone".to_owned()), 2);
    assert!(machine.handle(state(), 3).is_empty());
    assert_lost(&mut machine, &actions, 3);
}

#[test]
fn a_refusal_and_an_older_leader_end_the_attempt_and_it_is_tried_again() {
    for body in [
        job_manager_message::Body::Refused(Refused { reason: "version".to_owned() }),
        registered(0, 10),
        registered(10, 10),
        deploy(1),
    ] {
        let mut machine = machine();
        machine.handle(Event::Tick, 0);
        machine.handle(Event::Opened, 0);
        assert!(matches!(machine.handle(message(1, body), 0).as_slice(), [Action::Close]));
        assert!(machine.deadline().unwrap() >= 50);
    }
    let mut machine = active();
    machine.handle(Event::Ended("gone".to_owned()), 0);
    machine.handle(Event::Drained, 0);
    machine.handle(Event::Tick, 1_000);
    machine.handle(Event::Opened, 1_000);
    assert!(matches!(machine.handle(message(2, registered(1, 2)), 1_000).as_slice(), [Action::Close]));
    assert_eq!(machine.epoch(), LeaderEpoch(3));
}

#[test]
fn a_job_manager_that_never_answers_is_given_up_and_waits_grow() {
    let mut machine = machine();
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert!(matches!(machine.handle(Event::Tick, now).as_slice(), [Action::Dial(_)]));
        assert_eq!(machine.deadline(), None);
        machine.handle(Event::Opened, now);
        now = machine.deadline().unwrap();
        assert!(matches!(machine.handle(Event::Tick, now).as_slice(), [Action::Close]));
        waits.push(machine.deadline().unwrap() - now);
        now = machine.deadline().unwrap();
    }
    assert!(waits[7] > waits[0] * 8, "{waits:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_500))]
    /// Ten thousand and more malformed messages: each either ends the session with a reason or changes nothing, and after each
    /// a session can begin again.
    #[test]
    fn garbage_never_panics_and_never_gets_tasks_started(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        which in 0_usize..4,
    ) {
        let valid = JobManagerMessage {
            leader_epoch: 3,
            body: Some(match which {
                0 => deploy(1),
                1 => cancel(1),
                2 => registered(10, 100),
                _ => job_manager_message::Body::Heartbeat(JobManagerHeartbeat { sequence: 9 }),
            }),
        };
        let mut flipped = valid.encode_to_vec();
        for (index, byte) in flips {
            let position = index.index(flipped.len());
            flipped[position] = byte;
        }
        for bytes in [bytes, flipped] {
            let Ok(message) = JobManagerMessage::decode(bytes.as_slice()) else { continue };
            for mut machine in [machine(), active()] {
                for action in machine.handle(Event::Received(Box::new(message.clone())), 1) {
                    match action {
                        Action::Deploy(job, attempt, _) | Action::Cancel(job, attempt, _) => {
                            prop_assert_eq!(message.leader_epoch, 3);
                            prop_assert!(attempt.0 > 0 && job.as_bytes().len() == 16);
                        }
                        Action::Close | Action::Drain => {}
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                machine.handle(Event::Ended("over".to_owned()), 2);
                machine.handle(Event::Drained, 2);
                prop_assert!(machine.deadline().is_some());
            }
        }
    }
}
