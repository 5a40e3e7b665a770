//! Watermarks come right behind the batches that advance them; idleness and the end come in order.

use std::sync::atomic::{AtomicI64, Ordering};

use weir_api::source::SplitProgress;
use weir_proto::v1::{Split, WatermarkSpec};

use super::*;
use crate::tests::fixture::connector::Growing;
use crate::tests::fixture::{TS, dead_letters, records, schema, values};

/// What a script's reader brings, and whether it then has nothing for once.
enum Event {
    Rows(usize, Vec<i64>),
    DeadLetters(usize),
    Pause,
    Finished(usize),
}

struct Script(VecDeque<Event>);

impl SourceReader for Script {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>> {
        match self.0.pop_front() {
            Some(Event::Rows(split, rows)) => {
                Poll::Ready(Some(Ok(SourceEvent::Records { split, records: records(rows) })))
            }
            Some(Event::DeadLetters(count)) => {
                Poll::Ready(Some(Ok(SourceEvent::DeadLetters(dead_letters(0..count as i64)))))
            }
            Some(Event::Finished(split)) => Poll::Ready(Some(Ok(SourceEvent::SplitFinished { split }))),
            Some(Event::Pause) => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn progress(&self) -> Option<Vec<SplitProgress>> {
        None
    }
}

#[derive(Default)]
struct Manual(AtomicI64);

impl Clock for Manual {
    fn unix_millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_millis(&self) -> u64 {
        self.unix_millis() as u64
    }
}

fn reader(splits: usize, events: Vec<Event>, watermark: bool) -> (Reader, Arc<Manual>) {
    let clock = Arc::new(Manual::default());
    let spec = WatermarkSpec { expression: TS.to_vec(), column: "ts".to_owned(), idle_timeout_millis: 100 };
    let generator = watermark.then(|| WatermarkGenerator::new(&spec, &schema(), splits, 0).unwrap());
    (Reader::new(Box::new(Script(events.into())), Vec::new(), generator, Arc::<Manual>::clone(&clock)), clock)
}

/// How often it was woken.
#[derive(Default)]
struct Woken(AtomicI64);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// All that comes until the reader waits, in short.
fn read(reader: &mut Reader) -> Vec<String> {
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let mut cx = Context::from_waker(&waker);
    let mut all = Vec::new();
    loop {
        let wakes = woken.0.load(Ordering::Relaxed);
        let element = match reader.poll_next(&mut cx) {
            Poll::Ready(Ok(Emitted::Element(element))) => element,
            Poll::Ready(Ok(Emitted::Side(side))) => {
                all.push(format!("side {} of {}", side.batch.num_rows(), side.operator));
                continue;
            }
            Poll::Ready(Err(error)) => panic!("{error}"),
            // It only gave the thread away.
            Poll::Pending if woken.0.load(Ordering::Relaxed) > wakes => continue,
            Poll::Pending => break,
        };
        let ended = matches!(element, StreamElement::EndOfInput);
        all.push(match element {
            StreamElement::Batch(batch) => format!("{:?}", values(&batch)),
            StreamElement::Watermark(Watermark::MAX) => "max".to_owned(),
            StreamElement::Watermark(watermark) => format!("w{}", watermark.0),
            other => format!("{other:?}"),
        });
        if ended {
            break;
        }
    }
    all
}

#[test]
fn a_watermark_comes_right_behind_the_batch_that_advances_it() {
    let events = vec![
        Event::Rows(0, vec![5, 3]),
        Event::Rows(1, vec![4]),
        Event::Rows(1, vec![2]),
        Event::Rows(1, vec![9, 10]),
        Event::Finished(0),
        Event::Rows(1, vec![]),
        Event::Finished(1),
    ];
    let (mut reader, _) = reader(2, events, true);
    assert_eq!(
        read(&mut reader),
        ["[5, 3]", "[4]", "w4", "[2]", "[9, 10]", "w5", "w10", "max", "EndOfInput"]
    );
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(reader.poll_next(&mut cx), Poll::Ready(Err(_))), "nothing comes after the end");
}

#[test]
fn splits_become_idle_in_time_and_come_back() {
    let events = vec![
        Event::Rows(0, vec![5]),
        Event::Pause,
        Event::Rows(1, vec![7]),
        Event::Pause,
        Event::Pause,
        Event::Rows(0, vec![6, 8]),
        Event::Pause,
    ];
    let (mut reader, clock) = reader(2, events, true);
    assert_eq!(read(&mut reader), ["[5]"], "split 1 holds the watermark back");
    assert_eq!(reader.deadline(), Some(100));
    clock.0.store(50, Ordering::Relaxed);
    assert_eq!(read(&mut reader), ["[7]", "w5"]);
    clock.0.store(100, Ordering::Relaxed);
    reader.on_time();
    assert_eq!(read(&mut reader), ["w7"], "split 0 is idle");
    assert_eq!(reader.deadline(), Some(150));
    clock.0.store(150, Ordering::Relaxed);
    reader.on_time();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(
        matches!(reader.poll_next(&mut cx), Poll::Ready(Ok(Emitted::Element(StreamElement::Idle)))),
        "all are"
    );
    assert_eq!(reader.deadline(), None);
    assert_eq!(read(&mut reader), ["Active", "[6, 8]", "w8"]);
}

#[test]
fn a_table_without_watermark_has_only_the_last_one() {
    let (mut reader, _) = reader(1, vec![Event::Rows(0, vec![5]), Event::Finished(0)], false);
    assert_eq!(read(&mut reader), ["[5]", "max", "EndOfInput"]);
    assert_eq!(reader.deadline(), None);
}

#[test]
fn dead_letters_come_in_their_place_and_only_where_an_edge_takes_them() {
    let events =
        || vec![Event::DeadLetters(2), Event::Rows(0, vec![5]), Event::DeadLetters(0), Event::DeadLetters(1)];
    let (with_edge, _) = reader(1, events(), true);
    let all = read(&mut with_edge.with_dead_letter_edge(true));
    assert_eq!(all, ["side 2 of 0", "[5]", "w5", "side 1 of 0", "max", "EndOfInput"]);
    let (mut without, _) = reader(1, events(), true);
    let Poll::Ready(Err(error)) = without.poll_next(&mut Context::from_waker(std::task::Waker::noop()))
    else {
        panic!("dead letters are dropped silently")
    };
    assert!(error.message().contains("no edge"), "{error}");
}

fn splits(ids: &[&str]) -> Vec<Split> {
    ids.iter().map(|id| Split { id: (*id).to_owned(), ..Split::default() }).collect()
}

#[test]
fn a_reader_takes_up_splits_that_come_and_is_idle_while_it_has_none() {
    let spec = WatermarkSpec { expression: TS.to_vec(), column: "ts".to_owned(), idle_timeout_millis: 0 };
    let generator = WatermarkGenerator::new(&spec, &schema(), 0, 0).unwrap().with_growth(true);
    let mailbox = Mailbox::new(0);
    let mut reader =
        Reader::new(Box::new(Growing::default()), Vec::new(), Some(generator), Arc::new(Manual::default()))
            .with_mailbox(mailbox.clone());
    let shape = |all: Vec<String>| -> Vec<String> {
        all.into_iter().map(|text| if text.starts_with('[') { "rows".to_owned() } else { text }).collect()
    };
    assert_eq!(shape(read(&mut reader)), ["Idle"], "at once");
    assert!(read(&mut reader).is_empty());
    mailbox.put(0, splits(&["0"]));
    assert_eq!(shape(read(&mut reader)), ["Active", "rows", "w99", "Idle"]);
    mailbox.put(1, splits(&["0", "1"]));
    mailbox.put(1, splits(&["0", "1"]));
    // The first one is behind the watermark, which doesn't go back.
    assert_eq!(shape(read(&mut reader)), ["Active", "rows", "rows", "w199", "Idle"]);
    mailbox.put(4, splits(&["3"]));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(reader.poll_next(&mut cx), Poll::Ready(Err(_))), "split 3 never came");
}

/// Filters everything out, for ever.
struct Barren;

impl SourceReader for Barren {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<SourceEvent>>> {
        Poll::Ready(Some(Ok(SourceEvent::Records { split: 0, records: records([]) })))
    }

    fn progress(&self) -> Option<Vec<SplitProgress>> {
        None
    }
}

#[test]
fn a_source_without_rows_gives_the_thread_away_and_comes_back() {
    let mut reader = Reader::new(Box::new(Barren), Vec::new(), None, Arc::new(Manual::default()));
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    for turn in 1..4 {
        assert!(reader.poll_next(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(woken.0.load(Ordering::Relaxed), turn);
    }
}
