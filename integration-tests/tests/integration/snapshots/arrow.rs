//! State files are Arrow files: the example of docs/snapshots.md, as it stands there, reads a real job's savepoint.

use std::process::Command;

use super::{cluster, complete, counts, files};

const PAGE: &str = include_str!("../../../../docs/snapshots.md");

/// The page's only block of Python.
fn example() -> &'static str {
    let (_, rest) = PAGE.split_once("```python\n").expect("the page has an example");
    rest.split_once("```").expect("it ends").0
}

#[test]
fn the_example_reads_the_state_of_a_real_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("checkpoints");
    let cluster =
        cluster(1, 2, &format!("file://{}", base.display()), &["execution.checkpointing.interval=200 ms"]);
    let job = cluster.submit(&counts(&folder.path().join("output"), 20_000, &[]), 2).expect("it is accepted");
    complete(&cluster, &job, 4);
    let target = format!("file://{}", folder.path().join("savepoints").display());
    let body = serde_json::json!({ "target-directory": target, "cancel-job": false });
    let asked = ureq::post(format!("{}/jobs/{job}/savepoints", cluster.rest)).send_json(body);
    let mut asked = asked.expect("a savepoint is accepted");
    let trigger: serde_json::Value = asked.body_mut().read_json().expect("JSON");
    let trigger = trigger["request-id"].as_str().expect("an id");
    let mut location = String::new();
    cluster.wait_until("the savepoint is complete", super::LIMIT, || {
        let status = cluster.get(&format!("/jobs/{job}/savepoints/{trigger}"));
        location = status["operation"]["location"].as_str().unwrap_or_default().to_owned();
        !location.is_empty()
    });
    cluster.cancel(&job);
    let savepoint = location.trim_start_matches("file://").to_owned();
    assert!(files(savepoint.as_ref()).iter().any(|file| file.extension().is_some_and(|it| it == "arrow")));

    let script = folder.path().join("example.py");
    std::fs::write(&script, example()).expect("the folder is writable");
    let python = std::env::var("WEIR_PYTHON").expect("WEIR_PYTHON is set: `make integration` does it");
    let ran = Command::new(python).arg(&script).arg(&savepoint).output().expect("Python runs");
    let (text, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{text}{errors}");
    println!("{text}");
    // Every bidder is in one file; what a window has counted is in a column.
    assert!(text.contains("__key_group") && text.contains("bidder") && text.contains(" rows"), "{text}");
    let rows: u64 = text
        .lines()
        .filter_map(|line| line.split(" rows").next()?.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!(rows > 100, "{text}");
}
