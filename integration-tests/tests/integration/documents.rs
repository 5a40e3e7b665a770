//! Every example in README and `docs/` runs as written.
//!
//! A block marked `sql` is a whole job: it is submitted, and must finish if it is bounded and run if it isn't. Where it names a Kafka
//! broker, there is one, and its topics hold some records. A block of declarations
//! alone must be refused for having nothing to run, and for nothing else. A block marked `sh`
//! is run by bash with `weir` on the path, against a running cluster, in the repository's folder; blocks that install or deploy
//! (`make`, `helm`, `docker`, `kubectl`, `systemctl`) are left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::process;
use crate::servers::{Kafka, Record, Topic};

const LIMIT: Duration = Duration::from_secs(60);
const ROOT: &str = "..";
const INSTALLING: &[&str] =
    &["make", "helm", "docker", "kubectl", "systemctl", "git", "weir local", "weir jobmanager"];

struct Example {
    place: String,
    language: String,
    text: String,
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![Path::new(ROOT).join("README.md")];
    let mut folders = vec![Path::new(ROOT).join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("docs can be listed").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn examples(language: &str) -> Vec<Example> {
    let mut found = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page can be read");
        let mut block: Option<Example> = None;
        for (number, line) in text.lines().enumerate() {
            match (&mut block, line.trim_start().strip_prefix("```")) {
                (None, Some(tag)) => {
                    let place = format!("{}:{}", page.display(), number + 1);
                    block = Some(Example { place, language: tag.trim().to_owned(), text: String::new() });
                }
                (Some(_), Some(_)) => found.extend(block.take()),
                (Some(example), None) => {
                    example.text.push_str(line);
                    example.text.push('\n');
                }
                (None, None) => {}
            }
        }
    }
    found.retain(|example| example.language == language);
    found
}

/// What a text of declarations alone is refused with.
const ONLY_DECLARATIONS: &str = "there is no INSERT INTO or SELECT in the text";
const BROKERS: &str = "'properties.bootstrap.servers' = '";
const TOPIC: &str = "'topic' = '";
/// It has the fields of every example that reads a topic.
const RECORD: &str = r#"{"card":1,"user_id":1,"amount":2.50,"url":"/","happened":"2024-05-01 12:00:00","at":"2024-05-01 12:00:00"}"#;

/// The texts that stand between `before` and a quote.
fn quoted<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split_once('\'')).map(|(name, _)| name).collect()
}

/// The example with a real broker, where the topics that it names exist.
fn with_broker(text: &str, topics: &mut BTreeSet<String>) -> String {
    let named = quoted(text, BROKERS);
    if named.is_empty() {
        return text.to_owned();
    }
    for name in quoted(text, TOPIC) {
        if topics.insert(name.to_owned()) {
            Topic::create_as(Kafka::one(), name, 2, &[]).produce([Record::of(RECORD)]);
        }
    }
    let real = |text: String, broker: &&str| text.replace(*broker, Kafka::one().bootstrap());
    named.iter().fold(text.to_owned(), real)
}

#[test]
fn sql_in_the_documents_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cluster = Cluster::start(1, 4, &[]);
    let examples = examples("sql");
    assert!(examples.len() >= 2, "the documents show SQL");
    let mut topics = BTreeSet::new();
    for example in examples {
        // Examples write below /tmp/weir; each test run has a folder of its own.
        let sql = example.text.replace("/tmp/weir", &folder.path().display().to_string());
        let sql = with_broker(&sql, &mut topics);
        let job = match cluster.submit(&sql, 1) {
            Ok(job) => job,
            Err(error) if error.contains(ONLY_DECLARATIONS) => continue,
            Err(error) => panic!("{}: {error}", example.place),
        };
        cluster.wait_until(&example.place, LIMIT, || {
            let state = cluster.state(&job);
            assert_ne!(
                state,
                "FAILED",
                "{}: {}",
                example.place,
                cluster.get(&format!("/jobs/{job}/exceptions"))
            );
            state == "FINISHED" || (state == "RUNNING" && cluster.vertex_metric(&job, "read-records") > 0)
        });
        // A bounded one may have ended since.
        let _ = ureq::patch(format!("{}/jobs/{job}?mode=cancel", cluster.rest)).send_empty();
        assert!(
            matches!(cluster.wait_for_end(&job, LIMIT).as_str(), "CANCELED" | "FINISHED"),
            "{}",
            example.place
        );
    }
}

#[test]
fn commands_in_the_documents_run() {
    let cluster = Cluster::start(1, 4, &[]);
    let binary = process::weir();
    let path = format!(
        "{}:{}",
        binary.parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let examples = examples("sh");
    assert!(!examples.is_empty(), "the documents show commands");
    for example in examples {
        let installs = |line: &str| INSTALLING.iter().any(|word| line.trim_start().starts_with(word));
        if example.text.lines().any(installs) {
            continue;
        }
        let rest = cluster.rest.trim_start_matches("http://");
        let script = example.text.replace("localhost:8081", rest);
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(ROOT)
            .env("PATH", &path)
            .env("WEIR_JOBMANAGER", rest)
            .output()
            .expect("bash runs");
        assert!(
            output.status.success(),
            "{}:\n{script}\n{}{}",
            example.place,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
