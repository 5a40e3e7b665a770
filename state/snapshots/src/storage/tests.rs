//! The promises of a store, on a disk and in memory, and what crashes leave behind.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use object_store::memory::InMemory;
use weir_api::error::Code;
use weir_api::id::{Attempt, CheckpointId, JobId};

use super::*;
use crate::layout::JobFolder;
use crate::name::{ContentHash, FileName};

const SMALL: Limits = Limits { part_bytes: 1000, concurrent: 3, bytes_in_flight: 4096 };

fn in_memory(store: &Arc<InMemory>, writer: &str) -> Storage {
    Storage::objects(store.clone(), store.clone(), writer, SMALL)
}

fn on_disk(folder: &tempfile::TempDir, writer: &str) -> Storage {
    Storage::local(LocalFileSystem::new_with_prefix(folder.path()).unwrap(), writer, SMALL)
}

async fn keeps_its_promises(a: &Storage, b: &Storage) {
    let path = Path::from("base/job/chk-1/_metadata");
    let bytes = Bytes::from_static(b"from a");
    assert_eq!(a.create(&path, bytes.clone()).await.unwrap(), Created::Ours);
    assert_eq!(a.create(&path, bytes.clone()).await.unwrap(), Created::Ours, "the answer was lost");
    let theirs = b.create(&path, Bytes::from_static(b"from b")).await.unwrap();
    assert_eq!(theirs, Created::Theirs(bytes.clone()));
    assert_eq!(b.get(&path).await.unwrap(), bytes);
    assert_eq!(b.get_range(&path, 2, 3).await.unwrap(), bytes.slice(2..5));
    assert_eq!(b.size(&path).await.unwrap(), Some(6));

    let other = Path::from("base/job/shared/file");
    a.put(&other, Bytes::from_static(b"x")).await.unwrap();
    b.put(&other, Bytes::from_static(b"x")).await.unwrap();
    let mut listed: Vec<_> = a.list(&Path::from("base/job")).await.unwrap();
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(
        listed.iter().map(|file| (&file.path, file.bytes)).collect::<Vec<_>>(),
        [(&path, 6), (&other, 1)]
    );
    assert!(listed.iter().all(|file| file.modified_millis > 1_600_000_000_000));
    assert_eq!(a.list_names(&Path::from("base/job")).await.unwrap().len(), 2);
    assert!(a.list(&Path::from("nothing")).await.unwrap().is_empty());

    a.delete(&other).await.unwrap();
    a.delete(&other).await.unwrap();
    assert_eq!(a.size(&other).await.unwrap(), None);
    assert_eq!(a.get(&other).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_disk_and_memory_keep_their_promises() {
    let store = Arc::new(InMemory::new());
    keeps_its_promises(&in_memory(&store, "a"), &in_memory(&store, "b")).await;
    let folder = tempfile::tempdir().unwrap();
    keeps_its_promises(&on_disk(&folder, "a"), &on_disk(&folder, "b")).await;
}

#[tokio::test]
async fn of_many_writers_one_wins_and_all_know_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(InMemory::new());
    for disk in [false, true] {
        let writers = (0..8).map(|n| {
            let storage =
                if disk { on_disk(&folder, &format!("w{n}")) } else { in_memory(&store, &format!("w{n}")) };
            async move {
                storage.create(&Path::from("chk-1/_metadata"), format!("writer {n}").into()).await.unwrap()
            }
        });
        let outcomes = futures::future::join_all(writers).await;
        let winner = outcomes.iter().position(|outcome| *outcome == Created::Ours).unwrap();
        for (n, outcome) in outcomes.iter().enumerate().filter(|(n, _)| *n != winner) {
            assert_eq!(*outcome, Created::Theirs(format!("writer {winner}").into()), "writer {n}");
        }
    }
}

fn large() -> (JobFolder, FileName, Path, Bytes) {
    let job = JobFolder::new(&Path::from("base"), JobId::from_bytes([1; 16]));
    let bytes: Bytes = (0..10_500u32).map(|n| n as u8).collect::<Vec<_>>().into();
    let name = FileName { attempt: Attempt(1), checkpoint: CheckpointId(2), hash: ContentHash::of(&bytes) };
    let path = job.shared(&name.to_string());
    (job, name, path, bytes)
}

#[tokio::test]
async fn a_large_file_goes_in_parts_and_its_record_goes_away() {
    let store = Arc::new(InMemory::new());
    let storage = in_memory(&store, "a");
    let (job, name, path, bytes) = large();
    storage.put_file(&job, &path, &name, bytes.clone()).await.unwrap();
    assert_eq!(storage.get(&path).await.unwrap(), bytes);
    assert!(storage.list(&job.uploads()).await.unwrap().is_empty());
}

/// A store that lets every request wait once before and once after it is served, so that a test can stop between.
#[derive(Debug)]
struct Halting(Arc<InMemory>);

async fn halt() {
    let mut halted = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut halted, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[async_trait::async_trait]
impl MultipartStore for Halting {
    async fn create_multipart(&self, path: &Path) -> object_store::Result<object_store::MultipartId> {
        self.0.create_multipart(path).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &object_store::MultipartId,
        index: usize,
        data: object_store::PutPayload,
    ) -> object_store::Result<object_store::multipart::PartId> {
        halt().await;
        let part = self.0.put_part(path, id, index, data).await;
        halt().await;
        part
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &object_store::MultipartId,
        parts: Vec<object_store::multipart::PartId>,
    ) -> object_store::Result<object_store::PutResult> {
        halt().await;
        let done = self.0.complete_multipart(path, id, parts).await;
        halt().await;
        done
    }

    async fn abort_multipart(&self, path: &Path, id: &object_store::MultipartId) -> object_store::Result<()> {
        // As S3 says it of an upload that is over.
        let gone =
            |source| object_store::Error::NotFound { path: path.to_string(), source: Box::new(source) };
        self.0.abort_multipart(path, id).await.map_err(gone)
    }
}

#[tokio::test]
async fn an_upload_dropped_at_any_await_is_whole_or_can_be_given_up() {
    let (job, name, path, bytes) = large();
    let (mut given_up, mut whole) = (0, 0);
    for polls in 0..60 {
        // The runtime's budget of a poll, else spent after some rounds, would stop the upload at its first await.
        tokio::task::yield_now().await;
        let store = Arc::new(InMemory::new());
        let storage = Storage::objects(
            store.clone(),
            Arc::new(Halting(store.clone())),
            "a",
            // The store in memory takes parts in order only.
            Limits { concurrent: 1, ..SMALL },
        );
        {
            let mut upload = pin!(storage.put_file(&job, &path, &name, bytes.clone()));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if let Poll::Ready(outcome) = upload.as_mut().poll(&mut context) {
                    outcome.unwrap();
                    break;
                }
            }
        }
        let records = storage.list(&job.uploads()).await.unwrap();
        match storage.size(&path).await.unwrap() {
            Some(_) => {
                assert_eq!(storage.get(&path).await.unwrap(), bytes);
                whole += 1;
            }
            None => assert!(
                polls == 0 || records.len() == 1,
                "parts without a record after {polls} polls: {:?}",
                storage.list(&Path::default()).await
            ),
        }
        for record in records {
            let content = storage.get(&record.path).await.unwrap();
            let text = String::from_utf8(content.to_vec()).unwrap();
            storage.abort_recorded(&record.path).await.unwrap();
            let id = text.split_once('\n').unwrap().1.to_owned();
            let gone = store.put_part(&path, &id, 0, "x".into()).await;
            assert!(gone.is_err(), "the upload lives on");
            given_up += 1;
        }
        assert!(storage.list(&job.uploads()).await.unwrap().is_empty());
    }
    assert!(given_up > 5 && whole > 5, "{given_up} given up, {whole} whole");
}
