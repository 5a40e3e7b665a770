//! What one seed draws: a cluster, a job, which kinds of faults there are at all, and when they happen.
//!
//! A swarm: each run has some kinds of faults and not others, for what would be drowned by ten kinds at once may come up where
//! only two of them meet. Everything is drawn before the run begins, so a schedule can be made smaller afterwards.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::job::{Commits, Input, Plan};
use super::random::Random;

/// After the last fault everything must have come to its end within this.
pub(crate) const PATIENCE: u64 = 240_000;

/// A kind of message that is lost or late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Trigger,
    Complete,
    Abort,
    Acknowledge,
    Decline,
    /// The metadata's answers.
    Metadata,
    /// The store's.
    Storage,
    /// A task's state.
    State,
}

/// One kind of message, in so many cases of a hundred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sick {
    pub(crate) kind: Kind,
    pub(crate) percent: u64,
    /// Lost, where a message of its kind can be lost without its stream; else late.
    pub(crate) lost: bool,
}

/// A fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    KillWorker {
        position: usize,
        silently: bool,
        down: u64,
    },
    KillMaster {
        silently: bool,
        down: u64,
    },
    PauseWorker {
        position: usize,
        millis: u64,
    },
    PauseMaster {
        millis: u64,
    },
    /// Between JobManager and TaskManager.
    CutControl {
        position: usize,
        to_master: bool,
        to_worker: bool,
        millis: u64,
    },
    /// Between TaskManagers.
    CutData {
        one: usize,
        other: usize,
        both: bool,
        millis: u64,
    },
    ResetData {
        one: usize,
        other: usize,
    },
    ResetSession {
        position: usize,
        known_to_worker: bool,
    },
    StuckTasks {
        position: usize,
        millis: u64,
    },
    FailTask {
        turn: u64,
    },
    StorageAway {
        millis: u64,
    },
    StorageSlow {
        millis: u64,
    },
    LogAway {
        millis: u64,
    },
    Skew {
        millis: i64,
    },
    Savepoint,
    Checkpoint {
        full: bool,
    },
}

/// When what happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) at: u64,
    pub(crate) what: What,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) seed: u64,
    pub(crate) managers: usize,
    pub(crate) slots: u32,
    pub(crate) input: Rc<Input>,
    /// One after the other, each from the last one's savepoint.
    pub(crate) plans: Vec<Plan>,
    /// From which moment on each is to be stopped; one less than there are jobs.
    pub(crate) stops: Vec<(u64, bool)>,
    /// From one batch of a source to the next, at least.
    pub(crate) pace: u64,
    pub(crate) incremental: bool,
    pub(crate) faults: Vec<Fault>,
    pub(crate) calm_from: u64,
    pub(crate) transaction_timeout: u64,
    /// The longest that a step of a transaction takes.
    pub(crate) log_latency: u64,
    /// Percentages.
    pub(crate) storage_errors: u64,
    pub(crate) metadata_errors: u64,
    pub(crate) log_errors: u64,
    pub(crate) commit_errors: u64,
    pub(crate) data_delays: u64,
    pub(crate) message_loss: u64,
    pub(crate) message_delays: u64,
    pub(crate) message_doubles: u64,
    pub(crate) sick: Option<Sick>,
}

impl Swarm {
    /// What this seed draws.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let managers = random.range(2, 5) as usize;
        let slots = random.range(1, 4) as u32;
        let calm_from = random.range(12_000, 30_000);
        let bounded = random.chance(50);
        let jobs = if random.chance(25) { random.range(2, 4) } else { 1 };
        let splits = random.range(1, 5) as usize;
        let later = |random: &mut Random| if bounded || random.chance(60) { 0 } else { random.below(20_000) };
        let input = Input {
            seed,
            keys: random.range(1, 24),
            lengths: (0..splits).map(|_| random.range(20, 120) as u32).collect(),
            appears: (0..splits).map(|split| if split == 0 { 0 } else { later(&mut random) }).collect(),
        };
        // One slot is left, so that a TaskManager may die for long.
        let most = u64::from((managers as u32 * slots).saturating_sub(slots).clamp(1, 3));
        let config = config(&mut random);
        let sinks = random.range(1, 4);
        let pipelines = if random.chance(40) { 2 } else { 1 };
        let narrow = pipelines > 1 && random.chance(60);
        let plans = (1..=jobs).map(|number| plan(number as u8, most, sinks, bounded, &config, &mut random));
        let plans: Vec<_> = plans.map(|plan| Plan { pipelines, narrow, ..plan }).collect();
        let stops = (1..jobs).map(|stop| (stop * calm_from / jobs, random.chance(30))).collect();
        let flag = |random: &mut Random, percent, most| {
            if random.chance(percent) { random.range(1, most) } else { 0 }
        };
        let pace = random.range(20, 200);
        let mut swarm = Self {
            seed,
            managers,
            slots,
            input: Rc::new(input),
            plans,
            stops,
            pace,
            incremental: random.chance(70),
            faults: Vec::new(),
            calm_from,
            transaction_timeout: *random.pick(&[2_000, 10_000, 60_000]),
            log_latency: *random.pick(&[20, 20, 300, 2_000]),
            storage_errors: flag(&mut random, 40, 12),
            metadata_errors: flag(&mut random, 30, 8),
            log_errors: flag(&mut random, 40, 15),
            commit_errors: flag(&mut random, 40, 25),
            data_delays: flag(&mut random, 50, 10),
            message_loss: flag(&mut random, 30, 4),
            message_delays: flag(&mut random, 50, 5),
            message_doubles: flag(&mut random, 40, 5),
            sick: None,
        };
        swarm.sick = sick(&mut random);
        swarm.faults = faults(&swarm, &mut random);
        swarm
    }
}

fn config(random: &mut Random) -> BTreeMap<String, String> {
    let mut config = BTreeMap::new();
    let mut set = |key: &str, value: String| config.insert(format!("execution.checkpointing.{key}"), value);
    set("interval", format!("{} ms", random.range(400, 2_500)));
    set("timeout", format!("{} ms", random.range(1_500, 8_000)));
    set("dir", "memory:///checkpoints".to_owned());
    if random.chance(50) {
        set("min-pause", format!("{} ms", random.below(800)));
    }
    set("max-concurrent-checkpoints", random.range(1, 4).to_string());
    set("num-retained", random.range(1, 4).to_string());
    config.insert("restart-strategy.type".to_owned(), "fixed-delay".to_owned());
    config.insert("restart-strategy.fixed-delay.attempts".to_owned(), "1000000".to_owned());
    config.insert("restart-strategy.fixed-delay.delay".to_owned(), format!("{} ms", random.range(1, 600)));
    config.insert("slot.request.timeout".to_owned(), "1 h".to_owned());
    config
}

fn plan(
    number: u8,
    most: u64,
    sinks: u64,
    bounded: bool,
    config: &BTreeMap<String, String>,
    random: &mut Random,
) -> Plan {
    let mut some = || random.range(1, most + 1) as u32;
    let (sources, counts) = (some(), some());
    let sinks = match sinks {
        1 => vec![(Commits::Master, some())],
        2 => vec![(Commits::Tasks, some())],
        _ => vec![(Commits::Master, some()), (Commits::Tasks, some())],
    };
    Plan { number, sources, counts, sinks, pipelines: 1, narrow: false, bounded, config: config.clone() }
}

fn sick(random: &mut Random) -> Option<Sick> {
    let kinds = [
        Kind::Trigger,
        Kind::Complete,
        Kind::Abort,
        Kind::Acknowledge,
        Kind::Decline,
        Kind::Metadata,
        Kind::Storage,
        Kind::State,
    ];
    random.chance(70).then(|| {
        let kind = *random.pick(&kinds);
        Sick { kind, percent: random.range(20, 96), lost: random.chance(40) }
    })
}

/// The schedule: of the kinds that this seed has.
fn faults(swarm: &Swarm, random: &mut Random) -> Vec<Fault> {
    let mut kinds: Vec<u64> = (0..16).filter(|_| random.chance(35)).collect();
    if kinds.is_empty() {
        kinds.push(random.below(16));
    }
    let count = if random.chance(70) { random.below(9) } else { random.range(9, 24) };
    let worker = |random: &mut Random| random.below(swarm.managers as u64) as usize;
    let short_or_long = |random: &mut Random| {
        if random.chance(60) { random.range(50, 1_500) } else { random.range(1_500, 12_000) }
    };
    let mut faults = Vec::new();
    for _ in 0..count {
        let position = worker(random);
        let millis = short_or_long(random);
        let silently = random.chance(25);
        let what = match random.pick(&kinds) {
            0 | 1 => What::KillWorker { position, silently, down: random.range(50, 5_000) },
            2 => What::KillMaster { silently, down: random.range(50, 5_000) },
            3 => What::PauseWorker { position, millis },
            4 => What::PauseMaster { millis },
            5 => {
                let which = random.below(3);
                What::CutControl { position, to_master: which != 0, to_worker: which != 1, millis }
            }
            6 => {
                let other = worker(random);
                What::CutData { one: position, other, both: random.chance(50), millis }
            }
            7 => What::ResetData { one: position, other: worker(random) },
            8 => What::ResetSession { position, known_to_worker: random.chance(60) },
            9 => What::StuckTasks { position, millis },
            10 => What::FailTask { turn: random.next() },
            11 => What::StorageAway { millis },
            12 => What::StorageSlow { millis },
            13 => What::LogAway { millis },
            14 => What::Savepoint,
            _ if random.chance(50) => What::Checkpoint { full: random.chance(50) },
            _ => What::Skew { millis: random.range(0, 200_000) as i64 - 100_000 },
        };
        faults.push(Fault { at: random.range(500, swarm.calm_from), what });
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}
