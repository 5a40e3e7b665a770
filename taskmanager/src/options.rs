//! How a TaskManager is set up.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_api::config::{ByteSize, ConfigOption, Configuration, PortRange, options};
use weir_api::error::Code;
use weir_api::id::TaskManagerId;
use weir_api::storage::FileSystems;
use weir_api::{Error, Result};

use crate::metrics::{cpu_cores, host_name};
use crate::network;

/// The most slots that a process may be asked for.
const MAX_SLOTS: u32 = 1024;

/// Options of one TaskManager.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where JobManagers may be found, as `host:port`; they are tried in turn. One at least.
    pub job_managers: Vec<String>,
    /// The TaskManager's id; without it, one is made from host, port and chance.
    pub id: Option<TaskManagerId>,
    /// How many slots; each is a thread.
    pub slots: u32,
    /// The address that the listeners bind.
    pub bind_host: IpAddr,
    /// The host under which others reach this process; without it, the bound address, or the machine's name where every
    /// address is bound.
    pub advertised_host: Option<String>,
    /// The data plane: ports, memory, patience. Its address is that of `bind_host` and `data_port`.
    pub network: network::Options,
    /// The port of the data plane; 0: any free one.
    pub data_port: u16,
    /// The ports of `/metrics`, of which the first free one is taken; none: not served.
    pub metrics_ports: Option<PortRange>,
    /// What metric names start with.
    pub metrics_prefix: String,
    /// How often metrics are sampled and told.
    pub metrics_interval: Duration,
    /// How long a cancelled task may go on before the process gives itself up: only a slot's thread that hangs takes long.
    pub cancellation_timeout: Duration,
    /// The first wait before a lost JobManager is dialled again, and the longest.
    pub reconnect: (Duration, Duration),
    /// Threads that do I/O.
    pub io_threads: usize,
    /// What snapshots are written to and read from.
    pub file_systems: FileSystems,
    /// Where copies of what is written for checkpoints are kept, and how many bytes of them; `None`: nowhere.
    pub local_copies: Option<(PathBuf, u64)>,
}

/// Figures are told no more often than this.
const SHORTEST_METRICS_INTERVAL: Duration = Duration::from_millis(10);

impl Options {
    /// Defaults, for a JobManager at `job_manager` (`host:port`): loopback, free ports, one slot for each core.
    #[must_use]
    pub fn new(job_manager: impl Into<String>) -> Self {
        Self {
            job_managers: vec![job_manager.into()],
            id: None,
            slots: cpu_cores(),
            bind_host: IpAddr::from([127, 0, 0, 1]),
            advertised_host: None,
            network: network::Options::default(),
            data_port: 0,
            metrics_ports: None,
            metrics_prefix: "weir".to_owned(),
            metrics_interval: Duration::from_secs(1),
            cancellation_timeout: Duration::from_secs(180),
            reconnect: (Duration::from_millis(100), Duration::from_secs(5)),
            io_threads: cpu_cores().min(2) as usize,
            file_systems: FileSystems::new(&Configuration::default()),
            local_copies: None,
        }
    }

    /// The options that a configuration file and `-D` say.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self> {
        let address = configuration.get(&options::RPC_ADDRESS);
        let mut made = Self::new(format!("{address}:{}", configuration.get(&options::RPC_PORT)));
        let bind = configuration.get(&options::TASKMANAGER_BIND);
        made.bind_host = bind.parse().map_err(|error| {
            Error::new(
                Code::InvalidConfiguration,
                format!("'{bind}', the value of {}, is not an IP address", options::TASKMANAGER_BIND.key),
            )
            .with_source(error)
        })?;
        made.id = Some(configuration.get(&options::RESOURCE_ID))
            .filter(|id| !id.is_empty())
            .map(TaskManagerId::new)
            .transpose()?;
        made.advertised_host =
            Some(configuration.get(&options::TASKMANAGER_HOST)).filter(|host| !host.is_empty());
        if let slots @ 1.. = configuration.get(&options::TASK_SLOTS) {
            made.slots = slots;
        }
        made.data_port = configuration.get(&options::DATA_PORT);
        made.metrics_ports = Some(configuration.get(&options::METRICS_PORT));
        made.metrics_prefix = configuration.get(&options::METRICS_PREFIX);
        made.metrics_interval =
            configuration.get(&options::METRICS_FETCHER_INTERVAL).max(SHORTEST_METRICS_INTERVAL);
        let size = |option: &ConfigOption<ByteSize>| configuration.get(option).0 as usize;
        made.network = network::Options {
            pool_bytes: size(&options::NETWORK_MEMORY),
            segment_bytes: size(&options::SEGMENT_SIZE),
            max_record_bytes: size(&options::MAX_RECORD_SIZE),
            exclusive_buffers_per_channel: configuration.get(&options::BUFFERS_PER_CHANNEL) as usize,
            floating_buffers_per_gate: configuration.get(&options::FLOATING_BUFFERS) as usize,
            ..made.network
        };
        made.file_systems = FileSystems::new(configuration);
        made.local_copies = local_copies(configuration);
        made.validated()
    }

    /// Refuses what can't work.
    pub(crate) fn validated(mut self) -> Result<Self> {
        let problem = if self.job_managers.is_empty() {
            Some("no address of a JobManager".to_owned())
        } else if self.slots == 0 || self.slots > MAX_SLOTS {
            Some(format!("{} slots, where 1 to {MAX_SLOTS} belong", self.slots))
        } else if self.io_threads == 0 {
            Some("no thread for I/O".to_owned())
        } else if self.metrics_interval.is_zero() || self.reconnect.0.is_zero() {
            Some("an interval of zero for metrics or for dialling again".to_owned())
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(Error::new(
                Code::InvalidConfiguration,
                format!("the TaskManager is given {problem}"),
            ));
        }
        self.network.bind_address = (self.bind_host, self.data_port).into();
        self.network = self.network.validated()?;
        Ok(self)
    }

    /// The host that others are told.
    pub(crate) fn host(&self) -> String {
        match &self.advertised_host {
            Some(host) => host.clone(),
            None if self.bind_host.is_unspecified() => host_name(),
            None => self.bind_host.to_string(),
        }
    }
}

/// Copies lie under one name for all TaskManagers of a host, so that a restarted one, or another one, finds them.
fn local_copies(configuration: &Configuration) -> Option<(PathBuf, u64)> {
    if !configuration.get(&options::LOCAL_BACKUP) {
        return None;
    }
    let set = |option: &ConfigOption<String>| {
        let text = configuration.get(option);
        // Flink takes lists of folders; copies are in one.
        let first = text.split([',', ':']).next().unwrap_or_default().trim().to_owned();
        Some(first).filter(|path| !path.is_empty()).map(PathBuf::from)
    };
    let path = set(&options::LOCAL_BACKUP_DIRS).unwrap_or_else(|| {
        set(&options::TMP_DIRS).unwrap_or_else(std::env::temp_dir).join("weir-local-backup")
    });
    Some((path, configuration.get(&options::LOCAL_BACKUP_SIZE).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_everything() {
        let pairs = [
            ("jobmanager.rpc.address", "jm"),
            ("jobmanager.rpc.port", "7000"),
            ("taskmanager.numberOfTaskSlots", "3"),
            ("taskmanager.bind-host", "0.0.0.0"),
            ("taskmanager.host", "worker-1"),
            ("taskmanager.data.port", "7001"),
            ("taskmanager.memory.network.max", "8 mb"),
            ("taskmanager.resource-id", "tm-1"),
            ("metrics.prefix", "flink"),
        ];
        let (configuration, _) = Configuration::from_pairs(pairs).expect("valid");
        let options = Options::from_configuration(&configuration).expect("valid");
        assert_eq!(options.job_managers, ["jm:7000"]);
        assert_eq!((options.slots, options.host().as_str()), (3, "worker-1"));
        assert_eq!(options.network.bind_address.to_string(), "0.0.0.0:7001");
        assert_eq!(options.network.pool_bytes, 8 << 20);
        assert_eq!(options.id.expect("set").as_str(), "tm-1");
        assert_eq!(options.metrics_ports, Some(PortRange { first: 9249, last: 9260 }));
        assert_eq!(options.metrics_prefix, "flink");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let broken = Options { slots: 0, ..Options::new("jm:1") }.validated();
        assert_eq!(broken.expect_err("no slots").code(), Code::InvalidConfiguration);
        let (configuration, _) =
            Configuration::from_pairs([("taskmanager.bind-host", "a host")]).expect("known keys");
        assert!(Options::from_configuration(&configuration).is_err());
    }
}
