//! Checks that a reader made of another one's progress gives exactly the rest, wherever it is cut.
//!
//! Invariant that is checked: for every moment at which a reader knows its progress, what it had handed over and what a reader
//! hands over that goes on there are, split by split, the rows of an undisturbed reader; the same holds for dead letters; and
//! every split ends once in each reader.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use weir_api::source::{SourceEvent, SourceReader, SplitProgress};
use weir_proto::v1::Split;

use super::local;

/// What readers have handed over, by the splits' ids.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    rows: BTreeMap<String, Vec<RecordBatch>>,
    /// Where malformed records stood.
    letters: Vec<String>,
    ends: BTreeMap<String, usize>,
}

impl Seen {
    fn take(&mut self, splits: &[Split], event: SourceEvent) {
        match event {
            SourceEvent::Records { split, records } => {
                self.rows.entry(splits[split].id.clone()).or_default().push(records);
            }
            SourceEvent::SplitFinished { split } => {
                *self.ends.entry(splits[split].id.clone()).or_default() += 1;
            }
            SourceEvent::DeadLetters(letters) => {
                let positions = letters.column(1).as_string::<i32>();
                self.letters.extend(positions.iter().flatten().map(str::to_owned));
            }
        }
    }

    /// Every row of each split, in its order.
    pub fn rows(&self) -> BTreeMap<String, RecordBatch> {
        let joined = |batches: &Vec<RecordBatch>| concat_batches(&batches[0].schema(), batches).unwrap();
        self.rows.iter().map(|(split, batches)| (split.clone(), joined(batches))).collect()
    }

    fn sorted_letters(&self) -> Vec<String> {
        let mut letters = self.letters.clone();
        letters.sort();
        letters
    }

    /// Whether these are the same rows and dead letters.
    fn assert_same(&self, expected: &Self, when: &str) {
        assert_eq!(self.sorted_letters(), expected.sorted_letters(), "dead letters, {when}");
        let (rows, expected) = (self.rows(), expected.rows());
        assert_eq!(rows.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{when}");
        for (split, rows) in &rows {
            assert!(rows == &expected[split], "other rows of split {split}, {when}");
        }
    }
}

/// The splits as a snapshot keeps them.
pub fn at(splits: &[Split], progress: &[SplitProgress]) -> Vec<Split> {
    assert_eq!(splits.len(), progress.len(), "progress is of every split");
    splits
        .iter()
        .zip(progress)
        .map(|(split, progress)| {
            let (position, ended) = match progress {
                SplitProgress::Fresh => (None, false),
                SplitProgress::At(position) => (Some(*position), false),
                SplitProgress::Ended => (None, true),
            };
            Split { position, ended, ..split.clone() }
        })
        .collect()
}

/// Up to `most` events, but on to the next moment at which progress is known; that progress, and whether the reader has ended.
fn read(
    reader: &mut dyn SourceReader,
    splits: &[Split],
    most: usize,
    seen: &mut Seen,
) -> (Vec<SplitProgress>, bool) {
    let mut events = 0;
    loop {
        if events >= most
            && let Some(progress) = reader.progress()
        {
            return (progress, false);
        }
        match local(poll_fn(|context| reader.poll_next(context))) {
            Some(event) => seen.take(splits, event.unwrap()),
            None => return (reader.progress().expect("a reader that has ended knows how far"), true),
        }
        events += 1;
    }
}

/// Cuts readings of `splits` at every event, then a reading again and again after a few events.
pub fn resumes_everywhere(make: &dyn Fn(Vec<Split>) -> Box<dyn SourceReader>, splits: &[Split]) -> Seen {
    let mut whole = Seen::default();
    let (end, _) = read(make(splits.to_vec()).as_mut(), splits, usize::MAX, &mut whole);
    assert!(end.iter().all(|progress| *progress == SplitProgress::Ended), "{end:?}");
    let ends = |seen: &Seen| seen.ends.values().copied().collect::<Vec<_>>();
    assert_eq!(ends(&whole), vec![1; splits.len()]);
    for most in 0.. {
        let mut seen = Seen::default();
        let (progress, ended) = read(make(splits.to_vec()).as_mut(), splits, most, &mut seen);
        let rest = at(splits, &progress);
        seen.ends.clear();
        read(make(rest.clone()).as_mut(), &rest, usize::MAX, &mut seen);
        seen.assert_same(&whole, &format!("cut after {most} events, at {progress:?}"));
        assert_eq!(ends(&seen), vec![1; splits.len()], "cut after {most} events");
        if ended {
            break;
        }
    }
    for step in 1..4 {
        let (mut seen, mut rest) = (Seen::default(), splits.to_vec());
        for round in 0.. {
            // Ended splits end again in every reader: beside them it must get on.
            let past = rest.iter().filter(|split| split.ended).count();
            let (progress, ended) = read(make(rest.clone()).as_mut(), &rest, past + step, &mut seen);
            rest = at(splits, &progress);
            if ended {
                break;
            }
            assert!(round < 10_000, "it never ends");
        }
        seen.assert_same(&whole, &format!("cut again and again after {step} events"));
    }
    whole
}

/// Everything that a reader which never ends has to give at the moment: it has until nothing has come for a while.
pub fn read_until_quiet(
    reader: &mut dyn SourceReader,
    splits: &[Split],
    seen: &mut Seen,
) -> Vec<SplitProgress> {
    let mut context = Context::from_waker(Waker::noop());
    let mut quiet = 0;
    while quiet < 40 {
        match reader.poll_next(&mut context) {
            Poll::Ready(event) => {
                seen.take(splits, event.expect("it goes on").unwrap());
                quiet = 0;
            }
            Poll::Pending => {
                std::thread::sleep(std::time::Duration::from_millis(5));
                quiet += 1;
            }
        }
    }
    reader.progress().expect("nothing is to come")
}

/// The splits dealt out to `readers`, as after a restore at another parallelism.
pub fn dealt(splits: &[Split], readers: usize) -> Vec<Vec<Split>> {
    let mut dealt = vec![Vec::new(); readers];
    for (index, split) in splits.iter().enumerate() {
        dealt[index % readers].push(split.clone());
    }
    dealt
}

/// Cuts the reading of two readers after `most` events each, deals the splits out to `readers` and reads on: it must give what
/// one undisturbed reader does.
pub fn rescales(
    make: &dyn Fn(Vec<Split>) -> Box<dyn SourceReader>,
    splits: &[Split],
    most: usize,
    readers: usize,
) -> Arc<Seen> {
    let (mut whole, mut seen, mut rest) = (Seen::default(), Seen::default(), Vec::new());
    read(make(splits.to_vec()).as_mut(), splits, usize::MAX, &mut whole);
    for own in dealt(splits, 2) {
        let (progress, _) = read(make(own.clone()).as_mut(), &own, most, &mut seen);
        rest.extend(at(&own, &progress));
    }
    for own in dealt(&rest, readers) {
        read(make(own.clone()).as_mut(), &own, usize::MAX, &mut seen);
    }
    seen.assert_same(&whole, &format!("cut after {most} events, then {readers} readers"));
    Arc::new(whole)
}
