//! Does to a running cluster what the plan says, and undoes it.
//!
//! A strike ends when what it did is undone: processes run again and networks are good. What the cluster makes of it isn't looked
//! at here.

use std::path::PathBuf;
use std::time::Duration;

use crate::deployment::Deployment;
use crate::nemesis::{Act, Fault, Trouble, Who};
use crate::process::Process;
use crate::proxy::{Proxy, Rules};
use crate::stage::Stage;

/// The longest that an armed process may take to come to its point.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest that a stop may take.
const STOP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Who is struck.
pub struct Target<'a> {
    /// The cluster.
    pub deployment: Deployment,
    /// The servers.
    pub stage: &'a Stage,
    /// The job's id.
    pub job: String,
    /// Where savepoints go: a URL, and the folder behind it.
    pub savepoints: (String, PathBuf),
    /// The job's SQL, for when it goes on from a savepoint.
    pub sql: String,
}

impl Target<'_> {
    /// Strikes once; answers what came of it, for the round's record.
    pub fn strike(&mut self, fault: &Fault) -> String {
        match fault {
            Fault::Kill(who, down) => {
                let who = self.running(*who);
                self.kill(who);
                wait(*down);
                self.start(who, "");
                "killed".to_owned()
            }
            Fault::PowerCut(down) => {
                self.deployment.kill_jobmanager();
                (0..self.deployment.managers()).for_each(|index| self.deployment.kill_taskmanager(index));
                wait(*down);
                self.deployment.heal();
                "all killed".to_owned()
            }
            Fault::Pause(who, time) => {
                let who = self.running(*who);
                self.process(who).into_iter().for_each(|process| process.pause());
                wait(*time);
                self.process(who).into_iter().for_each(|process| process.resume());
                "paused".to_owned()
            }
            Fault::Point(who, point, act, visit, time) => self.point(*who, point, *act, *visit, *time),
            Fault::KillBroker(down) => {
                self.stage.kafka.kill(0);
                wait(*down);
                self.stage.kafka.restart(0);
                "broker killed".to_owned()
            }
            Fault::Storage(trouble, time) => in_trouble(&self.stage.s3_proxy, *trouble, *time),
            Fault::Control(index, trouble, time) => {
                in_trouble(&self.deployment.manager(self.wrapped(*index)).control, *trouble, *time)
            }
            Fault::Data(index, trouble, time) => {
                in_trouble(&self.deployment.manager(self.wrapped(*index)).data, *trouble, *time)
            }
            Fault::Rescale(parallelism) => self.rescale(*parallelism),
        }
    }

    /// Replaces a process by an armed one, waits until it has come to its point, and makes it good again.
    fn point(&mut self, who: Who, point: &str, act: Act, visit: u64, time: u64) -> String {
        let who = self.running(who);
        let word = match act {
            Act::Kill => "kill",
            Act::Stop => "stop",
            Act::Error => "error",
        };
        self.kill(who);
        let mark = format!("fail point {point}:");
        let before = self.log(who).matches(&mark).count();
        self.start(who, &format!("{point}={word}@{visit}"));
        if point.starts_with("savepoint") {
            self.deployment.ask_to_stop(&self.job, &self.savepoints.0, PATIENCE);
        }
        let patience = (0..).map(|n| POLL * n).take_while(|waited| *waited < PATIENCE);
        for _ in patience {
            if self.log(who).matches(&mark).count() > before {
                return self.reached(who, point, act, time);
            }
            std::thread::sleep(POLL);
        }
        format!("{point} not reached")
    }

    fn reached(&mut self, who: Who, point: &str, act: Act, time: u64) -> String {
        match act {
            Act::Kill => {
                // The line comes before the end.
                wait(50 + time);
                self.start(who, "");
            }
            Act::Stop => {
                wait(time);
                self.process(who).into_iter().for_each(|process| process.resume());
            }
            Act::Error => wait(100),
        }
        format!("{point} reached")
    }

    /// Stops the job with a savepoint and starts it from there; a stop that doesn't come to its end leaves the job as it is.
    fn rescale(&mut self, parallelism: u32) -> String {
        match self.deployment.stop_with_savepoint(&self.job, &self.savepoints.0, STOP) {
            Ok(savepoint) => self.go_on_from(&savepoint, parallelism),
            Err(reason) => format!("not stopped: {reason}"),
        }
    }

    /// Starts a job again that a stop has ended without anybody having heard of it.
    pub fn revive(&mut self) -> Option<String> {
        if self.deployment.state(&self.job).as_deref() != Some("FINISHED") {
            return None;
        }
        let whole = |folder: &std::fs::DirEntry| folder.path().join("_metadata").exists();
        let folders = std::fs::read_dir(&self.savepoints.1).into_iter().flatten().flatten().filter(whole);
        let newest = folders.max_by_key(|folder| folder.metadata().and_then(|data| data.modified()).ok())?;
        let savepoint = format!("{}/{}", self.savepoints.0, newest.file_name().to_string_lossy());
        Some(self.go_on_from(&savepoint, 2))
    }

    fn go_on_from(&mut self, savepoint: &str, parallelism: u32) -> String {
        let sql = format!("SET 'execution.state-recovery.path' = '{savepoint}';\n{}", self.sql);
        self.job = self.deployment.submit(&sql, parallelism);
        format!("went on at {parallelism}")
    }

    fn wrapped(&self, index: usize) -> usize {
        index % self.deployment.managers().max(1)
    }

    /// The process that is meant: a TaskManager that runs tasks, if it is known which do.
    fn running(&self, who: Who) -> Who {
        let Who::TaskManager(index) = who else { return who };
        let hosts = self.deployment.hosts(&self.job);
        let host = hosts.get(index % hosts.len().max(1)).copied();
        Who::TaskManager(host.unwrap_or_else(|| self.wrapped(index)))
    }

    fn process(&mut self, who: Who) -> Option<&mut Process> {
        match who {
            Who::JobManager => self.deployment.jobmanager(),
            Who::TaskManager(index) => self.deployment.taskmanager(index),
        }
    }

    fn kill(&mut self, who: Who) {
        match who {
            Who::JobManager => self.deployment.kill_jobmanager(),
            Who::TaskManager(index) => self.deployment.kill_taskmanager(index),
        }
    }

    fn start(&mut self, who: Who, fail_points: &str) {
        match who {
            Who::JobManager => self.deployment.start_jobmanager(fail_points),
            Who::TaskManager(index) => self.deployment.start_taskmanager(index, fail_points),
        }
    }

    fn log(&self, who: Who) -> String {
        let name = match who {
            Who::JobManager => "jobmanager".to_owned(),
            Who::TaskManager(index) => format!("tm-{index}"),
        };
        std::fs::read_to_string(self.deployment.log(&name)).unwrap_or_default()
    }
}

fn wait(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

fn in_trouble(proxy: &Proxy, trouble: Trouble, time: u64) -> String {
    proxy.set(rules(trouble));
    wait(time);
    proxy.heal();
    format!("{trouble:?}")
}

fn rules(trouble: Trouble) -> Rules {
    let good = Rules::default();
    match trouble {
        Trouble::Away => Rules::cut(),
        Trouble::Silent => Rules::blackhole(),
        Trouble::OneWay => Rules { holds_requests: true, ..good },
        Trouble::Slow => Rules { latency: Duration::from_millis(100), bytes_per_second: 200_000, ..good },
        Trouble::Unavailable => Rules { unavailable_one_in: 5, ..good },
        Trouble::LostAnswers => Rules { lose_answer_one_in: 5, ..good },
        Trouble::Truncated => Rules { truncate_one_in: 5, ..good },
        Trouble::Split => Rules { is_split: true, ..good },
        Trouble::Resets => Rules { reset_one_in: 100, ..good },
        Trouble::Flips => Rules { flip_one_in: 50, ..good },
    }
}
