//! Which faults strike when: a pure function of a round's seed.
//!
//! As in a swarm each round has another selection of kinds, so that some rounds are full of one kind. The first fault always ends a
//! process that runs tasks, or the round couldn't show anything. Nothing here does anything: see [`crate::strike`].

use std::fmt;

use crate::random::Random;

/// What can be armed in a process: the engine's own list, which a test compares.
pub const TASKMANAGER_POINTS: [&str; 15] = [
    "barrier.received",
    "freeze.before",
    "freeze.after",
    "upload.before",
    "upload.between-files",
    "upload.before-acknowledge",
    "acknowledge.after",
    "complete.received",
    "commit.before",
    "commit.mid-transaction",
    "commit.after",
    "restore.begun",
    "restore.done",
    "file.before-sync",
    "file.before-rename",
];
/// The same of the JobManager.
pub const JOBMANAGER_POINTS: [&str; 8] = [
    "metadata.before",
    "pointer.before",
    "pointer.after",
    "notify.before",
    "attempt.allocated",
    "deploy.between",
    "savepoint.complete",
    "discard.before",
];
/// Points between the completion of a checkpoint and the end of its commit.
pub const GAP_POINTS: [&str; 4] =
    ["complete.received", "commit.before", "commit.mid-transaction", "commit.after"];
/// Points that only files pass.
const FILE_POINTS: [&str; 2] = ["file.before-sync", "file.before-rename"];

/// A process of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The JobManager.
    JobManager,
    /// One of the TaskManagers that run tasks, by a number that is wrapped around.
    TaskManager(usize),
}

/// What an armed process does at its point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// It ends.
    Kill,
    /// It stands still.
    Stop,
    /// Whoever passes gets an error.
    Error,
}

/// What a storage or a network does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Resets.
    Away,
    /// Silence, both ways.
    Silent,
    /// Silence in one direction.
    OneWay,
    /// Late, and few bytes a second.
    Slow,
    /// One request in five is answered by 503.
    Unavailable,
    /// One answer in five gets lost: what was asked for has been done.
    LostAnswers,
    /// One answer in five is cut short.
    Truncated,
    /// Bytes come one by one.
    Split,
    /// A reset in the middle of a chunk, once in a hundred.
    Resets,
    /// A flipped bit in one chunk of fifty.
    Flips,
}

/// One fault; times in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// `kill -9`, and a start after so long.
    Kill(Who, u64),
    /// `kill -9` of everything, and a start of everything after so long.
    PowerCut(u64),
    /// SIGSTOP, and SIGCONT after so long.
    Pause(Who, u64),
    /// The process is replaced by one that breaks at the n-th visit of a point; started again, or let go on, so long after.
    Point(Who, &'static str, Act, u64, u64),
    /// The broker is killed and starts again after so long.
    KillBroker(u64),
    /// The object store's network is in trouble for so long.
    Storage(Trouble, u64),
    /// The network between a TaskManager and the JobManager is.
    Control(usize, Trouble, u64),
    /// The network to a TaskManager from the others is.
    Data(usize, Trouble, u64),
    /// The job is stopped with a savepoint and goes on from it at another parallelism.
    Rescale(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A fault and how long after the one before it begins, in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Milliseconds.
    pub after: u64,
    /// What happens.
    pub fault: Fault,
}

/// Where a JobManager is between a checkpoint's completion and the word of it.
pub const JOBMANAGER_GAP_POINTS: [&str; 2] = ["pointer.after", "notify.before"];

/// What there is to strike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// TaskManagers.
    pub managers: usize,
    /// The largest parallelism that has slots.
    pub slots: u32,
    /// The longest that anything stands still.
    pub longest_pause: u64,
    /// How many faults there are at most.
    pub faults: u64,
    /// Whether the job may be stopped and go on at another parallelism.
    pub rescales: bool,
    /// Whether there are slots that the job doesn't need: a TaskManager that comes back may have nothing to do.
    pub has_spare: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    KillTaskManager,
    KillJobManager,
    PowerCut,
    Pause,
    TaskManagerPoint,
    Gap,
    JobManagerGap,
    JobManagerPoint,
    Broker,
    Storage,
    Control,
    Data,
    Rescale,
}

const KINDS: [Kind; 13] = [
    Kind::KillTaskManager,
    Kind::KillJobManager,
    Kind::PowerCut,
    Kind::Pause,
    Kind::TaskManagerPoint,
    Kind::Gap,
    Kind::JobManagerGap,
    Kind::JobManagerPoint,
    Kind::Broker,
    Kind::Storage,
    Kind::Control,
    Kind::Data,
    Kind::Rescale,
];

/// The faults of a round.
#[must_use]
pub fn plan(seed: u64, scope: &Scope) -> Vec<Step> {
    let mut random = Random::new(seed, 0xC4A05);
    let mut swarm: Vec<Kind> = KINDS.into_iter().filter(|_| random.one_in(3)).collect();
    swarm.retain(|kind| scope.rescales || *kind != Kind::Rescale);
    if swarm.is_empty() {
        swarm.push(Kind::KillTaskManager);
    }
    let count = random.within(1..scope.faults.max(1) + 1);
    // In each round something dies in the gap between a checkpoint's completion and its commit: hardly any other moment gets there.
    let gap = if scope.has_spare { Kind::JobManagerGap } else { Kind::Gap };
    let opening = match random.below(8) {
        0 => vec![Kind::PowerCut, gap],
        1 => vec![Kind::KillTaskManager, gap],
        2 | 3 if !scope.has_spare => vec![Kind::TaskManagerPoint, gap],
        _ => vec![gap],
    };
    let more: Vec<Kind> = (1..count).filter_map(|_| random.pick(&swarm).copied()).collect();
    let steps = opening.into_iter().chain(more).enumerate().map(|(n, kind)| {
        let after = random.within(100..2_000);
        Step { after, fault: draw(kind, n == 0, scope, &mut random) }
    });
    steps.collect()
}

fn draw(kind: Kind, must_kill: bool, scope: &Scope, random: &mut Random) -> Fault {
    let manager = usize::try_from(random.below(scope.managers as u64)).unwrap_or(0);
    let down = random.within(50..1_500);
    let pause = random.within(100..scope.longest_pause);
    let who = if random.one_in(3) { Who::JobManager } else { Who::TaskManager(manager) };
    match kind {
        Kind::KillTaskManager => Fault::Kill(Who::TaskManager(manager), down),
        Kind::KillJobManager => Fault::Kill(Who::JobManager, down),
        Kind::PowerCut => Fault::PowerCut(down),
        Kind::Pause => Fault::Pause(who, pause),
        Kind::TaskManagerPoint => {
            let points: Vec<&str> =
                TASKMANAGER_POINTS.into_iter().filter(|point| !FILE_POINTS.contains(point)).collect();
            point(Who::TaskManager(manager), &points, must_kill, (down, pause), random)
        }
        Kind::Gap => point(Who::TaskManager(manager), &GAP_POINTS, must_kill, (down, pause), random),
        Kind::JobManagerGap => {
            point(Who::JobManager, &JOBMANAGER_GAP_POINTS, must_kill, (down, pause), random)
        }
        Kind::JobManagerPoint => point(Who::JobManager, &JOBMANAGER_POINTS, false, (down, pause), random),
        Kind::Broker => Fault::KillBroker(random.within(100..5_000)),
        Kind::Storage => {
            let troubles = [
                Trouble::Away,
                Trouble::Silent,
                Trouble::Slow,
                Trouble::Unavailable,
                Trouble::LostAnswers,
                Trouble::Truncated,
                Trouble::Resets,
            ];
            Fault::Storage(trouble(&troubles, random), random.within(500..4_000))
        }
        Kind::Control => {
            let troubles = [
                Trouble::Away,
                Trouble::Silent,
                Trouble::OneWay,
                Trouble::Slow,
                Trouble::Split,
                Trouble::Resets,
            ];
            Fault::Control(manager, trouble(&troubles, random), pause)
        }
        Kind::Data => {
            let troubles = [
                Trouble::Away,
                Trouble::Silent,
                Trouble::OneWay,
                Trouble::Slow,
                Trouble::Split,
                Trouble::Resets,
                Trouble::Flips,
            ];
            Fault::Data(manager, trouble(&troubles, random), pause)
        }
        Kind::Rescale => {
            Fault::Rescale(u32::try_from(random.within(1..u64::from(scope.slots) + 1)).unwrap_or(1))
        }
    }
}

fn point(
    who: Who,
    points: &[&'static str],
    must_kill: bool,
    (down, pause): (u64, u64),
    random: &mut Random,
) -> Fault {
    let point = random.pick(points).copied().unwrap_or("commit.before");
    let act = if must_kill { Act::Kill } else { act(random) };
    Fault::Point(who, point, act, visit(point, random), if act == Act::Stop { pause } else { down })
}

fn act(random: &mut Random) -> Act {
    match random.below(5) {
        0 => Act::Stop,
        1 => Act::Error,
        _ => Act::Kill,
    }
}

/// A restore and a deployment happen once in a process' life, or nearly.
fn visit(point: &str, random: &mut Random) -> u64 {
    if point.starts_with("deploy") {
        return random.within(1..3);
    }
    let is_rare = ["restore", "attempt", "savepoint"].iter().any(|word| point.starts_with(word));
    if is_rare { 1 } else { random.within(1..6) }
}

fn trouble(troubles: &[Trouble], random: &mut Random) -> Trouble {
    random.pick(troubles).copied().unwrap_or(Trouble::Away)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Scope =
        Scope { managers: 3, slots: 6, longest_pause: 5_000, faults: 4, rescales: true, has_spare: false };

    #[test]
    fn a_seed_means_the_same_faults() {
        assert_eq!(plan(1, &SCOPE), plan(1, &SCOPE));
        assert_ne!(plan(1, &SCOPE), plan(2, &SCOPE));
    }

    #[test]
    fn the_first_fault_ends_a_process_that_runs_tasks() {
        for seed in 0..500 {
            let fault = plan(seed, &SCOPE).remove(0).fault;
            let kills = matches!(
                fault,
                Fault::Kill(Who::TaskManager(_), _)
                    | Fault::PowerCut(_)
                    | Fault::Point(Who::TaskManager(_), _, Act::Kill, ..)
            );
            assert!(kills, "{seed}: {fault}");
        }
    }

    #[test]
    fn all_kinds_points_and_troubles_come_in_some_hundred_rounds() {
        let text: String = (0..600).map(|seed| format!("{:?}", plan(seed, &SCOPE))).collect();
        let points =
            TASKMANAGER_POINTS.iter().filter(|point| !FILE_POINTS.contains(point)).chain(&JOBMANAGER_POINTS);
        let words = [
            "Kill(JobManager",
            "PowerCut",
            "Pause(JobManager",
            "KillBroker",
            "Storage(LostAnswers",
            "Rescale(4",
        ];
        let more = ["Control(0, OneWay", "Data(2, Flips", "Data(1, Split", "Stop", "Error"];
        for word in points.copied().chain(words).chain(more) {
            assert!(text.contains(word), "{word}");
        }
    }
}
