//! Tells brokers how far a table has been read as of the last completed checkpoint, for those who watch a consumer group's lag.
//!
//! Nothing depends on it: where a job goes on is in its checkpoints. What fails is counted, warned of, and not tried again; the next
//! checkpoint says more.

use std::sync::{Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use weir_api::source::SplitProgress;

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
