//! Files as tables: there and back in both formats, malformed lines, types, commits and aborts.

mod tables;

use std::fs;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    StringViewArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{sort_to_indices, take_record_batch};
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType,
};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use weir_api::Batch;
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error};
use weir_api::id::{Attempt, JobId};
use weir_api::source::{Boundedness, SourceEvent, SourceReader};
use weir_proto::v1::literal::Value;
use weir_proto::v1::predicate::Operator;
use weir_proto::v1::{Literal, MetadataColumn, Predicate, TableSpec};

use crate::testing::{
    local, read_with, read_with_letters, reader_context, runtime, sink, source, table, write_all,
    writer_context,
};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("time", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

fn rows(range: std::ops::Range<i64>) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(range.clone()));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter(range.clone().map(|n| (n % 5 != 0).then(|| format!("name {n}")))));
    let times: ArrayRef = Arc::new(arrow::array::TimestampMillisecondArray::from_iter_values(range));
    RecordBatch::try_new(schema(), vec![ids, names, times]).unwrap()
}

fn empty_for_null(rows: &RecordBatch) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    columns[1] = Arc::new(StringArray::from_iter_values(
        rows.column(1).as_string::<i32>().iter().map(Option::unwrap_or_default),
    ));
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

fn read(schema: &SchemaRef, path: &Path, options: &[(&str, &str)]) -> Result<(RecordBatch, u64), Error> {
    let io = runtime();
    let path = path.to_str().unwrap();
    let options: Vec<_> = options.iter().copied().chain([("path", path)]).collect();
    let source = source(&table("filesystem", schema, &options))?;
    let splits = io.block_on(source.discover(2))?;
    let context = reader_context(schema.clone(), io.handle().clone());
    let metrics = context.metrics.clone();
    let batch = read_with(source.as_ref(), context, splits)?;
    Ok((batch, metrics.num_records_in_errors.get()))
}

fn write(
    path: &Path,
    options: &[(&str, &str)],
    attempt: u32,
    batches: Vec<RecordBatch>,
) -> Vec<weir_api::sink::Committable> {
    let io = runtime();
    let sink = file_sink(path, options);
    let mut writer = sink.writer(writer_context(1, attempt, io.handle().clone())).unwrap();
    write_all(writer.as_mut(), batches.into_iter().map(Batch::new).collect()).unwrap()
}

fn file_sink(path: &Path, options: &[(&str, &str)]) -> Arc<dyn weir_api::sink::Sink> {
    let path = format!("file://{}", path.to_str().unwrap());
    let options: Vec<_> = options.iter().copied().chain([("path", path.as_str())]).collect();
    sink(&table("filesystem", &schema(), &options)).unwrap()
}

fn visible(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn all_formats_there_and_back() {
    for format in [
        vec![("format", "json")],
        vec![("format", "csv")],
        vec![("format", "csv"), ("csv.disable-quote-character", "true"), ("csv.null-literal", "NULL")],
        vec![("format", "parquet")],
        vec![("format", "parquet"), ("parquet.compression", "zstd")],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let batches: Vec<_> = (0..30).map(|n| rows(n * 1_000..(n + 1) * 1_000)).collect();
        let committables = write(&out, &format, 1, batches);
        assert_eq!(committables.len(), 1);
        assert_eq!(visible(&out), Vec::<String>::new(), "nothing can be seen before the commit");
        assert_eq!(read(&schema(), &out, &format).unwrap().0.num_rows(), 0);
        let io = runtime();
        let committer = file_sink(&out, &format).committer().unwrap();
        io.block_on(crate::testing::commit(committer.as_ref(), committables.clone())).unwrap();
        let names = visible(&out);
        io.block_on(crate::testing::commit(committer.as_ref(), committables))
            .expect("committing twice is committing once");
        assert_eq!(visible(&out), names);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "the hidden folder is gone");
        assert!(names[0].starts_with("part-") && names[0].contains("-1-0."), "{names:?}");
        let (back, _) = read(&schema(), &out, &format).unwrap();
        // CSV without a literal for null writes a null text as an empty one.
        let expected = if format.len() == 1 && format[0].1 == "csv" {
            empty_for_null(&rows(0..30_000))
        } else {
            rows(0..30_000)
        };
        assert_eq!(back, expected);
    }
}

#[test]
fn files_roll_and_no_rows_make_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let json = [("format", "json"), ("sink.rolling-policy.file-size", "50kb")];
    let committables =
        write(folder.path(), &json, 1, (0..10).map(|n| rows(n * 1_000..(n + 1) * 1_000)).collect());
    assert_eq!(committables.len(), 10);
    runtime()
        .block_on(crate::testing::commit(
            file_sink(folder.path(), &json).committer().unwrap().as_ref(),
            committables,
        ))
        .unwrap();
    assert_eq!(visible(folder.path()).len(), 10);
    assert_eq!(read(&schema(), folder.path(), &[("format", "json")]).unwrap().0.num_rows(), 10_000);
    assert!(write(folder.path(), &json, 2, Vec::new()).is_empty());
}

#[test]
fn an_abort_removes_what_the_jobs_attempts_left_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let json = [("format", "json")];
    let kept = write(folder.path(), &json, 3, vec![rows(0..10)]);
    write(folder.path(), &json, 1, vec![rows(0..10)]);
    write(folder.path(), &json, 2, vec![rows(0..10)]);
    fs::create_dir(folder.path().join(".weir-other")).unwrap();
    let io = runtime();
    let committer = file_sink(folder.path(), &json).committer().unwrap();
    let job = JobId::from_bytes([7; 16]);
    for _ in 0..2 {
        io.block_on(committer.abort(job, Attempt(2))).unwrap();
    }
    io.block_on(committer.abort(JobId::from_bytes([8; 16]), Attempt(9))).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    io.block_on(crate::testing::commit(committer.as_ref(), kept.clone())).unwrap();
    assert_eq!(visible(folder.path()).len(), 1);
    fs::remove_file(folder.path().join(&visible(folder.path())[0])).unwrap();
    let error =
        io.block_on(crate::testing::commit(committer.as_ref(), kept)).expect_err("what was prepared is lost");
    assert_eq!(error.code(), Code::OutputUnknown);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_visible() {
    let folder = tempfile::tempdir().unwrap();
    let io = runtime();
    let mut writer = file_sink(folder.path(), &[("format", "parquet")])
        .writer(writer_context(0, 1, io.handle().clone()))
        .unwrap();
    writer.write(Batch::new(rows(0..10))).unwrap();
    drop(writer);
    drop(io);
    assert_eq!(visible(folder.path()), Vec::<String>::new());
}

#[test]
fn a_malformed_line_names_file_line_byte_and_snippet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.json");
    let good = "{\"id\":1,\"name\":\"a\"}\r\n\n";
    let text = format!("\u{FEFF}{good}{good}{{\"id\":\"x\",\"name\":\"bad\"}}\n{{\"id\":2}}");
    fs::write(&path, &text).unwrap();
    let error = read(&schema(), &path, &[("format", "json")]).expect_err("malformed");
    assert_eq!(error.code(), Code::MalformedRecord);
    assert!(!error.is_restartable());
    let at = text.find("\"x\"").unwrap();
    let message = error.message();
    assert!(message.contains(&format!("in.json, line 5, byte {at}: \"x\" isn't a value of BIGINT, near `{{\"id\":\"x\",\"name\":\"bad\"}}`")), "{message}");
    for skip in [("on-error", "skip"), ("json.ignore-parse-errors", "true")] {
        let (batch, errors) = read(&schema(), &path, &[("format", "json"), skip]).unwrap();
        assert_eq!((batch.num_rows(), errors), (3, 1));
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().to_vec(), [1, 1, 2]);
    }
}

#[test]
fn hazards_of_json_files_are_counted_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let long = "y".repeat((16 << 20) + 1);
    let mut bytes = format!("{{\"id\":1}}\n{{\"name\":\"{long}\"}}\n{{\"id\":2}}\n[1]\n").into_bytes();
    bytes.extend_from_slice(b"{\"name\":\"\xFF\"}\n{\"id\":3}");
    fs::write(folder.path().join("a.json"), bytes).unwrap();
    let (batch, errors) =
        read(&schema(), folder.path(), &[("format", "json"), ("on-error", "skip")]).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().to_vec(), [1, 2, 3]);
    assert_eq!(errors, 3);
    let error = read(&schema(), folder.path(), &[("format", "json")]).expect_err("too long");
    assert!(error.message().contains("line 2, byte 9: a line longer than 16 MiB"), "{error}");
}

#[test]
fn dead_letters_say_where_what_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    let long = "y".repeat((16 << 20) + 1);
    let mut bytes = format!("{{\"id\":1}}\n{{\"name\":\"{long}\"}}\n{{\"id\":2}}\n[1]\n").into_bytes();
    bytes.extend_from_slice(b"{\"name\":\"\xFF\"}\n{\"id\":3}");
    fs::write(&path, &bytes).unwrap();
    let io = runtime();
    let options = [
        ("path", path.to_str().unwrap()),
        ("format", "json"),
        ("on-error", "dlq"),
        ("on-error.dlq-table", "letters"),
    ];
    let source = source(&table("filesystem", &schema(), &options)).unwrap();
    let splits = io.block_on(source.discover(1)).unwrap();
    let context = reader_context(schema(), io.handle().clone());
    let metrics = context.metrics.clone();
    let (rows, letters) = read_with_letters(source.as_ref(), context, splits).unwrap();
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values().to_vec(), [1, 2, 3]);
    assert_eq!(letters.num_rows(), 3);
    assert_eq!(metrics.num_records_in_errors.get(), 3);
    let path = path.canonicalize().unwrap();
    let text = |column: usize, row: usize| letters.column(column).as_string::<i32>().value(row).to_owned();
    let raw = letters.column(2).as_binary::<i32>();
    assert_eq!(text(0, 1), "default_catalog.default_database.t");
    assert_eq!(text(1, 0), format!("{}:9", path.display()));
    assert!(raw.is_null(0) && text(3, 0).contains("longer than 16 MiB"));
    assert_eq!((raw.value(1), text(3, 1).as_str()), (b"[1]".as_slice(), "`[` stands where `{` belongs"));
    assert_eq!(raw.value(2), b"{\"name\":\"\xFF\"}");
    assert_eq!(text(3, 2), "bytes that aren't UTF-8 (byte 9 of the record)");
    assert!(letters.column(4).as_primitive::<TimestampMillisecondType>().value(0) > 0);
}

#[test]
fn dead_letters_are_handed_on_before_they_fill_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    fs::write(&path, "[1]\n".repeat(100_000)).unwrap();
    let io = runtime();
    let options = [
        ("path", path.to_str().unwrap()),
        ("format", "json"),
        ("on-error", "dlq"),
        ("on-error.dlq-table", "letters"),
    ];
    let source = source(&table("filesystem", &schema(), &options)).unwrap();
    let splits = io.block_on(source.discover(1)).unwrap();
    let mut reader = source.reader(reader_context(schema(), io.handle().clone()), splits).unwrap();
    let mut letters = Vec::new();
    local(async {
        while let Some(event) = poll_fn(|context| reader.poll_next(context)).await {
            if let SourceEvent::DeadLetters(batch) = event.unwrap() {
                letters.push(batch.num_rows());
            }
        }
    });
    assert_eq!(letters.iter().sum::<usize>(), 100_000);
    assert!(letters.iter().all(|rows| *rows <= TARGET_ROWS), "{letters:?}");
}

#[test]
fn many_batches_cross_a_small_allowance_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..100_000).map(|n| format!("{{\"id\":{n},\"name\":\"{n}\"}}\n")).collect();
    fs::write(folder.path().join("a.json"), text).unwrap();
    let io = runtime();
    let path = folder.path().to_str().unwrap();
    let source = source(&table("filesystem", &schema(), &[("path", path), ("format", "json")])).unwrap();
    let splits = io.block_on(source.discover(1)).unwrap();
    let wanted = Arc::new(schema().project(&[0]).unwrap());
    let mut context = reader_context(wanted, io.handle().clone());
    context.read_ahead_bytes = 1;
    let metrics = context.metrics.clone();
    let batch = read_with(source.as_ref(), context, splits).unwrap();
    assert_eq!(
        batch.column(0).as_primitive::<Int64Type>().values().to_vec(),
        (0..100_000).collect::<Vec<_>>()
    );
    assert!(metrics.num_bytes_in.get() > 2_000_000);
}

/// A Parquet file with types other than the declared ones.
fn odd_parquet(path: &Path, values: UInt64Array) {
    let words: DictionaryArray<Int32Type> = ["x", "y", "x"].into_iter().collect();
    let inner: ArrayRef = Arc::new(StringViewArray::from(vec!["p", "q", "r"]));
    let more: ArrayRef = Arc::new(Int32Array::from(vec![7, 8, 9]));
    let row = StructArray::from(vec![
        (Arc::new(Field::new("unused", DataType::Int32, true)), more),
        (Arc::new(Field::new("text", DataType::Utf8View, true)), inner),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("row", Arc::new(row)),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![1_500, 2_000, -1]).with_timezone("UTC"))),
        ("name", Arc::new(words)),
        ("id", Arc::new(values)),
        ("small", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.flush().unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_types_become_the_declared_ones_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.parquet");
    odd_parquet(&path, UInt64Array::from(vec![1, 2, 3]));
    let fields = Fields::from(vec![Field::new("text", DataType::Utf8, true)]);
    let mut declared = schema().fields().to_vec();
    declared.push(Arc::new(Field::new("row", DataType::Struct(fields), true)));
    declared.push(Arc::new(Field::new("small", DataType::Float64, true)));
    let declared = Arc::new(Schema::new(declared));
    let (batch, _) = read(&declared, &path, &[("format", "parquet")]).unwrap();
    assert_eq!(batch.num_rows(), 6);
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values()[..3], [1, 2, 3]);
    assert_eq!(batch.column(1).as_string::<i32>().value(2), "x");
    assert_eq!(batch.column(2).as_primitive::<TimestampMillisecondType>().values()[..3], [1, 2, 0]);
    assert_eq!(batch.column(3).as_struct().column(0).as_string::<i32>().value(1), "q");
    assert!(batch.column(4).is_null(1));

    let (count, _) = read(&Arc::new(Schema::empty()), &path, &[("format", "parquet")]).unwrap();
    assert_eq!(count.num_rows(), 6, "a count needs no column");
}

#[test]
fn parquet_columns_that_are_missing_or_would_lose_values_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.parquet");
    odd_parquet(&path, UInt64Array::from(vec![1, 2, u64::MAX]));
    let of = |name: &str, data_type| {
        let schema = Arc::new(Schema::new(vec![Field::new(name, data_type, true)]));
        read(&schema, &path, &[("format", "parquet")]).expect_err("refused").chain()
    };
    let missing = of("ids", DataType::Int64);
    assert!(
        missing.contains("odd.parquet")
            && missing.contains("no column `ids`; it has row, time, name, id, small"),
        "{missing}"
    );
    let narrow = of("small", DataType::Int16);
    assert!(
        narrow.contains("column `small` is INT in the file, which can't be read as SMALLINT"),
        "{narrow}"
    );
    let overflow = of("id", DataType::Int64);
    assert!(overflow.contains("18446744073709551615"), "{overflow}");
    let inner = of("row", DataType::Struct(vec![Field::new("no", DataType::Utf8, true)].into()));
    assert!(inner.contains("no column `row.no`; it has unused, text"), "{inner}");
    fs::write(folder.path().join("not.parquet"), "not parquet").unwrap();
    let error = read(&schema(), &folder.path().join("not.parquet"), &[("format", "parquet")])
        .expect_err("not parquet");
    assert!(error.code() == Code::MalformedRecord && error.message().contains("not.parquet"), "{error}");
}

#[test]
fn options_are_checked_when_the_table_is_planned() {
    let refused = |options: &[(&str, &str)], schema: &Schema| {
        let table = table("filesystem", schema, options);
        let of_source = source(&table).err().map(|error| error.message().to_owned());
        of_source.or_else(|| sink(&table).err().map(|error| error.message().to_owned())).expect("refused")
    };
    assert!(refused(&[("path", "/x")], &schema()).contains("needs the option 'format'"));
    assert!(refused(&[("path", "/x"), ("format", "avro")], &schema()).contains("'parquet'"));
    for (options, message) in [
        (vec![("on-error", "dlq")], "needs the option 'on-error.dlq-table'"),
        (vec![("on-error.dlq-table", "t")], "nothing without 'on-error' = 'dlq'"),
        (vec![("on-error", "fail"), ("json.ignore-parse-errors", "true")], "'skip' or 'dlq'"),
    ] {
        let options: Vec<_> = options.into_iter().chain([("path", "/x"), ("format", "json")]).collect();
        let message_of = refused(&options, &schema());
        assert!(message_of.contains(message), "{message_of}");
    }
    assert!(refused(&[("path", "gs://x/y"), ("format", "json")], &schema()).contains("s3://bucket/"));
    assert!(
        refused(&[("path", "/x"), ("format", "json"), ("parquet.compression", "zstd")], &schema())
            .contains("parquet.compression")
    );
    let interval = Schema::new(vec![Field::new("i", DataType::Duration(TimeUnit::Second), true)]);
    assert!(refused(&[("path", "/x"), ("format", "json")], &interval).contains("column `i`"));
    let error = read(&schema(), Path::new("/no/such/path"), &[("format", "json")]).expect_err("not found");
    assert_eq!(error.code(), Code::NotFound);
}
