//! The SQL of jobs that several tests run.

use std::path::Path;

use crate::cluster::sql_path;
use crate::servers::Kafka;

/// The columns of nexmark-flink's table.
pub const EVENT_COLUMNS: &str = "event_type INT,
    person ROW<id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
               `dateTime` TIMESTAMP(3), extra VARCHAR>,
    auction ROW<id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
                `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
    bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
            `dateTime` TIMESTAMP(3), extra VARCHAR>";

/// `CREATE TABLE events` over the generator or over files.
pub fn events_table(options: &str) -> String {
    format!(
        "CREATE TABLE events (\n    {EVENT_COLUMNS},
    `dateTime` AS CASE WHEN event_type = 0 THEN person.`dateTime` WHEN event_type = 1 THEN auction.`dateTime`
                       ELSE bid.`dateTime` END,
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH ({options});\n"
    )
}

/// The options of a bounded generator.
pub fn nexmark_options(events: u64) -> String {
    format!("'connector' = 'nexmark', 'events.num' = '{events}'")
}

/// The options of files.
pub fn file_options(path: &Path, format: &str) -> String {
    path_options(&sql_path(path), format)
}

/// The options of files or objects.
pub fn path_options(path: &str, format: &str) -> String {
    format!("'connector' = 'filesystem', 'path' = '{path}', 'format' = '{format}'")
}

/// The options of a topic that is read from its start to where it ends now; writing ignores how it is read.
pub fn kafka_options(kafka: &Kafka, topic: &str, format: &str) -> String {
    format!(
        "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', \
         'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = '{format}'",
        kafka.bootstrap()
    )
}

/// A table with these columns and options.
pub fn table(name: &str, columns: &str, options: &str) -> String {
    format!("CREATE TABLE {name} ({columns}) WITH ({options});\n")
}
