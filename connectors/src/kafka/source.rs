//! The source: checked options, splits found through [`Discovery`], readers over them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weir_api::error::{Code, Error, Result};
use weir_api::source::{Boundedness, ReaderContext, Source, SourceReader};
use weir_proto::v1::Split;

use super::decode::Decoder;
use super::discovery::Discovery;
use super::fetch;
use super::layout::Layout;
use super::properties::Properties;
use super::range;
use super::reader::{Parts, Reader};
use super::split::{Given, PartitionSplit};
use super::topics::Topics;
use crate::on_error::{Malformed, OnError};
use crate::options::Options;

/// A `kafka` table that is read.
pub struct KafkaSource {
    discovery: Arc<Discovery>,
    layout: Layout,
    on_error: OnError,
    interval: Option<Duration>,
}

impl KafkaSource {
    /// From the options of a table.
    pub fn new(options: &Options<'_>) -> Result<Self> {
        let properties = Properties::of(options)?;
        let topics = Topics::of(options)?;
        let start = range::start(options, &topics, &properties)?;
        let end = range::end(options, &topics, &properties)?;
        let layout = Layout::of(options)?;
        layout.value.format.check_read(&layout.table, &layout.value.fields)?;
        let mut ignores = layout.value.format.ignores_parse_errors();
        if let Some(key) = &layout.key {
            key.format.check_read(&layout.table, &key.fields)?;
            ignores |= key.format.ignores_parse_errors();
        }
        let on_error = OnError::of(options, ignores)?;
        let interval = options.duration("scan.topic-partition-discovery.interval")?;
        // What a bounded scan reads is fixed when it begins.
        let interval = (end.is_none() && !interval.is_zero()).then_some(interval);
        let table = options.table().name.clone();
        let discovery = Arc::new(Discovery { table, properties, topics, start, end });
        Ok(Self { discovery, layout, on_error, interval })
    }

    /// Asks the cluster on a thread that may block.
    async fn ask(
        &self,
        question: impl FnOnce(&Discovery) -> Result<Vec<PartitionSplit>> + Send + 'static,
    ) -> Result<Vec<Split>> {
        let discovery = Arc::clone(&self.discovery);
        let splits = tokio::task::spawn_blocking(move || question(&discovery)).await.map_err(|error| {
            Error::new(Code::Internal, "looking for Kafka partitions ended early").with_source(error)
        })??;
        splits.iter().map(PartitionSplit::encode).collect()
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn boundedness(&self) -> Boundedness {
        match self.discovery.end {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::Unbounded,
        }
    }

    async fn discover(&self, _parallelism: u32) -> Result<Vec<Split>> {
        self.ask(Discovery::first).await
    }

    fn discovery_interval(&self) -> Option<Duration> {
        self.interval
    }

    async fn discover_more(&self, known: &[Split]) -> Result<Vec<Split>> {
        let known = known.iter().map(PartitionSplit::of).collect::<Result<Vec<_>>>()?;
        self.ask(move |discovery| discovery.more(&known)).await
    }

    fn reader(&self, context: ReaderContext, splits: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        let splits = splits.iter().map(Given::of).collect::<Result<Vec<_>>>()?;
        let table = &self.discovery.table;
        let malformed = Malformed::new(table, self.on_error, context.clock, Arc::clone(&context.metrics));
        // Half of what may be read ahead waits as messages, half decoded.
        let bytes = context.read_ahead_bytes / 2;
        let parts = Parts {
            table: table.clone(),
            properties: self.discovery.properties.clone(),
            config: fetch::config(&self.discovery.properties, table, context.subtask, bytes),
            decoder: Decoder::new(&self.layout, context.projected_schema, malformed)?,
            metrics: context.metrics,
            bytes,
            more_may_come: self.interval.is_some(),
            reports: self.discovery.properties.commits_offsets
                && self.discovery.properties.group_id.is_some(),
        };
        Ok(Box::new(Reader::new(parts, splits, &context.io)))
    }
}
