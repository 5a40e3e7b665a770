//! The data plane of one process as its tasks see it: makes partitions and gates, releases attempts.
//!
//! Invariant: whatever runs in the background is owned by the [`Handle`] and ends with it.
#![expect(clippy::disallowed_methods, reason = "the edge, where time is read")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId};

use super::accumulator::Limits;
use super::charge::Charger;
use super::connection::client::{Connection, Rules};
use super::gate::{Channel, InputGate, Shared};
use super::gate_credit::GateCredit;
use super::id::{ChannelKey, GateSpec, Location, PartitionId, PartitionSpec, Source};
use super::inbox::Inbox;
use super::measure::check_schema;
use super::options::{FRAME_SLACK_BYTES, Options};
use super::partition::ResultPartition;
use super::pool::Pool;
use super::ready::lock;
use super::registry::{End, Registry};
use super::supervisor::Supervisor;
use crate::region::Region;

/// Connections that may wait to be dialled.
const DIAL_QUEUE: usize = 1024;

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
    dials: mpsc::Sender<Arc<Connection>>,
    connections: Mutex<HashMap<String, Arc<Connection>>>,
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
        let (dials, dialled) = mpsc::channel(DIAL_QUEUE);
        let supervisor = Supervisor {
            listener,
            dials: dialled,
            registry: Arc::clone(&registry),
            sizes: options.sizes(),
            max_connections: options.max_connections,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn_on(supervisor.run(), &io);
        let pool = Pool::new(options.pool_segments());
        let inner = Inner { options, address, pool, registry, dials, connections: Mutex::default() };
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
        let registry = &self.inner.registry;
        check_schema(&spec.schema)?;
        if spec.targets.is_empty() {
            return Err(Error::internal(format!("{}: a partition without targets", spec.id)));
        }
        let account = self.inner.pool.open(1, options.pool_segments() / 2, &spec.id.to_string())?;
        let mut channels = Vec::with_capacity(spec.targets.len());
        for &consumer in &spec.targets {
            let key = ChannelKey { partition: spec.id, consumer };
            match registry.claim(key, End::Producer, Instant::now()) {
                Ok(channel) => channels.push(channel),
                Err(error) => {
                    channels.iter().for_each(|channel| registry.leave(channel, End::Producer));
                    return Err(error);
                }
            }
        }
        channels.iter().for_each(|channel| channel.set_schema(Arc::clone(&spec.schema)));
        let charger = Charger::new(account, options.sizes(), options.max_record_bytes);
        ResultPartition::new(spec, Arc::clone(registry), channels, Limits::new(options.sizes()), charger)
    }

    /// One input of one subtask.
    pub fn input_gate(&self, spec: &GateSpec) -> Result<InputGate> {
        let shared = Arc::new(Shared::default());
        let remote = spec.sources.iter().filter(|source| source.location != Location::Local).count();
        let credit = if remote > 0 { Some(self.gate_credit(spec, remote)?) } else { None };
        let mut channels = Vec::with_capacity(spec.sources.len());
        let mut remote_index = 0;
        let mut failed = None;
        for (index, source) in spec.sources.iter().enumerate() {
            let place = (Arc::clone(&shared.ready), index as u32);
            let channel = match (&source.location, &credit) {
                (Location::Remote(address), Some((credit, exclusive))) => {
                    remote_index += 1;
                    let inbox = (Arc::clone(credit), remote_index - 1);
                    self.remote_channel(key(spec, source), source, address, inbox, *exclusive, place)
                }
                _ => self.local_channel(key(spec, source), place),
            };
            match channel {
                Ok(channel) => channels.push(channel),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let credit = credit.map(|(credit, _)| credit);
        // With an error the gate is dropped again, which closes what was opened.
        let gate = InputGate::new(spec.id, shared, Arc::clone(&self.inner.registry), channels, credit)?;
        match failed {
            Some(error) => Err(error),
            None => Ok(gate),
        }
    }

    /// Sets memory aside for a gate's remote channels. While most of the pool is free, a channel owns what a whole frame takes, so
    /// that frames go without asking; later ones own what is configured. Where even that would take too much of the pool, they
    /// start with none and borrow floating segments.
    fn gate_credit(&self, spec: &GateSpec, channels: usize) -> Result<(Arc<GateCredit>, usize)> {
        let options = &self.inner.options;
        let pool = &self.inner.pool;
        let configured = options.exclusive_buffers_per_channel;
        let generous = (pool.total() / 8 / channels).min(options.max_buffers_per_channel).max(configured);
        let exclusive = if pool.available() >= generous * channels + pool.total() / 2 {
            generous
        } else if pool.available() >= configured * channels + pool.total() / 4 {
            configured
        } else {
            0
        };
        let owned = exclusive * channels;
        let what = format!("input {} of vertex {}#{}", spec.id.input, spec.id.vertex, spec.id.subtask);
        let account = pool.open(owned + 1, owned + options.floating_buffers_per_gate, &what)?;
        Ok((GateCredit::new(channels, exclusive, account), exclusive))
    }

    fn local_channel(
        &self,
        key: ChannelKey,
        (ready, index): (Arc<super::ready::ReadyList>, u32),
    ) -> Result<Channel> {
        let subpartition = self.inner.registry.claim(key, End::Consumer, Instant::now())?;
        subpartition.set_consumer(ready, index);
        Ok(Channel::Local(subpartition))
    }

    fn remote_channel(
        &self,
        key: ChannelKey,
        source: &Source,
        address: &str,
        (credit, index): (Arc<GateCredit>, usize),
        exclusive: usize,
        place: (Arc<super::ready::ReadyList>, u32),
    ) -> Result<Channel> {
        check_schema(&source.schema)?;
        let connection = self.connection(address)?;
        let inbox = connection.open(exclusive as u32, |number| {
            credit.set_outlet(index, &connection, number);
            Inbox::new(key, Arc::clone(&source.schema), credit, (number, index), place)
        })?;
        Ok(Channel::Remote(inbox, connection))
    }

    /// The connection to a TaskManager; dialled if there is none that works.
    fn connection(&self, address: &str) -> Result<Arc<Connection>> {
        let options = &self.inner.options;
        let mut connections = lock(&self.inner.connections);
        if let Some(known) = connections.get(address).filter(|known| known.is_usable()) {
            return Ok(Arc::clone(known));
        }
        connections.retain(|_, known| known.is_usable());
        let rules = Rules {
            sizes: options.sizes(),
            max_body_bytes: options.max_record_bytes + FRAME_SLACK_BYTES,
            connect_timeout: options.connect_timeout,
        };
        let connection = Connection::new(address.to_owned(), rules);
        self.inner.dials.try_send(Arc::clone(&connection)).map_err(|error| {
            Error::new(
                Code::ConnectionLost,
                format!("dial TaskManager {address}: the data plane is busy or stopped"),
            )
            .with_source(error.to_string())
        })?;
        connections.insert(address.to_owned(), Arc::clone(&connection));
        Ok(connection)
    }

    /// Ends everything of the attempts up to this one in a part of the job: pending polls fail, what comes late is refused.
    pub fn release(&self, job: JobId, up_to: Attempt, region: &Region) {
        self.inner.registry.release(job, up_to, region);
    }

    /// How much network memory there is and how much is left.
    #[must_use]
    pub fn pool_usage(&self) -> PoolUsage {
        PoolUsage { total: self.inner.pool.total(), available: self.inner.pool.available() }
    }
}

/// The channel that a source of a gate means.
fn key(spec: &GateSpec, source: &Source) -> ChannelKey {
    let partition = PartitionId {
        job: spec.id.job,
        attempt: spec.id.attempt,
        edge: source.edge,
        subtask: source.subtask,
    };
    ChannelKey { partition, consumer: spec.id.subtask }
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
