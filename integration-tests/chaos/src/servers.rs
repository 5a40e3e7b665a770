//! Real servers for the tests: Kafka brokers and an S3 gateway, as `setup/install.sh` has installed them.
//!
//! They listen on free ports of the loopback interface, keep their data in a folder of this process, and end with it, also when
//! it is killed. What one process leaves behind on disk, the next removes.

mod kafka;
mod s3;
mod topic;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use kafka::Kafka;
pub use s3::S3;
pub use topic::{Record, Topic};

/// The longest that a server may take to come up or to answer.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const PREFIX: &str = "weir-servers.";

/// Where `setup/install.sh` puts things.
fn cache() -> PathBuf {
    std::env::var_os("WEIR_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/weir"),
        PathBuf::from,
    )
}

/// A port that nobody listens on, different at each call, and below those from which the system takes the ports of outgoing
/// connections: one of them could take it before its server does.
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes side by side begin in different places.
    let start = std::process::id().wrapping_mul(37);
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("there is a free port")
}

/// A new folder for a server's data. Statics are never dropped, so it stays until the next test process removes it.
pub fn data_folder(name: &str) -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let root = ROOT.get_or_init(|| {
        let temporary = std::env::temp_dir();
        remove_leftovers(&temporary);
        temporary.join(format!("{PREFIX}{}", std::process::id()))
    });
    let folder = root.join(format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    folder
}

/// Removes the folders of processes that don't live any more.
fn remove_leftovers(temporary: &Path) {
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another test process may be removing it as well.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Waits for a condition of a server; panics where it takes too long.
#[expect(clippy::disallowed_methods, reason = "a test's deadline")]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(POLL);
    }
}
