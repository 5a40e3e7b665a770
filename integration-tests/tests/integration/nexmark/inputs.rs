//! The same events in every place that a job can read them from, each made once.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::job::{
    EVENT_COLUMNS, events_table, file_options, kafka_options, nexmark_options, path_options, table,
};
use crate::servers::{Kafka, Record, S3, Topic};

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: usize = 4;
const BID_COLUMNS: &str = "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, \
                           `dateTime` TIMESTAMP(3), extra VARCHAR";

/// Where a job reads the events from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Generator,
    Json,
    Csv,
    Parquet,
    Kafka,
    S3,
}

impl Input {
    pub const ALL: [Self; 6] = [Self::Generator, Self::Json, Self::Csv, Self::Parquet, Self::Kafka, Self::S3];
}

/// The events of one seed.
pub struct Events {
    _folder: tempfile::TempDir,
    count: u64,
    pub parquet: PathBuf,
    json: PathBuf,
    csv: PathBuf,
    s3: String,
    topic: String,
}

impl Events {
    /// Makes the events; the cluster must reach the S3 gateway.
    pub fn make(cluster: &Cluster, count: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let events = Self {
            count,
            parquet: path("parquet"),
            json: path("json"),
            csv: path("csv"),
            s3: S3::shared().fresh("events").0,
            topic: Topic::fresh_name("events"),
            _folder: folder,
        };
        let copies = [
            ("parquet_files", EVENT_COLUMNS, file_options(&events.parquet, "parquet")),
            ("json_files", EVENT_COLUMNS, file_options(&events.json, "json")),
            ("csv_files", BID_COLUMNS, file_options(&events.csv, "csv")),
            ("objects", EVENT_COLUMNS, path_options(&events.s3, "parquet")),
        ];
        for (name, columns, options) in copies {
            let (columns_read, filter) = if columns == BID_COLUMNS {
                (
                    "bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.`dateTime`, bid.extra",
                    "event_type = 2",
                )
            } else {
                ("event_type, person, auction, bid", "TRUE")
            };
            let sql = events_table(&nexmark_options(count))
                + &table(name, columns, &options)
                + &format!("INSERT INTO {name} SELECT {columns_read} FROM events WHERE {filter};");
            cluster.run(&sql, 2, LIMIT);
        }
        fill_topic(&events.topic, &events.json);
        events
    }

    /// The declarations of `bid`, and where rows hold rows of `person` and `auction` too, over this input.
    pub fn declare(&self, input: Input) -> String {
        let options = match input {
            Input::Csv => {
                let options = file_options(&self.csv, "csv");
                return super::text("flat_bids.sql").replace("OPTIONS", &options);
            }
            Input::Generator => nexmark_options(self.count),
            Input::Json => file_options(&self.json, "json"),
            Input::Parquet => file_options(&self.parquet, "parquet"),
            Input::Kafka => kafka_options(Kafka::one(), &self.topic, "json"),
            Input::S3 => path_options(&self.s3, "parquet"),
        };
        events_table(&options) + &super::text("tables.sql")
    }
}

/// Writes the lines into a topic: each partition has those of one file alone, in their order, as a stream with a watermark must.
fn fill_topic(name: &str, folder: &Path) {
    let topic = Topic::create_as(Kafka::one(), name, PARTITIONS as i32, &[]);
    let files = files(folder, "json");
    assert!(PARTITIONS.is_multiple_of(files.len()), "{files:?}");
    let each = PARTITIONS / files.len();
    let records = files.iter().enumerate().flat_map(|(index, file)| {
        let lines = BufReader::new(File::open(file).expect("the file was written")).split(b'\n');
        lines.enumerate().map(move |(number, line)| {
            let partition = index * each + number % each;
            Record::of(line.expect("the file can be read")).into_partition(partition as i32)
        })
    });
    topic.produce(records);
}

/// The files of a folder with this ending, by name.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// The events that the matrix reads.
pub fn shared(cluster: &Cluster, count: u64) -> &'static Events {
    static SHARED: OnceLock<Events> = OnceLock::new();
    let events = SHARED.get_or_init(|| Events::make(cluster, count));
    assert_eq!(events.count, count, "all tests read the same events");
    events
}
