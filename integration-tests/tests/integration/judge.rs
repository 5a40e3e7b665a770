//! Asks DuckDB whether an answer is right.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};

use serde_json::{Value, json};

struct Judge {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

static JUDGE: OnceLock<Mutex<Judge>> = OnceLock::new();

fn judge() -> MutexGuard<'static, Judge> {
    let judge = JUDGE.get_or_init(|| {
        let python = std::env::var("WEIR_PYTHON").unwrap_or_else(|_| {
            let home = std::env::var("HOME").expect("HOME is set");
            format!("{home}/.cache/weir/venv/bin/python")
        });
        // Ends when its input is closed with this process.
        let mut child = Command::new(&python)
            .arg("judge/compare.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{python}: {error}; `make setup` installs it"));
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Mutex::new(Judge { _child: child, input, output })
    });
    judge.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How the rows of two queries differ.
#[derive(Debug)]
pub struct Verdict {
    pub expected_rows: u64,
    pub actual_rows: u64,
    pub missing: Value,
    pub unexpected: Value,
}

/// Compares two DuckDB queries as multisets of rows, after running `setup`.
pub fn compare(setup: &[String], expected: &str, actual: &str) -> Verdict {
    let mut judge = judge();
    let request = json!({ "setup": setup, "expected": expected, "actual": actual });
    writeln!(judge.input, "{request}").expect("the judge listens");
    let mut line = String::new();
    judge.output.read_line(&mut line).expect("the judge answers");
    let answer: Value = serde_json::from_str(&line).expect("the judge answers in JSON");
    assert!(answer["error"].is_null(), "DuckDB: {}\nexpected: {expected}\nactual: {actual}", answer["error"]);
    Verdict {
        expected_rows: answer["expected_rows"].as_u64().expect("a count"),
        actual_rows: answer["actual_rows"].as_u64().expect("a count"),
        missing: answer["missing"].clone(),
        unexpected: answer["unexpected"].clone(),
    }
}

/// Fails unless both queries answer the same rows, and at least one.
pub fn assert_same(what: &str, setup: &[String], expected: &str, actual: &str) -> u64 {
    let verdict = compare(setup, expected, actual);
    let empty = json!([]);
    assert!(
        verdict.missing == empty
            && verdict.unexpected == empty
            && verdict.expected_rows == verdict.actual_rows,
        "{what}: {verdict:#?}"
    );
    assert!(verdict.expected_rows > 0, "{what}: a comparison of nothing");
    verdict.expected_rows
}
