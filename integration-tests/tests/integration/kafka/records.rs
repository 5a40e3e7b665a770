//! Keys, values, and what stands beside them.

use super::{LIMIT, cluster, json, number, table};
use crate::servers::{Kafka, Record, Topic};

const BOUNDED: &str = "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";

#[test]
fn keys_headers_and_metadata_go_through() {
    let kafka = Kafka::one();
    let (from, to) = (Topic::create(kafka, "beside", 2), Topic::create(kafka, "beside-target", 1));
    let full = Record {
        partition: Some(1),
        key: Some(b"{\"id\":7}".to_vec()),
        timestamp: Some(1_436_918_400_123),
        headers: vec![
            ("h".to_owned(), Some(b"first".to_vec())),
            ("empty".to_owned(), None),
            ("h".to_owned(), Some(b"last".to_vec())),
        ],
        ..Record::of("{\"id\":1,\"name\":\"x\"}")
    };
    let tombstone = Record { value: None, ..full.clone() };
    let keyless = Record { key: None, headers: Vec::new(), ..full.clone() };
    from.produce([full, tombstone, keyless]);
    let key = "'key.format' = 'json', 'key.fields' = 'k_id', 'key.fields-prefix' = 'k_',
               'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'";
    let sql = table(
        "source",
        "k_id BIGINT, id BIGINT, name STRING,
         t STRING NOT NULL METADATA FROM 'topic' VIRTUAL, p INT METADATA FROM 'partition' VIRTUAL,
         o BIGINT METADATA FROM 'offset' VIRTUAL, e INT METADATA FROM 'leader-epoch' VIRTUAL,
         tt STRING METADATA FROM 'timestamp-type' VIRTUAL,
         headers MAP<STRING, BYTES> METADATA, `timestamp` TIMESTAMP_LTZ(3) METADATA",
        kafka.bootstrap(),
        &from.name,
        &format!("{key}, {BOUNDED}"),
    ) + &table(
        "target",
        "k_id BIGINT, id BIGINT, name STRING, t STRING, p INT, o BIGINT, e INT, tt STRING,
         headers MAP<STRING, BYTES> METADATA, `timestamp` TIMESTAMP_LTZ(3) METADATA",
        kafka.bootstrap(),
        &to.name,
        key,
    ) + "INSERT INTO target SELECT k_id, id, name, t, p, o, e, tt, headers, `timestamp` FROM source";
    cluster().run(&sql, 1, LIMIT);

    let read = to.read();
    assert_eq!(read.len(), 2, "a tombstone is no row: {read:?}");
    let expected = |offset: i64| serde_json::json!({ "id": 1, "name": "x", "t": from.name, "p": 1, "o": offset, "e": 0, "tt": "CreateTime" });
    assert_eq!((json(&read[0]), json(&read[1])), (expected(0), expected(2)));
    assert_eq!(read[0].key.as_deref(), Some(b"{\"id\":7}".as_slice()));
    assert_eq!(read[1].key.as_deref(), Some(b"{\"id\":null}".as_slice()));
    let mut headers = read[0].headers.clone();
    headers.sort();
    assert_eq!(headers, [("empty".to_owned(), None), ("h".to_owned(), Some(b"last".to_vec()))]);
    assert_eq!(read[1].headers, []);
    assert!(read.iter().all(|record| record.timestamp == Some(1_436_918_400_123)));
}

#[test]
fn several_topics_are_read_and_written_by_name_and_pattern() {
    let kafka = Kafka::one();
    let stem = Topic::fresh_name("several");
    let topics: Vec<_> =
        ["a", "b"].iter().map(|end| Topic::create_as(kafka, &format!("{stem}.{end}"), 2, &[])).collect();
    topics[0].produce((0..10).map(|n| number(n, 0)));
    topics[1].produce((10..30).map(|n| number(n, 1)));
    let targets: Vec<_> = (0..2).map(|_| Topic::create(kafka, "several-target", 1)).collect();
    // The rows of one topic go to the other's copy.
    let sql = table(
        "source",
        "n BIGINT, t STRING METADATA FROM 'topic' VIRTUAL",
        kafka.bootstrap(),
        "",
        &format!("'format' = 'json', {BOUNDED}"),
    )
    .replace("'topic' = ''", &format!("'topic-pattern' = '{}\\.[ab]'", stem))
        + &table(
            "target",
            "n BIGINT, t STRING METADATA FROM 'topic'",
            kafka.bootstrap(),
            &format!("{};{}", targets[0].name, targets[1].name),
            "'format' = 'json'",
        )
        + &format!(
            "INSERT INTO target SELECT n, CASE WHEN t = '{stem}.a' THEN '{}' ELSE '{}' END FROM source",
            targets[1].name, targets[0].name
        );
    cluster().run(&sql, 2, LIMIT);
    assert_eq!(super::numbers(&targets[1]), (0..10).collect::<Vec<_>>());
    assert_eq!(super::numbers(&targets[0]), (10..30).collect::<Vec<_>>());
}

#[test]
fn partitioners_put_records_where_they_say() {
    let kafka = Kafka::one();
    let from = Topic::create(kafka, "partitioners", 1);
    from.produce((0..3000).map(|n| number(n, 0)));
    let source =
        table("source", "n BIGINT", kafka.bootstrap(), &from.name, &format!("'format' = 'json', {BOUNDED}"));
    let counts = |options: &str| -> Vec<i64> {
        let to = Topic::create(kafka, "partitioners-target", 3);
        let target = table("target", "n BIGINT", kafka.bootstrap(), &to.name, options);
        cluster().run(&format!("{source}{target}INSERT INTO target SELECT n FROM source"), 1, LIMIT);
        to.offsets().iter().map(|(_, end)| *end).collect()
    };
    assert_eq!(counts("'format' = 'json', 'sink.partitioner' = 'fixed'"), [3000, 0, 0]);
    let round = counts("'format' = 'json', 'sink.partitioner' = 'round-robin'");
    assert!(round.iter().sum::<i64>() == 3000 && round.iter().all(|count| *count > 600), "{round:?}");
    let hasty = counts("'format' = 'json', 'sink.delivery-guarantee' = 'none'");
    assert_eq!(hasty.iter().sum::<i64>(), 3000, "a job that ends has written everything");
    // As Java's client and the fixture's own hash.
    let expected = Topic::create(kafka, "partitioners-expected", 3);
    expected.produce(
        (0..3000).map(|n| Record { key: Some(format!("{{\"n\":{n}}}").into_bytes()), ..Record::of("x") }),
    );
    let expected: Vec<i64> = expected.offsets().iter().map(|(_, end)| *end).collect();
    assert_eq!(counts("'format' = 'json', 'key.format' = 'json', 'key.fields' = 'n'"), expected);
}

#[test]
fn malformed_records_fail_or_are_kept_with_their_place() {
    let kafka = Kafka::one();
    let (from, to) = (Topic::create(kafka, "malformed", 1), Topic::create(kafka, "malformed-target", 1));
    let letters = Topic::create(kafka, "malformed-letters", 1);
    from.produce([number(1, 0), Record::of("{\"n\":").into_partition(0), number(3, 0)]);
    let sql = super::copy(kafka.bootstrap(), &from.name, &to.name, &format!("'format' = 'json', {BOUNDED}"));
    let job = cluster().submit(&sql, 1).expect("the job is accepted");
    assert_eq!(cluster().wait_for_end(&job, LIMIT), "FAILED");
    let failure = super::failure(cluster(), &job);
    assert!(failure.contains(&format!("topic {}, partition 0, offset 1", from.name)), "{failure}");

    let sql = table(
        "letters",
        "`position` STRING, raw BYTES",
        kafka.bootstrap(),
        &letters.name,
        "'format' = 'json'",
    ) + &sql.replacen(
        BOUNDED,
        &format!("{BOUNDED}, 'on-error' = 'dlq', 'on-error.dlq-table' = 'letters'"),
        1,
    );
    let fresh = Topic::create(kafka, "malformed-target", 1);
    let sql = sql.replace(&format!("'topic' = '{}'", to.name), &format!("'topic' = '{}'", fresh.name));
    cluster().run(&sql, 1, LIMIT);
    assert_eq!(super::numbers(&fresh), [1, 3]);
    let letters = letters.read();
    assert_eq!(letters.len(), 1);
    assert_eq!(json(&letters[0])["position"], format!("topic {}, partition 0, offset 1", from.name));
}
