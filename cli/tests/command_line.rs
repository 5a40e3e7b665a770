//! The command line as a person meets it: help, mistakes, a job in this process.

#![expect(clippy::expect_used, reason = "a test that can't go on should say where")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn weir(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(arguments)
        .env_remove("WEIR_JOBMANAGER")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weir starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("weir reads its input");
    child.wait_with_output().expect("weir ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const NUMBERS: &str =
    "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence',
    'fields.n.start' = '1', 'fields.n.end' = '3');
    CREATE TABLE console (n BIGINT, twice BIGINT) WITH ('connector' = 'print');
    INSERT INTO console SELECT n, n * 2 FROM numbers;";

#[test]
fn help_names_every_verb() {
    let help = weir(&["--help"], "");
    assert!(help.status.success());
    let help = text(&help.stdout);
    for verb in ["local", "jobmanager", "taskmanager", "run", "list", "info", "cancel", "explain"] {
        assert!(help.contains(&format!("  {verb} ")), "{verb} is missing in\n{help}");
    }
}

#[test]
fn a_job_runs_in_this_process() {
    let run = weir(&["run", "--target", "local", "-"], NUMBERS);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let mut rows: Vec<String> =
        text(&run.stdout).lines().filter(|line| line.starts_with("+I")).map(str::to_owned).collect();
    rows.sort();
    assert_eq!(rows, ["+I[1, 2]", "+I[2, 4]", "+I[3, 6]"]);
}

#[test]
fn results_come_as_json_too() {
    let run = weir(&["run", "-t", "local", "-o", "json", "-"], NUMBERS);
    let output = text(&run.stdout);
    let json = &output[output.find('{').expect("a JSON object")..];
    // The rows are printed by the same process and may stand behind.
    let json = &json[..=json.rfind('}').expect("it ends")];
    let result: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(result["state"], "FINISHED");
    assert_eq!(result["jobid"].as_str().map(str::len), Some(32));
}

#[test]
fn a_mistake_in_sql_has_its_place_and_a_suggestion() {
    let run = weir(&["run", "-t", "local", "-"], &NUMBERS.replace("SELECT n,", "SELECT nn,"));
    assert_eq!(run.status.code(), Some(1));
    let error = text(&run.stderr);
    for part in ["error: [WEIR-1002] standard input: line 4, column 32:", "'nn'; did you mean 'n'?", "^"] {
        assert!(error.contains(part), "{part} is missing in\n{error}");
    }
}

#[test]
fn a_job_that_fails_says_why_and_exits_with_3() {
    let failing = NUMBERS.replace("n * 2", "10 / (n - 2)");
    let run = weir(&["run", "-t", "local", "-"], &failing);
    assert_eq!(run.status.code(), Some(3), "{}", text(&run.stderr));
    assert!(text(&run.stdout).contains("WEIR-2002"), "{}", text(&run.stdout));
}

#[test]
fn nobody_there_is_said_so() {
    let list = weir(&["list", "-m", "127.0.0.1:1"], "");
    assert_eq!(list.status.code(), Some(1));
    assert!(
        text(&list.stderr).contains("no JobManager answers at http://127.0.0.1:1"),
        "{}",
        text(&list.stderr)
    );
    assert_eq!(weir(&["run"], "").status.code(), Some(2), "wrong usage");
    let detached = weir(&["run", "-d", "-t", "local", "-"], NUMBERS);
    assert!(text(&detached.stderr).contains("can't be detached"));
}

#[test]
fn listeners_stay_on_loopback_unless_told_otherwise() {
    for arguments in [
        ["jobmanager", "-Drest.bind-address=0.0.0.0"].as_slice(),
        ["taskmanager", "-Dtaskmanager.bind-host=0.0.0.0"].as_slice(),
    ] {
        let process = weir(arguments, "");
        assert_eq!(process.status.code(), Some(1));
        assert!(text(&process.stderr).contains("--insecure"), "{}", text(&process.stderr));
    }
}

#[test]
fn unknown_keys_name_the_nearest() {
    let process = weir(&["jobmanager", "-Drest.prot=1"], "");
    assert!(text(&process.stderr).contains("did you mean 'rest.port'?"), "{}", text(&process.stderr));
}
