//! Every configuration key: the one table that reading, checking and the reference page share.

use std::time::Duration;

use super::value::{ByteSize, PortRange, Value};

/// One option with its type.
pub struct ConfigOption<T> {
    /// Flink's key, or ours where Flink has none.
    pub key: &'static str,
    /// Makes the default.
    pub default: fn() -> T,
}

/// Where a key may be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// In the configuration of a process.
    Process,
    /// For a job, by `SET`, `-D` or its YAML; a process' configuration gives the default.
    Job,
}

impl Scope {
    /// The word of the reference page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Job => "job",
        }
    }
}

/// What there is to say of an option, whatever its type.
pub struct Description {
    /// The key.
    pub key: &'static str,
    /// The default as a user would write it; empty: none.
    pub default: &'static str,
    /// The type's name.
    pub type_name: &'static str,
    /// Where it may be set.
    pub scope: Scope,
    /// What it means, in one or two sentences.
    pub description: &'static str,
    /// Whether a text fits; if not, what was expected.
    pub check: fn(&str) -> Result<(), String>,
}

fn check<T: Value>(text: &str) -> Result<(), String> {
    T::parse(text).map(|_| ())
}

fn check_positive(text: &str) -> Result<(), String> {
    match u32::parse(text)? {
        0 => Err("a whole number of at least 1 belongs here".to_owned()),
        _ => Ok(()),
    }
}

fn check_part_size(text: &str) -> Result<(), String> {
    match ByteSize::parse(text)?.0 {
        size if (5 << 20..=1 << 30).contains(&size) => Ok(()),
        _ => Err("a size from 5 mb to 1 gb belongs here".to_owned()),
    }
}

fn check_one_of(allowed: &'static [&'static str], text: &str) -> Result<(), String> {
    if allowed.iter().any(|word| word.eq_ignore_ascii_case(text.trim())) {
        return Ok(());
    }
    Err(format!("one of {} belongs here", allowed.join(", ")))
}

macro_rules! options {
    ($($name:ident: $type:ty = $key:literal, $default:literal, $scope:ident $(, check $check:expr)?;
       $doc:literal)*) => {
        $(
            #[doc = $doc]
            pub const $name: ConfigOption<$type> = ConfigOption {
                key: $key,
                // The test `every_default_parses` holds this up; the type's own zero only fills an unreachable branch.
                default: || <$type as Value>::parse($default).unwrap_or_else(|_| <$type as Fallback>::fallback()),
            };
        )*

        /// All options, in the order of the reference page.
        pub const ALL: &[Description] = &[$(
            Description {
                key: $key,
                default: $default,
                type_name: <$type as Value>::TYPE,
                scope: Scope::$scope,
                description: $doc,
                check: options!(@check $type $(, $check)?),
            },
        )*];
    };
    (@check $type:ty) => { check::<$type> };
    (@check $type:ty, $check:expr) => { $check };
}

/// What an option without a default gives.
trait Fallback {
    fn fallback() -> Self;
}

impl Fallback for ByteSize {
    fn fallback() -> Self {
        Self(0)
    }
}

macro_rules! fallback_to_default {
    ($($type:ty)*) => {
        $(impl Fallback for $type {
            fn fallback() -> Self {
                Self::default()
            }
        })*
    };
}

fallback_to_default!(Duration PortRange u32 u16 f64 bool String);

/// The option of this key, old names included.
pub(super) fn find(key: &str) -> Option<&'static Description> {
    let key = match key {
        "rest.bind-port" => "rest.port",
        "jobmanager.bind-host" => "rest.bind-address",
        "execution.buffer-timeout" => "execution.buffer-timeout.interval",
        "restart-strategy" => "restart-strategy.type",
        "s3.path.style.access" => "s3.path-style-access",
        "state.backend" => "state.backend.type",
        "state.checkpoints.dir" => "execution.checkpointing.dir",
        "state.savepoints.dir" => "execution.checkpointing.savepoint-dir",
        "state.checkpoints.num-retained" => "execution.checkpointing.num-retained",
        "state.backend.incremental" => "execution.checkpointing.incremental",
        "state.backend.local-recovery" => "execution.checkpointing.local-backup.enabled",
        "taskmanager.state.local.root-dirs" => "execution.checkpointing.local-backup.dirs",
        "execution.checkpointing.local-backup.dir" => "execution.checkpointing.local-backup.dirs",
        "execution.savepoint.path" => "execution.state-recovery.path",
        "execution.savepoint.ignore-unclaimed-state" => "execution.state-recovery.ignore-unclaimed-state",
        other => other,
    };
    ALL.iter().find(|option| option.key == key)
}

options! {
    PARALLELISM_DEFAULT: u32 = "parallelism.default", "1", Job, check check_positive;
    "How many parallel subtasks an operator has unless the statement, `-p` or the job's YAML says otherwise."
    PIPELINE_NAME: String = "pipeline.name", "", Job;
    "The job's name; without it, one is made from the sinks' names."
    MAX_PARALLELISM: u32 = "pipeline.max-parallelism", "128", Job, check check_positive;
    "How many key groups the job has, for its whole life: the most that its parallelism can ever be (at most 32768)."
    OPERATOR_CHAINING: bool = "pipeline.operator-chaining.enabled", "true", Job;
    "Whether operators that exchange no data run in one task."
    RUNTIME_MODE: String = "execution.runtime-mode", "STREAMING", Job, check |text| check_one_of(&["STREAMING", "BATCH", "AUTOMATIC"], text);
    "Accepted for Flink's sake: bounded input always ends with a batch engine's answer."
    BUFFER_TIMEOUT: Duration = "execution.buffer-timeout.interval", "100 ms", Job;
    "The longest that rows wait for a batch to fill before it is sent. Rows are sent at once while downstream is hungry."
    SOURCE_IDLE_TIMEOUT: Duration = "table.exec.source.idle-timeout", "0 ms", Job;
    "After this long without a record a source split no longer holds the watermark back; 0: never."
    LOCAL_TIME_ZONE: String = "table.local-time-zone", "UTC", Job;
    "The session's time zone, for casts between TIMESTAMP and TIMESTAMP_LTZ."
    STATE_LIMIT: ByteSize = "state.memory.limit", "1 gb", Job;
    "The most memory that the state of one operator instance may take; beyond it the job fails with a clear error instead of the process running out of memory."
    STATE_BACKEND: String = "state.backend.type", "hashmap", Job, check |text| check_one_of(&["hashmap"], text);
    "Where state lives while a job runs: `hashmap`, in memory."
    STATE_TTL: Duration = "table.exec.state.ttl", "0 ms", Job;
    "After this long without a change, state of queries that would otherwise keep it for ever is dropped; 0: never."
    CHECKPOINT_INTERVAL: Duration = "execution.checkpointing.interval", "0 ms", Job;
    "How often a checkpoint is triggered; 0: never. Without checkpoints a failed job starts from the beginning, and the output of an unbounded job to files or to an exactly-once topic is never committed."
    CHECKPOINT_TIMEOUT: Duration = "execution.checkpointing.timeout", "10 min", Job;
    "A checkpoint that isn't complete after this long is given up."
    CHECKPOINT_MIN_PAUSE: Duration = "execution.checkpointing.min-pause", "0 ms", Job;
    "The least time between the end of a checkpoint and the beginning of the next."
    CHECKPOINT_CONCURRENT: u32 = "execution.checkpointing.max-concurrent-checkpoints", "1", Job, check check_positive;
    "How many checkpoints may be under way at once."
    CHECKPOINT_TOLERABLE: u32 = "execution.checkpointing.tolerable-failed-checkpoints", "2147483647", Job;
    "How many checkpoints in a row may fail before the job is restarted."
    CHECKPOINT_RETENTION: String = "execution.checkpointing.externalized-checkpoint-retention", "DELETE_ON_CANCELLATION", Job, check |text| check_one_of(&["RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION", "NO_EXTERNALIZED_CHECKPOINTS"], text);
    "What becomes of the checkpoints of a job that is cancelled: `RETAIN_ON_CANCELLATION` or `DELETE_ON_CANCELLATION`. A failed job's are always kept."
    CHECKPOINT_RETAINED: u32 = "execution.checkpointing.num-retained", "1", Job, check check_positive;
    "How many completed checkpoints are kept."
    CHECKPOINT_DIR: String = "execution.checkpointing.dir", "", Job;
    "Where checkpoints go: `s3://bucket/path` or `file:///path`, which JobManager and TaskManagers must all reach."
    SAVEPOINT_DIR: String = "execution.checkpointing.savepoint-dir", "", Job;
    "Where savepoints go that are asked for without a folder."
    CHECKPOINT_MODE: String = "execution.checkpointing.mode", "EXACTLY_ONCE", Job, check |text| check_one_of(&["EXACTLY_ONCE"], text);
    "Barriers are aligned: `EXACTLY_ONCE`."
    CHECKPOINT_INCREMENTAL: bool = "execution.checkpointing.incremental", "true", Job;
    "Whether a checkpoint writes only what has changed since the last one. Flink's default is false."
    LOCAL_BACKUP: bool = "execution.checkpointing.local-backup.enabled", "true", Process;
    "Whether a TaskManager keeps copies of the files that it writes for checkpoints, so that a restart on the same host downloads nothing. Flink's default is false."
    LOCAL_BACKUP_DIRS: String = "execution.checkpointing.local-backup.dirs", "", Process;
    "The folder of these copies, which TaskManagers of one host may share; without it, one under `io.tmp.dirs`."
    LOCAL_BACKUP_SIZE: ByteSize = "execution.checkpointing.local-backup.max-size", "10 gb", Process;
    "The most bytes that the copies may take."
    TMP_DIRS: String = "io.tmp.dirs", "", Process;
    "The folder for temporary files; without it, the system's."
    RECOVERY_PATH: String = "execution.state-recovery.path", "", Job;
    "The savepoint or retained checkpoint that the job starts from."
    RECOVERY_IGNORE_UNCLAIMED: bool = "execution.state-recovery.ignore-unclaimed-state", "false", Job;
    "Whether state that no operator of the job takes may be left behind."
    RECOVERY_CLAIM_MODE: String = "execution.state-recovery.claim-mode", "NO_CLAIM", Job, check |text| check_one_of(&["NO_CLAIM", "CLAIM"], text);
    "`NO_CLAIM`: the snapshot stays the user's, and the job's first checkpoint doesn't refer to it; `CLAIM`: it becomes the job's, which deletes it once it is subsumed."
    RECOVERY_FALLBACK: bool = "execution.state-recovery.allow-older-checkpoint", "false", Job;
    "Whether a job whose newest checkpoint is damaged may go on from an older one although a sink has committed the newer one's output, which then comes twice."
    RESTART_STRATEGY: String = "restart-strategy.type", "exponential-delay", Job, check |text| check_one_of(&["none", "off", "disable", "fixed-delay", "fixeddelay", "failure-rate", "failurerate", "exponential-delay", "exponentialdelay"], text);
    "What happens after a task fails for a reason that a restart can help: `none`, `fixed-delay`, `failure-rate` or `exponential-delay`."
    FIXED_DELAY_ATTEMPTS: u32 = "restart-strategy.fixed-delay.attempts", "1", Job;
    "How many restarts before the job fails."
    FIXED_DELAY_DELAY: Duration = "restart-strategy.fixed-delay.delay", "1 s", Job;
    "The wait before each restart."
    FAILURE_RATE_MAX: u32 = "restart-strategy.failure-rate.max-failures-per-interval", "1", Job;
    "How many failures within the interval are followed by a restart."
    FAILURE_RATE_INTERVAL: Duration = "restart-strategy.failure-rate.failure-rate-interval", "1 min", Job;
    "The interval in which failures are counted."
    FAILURE_RATE_DELAY: Duration = "restart-strategy.failure-rate.delay", "1 s", Job;
    "The wait before each restart."
    EXPONENTIAL_INITIAL: Duration = "restart-strategy.exponential-delay.initial-backoff", "1 s", Job;
    "The first wait."
    EXPONENTIAL_MAX: Duration = "restart-strategy.exponential-delay.max-backoff", "1 min", Job;
    "The longest wait."
    EXPONENTIAL_MULTIPLIER: f64 = "restart-strategy.exponential-delay.backoff-multiplier", "1.5", Job;
    "By how much each wait is longer than the one before."
    EXPONENTIAL_RESET: Duration = "restart-strategy.exponential-delay.reset-backoff-threshold", "1 h", Job;
    "After running this long without a failure the next wait is the first one again."
    EXPONENTIAL_JITTER: f64 = "restart-strategy.exponential-delay.jitter-factor", "0.1", Job;
    "How much of a wait is added or taken off at random, so that jobs don't restart in step."
    EXPONENTIAL_ATTEMPTS: u32 = "restart-strategy.exponential-delay.attempts-before-reset-backoff", "0", Job;
    "How many restarts before the job fails, unless the wait was reset in between; 0: no limit."
    SLOT_REQUEST_TIMEOUT: Duration = "slot.request.timeout", "5 min", Job;
    "How long a job waits for slots before it fails."
    RPC_ADDRESS: String = "jobmanager.rpc.address", "localhost", Process;
    "The host that TaskManagers dial to reach the JobManager."
    RPC_PORT: u16 = "jobmanager.rpc.port", "6123", Process;
    "The port of the JobManager's gRPC service; 0: any free one."
    REST_ADDRESS: String = "rest.address", "localhost", Process;
    "The host under which clients reach the REST service."
    REST_BIND_ADDRESS: String = "rest.bind-address", "127.0.0.1", Process;
    "The address that the JobManager's listeners bind. Anything but loopback needs `--insecure`, as there is no login."
    REST_PORT: u16 = "rest.port", "8081", Process;
    "The port of the REST service; 0: any free one."
    METADATA_DIR: String = "jobmanager.metadata.dir", "", Process;
    "The directory that keeps jobs across restarts of the JobManager; without it they are kept in memory."
    JOB_STORE_CAPACITY: u32 = "jobstore.max-capacity", "100", Process, check check_positive;
    "How many ended jobs are remembered."
    EXCEPTION_HISTORY: u32 = "web.exception-history-size", "16", Process, check check_positive;
    "How many failures of a job are remembered."
    WEB_SUBMIT: bool = "web.submit.enable", "true", Process;
    "Whether jobs can be submitted by REST."
    WEB_CANCEL: bool = "web.cancel.enable", "true", Process;
    "Whether jobs can be cancelled by REST."
    METRICS_FETCHER_INTERVAL: Duration = "metrics.fetcher.update-interval", "1 s", Process;
    "How often a TaskManager tells the JobManager the figures that REST and the dashboard show; at least 10 ms."
    HEARTBEAT_INTERVAL: Duration = "heartbeat.interval", "1 s", Process;
    "How often JobManager and TaskManager tell each other that they live."
    HEARTBEAT_TIMEOUT: Duration = "heartbeat.timeout", "4 s", Process;
    "After this long without a word the other one counts as lost. A closed connection counts at once."
    TASK_SLOTS: u32 = "taskmanager.numberOfTaskSlots", "0", Process;
    "How many slots, each a thread, a TaskManager has; 0: one for each core."
    TASKMANAGER_HOST: String = "taskmanager.host", "", Process;
    "The host under which other TaskManagers reach this one; without it, the address that is bound."
    TASKMANAGER_BIND: String = "taskmanager.bind-host", "127.0.0.1", Process;
    "The address that the TaskManager's listeners bind. Anything but loopback needs `--insecure`."
    DATA_PORT: u16 = "taskmanager.data.port", "0", Process;
    "The port of the data plane; 0: any free one."
    RESOURCE_ID: String = "taskmanager.resource-id", "", Process;
    "The TaskManager's id; without it, one is made at start."
    NETWORK_MEMORY: ByteSize = "taskmanager.memory.network.max", "64 mb", Process;
    "The fixed pool that bounds all data in flight between tasks."
    SEGMENT_SIZE: ByteSize = "taskmanager.memory.segment-size", "32 kb", Process;
    "The size of one network buffer, the unit of credit."
    BUFFERS_PER_CHANNEL: u32 = "taskmanager.network.memory.buffers-per-channel", "2", Process;
    "Exclusive buffers of an input channel."
    FLOATING_BUFFERS: u32 = "taskmanager.network.memory.floating-buffers-per-gate", "8", Process;
    "Buffers that the channels of an input gate share."
    MAX_RECORD_SIZE: ByteSize = "taskmanager.network.max-record-size", "16 mb", Process;
    "The largest single record that can pass between tasks."
    S3_ENDPOINT: String = "s3.endpoint", "", Process;
    "The address of the S3 service, such as `http://localhost:9000`; without it, that of AWS in the region. `http://` is taken at its word: no encryption."
    S3_REGION: String = "s3.region", "", Process;
    "The region of the buckets; without it, `AWS_REGION` of the environment, else us-east-1."
    S3_PATH_STYLE: bool = "s3.path-style-access", "false", Process;
    "Whether the bucket stands in the path of a request instead of its host; most services other than AWS want it."
    S3_ACCESS_KEY: String = "s3.access-key", "", Process;
    "The access key. Without it, AWS's chain: the environment, a web identity, the container's or the machine's role. Credentials never travel with a job: each process has its own."
    S3_SECRET_KEY: String = "s3.secret-key", "", Process;
    "The secret of the access key."
    S3_MIN_PART: ByteSize = "s3.upload.min.part.size", "8 mb", Process, check check_part_size;
    "An object is uploaded in parts of this size, from 5 mb to 1 gb; a writer holds one or a few of them in memory."
    S3_UPLOADS: u32 = "s3.upload.max.concurrent.uploads", "2", Process, check check_positive;
    "How many parts of an object are uploaded at once."
    METRICS_PORT: PortRange = "metrics.reporter.prom.port", "9249-9260", Process;
    "The port of the TaskManager's Prometheus endpoint `/metrics`, or a range of which the first free one is taken; 0: any free one. The JobManager serves it on its REST port."
    METRICS_PREFIX: String = "metrics.prefix", "weir", Process, check |text| check_one_of(&["weir", "flink"], text);
    "What metric names start with: `weir`, or `flink` so that existing dashboards work unchanged."
}
