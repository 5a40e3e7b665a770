//! Kafka brokers (KRaft, each a controller as well), started by `java` directly.
//!
//! A node's log folder is a copy of one that the installation formatted, which saves a start of the virtual machine. Topics aren't
//! created by themselves: who needs one says so, and a missing one stays missing.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataTopic;

use super::{cache, data_folder, free_port, wait_until};
use crate::process::Process;

const VERSION: &str = "4.1.0";
/// What the broker writes when it serves.
const STARTED: &str = "Kafka Server started";
/// The longest that a broker may take to say what it knows of the others.
const ANSWER: Duration = Duration::from_secs(5);
/// So that a record of 16 MiB and more gets through.
const LARGEST_RECORD: u32 = 64 << 20;

/// Some brokers of one cluster.
pub struct Kafka {
    nodes: Vec<Node>,
    bootstrap: String,
}

struct Node {
    folder: PathBuf,
    /// None while the node is down.
    process: Mutex<Option<Process>>,
}

impl Kafka {
    /// The one broker that all tests of this process share.
    pub fn one() -> &'static Self {
        static ONE: OnceLock<Kafka> = OnceLock::new();
        ONE.get_or_init(|| Self::start(1, |_| String::new()))
    }

    /// Three brokers of the caller's own: topics have three replicas, of which two must have what is acknowledged.
    pub fn three() -> Self {
        Self::start(3, |_| String::new())
    }

    /// One broker of the caller's own, with further settings: lines, made from its plain listeners.
    pub fn with(settings: impl Fn(&str) -> String) -> Self {
        Self::start(1, settings)
    }

    fn start(count: usize, settings: impl Fn(&str) -> String) -> Self {
        let ports: Vec<(u16, u16)> = (0..count).map(|_| (free_port(), free_port())).collect();
        let nodes = (0..count)
            .map(|index| {
                let folder = data_folder("kafka");
                format_log(&folder, index);
                let properties = properties(&folder, index, &ports) + &settings(&listeners(ports[index]));
                std::fs::write(folder.join("server.properties"), properties).expect("the folder is writable");
                Node { folder, process: Mutex::new(None) }
            })
            .collect();
        let bootstrap: Vec<String> = ports.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        let kafka = Self { nodes, bootstrap: bootstrap.join(",") };
        // All are started before any is waited for: a node alone has no quorum.
        kafka.nodes.iter().for_each(Node::spawn);
        kafka.nodes.iter().for_each(Node::wait_until_started);
        kafka
    }

    /// `host:port,…` of the brokers.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Kills a broker with SIGKILL.
    pub fn kill(&self, index: usize) {
        drop(self.nodes[index].process().take());
    }

    /// Starts a broker again on what it has on disk, and waits until it serves.
    pub fn restart(&self, index: usize) {
        self.kill(index);
        self.nodes[index].spawn();
        self.nodes[index].wait_until_started();
    }

    /// Waits until every partition of every topic, also of the brokers' own, has a leader and all its replicas in sync.
    pub fn wait_until_in_sync(&self) {
        let client: BaseConsumer = self.client().create().expect("a consumer");
        wait_until("all replicas are in sync", || {
            let Ok(metadata) = client.fetch_metadata(None, ANSWER) else { return false };
            let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            metadata.brokers().len() == self.nodes.len()
                && partitions.all(|one| one.leader() >= 0 && one.isr().len() == one.replicas().len())
        });
    }

    /// Stops a broker where it stands; its connections stay open.
    pub fn pause(&self, index: usize) {
        self.nodes[index].process().as_ref().expect("the node is up").pause();
    }

    /// Lets a paused broker go on.
    pub fn resume(&self, index: usize) {
        self.nodes[index].process().as_ref().expect("the node is up").resume();
    }

    /// A client's configuration for these brokers.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config.set("message.max.bytes", LARGEST_RECORD.to_string());
        config
    }

    /// A client for what isn't producing or consuming.
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// How many brokers there are, up or down.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl Node {
    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    fn spawn(&self) {
        let mut command = Command::new("java");
        command
            .arg(format!("@{}", home().join("java.args").display()))
            .arg("kafka.Kafka")
            .arg(self.folder.join("server.properties"));
        let output = File::create(self.output()).expect("the folder is writable");
        *self.process() = Some(Process::server(&command, output));
    }

    fn wait_until_started(&self) {
        wait_until("a broker serves", || {
            let output = std::fs::read_to_string(self.output()).unwrap_or_default();
            let is_alive = self.process().as_mut().is_some_and(Process::is_alive);
            assert!(is_alive, "the broker has ended:\n{output}");
            output.contains(STARTED)
        });
    }
}

fn home() -> PathBuf {
    let home = cache().join(format!("kafka-{VERSION}"));
    assert!(home.join("java.args").exists(), "{} isn't there: `make setup` installs it", home.display());
    home
}

/// Copies the formatted log folder, with an identity of its own.
fn format_log(folder: &std::path::Path, index: usize) {
    let (formatted, log) = (home().join("formatted"), folder.join("log"));
    std::fs::create_dir_all(&log).expect("the folder is writable");
    std::fs::copy(formatted.join("bootstrap.checkpoint"), log.join("bootstrap.checkpoint"))
        .expect("Kafka is installed");
    let meta = std::fs::read_to_string(formatted.join("meta.properties"))
        .expect("Kafka is installed")
        .replace("node.id=1", &format!("node.id={}", index + 1));
    // Sixteen bytes in base64, of which only the last ones differ.
    let meta: String = meta
        .lines()
        .map(|line| match line.split_once('=') {
            Some(("directory.id", _)) => format!("directory.id=d2Vpci1icm9rZXItMD{:03}w\n", index + 1),
            _ => format!("{line}\n"),
        })
        .collect();
    std::fs::write(log.join("meta.properties"), meta).expect("the folder is writable");
}

fn listeners((port, controller): (u16, u16)) -> String {
    format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")
}

/// Nothing is deleted for its age: tests write records with timestamps of years ago.
fn properties(folder: &std::path::Path, index: usize, ports: &[(u16, u16)]) -> String {
    let voters: Vec<String> = ports
        .iter()
        .enumerate()
        .map(|(index, (_, controller))| format!("{}@127.0.0.1:{controller}", index + 1))
        .collect();
    let (replicas, in_sync) = if ports.len() > 1 { (3, 2) } else { (1, 1) };
    let listeners = listeners(ports[index]);
    format!(
        "process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners={listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/log
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
message.max.bytes={LARGEST_RECORD}
replica.fetch.max.bytes={LARGEST_RECORD}
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=67108864
log.segment.delete.delay.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
",
        node = index + 1,
        voters = voters.join(","),
        folder = folder.display(),
    )
}
