//! State that leaves instances and enters others: at barriers, as deltas, at another parallelism and at different watermarks.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::AsArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt32Type;
use proptest::prelude::*;
use weir_api::graph::KeyGroupRange;
use weir_api::state::{Frozen, KEY_GROUP_COLUMN, Scope, StateTable, TOMBSTONE_COLUMN};
use weir_proto::v1::WindowAggregateSpec;
use weir_proto::v1::window_aggregate_spec::Phase;
use weir_snapshots::delta::{LayerRows, merge};
use weir_snapshots::table::Contents;

use super::harness::{Instance, MAX_PARALLELISM, Row, batch_of, route, row, spec, texts, tumble};
use super::model::Model;
use super::properties::{any_keys, any_row, any_window, distinct_calls, plain_calls, sorted};

/// What happens to a job of one phase.
#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<Row>),
    /// At the instance that this number leads to.
    Watermark(u32, i64),
    Barrier(Scope),
    /// What the oldest unread barrier froze is read.
    Read,
    /// From what was read last; at another parallelism or, with 0, at the same.
    Restore(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => proptest::collection::vec(any_row(), 1..20).prop_map(Step::Rows),
        // Small enough that tables are merged in several steps.
        6 => proptest::collection::vec(any_row(), 1..4).prop_map(Step::Rows),
        4 => (0..4_u32, -50..90_i64).prop_map(|(subtask, watermark)| Step::Watermark(subtask, watermark)),
        1 => Just(Step::Barrier(Scope::Full)),
        4 => Just(Step::Barrier(Scope::Changes)),
        4 => Just(Step::Read),
        1 => (0..5_u32).prop_map(Step::Restore),
    ]
}

fn range(subtask: u32, parallelism: u32) -> KeyGroupRange {
    KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM)
}

/// The layers of each of an instance's tables.
#[derive(Clone, Default)]
struct Chain(BTreeMap<String, (StateTable, Vec<LayerRows>)>);

impl Chain {
    /// Reads what was frozen, as an uploader does.
    fn add(&mut self, frozen: &mut dyn Frozen, range: KeyGroupRange) {
        let mut read: BTreeMap<String, (Scope, StateTable)> = BTreeMap::new();
        while let Some((scope, piece)) = frozen.next().unwrap() {
            check_sorted(&piece, scope, range);
            match read.get_mut(&piece.name) {
                Some((first, table)) => {
                    assert_eq!(*first, scope, "one scope for all pieces");
                    let last = |table: &StateTable| table.batches.last().map(|batch| batch.num_rows());
                    if let (Some(rows), Some(next)) = (last(table), piece.batches.first()) {
                        let groups = |at: usize, batch: &arrow::array::RecordBatch| {
                            batch.column(0).as_primitive::<UInt32Type>().value(at)
                        };
                        assert!(groups(rows - 1, table.batches.last().unwrap()) <= groups(0, next));
                    }
                    table.batches.extend(piece.batches);
                }
                None => {
                    read.insert(piece.name.clone(), (scope, piece));
                }
            }
        }
        for (name, (scope, table)) in read {
            let contents = if scope == Scope::Full { Contents::Full } else { Contents::Delta };
            let layer = LayerRows { contents, batches: table.batches.clone() };
            match scope {
                Scope::Full => {
                    self.0.insert(name, (table, vec![layer]));
                }
                Scope::Changes => self.0.get_mut(&name).expect("changes of something").1.push(layer),
            }
        }
    }

    /// All rows of each table as texts.
    fn texts(&self) -> Vec<(String, Vec<String>)> {
        self.tables().into_iter().map(|table| (table.name, sorted(texts(&table.batches)))).collect()
    }

    /// All rows of each table.
    fn tables(&self) -> Vec<StateTable> {
        let merged = self.0.values().map(|(table, layers)| {
            let rows = merge(&table.schema, table.key_columns, layers, Contents::Full).unwrap();
            StateTable { batches: vec![rows], ..table.clone() }
        });
        merged.collect()
    }
}

fn check_sorted(table: &StateTable, scope: Scope, range: KeyGroupRange) {
    let mut last = 0;
    for batch in &table.batches {
        assert_eq!(batch.schema_ref(), &table.schema);
        assert_eq!(batch.schema().field(0).name(), KEY_GROUP_COLUMN);
        assert_eq!(batch.schema().field(1).name() == TOMBSTONE_COLUMN, scope == Scope::Changes);
        for &group in batch.column(0).as_primitive::<UInt32Type>().values() {
            assert!(range.contains(group) && last <= group, "rows are sorted by key group, within the range");
            last = group;
        }
    }
}

/// The rows of some key groups.
fn within(table: &StateTable, range: KeyGroupRange) -> StateTable {
    let mut table = table.clone();
    for batch in &mut table.batches {
        let groups = batch.column(0).as_primitive::<UInt32Type>();
        let keep = groups.iter().map(|group| group.map(|group| range.contains(group))).collect();
        *batch = filter_record_batch(batch, &keep).unwrap();
    }
    table
}

/// What a barrier left behind, of all instances.
struct Barrier {
    frozen: Vec<Box<dyn Frozen>>,
    /// The same, whole.
    whole: Vec<Box<dyn Frozen>>,
    model: Model,
}

/// Operators and model side by side.
struct Job<'a> {
    spec: &'a WindowAggregateSpec,
    instances: Vec<Instance>,
    model: Model,
    /// Rows that were late before the instances were made.
    late: u64,
    unread: VecDeque<Barrier>,
    read: Option<(Vec<Chain>, Model)>,
}

impl<'a> Job<'a> {
    fn new(spec: &'a WindowAggregateSpec) -> Self {
        let instances =
            (0..2).map(|subtask| Instance::new(spec, Phase::Single, 1).open(subtask, 2)).collect();
        Self { spec, instances, model: Model::new(spec), late: 0, unread: VecDeque::new(), read: None }
    }

    fn parallelism(&self) -> u32 {
        self.instances.len() as u32
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Rows(rows) => {
                let keys: Vec<usize> = self.spec.key_columns.iter().map(|&key| key as usize).collect();
                rows.iter().for_each(|row| self.model.process(row));
                let parts = route(&batch_of(rows), &keys, self.parallelism());
                for (instance, part) in self.instances.iter_mut().zip(parts) {
                    instance.process(part);
                }
            }
            Step::Watermark(subtask, watermark) => {
                let subtask = subtask % self.parallelism();
                let groups = range(subtask, self.parallelism());
                let expected = sorted(self.model.watermark(*watermark, groups.start..groups.end));
                let found = sorted(texts(&self.instances[subtask as usize].watermark(*watermark)));
                assert_eq!(found, expected);
            }
            Step::Barrier(scope) => self.barrier(*scope),
            Step::Read => self.read(),
            Step::Restore(parallelism) => self.restore(*parallelism),
        }
        let late: u64 = self.instances.iter().map(Instance::late).sum();
        assert_eq!(
            self.late + late,
            self.model.late.len() as u64,
            "rows are late for the model and for the operator"
        );
    }

    fn barrier(&mut self, scope: Scope) {
        // The first one can't build on anything.
        let first = self.read.is_none() && self.unread.is_empty();
        let scope = if first { Scope::Full } else { scope };
        let mut freeze = |scope: Scope| -> Vec<Box<dyn Frozen>> {
            let freeze = |instance: &mut Instance| {
                instance.flush();
                instance.operator.keyed_state().unwrap().freeze(scope).unwrap()
            };
            self.instances.iter_mut().map(freeze).collect()
        };
        let (frozen, whole) = (freeze(scope), freeze(Scope::Full));
        self.unread.push_back(Barrier { frozen, whole, model: self.model.clone() });
    }

    fn read(&mut self) {
        let Some(mut barrier) = self.unread.pop_front() else { return };
        let parallelism = self.parallelism();
        let mut chains = match self.read.take() {
            Some((chains, _)) => chains,
            None => vec![Chain::default(); parallelism as usize],
        };
        for ((subtask, chain), frozen) in (0..).zip(&mut chains).zip(&mut barrier.frozen) {
            chain.add(frozen.as_mut(), range(subtask, parallelism));
        }
        for ((subtask, chain), whole) in (0..).zip(&chains).zip(&mut barrier.whole) {
            let mut alone = Chain::default();
            alone.add(whole.as_mut(), range(subtask, parallelism));
            assert_eq!(chain.texts(), alone.texts(), "the layers add up to the whole");
        }
        self.read = Some((chains, barrier.model));
    }

    fn restore(&mut self, parallelism: u32) {
        let Some((chains, model)) = &self.read else { return };
        let parallelism = if parallelism == 0 { self.parallelism() } else { parallelism };
        let tables: Vec<StateTable> = chains.iter().flat_map(Chain::tables).collect();
        self.model = model.clone();
        self.late = model.late.len() as u64;
        self.unread.clear();
        let same = parallelism == self.parallelism();
        self.instances = (0..parallelism)
            .map(|subtask| {
                let mut instance = Instance::new(self.spec, Phase::Single, 1).open(subtask, parallelism);
                for table in &tables {
                    let part = within(table, range(subtask, parallelism));
                    instance.operator.keyed_state().unwrap().import(&part).unwrap();
                }
                instance
            })
            .collect();
        if !same {
            // Others' layers can't be built on.
            self.read = None;
        }
    }

    fn end(mut self) {
        let expected = sorted(self.model.watermark(i64::MAX - 1, 0..MAX_PARALLELISM));
        let found = self.instances.iter_mut().flat_map(|instance| texts(&instance.finish())).collect();
        assert_eq!(sorted(found), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn barriers_and_restores_change_nothing(
        window in any_window(),
        keys in any_keys(),
        distinct in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 1..50),
    ) {
        let calls = if distinct { distinct_calls() } else { plain_calls() };
        let spec = spec(window, &keys, calls);
        let mut job = Job::new(&spec);
        steps.iter().for_each(|step| job.step(step));
        job.end();
    }
}

#[test]
fn removed_panes_are_told_of_once() {
    let spec = spec(tumble(10, 0), &[0], plain_calls());
    let mut instance = Instance::new(&spec, Phase::Single, 1).open(0, 1);
    let changes = |instance: &mut Instance, scope| {
        let mut frozen = instance.operator.keyed_state().unwrap().freeze(scope).unwrap();
        let pieces = std::iter::from_fn(move || frozen.next().unwrap());
        let (scope, panes) = pieces.into_iter().find(|(_, table)| table.name == "panes").unwrap();
        let batches = panes.batches.iter();
        let removed = |batch: &arrow::array::RecordBatch| match scope {
            Scope::Full => 0,
            Scope::Changes => batch.column(1).as_boolean().true_count(),
        };
        (
            scope,
            batches.clone().map(|batch| batch.num_rows()).sum::<usize>(),
            batches.map(removed).sum::<usize>(),
        )
    };
    instance.process(batch_of(&[row(1, 5, 7), row(2, 15, 7), row(3, 15, 7)]));
    assert_eq!(changes(&mut instance, Scope::Full), (Scope::Full, 3, 0));
    assert_eq!(changes(&mut instance, Scope::Changes), (Scope::Changes, 0, 0));
    instance.process(batch_of(&[row(2, 16, 7)]));
    instance.watermark(9);
    assert_eq!(changes(&mut instance, Scope::Changes), (Scope::Changes, 2, 1));
    assert_eq!(changes(&mut instance, Scope::Changes), (Scope::Changes, 0, 0));
    instance.watermark(19);
    // There are more to be removed than to be kept.
    assert_eq!(changes(&mut instance, Scope::Changes), (Scope::Full, 0, 0));
}

#[test]
fn state_of_another_query_is_refused() {
    let one = spec(tumble(10, 0), &[0], plain_calls());
    let other = spec(tumble(10, 0), &[2], distinct_calls());
    let mut instance = Instance::new(&one, Phase::Single, 1).open(0, 1);
    instance.process(batch_of(&[row(1, 5, 7)]));
    let mut chain = Chain::default();
    chain.add(instance.operator.keyed_state().unwrap().freeze(Scope::Full).unwrap().as_mut(), range(0, 1));
    let tables = chain.tables();
    let panes = tables.iter().find(|table| table.name == "panes").unwrap();
    let mut target = Instance::new(&other, Phase::Single, 1).open(0, 1);
    let error = target.operator.keyed_state().unwrap().import(panes).unwrap_err();
    assert!(error.message().contains("panes"), "{error}");
}
