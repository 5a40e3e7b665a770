//! Child processes that never outlive the process that started them: a test, or a round of chaos.
//!
//! They are started through `setpriv --pdeathsig KILL`, so that they also end when the test process is killed. As the signal
//! comes when the *thread* that started them ends, one thread that lives as long as the process starts them all.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

type Request = (Command, Sender<std::io::Result<Child>>);

/// Lines of output that are kept for whoever waits for one.
const KEPT_LINES: usize = 1000;

static STARTER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();

/// The binary under test: `WEIR_BIN`, or `weir` beside the test binary's folder.
pub fn weir() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_BIN") {
        return path.into();
    }
    let own = std::env::current_exe().expect("this binary has a path");
    // A test is target/debug/deps/x, a binary target/debug/x.
    let mut folders = own.ancestors().skip(1).take(2);
    folders
        .find_map(|folder| Some(folder.join("weir")).filter(|path| path.is_file()))
        .expect("`weir` is built: run `cargo build --workspace`")
}

/// A child that is killed when it is dropped; its standard output comes line by line.
pub struct Process {
    child: Child,
    /// Behind a lock, so that tests can share a cluster.
    lines: Mutex<Receiver<String>>,
    lines_per_second: Arc<AtomicU64>,
}

impl Process {
    /// Starts `weir` with these arguments.
    pub fn weir(arguments: &[String]) -> Self {
        let mut command = command(arguments);
        command.stdout(Stdio::piped());
        let mut child = start(command).expect("weir starts");
        let output = BufReader::new(child.stdout.take().expect("the output is piped"));
        let (sender, lines) = sync_channel(KEPT_LINES);
        let lines_per_second = Arc::new(AtomicU64::new(u64::MAX));
        let limit = Arc::clone(&lines_per_second);
        // Ends with the child's output.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // What nobody waits for is dropped.
                let _ = sender.try_send(line);
                let limit = limit.load(Ordering::Relaxed);
                if limit != u64::MAX {
                    std::thread::sleep(Duration::from_secs(1) / u32::try_from(limit).unwrap_or(u32::MAX));
                }
            }
        });
        Self { child, lines: Mutex::new(lines), lines_per_second }
    }

    /// Starts `weir` with these arguments; all that it prints goes to a file instead of coming line by line.
    pub fn weir_into(arguments: &[String], output: std::fs::File) -> Self {
        let mut command = command(arguments);
        command.stdout(output);
        let child = start(command).expect("weir starts");
        let (_, lines) = sync_channel(KEPT_LINES);
        Self { child, lines: Mutex::new(lines), lines_per_second: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Starts `weir` with these arguments and variables of its environment; all that it prints or logs is added to a file.
    pub fn weir_logging(arguments: &[String], variables: &[(&str, &str)], log: &std::path::Path) -> Self {
        let open =
            || std::fs::OpenOptions::new().create(true).append(true).open(log).expect("the log is writable");
        let mut command = command(arguments);
        command.envs(variables.iter().copied()).stdout(open()).stderr(open());
        let child = start(command).expect("weir starts");
        let (_, lines) = sync_channel(KEPT_LINES);
        Self { child, lines: Mutex::new(lines), lines_per_second: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Starts a server that isn't ours; all that it prints goes to a file.
    pub fn server(command: &Command, output: std::fs::File) -> Self {
        let mut wrapped = mortal(command.get_program());
        wrapped.args(command.get_args());
        for (name, value) in command.get_envs() {
            wrapped.env(name, value.unwrap_or_default());
        }
        wrapped.stderr(output.try_clone().expect("a file can be shared")).stdout(output);
        let child = start(wrapped).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (_, lines) = sync_channel(KEPT_LINES);
        Self { child, lines: Mutex::new(lines), lines_per_second: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Stops the process where it stands, as SIGSTOP does: its connections stay open and say nothing.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status();
        assert!(status.is_ok_and(|status| status.success()), "SIG{name} is sent");
    }

    /// Reads the process' standard output no faster than this from now on.
    pub fn limit_output(&self, lines_per_second: u64) {
        self.lines_per_second.store(lines_per_second, Ordering::Relaxed);
    }

    /// The rest of the first line that starts with `prefix`.
    pub fn wait_for_line(&self, prefix: &str, limit: Duration) -> String {
        let deadline = std::time::Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let line = self
                .lines
                .lock()
                .expect("no test panics while waiting for a line")
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no line `{prefix}…` within {limit:?}"));
            if let Some(rest) = line.strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills with SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether the process stands still, as after SIGSTOP.
    pub fn is_paused(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // `pid (name) state …`, and a name may hold anything.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(arguments: &[String]) -> Command {
    let mut command = mortal(weir().as_os_str());
    command.args(arguments);
    command.env("WEIR_LOG", std::env::var("WEIR_LOG").unwrap_or_else(|_| "warn".to_owned()));
    command
}

/// A command whose process ends with this one.
fn mortal(program: &std::ffi::OsStr) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

fn start(command: Command) -> std::io::Result<Child> {
    let starter = STARTER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (sender, answer) = channel();
    starter
        .lock()
        .expect("no test panics while starting")
        .send((command, sender))
        .expect("the starter lives");
    answer.recv().expect("the starter answers")
}
