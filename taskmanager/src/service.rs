//! A TaskManager as a whole: starts its parts, holds them, ends them.
//!
//! Invariants: what runs in the background is owned by the [`Handle`] and ends with it; slots, I/O runtime and listeners
//! exist before the first word to the JobManager.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_api::clock::Clock;
use weir_api::config::PortRange;
use weir_api::connector::ConnectorRegistry;
use weir_api::error::Code;
use weir_api::id::{SlotIndex, TaskManagerId};
use weir_api::{Error, Result};
use weir_proto::v1::{ProcessMetrics, Register};

use crate::deploy::{Executor, Reports, Running};
use crate::metrics::{self, Sample, Sampler, cpu_cores, physical_memory_bytes, process_metrics};
use crate::network::{self, Network};
use crate::options::Options;
use crate::session::{Backoff, Machine, Session};
use crate::slot::Slot;
use crate::snapshot::Stores;
use crate::task::Environment;

/// How many commands of the JobManager may wait to be obeyed: as many as it queues for one TaskManager, splits for each of its
/// tasks among them.
const COMMANDS: usize = 1024;
/// How many threads of the I/O runtime may block in file systems or compute for long at once: more than encode, merge and restore
/// state (see `snapshot::Stores`), as these wait for files themselves.
const BLOCKING_THREADS: usize = 32;
/// How long cancelled tasks may take to end when the TaskManager stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// What one source may read ahead: a share of the network's memory, within these bounds.
const READ_AHEAD: std::ops::RangeInclusive<usize> = (1 << 20)..=(32 << 20);

/// A worker process, or a worker within one.
#[derive(Debug)]
pub struct TaskManager;

/// A running TaskManager. Dropping it ends everything at once; [`Handle::shutdown`] waits for it.
#[derive(Debug)]
pub struct Handle {
    id: TaskManagerId,
    data_address: String,
    metrics_address: Option<SocketAddr>,
    stop: CancellationToken,
    ended: Option<oneshot::Receiver<Result<()>>>,
    /// Ends with the handle.
    _runtime: Runtime,
}

/// A runtime that may be dropped anywhere.
#[derive(Debug)]
struct Runtime(Option<tokio::runtime::Runtime>);

impl TaskManager {
    /// Starts slots, data plane and metrics, and begins to dial the JobManager. Connectors read and write for its tasks.
    pub async fn start(
        options: Options,
        registry: ConnectorRegistry,
        clock: Arc<dyn Clock>,
    ) -> Result<Handle> {
        let options = options.validated()?;
        let runtime = Runtime(Some(
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(options.io_threads)
                .max_blocking_threads(BLOCKING_THREADS)
                .thread_name("io")
                .enable_all()
                .build()
                .map_err(|error| Error::from(error).context("make the I/O runtime"))?,
        ));
        let io = runtime.handle()?;
        let (network, network_handle) = Network::start(options.network.clone(), io.clone()).await?;
        let host = options.host();
        let data_address = address(&host, network.data_address().port());
        let id = match &options.id {
            Some(id) => id.clone(),
            None => TaskManagerId::new(format!("{data_address}-{:06x}", rand::random::<u32>() >> 8))?,
        };
        let listener = match options.metrics_ports {
            Some(ports) => Some(bind(&io, options.bind_host, ports).await?),
            None => None,
        };
        let metrics_address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let slots =
            (0..options.slots).map(|index| Slot::start(SlotIndex(index))).collect::<Result<Vec<_>>>()?;
        let register = Register {
            task_manager_id: id.as_str().to_owned(),
            data_address: data_address.clone(),
            metrics_address: metrics_address.map(|bound| address(&host, bound.port())).unwrap_or_default(),
            slots: options.slots,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host.clone(),
            cpu_cores: cpu_cores(),
            physical_memory_bytes: physical_memory_bytes(),
            network_memory_bytes: options.network.pool_bytes as u64,
        };
        tracing::info!(%id, data_address, slots = options.slots, "the TaskManager has started");
        let stop = CancellationToken::new();
        let (ended, end) = oneshot::channel();
        let parts =
            Parts { options, registry, clock, network, network_handle, slots, register, listener, io };
        let serving = parts.serve(id.clone(), stop.clone());
        runtime.handle()?.spawn(async move {
            // Nobody may be waiting.
            let _ = ended.send(serving.await);
        });
        Ok(Handle { id, data_address, metrics_address, stop, ended: Some(end), _runtime: runtime })
    }
}

impl Handle {
    /// The TaskManager's id.
    #[must_use]
    pub const fn id(&self) -> &TaskManagerId {
        &self.id
    }

    /// Where other TaskManagers reach it, as `host:port`.
    #[must_use]
    pub fn data_address(&self) -> &str {
        &self.data_address
    }

    /// Where `/metrics` is served, if it is.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Waits until the TaskManager has ended by itself, which is always an error.
    pub async fn wait(&mut self) -> Result<()> {
        match &mut self.ended {
            Some(ended) => {
                let result = ended
                    .await
                    .unwrap_or_else(|_| Err(Error::internal("the TaskManager's service panicked")));
                self.ended = None;
                result
            }
            None => Ok(()),
        }
    }

    /// Cancels all tasks, leaves the JobManager and ends all threads.
    pub async fn shutdown(mut self) -> Result<()> {
        self.stop.cancel();
        self.wait().await
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Runtime {
    fn handle(&self) -> Result<tokio::runtime::Handle> {
        let runtime = self.0.as_ref().ok_or_else(|| Error::internal("the I/O runtime has been shut down"))?;
        Ok(runtime.handle().clone())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Waiting, as a plain drop does, is forbidden on an asynchronous thread.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Everything that serves.
struct Parts {
    options: Options,
    registry: ConnectorRegistry,
    clock: Arc<dyn Clock>,
    network: Network,
    network_handle: network::Handle,
    slots: Vec<Slot>,
    register: Register,
    listener: Option<TcpListener>,
    io: tokio::runtime::Handle,
}

impl Parts {
    /// Serves until it is stopped or can't go on, then ends part after part: tasks, session, slots, network.
    async fn serve(self, own: TaskManagerId, stop: CancellationToken) -> Result<()> {
        let Self { options, registry, clock, network, network_handle, slots, register, listener, io } = self;
        let (reports, reported) = Reports::channel();
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let (drained, has_drained) = mpsc::channel(1);
        let running = Running::new();
        let samples = watch::Sender::new(Sample::default());
        let mut background = JoinSet::new();
        if let Some(listener) = listener {
            let process = metrics::Process {
                prefix: options.metrics_prefix.clone(),
                host: register.host.clone(),
                tm_id: own.as_str().to_owned(),
            };
            background.spawn(metrics::serve(listener, samples.subscribe(), process, stop.clone()));
        }
        let backoff = Backoff::new(options.reconnect.0, options.reconnect.1, rand::random());
        let session = Session {
            machine: Machine::new(register, options.job_managers.clone(), backoff),
            clock: Arc::clone(&clock),
            commands,
            drained: has_drained,
            reports: reported,
            samples: samples.subscribe(),
            stop,
        };
        let looks = options.cancellation_timeout.div_duration_f64(options.metrics_interval).ceil() as u32;
        let watch = Watch {
            samples,
            running: running.clone(),
            network: network.clone(),
            clock: Arc::clone(&clock),
            interval: options.metrics_interval,
            looks,
        };
        let read_ahead_bytes = (options.network.pool_bytes / 8).clamp(*READ_AHEAD.start(), *READ_AHEAD.end());
        let writer = format!("{:016x}", rand::random::<u64>());
        let stores =
            Arc::new(Stores::new(options.file_systems.clone(), writer, options.local_copies.clone()));
        let environment = Arc::new(Environment { registry, clock, io, read_ahead_bytes, stores });
        let executor = Executor { own, slots, network, environment, running, reports };
        let executor = tokio::spawn(executor.run(commanded, drained));
        // The session's end is the end of the commands, and that of the executor's tasks.
        let result = tokio::select! {
            result = session.run() => result,
            error = watch.run() => Err(error),
        };
        let abort = executor.abort_handle();
        match tokio::time::timeout(STOP_TIMEOUT, executor).await {
            Ok(Ok(slots)) => join(slots).await,
            Ok(Err(error)) => tracing::error!(%error, "the executor panicked"),
            Err(_) => {
                abort.abort();
                tracing::error!(
                    "tasks still run {} s after their cancellation: a slot's thread hangs",
                    STOP_TIMEOUT.as_secs()
                );
            }
        }
        background.shutdown().await;
        network_handle.shutdown().await;
        result
    }
}

/// Waits for the slots' threads, on which nothing runs any more.
async fn join(slots: Vec<Slot>) {
    for thread in slots.into_iter().map(Slot::stop) {
        if tokio::task::spawn_blocking(move || thread.join()).await.is_ok_and(|joined| joined.is_err()) {
            tracing::error!("a slot's thread panicked");
        }
    }
}

/// Looks at the tasks now and then: takes samples for the session and for `/metrics`, and finds tasks that don't end.
struct Watch {
    samples: watch::Sender<Sample>,
    running: Running,
    network: Network,
    clock: Arc<dyn Clock>,
    interval: Duration,
    /// How many looks a cancelled task is given.
    looks: u32,
}

impl Watch {
    /// Ends only when a slot's thread hangs.
    async fn run(self) -> Error {
        let mut sampler = Sampler::new(cpu_cores());
        let mut interval = tokio::time::interval(self.interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let usage = self.network.pool_usage();
            let process = ProcessMetrics {
                network_segments_total: usage.total as u64,
                network_segments_available: usage.available as u64,
                ..process_metrics()
            };
            let now = self.clock.monotonic_millis();
            self.samples.send_replace(sampler.sample(now, self.running.snapshot(), process));
            if let Some(task) = self.running.overdue(self.looks) {
                return Error::internal(format!(
                    "task {task} still runs long after its cancellation: its slot's thread hangs, and only a new process helps"
                ));
            }
        }
    }
}

/// Binds the first free one of `ports`.
async fn bind(io: &tokio::runtime::Handle, host: IpAddr, ports: PortRange) -> Result<TcpListener> {
    let mut port = ports.first;
    loop {
        let bound = io.spawn(TcpListener::bind((host, port))).await;
        match bound.map_err(|error| Error::internal("the I/O runtime is gone").with_source(error))? {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && port < ports.last => port += 1,
            Err(error) => {
                let key = weir_api::config::options::METRICS_PORT.key;
                let message =
                    format!("the metrics port {host}:{port} can't be bound; choose another one with {key}");
                return Err(Error::new(Code::Io, message).with_source(error));
            }
            Ok(listener) => return Ok(listener),
        }
    }
}

/// `host:port`, with IPv6 addresses in brackets.
fn address(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_metrics_port_gives_way_to_the_next_of_its_range() {
        let host = IpAddr::from([127, 0, 0, 1]);
        let taken = std::net::TcpListener::bind((host, 0)).expect("a free port");
        let first = taken.local_addr().expect("bound").port();
        let io = tokio::runtime::Handle::current();
        let range = PortRange { first, last: first.saturating_add(20) };
        let bound = bind(&io, host, range).await.expect("one of twenty is free");
        assert_ne!(bound.local_addr().expect("bound").port(), first);
        let error = bind(&io, host, PortRange { first, last: first }).await.expect_err("taken");
        assert!(error.message().contains("metrics.reporter.prom.port"), "{error}");
    }
}
