//! A real snapshot, damaged in ten thousand ways: each is refused, naming file and offset.

use std::sync::Arc;
use std::time::Instant;

use arrow::compute::concat_batches;
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use weir_api::error::Code;
use weir_api::graph::KeyGroupRange;
use weir_api::id::{Attempt, CheckpointId, JobId};
use weir_api::sink::{Blobs, Committable};
use weir_api::state::StateTable;

use crate::blobs::BlobFolder;
use crate::layout::{JobFolder, SnapshotFolder};
use crate::manifest::{Layer, Manifest, PendingCommittables, Scope};
use crate::restore::{Source, complete};
use crate::sample::{delta_batch, delta_schema, handle, manifest, table};
use crate::show::{list, show};
use crate::storage::{Limits, Storage};
use crate::table::{self, Contents, encode};
use crate::verify::verify;

async fn write(storage: &Storage, job: &JobFolder, state: &StateTable, contents: Contents) -> Layer {
    let limits = table::Limits { block_bytes: 1500, file_bytes: 6000 };
    let mut files = Vec::new();
    for encoded in encode(state, contents, 1, limits).unwrap() {
        let file = handle(Scope::Shared, 1, 1, &encoded.summary);
        storage.put_file(job, &job.shared(&file.name.to_string()), &file.name, encoded.bytes).await.unwrap();
        files.push(file);
    }
    Layer { delta: contents == Contents::Delta, files }
}

async fn snapshot(storage: &Storage) -> (SnapshotFolder, Manifest) {
    let job = JobFolder::new(&Path::from("base"), JobId::from_bytes([0xab; 16]));
    let base = write(storage, &job, &table(0..128, 3), Contents::Full).await;
    let rows: Vec<_> =
        (0..128).map(|group| (group, i64::from(group) * 1000, (group % 2 == 0).then_some(99))).collect();
    let changes = StateTable {
        name: "counts".to_owned(),
        key_columns: 1,
        schema: delta_schema(),
        batches: vec![delta_batch(&rows)],
    };
    let delta = write(storage, &job, &changes, Contents::Delta).await;
    let mut manifest = manifest(1, vec![base, delta]);
    // Output that waits for its commit, in two blobs.
    let blobs = BlobFolder::new(storage.clone(), job.task_owned_folder(), Attempt(1));
    let mut entries = Vec::new();
    for rows in [vec![7; 900], (0..3000).map(|n| n as u8).collect()] {
        let blob = blobs.put(rows.into()).await.unwrap();
        entries.push(Committable { payload: Bytes::new(), blobs: vec![blob] });
    }
    let pending = PendingCommittables { checkpoint: CheckpointId(1), encoding_version: 1, entries };
    manifest.operators[0].subtasks[0].committables.push(pending);
    let folder = job.checkpoint(CheckpointId(1));
    assert!(complete(storage, &folder, &manifest).await.unwrap().is_none());
    (folder, manifest)
}

#[tokio::test]
async fn a_snapshot_is_read_back_with_its_changes() {
    let disk = tempfile::tempdir().unwrap();
    let files = object_store::local::LocalFileSystem::new_with_prefix(disk.path()).unwrap();
    let storage = Storage::local(files, "a", Limits::default());
    let (folder, manifest) = snapshot(&storage).await;
    assert!(verify(&storage, &folder).await.unwrap().is_whole());
    let listed = list(&storage, folder.job().path()).await.unwrap();
    assert_eq!(listed.len(), 1, "`shared` is no snapshot");
    assert_eq!((&listed[0].folder, listed[0].manifest.as_ref().unwrap()), (&folder, &manifest));
    let shown = show(&manifest).remove(0);
    assert_eq!((shown.committables, shown.blobs, shown.blob_bytes), (2, 2, 3900));
    let counts = &shown.states["counts"];
    assert_eq!((counts.rows, counts.layers), (128 * 4, 2));
    assert_eq!((counts.bytes, counts.files), (manifest.totals.full_bytes, manifest.files().count()));
    let kept = tempfile::tempdir().unwrap();
    let copies = crate::copies::Copies::open(kept.path().to_owned(), 1 << 20).await.unwrap();
    let source = Source { storage: storage.clone(), copies: Some(copies.clone()), folder: folder.clone() };
    assert_eq!(source.manifest().await.unwrap(), manifest);
    let (operator, _, table) = manifest.tables().next().unwrap();
    let range = KeyGroupRange { start: 31, end: 77 };
    for (round, deleted) in [false, false, true].into_iter().enumerate() {
        let mut reader = source.open(&operator.schemas[0], &table.layers, range).await.unwrap();
        let mut rows = 0;
        while let Some(batch) = reader.next(Contents::Full).await.unwrap() {
            rows += batch.num_rows();
        }
        // Of 46 groups with 3 rows each, 23 lost one.
        assert_eq!(rows, 46 * 3 - 23, "{round}");
        for file in manifest.files() {
            let path = folder.file(file);
            if !deleted && round == 0 {
                let mut bytes = storage.get(&path).await.unwrap().to_vec();
                bytes[70] ^= 1;
                bytes[600] ^= 1;
                copies.keep(file.name, bytes.into(), None).await.unwrap();
            } else if round == 1 {
                copies.keep(file.name, storage.get(&path).await.unwrap(), None).await.unwrap();
                storage.delete(&path).await.unwrap();
            }
        }
    }
    // The last round was read from the copies alone; without them the loss is named.
    let bare = Source { copies: None, ..source };
    let error = bare.open(&operator.schemas[0], &table.layers, range).await.unwrap_err();
    assert!(error.code() == Code::SnapshotDamaged && error.message().contains("missing"), "{error}");
}

#[tokio::test]
async fn how_much_is_read_at_once_changes_no_row() {
    let store = Arc::new(InMemory::new());
    let storage = Storage::objects(store.clone(), store, "a", Limits::default());
    let (folder, manifest) = snapshot(&storage).await;
    let source = Source { storage, copies: None, folder };
    let (operator, _, table) = manifest.tables().next().unwrap();
    let (schema, range) = (&operator.schemas[0], KeyGroupRange { start: 5, end: 111 });
    let mut read = Vec::new();
    for window_bytes in [u64::MAX, 0, 700, 2000, 9000] {
        let mut reader = source.open(schema, &table.layers, range).await.unwrap();
        reader.window_bytes = window_bytes;
        let mut batches = Vec::new();
        while let Some(batch) = reader.next(Contents::Full).await.unwrap() {
            batches.push(batch);
        }
        let rows = concat_batches(&schema.schema, &batches).unwrap();
        read.push((batches.len(), rows));
    }
    let windows: Vec<_> = read.iter().map(|(windows, _)| *windows).collect();
    assert_eq!(windows[..2], [1, 106]);
    assert!(windows[2..].iter().all(|windows| (2..106).contains(windows)), "{windows:?}");
    assert!(read.iter().all(|(_, rows)| *rows == read[0].1) && read[0].1.num_rows() == 106 * 3 - 53);
}

#[tokio::test]
async fn ten_thousand_damages_are_refused() {
    let store = Arc::new(InMemory::new());
    let storage = Storage::objects(store.clone(), store, "a", Limits::default());
    let (folder, manifest) = snapshot(&storage).await;
    let mut paths: Vec<_> = manifest.files().map(|file| folder.file(file)).collect();
    let blobs = folder.job().task_owned_folder();
    paths.extend(manifest.blobs().map(|blob| blobs.clone().join(blob.name.as_str())));
    paths.push(folder.metadata());
    assert!(paths.len() > 6 && verify(&storage, &folder).await.unwrap().files == paths.len() - 1);
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut pick = |below: usize| (random.next_u64() % below as u64) as usize;
    #[expect(clippy::disallowed_methods, reason = "the test says how long it took")]
    let started = Instant::now();
    for round in 0..10_000 {
        let path = &paths[pick(paths.len())];
        let other = &paths[pick(paths.len())];
        let (bytes, others) = (storage.get(path).await.unwrap(), storage.get(other).await.unwrap());
        let mut at = None;
        match if other == path { pick(3) } else { pick(4) } {
            0 => {
                let mut flipped = bytes.to_vec();
                let offset = pick(flipped.len());
                flipped[offset] ^= 1 << pick(8);
                at = Some(offset);
                storage.put(path, flipped.into()).await.unwrap();
            }
            1 => storage.put(path, bytes.slice(..pick(bytes.len()))).await.unwrap(),
            2 => storage.delete(path).await.unwrap(),
            _ => {
                storage.put(path, others.clone()).await.unwrap();
                storage.put(other, bytes.clone()).await.unwrap();
            }
        }
        let error = match verify(&storage, &folder).await {
            Ok(mut report) => report.problems.pop().unwrap_or_else(|| panic!("round {round}: {path} passed")),
            Err(error) => error,
        };
        let text = error.to_string();
        assert!(text.contains(path.as_ref()) || text.contains(other.as_ref()), "{text}");
        let missing_manifest = error.code() == Code::NotFound && *path == folder.metadata();
        assert!(missing_manifest || text.contains("at offset "), "round {round}, {at:?}: {text}");
        storage.put(path, bytes).await.unwrap();
        storage.put(other, others).await.unwrap();
    }
    assert!(verify(&storage, &folder).await.unwrap().is_whole());
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    println!("10,000 damages in {:?}", started.elapsed());
    let _: Bytes = storage.get(&folder.metadata()).await.unwrap();
}
