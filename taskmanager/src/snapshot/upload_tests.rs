//! Uploads against a model of the state: what the files of each acknowledged checkpoint add up to.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use weir_api::config::Configuration;
use weir_api::id::{Attempt, JobId, SubtaskIndex, VertexIndex};
use weir_api::state::{KEY_GROUP_COLUMN, OperatorState, Pieces, Redistribution, StateTable};
use weir_api::storage::FileSystems;
use weir_proto::v1::{OperatorSnapshot, SnapshotKind, SnapshotManifest};
use weir_snapshots::delta::delta_schema;
use weir_snapshots::manifest::{Manifest, Scope as FileScope};
use weir_snapshots::restore::Source;
use weir_snapshots::table::Contents;

use super::*;
use crate::task::Letter;

const JOB: JobId = JobId::from_bytes([7; 16]);
const GROUPS: u32 = 8;
const LOCATION: &str = "memory://uploads/base";

/// Key group and key, to the value.
type Model = BTreeMap<(u32, i64), i64>;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false),
        Field::new("k", DataType::Int64, false),
        Field::new("v", DataType::Int64, false),
    ]))
}

/// Rows in pieces of a few: all of the model, or what changed, `None` for what was removed.
fn pieces(scope: Scope, rows: &BTreeMap<(u32, i64), Option<i64>>) -> Box<Pieces> {
    let (name, key_columns) = ("counts".to_owned(), 1);
    let table_schema = if scope == Scope::Full { schema() } else { delta_schema(&schema(), 1) };
    let rows: Vec<_> = rows.iter().collect();
    let mut all = VecDeque::new();
    let none: &[(&(u32, i64), &Option<i64>)] = &[];
    for piece in if rows.is_empty() { vec![none] } else { rows.chunks(7).collect() } {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(piece.iter().map(|((group, _), _)| *group).collect::<UInt32Array>()),
            Arc::new(piece.iter().map(|((_, key), _)| *key).collect::<Int64Array>()),
            Arc::new(piece.iter().map(|(_, value)| **value).collect::<Int64Array>()),
        ];
        if scope == Scope::Changes {
            columns.insert(
                1,
                Arc::new(piece.iter().map(|(_, value)| Some(value.is_none())).collect::<BooleanArray>()),
            );
        }
        let batch = RecordBatch::try_new(Arc::clone(&table_schema), columns).unwrap();
        let (name, schema) = (name.clone(), Arc::clone(&table_schema));
        all.push_back((scope, StateTable { name, schema, key_columns, batches: vec![batch] }));
    }
    Box::new(Pieces(all))
}

fn stores(copies: Option<&std::path::Path>) -> Arc<Stores> {
    let file_systems = FileSystems::new(&Configuration::default()).with_memory();
    Arc::new(Stores::new(file_systems, "test".to_owned(), copies.map(|path| (path.to_owned(), 1 << 20))))
}

fn uploader(stores: &Arc<Stores>, mailbox: &Mailbox) -> Uploader {
    uploader_at(LOCATION, Chains::default(), stores, mailbox)
}

fn uploader_at(location: &str, chains: Chains, stores: &Arc<Stores>, mailbox: &Mailbox) -> Uploader {
    let task =
        ExecutionId { job: JOB, attempt: Attempt(3), vertex: VertexIndex(1), subtask: SubtaskIndex(0) };
    let key_groups = KeyGroupRange { start: 0, end: GROUPS };
    let owner = Owner { task, operators: 2, key_groups, location: location.to_owned(), sink: Some(1) };
    Uploader::start(owner, Arc::clone(stores), chains, mailbox.clone(), &tokio::runtime::Handle::current())
}

fn job(
    checkpoint: u64,
    scope: Scope,
    rows: &BTreeMap<(u32, i64), Option<i64>>,
    savepoint: Option<&str>,
) -> Job {
    let state = OperatorState {
        name: "list".to_owned(),
        redistribution: Redistribution::List,
        encoding_version: 1,
        entries: vec![checkpoint.to_be_bytes().to_vec().into()],
    };
    let operator = FrozenOperator { position: 0, keyed: Some(pieces(scope, rows)), states: vec![state] };
    let snapshot = Snapshot {
        checkpoint: CheckpointId(checkpoint),
        scope,
        operators: vec![operator],
        splits: None,
        freeze: Duration::ZERO,
    };
    let prepared = vec![(CheckpointId(checkpoint), vec![vec![1, 2, 3].into()])];
    Job { snapshot, savepoint: savepoint.map(str::to_owned), prepared }
}

async fn ended(mailbox: &Mailbox) -> Uploaded {
    let next = poll_fn(|cx| match mailbox.letters(cx).pop_front() {
        Some(Letter::Uploaded(uploaded)) => Poll::Ready(*uploaded),
        other => {
            assert!(other.is_none());
            Poll::Pending
        }
    });
    tokio::time::timeout(Duration::from_secs(20), next).await.expect("the upload ends")
}

fn manifest(checkpoint: u64, part: TaskSnapshot) -> Manifest {
    let operators = part.operators.into_iter().map(|part| OperatorSnapshot {
        uid: format!("op-{}", part.operator),
        name: "op".to_owned(),
        parallelism: 1,
        schemas: part.schemas,
        subtasks: part.subtask.into_iter().collect(),
    });
    Manifest::from_message(SnapshotManifest {
        job_id: JOB.as_bytes().to_vec(),
        checkpoint_id: checkpoint,
        kind: SnapshotKind::Checkpoint.into(),
        max_parallelism: GROUPS,
        operators: operators.collect(),
        ..SnapshotManifest::default()
    })
    .unwrap()
}

/// What the manifest's files add up to, read in two halves as two tasks would.
async fn read(stores: &Stores, manifest: &Manifest, location: &str) -> Model {
    let (storage, path) = stores.at(location).unwrap();
    let folder = match location {
        savepoint if savepoint.contains("savepoint") => SnapshotFolder::named(&path),
        _ => JobFolder::new(&path, JOB).checkpoint(manifest.checkpoint),
    };
    let source = Source { storage, copies: None, folder };
    let mut found = Model::new();
    let operator = &manifest.operators[0];
    for (start, end) in [(0, 3), (3, GROUPS)] {
        let table = &operator.subtasks[0].tables[0];
        let range = KeyGroupRange { start, end };
        let mut reader = source.open(&operator.schemas[0], &table.layers, range).await.unwrap();
        while let Some(rows) = reader.next(Contents::Full).await.unwrap() {
            let groups = rows.column(0).as_primitive::<UInt32Type>();
            let (keys, values) =
                (rows.column(1).as_primitive::<Int64Type>(), rows.column(2).as_primitive::<Int64Type>());
            for row in 0..rows.num_rows() {
                found.insert((groups.value(row), keys.value(row)), values.value(row));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_checkpoint_adds_up_to_the_state_and_chains_stay_short() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, mailbox) = (stores(Some(folder.path())), Mailbox::new(0));
    let mut uploader = uploader(&stores, &mailbox);
    let mut random = StdRng::seed_from_u64(5);
    let mut model = Model::new();
    let (mut scope, mut most, mut merges, mut last) = (Scope::Full, 0, 0, 0);
    for checkpoint in 1..=150 {
        let mut changed: BTreeMap<(u32, i64), Option<i64>> = BTreeMap::new();
        for _ in 0..random.random_range(0..30) {
            let key = (random.random_range(0..GROUPS), random.random_range(0..20));
            changed.insert(key, random.random_bool(0.7).then(|| random.random_range(0..1000)));
        }
        for (key, value) in &changed {
            match value {
                Some(value) => model.insert(*key, *value),
                None => model.remove(key),
            };
        }
        let everything = model.iter().map(|(key, value)| (*key, Some(*value))).collect();
        let rows = if scope == Scope::Full { &everything } else { &changed };
        uploader.begin(job(checkpoint, scope, rows, None));
        let given_up = random.random_bool(0.05);
        if given_up {
            uploader.cancel(CheckpointId(checkpoint));
        }
        let Uploaded { result, kept, .. } = ended(&mailbox).await;
        uploader.ended(CheckpointId(checkpoint));
        // As the machine decides.
        scope = if result.is_ok() || kept { Scope::Changes } else { Scope::Full };
        let Ok(part) = result else {
            assert!(given_up);
            continue;
        };
        let manifest = manifest(checkpoint, part);
        assert_eq!(read(&stores, &manifest, LOCATION).await, model, "checkpoint {checkpoint}");
        let layers = manifest.operators[0].subtasks[0].tables[0].layers.len();
        merges += usize::from(layers < last);
        (most, last) = (most.max(layers), layers);
        assert_eq!(manifest.operators[0].subtasks[0].operator_states.len(), 1);
        assert_eq!(manifest.operators[1].subtasks[0].committables[0].checkpoint, CheckpointId(checkpoint));
    }
    assert!(most > 2 && most <= 20 && merges > 3, "{most} layers at most, {merges} merges");
    assert!(stores.copies().await.unwrap().bytes() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_holds_everything_and_is_no_base() {
    let (stores, mailbox) = (stores(None), Mailbox::new(0));
    let mut uploader = uploader(&stores, &mailbox);
    let rows: BTreeMap<_, _> = (0..40).map(|n| ((n % GROUPS, i64::from(n)), Some(1))).collect();
    let savepoint = "memory://other/savepoints/savepoint-1";
    uploader.begin(job(1, Scope::Full, &rows, Some(savepoint)));
    let manifest = manifest(1, ended(&mailbox).await.result.unwrap());
    assert!(manifest.files().all(|file| file.scope == FileScope::Exclusive));
    assert_eq!(read(&stores, &manifest, savepoint).await.len(), 40);
    // Changes have nothing to change.
    uploader.begin(job(2, Scope::Changes, &rows, None));
    let reason = ended(&mailbox).await.result.unwrap_err();
    assert!(reason.contains("changes of state `counts` without"), "{reason}");
    // A place that can't be written is told with its name.
    uploader.begin(job(3, Scope::Full, &rows, Some("ftp://nowhere/x")));
    let reason = ended(&mailbox).await.result.unwrap_err();
    assert!(reason.contains("ftp"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_share_few_places_and_all_come_through() {
    let stores = stores(None);
    let rows: BTreeMap<_, _> = (0..100).map(|n| ((n / 13, i64::from(n)), Some(1))).collect();
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let mailbox = Mailbox::new(0);
            let mut uploader = uploader(&stores, &mailbox);
            uploader.begin(job(1, Scope::Full, &rows, None));
            (uploader, mailbox)
        })
        .collect();
    for (_uploader, mailbox) in tasks {
        ended(&mailbox).await.result.unwrap();
    }
}

#[path = "lost_tests.rs"]
mod lost;
