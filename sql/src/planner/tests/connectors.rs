//! Connectors that read and write nothing.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use async_trait::async_trait;
use weir_api::Result;
use weir_api::connector::{Connector, ConnectorRegistry, MetadataDescription, OptionDescription};
use weir_api::error::{Code, Error};
use weir_api::sink::{Sink, SinkWriter, WriterContext};
use weir_api::source::{Boundedness, ReaderContext, Source, SourceReader};
use weir_proto::v1::{Predicate, Split, TableSpec, predicate};

pub fn registry() -> ConnectorRegistry {
    ConnectorRegistry::default()
        .with(TestConnector { identifier: "unbounded", boundedness: Boundedness::Unbounded, filters: false })
        .with(TestConnector { identifier: "filtering", boundedness: Boundedness::Unbounded, filters: true })
        .with(TestConnector { identifier: "ranging", boundedness: Boundedness::Unbounded, filters: true })
        .with(TestConnector { identifier: "values", boundedness: Boundedness::Bounded, filters: false })
        .with(TestConnector { identifier: "bounded", boundedness: Boundedness::Bounded, filters: false })
}

#[derive(Clone, Copy)]
struct TestConnector {
    identifier: &'static str,
    boundedness: Boundedness,
    /// Takes comparisons of integers for equality; `ranging` takes all.
    filters: bool,
}

const OPTIONS: &[OptionDescription] = &[
    OptionDescription { key: "scan.parallelism", required: false, default: None, description: "" },
    OptionDescription { key: "sink.parallelism", required: false, default: None, description: "" },
    OptionDescription { key: "scan.watermark.idle-timeout", required: false, default: None, description: "" },
    OptionDescription { key: "on-error", required: false, default: None, description: "" },
    OptionDescription { key: "splits", required: false, default: None, description: "" },
];

impl Connector for TestConnector {
    fn identifier(&self) -> &'static str {
        self.identifier
    }

    fn options(&self) -> &'static [OptionDescription] {
        OPTIONS
    }

    fn default_schema(&self) -> Option<SchemaRef> {
        None
    }

    fn metadata(&self, _: &TableSpec) -> Vec<MetadataDescription> {
        let column = |key, data_type, nullable, writable| MetadataDescription {
            key,
            data_type,
            nullable,
            writable,
            description: "",
        };
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        vec![
            column("offset", DataType::Int64, false, false),
            column("partition", DataType::Int32, false, false),
            column("timestamp", time, true, true),
            column("key", DataType::Binary, true, true),
        ]
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        let splits = table.options.get("splits").map(|text| text.parse().expect("a number"));
        Ok(Arc::new(TestSource { connector: *self, splits }))
    }

    fn sink(&self, _: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(TestSink))
    }
}

struct TestSource {
    connector: TestConnector,
    splits: Option<u32>,
}

#[async_trait]
impl Source for TestSource {
    fn boundedness(&self) -> Boundedness {
        self.connector.boundedness
    }

    fn accepts(&self, predicates: &[Predicate]) -> Vec<bool> {
        let takes = |predicate: &Predicate| {
            use weir_proto::v1::literal::Value;
            let value = predicate.literal.as_ref().and_then(|literal| literal.value.clone());
            self.connector.identifier == "ranging"
                || predicate.operator() == predicate::Operator::Eq && matches!(value, Some(Value::Integer(_)))
        };
        predicates.iter().map(|predicate| self.connector.filters && takes(predicate)).collect()
    }

    fn max_parallelism(&self) -> Option<u32> {
        self.splits
    }

    async fn discover(&self, _: u32) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }

    fn reader(&self, _: ReaderContext, _: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        Err(Error::new(
            Code::Unsupported,
            format!("{} reads nothing: {}", self.connector.identifier, DataType::Null),
        ))
    }
}

struct TestSink;

impl Sink for TestSink {
    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Err(Error::new(Code::Unsupported, "writes nothing"))
    }
}
