//! Splits that run ahead, fall silent, come back, and end.

use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use weir_api::error::Code;
use weir_api::watermark::Watermark;
use weir_proto::v1::WatermarkSpec;

use super::{WatermarkChange, WatermarkGenerator};
use crate::expression::tests::{column, encode, literal};

const TIMEOUT: i64 = 100;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true)]))
}

fn generator(splits: usize, idle_timeout_millis: i64) -> WatermarkGenerator {
    let spec = WatermarkSpec {
        expression: encode(&column("ts", 0)),
        column: "ts".to_owned(),
        idle_timeout_millis: idle_timeout_millis as u64,
    };
    WatermarkGenerator::new(&spec, &schema(), splits, 0).unwrap()
}

fn records(millis: &[Option<i64>]) -> RecordBatch {
    // Half a millisecond is rounded down.
    let micros: TimestampMicrosecondArray =
        millis.iter().map(|millis| millis.map(|millis| millis * 1000 + 500)).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(micros)]).unwrap()
}

fn advanced(millis: i64) -> WatermarkChange {
    WatermarkChange { watermark: Some(Watermark(millis)), idle: None }
}

#[test]
fn the_slowest_split_counts_and_nulls_and_old_records_do_not() {
    let mut generator = generator(2, 0);
    generator.on_records(0, &records(&[Some(5), None, Some(3)]), 0).unwrap();
    assert_eq!(generator.poll(0), WatermarkChange::default(), "the other split has no record yet");
    generator.on_records(1, &records(&[Some(-4)]), 0).unwrap();
    assert_eq!(generator.poll(0), advanced(-4));
    generator.on_records(1, &records(&[Some(9), Some(-9)]), 0).unwrap();
    generator.on_records(0, &records(&[None]), 0).unwrap();
    assert_eq!(generator.poll(0), advanced(5));
    assert_eq!(generator.poll(1_000_000), WatermarkChange::default(), "without a timeout nothing is idle");
    assert_eq!(generator.next_timeout(), None);
}

const IDLE: WatermarkChange = WatermarkChange { watermark: None, idle: Some(true) };
const ACTIVE: WatermarkChange = WatermarkChange { watermark: None, idle: Some(false) };

#[test]
fn a_source_that_grows_is_idle_while_it_has_no_split_to_read() {
    assert_eq!(generator(0, 0).poll(0), WatermarkChange::default(), "it will end");
    let mut generator = generator(0, 0).with_growth(true);
    assert_eq!(generator.poll(0), IDLE, "at once");
    generator.add_splits(1, 0, |_| false);
    assert_eq!(generator.poll(0), ACTIVE, "the new split has no record yet");
    generator.on_records(0, &records(&[Some(5)]), 0).unwrap();
    assert_eq!(generator.poll(0), advanced(5));
    // Another one begins before the first has ended: the output stays where it is until it has caught up.
    generator.add_splits(2, 0, |split| split == 2);
    assert_eq!(generator.poll(0), WatermarkChange::default());
    generator.on_records(0, &records(&[Some(9)]), 0).unwrap();
    assert_eq!(generator.poll(0), WatermarkChange::default(), "split 1 holds back");
    generator.on_records(1, &records(&[Some(3)]), 0).unwrap();
    assert_eq!(generator.poll(0), WatermarkChange::default(), "and never goes back");
    generator.on_finished(1).unwrap();
    assert_eq!(generator.poll(0), advanced(9), "split 2 waits for its turn");
    generator.on_finished(0).unwrap();
    assert_eq!(generator.poll(0), WatermarkChange::default(), "its turn has come");
    generator.on_records(2, &records(&[Some(10)]), 0).unwrap();
    generator.on_finished(2).unwrap();
    assert_eq!(generator.poll(0), IDLE, "all have ended, more may come");
}

#[test]
fn a_split_that_comes_later_becomes_idle_in_its_time() {
    let mut generator = generator(0, TIMEOUT).with_growth(true);
    generator.poll(0);
    generator.add_splits(1, 50, |_| false);
    assert_eq!(generator.next_timeout(), Some(50 + TIMEOUT));
    assert_eq!(generator.poll(50), ACTIVE);
    assert_eq!(generator.poll(50 + TIMEOUT), IDLE);
}

#[test]
fn splits_that_continue_others_count_from_their_first_record() {
    let mut generator = generator(3, 0).with_continuations(|split| split > 0);
    assert_eq!(generator.poll(0), WatermarkChange::default());
    generator.on_records(0, &records(&[Some(5)]), 0).unwrap();
    assert_eq!(generator.poll(0), advanced(5), "splits 1 and 2 have not begun");
    generator.on_finished(0).unwrap();
    assert_eq!(generator.poll(0), WatermarkChange::default());
    generator.on_records(1, &records(&[Some(3)]), 0).unwrap();
    assert_eq!(generator.poll(0), WatermarkChange::default(), "it never goes back");
    generator.on_records(1, &records(&[Some(8)]), 0).unwrap();
    assert_eq!(generator.poll(0), advanced(8));
}

#[test]
fn silent_and_finished_splits_do_not_hold_back() {
    let mut generator = generator(3, TIMEOUT);
    generator.on_records(0, &records(&[Some(50)]), 60).unwrap();
    generator.on_finished(2).unwrap();
    assert_eq!(generator.next_timeout(), Some(100));
    assert_eq!(generator.poll(99), WatermarkChange::default());
    assert_eq!(generator.poll(100), advanced(50), "split 1 never spoke");
    assert_eq!(generator.next_timeout(), Some(160));
    assert_eq!(generator.poll(160), WatermarkChange { watermark: None, idle: Some(true) });
    generator.on_records(1, &records(&[Some(20)]), 170).unwrap();
    assert_eq!(
        generator.poll(170),
        WatermarkChange { watermark: None, idle: Some(false) },
        "it never goes back"
    );
    generator.on_finished(1).unwrap();
    generator.on_finished(0).unwrap();
    assert_eq!(generator.poll(180), WatermarkChange::default(), "the end of the input says the rest");
    assert_eq!(generator.output(), Watermark(50));
}

#[test]
fn an_expression_that_is_no_time_is_refused() {
    let spec =
        WatermarkSpec { expression: encode(&literal(1)), column: "ts".to_owned(), idle_timeout_millis: 0 };
    let error = WatermarkGenerator::new(&spec, &schema(), 1, 0).unwrap_err();
    assert_eq!(error.code(), Code::MalformedMessage);
    assert!(generator(1, 0).on_records(1, &records(&[Some(1)]), 0).is_err());
}

proptest! {
    #[test]
    fn the_output_grows_and_is_the_least_of_the_active_splits(
        steps in proptest::collection::vec((0..3_usize, 0..5_u8, -100..100_i64, 0..80_i64), 1..60),
    ) {
        let mut generator = generator(3, TIMEOUT);
        let (mut now, mut last) = (0, Watermark::MIN);
        // Watermark and last record of each split; `None` when it has ended.
        let mut model = [Some((i64::MIN, 0)); 3];
        for (split, what, time, passed) in steps {
            now += passed;
            if what == 0 {
                generator.on_finished(split).unwrap();
                model[split] = None;
            } else if let Some((watermark, seen)) = &mut model[split] {
                generator.on_records(split, &records(&[Some(time)]), now).unwrap();
                (*watermark, *seen) = (time.max(*watermark), now);
            }
            let change = generator.poll(now);
            let active = model.iter().flatten().filter(|(_, seen)| now - seen < TIMEOUT);
            let least = active.map(|(watermark, _)| *watermark).min();
            let wanted = least.map(Watermark).filter(|least| *least > last);
            prop_assert_eq!(change.watermark, wanted);
            last = wanted.unwrap_or(last);
        }
    }
}
