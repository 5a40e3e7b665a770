//! What people do to running jobs, as they do it: by the command line, on a real cluster, with files as output and DuckDB as judge.
//!
//! The job reads a paced generator and writes what it reads, and what it counts of it by auction and second. The generator is a pure
//! function of the event's number, so another one that isn't paced makes the same events: that is what must have come out, once,
//! however often the job was stopped and went on.

mod changes;
mod claims;
mod fallback;
mod inspect;
mod local;
mod rescale;
mod topics;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use weir_chaos::process::weir;

use crate::cluster::Cluster;
use crate::job::{events_table, file_options, table};
use crate::judge;

const LIMIT: Duration = Duration::from_secs(120);
const EVENTS: u64 = 240_000;
const PACE: &str = "'first-event.rate' = '15000', 'next-event.rate' = '15000', 'max-emit-speed' = 'false'";
const BID: &str = "auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3)";
const COUNT: &str = "auction BIGINT, window_end TIMESTAMP(3), bids BIGINT, total BIGINT";

/// What a command said.
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Answer {
    /// It has worked: what it printed.
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// It has worked and printed JSON.
    fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// It has ended with this code and said all of this.
    fn fails(self, code: i32, said: &[&str]) {
        let all = self.out + &self.err;
        assert_eq!(self.code, Some(code), "{all}");
        for words in said {
            assert!(all.contains(words), "'{words}' isn't in: {all}");
        }
    }
}

/// A cluster and where everything lies.
struct Stage {
    cluster: Cluster,
    folder: TempDir,
}

impl Stage {
    /// TaskManagers with two slots each; checkpoints every 300 ms that outlive their job.
    fn start(managers: usize, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let own = [
            "execution.checkpointing.interval=300 ms".to_owned(),
            "execution.checkpointing.externalized-checkpoint-retention=RETAIN_ON_CANCELLATION".to_owned(),
            format!("execution.checkpointing.dir=file://{}", at("checkpoints")),
            format!("jobmanager.metadata.dir={}", at("metadata")),
        ];
        let options: Vec<&str> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let cluster = Cluster::start(managers, 2, &options);
        Self { cluster, folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.at(name).display())
    }

    fn weir(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(weir());
        let address = self.cluster.rest.trim_start_matches("http://");
        command.args(arguments).env("WEIR_JOBMANAGER", address).env("WEIR_LOG", "warn");
        let output = command.output().expect("weir starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// A file with the job, which writes to `bids` and `counts` in this stage's folder.
    fn job(&self, name: &str, query: &Query<'_>) -> String {
        let sql = events_table(&source(PACE))
            + BIDS
            + &table("bids", BID, &file_options(&self.at(query.bids), "parquet"))
            + &table("counts", COUNT, &file_options(&self.at(query.counts), "parquet"))
            + &format!(
                "EXECUTE STATEMENT SET BEGIN
                 INSERT INTO bids SELECT * FROM bid;
                 INSERT INTO counts SELECT auction, window_end, COUNT(*), {}
                 FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' SECOND)
                 GROUP BY auction, window_start, window_end {};
                 END;",
                query.total, query.having
            );
        let path = self.at(name);
        std::fs::write(&path, sql).expect("the folder is writable");
        path.display().to_string()
    }

    /// Submits a job's file; its id.
    fn run(&self, file: &str, more: &[&str]) -> String {
        let arguments: Vec<&str> =
            ["run", "-d", "-o", "json", file].into_iter().chain(more.iter().copied()).collect();
        self.weir(&arguments).json()["jobid"].as_str().expect("a job id").to_owned()
    }

    /// Stops a job behind a savepoint; where that is.
    fn stop(&self, job: &str) -> String {
        let said = self.weir(&["stop", job, "-p", &self.url("savepoints"), "-o", "json"]).json();
        assert_eq!((said["jobid"].as_str(), self.cluster.state(job)), (Some(job), "FINISHED".to_owned()));
        said["location"].as_str().expect("a place").to_owned()
    }

    fn checkpoints(&self, job: &str) -> Value {
        self.cluster.get(&format!("/jobs/{job}/checkpoints"))
    }

    /// Waits until the job has taken so many more checkpoints while it read.
    fn wait_for_checkpoints(&self, job: &str, count: u64) {
        let completed = || self.checkpoints(job)["counts"]["completed"].as_u64().unwrap_or(0);
        let read = || self.cluster.vertex_metric(job, "read-records");
        let (before, read_before) = (completed(), read());
        self.cluster.wait_until("checkpoints are complete", LIMIT, || {
            completed() >= before + count && read() > read_before
        });
        assert_eq!(self.cluster.state(job), "RUNNING", "it is under load");
    }

    /// The bids that the generator makes, in a folder.
    fn reference(&self) -> String {
        let place = self.at("reference");
        if !place.exists() {
            let sql = events_table(&source(&PACE.replace("'false'", "'true'")))
                + BIDS
                + &table("bids", BID, &file_options(&place, "parquet"))
                + "INSERT INTO bids SELECT * FROM bid";
            self.cluster.run(&sql, 1, LIMIT);
        }
        parquet(&place)
    }

    /// Every bid and every count stands there once.
    fn assert_exact(&self, what: &str) {
        let reference = self.reference();
        let bids = format!("FROM {}", parquet(&self.at("bids")));
        judge::assert_same(&format!("{what}: bids"), &[], &format!("FROM {reference}"), &bids);
        let counts = format!("FROM {}", parquet(&self.at("counts")));
        judge::assert_same(&format!("{what}: counts"), &[], &counts_of(&reference), &counts);
    }
}

const BIDS: &str = "CREATE VIEW bid AS SELECT bid.auction, bid.bidder, bid.price, `dateTime` FROM events WHERE event_type = 2;\n";

/// What may differ between two versions of the job.
struct Query<'a> {
    bids: &'a str,
    counts: &'a str,
    total: &'a str,
    having: &'a str,
}

impl Default for Query<'_> {
    fn default() -> Self {
        Self { bids: "bids", counts: "counts", total: "SUM(price)", having: "" }
    }
}

fn source(pace: &str) -> String {
    format!("'connector' = 'nexmark', 'events.num' = '{EVENTS}', {pace}")
}

fn parquet(folder: &Path) -> String {
    format!("read_parquet('{}/*.parquet')", folder.display())
}

/// What DuckDB counts of bids.
fn counts_of(bids: &str) -> String {
    format!(
        "SELECT auction, time_bucket(INTERVAL 1 SECOND, \"dateTime\", TIMESTAMP '1970-01-01') + INTERVAL 1 SECOND AS window_end,
                count(*) AS bids, CAST(sum(price) AS BIGINT) AS total
         FROM {bids} GROUP BY ALL"
    )
}
