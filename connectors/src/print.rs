//! `print`: writes every row to the TaskManager's standard output or standard error.
//!
//! A line is `prefix+I[1, abc]`; the prefix is Flink's: `ID:task> `, `ID> `, `task> ` or nothing, where the task is counted
//! from 1 and shown only when there are several. Lines of one batch stay together.

use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Poll};

use weir_api::Batch;
use weir_api::connector::{Connector, OptionDescription};
use weir_api::error::{Code, Error, Result};
use weir_api::id::CheckpointId;
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::{Committable, Sink, SinkWriter, WriterContext};
use weir_api::source::Source;
use weir_proto::v1::TableSpec;

use crate::formats::{row, values};
use crate::handover::{Destination, Handover};
use crate::options::Options;
use crate::types;

const OPTIONS: &[OptionDescription] = &[
    OptionDescription {
        key: "print-identifier",
        required: false,
        default: Some(""),
        description: "A word that every line starts with.",
    },
    OptionDescription {
        key: "standard-error",
        required: false,
        default: Some("false"),
        description: "Write to standard error instead of standard output.",
    },
];

/// The connector `print`.
pub struct Print;

impl Connector for Print {
    fn identifier(&self) -> &'static str {
        "print"
    }

    fn options(&self) -> &'static [OptionDescription] {
        OPTIONS
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        Err(types::one_way(table, "written", "read"))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        let options = Options::new(table, OPTIONS);
        types::refuse_partitions(table)?;
        values::check(&table.name, "", types::declared(table)?.fields(), "connector 'print'")?;
        Ok(Arc::new(PrintSink {
            identifier: options.required("print-identifier")?.to_owned(),
            to_error: options.boolean("standard-error")?,
        }))
    }
}

struct PrintSink {
    identifier: String,
    to_error: bool,
}

/// What a line starts with.
fn prefix(identifier: &str, subtask: u32, parallelism: u32) -> String {
    match (identifier.is_empty(), parallelism > 1) {
        (true, false) => String::new(),
        (true, true) => format!("{}> ", subtask + 1),
        (false, false) => format!("{identifier}> "),
        (false, true) => format!("{identifier}:{}> ", subtask + 1),
    }
}

impl Sink for PrintSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let lines = Lines {
            prefix: prefix(&self.identifier, context.subtask, context.parallelism).into_bytes(),
            to_error: self.to_error,
            buffer: Vec::new(),
            metrics: context.metrics,
        };
        Ok(Box::new(PrintWriter(Handover::new(lines, context.io))))
    }

    fn accepts_changes(&self) -> bool {
        true
    }
}

struct PrintWriter(Handover<Lines>);

impl SinkWriter for PrintWriter {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_ready(context)
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.0.write(batch);
        Ok(())
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_flush(context)
    }

    fn poll_prepare(
        &mut self,
        _checkpoint: CheckpointId,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Committable>>> {
        self.0.poll_prepare(context)
    }
}

/// Writes rows as lines; standard output may be a pipe that nobody reads, so it never runs on a slot.
struct Lines {
    prefix: Vec<u8>,
    to_error: bool,
    buffer: Vec<u8>,
    metrics: Arc<OperatorMetrics>,
}

impl Destination for Lines {
    fn write(&mut self, batches: Vec<Batch>) -> Result<()> {
        for batch in batches {
            self.buffer.clear();
            row::write_rows(&mut self.buffer, &self.prefix, batch.records(), batch.kinds())?;
            if self.to_error {
                std::io::stderr().lock().write_all(&self.buffer)
            } else {
                std::io::stdout().lock().write_all(&self.buffer)
            }
            .map_err(|error| Error::new(Code::Io, "print rows").with_source(error))?;
            self.metrics.num_bytes_out.add(self.buffer.len() as u64);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let flushed = if self.to_error { std::io::stderr().flush() } else { std::io::stdout().flush() };
        flushed.map_err(|error| Error::new(Code::Io, "print rows").with_source(error))
    }

    fn prepare(&mut self) -> Result<Vec<Committable>> {
        self.flush()?;
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_flinks() {
        assert_eq!(prefix("", 0, 1), "");
        assert_eq!(prefix("", 1, 2), "2> ");
        assert_eq!(prefix("out", 0, 1), "out> ");
        assert_eq!(prefix("out", 2, 4), "out:3> ");
    }
}
