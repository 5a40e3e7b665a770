//! The data plane of one process as its tasks see it: makes partitions and gates, releases attempts.
//!
//! Invariant: whatever runs in the background is owned by the [`Handle`] and ends with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId};

use super::accumulator::Limits;
use super::charge::Charger;
use super::gate::{Channel, InputGate, Shared};
use super::id::{ChannelKey, GateSpec, Location, PartitionId, PartitionSpec};
use super::options::Options;
use super::partition::ResultPartition;
use super::pool::Pool;
use super::registry::{End, Registry};

/// How often what waits too long is looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(500);

/// The data plane of this process; clones are the same one.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    address: SocketAddr,
    pool: Arc<Pool>,
    registry: Arc<Registry>,
}

/// Keeps the data plane's background tasks; dropping it aborts them.
#[derive(Debug)]
pub struct Handle {
    tasks: JoinSet<()>,
}

/// How much of the process' network memory is in use, in segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolUsage {
    /// All segments.
    pub total: usize,
    /// Those that are neither used nor reserved.
    pub available: usize,
}

impl Network {
    /// Binds the data port; connections are served on `io`.
    pub async fn start(options: Options, io: tokio::runtime::Handle) -> Result<(Self, Handle)> {
        let options = options.validated()?;
        let bind_address = options.bind_address;
        let listener = io
            .spawn(async move { TcpListener::bind(bind_address).await })
            .await
            .map_err(|error| Error::internal("the I/O runtime is gone").with_source(error))?
            .map_err(|error| {
                Error::new(Code::Io, format!("bind the data port {bind_address}")).with_source(error)
            })?;
        let address = listener.local_addr()?;
        let registry = Arc::new(Registry::new(
            options.max_buffers_per_channel,
            options.max_waiting_requests,
            options.partition_timeout,
        ));
        let pool = Pool::new(options.pool_segments());
        let mut tasks = JoinSet::new();
        let expiring = Arc::clone(&registry);
        tasks.spawn_on(
            async move {
                let mut interval = tokio::time::interval(EXPIRY_INTERVAL);
                loop {
                    interval.tick().await;
                    expiring.expire(Instant::now());
                }
            },
            &io,
        );
        let inner = Inner { options, address, pool, registry };
        Ok((Self { inner: Arc::new(inner) }, Handle { tasks }))
    }

    /// Where other TaskManagers reach this one, as bound: with an unspecified address, the port is what counts.
    #[must_use]
    pub fn data_address(&self) -> SocketAddr {
        self.inner.address
    }

    /// The output of one subtask on one edge.
    pub fn result_partition(&self, spec: &PartitionSpec) -> Result<ResultPartition> {
        let options = &self.inner.options;
        if spec.targets.is_empty() {
            return Err(Error::internal(format!("{}: a partition without targets", spec.id)));
        }
        let share = (options.pool_segments() / 8).max(4 * (2 * spec.targets.len() + 8));
        let account = self.inner.pool.open(1, share, &spec.id.to_string())?;
        let mut channels = Vec::with_capacity(spec.targets.len());
        for &consumer in &spec.targets {
            let key = ChannelKey { partition: spec.id, consumer };
            let claimed = self.inner.registry.claim(key, End::Producer, Instant::now());
            match claimed {
                Ok(channel) => channels.push(channel),
                Err(error) => {
                    channels.iter().for_each(|channel| self.inner.registry.leave(channel, End::Producer));
                    return Err(error);
                }
            }
        }
        channels.iter().for_each(|channel| channel.set_schema(Arc::clone(&spec.schema)));
        let charger = Charger::new(account, options.segment_bytes, options.max_record_bytes);
        let limits = Limits::new(options.frame_bytes, options.segment_bytes);
        ResultPartition::new(spec, Arc::clone(&self.inner.registry), channels, limits, charger)
    }

    /// One input of one subtask.
    pub fn input_gate(&self, spec: &GateSpec) -> Result<InputGate> {
        let shared = Arc::new(Shared::default());
        let registry = &self.inner.registry;
        let mut channels = Vec::with_capacity(spec.sources.len());
        for (index, source) in spec.sources.iter().enumerate() {
            let partition = PartitionId {
                job: spec.id.job,
                attempt: spec.id.attempt,
                edge: source.edge,
                subtask: source.subtask,
            };
            let key = ChannelKey { partition, consumer: spec.id.subtask };
            let channel = match &source.location {
                Location::Local => registry.claim(key, End::Consumer, Instant::now()).map(|subpartition| {
                    subpartition.set_consumer(Arc::clone(&shared.ready), index as u32);
                    Channel::Local(subpartition)
                }),
                Location::Remote(address) => {
                    Err(Error::new(Code::Unsupported, format!("{key}: read from {address}")))
                }
            };
            match channel {
                Ok(channel) => channels.push(channel),
                Err(error) => {
                    // Dropping the gate closes what was opened.
                    drop(InputGate::new(spec.id, shared, Arc::clone(registry), channels));
                    return Err(error);
                }
            }
        }
        InputGate::new(spec.id, shared, Arc::clone(registry), channels)
    }

    /// Ends everything of the job's attempts up to this one: pending polls fail, what comes late is refused.
    pub fn release(&self, job: JobId, up_to: Attempt) {
        self.inner.registry.release(job, up_to);
    }

    /// How much network memory there is and how much is left.
    #[must_use]
    pub fn pool_usage(&self) -> PoolUsage {
        PoolUsage { total: self.inner.pool.total(), available: self.inner.pool.available() }
    }
}

impl Handle {
    /// Stops accepting, closes all connections and waits for their tasks.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("address", &self.inner.address).finish_non_exhaustive()
    }
}
