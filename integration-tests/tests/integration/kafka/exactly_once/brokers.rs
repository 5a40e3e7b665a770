//! Brokers that die and stand still in the middle of transactions.

use std::time::{Duration, Instant};

use weir_chaos::servers::{Kafka, Topic};

use super::{Job, all, numbers};

#[test]
fn a_broker_that_is_killed_while_checkpoints_are_committed_loses_and_doubles_nothing() {
    let kafka = Kafka::with(|_| String::new());
    let topic = Topic::create(&kafka, "once", 2);
    let job = Job::new(&kafka, &topic.name, &[]);
    let mut writer = job.writer(1, 0);
    writer.checkpoint(1, 0..100);
    let mut next = 100;
    for round in 0..3 {
        // Killed somewhere within these transactions.
        for checkpoint in 0..10 {
            writer.write(next..next + 1000).unwrap();
            writer.prepare(100 * (round + 1) + checkpoint).unwrap();
            next += 1000;
        }
        writer.commit(100 * (round + 1) + 9);
        std::thread::sleep(Duration::from_millis(30 + 40 * round));
        kafka.restart(0);
        writer.wait_until_published(100 * (round + 1) + 9).unwrap();
    }
    assert_eq!(numbers(&topic), all(0..next));
}

/// Each of three brokers in turn is killed, so that coordinators and leaders of all topics move.
#[test]
fn coordinators_that_move_lose_and_double_nothing() {
    let kafka = Kafka::three();
    let topic = Topic::create(&kafka, "once", 3);
    let job = Job::new(&kafka, &topic.name, &[]);
    let mut writers = [job.writer(1, 0), job.writer(1, 1)];
    let (mut next, mut checkpoint) = (0, 1);
    for writer in &mut writers {
        // The first transaction makes the brokers' own topic, for which all of them must be there.
        writer.checkpoint(checkpoint, next..next + 100);
        next += 100;
    }
    for node in 0..3 {
        // Two may never be behind at once: what is acknowledged stands on two.
        kafka.wait_until_in_sync();
        let killed = Instant::now();
        kafka.kill(node);
        while killed.elapsed() < Duration::from_secs(6) {
            checkpoint += 1;
            for writer in &mut writers {
                writer.write(next..next + 100).unwrap();
                next += 100;
                writer.prepare(checkpoint).unwrap();
                writer.commit(checkpoint);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        kafka.restart(node);
        for writer in &mut writers {
            writer.wait_until_published(checkpoint).unwrap();
        }
    }
    assert_eq!(numbers(&topic), all(0..next));
}

#[test]
fn while_brokers_stand_still_the_writer_takes_barriers_and_no_more_rows_than_it_may() {
    let kafka = Kafka::with(|_| String::new());
    let topic = Topic::create(&kafka, "once", 1);
    let job = Job::new(&kafka, &topic.name, &[("sink.exactly-once.max-unpublished", "1 mb")]);
    let mut writer = job.writer(1, 0);
    writer.checkpoint(1, 0..10);
    kafka.pause(0);
    writer.write_with(10..1010, 2000).unwrap();
    writer.prepare(2).unwrap();
    // Not complete: it doesn't hold the next rows up, nor their barrier.
    writer.write_with(1010..2010, 2000).unwrap();
    writer.prepare(3).unwrap();
    writer.commit(3);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(writer.writer.poll_ready(&mut context).is_pending(), "two megabytes wait for the brokers");
    assert_eq!(writer.prepare(4).unwrap(), [], "a barrier goes through");
    kafka.resume(0);
    writer.wait_until_published(3).unwrap();
    assert!(writer.writer.poll_ready(&mut context).is_ready());
    assert_eq!(numbers(&topic), all(0..2010));
}
