//! Turns counters into samples: what they stand at, and how fast they grew since the sample before.
//!
//! Pure: whoever calls it says when.

use std::collections::HashMap;
use std::sync::Arc;

use weir_api::id::ExecutionId;
use weir_proto::v1::{MetricsReport, ProcessMetrics, SubtaskMetrics};

use super::prometheus::Labels;

/// All figures of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) tasks: Vec<TaskSample>,
    pub(crate) process: ProcessMetrics,
    /// Cores used since the sample before, as a fraction of all.
    pub(crate) cpu_load: f64,
}

/// The figures of one task.
#[derive(Clone, Debug)]
pub(crate) struct TaskSample {
    pub(crate) labels: Arc<Labels>,
    pub(crate) metrics: SubtaskMetrics,
    pub(crate) rates: Rates,
}

/// Growth per second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) records_in: f64,
    pub(crate) records_out: f64,
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
    pub(crate) busy_millis: f64,
    pub(crate) idle_millis: f64,
    pub(crate) back_pressured_millis: f64,
}

/// Remembers the sample before.
#[derive(Debug)]
pub(crate) struct Sampler {
    cores: u32,
    at: Option<u64>,
    cpu_millis: u64,
    tasks: HashMap<ExecutionId, SubtaskMetrics>,
}

impl Sampler {
    /// A sampler on a machine with so many cores.
    pub(crate) fn new(cores: u32) -> Self {
        Self { cores: cores.max(1), at: None, cpu_millis: 0, tasks: HashMap::new() }
    }

    /// A sample of the tasks that run at `now`, in milliseconds that never go back.
    pub(crate) fn sample(
        &mut self,
        now: u64,
        tasks: Vec<(ExecutionId, Arc<Labels>, SubtaskMetrics)>,
        process: ProcessMetrics,
    ) -> Sample {
        let seconds = self.at.map_or(0.0, |at| now.saturating_sub(at) as f64 / 1000.0);
        let before = std::mem::take(&mut self.tasks);
        let samples = tasks
            .into_iter()
            .map(|(id, labels, metrics)| {
                let rates = before
                    .get(&id)
                    .map_or_else(Rates::default, |before| Rates::new(before, &metrics, seconds));
                self.tasks.insert(id, metrics.clone());
                TaskSample { labels, metrics, rates }
            })
            .collect();
        let cpu_load =
            per_second(self.cpu_millis, process.cpu_millis, seconds) / 1000.0 / f64::from(self.cores);
        self.cpu_millis = process.cpu_millis;
        self.at = Some(now);
        Sample { tasks: samples, process, cpu_load }
    }
}

impl Rates {
    fn new(before: &SubtaskMetrics, now: &SubtaskMetrics, seconds: f64) -> Self {
        let rate = |figure: fn(&SubtaskMetrics) -> u64| per_second(figure(before), figure(now), seconds);
        Self {
            records_in: rate(|metrics| metrics.num_records_in),
            records_out: rate(|metrics| metrics.num_records_out),
            bytes_in: rate(|metrics| metrics.num_bytes_in),
            bytes_out: rate(|metrics| metrics.num_bytes_out),
            busy_millis: rate(|metrics| metrics.busy_millis),
            idle_millis: rate(|metrics| metrics.idle_millis),
            back_pressured_millis: rate(|metrics| metrics.back_pressured_millis),
        }
    }
}

impl From<&Sample> for MetricsReport {
    fn from(sample: &Sample) -> Self {
        Self {
            subtasks: sample.tasks.iter().map(|task| task.metrics.clone()).collect(),
            process: Some(sample.process),
        }
    }
}

fn per_second(before: u64, now: u64, seconds: f64) -> f64 {
    if seconds <= 0.0 { 0.0 } else { now.saturating_sub(before) as f64 / seconds }
}

#[cfg(test)]
mod tests {
    use weir_api::id::{Attempt, JobId, SubtaskIndex, VertexIndex};

    use super::*;

    #[test]
    fn rates_are_growth_per_second_of_the_same_attempt() {
        let id = |attempt| ExecutionId {
            job: JobId::from_bytes([1; 16]),
            attempt: Attempt(attempt),
            vertex: VertexIndex(0),
            subtask: SubtaskIndex(0),
        };
        let metrics = |records| SubtaskMetrics { num_records_in: records, ..SubtaskMetrics::default() };
        let process = |cpu_millis| ProcessMetrics { cpu_millis, ..ProcessMetrics::default() };
        let mut sampler = Sampler::new(2);
        let first = sampler.sample(1_000, vec![(id(1), Arc::default(), metrics(100))], process(500));
        assert_eq!(first.tasks[0].rates, Rates::default());
        let second = sampler.sample(3_000, vec![(id(1), Arc::default(), metrics(700))], process(2_500));
        assert_eq!(second.tasks[0].rates.records_in, 300.0);
        assert_eq!(second.cpu_load, 0.5);
        let third = sampler.sample(4_000, vec![(id(2), Arc::default(), metrics(5))], process(2_500));
        assert_eq!(third.tasks[0].rates, Rates::default(), "a new attempt starts anew");
        assert_eq!(sampler.tasks.len(), 1, "ended tasks are forgotten");
    }
}
