//! Tells brokers how far a table has been read as of the last completed checkpoint, for those who watch a consumer group's lag.
//!
//! Nothing depends on it: where a job goes on is in its checkpoints. What fails is counted, warned of, and not tried again; the next
//! checkpoint says more.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer as _};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use weir_api::metrics::OperatorMetrics;
use weir_api::source::SplitProgress;

use super::client::Consumer;
use super::split::PartitionSplit;

/// The last thing that is to be told; what it takes the place of needn't be.
#[derive(Debug, Default)]
pub struct Report(Mutex<Option<Vec<SplitProgress>>>);

impl Report {
    /// To be told soon.
    pub fn put(&self, progress: &[SplitProgress]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.to_vec());
    }

    /// Takes it to tell it.
    pub fn take(&self) -> Option<Vec<SplitProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Tells it, one at a time: a commit waits for the group's coordinator, and reading doesn't wait for the commit.
pub struct Reporter {
    report: Option<Arc<Report>>,
    metrics: Arc<OperatorMetrics>,
    under_way: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Without a report it never has anything to tell.
    pub fn new(report: Option<Arc<Report>>, metrics: Arc<OperatorMetrics>) -> Self {
        Self { report, metrics, under_way: None }
    }

    /// What is to be told now, unless the last is still under way.
    pub fn next(&self) -> Option<Vec<SplitProgress>> {
        if self.under_way.as_ref().is_some_and(|task| !task.is_finished()) {
            return None;
        }
        self.report.as_ref()?.take()
    }

    /// Begins to tell it.
    pub fn tell(&mut self, consumer: Arc<Consumer>, offsets: TopicPartitionList, io: &Handle) {
        if offsets.count() == 0 {
            return;
        }
        let metrics = Arc::clone(&self.metrics);
        self.under_way = Some(io.spawn_blocking(move || match consumer.commit(&offsets, CommitMode::Sync) {
            Ok(()) => metrics.commits_succeeded.add(1),
            Err(error) => {
                metrics.commits_failed.add(1);
                let what = format!("the consumer group's offsets weren't committed ({error})");
                consumer.context().warn(&what);
            }
        }));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(under_way) = &self.under_way {
            under_way.abort();
        }
    }
}

/// The group's offsets: what is read next, for partitions of which something has been read.
pub fn offsets<'a>(
    partitions: impl Iterator<Item = &'a PartitionSplit>,
    progress: &[SplitProgress],
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (split, progress) in partitions.zip(progress) {
        let offset = match progress {
            SplitProgress::Fresh => continue,
            SplitProgress::At(offset) => i64::try_from(*offset).ok(),
            SplitProgress::Ended => split.end,
        };
        if let Some(offset) = offset {
            // An offset that librdkafka doesn't take is none to tell.
            let _ = list.add_partition_offset(&split.topic, split.partition, rdkafka::Offset::Offset(offset));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_next_is_told_and_only_of_what_has_been_read() {
        let split =
            |partition, end| PartitionSplit { topic: "t".into(), topic_id: None, partition, start: 10, end };
        let splits = [split(0, None), split(1, None), split(2, Some(50)), split(3, None)];
        let progress = [SplitProgress::Fresh, SplitProgress::At(42), SplitProgress::Ended];
        let list = offsets(splits.iter(), &progress);
        let told: Vec<_> = list.elements().iter().map(|one| (one.partition(), one.offset())).collect();
        assert_eq!(told, [(1, rdkafka::Offset::Offset(42)), (2, rdkafka::Offset::Offset(50))]);
        let report = Report::default();
        report.put(&[SplitProgress::Fresh]);
        report.put(&progress);
        assert_eq!(report.take().as_deref(), Some(progress.as_slice()));
        assert_eq!(report.take(), None);
    }
}
