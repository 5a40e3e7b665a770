//! Every source goes on after a restore exactly where it was: nothing is lost, nothing comes twice, dead letters included.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use tokio::runtime::Runtime;
use weir_api::batch::TARGET_ROWS;
use weir_api::source::{Source, SourceReader, SplitProgress};
use weir_proto::v1::predicate::Operator;
use weir_proto::v1::{Predicate, Split, TableSpec};

use crate::testing::resume::{Seen, at, read_until_quiet, rescales, resumes_everywhere};
use crate::testing::{equals, local, reader_context, runtime, source, table};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

/// A table that is read, of which these columns are wanted.
struct Reading {
    io: Runtime,
    source: Arc<dyn Source>,
    wanted: SchemaRef,
    filters: Vec<Predicate>,
}

impl Reading {
    fn new(table: &TableSpec, wanted: &SchemaRef, filters: Vec<Predicate>) -> Self {
        let source = source(table).unwrap();
        assert!(source.accepts(&filters).into_iter().all(|accepted| accepted), "{filters:?}");
        Self { io: runtime(), source, wanted: wanted.clone(), filters }
    }

    fn splits(&self, parallelism: u32) -> Vec<Split> {
        self.io.block_on(self.source.discover(parallelism)).unwrap()
    }

    fn reader(&self, splits: Vec<Split>) -> weir_api::Result<Box<dyn SourceReader>> {
        let mut context = reader_context(self.wanted.clone(), self.io.handle().clone());
        context.filters.clone_from(&self.filters);
        self.source.reader(context, splits)
    }

    fn resumes(&self, splits: &[Split]) -> Seen {
        for (most, readers) in [(0, 1), (1, 3), (3, 1), (4, 5)] {
            rescales(&|splits| self.reader(splits).unwrap(), splits, most, readers);
        }
        resumes_everywhere(&|splits| self.reader(splits).unwrap(), splits)
    }
}

fn count(seen: &Seen) -> usize {
    seen.rows().values().map(RecordBatch::num_rows).sum()
}

fn at_least(value: i64) -> Predicate {
    Predicate { operator: Operator::GtEq.into(), ..equals("id", value) }
}

#[test]
fn nexmark_goes_on_with_its_next_event() {
    let full = crate::nexmark::schema::full();
    let table = table("nexmark", &full, &[("events.num", "70001")]);
    for filters in [Vec::new(), vec![equals("event_type", 0)]] {
        let reading = Reading::new(&table, &full, filters.clone());
        let seen = reading.resumes(&reading.splits(3));
        assert_eq!(count(&seen), if filters.is_empty() { 70_001 } else { 1_401 });
    }
}

#[test]
fn datagen_goes_on_with_its_next_row() {
    let options = [("number-of-rows", "30000"), ("rows-per-second", "0"), ("seed", "3")];
    let table = table("datagen", &schema(), &options);
    let only_id = Arc::new(schema().project(&[0]).unwrap());
    for wanted in [schema(), only_id] {
        let reading = Reading::new(&table, &wanted, Vec::new());
        assert_eq!(count(&reading.resumes(&reading.splits(2))), 30_000);
    }
}

#[test]
fn a_position_that_isnt_the_splits_is_refused() {
    let table = table("datagen", &schema(), &[("number-of-rows", "30000"), ("seed", "3")]);
    let reading = Reading::new(&table, &schema(), Vec::new());
    let splits = reading.splits(2);
    let wrong = at(&splits, &[SplitProgress::At(0), SplitProgress::At(0)]);
    assert!(reading.reader(wrong).is_err(), "number 0 is the first split's");
}

#[test]
fn a_paced_source_keeps_its_pace_from_where_it_goes_on() {
    let options = [("rows-per-second", "1000"), ("seed", "3")];
    let reading = Reading::new(&table("datagen", &schema(), &options), &schema(), Vec::new());
    let splits = reading.splits(1);
    // Ten minutes on: neither are ten minutes' rows due at once, nor does it wait for ten minutes.
    let splits = at(&splits, &[SplitProgress::At(600_000)]);
    let mut reader = reading.reader(splits).unwrap();
    local(async {
        let begun = tokio::time::Instant::now();
        let mut rows = 0;
        while rows < 200 {
            let event = std::future::poll_fn(|context| reader.poll_next(context));
            let event = tokio::time::timeout(std::time::Duration::from_secs(20), event).await;
            let event = event.expect("rows are due").unwrap().unwrap();
            let weir_api::source::SourceEvent::Records { records, .. } = event else { panic!("records") };
            rows += records.num_rows();
        }
        assert!(rows < 1_000, "{rows} rows came at once");
        let waited = begun.elapsed().as_millis();
        assert!((150..5_000).contains(&waited), "{waited} ms for 200 of 1,000 rows a second");
    });
}

#[test]
fn values_go_on_with_their_next_row() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let batch = |rows| {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        RecordBatch::try_new(schema.clone(), vec![column]).unwrap()
    };
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for rows in [3, 0, TARGET_ROWS as i64 * 2 + 1, 1] {
        writer.write(&batch(rows)).unwrap();
    }
    writer.finish().unwrap();
    let text = writer.into_inner().unwrap().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    let reading = Reading::new(&table("values", &schema, &[("rows", &text)]), &schema, Vec::new());
    let splits = reading.splits(2);
    assert_eq!(count(&reading.resumes(&splits)), TARGET_ROWS * 2 + 5);
    assert!(reading.reader(at(&splits, &[SplitProgress::At(1 << 40)])).is_err());
}

fn files(path: &std::path::Path, options: &[(&str, &str)]) -> TableSpec {
    let path = path.to_str().unwrap();
    table("filesystem", &schema(), &[options, &[("path", path)]].concat())
}

/// A line of a file, as a property test draws it.
fn line(format: &str, kind: u8, id: usize) -> String {
    match (format, kind) {
        ("json", 0) => "{\"id\":\"malformed\"}\n".to_owned(),
        ("json", 1) => "\n".to_owned(),
        ("json", 2) => format!("{{\"id\":{id},\"name\":\"{}\"}}\r\n", "é".repeat(id % 3_000)),
        ("json", _) => format!("{{\"id\":{id}}}\n"),
        (_, 0) => "malformed,x\n".to_owned(),
        (_, 1) => format!("{id},\"two\nlines, \"\"quoted\"\"\"\n"),
        (_, 2) => format!("{id},{}\r\n", "é".repeat(id % 3_000)),
        _ => format!("{id},x\n"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    #[test]
    fn lines_go_on_at_their_next_byte(
        kinds in prop::collection::vec(0_u8..200, 400),
        csv in any::<bool>(),
        on_error in 0_usize..2,
        bom in any::<bool>(),
        ends_in_a_line in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let format = if csv { "csv" } else { "json" };
        for (name, copies) in [("a", 60), ("b", 25), ("c", 1)] {
            let mut text = if bom { "\u{FEFF}".to_owned() } else { String::new() };
            for copy in 0..copies {
                for (id, kind) in kinds.iter().enumerate() {
                    text.push_str(&line(format, *kind, copy * kinds.len() + id));
                }
            }
            if !ends_in_a_line {
                text.pop();
            }
            fs::write(folder.path().join(name), text).unwrap();
        }
        let letters = [("on-error", "dlq"), ("on-error.dlq-table", "letters")];
        let skip = [("on-error", "skip")];
        let errors: &[_] = if on_error == 0 { &letters } else { &skip };
        let spec = files(folder.path(), &[&[("format", format)], errors].concat());
        let only_id = Arc::new(schema().project(&[0]).unwrap());
        let wanted = if bom { only_id } else { schema() };
        let reading = Reading::new(&spec, &wanted, Vec::new());
        let seen = reading.resumes(&reading.splits(1));
        prop_assert!(count(&seen) > 2 * TARGET_ROWS);
    }
}

#[test]
fn ranges_of_one_file_go_on_each_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..60_000).map(|id| line("json", 3 - u8::from(id % 1_000 == 0), id)).collect();
    fs::write(folder.path().join("a"), &text).unwrap();
    let reading = Reading::new(&files(folder.path(), &[("format", "json")]), &schema(), Vec::new());
    let [split] = reading.splits(1).try_into().unwrap();
    // As a file of gigabytes would be cut, into ranges that end anywhere.
    let whole = String::from_utf8(split.payload.clone()).unwrap();
    let len = text.len();
    let cuts = [0, len / 3, len / 2, len / 2 + 1, len / 2 + 2, len];
    let splits: Vec<_> = cuts
        .windows(2)
        .map(|cut| {
            let range = whole.replace(
                &format!("\"start\":0,\"end\":{len}"),
                &format!("\"start\":{},\"end\":{}", cut[0], cut[1]),
            );
            assert!(range != whole);
            Split { id: format!("{cut:?}"), payload: range.into_bytes(), ..split.clone() }
        })
        .collect();
    assert_eq!(count(&reading.resumes(&splits)), 60_000);
}

#[test]
fn lines_that_are_too_long_become_dead_letters_once() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{{\"name\":\"{}\"}}\n", "y".repeat((16 << 20) + 400_000));
    let some: String = (0..3).map(|id| line("json", 3, id)).collect();
    fs::write(folder.path().join("a"), [&some, &long, &long, &some, &long].map(String::as_str).concat())
        .unwrap();
    let options = [("format", "json"), ("on-error", "dlq"), ("on-error.dlq-table", "letters")];
    let reading = Reading::new(&files(folder.path(), &options), &schema(), Vec::new());
    assert_eq!(count(&reading.resumes(&reading.splits(1))), 6);
}

fn parquet(path: &std::path::Path, rows: std::ops::Range<i64>, group: usize) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone()));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.map(|row| format!("n{}", row % 7))));
    let batch = RecordBatch::try_new(schema(), vec![ids, names]).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(1_000)
        .set_write_batch_size(500)
        .build();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_goes_on_with_its_next_row_whatever_is_projected_and_filtered() {
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("a"), 0..50_000, 20_000);
    parquet(&folder.path().join("b"), 50_000..60_000, 20_000);
    let spec = files(folder.path(), &[("format", "parquet")]);
    let name_alone = Arc::new(schema().project(&[1]).unwrap());
    let named = Predicate { path: vec!["name".into()], ..equals("name", 0) };
    let named = Predicate {
        literal: Some(weir_proto::v1::Literal {
            value: Some(weir_proto::v1::literal::Value::String("n3".into())),
        }),
        ..named
    };
    for wanted in [&schema(), &name_alone] {
        for (filters, expected) in [
            (vec![], 60_000),
            (vec![at_least(33_333)], 26_667),
            (vec![named.clone()], 8_571),
            (vec![at_least(30_000), named.clone()], 4_285),
        ] {
            let reading = Reading::new(&spec, wanted, filters);
            let splits = reading.splits(1);
            assert_eq!(splits.len(), 4);
            assert_eq!(count(&reading.resumes(&splits)), expected);
        }
    }
}

#[test]
fn a_position_in_parquet_means_the_same_row_for_other_predicates() {
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("a"), 0..50_000, 50_000);
    let spec = files(folder.path(), &[("format", "parquet")]);
    let filtered = Reading::new(&spec, &schema(), vec![at_least(20_000)]);
    let splits = filtered.splits(1);
    let mut reader = filtered.reader(splits.clone()).unwrap();
    let first = local(std::future::poll_fn(|context| reader.poll_next(context))).unwrap().unwrap();
    let weir_api::source::SourceEvent::Records { records, .. } = first else { panic!("records") };
    let progress = reader.progress().unwrap();
    assert_eq!(progress, [SplitProgress::At(20_000 + records.num_rows() as u64)]);
    let all = Reading::new(&spec, &schema(), Vec::new());
    let rest = resumes_everywhere(&|splits| all.reader(splits).unwrap(), &at(&splits, &progress));
    assert_eq!(count(&rest), 30_000 - records.num_rows());
}

#[test]
fn a_damaged_row_group_is_one_dead_letter_wherever_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    parquet(&path, 0..60_000, 20_000);
    let mut bytes = fs::read(&path).unwrap();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(&path).unwrap()).unwrap();
    let (start, len) = footer.row_group(1).column(0).byte_range();
    let behind_the_middle = usize::try_from(start + len * 2 / 3).unwrap();
    bytes[behind_the_middle..behind_the_middle + 2_000].fill(0xFF);
    fs::write(&path, bytes).unwrap();
    let options = [("format", "parquet"), ("on-error", "dlq"), ("on-error.dlq-table", "letters")];
    let reading = Reading::new(&files(folder.path(), &options), &schema(), Vec::new());
    let seen = reading.resumes(&reading.splits(1));
    assert_eq!(
        count(&seen),
        40_000 + TARGET_ROWS,
        "the damage is behind the first batch of the second group"
    );
}

#[test]
fn files_found_later_survive_a_restore_and_arent_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, ids: std::ops::Range<usize>| {
        let text: String = ids.map(|id| line("json", 3, id)).collect();
        fs::write(folder.path().join(name), text).unwrap();
    };
    write("b", 0..20_000);
    let options = [("format", "json"), ("source.monitor-interval", "1 s")];
    let reading = Reading::new(&files(folder.path(), &options), &schema(), Vec::new());
    let mut splits = reading.splits(1);
    let mut reader = reading.reader(splits.clone()).unwrap();
    let mut seen = Seen::default();
    read_until_quiet(reader.as_mut(), &splits, &mut seen);
    write("a", 20_000..21_000);
    let more = reading.io.block_on(reading.source.discover_more(&splits)).unwrap();
    splits.extend(more.clone());
    reader.add_splits(more).unwrap();
    assert_eq!(reader.progress().unwrap(), [SplitProgress::Ended, SplitProgress::Fresh]);
    // The one that was found is in the snapshot, untouched; the other one isn't read again.
    let splits = at(&splits, &reader.progress().unwrap());
    drop(reader);
    assert!(reading.io.block_on(reading.source.discover_more(&splits)).unwrap().is_empty());
    write("c", 21_000..22_000);
    let mut reader = reading.reader(splits.clone()).unwrap();
    let progress = read_until_quiet(reader.as_mut(), &splits, &mut seen);
    assert_eq!(progress, [SplitProgress::Ended, SplitProgress::Ended]);
    assert_eq!(count(&seen), 21_000);
    let more = reading.io.block_on(reading.source.discover_more(&at(&splits, &progress))).unwrap();
    let [more] = more.try_into().unwrap();
    // Given later than the others, a split goes on where it was, too.
    reader
        .add_splits(vec![Split { position: Some(line("json", 3, 21_000).len() as u64), ..more.clone() }])
        .unwrap();
    let splits = [splits, vec![more]].concat();
    read_until_quiet(reader.as_mut(), &splits, &mut seen);
    assert_eq!(count(&seen), 21_999);
}

/// The error of a reader that is to go on, or of its first events.
fn failure(reading: &Reading, splits: Vec<Split>) -> weir_api::Error {
    let mut reader = reading.reader(splits).unwrap();
    local(async {
        loop {
            match std::future::poll_fn(|context| reader.poll_next(context)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("it was read"),
            }
        }
    })
}

#[test]
fn a_file_that_was_changed_meanwhile_is_named_with_the_place() {
    for format in ["json", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        match format {
            "json" => {
                fs::write(&path, (0..20_000).map(|id| line("json", 3, id)).collect::<String>()).unwrap()
            }
            _ => parquet(&path, 0..20_000, 20_000),
        }
        let whole = fs::read(&path).unwrap();
        let reading = Reading::new(&files(folder.path(), &[("format", format)]), &schema(), Vec::new());
        let splits = reading.splits(1);
        let mut reader = reading.reader(splits.clone()).unwrap();
        local(std::future::poll_fn(|context| reader.poll_next(context))).unwrap().unwrap();
        let progress = reader.progress().unwrap();
        let [SplitProgress::At(position)] = progress[..] else { panic!("{progress:?}") };
        let begun = at(&splits, &progress);
        let place = match format {
            "json" => format!("byte {position}"),
            _ => format!("row {position} of row group 0"),
        };
        let shorter = &whole[..whole.len() - 1];
        let longer = [whole.as_slice(), b"\n"].concat();
        for (contents, what) in
            [(Some(shorter), "bytes, but had"), (Some(&longer), "bytes, but had"), (None, "is gone")]
        {
            match contents {
                Some(contents) => fs::write(&path, contents).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let error = failure(&reading, begun.clone());
            assert_eq!(error.code(), weir_api::error::Code::RecordsLost, "{}", error.chain());
            let text = error.chain();
            assert!([path.to_str().unwrap(), &place, what].iter().all(|part| text.contains(part)), "{text}");
        }
        // One that wasn't begun may come into sight a moment later.
        assert!(failure(&reading, splits.clone()).is_restartable());
        fs::write(&path, &whole).unwrap();
        assert!(count(&resumes_everywhere(&|splits| reading.reader(splits).unwrap(), &begun)) > 0);
    }
}
