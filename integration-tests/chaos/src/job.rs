//! The job under test: one input, three shapes, an exactly-once topic each, and what comes late in a fourth.

use crate::workload::BOUND_SECONDS;

/// The topics of a round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topics {
    /// What is fed in.
    pub input: String,
    /// The records as they were.
    pub identity: String,
    /// Running counts.
    pub counts: String,
    /// Windows.
    pub windows: String,
    /// Late records.
    pub late: String,
}

impl Topics {
    /// The topics of the round of this name.
    #[must_use]
    pub fn of(round: &str) -> Self {
        let name = |topic: &str| format!("{round}-{topic}");
        Self {
            input: name("input"),
            identity: name("identity"),
            counts: name("counts"),
            windows: name("windows"),
            late: name("late"),
        }
    }

    /// Those that the job writes.
    #[must_use]
    pub fn outputs(&self) -> [&str; 4] {
        [&self.identity, &self.counts, &self.windows, &self.late]
    }
}

/// How the job's sinks write, and how often it takes checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Manner {
    /// `exactly-once`, or another one to see that the judge notices.
    pub guarantee: &'static str,
    /// Milliseconds between checkpoints.
    pub interval: u64,
    /// Milliseconds after which a checkpoint is given up.
    pub timeout: u64,
}

impl Default for Manner {
    fn default() -> Self {
        Self { guarantee: "exactly-once", interval: 400, timeout: 10_000 }
    }
}

/// The job's SQL. `checkpoints` is the URL under which its checkpoints go.
#[must_use]
pub fn sql(name: &str, brokers: &str, topics: &Topics, checkpoints: &str, manner: &Manner) -> String {
    let Manner { guarantee, interval, timeout } = manner;
    let kafka = |topic: &str| {
        format!(
            "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}', 'format' = 'json'"
        )
    };
    // With a key, records of one key stay in one partition, in their order.
    let keyed = "'key.format' = 'json', 'key.fields' = 'key', 'value.format' = 'json'";
    let sink = |topic: &str, keyed: &str| {
        let options = kafka(topic).replace("'format' = 'json'", keyed);
        let exactly = format!("'sink.delivery-guarantee' = '{guarantee}'");
        let prefix = format!("'sink.transactional-id-prefix' = '{topic}'");
        if *guarantee == "exactly-once" {
            format!("{options}, {exactly}, {prefix}")
        } else {
            format!("{options}, {exactly}")
        }
    };
    let plain = "'format' = 'json'";
    let record = "run BIGINT, p INT, seq BIGINT, `key` BIGINT, kseq BIGINT, ts TIMESTAMP(3), amount BIGINT, crc32 BIGINT";
    let input = kafka(&topics.input);
    let (identity, counts) = (sink(&topics.identity, keyed), sink(&topics.counts, keyed));
    let (windows, late) = (sink(&topics.windows, plain), sink(&topics.late, plain));
    format!(
        "SET 'pipeline.name' = '{name}';
SET 'execution.checkpointing.interval' = '{interval} ms';
SET 'execution.checkpointing.timeout' = '{timeout} ms';
SET 'execution.checkpointing.dir' = '{checkpoints}';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '10000';
SET 'restart-strategy.fixed-delay.delay' = '200 ms';
CREATE TABLE input ({record}, proc AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '{BOUND_SECONDS}' SECOND)
WITH ({input}, 'scan.startup.mode' = 'earliest-offset', 'late-data.policy' = 'side-output', 'late-data.table' = 'late');
CREATE TABLE identity ({record}) WITH ({identity});
CREATE TABLE counts (`key` BIGINT, n BIGINT, p INT, seq BIGINT) WITH ({counts});
CREATE TABLE windows (`key` BIGINT, window_start TIMESTAMP(3), n BIGINT, total BIGINT, least BIGINT, greatest BIGINT)
WITH ({windows});
CREATE TABLE late (source STRING, `row` STRING, watermark TIMESTAMP(3)) WITH ({late});
EXECUTE STATEMENT SET BEGIN
INSERT INTO identity SELECT run, p, seq, `key`, kseq, ts, amount, crc32 FROM input;
INSERT INTO counts SELECT `key`, COUNT(*) OVER (PARTITION BY `key` ORDER BY proc), p, seq FROM input;
INSERT INTO windows SELECT `key`, window_start, COUNT(*), SUM(amount), MIN(amount), MAX(amount)
FROM TABLE(TUMBLE(TABLE input, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY `key`, window_start, window_end;
END"
    )
}
