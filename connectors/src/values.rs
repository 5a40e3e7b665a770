//! `values`: the rows that a statement writes out itself, as VALUES or as a SELECT without FROM.
//!
//! The planner makes such tables; their rows are in an option, as an Arrow IPC stream in hexadecimal digits. One split, read by one
//! subtask, in the order of the statement.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::{Buffer, MessageHeader, root_as_message};
use async_trait::async_trait;
use weir_api::batch::TARGET_ROWS;
use weir_api::connector::{Connector, OptionDescription};
use weir_api::error::{Code, Error, Result};
use weir_api::sink::Sink;
use weir_api::source::{Boundedness, ReaderContext, Source, SourceEvent, SourceReader, SplitProgress};
use weir_proto::v1::{Split, TableSpec};

use crate::types;

const ROWS: &str = "rows";
/// What begins each message of an Arrow IPC stream.
const CONTINUATION: u32 = u32::MAX;

const OPTIONS: &[OptionDescription] = &[OptionDescription {
    key: ROWS,
    required: true,
    default: None,
    description: "The rows as an Arrow IPC stream, in hexadecimal digits. Made by the planner for VALUES and for SELECT without FROM: write those instead.",
}];

/// The connector `values`.
pub struct Values;

impl Connector for Values {
    fn identifier(&self) -> &'static str {
        "values"
    }

    fn options(&self) -> &'static [OptionDescription] {
        OPTIONS
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        let text = table.options.get(ROWS).map_or("", String::as_str);
        let refuse =
            |what: String| Error::new(Code::TableOptions, format!("table {}: '{ROWS}' {what}", table.name));
        let bytes = from_hex(text).ok_or_else(|| refuse("isn't in hexadecimal digits".to_owned()))?;
        let rows = decode(&bytes).map_err(|what| refuse(format!("doesn't hold rows: {what}")))?;
        let declared = types::declared(table)?;
        if rows.iter().any(|rows| rows.schema().fields() != declared.fields()) {
            return Err(refuse("has other columns than the table".to_owned()));
        }
        Ok(Arc::new(ValuesSource { rows }))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(types::one_way(table, "read", "written"))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

/// The batches of a stream; Arrow's reader panics on some that are malformed, and believes every length.
fn decode(bytes: &[u8]) -> std::result::Result<Vec<RecordBatch>, String> {
    check(bytes).ok_or("a length or a header isn't right")?;
    catch_unwind(|| {
        let reader = StreamReader::try_new(bytes, None).map_err(|error| error.to_string())?;
        reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| error.to_string())
    })
    .unwrap_or_else(|_| Err("the stream is malformed".to_owned()))
}

/// Checks that every message of a stream lies within it, buffers too, and that there are no more rows than bytes.
fn check(mut rest: &[u8]) -> Option<()> {
    let all = rest.len();
    let word = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?));
    loop {
        if word(rest)? != CONTINUATION {
            return None;
        }
        let length = usize::try_from(word(rest.get(4..)?)?).ok()?;
        if length == 0 {
            return (rest.len() == 8).then_some(());
        }
        let message = root_as_message(rest.get(8..8_usize.checked_add(length)?)?).ok()?;
        let body = usize::try_from(message.bodyLength()).ok()?;
        let end = 8_usize.checked_add(length)?.checked_add(body)?;
        match message.header_type() {
            MessageHeader::Schema => {}
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch()?;
                let rows = |length: i64| usize::try_from(length).is_ok_and(|length| length <= all);
                let within = |buffer: &Buffer| {
                    let end = usize::try_from(buffer.offset().checked_add(buffer.length())?).ok()?;
                    (buffer.offset() >= 0 && buffer.length() >= 0 && end <= body).then_some(())
                };
                batch.buffers()?.iter().try_for_each(within)?;
                if batch.compression().is_some()
                    || !rows(batch.length())
                    || !batch.nodes()?.iter().all(|node| rows(node.length()))
                {
                    return None;
                }
            }
            _ => return None,
        }
        rest = rest.get(end..)?;
    }
}

struct ValuesSource {
    rows: Vec<RecordBatch>,
}

#[async_trait]
impl Source for ValuesSource {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn max_parallelism(&self) -> Option<u32> {
        Some(1)
    }

    async fn discover(&self, _parallelism: u32) -> Result<Vec<Split>> {
        Ok(vec![Split { id: "rows".to_owned(), ..Split::default() }])
    }

    fn reader(&self, context: ReaderContext, splits: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        let rows = match splits.is_empty() {
            true => Vec::new(),
            false => self
                .rows
                .iter()
                .map(|rows| project(rows, &context.projected_schema))
                .collect::<Result<_>>()?,
        };
        let total = rows.iter().map(|rows| rows.num_rows() as u64).sum::<u64>();
        let progress = splits.first().map(SplitProgress::of);
        if let Some(SplitProgress::At(position)) = progress
            && position > total
        {
            let what = format!("{position} rows were read of VALUES that hold {total}");
            return Err(Error::new(Code::MalformedMessage, what));
        }
        Ok(Box::new(ValuesReader { rows, progress, end_is_told: false }))
    }
}

/// The columns of `schema`, of which structs may hold fewer fields.
fn project(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let column = rows.column_by_name(field.name());
            let column = column.ok_or_else(|| Error::internal(format!("no column '{}'", field.name())))?;
            narrowed(column, field.data_type())
        })
        .collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn narrowed(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let (Some(rows), DataType::Struct(fields)) = (column.as_struct_opt(), to) else {
        return Ok(Arc::clone(column));
    };
    let of_fields = |fields: &Fields| {
        fields
            .iter()
            .map(|field| {
                let column = rows.column_by_name(field.name());
                let column = column.ok_or_else(|| Error::internal(format!("no field '{}'", field.name())))?;
                narrowed(column, field.data_type())
            })
            .collect::<Result<Vec<_>>>()
    };
    Ok(Arc::new(StructArray::try_new(fields.clone(), of_fields(fields)?, rows.nulls().cloned())?))
}

struct ValuesReader {
    rows: Vec<RecordBatch>,
    /// How many rows have been handed over; none: the split is another subtask's.
    progress: Option<SplitProgress>,
    end_is_told: bool,
}

impl ValuesReader {
    /// The rows behind the first `position` of them, up to a full batch.
    fn batch(&self, position: u64) -> Option<RecordBatch> {
        let mut skipped = usize::try_from(position).ok()?;
        for rows in &self.rows {
            match rows.num_rows().checked_sub(skipped).filter(|left| *left > 0) {
                Some(left) => return Some(rows.slice(skipped, left.min(TARGET_ROWS))),
                None => skipped -= rows.num_rows(),
            }
        }
        None
    }
}

impl SourceReader for ValuesReader {
    fn poll_next(&mut self, _context: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>> {
        let position = match self.progress {
            None => return Poll::Ready(None),
            Some(SplitProgress::Ended) => None,
            Some(SplitProgress::Fresh) => Some(0),
            Some(SplitProgress::At(position)) => Some(position),
        };
        if let Some(position) = position
            && let Some(records) = self.batch(position)
        {
            self.progress = Some(SplitProgress::At(position + records.num_rows() as u64));
            return Poll::Ready(Some(Ok(SourceEvent::Records { split: 0, records })));
        }
        self.progress = Some(SplitProgress::Ended);
        let is_told = std::mem::replace(&mut self.end_is_told, true);
        Poll::Ready((!is_told).then_some(Ok(SourceEvent::SplitFinished { split: 0 })))
    }

    fn progress(&self) -> Option<Vec<SplitProgress>> {
        Some(self.progress.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{Field, Schema};
    use arrow::ipc::writer::StreamWriter;

    use super::*;
    use crate::testing::{local, read_with, reader_context, runtime, source, table};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn rows() -> RecordBatch {
        let fields =
            Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["x", "y"]))];
        let nested = StructArray::try_new(fields.clone(), columns, None).unwrap();
        let schema = Schema::new(vec![Field::new("r", DataType::Struct(fields), true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(nested)]).unwrap()
    }

    fn stream(rows: &RecordBatch) -> Vec<u8> {
        let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref()).unwrap();
        writer.write(rows).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    fn read(source: &Arc<dyn Source>, schema: &SchemaRef, parallelism: u32) -> RecordBatch {
        let runtime = runtime();
        let splits = local(source.discover(parallelism)).unwrap();
        read_with(source.as_ref(), reader_context(schema.clone(), runtime.handle().clone()), splits).unwrap()
    }

    #[test]
    fn rows_come_as_they_were_written_with_the_fields_that_are_asked_for() {
        let text = hex(&stream(&rows()));
        let values = source(&table("values", rows().schema_ref(), &[("rows", &text)])).unwrap();
        assert_eq!(read(&values, rows().schema_ref(), 2), rows());
        let fields = Fields::from(vec![Field::new("b", DataType::Utf8, true)]);
        let narrow = Arc::new(Schema::new(vec![Field::new("r", DataType::Struct(fields), true)]));
        let found = read(&values, &narrow, 1);
        let found = found.column(0).as_struct();
        assert_eq!(found.num_columns(), 1);
        assert_eq!(found.column(0).as_string::<i32>().value(1), "y");
    }

    #[test]
    fn what_holds_no_rows_is_refused() {
        let refused = |text: &str| source(&table("values", rows().schema_ref(), &[("rows", text)])).is_err();
        assert!(refused("0") && refused("zz") && refused("00112233"));
        let bytes = stream(&rows());
        for at in 0..bytes.len() {
            for damage in [0x55, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= damage;
                let _ = refused(&hex(&damaged));
            }
            assert!(refused(&hex(&bytes[..at])));
        }
        let other = Schema::new(vec![Field::new("n", DataType::Int32, true)]);
        assert!(source(&table("values", &other, &[("rows", &hex(&bytes))])).is_err());
    }
}
