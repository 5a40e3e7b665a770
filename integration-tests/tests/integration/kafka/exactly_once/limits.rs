//! What is too much: for memory, for a message, for a transaction, for brokers that are away.

use weir_api::error::Code;
use weir_api::sink::WriterContext;
use weir_chaos::servers::{Kafka, Topic};

use super::{Job, all, numbers};

#[test]
fn an_interval_that_memory_doesnt_hold_goes_to_blobs_while_it_goes_on() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 2);
    let job = Job::new(kafka, &topic.name, &[]);
    let mut writer = job.writer(1, 0);
    writer.write_with(0..2500, 8 << 10).unwrap();
    assert_eq!(job.blobs.blobs.lock().unwrap().len(), 2, "before the barrier");
    writer.write_with(2500..5000, 8 << 10).unwrap();
    let manifest = writer.prepare(1).unwrap();
    let committable = &manifest[0].committable;
    assert_eq!(committable.blobs.len(), 5);
    assert!(committable.blobs.iter().all(|blob| blob.bytes < 9 << 20));
    assert!(committable.payload.len() < 1000, "{}", committable.payload.len());
    writer.commit(1);
    writer.wait_until_published(1).unwrap();
    assert_eq!(numbers(&topic), all(0..5000));
    // A small one needs none.
    let small = writer.checkpoint(2, 5000..5100);
    assert_eq!(small[0].committable.blobs, []);
    assert_eq!(numbers(&topic), all(0..5100));
    // What a writer of another process wrote, from the blobs alone.
    let mut writer = job.writer(2, 1);
    writer.write_with(5100..7600, 8 << 10).unwrap();
    let manifest = writer.prepare(3).unwrap();
    drop(writer);
    job.recover(2, 1, &manifest).unwrap();
    assert_eq!(numbers(&topic), all(0..7600));
}

#[test]
fn a_record_larger_than_the_topic_takes_fails_before_a_checkpoint_holds_it() {
    let kafka = Kafka::one();
    let topic = Topic::create_as(kafka, &Topic::fresh_name("once"), 1, &[("max.message.bytes", "20000")]);
    let job = Job::new(kafka, &topic.name, &[]);
    let mut writer = job.writer(1, 0);
    // More than a message in sum, each fits.
    writer.write_with(0..50, 15_000).unwrap();
    let manifest = writer.prepare(1).unwrap();
    writer.write_with(50..60, 15_000).unwrap();
    let second = writer.prepare(2).unwrap();
    writer.commit(1);
    writer.wait_until_published(1).unwrap();
    assert_eq!(numbers(&topic), all(0..50));
    let error = writer.write_with(50..51, 20_000).unwrap_err();
    assert_eq!(error.code(), Code::RecordTooLarge, "{}", error.chain());
    assert!(error.message().contains("max.message.bytes"), "{}", error.message());
    drop(writer);
    job.recover(1, 1, &[manifest, second].concat()).unwrap();
    assert_eq!(numbers(&topic), all(0..60), "the JobManager knows the limit as well");
}

#[test]
fn output_that_cant_be_published_is_named_and_goes_out_once_it_can() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 1);
    let job = Job::new(kafka, &topic.name, &[]);
    let mut writer = job.writer(1, 0);
    writer.write(0..100).unwrap();
    let manifest = writer.prepare(1).unwrap();
    topic.delete();
    writer.commit(1);
    let error = writer.wait_until_published(1).unwrap_err();
    assert_eq!(error.code(), Code::OutputUnpublished, "{}", error.chain());
    let id = format!("weir-{}-sink-1-0", job.job);
    for named in [topic.name.as_str(), &id, "checkpoint 1", "100 records"] {
        assert!(error.message().contains(named), "{named}: {}", error.message());
    }
    drop(writer);
    let topic = Topic::create_as(kafka, &topic.name, 1, &[]);
    job.recover(1, 1, &manifest).unwrap();
    assert_eq!(numbers(&topic), all(0..100));
}

#[test]
fn a_transaction_longer_than_the_brokers_allow_is_refused_and_so_is_a_job_without_checkpoints() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "once", 1);
    let job = Job::new(kafka, &topic.name, &[("properties.transaction.timeout.ms", "3600000")]);
    let error = job.writer(1, 0).write(0..1).unwrap_err();
    assert_eq!(error.code(), Code::TableOptions, "{}", error.chain());
    assert!(error.message().contains("transaction.max.timeout.ms"), "{}", error.message());

    let context = WriterContext {
        job: job.job,
        attempt: weir_api::id::Attempt(1),
        uid: super::UID.into(),
        subtask: 0,
        parallelism: 1,
        io: job.io.handle().clone(),
        metrics: std::sync::Arc::default(),
        blobs: None,
    };
    let error = job.sink.writer(context).map(|_| ()).unwrap_err();
    assert!(error.message().contains("execution.checkpointing.interval"), "{}", error.message());
}
