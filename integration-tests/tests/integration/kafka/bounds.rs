//! Where reading begins and ends.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::{LIMIT, cluster, copy, number, numbers};
use crate::servers::{Kafka, Record, Topic};

/// When the first record was made, in milliseconds; each next one a second later.
const FIRST: i64 = 1_700_000_000_000;

fn commit(kafka: &Kafka, group: &str, topic: &str, offsets: &[i64]) {
    let consumer: BaseConsumer = kafka.client().set("group.id", group).create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        list.add_partition_offset(topic, partition, Offset::Offset(*offset)).expect("an offset");
    }
    consumer.commit(&list, CommitMode::Sync).expect("offsets are committed");
}

/// The numbers 0 to 9 in partition 0 and 100 to 109 in partition 1.
fn filled(kafka: &Kafka) -> Topic<'_> {
    let topic = Topic::create(kafka, "bounds", 2);
    topic.produce((0..20).map(|n| Record {
        timestamp: Some(FIRST + 1000 * (n % 10)),
        ..number(n % 10 + 100 * (n / 10), i32::try_from(n / 10).expect("0 or 1"))
    }));
    topic
}

#[test]
fn each_mode_begins_and_ends_where_it_says() {
    let kafka = Kafka::one();
    let topic = filled(kafka);
    let group = Topic::fresh_name("group");
    commit(kafka, &group, &topic.name, &[4, 7]);
    let of = |first: std::ops::Range<i64>, second: std::ops::Range<i64>| -> Vec<i64> {
        first.chain(second.map(|n| n + 100)).collect()
    };
    let earliest = "'scan.startup.mode' = 'earliest-offset'";
    let latest = "'scan.bounded.mode' = 'latest-offset'";
    let group_id = format!("'properties.group.id' = '{group}'");
    let at_fifth = FIRST + 4500;
    for (options, expected) in [
        (format!("{earliest}, {latest}"), of(0..10, 0..10)),
        (format!("{group_id}, {latest}"), of(4..10, 7..10)),
        (format!("'scan.startup.mode' = 'latest-offset', {latest}"), Vec::new()),
        (
            format!(
                "'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '{at_fifth}', {latest}"
            ),
            of(5..10, 5..10),
        ),
        (
            format!(
                "'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '{}', {latest}",
                FIRST * 2
            ),
            Vec::new(),
        ),
        (
            format!(
                "'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = 'partition:0,offset:8', {latest}"
            ),
            of(8..10, 0..10),
        ),
        (
            format!(
                "{earliest}, 'scan.bounded.mode' = 'specific-offsets', 'scan.bounded.specific-offsets' = 'partition:0,offset:3;partition:1,offset:0'"
            ),
            of(0..3, 0..0),
        ),
        (
            format!(
                "{earliest}, 'scan.bounded.mode' = 'timestamp', 'scan.bounded.timestamp-millis' = '{at_fifth}'"
            ),
            of(0..5, 0..5),
        ),
        (format!("{earliest}, {group_id}, 'scan.bounded.mode' = 'group-offsets'"), of(0..4, 0..7)),
        (
            format!("'properties.group.id' = 'none', 'properties.auto.offset.reset' = 'earliest', {latest}"),
            of(0..10, 0..10),
        ),
    ] {
        let target = Topic::create(kafka, "bounds-target", 1);
        let options = format!("'format' = 'json', {options}");
        cluster().run(&copy(kafka.bootstrap(), &topic.name, &target.name, &options), 2, LIMIT);
        assert_eq!(numbers(&target), expected, "{options}");
    }
}

#[test]
fn what_has_no_meaning_is_refused_when_the_job_is_submitted() {
    let kafka = Kafka::one();
    let topic = filled(kafka);
    let unknown = Topic::fresh_name("unknown");
    let earliest = "'scan.startup.mode' = 'earliest-offset'";
    for (name, options, expected) in [
        (unknown.as_str(), earliest.to_owned(), "there is no topic"),
        (&topic.name, "'properties.group.id' = 'nobody'".to_owned(), "auto.offset.reset"),
        (
            &topic.name,
            "'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = 'partition:7,offset:1'".to_owned(),
            "names partition 7",
        ),
        (
            &topic.name,
            format!("{earliest}, 'scan.bounded.mode' = 'specific-offsets', 'scan.bounded.specific-offsets' = 'partition:0,offset:1'"),
            "partition 1 ends",
        ),
    ] {
        let sql = copy(kafka.bootstrap(), name, &topic.name, &format!("'format' = 'json', {options}"));
        let error = submitted_or_failed(&sql);
        assert!(error.contains(expected), "{options}: {error}");
    }
}

/// The error of a submission, or that of the job if splits are looked for after it was accepted.
fn submitted_or_failed(sql: &str) -> String {
    match cluster().submit(sql, 1) {
        Err(error) => error,
        Ok(job) => {
            assert_eq!(cluster().wait_for_end(&job, LIMIT), "FAILED");
            super::failure(cluster(), &job)
        }
    }
}

#[test]
fn transactions_end_a_bounded_scan_where_they_end() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "transactions", 1);
    let producer: BaseProducer =
        kafka.client().set("transactional.id", &topic.name).create().expect("a producer");
    producer.init_transactions(LIMIT).expect("transactions begin");
    for (numbers, commits) in [(0..5, true), (5..10, false), (10..13, true), (13..16, false)] {
        producer.begin_transaction().expect("it begins");
        for n in numbers {
            let value = format!("{{\"n\":{n}}}");
            let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&topic.name).payload(value.as_bytes());
            producer.send(record).map_err(|(error, _)| error).expect("it is queued");
        }
        producer.flush(LIMIT).expect("it is written");
        if commits { producer.commit_transaction(LIMIT) } else { producer.abort_transaction(LIMIT) }
            .expect("it ends");
    }
    let committed: Vec<i64> = (0..5).chain(10..13).collect();
    for (isolation, expected) in
        [("read_committed", committed), ("read_uncommitted", (0..16).collect::<Vec<_>>())]
    {
        let target = Topic::create(kafka, "transactions-target", 1);
        let options = format!(
            "'format' = 'json', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
             'properties.isolation.level' = '{isolation}'"
        );
        cluster().run(&copy(kafka.bootstrap(), &topic.name, &target.name, &options), 1, LIMIT);
        assert_eq!(numbers(&target), expected, "{isolation}");
    }
}
