//! Breaks a running cluster on purpose and judges what it wrote. Links nothing of the engine.
//!
//! `generate` shows what a seed feeds in, `check` judges topics against a seed, `verify` judges any topic whose records count up,
//! `round` runs rounds of chaos and keeps their results.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use weir_chaos::check::{self, Columns, Finding, Outputs, View};
use weir_chaos::job::Topics;
use weir_chaos::nemesis::{Act, Fault, GAP_POINTS, JOBMANAGER_POINTS, Step, TASKMANAGER_POINTS, Who};
use weir_chaos::results::Results;
use weir_chaos::round::{self, Outcome, Settings, Shape};
use weir_chaos::stage::Stage;
use weir_chaos::topics::{Isolation, read};
use weir_chaos::workload::Workload;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the records of a seed, one JSON object a line, partition by partition
    Generate(Generate),
    /// Judge the topics that a job has written against what the seed says
    Check(Check),
    /// Judge any topic whose records carry a key and a number that counts up by one
    Verify(Verify),
    /// Run rounds of chaos: a cluster, a job, faults, and the judge's word
    Round(Round),
    /// Break a process at each fail point, at the first and the fifth visit, by a kill and by a pause of 30 s, a round each
    Points(Series),
    /// Kill a process between a checkpoint's completion and the end of its commit, so often
    Gap(Gap),
}

#[derive(Args)]
struct Series {
    /// Where logs go; those of rounds without a finding are removed
    #[arg(long, default_value = "/tmp/weir-chaos")]
    folder: PathBuf,
    /// Begin behind so many rounds
    #[arg(long, default_value_t = 0)]
    skip: usize,
}

#[derive(Args)]
struct Gap {
    /// How often
    #[arg(long, default_value_t = 200)]
    times: usize,
    /// Kills of a round
    #[arg(long, default_value_t = 10)]
    per_round: usize,
    #[command(flatten)]
    series: Series,
}

#[derive(Args)]
struct Generate {
    /// What everything follows from
    #[arg(long)]
    seed: u64,
    /// Records of each of the four partitions
    #[arg(long, default_value_t = Settings::default().records)]
    records: u64,
}

#[derive(Args)]
struct Check {
    /// The broker, host:port
    #[arg(long)]
    brokers: String,
    /// What the topics' names begin with, before -input, -identity, -counts, -windows and -late
    #[arg(long)]
    topics: String,
    #[command(flatten)]
    workload: Generate,
}

#[derive(Args)]
struct Verify {
    /// The broker, host:port
    #[arg(long)]
    brokers: String,
    /// The topic; values are JSON objects
    #[arg(long)]
    topic: String,
    /// A field that tells sequences apart; may be given several times
    #[arg(long)]
    key: Vec<String>,
    /// The field that counts up
    #[arg(long)]
    sequence: String,
    /// What each sequence begins with
    #[arg(long)]
    first: Option<u64>,
    /// How many records each sequence has
    #[arg(long)]
    count: Option<u64>,
    /// Sequences must stand in order, each in one partition
    #[arg(long)]
    ordered: bool,
}

#[derive(Args)]
struct Round {
    /// The first round's seed; the others' follow. Without it they go on behind the last one that the results hold
    #[arg(long)]
    seed: Option<u64>,
    /// How many rounds
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Every third round gets so many per cent of a core
    #[arg(long, default_value_t = 70)]
    cpu_quota: u32,
    /// The most faults of a round
    #[arg(long, default_value_t = Settings::default().faults)]
    faults: u64,
    /// Records of each of the four partitions
    #[arg(long, default_value_t = Settings::default().records)]
    records: u64,
    /// The file with the table of results; without it they are only printed
    #[arg(long)]
    results: Option<PathBuf>,
    /// Where logs go; those of rounds without a finding are removed
    #[arg(long, default_value = "/tmp/weir-chaos")]
    folder: PathBuf,
    /// The job isn't stopped and started at another parallelism
    #[arg(long)]
    no_rescale: bool,
}

fn main() -> ExitCode {
    let is_right = match Cli::parse().verb {
        Verb::Generate(arguments) => generate(&arguments),
        Verb::Check(arguments) => judge(&arguments),
        Verb::Verify(arguments) => verify(arguments),
        Verb::Round(arguments) => rounds(&arguments),
        Verb::Points(arguments) => points(&arguments),
        Verb::Gap(arguments) => gap(&arguments),
    };
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn generate(arguments: &Generate) -> bool {
    let mut output = std::io::stdout().lock();
    let records = Workload::of(arguments.seed, arguments.records).all();
    // Whoever reads may have enough.
    records
        .map_while(|record| serde_json::to_string(&record).ok())
        .all(|line| writeln!(output, "{line}").is_ok())
}

fn judge(arguments: &Check) -> bool {
    let topics = Topics::of(&arguments.topics);
    let rows = |topic: &str, isolation| read(&arguments.brokers, topic, isolation);
    let view = |topic: &str| {
        let fresh = rows(topic, Isolation::Committed);
        View { live: fresh.clone(), fresh, uncommitted: rows(topic, Isolation::Uncommitted) }
    };
    let outputs = Outputs {
        input: rows(&topics.input, Isolation::Committed),
        identity: view(&topics.identity),
        counts: view(&topics.counts),
        windows: view(&topics.windows),
        late: view(&topics.late),
    };
    let workload = Workload::of(arguments.workload.seed, arguments.workload.records);
    report(&check::all(&workload, &outputs))
}

fn verify(arguments: Verify) -> bool {
    let rows = read(&arguments.brokers, &arguments.topic, Isolation::Committed);
    let Verify { key, sequence, first, count, ordered, .. } = arguments;
    let found = Columns { keys: key, sequence, first, count, ordered }.check(&rows);
    println!("{} records of {} sequences", found.records, found.keys);
    report(&found.findings)
}

fn report(findings: &[Finding]) -> bool {
    findings.iter().for_each(|finding| println!("{finding}"));
    if findings.is_empty() {
        println!("exactly once: nothing lost, doubled or wrong");
    }
    findings.is_empty()
}

fn rounds(arguments: &Round) -> bool {
    let mut results = Results::open(arguments.results.as_deref());
    let first = arguments.seed.unwrap_or_else(|| results.next_seed());
    let stage = Stage::start();
    for seed in first..first + arguments.rounds {
        let settings = Settings {
            records: arguments.records,
            faults: arguments.faults,
            rescales: !arguments.no_rescale,
            cpu_quota: seed.is_multiple_of(3).then_some(arguments.cpu_quota),
            ..Settings::default()
        };
        let folder = arguments.folder.join(format!("round-{seed}"));
        let _ = std::fs::remove_dir_all(&folder);
        match one(&stage, &folder, seed, &settings) {
            Some(outcome) => {
                println!("{outcome}");
                results.add(&outcome);
                if outcome.findings.is_empty() {
                    let _ = std::fs::remove_dir_all(&folder);
                } else {
                    println!("  logs: {}", folder.display());
                }
            }
            None => results.add_broken(seed),
        }
        // After each round, so that a series that is interrupted goes on where it was.
        if let Err(error) = results.save() {
            eprintln!("the results can't be written: {error}");
            return false;
        }
        stage.heal();
    }
    println!("{}", results.summary());
    results.violations() == 0
}

fn points(arguments: &Series) -> bool {
    let managers = TASKMANAGER_POINTS.iter().map(|point| (Who::TaskManager(0), *point));
    let all = managers.chain(JOBMANAGER_POINTS.iter().map(|point| (Who::JobManager, *point)));
    // Files are local: checkpoints go to an object store here.
    let reachable = all.filter(|(_, point)| !point.starts_with("file."));
    let rounds = reachable.flat_map(|(who, point)| {
        let each = move |visit| {
            [
                Fault::Point(who, point, Act::Kill, visit, 200),
                Fault::Point(who, point, Act::Stop, visit, 30_000),
            ]
        };
        [1, 5].into_iter().flat_map(each).map(|fault| vec![Step { after: 300, fault }])
    });
    series(arguments, rounds.collect())
}

fn gap(arguments: &Gap) -> bool {
    let point = |n: usize| {
        let point = GAP_POINTS.get(n % GAP_POINTS.len()).copied().unwrap_or("commit.before");
        let visit = 1 + (n / GAP_POINTS.len() % 5) as u64;
        Step { after: 300, fault: Fault::Point(Who::TaskManager(n), point, Act::Kill, visit, 100) }
    };
    let kills: Vec<Step> = (0..arguments.times).map(point).collect();
    series(&arguments.series, kills.chunks(arguments.per_round.max(1)).map(<[Step]>::to_vec).collect())
}

/// A round for each of these; says what was reached and what was found.
fn series(arguments: &Series, rounds: Vec<Vec<Step>>) -> bool {
    let stage = Stage::start();
    let (mut reached, mut missed, mut wrong, mut broken) = (0, 0, 0, 0);
    for (number, steps) in rounds.into_iter().enumerate().skip(arguments.skip) {
        let seed = 500_000 + number as u64;
        let settings = Settings {
            feeding: Duration::from_secs(10 + 10 * steps.len() as u64),
            liveness: Duration::from_secs(60),
            steps: Some(steps),
            shape: Some(Shape { managers: 2, slots: 2, parallelism: 4 }),
            ..Settings::default()
        };
        let folder = arguments.folder.join(format!("series-{number}"));
        let _ = std::fs::remove_dir_all(&folder);
        match one(&stage, &folder, seed, &settings) {
            None => broken += 1,
            Some(outcome) => {
                println!("{number}: {outcome}");
                let misses = outcome.strikes.iter().filter(|strike| strike.contains("not reached")).count();
                missed += misses;
                reached += outcome.strikes.len() - misses;
                if outcome.findings.is_empty() {
                    let _ = std::fs::remove_dir_all(&folder);
                } else {
                    wrong += 1;
                }
            }
        }
        stage.heal();
        println!(
            "so far: {reached} reached, {missed} not reached, {broken} rounds broken off, {wrong} rounds with findings"
        );
    }
    wrong == 0
}

/// A round; `None` if it couldn't be run to its end, which is the machine's fault or ours, and says nothing of the engine.
fn one(stage: &Stage, folder: &Path, seed: u64, settings: &Settings) -> Option<Outcome> {
    if let Err(error) = std::fs::create_dir_all(folder) {
        eprintln!("{}: {error}", folder.display());
        return None;
    }
    catch_unwind(AssertUnwindSafe(|| round::run(stage, folder, seed, settings))).ok()
}
