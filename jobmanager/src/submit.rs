//! From a text to a job: read, plan, discover splits, assign them, record.
//!
//! Invariant: whoever gets a job id can rely on the job: it was planned, its splits are fixed, it is in the metadata. Everything
//! that is wrong with a text is an error before that. It doesn't run anything.

pub mod job_file;
pub mod planner;
mod restore;
pub mod sql_planner;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::Semaphore;
use weir_api::clock::Clock;
use weir_api::config::{Configuration, Scope, Warning, options};
use weir_api::connector::ConnectorRegistry;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::{JobGraph, JobVertex};
use weir_api::id::{Attempt, JobId, LeaderEpoch};
use weir_api::source::{Boundedness, Source};
use weir_proto::v1::{DeployTasks, SlotPlacement, SplitAssignment, operator_spec::Kind};
use weir_sql::StatementResult;

use self::planner::{Planned, Planner, Request};
use self::restore::Beginning;
use crate::control::Core;
use crate::control::checkpoint::settings;
use crate::control::event::Event;
use crate::control::job::effective;
use crate::control::job::record::{JobRecord, JobSpec, Stage};
use crate::metadata::{Metadata, encoding};
use crate::service::Client;
use crate::session::MAX_MESSAGE_BYTES;
use crate::snapshots::Snapshots;

/// How many jobs may be planned at the same time.
const CONCURRENT: usize = 4;
/// How long sources may look for their splits.
pub(crate) const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a running job's source looks for further splits at most.
const SHORTEST_DISCOVERY_INTERVAL: Duration = Duration::from_millis(10);
/// The most splits of a job.
pub(crate) const MAX_SPLITS: usize = 1_000_000;
/// The most jobs that haven't ended.
const MAX_ACTIVE_JOBS: usize = 1_000;
/// The longest name of a job.
const MAX_NAME_BYTES: usize = 1_024;
/// What an entry of a placement takes in a deployment: an id, an address, a slot.
const PLACEMENT_BYTES: usize = 400;

/// What somebody wants to run.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// The statements.
    pub sql: String,
    /// The job's name.
    pub name: Option<String>,
    /// How many parallel subtasks.
    pub parallelism: Option<u32>,
    /// Configuration over the cluster's.
    pub config: BTreeMap<String, String>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The job's id; `None` if there was nothing to run.
    pub job: Option<JobId>,
    /// What the statements answer.
    pub results: Vec<StatementResult>,
    /// What its author should hear about.
    pub warnings: Vec<Warning>,
}

/// Turns texts into jobs.
pub(crate) struct Dispatcher {
    pub(crate) client: Client,
    pub(crate) metadata: Arc<dyn Metadata>,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) registry: ConnectorRegistry,
    pub(crate) snapshots: Snapshots,
    pub(crate) configuration: Configuration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) places: Arc<Semaphore>,
}

impl Dispatcher {
    /// How many submissions may be worked on.
    pub(crate) fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(CONCURRENT))
    }

    /// Makes a job, if the text runs something; it is recorded when this answers.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<Submitted> {
        let _place = self.places.acquire().await.map_err(|_| Error::internal("submissions are closed"))?;
        self.check_room().await?;
        let (planned, config) = self.plan(submission.clone()).await?;
        let Planned { graph, results, warnings } = planned;
        let Some(graph) = graph else { return Ok(Submitted { job: None, results, warnings }) };
        let graph = Arc::new(graph);
        let sources = self.sources(&graph)?;
        let bounded = sources.iter().all(|(_, source)| source.boundedness() == Boundedness::Bounded);
        let splits =
            tokio::time::timeout(DISCOVERY_TIMEOUT, discover(&graph, &sources)).await.map_err(|_| {
                let seconds = DISCOVERY_TIMEOUT.as_secs();
                Error::new(Code::Io, format!("the sources didn't find their splits within {seconds} s"))
            })??;
        let job = JobId::from_bytes(rand::random());
        let discovery = sources.iter().filter_map(|(vertex, source)| {
            Some((*vertex as u32, source.discovery_interval()?.max(SHORTEST_DISCOVERY_INTERVAL)))
        });
        let spec = JobSpec {
            id: job,
            name: graph.name().to_owned(),
            sql: submission.sql,
            discovery: discovery.collect(),
            graph,
            config: config.values().clone(),
            bounded,
            submitted_unix_millis: self.clock.unix_millis(),
        };
        let effective = effective(&self.configuration, &spec);
        settings::check(&effective)?;
        let Beginning { splits, snapshots } =
            restore::beginning(&self.snapshots, &effective, &spec.graph, splits).await?;
        check_size(&spec.graph, &splits)?;
        let record = JobRecord {
            spec: Arc::new(spec),
            splits: Arc::new(splits),
            attempt: Attempt(0),
            stage: Stage::Active,
            snapshots,
            exceptions: Vec::new(),
        };
        let version = self.metadata.put(self.epoch, job, None, encoding::encode(&record)).await?;
        tracing::info!(%job, name = record.spec.name, "job submitted");
        self.client.event(Event::Submitted { record, version }).await?;
        Ok(Submitted { job: Some(job), results, warnings })
    }

    async fn check_room(&self) -> Result<()> {
        let active = |core: &Core, _| core.jobs().filter(|job| job.ended().is_none()).count();
        if self.client.ask(active).await? >= MAX_ACTIVE_JOBS {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("{MAX_ACTIVE_JOBS} jobs are waiting or running; cancel some first"),
            ));
        }
        Ok(())
    }

    /// Plans without running; the answer is for people.
    pub(crate) async fn explain(&self, submission: Submission) -> Result<planner::Explained> {
        let _place = self.places.acquire().await.map_err(|_| Error::internal("submissions are closed"))?;
        let (request, _, warnings) = self.request(submission)?;
        let planner = Arc::clone(&self.planner);
        let mut explained = on_its_own_thread(move || planner.explain(request)).await?;
        explained.warnings.splice(0..0, warnings);
        Ok(explained)
    }

    async fn plan(&self, submission: Submission) -> Result<(Planned, Configuration)> {
        let (request, config, warnings) = self.request(submission)?;
        let planner = Arc::clone(&self.planner);
        let mut planned = on_its_own_thread(move || planner.plan(request)).await?;
        planned.warnings.splice(0..0, warnings);
        Ok((planned, config))
    }

    /// Checks the configuration and puts the cluster's defaults under it; the second is the job's own.
    fn request(&self, submission: Submission) -> Result<(Request, Configuration, Vec<Warning>)> {
        let mut warnings = Vec::new();
        let mut own = Configuration::default();
        for (key, value) in &submission.config {
            warnings.extend(own.set(key, value)?);
        }
        let (own, processes) = for_jobs(&own)?;
        warnings.extend(processes.into_iter().map(|key| {
            format!("'{key}' has no effect on a job: it belongs into the configuration of a process")
        }));
        let (mut config, _) = for_jobs(&self.configuration)?;
        config.merge(&own);
        if submission.parallelism == Some(0) {
            return Err(Error::new(Code::InvalidArgument, "the parallelism 0 runs nothing; 1 is the least"));
        }
        if submission.name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("the job's name takes more than {MAX_NAME_BYTES} bytes"),
            ));
        }
        let request = Request {
            sql: submission.sql,
            name: submission.name.filter(|name| !name.is_empty()),
            parallelism: submission.parallelism,
            config,
            registry: self.registry.clone(),
        };
        Ok((request, own, warnings))
    }

    fn sources(&self, graph: &JobGraph) -> Result<Vec<(usize, Arc<dyn Source>)>> {
        let tables =
            graph.vertices().iter().enumerate().filter_map(|(index, vertex)| Some((index, table(vertex)?)));
        tables.map(|(index, table)| Ok((index, self.registry.source(table)?))).collect()
    }
}

/// The keys that jobs have, and the names of the others.
fn for_jobs(all: &Configuration) -> Result<(Configuration, Vec<String>)> {
    let is_jobs =
        |key: &str| options::ALL.iter().any(|option| option.key == key && option.scope == Scope::Job);
    let mut jobs = Configuration::default();
    let mut others = Vec::new();
    for (key, value) in all.values() {
        if is_jobs(key) {
            jobs.set(key, value)?;
        } else {
            others.push(key.clone());
        }
    }
    Ok((jobs, others))
}

/// The table that a vertex reads, if it is a source.
pub(crate) fn table(vertex: &JobVertex) -> Option<&weir_proto::v1::TableSpec> {
    match vertex.chain.first()?.spec.kind.as_ref()? {
        Kind::Source(source) => source.table.as_ref(),
        _ => None,
    }
}

/// Planning computes for a while, and a panic in it is one job's.
async fn on_its_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(Code::TaskPanicked, "planning the job panicked").with_source(error))?
}

async fn discover(graph: &JobGraph, sources: &[(usize, Arc<dyn Source>)]) -> Result<Vec<SplitAssignment>> {
    let mut assignments = Vec::new();
    let mut count = 0;
    for (index, source) in sources {
        let Some(vertex) = graph.vertices().get(*index) else { continue };
        let splits = source
            .discover(vertex.parallelism)
            .await
            .map_err(|error| error.context(format!("find the splits of '{}'", vertex.name)))?;
        count += splits.len();
        if count > MAX_SPLITS {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("'{}' has {count} splits, more than {MAX_SPLITS}; read fewer files", vertex.name),
            ));
        }
        let shares = crate::control::splits::assign(splits, vertex.parallelism);
        assignments.extend(
            (0..)
                .zip(shares)
                .filter(|(_, splits)| !splits.is_empty())
                .map(|(subtask, splits)| SplitAssignment { vertex: *index as u32, subtask, splits }),
        );
    }
    Ok(assignments)
}

/// A deployment must fit into one message, even if one TaskManager runs everything.
pub(crate) fn check_size(graph: &JobGraph, splits: &[SplitAssignment]) -> Result<()> {
    let deployment = DeployTasks { graph: Some(graph.into()), splits: splits.to_vec(), ..Default::default() };
    let placement = graph.required_slots() as usize * (PLACEMENT_BYTES + size_of::<SlotPlacement>());
    let bytes = deployment.encoded_len() + placement;
    if bytes > MAX_MESSAGE_BYTES {
        return Err(Error::new(
            Code::InvalidArgument,
            format!(
                "the job's plan and splits take {bytes} bytes, more than the {MAX_MESSAGE_BYTES} that can be sent; read fewer \
                 or larger files"
            ),
        ));
    }
    Ok(())
}
