//! CPU-seconds per million records, of the whole process: bids as JSON from a topic of four partitions, and back into one.
//!
//! `cargo bench -p weir-connectors --bench kafka -- BROKERS [MILLIONS]` needs a running broker; it makes topics of its own.
//! Threads of the client library count. The allocator is the shipped binary's.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::expect_used, reason = "a benchmark")]

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use weir_api::clock::Clock;
use weir_api::connector::Connector;
use weir_api::id::{Attempt, JobId};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::WriterContext;
use weir_api::source::{ReaderContext, SourceEvent};
use weir_connectors::kafka::Kafka;
use weir_proto::v1::TableSpec;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// CPU time of the process: user and system.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = text.rsplit(')').next().expect("a name").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks");
    Duration::from_millis(ticks * 10)
}

struct SystemClock(Instant);

impl Clock for SystemClock {
    fn unix_millis(&self) -> i64 {
        0
    }

    fn monotonic_millis(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("auction", DataType::Int64, true),
        Field::new("bidder", DataType::Int64, true),
        Field::new("price", DataType::Int64, true),
        Field::new("channel", DataType::Utf8, true),
        Field::new("url", DataType::Utf8, true),
        Field::new("dateTime", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("extra", DataType::Utf8, true),
    ])
}

fn table(topic: &str, brokers: &str, options: &[(&str, &str)]) -> TableSpec {
    let mut all: HashMap<String, String> =
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    all.insert("topic".into(), topic.into());
    all.insert("format".into(), "json".into());
    all.insert("properties.bootstrap.servers".into(), brokers.into());
    TableSpec {
        name: "t".into(),
        connector: "kafka".into(),
        options: all,
        schema: weir_api::schema::encode(&schema()),
        ..TableSpec::default()
    }
}

fn create(brokers: &str, stem: &str, io: &tokio::runtime::Runtime) -> String {
    let name = format!("{stem}-{}", std::process::id());
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client");
    let topic = NewTopic::new(&name, 4, TopicReplication::Fixed(1));
    io.block_on(admin.create_topics([&topic], &AdminOptions::new())).expect("the topic is made");
    std::thread::sleep(Duration::from_secs(1));
    name
}

fn fill(brokers: &str, topic: &str, records: u64) -> u64 {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .expect("a producer");
    let extra = "abcdefghijklmnopqrstuvwxyz0123456789abcdefgh";
    let mut bytes = 0;
    for n in 0..records {
        let value = format!(
            "{{\"auction\":{},\"bidder\":{},\"price\":{},\"channel\":\"channel-{}\",\"url\":\"https://www.nexmark.com/item.htm?query=1&channel_id={}\",\"dateTime\":\"2015-07-15 00:{:02}:{:02}.{:03}\",\"extra\":\"{extra}\"}}",
            1000 + n % 977,
            1000 + n % 4999,
            n * 7919 % 1_000_000,
            n % 10_000,
            n * 31 % 1_000_000,
            n / 60_000 % 60,
            n / 1000 % 60,
            n % 1000
        );
        bytes += value.len() as u64;
        let partition = i32::try_from(n % 4).expect("small");
        let mut record: BaseRecord<'_, (), [u8]> =
            BaseRecord::to(topic).payload(value.as_bytes()).partition(partition);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(10));
        }
        if n % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(60)).expect("all is written");
    bytes / records
}

fn read(
    brokers: &str,
    topic: &str,
    io: &tokio::runtime::Runtime,
    mut take: impl FnMut(arrow::array::RecordBatch),
) -> (u64, u64) {
    let spec = table(
        topic,
        brokers,
        &[("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "latest-offset")],
    );
    let source = Kafka.source(&spec).expect("a source");
    let splits = io.block_on(source.discover(1)).expect("splits");
    let context = ReaderContext {
        projected_schema: Arc::new(schema()),
        filters: Vec::new(),
        subtask: 0,
        parallelism: 1,
        read_ahead_bytes: 16 << 20,
        io: io.handle().clone(),
        clock: Arc::new(SystemClock(Instant::now())),
        metrics: Arc::new(OperatorMetrics::default()),
    };
    let mut reader = source.reader(context, splits).expect("a reader");
    let slot = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    slot.block_on(async {
        let (mut rows, mut batches) = (0, 0);
        while let Some(event) = poll_fn(|context| reader.poll_next(context)).await {
            if let SourceEvent::Records { records, .. } = event.expect("records") {
                rows += records.num_rows() as u64;
                batches += 1;
                take(records);
            }
        }
        (rows, batches)
    })
}

fn write(brokers: &str, topic: &str, io: &tokio::runtime::Runtime, batches: Vec<arrow::array::RecordBatch>) {
    let sink = Kafka.sink(&table(topic, brokers, &[])).expect("a sink");
    let mut writer = sink
        .writer(WriterContext {
            job: JobId::from_bytes([1; 16]),
            attempt: Attempt(1),
            uid: "u".into(),
            subtask: 0,
            parallelism: 1,
            io: io.handle().clone(),
            blobs: None,
            metrics: Arc::new(OperatorMetrics::default()),
        })
        .expect("a writer");
    let slot = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    slot.block_on(async {
        for batch in batches {
            poll_fn(|context| writer.poll_ready(context)).await.expect("ready");
            writer.write(batch.into()).expect("taken");
        }
        poll_fn(|context| writer.poll_prepare(weir_api::id::CheckpointId(1), context))
            .await
            .expect("acknowledged");
    });
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let Some(brokers) = arguments.next() else {
        println!("kafka: left out, as no broker is named");
        return;
    };
    let millions: u64 = arguments.next().map_or(1, |text| text.parse().expect("a number"));
    let records = millions * 1_000_000;
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let topic = create(&brokers, "bench", &io);
    let bytes = fill(&brokers, &topic, records);
    println!("{records} records of {bytes} bytes");
    let report = |what: &str, cpu: Duration, wall: Duration, more: String| {
        println!(
            "{what}: {:.3} CPU-s/M, {:.0} records/s{more}",
            cpu.as_secs_f64() / millions as f64,
            records as f64 / wall.as_secs_f64()
        );
    };
    for _ in 0..3 {
        let (cpu, wall) = (cpu_time(), Instant::now());
        let (rows, batches) = read(&brokers, &topic, &io, drop);
        assert_eq!(rows, records);
        report("read", cpu_time() - cpu, wall.elapsed(), format!(", {} rows a batch", rows / batches));
    }
    let mut kept = Vec::new();
    read(&brokers, &topic, &io, |batch| kept.push(batch));
    let target = create(&brokers, "bench-target", &io);
    let (cpu, wall) = (cpu_time(), Instant::now());
    write(&brokers, &target, &io, kept);
    report("write", cpu_time() - cpu, wall.elapsed(), String::new());
}
