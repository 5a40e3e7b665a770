//! Drives a chain of resumable operators: which stage works next, and what passes between stages by itself.
//!
//! Invariants: the deepest stage that can work works first, so a chain holds no more elements than its bounded outputs have
//! room for; a stage sees elements in stream order, each call resumed until it is done before the next; watermarks go on only
//! after the stage has handled them, and never back; after the end of input a stage is finished once and called no more; rows of
//! a side output pass the stages behind untouched and in their place, so that no event overtakes them or is overtaken; a stage
//! freezes at a barrier after it has flushed and before the barrier goes on.
//! Pure: knows neither where elements come from nor where they go, and is told the time.

use std::collections::VecDeque;

use weir_api::element::StreamElement;
use weir_api::operator::{Operator, Progress};
use weir_api::output::{Emitted, Output};
use weir_api::watermark::Watermark;
use weir_api::{Error, Result};

use super::freeze::Snapshots;

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
    entry: VecDeque<(u32, Emitted)>,
    stages: Vec<Stage>,
    /// Those whose barriers are on their way.
    snapshots: Snapshots,
    finished: bool,
}

/// One operator, the call that it is in, and its output.
struct Stage {
    /// In the vertex's chain.
    position: usize,
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
    Forward(Emitted),
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
    Pass(Emitted),
    Finish,
}

impl Chain {
    /// A chain over `operators`, named for error messages, the first of them at position `first` of the vertex's chain;
    /// `limit` elements may wait behind each.
    pub(crate) fn new(operators: Vec<(String, Box<dyn Operator>)>, first: usize, limit: usize) -> Self {
        let stages = operators
            .into_iter()
            .enumerate()
            .map(|(position, (name, operator))| Stage::new(first + position, name, operator, limit))
            .collect();
        Self { entry: VecDeque::new(), stages, snapshots: Snapshots::default(), finished: false }
    }

    /// Hands in an element of input number `input`. Call it only after [`Step::NeedsInput`].
    pub(crate) fn push(&mut self, input: u32, element: Emitted) {
        self.entry.push_back((input, element));
    }

    /// Those whose barriers are on their way.
    pub(crate) const fn snapshots(&mut self) -> &mut Snapshots {
        &mut self.snapshots
    }

    /// What the operators' keyed state takes, roughly.
    pub(crate) fn state_bytes(&mut self) -> u64 {
        let sizes = self.stages.iter_mut().filter_map(|stage| stage.operator.keyed_state());
        sizes.map(|state| state.size_bytes()).sum()
    }

    /// The operators with their positions in the vertex's chain and their names, for their state before the first element.
    pub(crate) fn operators(&mut self) -> impl Iterator<Item = (usize, &str, &mut (dyn Operator + 'static))> {
        self.stages.iter_mut().map(|stage| (stage.position, stage.name.as_str(), stage.operator.as_mut()))
    }

    /// Takes the oldest element that has come out at the end.
    pub(crate) fn pop(&mut self) -> Option<Emitted> {
        let element = match self.stages.last_mut() {
            Some(last) => last.output.pop(),
            None => self.entry.pop_front().map(|(_, element)| element),
        };
        self.finished |= matches!(element, Some(Emitted::Element(StreamElement::EndOfInput)));
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
                Some(previous) => {
                    stage.work(now, &mut self.snapshots, || previous.output.pop().map(|element| (0, element)))
                }
                None => stage.work(now, &mut self.snapshots, || self.entry.pop_front()),
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
    fn new(position: usize, name: String, operator: Box<dyn Operator>, limit: usize) -> Self {
        Self {
            position,
            name,
            operator,
            call: Call::Ready,
            output: Output::of_operator(position, limit),
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
    fn work(
        &mut self,
        now: i64,
        snapshots: &mut Snapshots,
        take: impl FnOnce() -> Option<(u32, Emitted)>,
    ) -> Result<bool> {
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
                self.settle(progress, after, snapshots)?;
                Ok(true)
            }
            Call::Ready if self.next_timer().is_some_and(|timer| timer <= now) => {
                self.timers_fired_at = now;
                let progress = self.operator.on_processing_time(now, &mut self.output)?;
                self.settle(progress, After::Watermark, snapshots)?;
                Ok(true)
            }
            Call::Ready => match take() {
                Some((input, element)) => self.handle(input, element, snapshots).map(|()| true),
                None => Ok(false),
            },
        }
    }

    fn handle(&mut self, input: u32, emitted: Emitted, snapshots: &mut Snapshots) -> Result<()> {
        let element = match emitted {
            Emitted::Element(element) => element,
            side @ Emitted::Side(_) => {
                return self.settle(Progress::Done, After::Pass(side), snapshots);
            }
        };
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
                (self.operator.flush(&mut self.output)?, After::Pass(passed.into()))
            }
            StreamElement::Active => (Progress::Done, After::Pass(StreamElement::Active.into())),
        };
        self.settle(progress, after, snapshots)
    }

    fn settle(&mut self, progress: Progress, after: After, snapshots: &mut Snapshots) -> Result<()> {
        if progress != Progress::Done {
            self.call = Call::Open(after);
            return Ok(());
        }
        let next = match after {
            After::Element => None,
            After::Watermark => self.due_watermark().map(|due| StreamElement::Watermark(due).into()),
            After::Pass(element) => {
                if let Emitted::Element(StreamElement::Barrier(barrier)) = &element {
                    snapshots.freeze(barrier.checkpoint_id, self.position, self.operator.as_mut())?;
                }
                Some(element)
            }
            After::Finish => Some(StreamElement::EndOfInput.into()),
        };
        match next {
            Some(element) if self.output.has_room() => self.forward(element),
            Some(element) => self.call = Call::Forward(element),
            None => self.call = Call::Ready,
        }
        Ok(())
    }

    /// The watermark that may go on now. A timer call can release one that the operator held back.
    fn due_watermark(&self) -> Option<Watermark> {
        let watermark = self.operator.output_watermark(self.watermark_in?)?;
        self.watermark_out.is_none_or(|last| watermark > last).then_some(watermark)
    }

    fn forward(&mut self, element: Emitted) {
        match &element {
            Emitted::Element(StreamElement::Watermark(watermark)) => self.watermark_out = Some(*watermark),
            Emitted::Element(StreamElement::EndOfInput) => self.call = Call::Finished,
            _ => {}
        }
        self.output.pass(element);
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
