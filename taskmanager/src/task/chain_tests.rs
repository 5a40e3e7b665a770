//! Scripted operators: interruptions and tight outputs change nothing of what comes out.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;
use weir_api::Batch;

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]))
}

fn batch(values: Vec<i64>) -> Batch {
    Batch::new(RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(values))]).unwrap())
}

fn values(batch: &Batch) -> Vec<i64> {
    batch.records().column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// Multiplies each value into `fan` ones, each a batch of its own, every third value by the side output; at watermarks and at
/// the end it emits what it has counted.
/// It interrupts itself wherever `script` says so.
struct Scripted {
    fan: i64,
    /// Whether to give up with `Yield` before the next push; repeated for ever.
    script: Vec<bool>,
    step: usize,
    todo: VecDeque<i64>,
    seen: i64,
    /// Protocol: what may be called now.
    open: bool,
    finished: bool,
}

impl Scripted {
    fn boxed(fan: i64, script: Vec<bool>) -> Box<dyn Operator> {
        Box::new(Self { fan, script, step: 0, todo: VecDeque::new(), seen: 0, open: false, finished: false })
    }

    fn begin(&mut self) {
        assert!(!self.open && !self.finished, "a call while another is open, or after the end");
        self.open = true;
    }

    fn emit(&mut self, out: &mut Output) -> Progress {
        while let Some(&value) = self.todo.front() {
            if !out.has_room() {
                return Progress::NeedRoom;
            }
            self.step += 1;
            if !self.script.is_empty() && self.script[self.step % self.script.len()] {
                return Progress::Yield;
            }
            self.todo.pop_front();
            if value > 0 && value % 3 == 0 {
                out.push_side(batch(vec![value]));
            } else {
                out.push(batch(vec![value]));
            }
        }
        self.open = false;
        Progress::Done
    }
}

impl Operator for Scripted {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(schema())
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        self.begin();
        for value in values(&batch) {
            self.seen += 1;
            self.todo.extend((0..self.fan).map(|copy| value * 10 + copy));
        }
        Ok(self.emit(out))
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<Progress> {
        self.begin();
        self.todo.extend([-watermark.0, self.seen]);
        Ok(self.emit(out))
    }

    fn flush(&mut self, out: &mut Output) -> Result<Progress> {
        self.begin();
        self.todo.extend([-2, self.seen]);
        Ok(self.emit(out))
    }

    fn finish(&mut self, out: &mut Output) -> Result<Progress> {
        self.begin();
        self.todo.extend([-1, self.seen]);
        Ok(self.emit(out))
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        assert!(self.open, "resumed without an open call");
        Ok(self.emit(out))
    }
}

/// One line for each element that came out.
fn run(chain: &mut Chain, input: &[StreamElement], limit: usize) -> Vec<String> {
    let mut input = input.iter().cloned();
    let mut out = Vec::new();
    loop {
        match chain.step(0).unwrap() {
            Step::Worked => {
                assert!(chain.stages.iter().all(|stage| stage.output.len() <= limit), "over the limit")
            }
            Step::NeedsRoom => out.push(format!("{:?}", chain.pop().map(describe).unwrap())),
            Step::NeedsInput => {
                chain.push(0, input.next().expect("the chain finishes after the end of input").into())
            }
            Step::Finished => return out,
        }
    }
}

fn describe(emitted: Emitted) -> String {
    match emitted {
        Emitted::Element(StreamElement::Batch(batch)) => format!("{:?}", values(&batch)),
        Emitted::Element(other) => format!("{other:?}"),
        Emitted::Side(side) => format!("side {} {:?}", side.operator, values(&side.batch)),
    }
}

#[derive(Clone, Debug)]
enum Item {
    Rows(Vec<i64>),
    Watermark,
    Idle,
    Active,
}

fn elements(items: &[Item]) -> Vec<StreamElement> {
    let mut watermark = 0;
    let mut elements: Vec<_> = items
        .iter()
        .map(|item| match item {
            Item::Rows(rows) => StreamElement::Batch(batch(rows.clone())),
            Item::Watermark => {
                watermark += 7;
                StreamElement::Watermark(Watermark(watermark))
            }
            Item::Idle => StreamElement::Idle,
            Item::Active => StreamElement::Active,
        })
        .collect();
    elements.push(StreamElement::EndOfInput);
    elements
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        4 => prop::collection::vec(0_i64..100, 0..4).prop_map(Item::Rows),
        2 => Just(Item::Watermark),
        1 => Just(Item::Idle),
        1 => Just(Item::Active),
    ]
}

/// Never only interruptions: an operator that always yields gets nowhere by right.
fn script() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(any::<bool>(), 1..12).prop_map(|mut script| {
        script.push(false);
        script
    })
}

proptest! {
    #[test]
    fn interruptions_and_tight_outputs_change_nothing(
        items in prop::collection::vec(item(), 0..12),
        stages in prop::collection::vec((0_i64..4, script()), 0..4),
        limit in 1_usize..4,
    ) {
        let chain = |limit, interrupted: bool| {
            let operators = stages.iter().enumerate().map(|(position, (fan, script))| {
                let script = if interrupted { script.clone() } else { Vec::new() };
                (format!("{position}"), Scripted::boxed(*fan, script))
            });
            Chain::new(operators.collect(), 0, limit)
        };
        let input = elements(&items);
        let free = run(&mut chain(1_000_000, false), &input, 1_000_000);
        let tight = run(&mut chain(limit, true), &input, limit);
        prop_assert_eq!(free, tight);
    }
}

#[test]
fn what_a_watermark_emits_comes_before_it_and_the_end_comes_last() {
    let operators = vec![("a".to_owned(), Scripted::boxed(2, Vec::new()))];
    let input = elements(&[Item::Rows(vec![4]), Item::Watermark, Item::Idle]);
    let out = run(&mut Chain::new(operators, 0, 1), &input, 1);
    let expected = [
        "[40]",
        "[41]",
        "[-7]",
        "[1]",
        "Watermark(Watermark(7))",
        "[-2]",
        "[1]",
        "Idle",
        "[-1]",
        "[1]",
        "EndOfInput",
    ];
    assert_eq!(out, expected.map(|text| format!("{text:?}")));
}

#[test]
fn side_rows_keep_their_place_and_name_their_operator() {
    let operators =
        ["a", "b"].map(|name| (name.to_owned(), Scripted::boxed(1, Vec::new()))).into_iter().collect();
    let mut chain = Chain::new(operators, 3, 1);
    // The first one's side output takes 30 and 60 and, like the second one's, a count of 3.
    let input = elements(&[Item::Rows(vec![3, 1]), Item::Watermark, Item::Rows(vec![6])]);
    let dead = Emitted::Side(weir_api::output::SideBatch { operator: 0, batch: batch(vec![99]) });
    chain.push(0, dead);
    let out = run(&mut chain, &input, 1);
    let sides: Vec<_> = out.iter().filter(|line| line.contains("side") || line.contains("Water")).collect();
    let expected =
        ["side 0 [99]", "side 3 [30]", "side 4 [3]", "Watermark(Watermark(7))", "side 3 [60]", "side 3 [3]"];
    assert_eq!(sides, expected.map(|text| format!("{text:?}")).iter().collect::<Vec<_>>());
    assert_eq!(out.last().unwrap(), "\"EndOfInput\"");
}

/// Holds the watermark back until its timer has fired.
struct Timed {
    due: Option<i64>,
    fired: Vec<i64>,
}

impl Operator for Timed {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(schema())
    }

    fn process(&mut self, _input: u32, _batch: Batch, _out: &mut Output) -> Result<Progress> {
        self.due = Some(100);
        Ok(Progress::Done)
    }

    fn on_processing_time(&mut self, now: i64, out: &mut Output) -> Result<Progress> {
        self.fired.push(now);
        if now >= 105 {
            self.due = None;
        }
        out.push(batch(vec![now]));
        Ok(Progress::Done)
    }

    fn next_timer(&self) -> Option<i64> {
        self.due
    }

    fn output_watermark(&self, input: Watermark) -> Option<Watermark> {
        self.due.is_none().then_some(input)
    }
}

#[test]
fn a_timer_fires_once_at_one_time_and_releases_the_watermark_that_was_held_back() {
    let mut chain =
        Chain::new(vec![("t".to_owned(), Box::new(Timed { due: None, fired: Vec::new() }))], 0, 4);
    assert_eq!(chain.len(), 1);
    assert_eq!(chain.next_timer(), None);
    chain.push(0, StreamElement::Batch(batch(vec![1])).into());
    chain.push(0, StreamElement::Watermark(Watermark(9)).into());
    while chain.step(50).unwrap() == Step::Worked {}
    assert_eq!(chain.next_timer(), Some(100));
    assert_eq!(chain.step(99).unwrap(), Step::NeedsInput);
    assert_eq!(chain.step(100).unwrap(), Step::Worked);
    assert_eq!(chain.step(100).unwrap(), Step::NeedsRoom, "not twice at one time");
    assert_eq!(chain.next_timer(), Some(101));
    assert_eq!(describe(chain.pop().unwrap()), "[100]");
    assert!(chain.pop().is_none());
    assert_eq!(chain.step(105).unwrap(), Step::Worked);
    assert_eq!(describe(chain.pop().unwrap()), "[105]");
    assert_eq!(describe(chain.pop().unwrap()), "Watermark(Watermark(9))");
    assert_eq!(chain.next_timer(), None);
}

#[test]
fn a_watermark_that_goes_back_is_an_error_that_names_the_operator() {
    let mut chain = Chain::new(vec![("calc".to_owned(), Scripted::boxed(1, Vec::new()))], 0, 4);
    chain.push(0, StreamElement::Watermark(Watermark(9)).into());
    while chain.step(0).unwrap() == Step::Worked {}
    while chain.pop().is_some() {}
    chain.push(0, StreamElement::Watermark(Watermark(9)).into());
    let error = chain.step(0).unwrap_err();
    assert!(error.message().starts_with("operator 'calc': "), "{error}");
}
