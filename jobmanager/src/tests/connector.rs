//! A connector whose sources have two splits per subtask, and more as a test wants, and whose sinks write down what they are told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use weir_api::connector::{Connector, OptionDescription};
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId};
use weir_api::sink::{CommitScope, Committer, Prepared, Sink, SinkWriter, WriterContext};
use weir_api::source::{Boundedness, ReaderContext, Source, SourceReader};
use weir_proto::v1::{Split, TableSpec};

/// What the sinks were told, in order.
#[derive(Clone, Default)]
pub(super) struct Log {
    entries: Arc<Mutex<Vec<Told>>>,
    failures: Arc<Mutex<Vec<Code>>>,
    /// The splits that sources find later; `None`: they don't look for any.
    later: Arc<Mutex<Option<Later>>>,
}

/// What a source finds while its job runs.
#[derive(Clone, Default)]
pub(super) struct Later {
    pub(super) splits: Vec<&'static str>,
    /// So often it fails first, each time in another way.
    pub(super) failures: u32,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Told {
    Commit(Vec<Vec<u8>>),
    /// Nobody up to this attempt may commit any more; there is nothing to commit.
    Fence(Attempt),
    Abort(Attempt),
}

impl Log {
    pub(super) fn told(&self) -> Vec<Told> {
        self.entries.lock().unwrap().clone()
    }

    pub(super) fn commits(&self) -> Vec<Vec<Vec<u8>>> {
        let commits = self.told().into_iter().filter_map(|told| match told {
            Told::Commit(committables) => Some(committables),
            Told::Abort(_) | Told::Fence(..) => None,
        });
        commits.collect()
    }

    /// From now on sources find this, beside what they have from the start.
    pub(super) fn find(&self, later: Later) {
        *self.later.lock().unwrap() = Some(later);
    }

    fn discover(&self, known: &[Split]) -> Result<Vec<Split>> {
        let Later { splits, failures } = {
            let mut later = self.later.lock().unwrap();
            let later = later.as_mut().expect("sources are asked that look for splits");
            let now = later.clone();
            later.failures = now.failures.saturating_sub(1);
            now
        };
        assert_ne!(failures, 2, "a source with a bug");
        if failures > 0 {
            return Err(Error::new(Code::Io, "the broker is away"));
        }
        let new = splits.into_iter().filter(|id| known.iter().all(|split| split.id != *id));
        Ok(new.map(|id| Split { id: id.to_owned(), ..Split::default() }).collect())
    }

    /// The next commits fail like this, the first of them last.
    pub(super) fn fail(&self, codes: &[Code]) {
        self.failures.lock().unwrap().extend_from_slice(codes);
    }
}

pub(super) struct TestConnector {
    pub(super) log: Log,
}

impl Connector for TestConnector {
    fn identifier(&self) -> &'static str {
        "test"
    }

    fn options(&self) -> &'static [OptionDescription] {
        &[]
    }

    fn source(&self, _: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(TestSource { log: self.log.clone() }))
    }

    fn sink(&self, _: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(TestSink { log: self.log.clone() }))
    }
}

struct TestSource {
    log: Log,
}

#[async_trait]
impl Source for TestSource {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    async fn discover(&self, parallelism: u32) -> Result<Vec<Split>> {
        if parallelism == 99 {
            return Err(Error::new(Code::NotFound, "the folder isn't there"));
        }
        let bytes = if parallelism == 77 { 1 << 20 } else { 1 };
        let split = |n: u32| Split {
            id: n.to_string(),
            payload: vec![n as u8; bytes],
            weight: 1,
            ..Split::default()
        };
        Ok((0..2 * parallelism).map(split).collect())
    }

    fn discovery_interval(&self) -> Option<Duration> {
        self.log.later.lock().unwrap().as_ref().map(|_| Duration::from_millis(10))
    }

    async fn discover_more(&self, known: &[Split]) -> Result<Vec<Split>> {
        self.log.discover(known)
    }

    fn reader(&self, _: ReaderContext, _: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        panic!("the JobManager reads nothing")
    }
}

struct TestSink {
    log: Log,
}

impl Sink for TestSink {
    fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        panic!("the JobManager writes nothing")
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        Some(Box::new(TestCommitter { log: self.log.clone() }))
    }
}

struct TestCommitter {
    log: Log,
}

#[async_trait]
impl Committer for TestCommitter {
    async fn commit(&self, scope: &CommitScope, prepared: Vec<Prepared>) -> Result<()> {
        let failure = self.log.failures.lock().unwrap().pop();
        if let Some(code) = failure {
            assert_ne!(code, Code::TaskPanicked, "a committer with a bug");
            return Err(Error::new(code, "the storage is away"));
        }
        let payloads = prepared.iter().map(|one| one.committable.payload.to_vec()).collect();
        let told = match scope.fence {
            Some(fence) if prepared.is_empty() => Told::Fence(fence),
            _ => Told::Commit(payloads),
        };
        self.log.entries.lock().unwrap().push(told);
        Ok(())
    }

    async fn abort(&self, _: JobId, attempt: Attempt) -> Result<()> {
        self.log.entries.lock().unwrap().push(Told::Abort(attempt));
        Ok(())
    }
}
