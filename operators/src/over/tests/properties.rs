//! Random rows, barriers, restores: the operators answer as the model does.

use std::sync::Arc;

use proptest::prelude::*;
use weir_api::state::{Frozen, Scope};
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::over_aggregate_spec::Frame;
use weir_proto::v1::{AggregateCall, OverAggregateSpec};

use super::harness::{FLAG, Instances, NAME, NUMBER, Row, SMALL, Store, TEXT, Turned, VALUE, call, spec};
use super::model::Model;

#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<Row>),
    /// Event time goes on by so much.
    Watermark(i64),
    Freeze(Scope),
    /// What was frozen last goes on at this parallelism.
    Restore(u32),
}

fn any_row() -> impl Strategy<Value = Row> {
    let word = |letters: &'static str| proptest::string::string_regex(letters).unwrap();
    (
        proptest::option::weighted(0.9, -4..6_i64),
        proptest::option::weighted(0.9, -2..2_i32),
        proptest::option::weighted(0.9, word("[ab]{0,2}")),
        0..20_i64,
        proptest::option::weighted(0.8, prop_oneof![8 => -9..9_i64, 1 => any::<i64>()]),
        proptest::option::weighted(0.9, any::<bool>()),
        proptest::option::weighted(0.8, word("[a-d]{0,3}")),
    )
        .prop_map(|(number, small, name, time, value, flag, text)| Row {
            id: 0,
            number,
            small,
            name,
            time,
            value,
            flag,
            text,
        })
}

fn any_step() -> impl Strategy<Value = Step> {
    let scope = prop_oneof![Just(Scope::Full), Just(Scope::Changes)];
    prop_oneof![
        8 => proptest::collection::vec(any_row(), 0..30).prop_map(Step::Rows),
        4 => (0..12_i64).prop_map(Step::Watermark),
        3 => scope.prop_map(Step::Freeze),
        2 => (1..5_u32).prop_map(Step::Restore),
    ]
}

fn all_calls() -> Vec<AggregateCall> {
    vec![
        call(Function::Count, None, None),
        call(Function::Count, None, Some(FLAG)),
        call(Function::Count, Some(VALUE), None),
        call(Function::Sum, Some(VALUE), None),
        call(Function::Sum, Some(VALUE), Some(FLAG)),
        call(Function::Avg, Some(VALUE), None),
        call(Function::Min, Some(VALUE), None),
        call(Function::Max, Some(VALUE), Some(FLAG)),
        call(Function::FirstValue, Some(VALUE), None),
        call(Function::LastValue, Some(VALUE), None),
        call(Function::Min, Some(TEXT), None),
        call(Function::Max, Some(TEXT), Some(FLAG)),
        call(Function::FirstValue, Some(TEXT), None),
        call(Function::LastValue, Some(TEXT), None),
    ]
}

fn any_spec() -> impl Strategy<Value = OverAggregateSpec> {
    let keys: Vec<Vec<u32>> = vec![vec![], vec![NUMBER], vec![NAME], vec![NUMBER, SMALL], vec![NAME, SMALL]];
    let frame = prop_oneof![Just(None), Just(Some(Frame::Rows)), Just(Some(Frame::Range))];
    let calls = proptest::sample::subsequence(all_calls(), 0..=14);
    (proptest::sample::select(keys), frame, calls).prop_map(|(keys, frame, calls)| spec(&keys, frame, calls))
}

/// A barrier whose frozen parts aren't written yet, and what was then.
struct Pending {
    frozen: Vec<Box<dyn Frozen>>,
    then: Model,
}

struct Run {
    spec: OverAggregateSpec,
    instances: Instances,
    model: Model,
    /// Late rows that earlier instances have counted.
    pending: Option<Pending>,
    store: Store,
    /// What was then in the store.
    stored: Option<Model>,
    next_id: i64,
    /// Times go on with the watermark.
    base: i64,
}

impl Run {
    fn new(spec: &OverAggregateSpec) -> Self {
        let parallelism = if spec.key_columns.is_empty() { 1 } else { 2 };
        let clock = Arc::new(Turned::default());
        Self {
            spec: spec.clone(),
            instances: Instances::new(spec, parallelism, &clock),
            model: Model::new(spec),
            pending: None,
            store: Store::default(),
            stored: None,
            next_id: 0,
            base: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Rows(mut rows) => {
                for row in &mut rows {
                    row.id = self.next_id;
                    row.time += self.base - 8;
                    self.next_id += 1;
                }
                let late = (self.model.late, self.instances.metrics.num_late_records_dropped.get());
                check(self.instances.process(&rows), self.model.process(&rows));
                let counted = self.instances.metrics.num_late_records_dropped.get() - late.1;
                assert_eq!(counted, self.model.late - late.0, "late rows");
            }
            Step::Watermark(by) => {
                self.base += by;
                let watermark = self.base;
                check(self.instances.watermark(watermark), self.model.watermark(watermark));
            }
            Step::Freeze(scope) => {
                self.settle();
                let scope = if self.stored.is_none() { Scope::Full } else { scope };
                let frozen = self.instances.freeze(scope);
                self.pending = Some(Pending { frozen, then: self.model.clone() });
            }
            Step::Restore(parallelism) => {
                self.settle();
                let Some(stored) = &self.stored else { return };
                let parallelism = if self.spec.key_columns.is_empty() { 1 } else { parallelism };
                self.instances = Instances::new(&self.spec, parallelism, &self.instances.clock);
                self.instances.import(&self.store);
                self.model = stored.clone();
            }
        }
    }

    /// Writes what was frozen, long after the barrier.
    fn settle(&mut self) {
        if let Some(Pending { frozen, then }) = self.pending.take() {
            self.store.add(frozen);
            assert_eq!(self.store.rows("accumulators"), then.keys());
            assert_eq!(self.store.rows("rows"), then.waiting());
            self.stored = Some(then);
        }
    }
}

fn check(mut found: Vec<String>, mut wanted: Vec<String>) {
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn operators_answer_as_the_model(spec in any_spec(), steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut run = Run::new(&spec);
        steps.into_iter().for_each(|step| run.step(step));
        check(run.instances.finish(), run.model.watermark(i64::MAX));
    }
}
