//! What the random tests don't come to: many keys, large batches, forgetting, other queries' state, limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_api::state::Scope;
use weir_proto::v1::OverAggregateSpec;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::over_aggregate_spec::Frame;

use super::harness::{
    Instances, NAME, NUMBER, Row, SMALL, Store, TEXT, Turned, VALUE, call, spec, try_operator,
};
use super::model::Model;

fn row(id: i64, number: i64, time: i64) -> Row {
    Row { id, number: Some(number), time, value: Some(id), ..Row::default() }
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_unstable();
    rows
}

/// Many chunks of keys, changes of few of them.
#[test]
fn changes_tell_of_changed_keys_alone() {
    let spec = spec(&[NUMBER], None, vec![call(Function::Count, None, None)]);
    let mut instances = Instances::new(&spec, 1, &Arc::default());
    let all: Vec<Row> = (0..20_000).map(|id| row(id, id, 0)).collect();
    for rows in all.chunks(7000) {
        instances.process(rows);
    }
    let mut store = Store::default();
    store.add(instances.freeze(Scope::Full));
    assert_eq!(store.rows("accumulators"), 20_000);
    instances.process(&[row(0, 5, 0), row(1, 19_999, 0), row(2, 20_000, 0), row(3, 5, 0)]);
    let mut changes = instances.freeze(Scope::Changes);
    let mut told = 0;
    while let Some((scope, table)) = changes[0].next().unwrap() {
        assert_eq!(scope, Scope::Changes);
        told += table.batches.iter().map(|batch| batch.num_rows()).sum::<usize>();
    }
    assert_eq!(told, 3);
    store.add(instances.freeze(Scope::Changes));
    assert_eq!(store.rows("accumulators"), 20_000, "nothing has changed since");
}

/// What is due fills many batches, of times that come out of order, and more rows than a batch has share one time.
#[test]
fn large_steps_of_event_time_leave_in_order() {
    for frame in [Frame::Rows, Frame::Range] {
        let spec = spec(&[NUMBER], Some(frame), vec![call(Function::Sum, Some(VALUE), None)]);
        let (mut instances, mut model) = (Instances::new(&spec, 1, &Arc::default()), Model::new(&spec));
        let time = |id: i64| if id < 12_000 { 7 } else { id * 7919 % 1000 };
        // The model sums all of a key's rows for each of them.
        let all: Vec<Row> = (0..24_000).map(|id| row(id, id % 3000, time(id))).collect();
        let mut start = 0;
        for length in [9000, 50, 20, 10_000, 1, 1, 1, 300].into_iter().cycle() {
            let end = (start + length).min(all.len());
            instances.process(&all[start..end]);
            model.process(&all[start..end]);
            start = end;
            if start == all.len() {
                break;
            }
        }
        for watermark in [5, 500, 2000] {
            let found = instances.watermark(watermark);
            let times: Vec<i64> =
                found.iter().map(|text| time(text.split(' ').next().unwrap().parse().unwrap())).collect();
            assert!(times.is_sorted(), "rows leave in the order of their times");
            assert_eq!(sorted(found), sorted(model.watermark(watermark)));
        }
    }
}

#[test]
fn keys_are_forgotten_after_a_time() {
    let spec = OverAggregateSpec {
        state_ttl_millis: 100,
        ..spec(&[NUMBER], None, vec![call(Function::Count, None, None)])
    };
    let clock = Arc::new(Turned::default());
    let at = |time: i64| clock.0.store(time, Ordering::Relaxed);
    at(1000);
    let mut instances = Instances::new(&spec, 1, &clock);
    assert_eq!(instances.process(&[row(0, 1, 0), row(1, 2, 0)]), ["0 | 1", "1 | 1"]);
    at(1090);
    assert_eq!(instances.process(&[row(2, 1, 0), row(3, 1, 0)]), ["2 | 2", "3 | 3"]);
    let mut store = Store::default();
    store.add(instances.freeze(Scope::Full));
    at(1150);
    store.add(instances.freeze(Scope::Changes));
    assert_eq!(store.rows("accumulators"), 2, "the forgotten key hasn't changed");
    let mut whole = Store::default();
    whole.add(instances.freeze(Scope::Full));
    assert_eq!(whole.rows("accumulators"), 1, "the forgotten key isn't told of");
    assert_eq!(instances.process(&[row(4, 1, 0), row(5, 2, 0)]), ["4 | 4", "5 | 1"]);

    let mut restored = Instances::new(&spec, 1, &clock);
    restored.import(&store);
    assert_eq!(restored.process(&[row(6, 1, 0), row(7, 2, 0)]), ["6 | 4", "7 | 1"]);
}

#[test]
fn state_of_another_query_is_migrated_or_refused() {
    let narrow = spec(&[NAME], Some(Frame::Rows), vec![call(Function::Count, None, None)]);
    let mut instances = Instances::new(&narrow, 1, &Arc::default());
    let named = |id, time| Row { name: Some("n".to_owned()), small: Some(7), ..row(id, 1, time) };
    instances.process(&[named(0, 1), named(1, 5)]);
    instances.watermark(1);
    let mut store = Store::default();
    store.add(instances.freeze(Scope::Full));

    // Another column is passed on: rows that wait don't have it.
    let wider = OverAggregateSpec { kept_columns: vec![0, SMALL], ..narrow.clone() };
    let mut restored = Instances::new(&wider, 1, &Arc::default());
    restored.import(&store);
    restored.process(&[named(2, 6)]);
    assert_eq!(restored.finish(), ["1 | - | 2", "2 | 7 | 3"]);

    let other = spec(&[NAME], Some(Frame::Rows), vec![call(Function::Sum, Some(TEXT), None)]);
    assert!(try_operator(&other).is_err(), "no sum of texts");
    let other = spec(&[NUMBER], Some(Frame::Rows), vec![call(Function::Count, None, None)]);
    let mut operator = Instances::new(&other, 1, &Arc::default());
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| operator.import(&store)));
    let text = refused.unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.contains("can't take") && text.contains("other keys than by 'number'"), "{text}");
}

/// Variances are sums of differences: compared with what they are by definition.
#[test]
fn variances_run() {
    let calls =
        vec![call(Function::VarPop, Some(VALUE), None), call(Function::StddevSamp, Some(VALUE), None)];
    let spec = spec(&[], None, calls);
    let mut instances = Instances::new(&spec, 1, &Arc::default());
    let rows: Vec<Row> = [2, 4, 12].into_iter().map(|id| row(id, 0, 0)).collect();
    assert_eq!(instances.process(&rows[..1]), ["2 | 0 | -"]);
    let mut store = Store::default();
    store.add(instances.freeze(Scope::Full));
    let mut restored = Instances::new(&spec, 1, &Arc::default());
    restored.import(&store);
    for mut instances in [instances, restored] {
        // Of integers, cut off: 1 and 1.41…; 18.66… and 5.29….
        assert_eq!(instances.process(&rows[1..]), ["4 | 1 | 1", "12 | 18 | 5"]);
    }
}
