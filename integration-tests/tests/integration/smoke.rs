//! The servers do what the tests rely on.

use std::io::Write;
use std::net::TcpStream;

use crate::servers::{Kafka, Record, S3, Topic, wait_until};

fn numbered(range: std::ops::Range<u32>, partitions: i32) -> impl Iterator<Item = Record> {
    range.map(move |n| Record::of(n.to_string()).into_partition(n.cast_signed() % partitions))
}

fn values(topic: &Topic<'_>) -> Vec<u32> {
    let mut values: Vec<u32> = topic
        .read()
        .into_iter()
        .map(|record| {
            String::from_utf8(record.value.expect("a value")).expect("text").parse().expect("a number")
        })
        .collect();
    values.sort_unstable();
    values
}

#[test]
fn a_topic_holds_what_is_written_until_it_is_deleted() {
    let topic = Topic::create(Kafka::one(), "smoke", 3);
    topic.produce(numbered(0..3000, 3));
    assert_eq!(topic.offsets(), [(0, 1000); 3]);
    assert_eq!(values(&topic), (0..3000).collect::<Vec<_>>());

    topic.delete_before(1, 900);
    assert_eq!(topic.offsets()[1], (900, 1000));
    topic.grow(6);
    let record = Record {
        partition: Some(5),
        key: Some(b"key".to_vec()),
        timestamp: Some(1_436_918_400_000),
        headers: vec![("a".to_owned(), Some(b"b".to_vec())), ("none".to_owned(), None)],
        ..Record::default()
    };
    topic.produce([record.clone()]);
    assert_eq!(topic.count(), 2101);
    let read = topic.read();
    let tombstone = read.iter().find(|record| record.partition == Some(5)).expect("it was written");
    assert_eq!(*tombstone, Record { offset: Some(0), ..record });
    topic.delete();
}

#[test]
fn records_of_more_than_sixteen_mebibytes_get_through() {
    let topic = Topic::create(Kafka::one(), "large", 1);
    topic.produce([Record::of(vec![b'x'; 20 << 20])]);
    assert_eq!(topic.read()[0].value.as_ref().map(Vec::len), Some(20 << 20));
    topic.delete();
}

#[test]
fn two_of_three_brokers_go_on() {
    let kafka = Kafka::three();
    let topic = Topic::create(&kafka, "replicated", 3);
    topic.produce(numbered(0..300, 3));
    kafka.kill(1);
    topic.produce(numbered(300..600, 3));
    assert_eq!(values(&topic), (0..600).collect::<Vec<_>>());
    kafka.restart(1);
    // Two may never be behind at once: what is acknowledged stands on two.
    kafka.wait_until_in_sync();
    kafka.pause(2);
    topic.produce(numbered(600..900, 3));
    kafka.resume(2);
    // Until it hears otherwise, the one that stood still takes itself for the leader that it was.
    wait_until("the newest records are seen", || values(&topic).len() >= 900);
    assert_eq!(values(&topic), (0..900).collect::<Vec<_>>());
}

#[test]
fn the_gateway_serves_what_stands_in_its_folder_to_nobody_without_the_key() {
    let s3 = S3::shared();
    let (url, folder) = s3.fresh("smoke");
    assert!(url.starts_with("s3://"), "{url}");
    std::fs::create_dir_all(&folder).expect("the folder is writable");
    std::fs::write(folder.join("object"), "secret").expect("the folder is writable");
    let mut stream =
        TcpStream::connect(s3.endpoint().trim_start_matches("http://")).expect("the gateway listens");
    let path = url.trim_start_matches("s3:/");
    write!(stream, "GET {path}/object HTTP/1.0\r\n\r\n").expect("the gateway listens");
    let answer = std::io::read_to_string(stream).expect("the gateway answers");
    assert!(answer.contains(" 403 "), "{answer}");
}
