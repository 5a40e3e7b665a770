//! The processes of a cluster: started from a configuration, stopped by SIGINT or SIGTERM.
//!
//! Addresses go to standard output, one a line (`REST: http://…`, `RPC: …`), for people and for scripts that let ports be chosen.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Runtime;
use weir_api::config::Configuration;
use weir_api::config::options;
use weir_api::connector::ConnectorRegistry;
use weir_api::error::{Code, Error, Result};
use weir_api::fail_point;
use weir_jobmanager::JobManager;
use weir_taskmanager::TaskManager;

use crate::args::{Format, LocalArgs, ProcessArgs, RunArgs};
use crate::client::Client;
use crate::clock::SystemClock;
use crate::command::run::submit_and_follow;
use crate::{configuration, output};

/// `weir jobmanager`.
pub fn jobmanager(arguments: &ProcessArgs) -> Result<()> {
    fail_point::read_environment()?;
    let configuration = configuration::load(&arguments.config)?;
    let options = weir_jobmanager::Options::from_configuration(configuration, arguments.insecure)?;
    runtime()?.block_on(async {
        let mut jobmanager = start_jobmanager(options).await?;
        print_addresses(&jobmanager)?;
        tokio::select! {
            ended = jobmanager.wait() => ended,
            stopped = stop_signal() => {
                stopped?;
                jobmanager.shutdown().await
            }
        }
    })
}

/// `weir taskmanager`.
pub fn taskmanager(arguments: &ProcessArgs) -> Result<()> {
    fail_point::read_environment()?;
    let configuration = configuration::load(&arguments.config)?;
    let options = taskmanager_options(&configuration, arguments.insecure)?;
    runtime()?.block_on(async {
        let mut taskmanager =
            TaskManager::start(options, registry(&configuration), Arc::new(SystemClock::new())).await?;
        output::line(&format!("Data: {}", taskmanager.data_address()))?;
        if let Some(address) = taskmanager.metrics_address() {
            output::line(&format!("Metrics: http://{address}/metrics"))?;
        }
        tokio::select! {
            ended = taskmanager.wait() => ended,
            stopped = stop_signal() => {
                stopped?;
                taskmanager.shutdown().await
            }
        }
    })
}

/// `weir local`: both, the TaskManager dialling the JobManager by gRPC on loopback like any other.
pub fn local(arguments: &LocalArgs) -> Result<()> {
    fail_point::read_environment()?;
    let configuration = configuration::load(&arguments.process.config)?;
    runtime()?.block_on(async {
        let mut cluster = Cluster::start(configuration, arguments.slots, arguments.process.insecure).await?;
        print_addresses(&cluster.jobmanager)?;
        tokio::select! {
            ended = cluster.jobmanager.wait() => ended,
            ended = cluster.taskmanager.wait() => ended,
            stopped = stop_signal() => {
                stopped?;
                cluster.stop().await
            }
        }
    })
}

/// `weir run --target local`: a cluster on free ports that ends with the job.
pub fn run_local(arguments: &RunArgs, format: Format) -> Result<ExitCode> {
    if arguments.detached {
        return Err(Error::new(
            Code::InvalidArgument,
            "a job in this process can't be detached: it would end with it; leave out --detached or --target local",
        ));
    }
    let (configuration, arguments) = configuration::of_local_run(arguments)?;
    let runtime = runtime()?;
    let slots = arguments.job.parallelism;
    let cluster = runtime.block_on(Cluster::start(configuration, slots, false))?;
    // The client blocks; the cluster goes on on the runtime's own threads.
    let client = Client::new(&cluster.jobmanager.rest_address().to_string());
    let code = submit_and_follow(&client, &arguments, format);
    runtime.block_on(cluster.stop())?;
    code
}

/// One JobManager and one TaskManager in this process.
struct Cluster {
    jobmanager: weir_jobmanager::Handle,
    taskmanager: weir_taskmanager::Handle,
}

impl Cluster {
    async fn start(configuration: Configuration, slots: Option<u32>, insecure: bool) -> Result<Self> {
        let options = weir_jobmanager::Options::from_configuration(configuration.clone(), insecure)?;
        let jobmanager = start_jobmanager(options).await?;
        let mut options = taskmanager_options(&configuration, insecure)?;
        options.job_managers = vec![jobmanager.rpc_address().to_string()];
        options.slots = slots.unwrap_or(options.slots);
        // Everything but REST is for this process alone.
        options.bind_host = std::net::Ipv4Addr::LOCALHOST.into();
        let taskmanager =
            TaskManager::start(options, registry(&configuration), Arc::new(SystemClock::new())).await?;
        Ok(Self { jobmanager, taskmanager })
    }

    async fn stop(self) -> Result<()> {
        let ended = self.taskmanager.shutdown().await;
        self.jobmanager.shutdown().await.and(ended)
    }
}

async fn start_jobmanager(options: weir_jobmanager::Options) -> Result<weir_jobmanager::Handle> {
    let registry = registry(&options.configuration);
    JobManager::start(options, registry, Arc::new(SystemClock::new())).await
}

fn taskmanager_options(configuration: &Configuration, insecure: bool) -> Result<weir_taskmanager::Options> {
    let options = weir_taskmanager::Options::from_configuration(configuration)?;
    if !options.bind_host.is_loopback() && !insecure {
        return Err(Error::new(
            Code::InvalidConfiguration,
            format!(
                "{} is {}: without login and TLS a TaskManager binds loopback; inside a network that you trust, add --insecure",
                options::TASKMANAGER_BIND.key,
                options.bind_host
            ),
        ));
    }
    Ok(options)
}

fn registry(configuration: &Configuration) -> ConnectorRegistry {
    weir_connectors::registry(configuration)
}

fn print_addresses(jobmanager: &weir_jobmanager::Handle) -> Result<()> {
    output::line(&format!("REST: http://{}", jobmanager.rest_address()))?;
    output::line(&format!("RPC: {}", jobmanager.rpc_address()))
}

/// The control plane's runtime; two threads are plenty for it.
fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| Error::from(error).context("make the runtime"))
}

/// Waits for SIGINT or SIGTERM.
async fn stop_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
