//! Topics that change while they are read.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::time::{Duration, Instant};

use super::{LIMIT, cluster, copy, failure, number, numbers, table};
use crate::servers::{Kafka, Topic};

const EARLIEST: &str = "'format' = 'json', 'scan.startup.mode' = 'earliest-offset'";

#[test]
fn a_topic_grows_from_three_partitions_to_six() {
    let kafka = Kafka::one();
    let (from, to) = (Topic::create(kafka, "growing", 3), Topic::create(kafka, "growing-target", 1));
    from.produce((0..300).map(|n| number(n, i32::try_from(n % 3).expect("small"))));
    let options = format!("{EARLIEST}, 'scan.topic-partition-discovery.interval' = '500 ms'");
    let job = cluster()
        .submit(&copy(kafka.bootstrap(), &from.name, &to.name, &options), 2)
        .expect("the job is accepted");
    cluster().wait_until("what there is has been copied", LIMIT, || to.count() >= 300);
    from.grow(6);
    from.produce((300..900).map(|n| number(n, i32::try_from(n % 6).expect("small"))));
    cluster().wait_until("new partitions are copied from their first record on", LIMIT, || to.count() >= 900);
    assert_eq!(numbers(&to), (0..900).collect::<Vec<_>>());
    assert_eq!(cluster().state(&job), "RUNNING");
    cluster().cancel(&job);
}

#[test]
fn windows_fire_beside_an_idle_partition() {
    let kafka = Kafka::one();
    let (from, to) = (Topic::create(kafka, "idle", 2), Topic::create(kafka, "idle-target", 1));
    let sql = table(
        "source",
        "n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts",
        kafka.bootstrap(),
        &from.name,
        &format!("{EARLIEST}, 'scan.watermark.idle-timeout' = '500 ms'"),
    ) + &table("target", "n BIGINT", kafka.bootstrap(), &to.name, "'format' = 'json'")
        + "INSERT INTO target SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE source, DESCRIPTOR(ts), INTERVAL '10' SECOND))
           GROUP BY window_start, window_end";
    let job = cluster().submit(&sql, 1).expect("the job is accepted");
    from.produce([1_000, 2_000, 3_000, 15_000, 25_000].map(|n| number(n, 0)));
    cluster().wait_until("the first two windows fire", LIMIT, || to.count() >= 2);
    assert_eq!(numbers(&to), [1, 3]);
    cluster().cancel(&job);
}

#[test]
fn records_come_soon_where_few_come() {
    let kafka = Kafka::one();
    let (from, to) = (Topic::create(kafka, "soon", 1), Topic::create(kafka, "soon-target", 1));
    let job = cluster()
        .submit(&copy(kafka.bootstrap(), &from.name, &to.name, EARLIEST), 1)
        .expect("the job is accepted");
    from.produce([number(0, 0)]);
    cluster().wait_until("the first record is copied", LIMIT, || to.count() == 1);
    for n in 1..4 {
        let began = Instant::now();
        from.produce([number(n, 0)]);
        cluster()
            .wait_until("a record is copied", LIMIT, || to.count() == u64::try_from(n).expect("small") + 1);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    cluster().cancel(&job);
}

#[test]
fn a_deleted_topic_fails_the_job_and_a_remade_one_too() {
    let kafka = Kafka::one();
    for remake in [false, true] {
        let (from, to) = (Topic::create(kafka, "deleted", 1), Topic::create(kafka, "deleted-target", 1));
        from.produce((0..10).map(|n| number(n, 0)));
        let job = cluster()
            .submit(&copy(kafka.bootstrap(), &from.name, &to.name, EARLIEST), 1)
            .expect("the job is accepted");
        cluster().wait_until("what there is has been copied", LIMIT, || to.count() == 10);
        from.delete();
        if remake {
            // Longer than before, so that offsets alone don't tell.
            Topic::create_as(kafka, &from.name, 1, &[]).produce((100..200).map(|n| number(n, 0)));
        }
        assert_eq!(cluster().wait_for_end(&job, LIMIT), "FAILED");
        let failure = failure(cluster(), &job);
        let expected = if remake { "deleted and made again" } else { "was deleted" };
        assert!(failure.contains(expected) && failure.contains(&from.name), "{failure}");
    }
}

#[test]
fn offsets_out_of_retention_fail_the_job() {
    let kafka = Kafka::one();
    let (from, to) = (Topic::create(kafka, "retention", 1), Topic::create(kafka, "retention-target", 1));
    from.produce((0..100).map(|n| number(n, 0)));
    from.delete_before(0, 60);
    let options = "'format' = 'json', 'scan.startup.mode' = 'specific-offsets',
                   'scan.startup.specific-offsets' = 'partition:0,offset:10'";
    let job = cluster()
        .submit(&copy(kafka.bootstrap(), &from.name, &to.name, options), 1)
        .expect("the job is accepted");
    assert_eq!(cluster().wait_for_end(&job, LIMIT), "FAILED");
    let failure = failure(cluster(), &job);
    let place = format!("topic {}, partition 0, offset 10", from.name);
    assert!(failure.contains(&place) && failure.contains("50 records"), "{failure}");
    assert_eq!(to.count(), 0, "no silent jump");
}
