//! An S3 gateway over a folder: what a job writes can be read from disk, and what is put on disk can be read by a job.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::{cache, data_folder, free_port, wait_until};
use crate::process::Process;

const VERSION: &str = "1.8.0";
const BUCKET: &str = "weir";
const ACCESS_KEY: &str = "testkey";
const SECRET_KEY: &str = "testsecret";

/// A running gateway with one bucket.
pub struct S3 {
    _process: Mutex<Process>,
    endpoint: String,
    folder: PathBuf,
}

impl S3 {
    /// The gateway that all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A gateway of the caller's own.
    pub fn start() -> Self {
        let binary = cache().join(format!("bin/versitygw-{VERSION}"));
        assert!(binary.exists(), "{} isn't there: `make setup` installs it", binary.display());
        let (folder, address) = (data_folder("s3"), format!("127.0.0.1:{}", free_port()));
        // A folder at the top is a bucket.
        std::fs::create_dir_all(folder.join("data").join(BUCKET)).expect("the folder is writable");
        let mut command = Command::new(binary);
        command
            .args(["--port", &address, "--health", "/health", "posix"])
            .arg(folder.join("data"))
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY);
        let output = File::create(folder.join("output")).expect("the folder is writable");
        let mut process = Process::server(&command, output);
        wait_until("the S3 gateway listens", || {
            let output = || std::fs::read_to_string(folder.join("output")).unwrap_or_default();
            assert!(process.is_alive(), "the S3 gateway has ended:\n{}", output());
            TcpStream::connect(&address).is_ok()
        });
        Self {
            _process: Mutex::new(process),
            endpoint: format!("http://{address}"),
            folder: folder.join("data"),
        }
    }

    /// The configuration with which a cluster reaches the gateway.
    pub fn options(&self) -> Vec<String> {
        vec![
            format!("s3.endpoint={}", self.endpoint),
            "s3.path-style-access=true".to_owned(),
            "s3.region=us-east-1".to_owned(),
            format!("s3.access-key={ACCESS_KEY}"),
            format!("s3.secret-key={SECRET_KEY}"),
        ]
    }

    /// A prefix in the bucket that nobody else uses: as a URL, and as the folder behind it.
    pub fn fresh(&self, name: &str) -> (String, PathBuf) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        (format!("s3://{BUCKET}/{prefix}"), self.folder.join(BUCKET).join(prefix))
    }

    /// `http://host:port` of the gateway.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}
