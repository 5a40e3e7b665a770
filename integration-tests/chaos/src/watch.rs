//! What a running job shows of itself, looked at from outside while it runs: checkpoints, attempts, records that were read again.
//!
//! All figures are lower bounds: what happens between two looks isn't seen. They decide only whether a round has shown anything,
//! never whether it was right.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

const INTERVAL: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_secs(2);

/// What has been seen so far.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    /// Checkpoints whose `_metadata` stood in the object store: job and checkpoint.
    pub checkpoints: BTreeSet<(String, u64)>,
    /// For each vertex and attempt, the most records that it had read.
    reads: BTreeMap<(String, u64), u64>,
    /// Attempts of each job.
    attempts: BTreeSet<(String, u64)>,
}

impl Seen {
    /// Attempts beyond the first of each job.
    #[must_use]
    pub fn restores(&self) -> u64 {
        let jobs: BTreeSet<&String> = self.attempts.iter().map(|(job, _)| job).collect();
        (self.attempts.len() - jobs.len()) as u64
    }

    /// How many records the vertex that read most has read, over all attempts.
    #[must_use]
    pub fn read(&self) -> u64 {
        let mut by_vertex: BTreeMap<&str, u64> = BTreeMap::new();
        for ((vertex, _), reads) in &self.reads {
            *by_vertex.entry(vertex).or_default() += reads;
        }
        by_vertex.into_values().max().unwrap_or(0)
    }

    /// Completed checkpoints.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.checkpoints.len() as u64
    }
}

/// Looks in a thread of its own until it is dropped.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look at all jobs of the cluster at `rest`, and at checkpoints in the folder behind the object store.
    #[must_use]
    pub fn start(rest: &str, checkpoints: &Path) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (shared, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let (rest, folder) = (rest.to_owned(), checkpoints.to_owned());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let found = checkpoints_in(&folder);
                locked(&shared).checkpoints.extend(found);
                let _ = look(&rest, &shared);
                std::thread::sleep(INTERVAL);
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `<folder>/<job>/chk-<id>/_metadata`.
fn checkpoints_in(folder: &Path) -> Vec<(String, u64)> {
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let jobs = entries(folder.to_owned());
    let all = jobs.flat_map(|job| {
        let name = job.file_name().to_string_lossy().into_owned();
        entries(job.path()).filter_map(move |entry| {
            let id = entry.file_name().to_str()?.strip_prefix("chk-")?.parse().ok()?;
            entry.path().join("_metadata").exists().then(|| (name.clone(), id))
        })
    });
    all.collect()
}

/// One look at all jobs; `None` where REST doesn't answer.
fn look(rest: &str, seen: &Mutex<Seen>) -> Option<()> {
    let jobs = get(rest, "/jobs")?;
    for job in jobs["jobs"].as_array()? {
        let job = job["id"].as_str()?;
        let details = get(rest, &format!("/jobs/{job}"))?;
        for vertex in details["vertices"].as_array()? {
            let id = vertex["id"].as_str()?;
            let subtasks = get(rest, &format!("/jobs/{job}/vertices/{id}"))?;
            let attempt =
                subtasks["subtasks"].as_array()?.iter().filter_map(|task| task["attempt"].as_u64()).max()?;
            let reads = vertex["metrics"]["read-records"].as_u64().unwrap_or(0);
            let mut seen = locked(seen);
            seen.attempts.insert((job.to_owned(), attempt));
            // A vertex keeps its id when the job goes on from a savepoint.
            let most = seen.reads.entry((id.to_owned(), attempt + (id_of(job) << 16))).or_default();
            *most = reads.max(*most);
        }
    }
    Some(())
}

/// Keeps attempts of different jobs apart.
fn id_of(job: &str) -> u64 {
    job.get(..8).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

fn get(rest: &str, path: &str) -> Option<Value> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER)).build().into();
    agent.get(format!("{rest}{path}")).call().ok()?.body_mut().read_json().ok()
}
