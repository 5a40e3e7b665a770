//! State that leaves instances and enters others, at another parallelism and at different watermarks.

use proptest::prelude::*;
use weir_api::graph::KeyGroupRange;
use weir_api::state::{KEY_GROUP_COLUMN, Scope, StateTable};
use weir_proto::v1::WindowAggregateSpec;
use weir_proto::v1::window_aggregate_spec::Phase;

use super::harness::{Instance, MAX_PARALLELISM, Row, batch_of, route, spec, texts, tumble};
use super::model::Model;
use super::properties::{any_keys, any_row, any_window, distinct_calls, plain_calls, sorted};

/// What happens to a job of one phase.
#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<Row>),
    /// At the instance that this number leads to.
    Watermark(u32, i64),
    Rescale(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::collection::vec(any_row(), 1..40).prop_map(Step::Rows),
        5 => (0..4_u32, -50..90_i64).prop_map(|(subtask, watermark)| Step::Watermark(subtask, watermark)),
        2 => (1..5_u32).prop_map(Step::Rescale),
    ]
}

fn open(spec: &WindowAggregateSpec, parallelism: u32) -> Vec<Instance> {
    (0..parallelism).map(|subtask| Instance::new(spec, Phase::Single, 1).open(subtask, parallelism)).collect()
}

fn range(subtask: u32, parallelism: u32) -> KeyGroupRange {
    KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM)
}

fn export(instance: &mut Instance, range: KeyGroupRange) -> Vec<StateTable> {
    let mut frozen = instance.operator.keyed_state().unwrap().freeze(Scope::Full).unwrap();
    let tables: Vec<StateTable> =
        std::iter::from_fn(|| frozen.next().unwrap()).map(|(_, table)| within(table, range)).collect();
    for table in &tables {
        let mut last = 0;
        for batch in &table.batches {
            assert_eq!(batch.schema().field(0).name(), KEY_GROUP_COLUMN);
            let groups = batch.column(0).as_any().downcast_ref::<arrow::array::UInt32Array>().unwrap();
            for &group in groups.values() {
                assert!(
                    range.contains(group) && last <= group,
                    "rows are sorted by key group, within the range"
                );
                last = group;
            }
        }
    }
    tables
}

/// The rows of some key groups.
fn within(mut table: StateTable, range: KeyGroupRange) -> StateTable {
    for batch in &mut table.batches {
        let groups = batch.column(0).as_any().downcast_ref::<arrow::array::UInt32Array>().unwrap();
        let keep = groups.iter().map(|group| group.map(|group| range.contains(group))).collect();
        *batch = arrow::compute::filter_record_batch(batch, &keep).unwrap();
    }
    table
}

fn rescale(spec: &WindowAggregateSpec, mut old: Vec<Instance>, parallelism: u32) -> Vec<Instance> {
    (0..parallelism)
        .map(|subtask| {
            let mut instance = Instance::new(spec, Phase::Single, 1);
            for old in &mut old {
                for table in export(old, range(subtask, parallelism)) {
                    instance.operator.keyed_state().unwrap().import(&table).unwrap();
                }
            }
            instance.open(subtask, parallelism)
        })
        .collect()
}

/// Everything emitted and the number of late rows; model and operators side by side.
fn run(spec: &WindowAggregateSpec, steps: &[Step]) -> (Vec<Vec<String>>, Vec<Vec<String>>, u64, u64) {
    let keys: Vec<usize> = spec.key_columns.iter().map(|&key| key as usize).collect();
    let (mut model, mut expected, mut found, mut late) = (Model::new(spec), Vec::new(), Vec::new(), 0);
    let mut instances = open(spec, 2);
    for step in steps {
        match step {
            Step::Rows(rows) => {
                rows.iter().for_each(|row| model.process(row));
                let parts = route(&batch_of(rows), &keys, instances.len() as u32);
                for (instance, part) in instances.iter_mut().zip(parts) {
                    instance.process(part);
                }
            }
            Step::Watermark(subtask, watermark) => {
                let parallelism = instances.len() as u32;
                let subtask = subtask % parallelism;
                let groups = range(subtask, parallelism);
                expected.push(sorted(model.watermark(*watermark, groups.start..groups.end)));
                found.push(sorted(texts(&instances[subtask as usize].watermark(*watermark))));
            }
            Step::Rescale(parallelism) => {
                late += instances.iter().map(Instance::late).sum::<u64>();
                instances = rescale(spec, instances, *parallelism);
            }
        }
    }
    expected.push(sorted(model.watermark(i64::MAX - 1, 0..MAX_PARALLELISM)));
    found.push(sorted(instances.iter_mut().flat_map(|instance| texts(&instance.finish())).collect()));
    late += instances.iter().map(Instance::late).sum::<u64>();
    (found, expected, late, model.late.len() as u64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn rescaling_changes_nothing(
        window in any_window(),
        keys in any_keys(),
        distinct in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 1..30),
    ) {
        let calls = if distinct { distinct_calls() } else { plain_calls() };
        let (found, expected, late, expected_late) = run(&spec(window, &keys, calls), &steps);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(late, expected_late);
    }
}

#[test]
fn state_of_another_query_is_refused() {
    let one = spec(tumble(10, 0), &[0], plain_calls());
    let other = spec(tumble(10, 0), &[2], distinct_calls());
    let mut instance = Instance::new(&one, Phase::Single, 1).open(0, 1);
    instance.process(batch_of(&[super::harness::row(1, 5, 7)]));
    let tables = export(&mut instance, range(0, 1));
    let panes = tables.iter().find(|table| table.name == "panes").unwrap();
    let mut target = Instance::new(&other, Phase::Single, 1);
    let error = target.operator.keyed_state().unwrap().import(panes).unwrap_err();
    assert!(error.message().contains("panes"), "{error}");
}
