//! One round: a fresh cluster, a job, faults, and the judge's word.
//!
//! A round counts only if it has shown something ([`Evidence::missing`]); else it is vacuous. A violation is one in any round.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::check::{self, Finding, Kind, Outputs, View};
use crate::deployment::Deployment;
use crate::evidence::{CHECKPOINTS_FIRST, Evidence};
use crate::job::{self, Manner, Topics};
use crate::nemesis::{self, Scope, Step};
use crate::quota::Quota;
use crate::random::Random;
use crate::stage::Stage;
use crate::strike::Target;
use crate::topics::{Feeder, Feeding, Isolation, Watcher, has_open_transaction, read};
use crate::watch::Watch;
use crate::workload::Workload;

/// How long a job may take to its first checkpoints.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a job may take to be cancelled, and its transactions to their end.
const CANCEL_LIMIT: Duration = Duration::from_secs(20);
/// How long a live reader may take to what a fresh one has seen.
const SEEN_LIMIT: Duration = Duration::from_secs(5);

/// How rounds are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Records of each partition.
    pub records: u64,
    /// How long the second half of the input takes, unless the faults are over before: then what is left comes at once.
    pub feeding: Duration,
    /// All input must be committed so long after the last fault is healed.
    pub liveness: Duration,
    /// How the job writes.
    pub manner: Manner,
    /// The most faults of a round.
    pub faults: u64,
    /// The longest pause.
    pub longest_pause: Duration,
    /// Whether the job may be stopped and started at another parallelism.
    pub rescales: bool,
    /// Per cent of one core that the cluster gets; `None`: all that there is.
    pub cpu_quota: Option<u32>,
    /// What strikes; `None`: what the seed says.
    pub steps: Option<Vec<Step>>,
    /// The cluster; `None`: what the seed says.
    pub shape: Option<Shape>,
    /// Further options of all processes, `key=value`.
    pub options: Vec<String>,
}

/// The size of a cluster and of its job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// TaskManagers.
    pub managers: usize,
    /// Slots of each.
    pub slots: u32,
    /// Of the job.
    pub parallelism: u32,
}

impl Shape {
    fn drawn(seed: u64) -> Self {
        let mut random = Random::new(seed, 0x5C0);
        let (managers, slots) = if random.one_in(2) { (2, 2) } else { (3, 1) };
        let all = u64::try_from(managers).unwrap_or(1) * u64::from(slots);
        // Mostly all slots are in use: then whoever comes back runs tasks again.
        let parallelism = if random.one_in(4) { random.within(2..all) } else { all };
        Self { managers, slots, parallelism: u32::try_from(parallelism).unwrap_or(2) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            records: 12_000,
            feeding: Duration::from_secs(15),
            liveness: Duration::from_secs(30),
            manner: Manner::default(),
            faults: 3,
            longest_pause: Duration::from_secs(5),
            rescales: true,
            cpu_quota: None,
            steps: None,
            shape: None,
            options: Vec::new(),
        }
    }
}

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was missing for it to count; nothing, if it counts.
    pub vacuous: Vec<&'static str>,
    /// What struck, and what came of it.
    pub strikes: Vec<String>,
    /// What happened.
    pub evidence: Evidence,
    /// How long it took.
    pub time: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.findings.len(), self.vacuous.is_empty()) {
            (0, true) => "exactly once".to_owned(),
            (0, false) => format!("vacuous: without {}", self.vacuous.join(", ")),
            (count, _) => format!("{count} FINDINGS"),
        };
        write!(f, "seed {}, {:.1} s: {verdict}; {}", self.seed, self.time.as_secs_f32(), self.evidence)?;
        self.strikes.iter().try_for_each(|strike| write!(f, "\n  {strike}"))?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

/// Runs a round; logs and metadata go to `folder`, which is the caller's to remove.
pub fn run(stage: &Stage, folder: &Path, seed: u64, settings: &Settings) -> Outcome {
    let start = Instant::now();
    let mut scene = Scene::set(stage, folder, seed, settings);
    let mut findings = Vec::new();
    let before = scene.wait_for_checkpoints(&mut findings);
    let plan = settings.steps.clone().unwrap_or_else(|| nemesis::plan(seed, &scene.scope));
    let strikes = if findings.is_empty() { scene.strike(&plan) } else { Vec::new() };
    scene.heal();
    let is_complete = findings.is_empty() && scene.wait_until_complete(settings.liveness);
    if !is_complete {
        findings.push(scene.stuck());
    }
    findings.extend(scene.cancel());
    let (outputs, evidence) = scene.end(before, &strikes);
    // Of a job that is stuck what is missing says nothing new.
    let judged = check::all(&Workload::of(seed, settings.records), &outputs);
    findings.extend(judged.into_iter().filter(|finding| is_complete || finding.kind != Kind::Lost));
    Outcome { seed, findings, vacuous: evidence.missing(), strikes, evidence, time: start.elapsed() }
}

/// Everything of one round.
struct Scene<'a> {
    target: Target<'a>,
    workload: Workload,
    topics: Topics,
    watchers: [Watcher; 4],
    feeding: Option<Feeding>,
    watch: Watch,
    scope: Scope,
    settle: Duration,
    // Dropped after the processes in it.
    _quota: Option<Quota>,
}

impl<'a> Scene<'a> {
    fn set(stage: &'a Stage, folder: &Path, seed: u64, settings: &Settings) -> Self {
        let Shape { managers, slots, parallelism } = settings.shape.unwrap_or_else(|| Shape::drawn(seed));
        let all_slots = slots * u32::try_from(managers).unwrap_or(1);
        let name = format!("round-{}-{seed}", std::process::id());
        let (workload, topics) = (Workload::of(seed, settings.records), Topics::of(&name));
        stage.create_topic(&topics.input, workload.partitions);
        topics.outputs().into_iter().for_each(|topic| stage.create_topic(topic, 4));
        let feeder = Feeder::new(stage.brokers(), &topics.input, &workload);
        feeder.preload(workload.preloaded());
        let quota = settings.cpu_quota.and_then(|percent| Quota::new(&name, percent));
        let (checkpoints, backing) = stage.storage(&name);
        let savepoints = stage.storage(&format!("{name}-savepoints"));
        let deployment = Deployment::start(
            folder,
            managers,
            slots,
            &options(stage, settings),
            seed,
            quota.as_ref().map(Quota::folder),
        );
        let watch = Watch::start(&deployment.rest(), &backing);
        let watchers = topics.outputs().map(|topic| Watcher::start(stage.brokers(), topic));
        let sql = job::sql(&name, &stage.proxied_brokers(), &topics, &checkpoints, &settings.manner);
        let job = deployment.submit(&sql, parallelism);
        let feeding = Some(feeder.feed(workload.preloaded(), settings.feeding));
        let longest_pause = u64::try_from(settings.longest_pause.as_millis()).unwrap_or(1_000);
        let scope = Scope {
            managers,
            slots: all_slots,
            longest_pause,
            faults: settings.faults,
            rescales: settings.rescales,
            has_spare: parallelism < all_slots,
        };
        let settle = Duration::from_millis(settings.manner.interval * 3);
        let target = Target { deployment, stage, job, savepoints, sql };
        Self { target, workload, topics, watchers, feeding, watch, scope, settle, _quota: quota }
    }

    fn wait_for_checkpoints(&self, findings: &mut Vec<Finding>) -> u64 {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let completed = self.watch.seen().completed();
            if completed >= CHECKPOINTS_FIRST {
                return completed;
            }
            if Instant::now() > deadline {
                let text = format!("{completed} checkpoints within {START_LIMIT:?}: {}", self.complaint());
                findings.push(Finding { invariant: "I9", kind: Kind::Lost, records: 1, text });
                return completed;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn strike(&mut self, plan: &[Step]) -> Vec<String> {
        let strike = |step: &Step| {
            std::thread::sleep(Duration::from_millis(step.after));
            let came = self.target.strike(&step.fault);
            let revived = self.target.revive().map(|revived| format!("; {revived}")).unwrap_or_default();
            format!("{}: {came}{revived}", step.fault)
        };
        plan.iter().map(strike).collect()
    }

    fn heal(&mut self) {
        self.target.stage.heal();
        self.target.deployment.heal();
        self.target.deployment.wait_for_rest();
        self.target.revive();
        if let Some(feeding) = self.feeding.take() {
            feeding.finish();
        }
    }

    /// Whether all input is committed in time.
    fn wait_until_complete(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let windows = self.workload.windows().len() as u64;
        let total = self.workload.total();
        while Instant::now() < deadline {
            let [identity, counts, fired, _] = &self.watchers;
            if identity.count() >= total && counts.count() >= total && fired.count() >= windows {
                return true;
            }
            // A JobManager that stood still after the savepoint of a stop ends the job only now.
            self.target.revive();
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn stuck(&self) -> Finding {
        let [identity, counts, windows, late] = self.watchers.each_ref().map(Watcher::count);
        let text = format!(
            "not all input is committed: identity {identity} and counts {counts} of {}, {windows} windows, {late} late; {}; {}",
            self.workload.total(),
            self.second_look(),
            self.complaint()
        );
        Finding {
            invariant: "I9",
            kind: Kind::Lost,
            records: self.workload.total().saturating_sub(counts),
            text,
        }
    }

    /// What others than those who have watched from the beginning see: perhaps it was they who stood still.
    fn second_look(&self) -> String {
        let brokers = self.target.stage.brokers();
        let look = |(topic, watcher): (&str, &Watcher)| {
            let rows = read(brokers, topic, Isolation::Committed).len();
            let trouble = watcher.trouble().map(|error| format!(" (its watcher heard: {error})"));
            format!("{rows} in {topic}{}", trouble.unwrap_or_default())
        };
        let seen: Vec<_> = self.topics.outputs().into_iter().zip(&self.watchers).map(look).collect();
        format!("another reader sees {}", seen.join(", "))
    }

    /// What the cluster says of the job.
    fn complaint(&self) -> String {
        let deployment = &self.target.deployment;
        let exceptions = deployment.get(&format!("/jobs/{}/exceptions", self.target.job)).unwrap_or_default();
        format!("the job is {:?}: {}", deployment.state(&self.target.job), exceptions["root-exception"])
    }

    /// Ends the job, which must leave nothing open.
    fn cancel(&self) -> Option<Finding> {
        // Whoever would commit something twice gets the time for it.
        std::thread::sleep(self.settle);
        let wrong = |text: String| Some(Finding { invariant: "I9", kind: Kind::Wrong, records: 0, text });
        if !self.target.deployment.cancel(&self.target.job, CANCEL_LIMIT) {
            return wrong(format!("not cancelled within {CANCEL_LIMIT:?}: {}", self.complaint()));
        }
        let brokers = self.target.stage.brokers();
        let is_open = |topic: &&str| has_open_transaction(brokers, topic);
        let deadline = Instant::now() + CANCEL_LIMIT;
        while let Some(topic) = self.topics.outputs().into_iter().find(is_open) {
            if Instant::now() > deadline {
                return wrong(format!("a transaction is open in {topic} after the job's end"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    }

    /// Reads everything once nothing more can come.
    fn end(self, before: u64, strikes: &[String]) -> (Outputs, Evidence) {
        let seen = self.watch.seen();
        let brokers = self.target.stage.brokers();
        let view = |topic: &str, watcher: Watcher| {
            let fresh = read(brokers, topic, Isolation::Committed);
            let live = watcher.end(fresh.len(), SEEN_LIMIT);
            View { live, fresh, uncommitted: read(brokers, topic, Isolation::Uncommitted) }
        };
        let [identity, counts, windows, late] = self.watchers;
        let outputs = Outputs {
            input: read(brokers, &self.topics.input, Isolation::Committed),
            identity: view(&self.topics.identity, identity),
            counts: view(&self.topics.counts, counts),
            windows: view(&self.topics.windows, windows),
            late: view(&self.topics.late, late),
        };
        let evidence = Evidence::of(before, &seen, &self.workload, &outputs, strikes);
        let names = self.topics.outputs().into_iter().chain([self.topics.input.as_str()]);
        self.target.stage.delete_topics(&names.collect::<Vec<_>>());
        (outputs, evidence)
    }
}

/// Failures are to be noticed within a round's time.
fn options(stage: &Stage, settings: &Settings) -> Vec<String> {
    let mut options = stage.storage_options();
    let soon =
        ["heartbeat.interval=100 ms", "heartbeat.timeout=3 s", "metrics.fetcher.update-interval=50 ms"];
    options.extend(soon.map(str::to_owned));
    options.extend(settings.options.iter().cloned());
    options
}
