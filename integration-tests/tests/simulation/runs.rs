//! Runs of seeds: many in a row, one twice, one that fails made smaller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::planted::{ALL, plant};
use super::swarm::Swarm;
use super::world::World;

/// The seeds of a test run.
const SEEDS: u64 = 10_000;
/// From one seed that is run twice to the next.
const TWICE_EVERY: u64 = 100;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    violation: Option<String>,
    hash: u64,
    tally: Tally,
}

/// What happened in a run, or in many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) millis: u64,
    pub(crate) checkpoints: u64,
    pub(crate) attempts: u64,
    pub(crate) restores: u64,
    pub(crate) commits: u64,
    pub(crate) fenced: u64,
    pub(crate) expired: u64,
    pub(crate) emitted: u64,
    pub(crate) deletions: u64,
    pub(crate) partial: u64,
    pub(crate) survivors: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        let Self {
            events,
            millis,
            checkpoints,
            attempts,
            restores,
            commits,
            fenced,
            expired,
            emitted,
            deletions,
            partial,
            survivors,
        } = self;
        *events += other.events;
        *millis += other.millis;
        *checkpoints += other.checkpoints;
        *attempts += other.attempts;
        *restores += other.restores;
        *commits += other.commits;
        *fenced += other.fenced;
        *expired += other.expired;
        *emitted += other.emitted;
        *deletions += other.deletions;
        *partial += other.partial;
        *survivors += other.survivors;
    }

    /// A simulation in which nothing goes wrong proves nothing.
    fn check(&self, seeds: u64) {
        for (what, count, least) in [
            ("checkpoints", self.checkpoints, seeds * 4),
            ("restarts from a checkpoint", self.restores, seeds / 2),
            ("commits", self.commits, seeds * 8),
            ("producers fenced", self.fenced, seeds / 2_000),
            ("transactions timed out", self.expired, seeds / 5_000),
            ("files deleted", self.deletions, seeds * 4),
            ("restarts of a part of a job", self.partial, seeds / 10),
            ("tasks that went on beside one", self.survivors, seeds / 5),
        ] {
            assert!(count >= least, "only {count} {what} in {seeds} seeds");
        }
    }
}

/// Runs one.
fn run(swarm: &Rc<Swarm>, in_words: bool) -> Outcome {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(Rc::clone(swarm), in_words);
        world.run();
        Outcome {
            violation: world.oracle.take_violation(),
            hash: world.trace.hash(),
            tally: Tally {
                events: world.trace.events(),
                millis: world.now,
                checkpoints: world.oracle.completed,
                attempts: world.oracle.attempts,
                restores: world.oracle.restores,
                commits: world.oracle.commits,
                fenced: world.log.fenced,
                expired: world.log.expired,
                emitted: world.oracle.emitted,
                deletions: world.oracle.deletions,
                partial: world.oracle.partial,
                survivors: world.oracle.survivors,
            },
        }
    }));
    result.unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        Outcome { violation: Some(format!("panic: {}", text.unwrap_or("?"))), ..Outcome::default() }
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Leaves out faults and kinds of them, one after the other, for as long as it goes wrong without.
fn minimised(swarm: &Rc<Swarm>) -> Rc<Swarm> {
    let mut smallest = Rc::clone(swarm);
    let mut try_without = |change: &dyn Fn(&mut Swarm)| {
        let mut smaller = smallest.as_ref().clone();
        change(&mut smaller);
        let smaller = Rc::new(smaller);
        let fails = run(&smaller, false).violation.is_some();
        if fails {
            smallest = smaller;
        }
        fails
    };
    let kinds: [&dyn Fn(&mut Swarm); 9] = [
        &|swarm| swarm.sick = None,
        &|swarm| swarm.storage_errors = 0,
        &|swarm| swarm.metadata_errors = 0,
        &|swarm| swarm.log_errors = 0,
        &|swarm| swarm.commit_errors = 0,
        &|swarm| swarm.data_delays = 0,
        &|swarm| swarm.message_loss = 0,
        &|swarm| swarm.message_delays = 0,
        &|swarm| swarm.message_doubles = 0,
    ];
    for kind in kinds {
        try_without(kind);
    }
    let mut position = 0;
    for _ in 0..swarm.faults.len() {
        position += usize::from(!try_without(&|swarm| {
            swarm.faults.remove(position);
        }));
    }
    smallest
}

/// What is printed of a seed that fails.
fn report(seed: u64, violation: &str) -> String {
    let smallest = minimised(&Rc::new(Swarm::new(seed)));
    let Swarm { faults, sick, storage_errors, metadata_errors, log_errors, commit_errors, .. } =
        smallest.as_ref();
    let Swarm { data_delays, message_loss, message_delays, message_doubles, .. } = smallest.as_ref();
    format!(
        "seed {seed}: {violation}\nenough for it: {faults:#?}, {sick:?}, errors of storage {storage_errors} %, metadata \
         {metadata_errors} %, log {log_errors} %, commits {commit_errors} %, data late {data_delays} %, messages lost \
         {message_loss} %, late {message_delays} %, doubled {message_doubles} %\nagain: WEIR_SIM_FIRST={seed} WEIR_SIM_SEEDS=1 \
         WEIR_SIM_TRACE=1 cargo test -p weir-integration-tests --test simulation nothing_is -- --nocapture"
    )
}

/// Every `step`th seed; ends at the first that fails, unless it is told to go on.
fn run_all(seeds: impl Iterator<Item = u64>) -> Result<Tally, String> {
    let in_words = std::env::var_os("WEIR_SIM_TRACE").is_some();
    let goes_on = std::env::var_os("WEIR_SIM_GO_ON").is_some();
    let mut total = Tally::default();
    for seed in seeds {
        let swarm = Rc::new(Swarm::new(seed));
        let outcome = run(&swarm, in_words);
        if let Some(violation) = outcome.violation {
            if !goes_on {
                return Err(report(seed, &violation));
            }
            eprintln!("seed {seed}: {violation}");
            continue;
        }
        total.add(&outcome.tally);
        if seed % TWICE_EVERY == 0 && run(&swarm, false).hash != outcome.hash {
            return Err(format!("two runs of seed {seed} differ"));
        }
    }
    Ok(total)
}

#[test]
fn nothing_is_lost_doubled_or_wrong() {
    let first = number("WEIR_SIM_FIRST").unwrap_or(0);
    let count = number("WEIR_SIM_SEEDS").unwrap_or(SEEDS);
    let threads = number("WEIR_SIM_THREADS").unwrap_or(1).max(1);
    let results = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|thread| {
                let seeds = (first + thread..first + count).step_by(threads as usize);
                scope.spawn(move || run_all(seeds))
            })
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut total = Tally::default();
    for result in results {
        total.add(&result.unwrap_or_else(|report| panic!("{report}")));
    }
    eprintln!("{count} seeds from {first}: {total:?}");
    if count >= SEEDS {
        total.check(count);
    }
}

#[test]
fn every_planted_bug_is_found() {
    let hook = std::panic::take_hook();
    // A machine that panics is a find.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for bug in ALL {
        plant(Some(bug));
        let found =
            (0..SEEDS).find_map(|seed| Some((seed, run(&Rc::new(Swarm::new(seed)), false).violation?)));
        plant(None);
        match found {
            Some((seed, violation)) => eprintln!("{bug:?}: seed {seed}: {violation}"),
            None => missed.push(bug),
        }
    }
    std::panic::set_hook(hook);
    assert!(missed.is_empty(), "not found in {SEEDS} seeds: {missed:?}");
}
