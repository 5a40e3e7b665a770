//! What every exactly-once sink has to stand: the same scenarios over each connector, against the real thing.
//!
//! A connector's test says how to make its sink and how to see what others see of its output ([`Subject`]); [`run`] plays a job's
//! life over it, killed and restarted at every step, and compares what can be seen with what completed checkpoints hold.
//! Invariant that is checked: at every moment others see exactly the rows of the checkpoints that were committed, each once.
//! Knows no connector. For tests: built with the feature `conformance`.

mod blobs;
mod job;
mod scenarios;

use std::ops::Range;
use std::sync::Arc;

use tokio::runtime::Handle;
use weir_api::Batch;
use weir_api::error::Result;
use weir_api::sink::Sink;

pub use scenarios::SCENARIOS;

/// A destination that nothing has been written to, and the sink that writes there.
pub trait Subject {
    /// The sink, made anew: tasks and committers run in processes of their own.
    fn sink(&self) -> Result<Arc<dyn Sink>>;

    /// Rows of the sink's columns that hold these numbers.
    fn batch(&self, numbers: Range<i64>) -> Batch;

    /// The numbers of all rows that others see who read committed output only, in any order.
    fn visible(&self) -> Result<Vec<i64>>;

    /// Another system takes all output that is visible away, if that can happen to it.
    fn take_away(&self) -> Result<bool> {
        Ok(false)
    }

    /// What the job has left behind that isn't its output; asked when the job is over.
    fn leftovers(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Makes the subject of a scenario, whose number it is given: another destination each time.
pub type Make<'a> = &'a dyn Fn(usize) -> Result<Box<dyn Subject>>;

/// Plays all scenarios; what a sink doesn't stand is an error that names the scenario. `io` is the runtime that writers and
/// committers work on.
pub fn run(io: &Handle, make: Make<'_>) -> std::result::Result<(), String> {
    (0..SCENARIOS.len()).try_for_each(|number| run_one(io, make, number))
}

/// Plays one of [`SCENARIOS`].
pub fn run_one(io: &Handle, make: Make<'_>, number: usize) -> std::result::Result<(), String> {
    let Some((name, play)) = SCENARIOS.get(number) else {
        return Err(format!("there is no scenario {number}"));
    };
    let subject = make(number).map_err(|error| format!("{name}: make the sink: {}", error.chain()))?;
    let job = job::Job::new(subject.as_ref(), io).map_err(|problem| format!("{name}: {problem}"))?;
    play(job).map_err(|problem| format!("{name}: {problem}"))
}
