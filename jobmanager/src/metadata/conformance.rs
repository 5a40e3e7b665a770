//! One suite for every implementation of [`Metadata`].

use weir_api::error::Code;
use weir_api::id::{JobId, LeaderEpoch};

use super::directory::Directory;
use super::memory::Memory;
use super::{Metadata, Stored, Version};

fn job(n: u8) -> JobId {
    JobId::from_bytes([n; 16])
}

/// `open` gives access to the same metadata as a new process would get it.
async fn conforms<M: Metadata>(open: impl Fn() -> M) {
    let first = open();
    assert!(first.jobs().await.unwrap().is_empty());
    let before = first.put(LeaderEpoch(0), job(1), None, vec![]).await.unwrap_err();
    assert_eq!(before.code(), Code::Fenced, "nobody leads yet");

    let one = first.lead().await.unwrap();
    let created = first.put(one, job(1), None, b"a".to_vec()).await.unwrap();
    let twice = first.put(one, job(1), None, b"b".to_vec()).await.unwrap_err();
    assert_eq!(twice.code(), Code::Fenced, "it is there already");
    let changed = first.put(one, job(1), Some(created), b"c".to_vec()).await.unwrap();
    assert!(changed > created);
    assert_eq!(
        first.put(one, job(1), Some(created), vec![]).await.unwrap_err().code(),
        Code::Fenced,
        "old version"
    );
    assert_eq!(
        first.put(one, job(9), Some(changed), vec![]).await.unwrap_err().code(),
        Code::Fenced,
        "never there"
    );
    first.put(one, job(2), None, vec![0; 100_000]).await.unwrap();
    assert_eq!(first.delete(one, job(2), changed).await.unwrap_err().code(), Code::Fenced, "another version");
    drop(first);

    let second = open();
    let two = second.lead().await.unwrap();
    assert!(two > one);
    let jobs = second.jobs().await.unwrap();
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0], Stored { job: job(1), version: changed, bytes: b"c".to_vec() });
    assert_eq!(
        second.put(one, job(1), Some(changed), vec![]).await.unwrap_err().code(),
        Code::Fenced,
        "old leader"
    );
    assert_eq!(second.delete(one, job(1), changed).await.unwrap_err().code(), Code::Fenced, "old leader");
    second.delete(two, job(1), changed).await.unwrap();
    assert_eq!(second.delete(two, job(1), changed).await.unwrap_err().code(), Code::Fenced, "gone");
    let third = second.lead().await.unwrap();
    assert!(third > two);
    assert_eq!(
        second.put(two, job(3), None, vec![]).await.unwrap_err().code(),
        Code::Fenced,
        "itself, earlier"
    );
    assert_eq!(second.jobs().await.unwrap().iter().map(|stored| stored.job).collect::<Vec<_>>(), [job(2)]);
}

#[tokio::test]
async fn memory_conforms() {
    let memory = Memory::default();
    conforms(|| memory.clone()).await;
}

#[tokio::test]
async fn directory_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(|| Directory::open(directory.path()).unwrap()).await;
}

#[tokio::test]
async fn a_directory_has_one_leader_at_a_time() {
    let path = tempfile::tempdir().unwrap();
    let first = Directory::open(path.path()).unwrap();
    first.lead().await.unwrap();
    let second = Directory::open(path.path()).unwrap();
    let error = second.lead().await.unwrap_err();
    assert_eq!(error.code(), Code::Fenced);
    assert!(error.message().contains(&std::process::id().to_string()), "{error}");
    drop(first);
    second.lead().await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_unfinished_is_not_seen() {
    let path = tempfile::tempdir().unwrap();
    let first = Directory::open(path.path()).unwrap();
    let epoch = first.lead().await.unwrap();
    first.put(epoch, job(1), None, b"whole".to_vec()).await.unwrap();
    drop(first);
    let half = path.path().join("jobs").join(format!("{}.tmp", job(1)));
    std::fs::write(&half, b"WEIRM").unwrap();

    let second = Directory::open(path.path()).unwrap();
    second.lead().await.unwrap();
    assert!(!half.exists());
    let jobs = second.jobs().await.unwrap();
    assert_eq!(jobs, [Stored { job: job(1), version: Version(1), bytes: b"whole".to_vec() }]);
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let path = tempfile::tempdir().unwrap();
    let directory = Directory::open(path.path()).unwrap();
    let epoch = directory.lead().await.unwrap();
    directory.put(epoch, job(1), None, b"whole".to_vec()).await.unwrap();
    let file = path.path().join("jobs").join(job(1).to_string());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = directory.jobs().await.unwrap_err();
    assert!(error.message().contains(&job(1).to_string()) && error.message().contains("checksum"), "{error}");
}
