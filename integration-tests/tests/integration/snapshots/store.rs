//! The promises of `weir_snapshots::storage` on a real S3 service, on a good network and on a bad one.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, stream};
use weir_api::error::Code;
use weir_api::id::{Attempt, CheckpointId, JobId};
use weir_chaos::proxy::{Proxy, Rules};
use weir_chaos::servers::S3;
use weir_snapshots::layout::JobFolder;
use weir_snapshots::name::{ContentHash, FileName};
use weir_snapshots::storage::{Created, Limits, Storage, StorePath};

use super::run;

/// S3 takes no smaller part but the last.
const LIMITS: Limits = Limits { part_bytes: 5 << 20, concurrent: 4, bytes_in_flight: 32 << 20 };

/// A prefix of the bucket, reached by way of a proxy.
struct Bucket {
    url: String,
    folder: PathBuf,
    proxy: Proxy,
}

impl Bucket {
    fn new(seed: u64) -> Self {
        Self::on(S3::shared(), seed)
    }

    fn on(s3: &S3, seed: u64) -> Self {
        let (url, folder) = s3.fresh("store");
        let server = s3.endpoint().trim_start_matches("http://").parse().expect("host:port");
        let proxy = Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), server, seed).expect("a free port");
        Self { url, folder, proxy }
    }

    /// The store as one process sees it, with these options over the right ones.
    fn open(&self, writer: &str, more: &[&str]) -> (Storage, StorePath) {
        let endpoint = format!("s3.endpoint=http://{}", self.proxy.address());
        // All gateways have the same credentials.
        let options = S3::shared().options().into_iter().chain([endpoint]);
        let options: Vec<String> = options.chain(more.iter().map(|option| (*option).to_owned())).collect();
        super::open(&self.url, &options, writer, LIMITS)
    }
}

/// Bytes that tell where in the file they stand.
fn content(length: usize, seed: u64) -> Bytes {
    let words = length.div_ceil(8) as u64;
    let mut bytes: Vec<u8> = (0..words).flat_map(|n| (n ^ (seed << 32)).to_le_bytes()).collect();
    bytes.truncate(length);
    bytes.into()
}

fn file(job: &JobFolder, bytes: &Bytes) -> (FileName, StorePath) {
    let name = FileName { attempt: Attempt(1), checkpoint: CheckpointId(2), hash: ContentHash::of(bytes) };
    let path = job.shared(&name.to_string());
    (name, path)
}

#[test]
fn of_eight_processes_that_complete_a_checkpoint_one_wins_and_all_know_it() {
    let bucket = Bucket::new(1);
    run(async {
        let (stores, base): (Vec<_>, Vec<_>) = (0..8).map(|n| bucket.open(&format!("w{n}"), &[])).unzip();
        for round in 0..25 {
            let path = base[0].clone().join(format!("chk-{round}")).join("_metadata");
            let writers = stores.iter().zip(0..);
            let outcomes = join_all(writers.map(|(store, n)| {
                let path = path.clone();
                async move { store.create(&path, content(3_000, n)).await.expect("an answer") }
            }));
            let outcomes = outcomes.await;
            let winners: Vec<_> = (0..8).filter(|n| outcomes[*n] == Created::Ours).collect();
            assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
            let won = Created::Theirs(content(3_000, winners[0] as u64));
            assert!(outcomes.iter().all(|outcome| *outcome == Created::Ours || *outcome == won));
            let again = stores[winners[0]].create(&path, content(3_000, winners[0] as u64)).await;
            assert_eq!(again.expect("an answer"), Created::Ours, "the answer to a first try was lost");
        }
    });
}

#[test]
fn listings_are_whole_and_ranges_are_exact() {
    let bucket = Bucket::new(2);
    run(async {
        let (store, base) = bucket.open("w", &[]);
        let folder = base.clone().join("shared");
        let names = 0..1_105_u64;
        let puts = stream::iter(names.clone()).map(|n| {
            let (store, path) = (&store, folder.clone().join(format!("{n:05}")));
            async move { store.put(&path, content(8, n)).await.expect("it is written") }
        });
        puts.buffer_unordered(8).collect::<Vec<()>>().await;
        let mut listed: Vec<_> = store.list(&base).await.expect("a listing");
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        let expected: Vec<_> = names.map(|n| folder.clone().join(format!("{n:05}"))).collect();
        assert!(listed.iter().map(|file| &file.path).eq(&expected), "{} of {}", listed.len(), expected.len());
        assert!(listed.iter().all(|file| file.bytes == 8));
        assert_eq!(store.list_names(&base).await.expect("names"), std::slice::from_ref(&folder));
        assert_eq!(store.list_names(&folder).await.expect("names").len(), expected.len());

        let (path, bytes) = (base.join("file"), content(1 << 20, 9));
        store.put(&path, bytes.clone()).await.expect("it is written");
        for (offset, length) in [(0, 1), (77, 4096), ((1 << 20) - 5, 5), (0, 1 << 20)] {
            let read = store.get_range(&path, offset, length).await.expect("a range");
            assert_eq!(read, bytes.slice(offset as usize..(offset + length) as usize));
        }
        store.delete(&path).await.expect("it goes");
        store.delete(&path).await.expect("it is gone");
        assert_eq!(store.size(&path).await.expect("an answer"), None);
        assert_eq!(store.get(&path).await.expect_err("it is gone").code(), Code::NotFound);
    });
}

/// The gateway's folder of uploads that are under way.
fn parts(bucket: &Bucket) -> Vec<PathBuf> {
    let top = bucket.folder.parent().expect("the bucket").join(".sgwtmp/multipart");
    let uploads = std::fs::read_dir(top).into_iter().flatten().flatten();
    uploads.flat_map(|upload| super::files(&upload.path())).collect()
}

#[test]
fn an_upload_that_a_crash_broke_off_is_given_up_by_another_process() {
    // The gateway is this test's own: nobody else uploads.
    let s3 = S3::start();
    let bucket = Bucket::on(&s3, 3);
    run(async {
        let (store, base) = bucket.open("first", &[]);
        let job = JobFolder::new(&base, JobId::from_bytes([3; 16]));
        let bytes = content((12 << 20) + 77, 1);
        let (name, path) = file(&job, &bytes);
        store.put_file(&job, &path, &name, bytes.clone()).await.expect("it is uploaded");
        assert_eq!(store.get(&path).await.expect("it is there"), bytes);
        assert!(store.list(&job.uploads()).await.expect("a listing").is_empty());
        store.delete(&path).await.expect("it goes");

        // The network takes so long that some parts are there and others aren't when the process ends.
        bucket.proxy.set(Rules { bytes_per_second: 8 << 20, ..Rules::default() });
        let upload = {
            let (job, path) = (job.clone(), path.clone());
            tokio::spawn(async move { store.put_file(&job, &path, &name, bytes).await })
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while parts(&bucket).is_empty() {
            assert!(Instant::now() < deadline && !upload.is_finished(), "no part was seen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        upload.abort();
        assert!(upload.await.expect_err("it is broken off").is_cancelled());
        bucket.proxy.heal();

        let (other, _) = bucket.open("second", &[]);
        assert_eq!(other.size(&path).await.expect("an answer"), None, "half a file isn't visible");
        let records = other.list(&job.uploads()).await.expect("a listing");
        assert_eq!(records.len(), 1, "{records:?}");
        for record in records {
            other.abort_recorded(&record.path).await.expect("it is given up");
            other.abort_recorded(&record.path).await.expect("twice is once");
        }
        assert!(other.list(job.path()).await.expect("a listing").is_empty());
        let left = parts(&bucket);
        assert!(left.is_empty(), "{left:?}");
    });
}

const SMALL: usize = 40_000;
/// Goes up in two parts.
const LARGE: usize = (5 << 20) + 100_000;

/// Everything that a checkpoint does, over and over; each answer must be right.
async fn work(bucket: &Bucket, rounds: u64, large: usize) {
    let (store, base) = bucket.open("w", &[]);
    let (other, _) = bucket.open("v", &[]);
    let job = JobFolder::new(&base, JobId::from_bytes([4; 16]));
    for round in 0..rounds {
        let size = if round % 5 == 0 { large } else { SMALL };
        let bytes = content(size, round);
        let (name, path) = file(&job, &bytes);
        let doing = |what: &str| format!("{what}, round {round}");
        store.put_file(&job, &path, &name, bytes.clone()).await.expect("write a file");
        assert_eq!(store.size(&path).await.expect("look"), Some(bytes.len() as u64));
        // A file of a thousand chunks would never come through whole: one in so many is broken.
        if size < 1 << 20 {
            assert!(store.get(&path).await.expect("read a file") == bytes, "{}", doing("another file"));
        }
        let range = store.get_range(&path, 1_000, 9_000).await.expect("read a range");
        assert!(range == bytes.slice(1_000..10_000), "{}", doing("another range"));
        let metadata = job.checkpoint(CheckpointId(round)).metadata();
        let ours = content(2_000, round);
        let created = store.create(&metadata, ours.clone()).await.expect("complete a checkpoint");
        assert_eq!(created, Created::Ours, "{}", doing("nobody else writes"));
        let lost = other.create(&metadata, content(2_000, 1_000)).await.expect("complete it too");
        assert_eq!(lost, Created::Theirs(ours), "{}", doing("the first one stays"));
        let listed = store.list(job.path()).await.expect("list");
        let files = listed.iter().filter(|listed| !listed.path.as_ref().contains("/uploads/")).count();
        assert_eq!(files as u64, round + 2, "{}", doing("a listing"));
        store.delete(&path).await.expect("delete");
    }
    assert!(store.list(&job.uploads()).await.expect("a listing").is_empty());
}

#[test]
fn one_request_in_five_refused_costs_time_only() {
    let bucket = Bucket::new(5);
    bucket.proxy.set(Rules { unavailable_one_in: 5, ..Rules::default() });
    run(work(&bucket, 10, LARGE));
    assert!(bucket.proxy.counters().refused.load(std::sync::atomic::Ordering::Relaxed) > 10);
}

#[test]
fn answers_that_are_lost_or_cut_short_and_connections_that_break_cost_time_only() {
    for (rules, large) in [
        (Rules { lose_answer_one_in: 8, ..Rules::default() }, LARGE),
        (Rules { truncate_one_in: 8, ..Rules::default() }, LARGE),
        // A part of many chunks would never come through.
        (Rules { reset_one_in: 12, ..Rules::default() }, SMALL),
    ] {
        let bucket = Bucket::new(6);
        bucket.proxy.set(rules);
        println!("{rules:?}");
        run(work(&bucket, 10, large));
        println!("{:?}", bucket.proxy.counters());
    }
}

#[test]
fn a_wrong_key_is_told_at_once_with_what_to_do() {
    let bucket = Bucket::new(7);
    run(async {
        let (store, base) = bucket.open("w", &["s3.secret-key=wrong"]);
        let started = Instant::now();
        let path = base.join("chk-1").join("_metadata");
        let outcomes = [
            store.create(&path, content(10, 0)).await.map(drop),
            store.put(&path, content(10, 0)).await,
            store.get(&path).await.map(drop),
            store.list(&path).await.map(drop),
            store.delete(&path).await,
        ];
        for outcome in outcomes {
            let error = outcome.expect_err("the key is wrong").chain();
            assert!(error.contains("s3.secret-key") && error.contains("403"), "{error}");
            assert!(error.contains("SignatureDoesNotMatch"), "{error}");
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    });
}
