//! Tasks that die, stand still or come back too late, and the JobManager that publishes what they didn't.

use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_api::error::Code;
use weir_chaos::servers::{Kafka, Topic};

use super::{Job, all, numbers};

#[test]
fn killed_between_prepare_and_commit_and_committed_twice_and_late() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 2);
    let job = Job::new(kafka, &topic.name, &[]);
    let mut writer = job.writer(1, 0);
    let first = writer.checkpoint(1, 0..100);
    writer.write(100..200).unwrap();
    let second = writer.prepare(2).unwrap();
    writer.write(200..300).unwrap();
    let third = writer.prepare(3).unwrap();
    drop(writer);
    // Checkpoint 2 is the last that was completed; its manifest doesn't know that 1 is published.
    let manifest = [first.clone(), second.clone()].concat();
    for attempt in 1..4 {
        job.recover(attempt, 1, &manifest).unwrap();
        assert_eq!(numbers(&topic), all(0..200));
    }
    let mut writer = job.writer(4, 0);
    let fourth = writer.checkpoint(4, 200..300);
    assert_eq!(numbers(&topic), all(0..300));
    drop(writer);
    // Late: the manifest of a checkpoint before that. And never: 3 wasn't completed.
    job.recover(4, 1, &manifest).unwrap();
    job.recover(4, 1, &fourth).unwrap();
    assert_eq!(numbers(&topic), all(0..300));
    drop(third);
}

#[test]
fn what_more_subtasks_prepared_is_published_whatever_the_parallelism_is_now() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 2);
    let job = Job::new(kafka, &topic.name, &[]);
    let mut manifest = Vec::new();
    for subtask in 0..12 {
        let mut writer = job.writer(1, subtask);
        let start = i64::from(subtask) * 100;
        writer.write(start..start + 100).unwrap();
        manifest.extend(writer.prepare(1).unwrap());
    }
    job.recover(1, 1, &manifest).unwrap();
    assert_eq!(numbers(&topic), all(0..1200));
    let mut writer = job.writer(2, 0);
    writer.checkpoint(2, 1200..1300);
    job.recover(2, 3, &manifest).unwrap();
    assert_eq!(numbers(&topic), all(0..1300));
}

#[test]
fn a_zombie_that_hears_of_its_checkpoint_after_the_fence_publishes_nothing() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 2);
    let job = Job::new(kafka, &topic.name, &[]);
    let mut zombie = job.writer(1, 0);
    zombie.checkpoint(1, 0..100);
    zombie.write(100..200).unwrap();
    let manifest = zombie.prepare(2).unwrap();
    job.recover(1, 1, &manifest).unwrap();
    let mut writer = job.writer(2, 0);
    zombie.commit(2);
    let error = zombie.wait_until_published(2).unwrap_err();
    assert_eq!(error.code(), Code::Fenced, "{}", error.chain());
    writer.checkpoint(3, 200..300);
    assert_eq!(numbers(&topic), all(0..300));
}

/// The zombie stands still in the middle of its transaction, with records sent.
#[test]
fn a_zombie_that_goes_on_in_its_transaction_after_the_fence_publishes_nothing() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 2);
    let job = Job::new(kafka, &topic.name, &[]);
    let mut zombie = job.writer(1, 0);
    // Four chunks, of which the first ones are read back.
    zombie.write_with(0..3500, 8 << 10).unwrap();
    let manifest = zombie.prepare(1).unwrap();
    assert!(manifest[0].committable.blobs.len() >= 3, "{:?}", manifest[0].committable.blobs);
    job.blobs.shut();
    zombie.commit(1);
    while job.blobs.read.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let successor =
        Job { blobs: std::sync::Arc::new(super::Memory::default()), ..job_like(kafka, &topic, &job) };
    *successor.blobs.blobs.lock().unwrap() = job.blobs.blobs.lock().unwrap().clone();
    successor.recover(1, 1, &manifest).unwrap();
    assert_eq!(numbers(&topic), all(0..3500));
    job.blobs.open();
    let error = zombie.wait_until_published(1).unwrap_err();
    assert_eq!(error.code(), Code::Fenced, "{}", error.chain());
    successor.writer(2, 0).checkpoint(2, 3500..3600);
    assert_eq!(numbers(&topic), all(0..3600));
}

/// The same job in another process.
fn job_like(kafka: &Kafka, topic: &Topic<'_>, job: &Job) -> Job {
    Job { job: job.job, ..Job::new(kafka, &topic.name, &[]) }
}

#[test]
fn another_job_takes_a_savepoint_over_without_hurting_the_first() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 1);
    let (first, second) = (Job::new(kafka, &topic.name, &[]), Job::new(kafka, &topic.name, &[]));
    let mut writer = first.writer(1, 0);
    writer.checkpoint(1, 0..100);
    writer.write(100..200).unwrap();
    let savepoint = writer.prepare(2).unwrap();
    writer.checkpoint(3, 200..300);
    assert_eq!(numbers(&topic), all(0..300));
    // The savepoint's output is published already: the first job goes on undisturbed.
    second.recover(0, 1, &savepoint).unwrap();
    writer.checkpoint(4, 300..400);
    assert_eq!(numbers(&topic), all(0..400));
    // Here it isn't, and the first job has ended.
    writer.write(400..500).unwrap();
    let savepoint = writer.prepare(5).unwrap();
    drop(writer);
    second.recover(0, 1, &savepoint).unwrap();
    second.recover(1, 1, &savepoint).unwrap();
    assert_eq!(numbers(&topic), all(0..500));
}

#[test]
fn a_progress_topic_that_is_gone_is_an_error_that_says_how_to_go_on() {
    let kafka = Kafka::one();
    let (topic, name) = (Topic::create(kafka, "once", 1), Topic::fresh_name("progress"));
    let job = Job::new(kafka, &topic.name, &[("sink.exactly-once.progress-topic", &name)]);
    let mut writer = job.writer(1, 0);
    let manifest = writer.checkpoint(1, 0..100);
    drop(writer);
    let progress = Topic::named(kafka, &name);
    progress.delete();
    let error = job.recover(1, 1, &manifest).unwrap_err();
    assert_eq!(error.code(), Code::OutputUnknown, "{}", error.chain());
    let progress = Topic::create_as(kafka, &name, 1, &[("cleanup.policy", "compact")]);
    let error = job.recover(1, 1, &manifest).unwrap_err();
    assert_eq!(error.code(), Code::OutputUnknown, "{}", error.chain());
    assert!(error.message().contains("deleted and made again"), "{}", error.message());
    // As it says: the records are there, so this is written by hand.
    let quoted: Vec<&str> = error.message().split('\'').collect();
    let key = quoted.iter().find(|part| part.contains('/')).unwrap();
    let start = error.message().find("{\"checkpoint\"").unwrap();
    let end = start + error.message()[start..].find('}').unwrap() + 1;
    let record = weir_chaos::servers::Record {
        key: Some(key.as_bytes().to_vec()),
        ..weir_chaos::servers::Record::of(&error.message()[start..end])
    };
    progress.produce([record]);
    job.recover(1, 1, &manifest).unwrap();
    job.writer(2, 0).checkpoint(2, 100..200);
    assert_eq!(numbers(&topic), all(0..200));
}

#[test]
fn a_progress_topic_that_forgets_is_refused() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 1);
    let progress = Topic::create(kafka, "progress", 1);
    let job = Job::new(kafka, &topic.name, &[("sink.exactly-once.progress-topic", &progress.name)]);
    let error = job.writer(1, 0).write(0..1).unwrap_err();
    assert_eq!(error.code(), Code::TableOptions, "{}", error.chain());
    assert!(error.message().contains("cleanup.policy=delete"), "{}", error.message());
}
