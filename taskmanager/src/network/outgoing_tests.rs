//! Batches of any shape cut by any credit: pieces fit, and together they are what was queued.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use weir_api::watermark::Watermark;

use super::*;
use crate::network::wire::batch::{Encoder, decode};

const SIZES: Sizes = Sizes { segment_bytes: 4096, frame_bytes: 4 * 4096 };

/// One row per width: its number and texts of that width.
fn batch(first: i64, widths: &[usize]) -> Batch {
    let keys = Int64Array::from_iter_values((first..).take(widths.len()));
    let texts = StringArray::from_iter_values(widths.iter().map(|&width| "t".repeat(width)));
    let views = StringViewArray::from_iter_values(widths.iter().map(|&width| "v".repeat(width)));
    let columns = [("k", Arc::new(keys) as _), ("t", Arc::new(texts) as _), ("v", Arc::new(views) as _)];
    Batch::new(RecordBatch::try_from_iter(columns).unwrap())
}

fn queue_of(batches: &[Vec<usize>]) -> (ElementQueue, i64) {
    let mut queue = ElementQueue::default();
    let mut rows = 0;
    for widths in batches {
        let batch = batch(rows, widths);
        rows += widths.len() as i64;
        let cost = SIZES.cost(&batch);
        queue.push_batch(batch, cost);
        queue.push_event(StreamElement::Watermark(Watermark(rows)));
    }
    (queue, rows)
}

/// Mostly narrow rows, some wider than a frame.
fn width() -> impl Strategy<Value = usize> {
    prop_oneof![9 => 0_usize..100, 2 => 100_usize..5_000, 1 => 5_000_usize..40_000]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn pieces_fit_their_credit_and_nothing_is_lost(
        batches in prop::collection::vec(prop::collection::vec(width(), 1..60), 1..5),
        initial in 0_usize..6,
        grants in prop::collection::vec(1_usize..6, 1..20),
    ) {
        let (mut queue, rows) = queue_of(&batches);
        let schema = batch(0, &[1]).schema();
        let mut encoder = Encoder::new(&schema).unwrap();
        let mut remote = Remote::new(initial, SIZES);
        let (mut credit, mut frames, mut next_row, mut watermark) = (initial, 0, 0, 0);
        let mut grants = grants.into_iter().cycle();
        let mut asked_in_vain = 0;
        while !queue.is_empty() {
            match remote.next(&mut queue, Some(&schema), None).unwrap() {
                Some(Outgoing::Data(piece, prefix)) => {
                    asked_in_vain = 0;
                    let cost = prefix.cost as usize;
                    prop_assert!(cost <= credit, "{} segments against {}", cost, credit);
                    credit -= cost;
                    frames += 1;
                    let body: Vec<u8> = encoder.encode(&piece, prefix).unwrap().iter().flat_map(|b| b.to_vec()).collect();
                    prop_assert!(SIZES.segments(body.len()) <= cost, "{} bytes for {} segments", body.len(), cost);
                    // Larger than a frame only where its first record is.
                    let first = SIZES.cost(&own(&piece.slice(0, 1)).unwrap()) * SIZES.segment_bytes;
                    prop_assert!(body.len() <= SIZES.frame_bytes.max(first));
                    let piece = decode(body, &schema).unwrap();
                    for key in piece.records().column(0).as_primitive::<Int64Type>().values() {
                        prop_assert_eq!(*key, next_row);
                        next_row += 1;
                    }
                }
                Some(Outgoing::Event(StreamElement::Watermark(Watermark(time)))) => {
                    prop_assert_eq!(time, next_row, "a watermark stays behind its records");
                    watermark = time;
                }
                Some(Outgoing::Schema(_) | Outgoing::Backlog(_)) => {}
                Some(other) => prop_assert!(false, "{:?}", other),
                None => {
                    let segments = grants.next().unwrap();
                    credit += segments;
                    prop_assert!(remote.grant(segments, frames));
                    asked_in_vain += 1;
                    prop_assert!(asked_in_vain < 100, "no credit is ever enough");
                }
            }
        }
        prop_assert_eq!((next_row, watermark), (rows, rows));
    }
}

#[test]
fn what_is_asked_back_is_what_is_not_needed() {
    let (mut queue, _) = queue_of(&[vec![10; 5]]);
    let schema = batch(0, &[1]).schema();
    let mut remote = Remote::new(2, SIZES);
    assert!(remote.grant(6, 0));
    assert!(matches!(remote.next(&mut queue, Some(&schema), None), Ok(Some(Outgoing::Schema(_)))));
    remote.ask_back();
    let answer = remote.next(&mut queue, Some(&schema), None).unwrap();
    let Some(Outgoing::Backlog(Backlog { returned, backlog: 1, need: 1 })) = answer else {
        panic!("{answer:?} where credit is given back")
    };
    assert_eq!(returned, 6, "the exclusive two stay");
    assert!(matches!(remote.next(&mut queue, Some(&schema), None), Ok(Some(Outgoing::Data(..)))));
}
