//! Without trouble: what is visible when.

use weir_chaos::servers::{Kafka, Topic};

use super::{Job, all, numbers};

#[test]
fn output_is_visible_when_its_checkpoint_is_complete_and_not_before() {
    let kafka = Kafka::one();
    let (topic, progress) = (Topic::create(kafka, "once", 3), Topic::fresh_name("progress"));
    let job = Job::new(kafka, &topic.name, &[("sink.exactly-once.progress-topic", &progress)]);
    let mut writer = job.writer(1, 0);
    writer.write(0..3000).unwrap();
    let prepared = writer.prepare(1).unwrap();
    assert_eq!(prepared.len(), 1);
    writer.write(3000..4000).unwrap();
    assert_eq!(topic.count(), 0, "not even an open transaction");
    writer.commit(1);
    writer.wait_until_published(1).unwrap();
    assert_eq!(numbers(&topic), all(0..3000));

    writer.checkpoint(2, 4000..4000);
    assert_eq!(numbers(&topic), all(0..4000), "what came behind the barrier is the next checkpoint's");
    // The progress topic was made; it has a record and a mark for each transaction.
    let progress = Topic::named(kafka, &progress);
    progress.settle();
    assert_eq!(progress.offsets(), [(0, 4)]);
    for checkpoint in 3..20 {
        assert_eq!(writer.prepare(checkpoint).unwrap(), [], "nothing was written");
        writer.commit(checkpoint);
        writer.wait_until_published(checkpoint).unwrap();
    }
    assert_eq!(progress.offsets(), [(0, 4)], "empty checkpoints cost no transaction");
    let key = progress.read()[0].key.clone().unwrap();
    assert_eq!(String::from_utf8(key).unwrap(), format!("weir-{}-sink-1-0/{}/1", job.job, job.job));
}

#[test]
fn a_checkpoint_that_wasnt_completed_is_published_with_the_next() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 1);
    let job = Job::new(kafka, &topic.name, &[]);
    let mut writer = job.writer(1, 0);
    for checkpoint in 1..=3 {
        let start = i64::try_from(checkpoint).unwrap() * 100;
        writer.write(start..start + 100).unwrap();
        assert_eq!(writer.prepare(checkpoint).unwrap().len(), 1);
    }
    assert_eq!(writer.writer.committed(weir_api::id::CheckpointId(2)).0, 0);
    writer.commit(2);
    writer.wait_until_published(2).unwrap();
    assert_eq!(numbers(&topic), all(100..300));
    assert_eq!(writer.writer.committed(weir_api::id::CheckpointId(9)).0, 2, "3 is prepared");
    writer.commit(3);
    writer.wait_until_published(3).unwrap();
    assert_eq!(numbers(&topic), all(100..400));
}

#[test]
fn subtasks_and_keys_and_order_go_through() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 3);
    let keyed = [("key.format", "json"), ("key.fields", "n")];
    let job = Job::new(kafka, &topic.name, &keyed);
    let mut writers = [job.writer(1, 0), job.writer(1, 1)];
    for checkpoint in 1..=3 {
        for (writer, half) in writers.iter_mut().zip([0, 500]) {
            let start = i64::try_from(checkpoint).unwrap() * 1000 + half;
            writer.write(start..start + 500).unwrap();
            writer.prepare(checkpoint).unwrap();
        }
        for writer in &mut writers {
            writer.commit(checkpoint);
        }
    }
    for writer in &mut writers {
        writer.wait_until_published(3).unwrap();
    }
    assert_eq!(numbers(&topic), all(1000..4000));
    // Of each subtask, in each partition, in the order in which they were written.
    let records = topic.read();
    for partition in 0..3 {
        for half in [0..500, 500..1000] {
            let numbers: Vec<i64> = records
                .iter()
                .filter(|record| record.partition == Some(partition))
                .map(|record| super::super::json(record)["n"].as_i64().unwrap())
                .filter(|n| half.contains(&(n % 1000)))
                .collect();
            assert!(!numbers.is_empty() && numbers.is_sorted(), "{numbers:?}");
        }
    }
    assert!(records.iter().all(|record| {
        record.key.as_deref() == Some(format!("{{\"n\":{}}}", super::super::json(record)["n"]).as_bytes())
    }));
}
