//! Connectors with options and schemas, which read and write nothing.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use weir_api::Result;
use weir_api::connector::{Connector, ConnectorRegistry, OptionDescription};
use weir_api::error::{Code, Error};
use weir_api::sink::{Sink, SinkWriter, WriterContext};
use weir_api::source::{Boundedness, ReaderContext, Source, SourceReader};
use weir_proto::v1::{Split, TableSpec};

/// `files`, which needs a path, and `events`, which has columns of its own.
pub(super) fn registry() -> ConnectorRegistry {
    ConnectorRegistry::default().with(Test::Files).with(Test::Events)
}

/// And `print`.
pub(super) fn registry_with_print() -> ConnectorRegistry {
    registry().with(Test::Print)
}

enum Test {
    Files,
    Events,
    Print,
}

const FILES: &[OptionDescription] = &[
    OptionDescription { key: "path", required: true, default: None, description: "where the files are" },
    OptionDescription { key: "fields.#.kind", required: false, default: None, description: "" },
];
const PRINT: &[OptionDescription] =
    &[OptionDescription { key: "print-identifier", required: false, default: None, description: "" }];
const EVENTS: &[OptionDescription] =
    &[OptionDescription { key: "rows-per-second", required: false, default: None, description: "" }];

impl Connector for Test {
    fn identifier(&self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Events => "events",
            Self::Print => "print",
        }
    }

    fn options(&self) -> &'static [OptionDescription] {
        match self {
            Self::Files => FILES,
            Self::Events => EVENTS,
            Self::Print => PRINT,
        }
    }

    fn default_schema(&self) -> Option<SchemaRef> {
        let fields = vec![
            Field::new("kind", DataType::Int32, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        ];
        matches!(self, Self::Events).then(|| Arc::new(Schema::new(fields)))
    }

    fn source(&self, _: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Nothing))
    }

    fn sink(&self, _: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Nothing))
    }
}

struct Nothing;

#[async_trait]
impl Source for Nothing {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    async fn discover(&self, _: u32) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }

    fn reader(&self, _: ReaderContext, _: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        Err(Error::new(Code::Unsupported, "reads nothing"))
    }
}

impl Sink for Nothing {
    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Err(Error::new(Code::Unsupported, "writes nothing"))
    }
}
