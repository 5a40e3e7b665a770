//! A cluster of real processes: one JobManager, some TaskManagers.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Process;

/// The longest that anything but a job may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A running cluster; its processes end with it.
pub struct Cluster {
    // Dropped first, so that their loss of the JobManager isn't logged.
    /// Its TaskManagers, `tm-0` first.
    pub taskmanagers: Vec<Process>,
    /// Its JobManager.
    pub jobmanager: Process,
    /// `http://host:port` of the REST service.
    pub rest: String,
    rpc: String,
    next: usize,
    options: Vec<String>,
}

impl Cluster {
    /// Starts one JobManager and `taskmanagers` TaskManagers with `slots` slots each, and waits until all are registered.
    pub fn start(taskmanagers: usize, slots: u32, options: &[&str]) -> Self {
        let mut options: Vec<String> = options.iter().map(|option| format!("-D{option}")).collect();
        options.push(format!("-Dtaskmanager.numberOfTaskSlots={slots}"));
        let mut arguments =
            vec!["jobmanager".to_owned(), "-Drest.port=0".to_owned(), "-Djobmanager.rpc.port=0".to_owned()];
        arguments.extend(options.iter().cloned());
        let jobmanager = Process::weir(&arguments);
        let rest = jobmanager.wait_for_line("REST: ", LIMIT);
        let rpc = jobmanager.wait_for_line("RPC: ", LIMIT);
        let mut cluster = Self { jobmanager, taskmanagers: Vec::new(), rest, rpc, next: 0, options };
        for _ in 0..taskmanagers {
            cluster.add_taskmanager();
        }
        cluster.wait_for_taskmanagers(taskmanagers);
        cluster
    }

    /// Starts one more TaskManager.
    pub fn add_taskmanager(&mut self) {
        let (host, port) = self.rpc.rsplit_once(':').expect("host:port");
        let mut arguments = vec![
            "taskmanager".to_owned(),
            format!("-Djobmanager.rpc.address={host}"),
            format!("-Djobmanager.rpc.port={port}"),
            "-Dmetrics.reporter.prom.port=0".to_owned(),
            format!("-Dtaskmanager.resource-id=tm-{}", self.next),
        ];
        arguments.extend(self.options.iter().cloned());
        self.next += 1;
        self.taskmanagers.push(Process::weir(&arguments));
    }

    /// `host:port` of the JobManager's gRPC service.
    pub fn rpc(&self) -> &str {
        &self.rpc
    }

    /// The JobManager and all TaskManagers.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        std::iter::once(&mut self.jobmanager).chain(&mut self.taskmanagers)
    }

    /// Waits until exactly so many TaskManagers are registered.
    pub fn wait_for_taskmanagers(&self, count: usize) {
        self.wait_until("TaskManagers are registered", LIMIT, || {
            self.get("/overview")["taskmanagers"].as_u64() == Some(count as u64)
        });
    }

    /// Waits for a condition.
    pub fn wait_until(&self, what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + limit;
        while !condition() {
            assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// `GET path`, which must succeed.
    pub fn get(&self, path: &str) -> Value {
        let mut answer = ureq::get(format!("{}{path}", self.rest))
            .call()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        answer.body_mut().read_json().unwrap_or_else(|error| panic!("{path} answers JSON: {error}"))
    }

    /// Submits SQL; answers the job's id, or the server's error text.
    pub fn submit(&self, sql: &str, parallelism: u32) -> Result<String, String> {
        let body = serde_json::json!({ "sql": sql, "parallelism": parallelism });
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(format!("{}/v1/jobs", self.rest)).send_json(body).expect("REST answers");
        let status = answer.status();
        let answer: Value = answer.body_mut().read_json().expect("REST answers JSON");
        if status.is_success() {
            return Ok(answer["jobid"].as_str().expect("a job id").to_owned());
        }
        Err(answer["errors"].to_string())
    }

    /// The job's state.
    pub fn state(&self, job: &str) -> String {
        self.get(&format!("/jobs/{job}"))["state"].as_str().expect("a state").to_owned()
    }

    /// Waits for the job's end; answers its state.
    pub fn wait_for_end(&self, job: &str, limit: Duration) -> String {
        let mut state = String::new();
        self.wait_until(&format!("job {job} ends"), limit, || {
            state = self.state(job);
            matches!(state.as_str(), "FINISHED" | "FAILED" | "CANCELED")
        });
        state
    }

    /// Runs SQL to its end, which must be FINISHED; answers the job's id.
    pub fn run(&self, sql: &str, parallelism: u32, limit: Duration) -> String {
        let job = self.submit(sql, parallelism).unwrap_or_else(|error| panic!("{error}\nin\n{sql}"));
        let state = self.wait_for_end(&job, limit);
        let exceptions = self.get(&format!("/jobs/{job}/exceptions"));
        assert_eq!(state, "FINISHED", "{}\nin\n{sql}", exceptions["root-exception"]);
        job
    }

    /// Cancels a job and waits until it is.
    pub fn cancel(&self, job: &str) {
        ureq::patch(format!("{}/jobs/{job}?mode=cancel", self.rest))
            .send_empty()
            .expect("cancel is accepted");
        assert_eq!(self.wait_for_end(job, LIMIT), "CANCELED");
    }

    /// The sum of a metric over all vertices of a job.
    pub fn vertex_metric(&self, job: &str, metric: &str) -> u64 {
        let details = self.get(&format!("/jobs/{job}"));
        details["vertices"]
            .as_array()
            .expect("vertices")
            .iter()
            .filter_map(|vertex| vertex["metrics"][metric].as_u64())
            .sum()
    }

    /// How often the job was restarted.
    pub fn restarts(&self, job: &str) -> u64 {
        let answer = self.get(&format!("/jobs/{job}/metrics?get=numRestarts"));
        answer[0]["value"].as_str().and_then(|text| text.parse().ok()).expect("a number")
    }

    /// The sum of one of Flink's task metrics over all subtasks of a job.
    pub fn subtask_metric(&self, job: &str, metric: &str) -> u64 {
        let details = self.get(&format!("/jobs/{job}"));
        let of_vertex = |vertex: &Value| {
            let id = vertex["id"].as_str().expect("an id");
            let answer =
                self.get(&format!("/jobs/{job}/vertices/{id}/subtasks/metrics?get={metric}&agg=sum"));
            answer[0]["sum"].as_f64().unwrap_or(0.0) as u64
        };
        details["vertices"].as_array().expect("vertices").iter().map(of_vertex).sum()
    }
}

/// A path as it stands in SQL.
pub fn sql_path(path: &Path) -> String {
    path.to_str().expect("a readable path").replace('\'', "''")
}
