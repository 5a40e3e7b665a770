//! A source that goes on where a checkpoint says, and tells its consumer group; or says what is gone.

#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::runtime::Runtime;
use weir_api::clock::Clock;
use weir_api::config::Configuration;
use weir_api::error::{Code, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::source::{ReaderContext, Source, SourceEvent, SourceReader, SplitProgress};
use weir_chaos::servers::{Kafka, Topic};
use weir_proto::v1::{Split, TableSpec};

use super::{LIMIT, number};

struct Stopped;

impl Clock for Stopped {
    fn unix_millis(&self) -> i64 {
        0
    }

    fn monotonic_millis(&self) -> u64 {
        0
    }
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("n", DataType::Int64, true)])
}

struct Table {
    source: Arc<dyn Source>,
    io: Runtime,
    metrics: Arc<OperatorMetrics>,
}

impl Table {
    fn new(kafka: &Kafka, topic: &str, options: &[(&str, &str)]) -> Self {
        let own = [
            ("connector", "kafka"),
            ("topic", topic),
            ("properties.bootstrap.servers", kafka.bootstrap()),
            ("scan.startup.mode", "earliest-offset"),
            ("format", "json"),
        ];
        let table = TableSpec {
            name: "t".into(),
            connector: "kafka".into(),
            options: own.iter().chain(options).map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            schema: weir_api::schema::encode(&schema()),
            ..TableSpec::default()
        };
        let source = weir_connectors::registry(&Configuration::default()).source(&table).unwrap();
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { source, io, metrics: Arc::default() }
    }

    fn splits(&self) -> Vec<Split> {
        self.io.block_on(self.source.discover(1)).unwrap()
    }

    fn reader(&self, splits: &[Split]) -> Box<dyn SourceReader> {
        let context = ReaderContext {
            projected_schema: Arc::new(schema()),
            filters: Vec::new(),
            subtask: 0,
            parallelism: 1,
            read_ahead_bytes: 8 << 20,
            io: self.io.handle().clone(),
            clock: Arc::new(Stopped),
            metrics: Arc::clone(&self.metrics),
        };
        self.source.reader(context, splits.to_vec()).unwrap()
    }
}

/// Reads until so many numbers have come and the reader says how far it is.
fn read(reader: &mut dyn SourceReader, count: usize) -> Result<(Vec<i64>, Vec<SplitProgress>)> {
    let slot = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut numbers = Vec::new();
    slot.block_on(async {
        loop {
            if let Some(progress) = reader.progress().filter(|_| numbers.len() >= count) {
                return Ok((numbers, progress));
            }
            let event = tokio::time::timeout(LIMIT, poll_fn(|context| reader.poll_next(context)));
            match event.await.expect("in time").transpose()? {
                Some(SourceEvent::Records { records, .. }) => {
                    numbers.extend(records.column(0).as_primitive::<Int64Type>().values());
                }
                Some(_) => {}
                None => return Ok((numbers, reader.progress().expect("it has ended"))),
            }
        }
    })
}

fn at(splits: &[Split], progress: &[SplitProgress]) -> Vec<Split> {
    let with = |(split, progress): (&Split, &SplitProgress)| {
        let position = match progress {
            SplitProgress::At(position) => Some(*position),
            _ => None,
        };
        Split { position, ended: *progress == SplitProgress::Ended, ..split.clone() }
    };
    splits.iter().zip(progress).map(with).collect()
}

fn committed(kafka: &Kafka, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = kafka.client().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let answer = consumer.committed_offsets(list, LIMIT).unwrap();
    answer.elements().iter().map(|one| one.offset().to_raw().filter(|offset| *offset >= 0)).collect()
}

#[test]
fn a_completed_checkpoint_tells_the_group_how_far_it_came() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "restores", 3);
    topic.produce((0..300).map(|n| number(n, i32::try_from(n % 2).unwrap())));
    let group = Topic::fresh_name("restores");
    let table = Table::new(kafka, &topic.name, &[("properties.group.id", &group)]);
    let splits = table.splits();
    let mut reader = table.reader(&splits);
    let (numbers, progress) = read(reader.as_mut(), 300).unwrap();
    assert_eq!(numbers.len(), 300);
    assert_eq!(committed(kafka, &group, &topic.name, 3), [None, None, None], "nothing is complete");
    reader.checkpoint_complete(&progress);
    let started = Instant::now();
    while table.metrics.commits_succeeded.get() == 0 {
        let failed = table.metrics.commits_failed.get();
        assert!(started.elapsed() < LIMIT && failed == 0, "not committed, {failed} failures");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The third had no record: whether it was read is nothing to tell, or its beginning.
    let offsets = committed(kafka, &group, &topic.name, 3);
    assert_eq!(offsets[..2], [Some(150), Some(150)]);
    assert!(matches!(offsets[2], None | Some(0)), "{offsets:?}");
    assert_eq!(table.metrics.commits_failed.get(), 0);

    let silent = Topic::fresh_name("restores");
    let off = ("properties.commit.offsets.on.checkpoint", "false");
    let table = Table::new(kafka, &topic.name, &[("properties.group.id", &silent), off]);
    let mut reader = table.reader(&splits);
    let (_, progress) = read(reader.as_mut(), 300).unwrap();
    reader.checkpoint_complete(&progress);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(committed(kafka, &silent, &topic.name, 3), [None, None, None]);
}

#[test]
fn reading_goes_on_at_a_position_and_what_is_gone_there_is_an_error() {
    let kafka = Kafka::one();
    let topic = Topic::create(kafka, "restores", 1);
    topic.produce((0..100).map(|n| number(n, 0)));
    let table = Table::new(kafka, &topic.name, &[]);
    let splits = table.splits();
    let restored = at(&splits, &[SplitProgress::At(40)]);
    let (numbers, progress) = read(table.reader(&restored).as_mut(), 60).unwrap();
    assert_eq!((numbers, progress), ((40..100).collect(), vec![SplitProgress::At(100)]));

    let fails = |position: u64, said: &[&str]| {
        let restored = at(&splits, &[SplitProgress::At(position)]);
        let error = read(table.reader(&restored).as_mut(), 1).unwrap_err();
        assert_eq!(error.code(), Code::RecordsLost, "{}", error.chain());
        for word in said {
            assert!(error.message().contains(word), "{word}: {}", error.message());
        }
    };
    fails(1000, &["partition 0, offset 1000", "ends at 100"]);
    topic.delete_before(0, 50);
    fails(40, &["partition 0, offset 40", "begins at 50"]);
    topic.delete();
    let topic = Topic::create_as(kafka, &topic.name, 1, &[]);
    topic.produce((0..100).map(|n| number(n, 0)));
    fails(60, &["deleted and made again"]);
}
