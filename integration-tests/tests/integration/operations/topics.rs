//! `weir verify exactly-once` on a real topic, whoever wrote it.

use std::process::Command;

use serde_json::Value;
use weir_chaos::process::weir;

use crate::servers::{Kafka, Record, Topic};

fn record(key: &str, number: i64, partition: i32) -> Record {
    Record::of(format!("{{\"k\":\"{key}\",\"n\":{number}}}")).into_partition(partition)
}

/// Exit code and verdict.
fn verify(kafka: &Kafka, topic: &str) -> (Option<i32>, Value) {
    let mut command = Command::new(weir());
    command.args(["verify", "exactly-once", "--bootstrap", kafka.bootstrap(), "--topic", topic]);
    command.args(["--key", "k", "--sequence", "n", "-o", "json"]);
    let output = command.output().expect("weir starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let told = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
    (output.status.code(), told)
}

#[test]
fn a_topic_is_checked_for_what_is_lost_and_what_is_there_twice() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "verify", 2);
    topic.produce((1..=500).flat_map(|n| [record("a", n, 0), record("b", n, 1)]));
    let (code, told) = verify(kafka, &topic.name);
    assert_eq!((code, &told["exactly-once"]), (Some(0), &true.into()), "{told}");
    assert_eq!((&told["records"], &told["keys"]), (&1_000.into(), &2.into()), "{told}");

    topic.produce([record("a", 501, 0), record("a", 501, 0), record("b", 504, 1), record("c", 2, 1)]);
    let (code, told) = verify(kafka, &topic.name);
    assert_eq!((code, &told["exactly-once"]), (Some(1), &false.into()), "{told}");
    let counts = ["doubled", "lost", "out-of-order", "foreign"].map(|kind| told[kind].as_u64());
    assert_eq!(counts, [Some(1), Some(4), Some(0), Some(0)], "{told}");
    let violations = told["violations"].as_array().expect("violations");
    let lost = violations.iter().find(|one| one["key"] == "b").expect("what b lost");
    let places = [&lost["first"], &lost["last"], &lost["to"]["partition"], &lost["to"]["offset"]];
    assert_eq!(places.map(Value::as_i64), [501, 503, 1, 500].map(Some), "{told}");
    topic.delete();
}
