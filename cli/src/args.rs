//! The command line: verbs, flags and their help texts, Flink's where Flink has them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Weir: a distributed dataflow engine for event time, windows and SQL.
#[derive(Parser, Debug)]
#[command(name = "weir", version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Start here: `weir local` in one terminal, `weir run examples/fraud-detection.sql` in another.\n\
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the job failed, 4 the job was cancelled."
)]
pub struct Cli {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,

    #[command(subcommand)]
    pub verb: Verb,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For configuration.
    Yaml,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run a whole cluster in this process: one JobManager and one TaskManager.
    Local(LocalArgs),
    /// Run a JobManager: scheduler, job states, REST.
    Jobmanager(ProcessArgs),
    /// Run a TaskManager: slots, tasks, data plane.
    Taskmanager(ProcessArgs),
    /// Submit a job and, unless detached, follow it to its end.
    Run(RunArgs),
    /// List jobs.
    List(ListArgs),
    /// Show one job: its vertices, rates and failures.
    Info(JobArgs),
    /// Cancel a job.
    Cancel(JobArgs),
    /// Take a savepoint of a running job, or delete one.
    #[command(
        after_help = "Examples:\n  weir savepoint 4f0c s3://bucket/savepoints\n  weir savepoint --dispose s3://bucket/savepoints/savepoint-4f0c1d-…\n  weir run -s s3://bucket/savepoints/savepoint-4f0c1d-… job.sql"
    )]
    Savepoint(SavepointArgs),
    /// Take a checkpoint of a running job now.
    Checkpoint(CheckpointArgs),
    /// Stop a job behind a savepoint, from which it can go on.
    #[command(
        after_help = "Examples:\n  weir stop 4f0c -p file:///var/weir/savepoints\n  weir stop --drain 4f0c   # windows that are open fire first; nothing is to go on"
    )]
    Stop(StopArgs),
    /// Look into checkpoints and savepoints where they lie.
    State {
        #[command(subcommand)]
        verb: StateVerb,
    },
    /// Look at jobs' texts, without any cluster.
    Job {
        #[command(subcommand)]
        verb: JobVerb,
    },
    /// Check what jobs have written.
    Verify {
        #[command(subcommand)]
        verb: VerifyVerb,
    },
    /// Show how a job would run, without running it.
    Explain(ExplainArgs),
}

#[derive(Args, Debug)]
pub struct SavepointArgs {
    #[command(flatten)]
    pub client: ClientArgs,

    /// The job's id: 32 hexadecimal digits, or as many of the first as are needed to tell it from the others.
    #[arg(value_name = "JOB", required_unless_present = "dispose")]
    pub job: Option<String>,

    /// The folder that the savepoint's own folder goes into; without it `execution.checkpointing.savepoint-dir`.
    #[arg(value_name = "DIR")]
    pub target: Option<String>,

    /// Return as soon as the request is taken.
    #[arg(long)]
    pub detached: bool,

    /// Delete this savepoint, with all of its files.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["job", "target", "detached"])]
    pub dispose: Option<String>,
}

#[derive(Args, Debug)]
pub struct CheckpointArgs {
    #[command(flatten)]
    pub job: JobArgs,

    /// Write everything, without reference to files of earlier checkpoints.
    #[arg(long)]
    pub full: bool,
}

#[derive(Args, Debug)]
pub struct StopArgs {
    #[command(flatten)]
    pub job: JobArgs,

    /// The folder that the savepoint's own folder goes into; without it `execution.checkpointing.savepoint-dir`.
    #[arg(short = 'p', long = "savepointPath", visible_alias = "savepoint-path", value_name = "DIR")]
    pub target: Option<String>,

    /// Let event time run to its end first, as if the input had ended.
    #[arg(short, long)]
    pub drain: bool,

    /// Return as soon as the request is taken.
    #[arg(long)]
    pub detached: bool,
}

#[derive(Subcommand, Debug)]
pub enum JobVerb {
    /// Tell what a changed query does to a job's state: what is kept, migrated, dropped and new.
    #[command(
        override_usage = "weir job diff [OPTIONS] <OLD> <NEW>\n       weir job diff [OPTIONS] -s <PATH> <NEW>",
        after_help = "Examples:\n  weir job diff running.sql changed.sql   # before: weir stop JOB, weir run -s SAVEPOINT changed.sql\n  weir job diff -s s3://bucket/savepoints/savepoint-4f0c1d-… changed.sql   # what is really there, and what would be lost"
    )]
    Diff(DiffArgs),
}

#[derive(Args, Debug)]
pub struct DiffArgs {
    #[command(flatten)]
    pub config: ConfigArgs,

    /// The job as it runs: SQL statements, or YAML as `weir run` takes it. With -s left out.
    #[arg(value_name = "OLD")]
    pub first: PathBuf,

    /// The job as it shall run.
    #[arg(value_name = "NEW", required_unless_present = "from_savepoint", conflicts_with = "from_savepoint")]
    pub second: Option<PathBuf>,

    /// Compare the job as it shall run with this savepoint or checkpoint instead.
    #[arg(short = 's', long = "fromSavepoint", visible_alias = "from-savepoint", value_name = "PATH")]
    pub from_savepoint: Option<String>,
}

#[derive(Subcommand, Debug)]
pub enum VerifyVerb {
    /// Read a topic of JSON objects, the committed records up to its present end, and check that each key's numbers count up by one
    /// in the order of the log: nothing lost, nothing twice. Exit code 1 if not. A key's records belong into one partition.
    #[command(
        after_help = "Example:\n  weir verify exactly-once --bootstrap localhost:9092 --topic payments --key account --sequence n\n\n\
        What is lost behind a key's last number can't be seen."
    )]
    ExactlyOnce(ExactlyOnceArgs),
}

#[derive(Args, Debug)]
pub struct ExactlyOnceArgs {
    /// The brokers to ask first, host:port with commas between.
    #[arg(long, value_name = "BROKERS")]
    pub bootstrap: String,

    /// The topic.
    #[arg(long, value_name = "TOPIC", value_parser = one_topic)]
    pub topic: String,

    /// The field that tells sequences apart.
    #[arg(long, value_name = "COLUMN")]
    pub key: String,

    /// The field that counts up by one for each record of a key.
    #[arg(long, value_name = "COLUMN")]
    pub sequence: String,

    /// The number of each key's first record.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    pub from: i64,

    /// A property of the Kafka client, as in a table's `properties.*`: `-D security.protocol=SASL_SSL`. See docs/kafka.md.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = key_value)]
    pub define: Vec<(String, String)>,
}

#[derive(Subcommand, Debug)]
pub enum StateVerb {
    /// List the snapshots below a folder: `execution.checkpointing.dir`, a job's folder there, or one of savepoints.
    Ls(StateArgs),
    /// Show what is in a snapshot: operators, states, schemas, sizes.
    Show(StateArgs),
    /// Read every byte of a snapshot and compare it with its checksums; exit code 1 if anything is wrong.
    Verify(StateArgs),
}

#[derive(Args, Debug)]
pub struct StateArgs {
    #[command(flatten)]
    pub config: ConfigArgs,

    /// `s3://bucket/path`, `file:///path`, or a path of this machine.
    #[arg(value_name = "PATH")]
    pub path: String,
}

/// Where configuration comes from.
#[derive(Args, Debug, Clone)]
pub struct ConfigArgs {
    /// A folder with `config.yaml`.
    #[arg(long, value_name = "DIR", env = "WEIR_CONF_DIR")]
    pub config_dir: Option<PathBuf>,

    /// A configuration key, over what the file says. See docs/configuration.md.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = key_value)]
    pub define: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub struct ProcessArgs {
    #[command(flatten)]
    pub config: ConfigArgs,

    /// Let listeners bind addresses other than loopback, though there is no login and no TLS.
    #[arg(long)]
    pub insecure: bool,
}

#[derive(Args, Debug)]
pub struct LocalArgs {
    #[command(flatten)]
    pub process: ProcessArgs,

    /// Slots, each a thread; by default one for each core.
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,
}

/// Which JobManager to talk to.
#[derive(Args, Debug, Clone)]
pub struct ClientArgs {
    /// The JobManager's REST address.
    #[arg(
        short = 'm',
        long = "jobmanager",
        value_name = "HOST:PORT",
        env = "WEIR_JOBMANAGER",
        default_value = "localhost:8081"
    )]
    pub jobmanager: String,
}

/// What to run.
#[derive(Args, Debug, Clone)]
pub struct JobFileArgs {
    /// A job: SQL statements (`.sql`), or YAML with `name`, `parallelism`, `config` and `sql` (`.yaml`, `.yml`). `-` reads SQL
    /// from standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Parallel subtasks of each operator.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallelism: Option<u32>,

    /// The job's name.
    #[arg(long)]
    pub name: Option<String>,

    /// A configuration key for this job. See docs/configuration.md.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = key_value)]
    pub define: Vec<(String, String)>,
}

#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    #[command(flatten)]
    pub client: ClientArgs,

    #[command(flatten)]
    pub job: JobFileArgs,

    /// Print the job's id and return at once.
    #[arg(short, long)]
    pub detached: bool,

    /// The savepoint or retained checkpoint to start from.
    #[arg(short = 's', long = "fromSavepoint", visible_alias = "from-savepoint", value_name = "PATH")]
    pub from_savepoint: Option<String>,

    /// Leave state behind that no operator of the job takes.
    #[arg(
        short = 'n',
        long = "allowNonRestoredState",
        visible_alias = "allow-non-restored-state",
        requires = "from_savepoint"
    )]
    pub allow_non_restored_state: bool,

    /// Whose the snapshot is from now on: the user's, or the job's, which deletes it once it is of no more use.
    #[arg(
        long = "claimMode",
        visible_alias = "claim-mode",
        value_name = "NO_CLAIM|CLAIM",
        requires = "from_savepoint"
    )]
    pub claim_mode: Option<String>,

    /// Where to run: on the cluster at `--jobmanager`, or in this process, which then takes the keys of processes from `-D`, too.
    #[arg(short, long, value_enum, default_value_t = Target::Remote)]
    pub target: Target,
}

/// Where a job runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Target {
    /// On the cluster at `--jobmanager`.
    Remote,
    /// In this process, on a cluster that ends with the job.
    Local,
}

#[derive(Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    pub client: ClientArgs,

    /// Only running and restarting jobs.
    #[arg(short, long, conflicts_with_all = ["scheduled", "all"])]
    pub running: bool,

    /// Only jobs that wait for slots.
    #[arg(short, long, conflicts_with = "all")]
    pub scheduled: bool,

    /// Ended jobs too.
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Args, Debug)]
pub struct JobArgs {
    #[command(flatten)]
    pub client: ClientArgs,

    /// The job's id: 32 hexadecimal digits, or as many of the first as are needed to tell it from the others.
    #[arg(value_name = "JOB")]
    pub job: String,
}

#[derive(Args, Debug)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub client: ClientArgs,

    #[command(flatten)]
    pub job: JobFileArgs,
}

/// A sequence is told lost or doubled within one topic.
fn one_topic(text: &str) -> Result<String, String> {
    if text.contains(';') {
        return Err(
            "one topic belongs here: its sequences are its own, so check each topic by itself".to_owned()
        );
    }
    Ok(text.to_owned())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE belongs here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flinks_forms_are_understood() {
        let cli = Cli::parse_from([
            "weir",
            "run",
            "-d",
            "-p",
            "3",
            "-Dpipeline.name=a=b",
            "-m",
            "jm:8081",
            "job.sql",
        ]);
        let Verb::Run(run) = cli.verb else { panic!("run was asked for") };
        assert!(run.detached);
        assert_eq!(run.job.parallelism, Some(3));
        assert_eq!(run.job.define, [("pipeline.name".to_owned(), "a=b".to_owned())]);
        assert_eq!(run.client.jobmanager, "jm:8081");
        assert!(Cli::try_parse_from(["weir", "run", "-p", "0", "job.sql"]).is_err());
        assert!(Cli::try_parse_from(["weir", "run", "-Dnovalue", "job.sql"]).is_err());
    }

    #[test]
    fn a_query_is_compared_with_another_or_with_a_snapshot() {
        let parse = |arguments: &[&str]| {
            Cli::try_parse_from(["weir", "job", "diff"].iter().chain(arguments)).map(|cli| match cli.verb {
                Verb::Job { verb: JobVerb::Diff(diff) } => (diff.first, diff.second, diff.from_savepoint),
                _ => panic!("a comparison was asked for"),
            })
        };
        let (old, new, none) = parse(&["a.sql", "b.sql"]).unwrap();
        assert_eq!((old, new, none), ("a.sql".into(), Some("b.sql".into()), None));
        let (new, none, snapshot) = parse(&["-s", "/saved", "b.sql"]).unwrap();
        assert_eq!((new, none, snapshot), ("b.sql".into(), None, Some("/saved".to_owned())));
        assert!(parse(&["a.sql"]).is_err() && parse(&["-s", "/saved", "a.sql", "b.sql"]).is_err());
    }

    #[test]
    fn one_topic_is_checked_at_a_time() {
        let of = |topic| {
            let verify =
                ["weir", "verify", "exactly-once", "--bootstrap", "b:1", "--key", "k", "--sequence", "n"];
            Cli::try_parse_from(verify.into_iter().chain(["--topic", topic]))
        };
        assert!(of("payments").is_ok());
        assert!(of("a;b").unwrap_err().to_string().contains("check each topic by itself"));
    }
}
