//! `blackhole`: takes every row and drops it.

use std::sync::Arc;
use std::task::{Context, Poll};

use weir_api::Batch;
use weir_api::connector::{Connector, OptionDescription};
use weir_api::error::Result;
use weir_api::id::CheckpointId;
use weir_api::sink::{Committable, Sink, SinkWriter, WriterContext};
use weir_api::source::Source;
use weir_proto::v1::TableSpec;

use crate::types;

/// The connector `blackhole`.
pub struct Blackhole;

impl Connector for Blackhole {
    fn identifier(&self) -> &'static str {
        "blackhole"
    }

    fn options(&self) -> &'static [OptionDescription] {
        &[]
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        Err(types::one_way(table, "written", "read"))
    }

    fn sink(&self, _table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(BlackholeSink))
    }
}

struct BlackholeSink;

impl Sink for BlackholeSink {
    fn writer(&self, _context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(BlackholeWriter))
    }

    fn accepts_changes(&self) -> bool {
        true
    }
}

struct BlackholeWriter;

impl SinkWriter for BlackholeWriter {
    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, _batch: Batch) -> Result<()> {
        Ok(())
    }

    fn poll_flush(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_prepare(
        &mut self,
        _checkpoint: CheckpointId,
        _context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Committable>>> {
        Poll::Ready(Ok(Vec::new()))
    }
}
