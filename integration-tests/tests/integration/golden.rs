//! Small queries with the answers that Flink's documents promise: the files `slt/*.slt`, one or more for each area.
//!
//! They are sqllogictest files. Declarations (`statement ok` with CREATE, SET and so on) are the file's session, which
//! stands before each query; a query's rows are what its SELECT prints, a text each, without their `+I`, or what SHOW and its like answer. `$DATA` is the
//! folder of the input files, `$LATE` a file of more than one batch, see [`late`]. Places in errors are counted from the statement's own first line.

#![expect(clippy::disallowed_methods, reason = "deadlines of processes under test")]

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

use crate::process::Process;

const FOLDER: &str = "slt";
/// The longest that a query, or the start of a cluster, may take.
const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(3);
/// Files that run at the same time, each on a cluster of its own.
const THREADS: usize = 2;
/// How many rows a source's batch has.
const BATCH_ROWS: usize = 8192;
/// What a text of declarations alone is refused with.
const ONLY_DECLARATIONS: &str = "there is no INSERT INTO or SELECT in the text";

#[test]
fn queries_answer_as_flinks_documents_say() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(FOLDER)
        .expect("the folder can be listed")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "{FOLDER} holds the files");
    let next = AtomicUsize::new(0);
    let run_files = || {
        let mut failures = Vec::new();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (_process, cluster) = Printing::start(folder.path());
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut runner =
                Runner::new(|| async { Ok(Session { cluster: &cluster, declared: String::new() }) });
            let records = sqllogictest::parse_file(file).expect("the file can be parsed");
            let errors = records.into_iter().filter_map(|record| runner.run(record).err());
            failures.extend(errors.map(|error| error.display(false).to_string()));
        }
        failures
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run_files)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no query hangs")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// A cluster in one process, whose standard output is a file: rows are printed into it.
struct Printing {
    output: PathBuf,
    rest: String,
    agent: ureq::Agent,
}

impl Printing {
    /// The cluster lives as long as its process.
    fn start(folder: &Path) -> (Process, Self) {
        let output = folder.join("output");
        let arguments = [
            "local",
            "-Drest.port=0",
            "-Djobmanager.rpc.port=0",
            "-Dmetrics.reporter.prom.port=0",
            "-Dtaskmanager.numberOfTaskSlots=2",
            // Keys cross between subtasks.
            "-Dparallelism.default=2",
            "-Drestart-strategy.type=none",
        ];
        let process = Process::weir_into(
            &arguments.map(str::to_owned),
            File::create(&output).expect("the output can be written"),
        );
        let deadline = Instant::now() + LIMIT;
        let rest = loop {
            let printed = std::fs::read_to_string(&output).expect("the output can be read");
            if let Some((rest, _)) = printed.split_once("REST: ").and_then(|(_, rest)| rest.split_once('\n'))
            {
                break rest.to_owned();
            }
            assert!(Instant::now() < deadline, "the cluster doesn't start: {printed}");
            std::thread::sleep(POLL);
        };
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        (process, Self { output, rest, agent })
    }

    fn get(&self, path: &str) -> Value {
        let mut answer = self.agent.get(format!("{}{path}", self.rest)).call().expect("REST answers");
        answer.body_mut().read_json().expect("REST answers JSON")
    }

    /// Runs a text to its end; answers the lines that it has printed.
    fn run(&self, sql: &str) -> Result<Vec<String>, Refused> {
        let mut output = File::open(&self.output).expect("the output can be read");
        output.seek(SeekFrom::End(0)).expect("a file");
        let mut answer = self
            .agent
            .post(format!("{}/v1/jobs", self.rest))
            .send_json(json!({ "sql": sql }))
            .expect("REST answers");
        let is_accepted = answer.status().is_success();
        let answer: Value = answer.body_mut().read_json().expect("REST answers JSON");
        if !is_accepted {
            let error = answer["errors"][0].as_str().expect("an error");
            let error = error.lines().next().unwrap_or_default();
            return Err(Refused(error.split_once("] ").map_or(error, |(_, message)| message).to_owned()));
        }
        let Some(job) = answer["jobid"].as_str() else { return Ok(answers(&answer["results"])) };
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.get(&format!("/jobs/{job}"))["state"].as_str() {
                Some("FINISHED") => break,
                Some("FAILED") => {
                    let exceptions = self.get(&format!("/jobs/{job}/exceptions"));
                    return Err(Refused(exceptions["root-exception"].to_string()));
                }
                _ => assert!(Instant::now() < deadline, "not within {LIMIT:?}:\n{sql}"),
            }
            std::thread::sleep(POLL);
        }
        let mut printed = String::new();
        output.read_to_string(&mut printed).expect("the output is text");
        Ok(printed.lines().map(row).collect())
    }
}

/// What statements that run nothing answer: a line for each row, its cells apart as those of printed rows.
fn answers(results: &Value) -> Vec<String> {
    let rows = results.as_array().into_iter().flatten().flat_map(|result| result["rows"].as_array());
    let cell = |cell: &Value| cell.as_str().unwrap_or("-").to_owned();
    let row = |row: &Value| row.as_array().into_iter().flatten().map(cell).collect::<Vec<_>>().join(", ");
    rows.flatten().flat_map(|value| row(value).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A printed row without the subtask that printed it and what kind of change it is.
fn row(line: &str) -> String {
    let row =
        line.split_once("> ").filter(|(task, _)| task.parse::<u32>().is_ok()).map_or(line, |(_, row)| row);
    let row = row.strip_prefix("+I[").and_then(|row| row.strip_suffix(']'));
    row.unwrap_or_else(|| panic!("'{line}' is no row")).to_owned()
}

/// Why a text doesn't run: the first line of the error, without its code.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// What a file has declared so far.
struct Session<'a> {
    cluster: &'a Printing,
    declared: String,
}

impl Session<'_> {
    /// The error with its place counted from the last statement's first line.
    fn placed(&self, error: Refused) -> Refused {
        let above = self.declared.lines().count();
        let moved =
            error.0.strip_prefix("line ").and_then(|rest| rest.split_once(',')).and_then(|(line, rest)| {
                let line = line.parse::<usize>().ok()?.checked_sub(above)?;
                Some(format!("line {line},{rest}"))
            });
        Refused(moved.unwrap_or(error.0))
    }
}

impl DB for Session<'_> {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let statement = sql.trim().trim_end_matches(';').replace("$DATA", &data()).replace("$LATE", &late());
        match self.cluster.run(&format!("{}{statement}", self.declared)) {
            Ok(lines) => Ok(DBOutput::Rows {
                types: vec![DefaultColumnType::Text],
                rows: lines.into_iter().map(|line| vec![line]).collect(),
            }),
            Err(Refused(error)) if error.contains(ONLY_DECLARATIONS) => {
                self.declared.push_str(&statement);
                self.declared.push_str("\n;\n");
                Ok(DBOutput::StatementComplete(0))
            }
            Err(error) => Err(self.placed(error)),
        }
    }

    fn engine_name(&self) -> &str {
        "weir"
    }
}

fn data() -> String {
    let data = std::path::absolute(Path::new(FOLDER).join("data")).expect("there is a working folder");
    crate::cluster::sql_path(&data)
}

/// `data/late/1.json`, empty records until a source's first batch is full, then `data/late/2.json`: as one file, which is one
/// stream, so what stands in the second part may be late.
fn late() -> String {
    static MADE: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    let (_folder, path) = MADE.get_or_init(|| {
        let part = |name: &str| {
            std::fs::read_to_string(Path::new(FOLDER).join("data/late").join(name))
                .expect("the data can be read")
        };
        let mut text = part("1.json");
        let filler = "{\"at\":\"2024-05-01 08:00:01\"}\n";
        text.push_str(&filler.repeat(BATCH_ROWS - text.lines().count()));
        text.push_str(&part("2.json"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("late.json");
        std::fs::write(&path, text).expect("the folder is writable");
        let path = crate::cluster::sql_path(&path);
        (folder, path)
    });
    path.clone()
}
