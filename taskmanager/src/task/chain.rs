//! Drives a chain of resumable operators: which stage works next, and what passes between stages by itself.
//!
//! Invariants: the deepest stage that can work works first, so a chain holds no more elements than its bounded outputs have
//! room for; a stage sees elements in stream order, each call resumed until it is done before the next; watermarks go on only
//! after the stage has handled them, and never back; after the end of input a stage is finished once and called no more.
//! Pure: knows neither where elements come from nor where they go, and is told the time.

use std::collections::VecDeque;

use weir_api::element::StreamElement;
use weir_api::operator::{Operator, Progress};
use weir_api::output::Output;
use weir_api::watermark::Watermark;
use weir_api::{Error, Result};

/// How many elements may wait between two stages.
pub(crate) const OUTPUT_LIMIT: usize = 4;

/// What a [`Chain::step`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// A stage has worked: look around, then step again.
    Worked,
    /// Nothing is left to do: [`Chain::push`] the next element.
    NeedsInput,
    /// Nothing can be done before [`Chain::pop`] has made room.
    NeedsRoom,
    /// The end of input has come out at the end.
    Finished,
}

/// The operators of one task behind its head, and what is on its way between them.
pub(crate) struct Chain {
    /// What the first stage takes next, with the number of its input. One source event makes at most a few elements.
    entry: VecDeque<(u32, StreamElement)>,
    stages: Vec<Stage>,
    finished: bool,
}

/// One operator, the call that it is in, and its output.
struct Stage {
    name: String,
    operator: Box<dyn Operator>,
    call: Call,
    output: Output,
    /// The last watermark that came in, and the last that went on.
    watermark_in: Option<Watermark>,
    watermark_out: Option<Watermark>,
    /// The processing time of the last timer call: a timer fires once at one time, however due it says it is.
    timers_fired_at: i64,
}

/// What a stage is in the middle of.
enum Call {
    /// Takes the next element.
    Ready,
    /// A call has returned `NeedRoom` or `Yield`; this comes after it.
    Open(After),
    /// Goes on to the next stage as soon as there is room.
    Forward(StreamElement),
    /// Has passed on the end of input.
    Finished,
}

/// What follows a call that is done.
enum After {
    /// Nothing.
    Element,
    /// The watermark that the operator lets go on, if it does.
    Watermark,
    /// What operators don't see.
    Pass(StreamElement),
    Finish,
}

impl Chain {
    /// A chain over `operators`, named for error messages; `limit` elements may wait behind each.
    pub(crate) fn new(operators: Vec<(String, Box<dyn Operator>)>, limit: usize) -> Self {
        let stages =
            operators.into_iter().map(|(name, operator)| Stage::new(name, operator, limit)).collect();
        Self { entry: VecDeque::new(), stages, finished: false }
    }

    /// Hands in an element of input number `input`. Call it only after [`Step::NeedsInput`].
    pub(crate) fn push(&mut self, input: u32, element: StreamElement) {
        self.entry.push_back((input, element));
    }

    /// Takes the oldest element that has come out at the end.
    pub(crate) fn pop(&mut self) -> Option<StreamElement> {
        let element = match self.stages.last_mut() {
            Some(last) => last.output.pop(),
            None => self.entry.pop_front().map(|(_, element)| element),
        };
        self.finished |= matches!(element, Some(StreamElement::EndOfInput));
        element
    }

    /// Lets the deepest stage that can do anything do it. `now` is the processing time in milliseconds since 1970.
    pub(crate) fn step(&mut self, now: i64) -> Result<Step> {
        for index in (0..self.stages.len()).rev() {
            let (before, rest) = self.stages.split_at_mut(index);
            let Some(stage) = rest.first_mut() else { break };
            if !stage.output.has_room() {
                continue;
            }
            let worked = match before.last_mut() {
                Some(previous) => stage.work(now, || previous.output.pop().map(|element| (0, element))),
                None => stage.work(now, || self.entry.pop_front()),
            };
            if worked.map_err(|error| error.context(format_args!("operator '{}'", stage.name)))? {
                return Ok(Step::Worked);
            }
        }
        let waiting = match self.stages.last() {
            Some(last) => !last.output.is_empty(),
            None => !self.entry.is_empty(),
        };
        Ok(match (waiting, self.finished) {
            (true, _) => Step::NeedsRoom,
            (false, true) => Step::Finished,
            (false, false) => Step::NeedsInput,
        })
    }

    /// The earliest processing time that an operator waits for.
    pub(crate) fn next_timer(&self) -> Option<i64> {
        self.stages
            .iter()
            .filter(|stage| matches!(stage.call, Call::Ready))
            .filter_map(Stage::next_timer)
            .min()
    }

    /// The operators, in order.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.stages.len()
    }
}

impl Stage {
    fn new(name: String, operator: Box<dyn Operator>, limit: usize) -> Self {
        Self {
            name,
            operator,
            call: Call::Ready,
            output: Output::new(limit),
            watermark_in: None,
            watermark_out: None,
            timers_fired_at: i64::MIN,
        }
    }

    /// A timer that hasn't been served at its time yet.
    fn next_timer(&self) -> Option<i64> {
        self.operator.next_timer().map(|timer| timer.max(self.timers_fired_at.saturating_add(1)))
    }

    /// One call, or one element passed on; `false` if there was nothing to do. The output has room.
    fn work(&mut self, now: i64, take: impl FnOnce() -> Option<(u32, StreamElement)>) -> Result<bool> {
        match std::mem::replace(&mut self.call, Call::Ready) {
            Call::Finished => {
                self.call = Call::Finished;
                Ok(false)
            }
            Call::Forward(element) => {
                self.forward(element);
                Ok(true)
            }
            Call::Open(after) => {
                let progress = self.operator.resume(&mut self.output)?;
                self.settle(progress, after);
                Ok(true)
            }
            Call::Ready if self.next_timer().is_some_and(|timer| timer <= now) => {
                self.timers_fired_at = now;
                let progress = self.operator.on_processing_time(now, &mut self.output)?;
                self.settle(progress, After::Watermark);
                Ok(true)
            }
            Call::Ready => match take() {
                Some((input, element)) => self.handle(input, element).map(|()| true),
                None => Ok(false),
            },
        }
    }

    fn handle(&mut self, input: u32, element: StreamElement) -> Result<()> {
        let (progress, after) = match element {
            StreamElement::Batch(batch) => {
                (self.operator.process(input, batch, &mut self.output)?, After::Element)
            }
            StreamElement::Watermark(watermark) => {
                if self.watermark_in.is_some_and(|last| watermark <= last) {
                    return Err(Error::internal(format!(
                        "the watermark went from {:?} back to {watermark:?}",
                        self.watermark_in
                    )));
                }
                self.watermark_in = Some(watermark);
                (self.operator.on_watermark(watermark, &mut self.output)?, After::Watermark)
            }
            StreamElement::EndOfInput => (self.operator.finish(&mut self.output)?, After::Finish),
            passed @ (StreamElement::Barrier(_) | StreamElement::Idle) => {
                (self.operator.flush(&mut self.output)?, After::Pass(passed))
            }
            StreamElement::Active => (Progress::Done, After::Pass(StreamElement::Active)),
        };
        self.settle(progress, after);
        Ok(())
    }

    fn settle(&mut self, progress: Progress, after: After) {
        if progress != Progress::Done {
            self.call = Call::Open(after);
            return;
        }
        let next = match after {
            After::Element => None,
            After::Watermark => self.due_watermark().map(StreamElement::Watermark),
            After::Pass(element) => Some(element),
            After::Finish => Some(StreamElement::EndOfInput),
        };
        match next {
            Some(element) if self.output.has_room() => self.forward(element),
            Some(element) => self.call = Call::Forward(element),
            None => self.call = Call::Ready,
        }
    }

    /// The watermark that may go on now. A timer call can release one that the operator held back.
    fn due_watermark(&self) -> Option<Watermark> {
        let watermark = self.operator.output_watermark(self.watermark_in?)?;
        self.watermark_out.is_none_or(|last| watermark > last).then_some(watermark)
    }

    fn forward(&mut self, element: StreamElement) {
        match element {
            StreamElement::Watermark(watermark) => self.watermark_out = Some(watermark),
            StreamElement::EndOfInput => self.call = Call::Finished,
            _ => {}
        }
        self.output.push_element(element);
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
