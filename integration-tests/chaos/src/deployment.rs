//! A cluster whose processes die and come again: on the same ports, on the same metadata directory, behind proxies.
//!
//! Each TaskManager reaches the JobManager through a proxy of its own, and is reached by the others through another, so that any
//! pair can be parted. What processes print and log is kept in one file each, over all their lives. Nothing here knows why
//! something is killed.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Process;
use crate::proxy::Proxy;
use crate::servers::free_port;

/// The longest that processes may take to come up.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest that REST may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Where a TaskManager's data plane listens, and where others are told that it does.
const DATA: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ADVERTISED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// Processes of one cluster.
pub struct Deployment {
    folder: PathBuf,
    options: Vec<String>,
    rest: u16,
    rpc: u16,
    jobmanager: Option<Process>,
    managers: Vec<Manager>,
    cgroup: Option<PathBuf>,
}

/// A TaskManager and the ways to it.
pub struct Manager {
    process: Option<Process>,
    port: u16,
    /// From it to the JobManager.
    pub control: Proxy,
    /// From the others to it.
    pub data: Proxy,
}

impl Deployment {
    /// Starts a JobManager and so many TaskManagers with `slots` slots each, in this control group; `options` are those of all
    /// processes, logs and metadata go to `folder`.
    pub fn start(
        folder: &Path,
        managers: usize,
        slots: u32,
        options: &[String],
        seed: u64,
        cgroup: Option<PathBuf>,
    ) -> Self {
        let (rest, rpc) = (free_port(), free_port());
        let mut options: Vec<String> = options.iter().map(|option| format!("-D{option}")).collect();
        options.push(format!("-Dtaskmanager.numberOfTaskSlots={slots}"));
        let managers = (0..).take(managers).map(|index| Manager::new(rpc, seed ^ index)).collect();
        let mut deployment =
            Self { folder: folder.to_owned(), options, rest, rpc, jobmanager: None, managers, cgroup };
        deployment.start_jobmanager("");
        deployment.wait_for_rest();
        for index in 0..deployment.managers.len() {
            deployment.start_taskmanager(index, "");
        }
        deployment.wait_for_taskmanagers();
        deployment
    }

    /// Starts the JobManager on what it left behind, if it is down; it breaks at `fail_points`.
    pub fn start_jobmanager(&mut self, fail_points: &str) {
        if self.is_jobmanager_alive() {
            return;
        }
        let mut arguments = vec![
            "jobmanager".to_owned(),
            format!("-Drest.port={}", self.rest),
            format!("-Djobmanager.rpc.port={}", self.rpc),
            format!("-Djobmanager.metadata.dir={}", self.folder.join("metadata").display()),
        ];
        arguments.extend(self.options.iter().cloned());
        self.jobmanager = Some(self.spawn(&arguments, fail_points, "jobmanager"));
    }

    /// Starts a TaskManager, if it is down; it breaks at `fail_points`.
    pub fn start_taskmanager(&mut self, index: usize, fail_points: &str) {
        if self.is_taskmanager_alive(index) {
            return;
        }
        let control = self.managers[index].control.address();
        let mut arguments = vec![
            "taskmanager".to_owned(),
            format!("-Djobmanager.rpc.address={}", control.ip()),
            format!("-Djobmanager.rpc.port={}", control.port()),
            format!("-Dtaskmanager.bind-host={DATA}"),
            format!("-Dtaskmanager.host={ADVERTISED}"),
            format!("-Dtaskmanager.data.port={}", self.managers[index].port),
            "-Dmetrics.reporter.prom.port=0".to_owned(),
            format!("-Dtaskmanager.resource-id=tm-{index}"),
            format!("-Dio.tmp.dirs={}", self.folder.join(format!("tmp-{index}")).display()),
        ];
        arguments.extend(self.options.iter().cloned());
        self.managers[index].process = Some(self.spawn(&arguments, fail_points, &format!("tm-{index}")));
    }

    fn spawn(&self, arguments: &[String], fail_points: &str, name: &str) -> Process {
        let variables = [("WEIR_FAIL_POINTS", fail_points), ("WEIR_LOG", "info")];
        let variables = if fail_points.is_empty() { &variables[1..] } else { &variables };
        let process = Process::weir_logging(arguments, variables, &self.log(name));
        if let Some(group) = &self.cgroup {
            std::fs::write(group.join("cgroup.procs"), process.id().to_string())
                .expect("the group takes processes");
        }
        process
    }

    /// Where a process' output stands: `jobmanager`, `tm-0`, ….
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// All that all processes have printed.
    pub fn logs(&self) -> String {
        let managers = (0..self.managers.len()).map(|index| format!("tm-{index}"));
        let names = std::iter::once("jobmanager".to_owned()).chain(managers);
        names.map(|name| std::fs::read_to_string(self.log(&name)).unwrap_or_default()).collect()
    }

    /// The JobManager, if it is up.
    pub fn jobmanager(&mut self) -> Option<&mut Process> {
        self.jobmanager.as_mut()
    }

    /// A TaskManager, if it is up.
    pub fn taskmanager(&mut self, index: usize) -> Option<&mut Process> {
        self.managers[index].process.as_mut()
    }

    /// The ways to a TaskManager.
    pub fn manager(&self, index: usize) -> &Manager {
        &self.managers[index]
    }

    /// How many TaskManagers there should be.
    pub fn managers(&self) -> usize {
        self.managers.len()
    }

    /// Ends the JobManager with SIGKILL.
    pub fn kill_jobmanager(&mut self) {
        self.jobmanager = None;
    }

    /// Ends a TaskManager with SIGKILL.
    pub fn kill_taskmanager(&mut self, index: usize) {
        self.managers[index].process = None;
    }

    /// Whether the JobManager runs.
    pub fn is_jobmanager_alive(&mut self) -> bool {
        self.jobmanager.as_mut().is_some_and(Process::is_alive)
    }

    /// Whether a TaskManager runs.
    pub fn is_taskmanager_alive(&mut self, index: usize) -> bool {
        self.managers[index].process.as_mut().is_some_and(Process::is_alive)
    }

    /// Starts again whatever is down, lets go on whatever stands still, and lifts all rules.
    pub fn heal(&mut self) {
        for process in
            self.jobmanager.iter().chain(self.managers.iter().filter_map(|manager| manager.process.as_ref()))
        {
            if process.is_paused() {
                process.resume();
            }
        }
        self.start_jobmanager("");
        for index in 0..self.managers.len() {
            self.managers[index].control.heal();
            self.managers[index].data.heal();
            self.start_taskmanager(index, "");
        }
    }

    /// `http://host:port` of the REST service.
    pub fn rest(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest)
    }

    /// `GET path`; `None` while the JobManager doesn't answer.
    pub fn get(&self, path: &str) -> Option<Value> {
        agent().get(format!("{}{path}", self.rest())).call().ok()?.body_mut().read_json().ok()
    }

    /// `POST path` with JSON; the answer's JSON, or what went wrong as text.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let answer = agent().post(format!("{}{path}", self.rest())).send_json(body);
        let mut answer = answer.map_err(|error| error.to_string())?;
        let (status, text) = (answer.status(), answer.body_mut().read_to_string().unwrap_or_default());
        if !status.is_success() {
            return Err(format!("{path}: {status}: {text}"));
        }
        serde_json::from_str(&text).map_err(|error| format!("{path}: {error}: {text}"))
    }

    /// Submits SQL; answers the job's id.
    pub fn submit(&self, sql: &str, parallelism: u32) -> String {
        let answer = self.post("/v1/jobs", &serde_json::json!({ "sql": sql, "parallelism": parallelism }));
        let answer = answer.unwrap_or_else(|error| panic!("{error}\nin\n{sql}"));
        answer["jobid"].as_str().expect("a job id").to_owned()
    }

    /// The job's state; `None` while the JobManager doesn't answer.
    pub fn state(&self, job: &str) -> Option<String> {
        Some(self.get(&format!("/jobs/{job}"))?["state"].as_str()?.to_owned())
    }

    /// The TaskManagers that run the job's tasks, as far as REST says.
    pub fn hosts(&self, job: &str) -> Vec<usize> {
        let find = || -> Option<Vec<usize>> {
            let details = self.get(&format!("/jobs/{job}"))?;
            let mut hosts = Vec::new();
            for vertex in details["vertices"].as_array()? {
                let subtasks = self.get(&format!("/jobs/{job}/vertices/{}", vertex["id"].as_str()?))?;
                let names = subtasks["subtasks"].as_array()?.iter();
                hosts.extend(names.filter_map(|subtask| {
                    subtask["taskmanager-id"].as_str()?.strip_prefix("tm-")?.parse::<usize>().ok()
                }));
            }
            hosts.sort_unstable();
            hosts.dedup();
            Some(hosts)
        };
        find().unwrap_or_default()
    }

    /// Asks for a stop with a savepoint below this URL as soon as the job runs, and doesn't wait for what comes of it.
    pub fn ask_to_stop(&self, job: &str, target: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline && self.state(job).as_deref() != Some("RUNNING") {
            std::thread::sleep(Duration::from_millis(50));
        }
        let body = serde_json::json!({ "targetDirectory": target, "drain": false });
        // It is refused as long as not all tasks run.
        while self.post(&format!("/jobs/{job}/stop"), &body).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops a job with a savepoint below this URL; answers the savepoint's.
    pub fn stop_with_savepoint(&self, job: &str, target: &str, limit: Duration) -> Result<String, String> {
        let body = serde_json::json!({ "targetDirectory": target, "drain": false });
        let deadline = Instant::now() + limit;
        let answer = loop {
            match self.post(&format!("/jobs/{job}/stop"), &body) {
                // It is being restarted.
                Err(reason) if Instant::now() < deadline && reason.contains("409") => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                answer => break answer?,
            }
        };
        let trigger = answer["request-id"].as_str().ok_or("no request-id")?.to_owned();
        while Instant::now() < deadline {
            let status = self.get(&format!("/jobs/{job}/savepoints/{trigger}")).unwrap_or_default();
            if status["status"]["id"] == "COMPLETED" {
                let location = status["operation"]["location"].as_str();
                return location.map(str::to_owned).ok_or_else(|| status["operation"].to_string());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("not within {limit:?}"))
    }

    /// Cancels a job; whether it has ended in time.
    #[must_use]
    pub fn cancel(&self, job: &str, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let _ = agent().patch(format!("{}/jobs/{job}?mode=cancel", self.rest())).send_empty();
            if matches!(self.state(job).as_deref(), Some("CANCELED" | "FAILED" | "FINISHED")) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Waits until REST answers.
    pub fn wait_for_rest(&self) {
        self.wait_until("REST answers", LIMIT, || self.get("/overview").is_some());
    }

    /// Waits until all TaskManagers are registered.
    pub fn wait_for_taskmanagers(&self) {
        let all = Some(self.managers.len() as u64);
        let registered = || self.get("/overview")?["taskmanagers"].as_u64();
        self.wait_until("TaskManagers are registered", LIMIT, || registered() == all);
    }

    /// Waits for a condition.
    pub fn wait_until(&self, what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + limit;
        while !condition() {
            assert!(
                Instant::now() < deadline,
                "not within {limit:?}: {what}; logs in {}",
                self.folder.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Manager {
    fn new(rpc: u16, seed: u64) -> Self {
        let port = free_port();
        let control = Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), (Ipv4Addr::LOCALHOST, rpc).into(), seed);
        let (advertised, data): (SocketAddr, SocketAddr) = ((ADVERTISED, port).into(), (DATA, port).into());
        Self {
            process: None,
            port,
            control: control.expect("there is a free port"),
            data: Proxy::start(advertised, data, seed.rotate_left(32)).expect("the port is free there too"),
        }
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER)).build().into()
}
