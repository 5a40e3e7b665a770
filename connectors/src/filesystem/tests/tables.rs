//! Tables beyond plain files: partitions, metadata columns, files that come later, predicates and damage in Parquet.

use super::*;

fn partitioned(path: &Path, keys: &[&str], options: &[(&str, &str)]) -> TableSpec {
    let path = path.to_str().unwrap();
    let options: Vec<_> = options.iter().copied().chain([("path", path)]).collect();
    let mut spec = table("filesystem", &schema(), &options);
    spec.partition_keys = keys.iter().map(|key| (*key).to_owned()).collect();
    spec
}

fn read_table(
    spec: &TableSpec,
    projected: &SchemaRef,
    filters: Vec<Predicate>,
) -> Result<RecordBatch, Error> {
    let io = runtime();
    let source = source(spec)?;
    assert!(source.accepts(&filters).into_iter().all(|accepted| accepted));
    let splits = io.block_on(source.discover(2))?;
    let mut context = reader_context(projected.clone(), io.handle().clone());
    context.filters = filters;
    read_with(source.as_ref(), context, splits)
}

#[test]
fn partitions_are_written_to_folders_and_read_back_typed_and_pruned() {
    for format in ["json", "csv", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let policy = [("format", format), ("sink.partition-commit.policy.kind", "success-file")];
        let spec = partitioned(folder.path(), &["name"], &policy);
        let sink = sink(&spec).unwrap();
        let io = runtime();
        let mut writer = sink.writer(writer_context(1, 1, io.handle().clone())).unwrap();
        let mut columns = rows(0..100).columns().to_vec();
        let names = (0..100).map(|n| (n % 4 != 0).then(|| format!("a/{}", n % 4)));
        columns[1] = Arc::new(StringArray::from_iter(names));
        let written = RecordBatch::try_new(schema(), columns).unwrap();
        let committables = write_all(writer.as_mut(), vec![Batch::new(written.clone())]).unwrap();
        assert_eq!(committables.len(), 4);
        let committer = sink.committer().unwrap();
        io.block_on(crate::testing::commit(committer.as_ref(), committables.clone())).unwrap();
        io.block_on(crate::testing::commit(committer.as_ref(), committables))
            .expect("committing twice is committing once");
        let folders = visible(folder.path());
        assert_eq!(folders, ["name=__DEFAULT_PARTITION__", "name=a%2F1", "name=a%2F2", "name=a%2F3"]);
        assert!(folder.path().join("name=a%2F1/_SUCCESS").exists());

        let read = read_table(&spec, &schema(), Vec::new()).unwrap();
        let sorted = |batch: &RecordBatch| {
            let order = sort_to_indices(batch.column(0), None, None).unwrap();
            take_record_batch(batch, &order).unwrap()
        };
        assert_eq!(sorted(&read), written);
        let filter = Predicate {
            path: vec!["name".into()],
            operator: Operator::Gt.into(),
            literal: Some(Literal { value: Some(Value::String("a/1".into())) }),
        };
        let id_alone = Arc::new(schema().project(&[0]).unwrap());
        let pruned = read_table(&spec, &id_alone, vec![filter]).unwrap();
        assert_eq!(pruned.num_rows(), 50, "two of four partitions, and null is none of them");
    }
}

#[test]
fn few_files_are_open_however_many_partitions_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partitioned(folder.path(), &["id"], &[("format", "json")]);
    let sink = sink(&spec).unwrap();
    let io = runtime();
    let mut writer = sink.writer(writer_context(1, 1, io.handle().clone())).unwrap();
    let batches = (0..2).map(|_| Batch::new(rows(0..100))).collect();
    let committables = write_all(writer.as_mut(), batches).unwrap();
    assert_eq!(committables.len(), 200, "each partition's file had been ended when its second row came");
    io.block_on(crate::testing::commit(sink.committer().unwrap().as_ref(), committables)).unwrap();
    assert_eq!(read_table(&spec, &schema(), Vec::new()).unwrap().num_rows(), 200);
}

#[test]
fn a_path_without_its_partition_or_with_a_wrong_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), "{}\n").unwrap();
    let spec = partitioned(folder.path(), &["id"], &[("format", "json")]);
    let error = read_table(&spec, &schema(), Vec::new()).expect_err("no folder");
    assert!(error.chain().contains("a.json: the path has no folder `id=…`"), "{}", error.chain());
    fs::remove_file(folder.path().join("a.json")).unwrap();
    fs::create_dir(folder.path().join("id=x")).unwrap();
    fs::write(folder.path().join("id=x/a.json"), "{}\n").unwrap();
    let error = read_table(&spec, &schema(), Vec::new()).expect_err("no number");
    assert!(error.chain().contains("\"x\" isn't a value of BIGINT"), "{}", error.chain());
}

#[test]
fn metadata_columns_say_of_which_file_a_row_is() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.json", "{\"id\":1}\n"), ("b.json", "{\"id\":2}\n{\"id\":3}\n")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut fields = vec![Field::new("id", DataType::Int64, true)];
    let mut spec =
        table("filesystem", &schema(), &[("format", "json"), ("path", folder.path().to_str().unwrap())]);
    for description in crate::filesystem::columns::metadata() {
        let name = format!("m {}", description.key);
        spec.metadata_columns.push(MetadataColumn { name: name.clone(), key: description.key.into() });
        fields.push(Field::new(name, description.data_type, false));
    }
    let schema = Arc::new(Schema::new(fields));
    spec.schema = weir_api::schema::encode(&schema);
    let read = read_table(&spec, &schema, Vec::new()).unwrap();
    assert_eq!(read.num_rows(), 3);
    let path = folder.path().canonicalize().unwrap();
    assert_eq!(read.column(1).as_string::<i32>().value(1), path.join("b.json").to_str().unwrap());
    assert_eq!(read.column(2).as_string::<i32>().value(0), "a.json");
    assert_eq!(read.column(3).as_primitive::<Int64Type>().values().to_vec(), [9, 18, 18]);
    assert!(read.column(4).as_primitive::<TimestampMillisecondType>().value(0) > 1_700_000_000_000);
}

/// The split and the id of the next batch's first row.
fn next_id(reader: &mut dyn SourceReader) -> (usize, i64) {
    local(async {
        loop {
            let event = poll_fn(|context| reader.poll_next(context)).await.unwrap().unwrap();
            if let SourceEvent::Records { split, records } = event {
                break (split, records.column(0).as_primitive::<Int64Type>().value(0));
            }
        }
    })
}

#[test]
fn files_that_come_later_are_found_once_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let write =
        |name: &str, id: i64| fs::write(folder.path().join(name), format!("{{\"id\":{id}}}\n")).unwrap();
    write("b.json", 1);
    let io = runtime();
    let options = [("path", path), ("format", "json"), ("source.monitor-interval", "1 s")];
    let source = source(&table("filesystem", &schema(), &options)).unwrap();
    assert_eq!(source.boundedness(), Boundedness::Unbounded);
    assert_eq!(source.discovery_interval(), Some(Duration::from_secs(1)));
    let mut splits = io.block_on(source.discover(1)).unwrap();
    let mut reader = source.reader(reader_context(schema(), io.handle().clone()), splits.clone()).unwrap();
    assert_eq!(next_id(reader.as_mut()), (0, 1));
    assert!(io.block_on(source.discover_more(&splits)).unwrap().is_empty());
    write("a.json", 2);
    let more = io.block_on(source.discover_more(&splits)).unwrap();
    assert_eq!(more.len(), 1);
    splits.extend(more.clone());
    assert!(io.block_on(source.discover_more(&splits)).unwrap().is_empty());
    reader.add_splits(more).unwrap();
    assert_eq!(next_id(reader.as_mut()), (1, 2));
    let end = local(poll_fn(|context| reader.poll_next(context))).unwrap().unwrap();
    assert!(matches!(end, SourceEvent::SplitFinished { split: 1 }));
    let waker = std::task::Waker::noop();
    assert!(reader.poll_next(&mut std::task::Context::from_waker(waker)).is_pending(), "more may come");
}

fn predicate(column: &str, operator: Operator, value: Value) -> Predicate {
    Predicate {
        path: vec![column.into()],
        operator: operator.into(),
        literal: Some(Literal { value: Some(value) }),
    }
}

/// Row groups of 1,000 rows.
fn grouped_parquet(path: &Path, groups: i64) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1_000)).build();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), schema(), Some(properties)).unwrap();
    (0..groups).for_each(|n| writer.write(&rows(n * 1_000..(n + 1) * 1_000)).unwrap());
    writer.close().unwrap();
}

#[test]
fn predicates_leave_out_row_groups_and_rows_of_parquet() {
    let folder = tempfile::tempdir().unwrap();
    grouped_parquet(&folder.path().join("a.parquet"), 5);
    let spec = partitioned(folder.path(), &[], &[("format", "parquet")]);
    let all = rows(0..5_000);
    for (filters, expected) in [
        (vec![predicate("id", Operator::GtEq, Value::Integer(2_500))], 2_500..5_000),
        (vec![predicate("id", Operator::Lt, Value::Integer(7))], 0..7),
        (vec![predicate("time", Operator::Eq, Value::TimestampMillis(1_234))], 1_234..1_235),
        (vec![predicate("name", Operator::Eq, Value::String("name 4321".into()))], 4_321..4_322),
        (
            vec![
                predicate("id", Operator::Gt, Value::Integer(10)),
                predicate("id", Operator::LtEq, Value::Integer(12)),
            ],
            11..13,
        ),
        (vec![predicate("id", Operator::Eq, Value::Integer(9_999))], 0..0),
    ] {
        let read = read_table(&spec, &schema(), filters).unwrap();
        assert_eq!(read, all.slice(expected.start, expected.len()));
    }
    // The predicate's column isn't among the wanted ones, and null is no value other than a text.
    let wanted = Arc::new(schema().project(&[2]).unwrap());
    let filter = predicate("name", Operator::NotEq, Value::String("name 1".into()));
    assert_eq!(read_table(&spec, &wanted, vec![filter]).unwrap().num_rows(), 3_999);

    let io = runtime();
    let source = source(&spec).unwrap();
    let splits = io.block_on(source.discover(1)).unwrap();
    let mut context = reader_context(schema(), io.handle().clone());
    context.filters = vec![predicate("id", Operator::Eq, Value::Integer(1))];
    let metrics = context.metrics.clone();
    read_with(source.as_ref(), context, splits.clone()).unwrap();
    let one_group = metrics.num_bytes_in.get();
    let context = reader_context(schema(), io.handle().clone());
    let metrics = context.metrics.clone();
    read_with(source.as_ref(), context, splits).unwrap();
    assert!(one_group * 4 < metrics.num_bytes_in.get(), "four row groups of five aren't read");
    let nested =
        Predicate { path: vec!["id".into(), "x".into()], ..predicate("id", Operator::Eq, Value::Integer(1)) };
    assert_eq!(source.accepts(&[nested, predicate("id", Operator::Eq, Value::Float(1.0))]), [false, false]);
}

#[test]
fn a_row_group_that_cannot_be_read_is_one_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    grouped_parquet(&path, 3);
    let mut bytes = fs::read(&path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(&path).unwrap()).unwrap();
    let (start, len) = metadata.row_group(1).column(0).byte_range();
    bytes[usize::try_from(start).unwrap()..][..usize::try_from(len).unwrap()].fill(0xFF);
    fs::write(&path, bytes).unwrap();
    let io = runtime();
    let dlq = [("format", "parquet"), ("on-error", "dlq"), ("on-error.dlq-table", "letters")];
    let source = source(&partitioned(&path, &[], &dlq)).unwrap();
    let splits = io.block_on(source.discover(1)).unwrap();
    let (read, letters) =
        read_with_letters(source.as_ref(), reader_context(schema(), io.handle().clone()), splits).unwrap();
    assert_eq!(read.num_rows(), 2_000, "the other row groups are whole");
    assert_eq!(letters.num_rows(), 1);
    let position = letters.column(1).as_string::<i32>().value(0).to_owned();
    assert!(position.ends_with("a.parquet:row group 1, behind row 0"), "{position}");
    assert!(letters.column(2).is_null(0) && !letters.column(3).as_string::<i32>().value(0).is_empty());
}
