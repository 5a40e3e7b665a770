//! Elements of all kinds of collections, and what a huge or a wide row does to the output.

use std::sync::Arc;

use arrow::array::builder::{Int64Builder, MapBuilder, StringBuilder};
use arrow::array::{
    Array, ArrayRef, AsArray, Int8Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::element::StreamElement;
use weir_api::error::Result;
use weir_api::graph::OperatorNode;
use weir_api::id::OperatorUid;
use weir_api::operator::{Operator, Progress};
use weir_api::output::{Emitted, Output};
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::{OperatorSpec, UnnestSpec};

/// Keeps column 0, unnests column 1.
fn try_unnest(input: &SchemaRef, elements: &[Field], outer: bool) -> Result<Box<dyn Operator>> {
    let mut fields = vec![input.field(0).clone()];
    fields.extend(elements.iter().cloned());
    fields.push(Field::new("number", DataType::Int32, true));
    let spec = UnnestSpec {
        collection: 1,
        kept: vec![0],
        elements: (0..elements.len() as u32).collect(),
        with_ordinality: true,
        outer,
    };
    let node = OperatorNode {
        uid: OperatorUid::new("unnest")?,
        name: "Unnest".to_owned(),
        spec: OperatorSpec { kind: Some(Kind::Unnest(spec)) },
        output_schema: Some(Arc::new(Schema::new(fields))),
    };
    crate::create(&node, Some(Arc::clone(input)))
}

fn batches(operator: &mut dyn Operator, batch: Batch) -> Vec<Batch> {
    let mut out = Output::new(1);
    let mut progress = operator.process(0, batch, &mut out).unwrap();
    let mut batches = Vec::new();
    loop {
        assert!(out.len() <= 1, "it overshoots the limit");
        while let Some(Emitted::Element(StreamElement::Batch(batch))) = out.pop() {
            batches.push(batch);
        }
        if progress == Progress::Done {
            return batches;
        }
        progress = operator.resume(&mut out).unwrap();
    }
}

fn texts(batches: &[Batch]) -> Vec<String> {
    let row = |batch: &Batch, row: usize| {
        let cells = batch.records().columns().iter().map(|column| match column.is_null(row) {
            true => "-".to_owned(),
            false => array_value_to_string(column, row).unwrap(),
        });
        cells.collect::<Vec<_>>().join(" ")
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |index| row(batch, index))).collect()
}

fn input(collection: ArrayRef) -> RecordBatch {
    let ids: Int64Array = (0..collection.len() as i64).collect();
    let fields =
        vec![Field::new("id", DataType::Int64, false), Field::new("c", collection.data_type().clone(), true)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(ids), collection]).unwrap()
}

fn numbers(lists: Vec<Option<Vec<Option<i64>>>>) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))
}

fn number_field() -> Vec<Field> {
    vec![Field::new("x", DataType::Int64, true)]
}

#[test]
fn lists_without_elements_are_kept_by_an_outer_unnest_only() {
    let lists = || input(numbers(vec![Some(vec![Some(7), None]), None, Some(vec![]), Some(vec![Some(9)])]));
    let rows = |outer: bool| {
        let batch = lists();
        let mut operator = try_unnest(&batch.schema(), &number_field(), outer).unwrap();
        texts(&batches(operator.as_mut(), batch.into()))
    };
    assert_eq!(rows(false), ["0 7 1", "0 - 2", "3 9 1"]);
    assert_eq!(rows(true), ["0 7 1", "0 - 2", "1 - -", "2 - -", "3 9 1"]);
}

#[test]
fn a_null_list_may_hide_elements() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let field = Arc::new(Field::new_list_field(DataType::Int64, true));
    let nulls = NullBuffer::from(vec![true, false, true]);
    let list = ListArray::new(field, OffsetBuffer::from_lengths([1, 1, 1]), values, Some(nulls));
    let batch = input(Arc::new(list));
    let mut operator = try_unnest(&batch.schema(), &number_field(), false).unwrap();
    assert_eq!(texts(&batches(operator.as_mut(), batch.slice(0, 3).into())), ["0 1 1", "2 3 1"]);
    assert_eq!(texts(&batches(operator.as_mut(), batch.slice(2, 1).into())), ["2 3 1"]);
}

#[test]
fn rows_and_maps_become_columns() {
    let fields =
        Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), Some(2), None])),
        Arc::new(StringArray::from(vec!["x", "y", "z"])),
    ];
    let rows = StructArray::new(fields.clone(), columns, Some(NullBuffer::from(vec![true, false, true])));
    let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
    let list = ListArray::new(field, OffsetBuffer::from_lengths([2, 1]), Arc::new(rows), None);
    let batch = input(Arc::new(list));
    let fields: Vec<Field> = fields.iter().map(|field| field.as_ref().clone()).collect();
    let mut operator = try_unnest(&batch.schema(), &fields, false).unwrap();
    assert_eq!(texts(&batches(operator.as_mut(), batch.into())), ["0 1 x 1", "0 - - 2", "1 - z 1"]);

    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    builder.keys().append_value("k");
    builder.values().append_value(4);
    builder.keys().append_value("l");
    builder.values().append_null();
    builder.append(true).unwrap();
    builder.append(false).unwrap();
    let batch = input(Arc::new(builder.finish()));
    let fields = [Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Int64, true)];
    let mut operator = try_unnest(&batch.schema(), &fields, true).unwrap();
    assert_eq!(texts(&batches(operator.as_mut(), batch.into())), ["0 k 4 1", "0 l - 2", "1 - - -"]);
}

#[test]
fn a_row_of_a_million_elements_comes_in_batches_without_a_copy() {
    let batch = input(numbers(vec![Some((0..1_000_000).map(Some).collect())]));
    let elements = batch.column(1).as_list::<i32>().values().clone();
    let mut operator = try_unnest(&batch.schema(), &number_field(), false).unwrap();
    let found = batches(operator.as_mut(), batch.into());
    assert!(found.iter().all(|batch| batch.num_rows() <= TARGET_ROWS));
    assert_eq!(found.iter().map(Batch::num_rows).sum::<usize>(), 1_000_000);
    let shared = |batch: &Batch| {
        let own = batch.records().column(1).as_primitive::<Int64Type>().values().inner().as_ptr();
        let all = elements.as_primitive::<Int64Type>().values().inner();
        all.as_ptr_range().contains(&own)
    };
    assert!(found.iter().all(shared));
}

#[test]
fn a_wide_row_is_repeated_few_at_a_time() {
    let wide = "w".repeat(1 << 20);
    let list = numbers(vec![Some((0..100).map(Some).collect()), Some(vec![Some(1)])]);
    let fields =
        vec![Field::new("wide", DataType::Utf8, false), Field::new("c", list.data_type().clone(), true)];
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec![wide.as_str(), "n"])), list];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let mut operator = try_unnest(&batch.schema(), &number_field(), false).unwrap();
    let found = batches(operator.as_mut(), batch.into());
    assert_eq!(found.iter().map(Batch::num_rows).sum::<usize>(), 101);
    assert!(found.iter().all(|batch| batch.num_rows() <= 5), "4 MiB are four rows and a narrow one");
}

#[test]
fn row_kinds_follow_their_rows() {
    let batch = input(numbers(vec![Some(vec![Some(1), Some(2)]), Some(vec![Some(3)])]));
    let mut operator = try_unnest(&batch.schema(), &number_field(), false).unwrap();
    let batch = Batch::with_kinds(batch, Int8Array::from(vec![0, 3])).unwrap();
    let found = batches(operator.as_mut(), batch);
    assert_eq!(found[0].kinds().unwrap().values()[..], [0, 0, 3]);
}

#[test]
fn what_is_no_collection_is_refused() {
    let batch = input(Arc::new(Int64Array::from(vec![1])));
    assert!(try_unnest(&batch.schema(), &number_field(), false).is_err());
    let batch = input(numbers(vec![None]));
    assert!(try_unnest(&batch.schema(), &[Field::new("x", DataType::Utf8, true)], false).is_err());
}

proptest! {
    #[test]
    fn every_element_comes_once_in_its_place(
        lists in proptest::collection::vec(
            proptest::option::weighted(0.8, proptest::collection::vec(proptest::option::weighted(0.8, -9..9_i64), 0..30)),
            1..60,
        ),
        outer: bool, skip in 0_usize..5,
    ) {
        let batch = input(numbers(lists.clone()));
        let skip = skip.min(lists.len());
        let mut operator = try_unnest(&batch.schema(), &number_field(), outer).unwrap();
        let found = texts(&batches(operator.as_mut(), batch.slice(skip, lists.len() - skip).into()));
        let mut expected = Vec::new();
        for (id, list) in lists.iter().enumerate().skip(skip) {
            let elements = list.as_deref().unwrap_or_default();
            for (element, number) in elements.iter().zip(1..) {
                let element = element.map_or_else(|| "-".to_owned(), |element| element.to_string());
                expected.push(format!("{id} {element} {number}"));
            }
            if elements.is_empty() && outer {
                expected.push(format!("{id} - -"));
            }
        }
        prop_assert_eq!(found, expected);
    }
}
