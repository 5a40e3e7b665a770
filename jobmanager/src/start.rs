//! Puts the JobManager together and takes it apart.
//!
//! Invariant: a handle that was returned stands for a JobManager that leads and whose listeners answer; when it is dropped or
//! shut down every task ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use weir_api::clock::Clock;
use weir_api::connector::ConnectorRegistry;
use weir_api::error::{Code, Error, Result};
use weir_api::storage::FileSystems;

use crate::control::Core;
use crate::control::now::Now;
use crate::metadata::directory::Directory;
use crate::metadata::memory::Memory;
use crate::metadata::{Metadata, encoding};
use crate::options::Options;
use crate::rest::{self, App};
use crate::service::Service;
use crate::session::Sessions;
use crate::snapshots::Snapshots;
use crate::submit::Dispatcher;
use crate::submit::planner::Planner;
use crate::submit::sql_planner::SqlPlanner;

/// How long open requests and sessions may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// The process' part that plans, schedules and watches jobs.
#[derive(Debug)]
pub struct JobManager;

/// A running JobManager. Dropping it stops it.
#[derive(Debug)]
pub struct Handle {
    rest: SocketAddr,
    rpc: SocketAddr,
    shutdown: CancellationToken,
    main: JoinHandle<Result<()>>,
    _stop: DropGuard,
    #[cfg(test)]
    pub(crate) client: crate::service::Client,
}

impl Handle {
    /// Where REST answers.
    #[must_use]
    pub const fn rest_address(&self) -> SocketAddr {
        self.rest
    }

    /// Where TaskManagers register.
    #[must_use]
    pub const fn rpc_address(&self) -> SocketAddr {
        self.rpc
    }

    /// Waits until it has ended by itself; the error says why.
    pub async fn wait(&mut self) -> Result<()> {
        (&mut self.main)
            .await
            .map_err(|error| Error::internal("the JobManager panicked").with_source(error))?
    }

    /// Stops it. Jobs that run stay in the metadata.
    pub async fn shutdown(mut self) -> Result<()> {
        self.shutdown.cancel();
        self.wait().await
    }
}

impl JobManager {
    /// Starts one that plans SQL and keeps its jobs where the options say. Answers when REST does.
    pub async fn start(
        options: Options,
        registry: ConnectorRegistry,
        clock: Arc<dyn Clock>,
    ) -> Result<Handle> {
        Self::start_with(options, registry, Arc::new(SqlPlanner), clock).await
    }

    /// Starts one with another planner.
    pub async fn start_with(
        options: Options,
        registry: ConnectorRegistry,
        planner: Arc<dyn Planner>,
        clock: Arc<dyn Clock>,
    ) -> Result<Handle> {
        let metadata: Arc<dyn Metadata> = match &options.metadata {
            Some(path) => Arc::new(Directory::open(path)?),
            None => Arc::new(Memory::default()),
        };
        Self::start_on(metadata, options, registry, planner, clock).await
    }

    /// Starts one on this metadata, whatever the options say of it.
    pub async fn start_on(
        metadata: Arc<dyn Metadata>,
        options: Options,
        registry: ConnectorRegistry,
        planner: Arc<dyn Planner>,
        clock: Arc<dyn Clock>,
    ) -> Result<Handle> {
        options.check()?;
        let rpc = bind(&options, options.rpc_port, "jobmanager.rpc.port").await?;
        let rest = bind(&options, options.rest_port, "rest.port").await?;
        let (rpc_address, rest_address) = (rpc.local_addr()?, rest.local_addr()?);

        let epoch = metadata.lead().await?;
        let mut records = Vec::new();
        for stored in metadata.jobs().await? {
            records.push((encoding::decode(stored.job, &stored.bytes)?, stored.version));
        }
        tracing::info!(%epoch, jobs = records.len(), %rest_address, %rpc_address, "JobManager leads");
        let (core, first) = Core::new(epoch, options.settings(), records, Now::of(clock.as_ref()));

        let files = FileSystems::new(&options.configuration);
        let snapshots = Snapshots::new(files, registry.clone(), epoch);
        let shutdown = CancellationToken::new();
        let (service, client) = Service::new(
            core,
            Arc::clone(&clock),
            Arc::clone(&metadata),
            snapshots.clone(),
            shutdown.clone(),
        );
        let readers = TaskTracker::new();
        let sessions = Sessions::new(client.clone(), readers.clone(), shutdown.clone());
        let dispatcher = Dispatcher {
            client: client.clone(),
            metadata,
            epoch,
            planner,
            registry,
            snapshots,
            configuration: options.configuration.clone(),
            clock,
            places: Dispatcher::places(),
        };
        #[cfg(test)]
        let for_tests = client.clone();
        let app = App {
            client,
            dispatcher: Arc::new(dispatcher),
            configuration: Arc::new(options.configuration),
            disposals: Default::default(),
            tasks: readers.clone(),
        };
        let stop = shutdown.clone().drop_guard();
        let parts = Parts { service, first, sessions, rpc, rest, app, shutdown: shutdown.clone(), readers };
        let main = tokio::spawn(parts.run());
        Ok(Handle {
            rest: rest_address,
            rpc: rpc_address,
            shutdown,
            main,
            _stop: stop,
            #[cfg(test)]
            client: for_tests,
        })
    }
}

async fn bind(options: &Options, port: u16, key: &str) -> Result<TcpListener> {
    let address = SocketAddr::new(options.bind, port);
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(Code::Io, format!("can't listen on {address}; choose another port with {key}"))
            .with_source(error)
    })
}

struct Parts {
    service: Service,
    first: Vec<crate::control::event::Action>,
    sessions: Sessions,
    rpc: TcpListener,
    rest: TcpListener,
    app: App,
    shutdown: CancellationToken,
    readers: TaskTracker,
}

impl Parts {
    async fn run(self) -> Result<()> {
        let shutdown = self.shutdown.clone();
        let rest = rest::serve(self.app, self.rest, shutdown.clone());
        let sessions = self.sessions.serve(self.rpc);
        let listeners = async {
            let (rest, sessions) = tokio::join!(
                async {
                    rest.await
                        .map_err(|error| Error::new(Code::Io, "the REST listener failed").with_source(error))
                },
                async {
                    sessions
                        .await
                        .map_err(|error| Error::new(Code::Io, "the gRPC listener failed").with_source(error))
                },
            );
            rest.and(sessions)
        };
        tokio::pin!(listeners);
        let service = self.service.run(self.first);
        tokio::pin!(service);
        let mut early = None;
        let result = tokio::select! {
            result = &mut service => result,
            failed = &mut listeners => {
                // A listener that ended unasked takes the rest down with it.
                shutdown.cancel();
                early = Some(failed);
                service.await
            }
        };
        shutdown.cancel();
        self.readers.close();
        let left = match early {
            Some(failed) => failed,
            // Connections that don't end in time are dropped with the future.
            None => tokio::time::timeout(GRACE, &mut listeners).await.unwrap_or(Ok(())),
        };
        // Readers stop with the shutdown token; submissions in progress get the same grace.
        let _ = tokio::time::timeout(GRACE, self.readers.wait()).await;
        result.and(left)
    }
}
