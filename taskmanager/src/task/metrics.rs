//! What a running task counts: records, bytes, watermarks, and where its time goes.
//!
//! One writer, the task on its slot's thread; any number of readers. Invariant: busy, idle and back-pressured time sum up to the
//! time since the start, a wait that is still going on included. Only waits are measured: what isn't waiting is busy, as in
//! Flink, the time in which other tasks have the thread included.
#![expect(clippy::disallowed_methods, reason = "the edge, where time is read")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weir_api::metrics::{Counter, OperatorMetrics};
use weir_api::watermark::Watermark;
use weir_proto::v1::{SubtaskId, SubtaskMetrics};

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// Input: the task is idle.
    Input,
    /// Room downstream: the task is back-pressured.
    Room,
}

/// The counters of one task.
#[derive(Debug)]
pub(crate) struct TaskMetrics {
    pub(crate) records_in: Counter,
    /// Of the main output; what leaves by side outputs is counted by itself, so that a filter's or a join's figures say what
    /// they said before somebody read its late rows.
    pub(crate) records_out: Counter,
    pub(crate) side_output_records: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    input_watermark: AtomicI64,
    output_watermark: AtomicI64,
    /// One for each operator of the chain, head first.
    operators: Vec<Arc<OperatorMetrics>>,
    times: Times,
    input: Queue,
    output: Queue,
    pub(crate) checkpoints: CheckpointMetrics,
}

/// Of a task's last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct CheckpointMetrics {
    start_delay_nanos: AtomicU64,
    alignment_nanos: AtomicU64,
    freeze_nanos: AtomicU64,
    state_bytes: AtomicU64,
}

impl CheckpointMetrics {
    /// The barrier is in: so long after the trigger came the first one, and so long after that the last.
    pub(crate) fn begin(&self, start_delay: Duration, alignment: Duration) {
        self.start_delay_nanos.store(start_delay.as_nanos() as u64, Ordering::Relaxed);
        self.alignment_nanos.store(alignment.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The operators have frozen their state, which takes so many bytes in memory.
    pub(crate) fn frozen(&self, freeze: Duration, state_bytes: u64) {
        self.freeze_nanos.store(freeze.as_nanos() as u64, Ordering::Relaxed);
        self.state_bytes.store(state_bytes, Ordering::Relaxed);
    }
}

/// How full the buffers at one end are.
#[derive(Debug, Default)]
struct Queue {
    length: AtomicU64,
    usage_percent: AtomicU32,
}

impl TaskMetrics {
    /// Counters for a chain of `operators` operators that starts now.
    pub(crate) fn new(operators: usize) -> Self {
        Self {
            records_in: Counter::default(),
            records_out: Counter::default(),
            side_output_records: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            input_watermark: AtomicI64::new(Watermark::MIN.0),
            output_watermark: AtomicI64::new(Watermark::MIN.0),
            operators: (0..operators).map(|_| Arc::default()).collect(),
            times: Times::start(),
            input: Queue::default(),
            output: Queue::default(),
            checkpoints: CheckpointMetrics::default(),
        }
    }

    /// The counters of the operator at this position of the chain.
    pub(crate) fn operator(&self, position: usize) -> Arc<OperatorMetrics> {
        self.operators.get(position).cloned().unwrap_or_default()
    }

    pub(crate) fn set_input_watermark(&self, watermark: Watermark) {
        self.input_watermark.store(watermark.0, Ordering::Relaxed);
    }

    pub(crate) fn set_output_watermark(&self, watermark: Watermark) {
        self.output_watermark.store(watermark.0, Ordering::Relaxed);
    }

    /// How many buffers wait at both ends, and the shares of the buffers in use, in per cent.
    pub(crate) fn set_queues(&self, input: (usize, u8), output: (usize, u8)) {
        for (queue, (length, usage)) in [(&self.input, input), (&self.output, output)] {
            queue.length.store(length as u64, Ordering::Relaxed);
            queue.usage_percent.store(usage.into(), Ordering::Relaxed);
        }
    }

    /// The task waits from now on.
    pub(crate) fn begin_wait(&self, wait: Wait) {
        self.times.begin(wait);
    }

    /// The task works again.
    pub(crate) fn end_wait(&self) {
        self.times.end();
    }

    /// The figures as they are sent.
    pub(crate) fn snapshot(&self, task: SubtaskId) -> SubtaskMetrics {
        let operators = |counter: fn(&OperatorMetrics) -> &Counter| -> u64 {
            self.operators.iter().map(|operator| counter(operator).get()).sum()
        };
        let watermark = |value: &AtomicI64| {
            Some(value.load(Ordering::Relaxed)).filter(|&millis| millis != Watermark::MIN.0)
        };
        let times = self.times.read();
        SubtaskMetrics {
            task: Some(task),
            num_records_in: self.records_in.get(),
            num_records_out: self.records_out.get(),
            num_side_output_records: self.side_output_records.get(),
            // A source's bytes are counted by its reader, a sink's by its writer, all others where batches pass.
            num_bytes_in: self.bytes_in.get() + operators(|metrics| &metrics.num_bytes_in),
            num_bytes_out: self.bytes_out.get() + operators(|metrics| &metrics.num_bytes_out),
            num_late_records_dropped: operators(|metrics| &metrics.num_late_records_dropped),
            num_records_in_errors: operators(|metrics| &metrics.num_records_in_errors),
            commits_succeeded: operators(|metrics| &metrics.commits_succeeded),
            commits_failed: operators(|metrics| &metrics.commits_failed),
            busy_millis: times.busy_micros / 1000,
            idle_millis: times.idle_micros / 1000,
            back_pressured_millis: times.back_pressured_micros / 1000,
            current_input_watermark: watermark(&self.input_watermark),
            current_output_watermark: watermark(&self.output_watermark),
            input_queue_length: self.input.length.load(Ordering::Relaxed),
            output_queue_length: self.output.length.load(Ordering::Relaxed),
            in_pool_usage_percent: self.input.usage_percent.load(Ordering::Relaxed),
            out_pool_usage_percent: self.output.usage_percent.load(Ordering::Relaxed),
            checkpoint_start_delay_nanos: self.checkpoints.start_delay_nanos.load(Ordering::Relaxed),
            checkpoint_alignment_nanos: self.checkpoints.alignment_nanos.load(Ordering::Relaxed),
            checkpoint_freeze_nanos: self.checkpoints.freeze_nanos.load(Ordering::Relaxed),
            state_bytes: self.checkpoints.state_bytes.load(Ordering::Relaxed),
        }
    }
}

/// Where a task's time went, in microseconds since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct TimesRead {
    busy_micros: u64,
    idle_micros: u64,
    back_pressured_micros: u64,
}

/// The sums of the waits that are over, and the one that isn't.
#[derive(Debug)]
struct Times {
    start: Instant,
    idle: AtomicU64,
    back_pressured: AtomicU64,
    /// `0`: no wait; else microseconds since the start, shifted by one, the low bit saying for what; never `0` then.
    waiting: AtomicU64,
    /// Odd while the writer is between the fields above.
    version: AtomicU64,
}

impl Times {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            idle: AtomicU64::new(0),
            back_pressured: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            version: AtomicU64::new(0),
        }
    }

    fn micros(&self) -> u64 {
        // One is added so that a wait at the very start isn't taken for none.
        self.start.elapsed().as_micros() as u64 + 1
    }

    fn begin(&self, wait: Wait) {
        self.change(Some(wait));
    }

    fn end(&self) {
        self.change(None);
    }

    /// Ends the wait that is going on, if one is, and begins another. The time is read between the two changes of `version`:
    /// were it read before, a reader in between could take the wait for longer than it will turn out.
    fn change(&self, wait: Option<Wait>) {
        self.version.fetch_add(1, Ordering::SeqCst);
        let now = self.micros();
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting != 0 {
            let sum = if waiting & 1 == 1 { &self.back_pressured } else { &self.idle };
            sum.fetch_add(now.saturating_sub(waiting >> 1), Ordering::SeqCst);
        }
        let begun = wait.map_or(0, |wait| now << 1 | u64::from(wait == Wait::Room));
        self.waiting.store(begun, Ordering::SeqCst);
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// A consistent reading: repeated while the writer is at work, which takes it nanoseconds, or a time slice when it is
    /// interrupted right there.
    fn read(&self) -> TimesRead {
        loop {
            let version = self.version.load(Ordering::SeqCst);
            let mut idle = self.idle.load(Ordering::SeqCst);
            let mut back_pressured = self.back_pressured.load(Ordering::SeqCst);
            let waiting = self.waiting.load(Ordering::SeqCst);
            // Taken before the check: a wait that the check finds unended was going on at this time.
            let now = self.micros();
            if version % 2 == 1 || version != self.version.load(Ordering::SeqCst) {
                std::thread::yield_now();
                continue;
            }
            if waiting != 0 {
                let sum = if waiting & 1 == 1 { &mut back_pressured } else { &mut idle };
                *sum += now.saturating_sub(waiting >> 1);
            }
            let busy = now.saturating_sub(idle).saturating_sub(back_pressured);
            return TimesRead { busy_micros: busy, idle_micros: idle, back_pressured_micros: back_pressured };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_times_sum_up_and_an_open_wait_counts() {
        let times = Times::start();
        std::thread::sleep(Duration::from_millis(20));
        times.begin(Wait::Input);
        std::thread::sleep(Duration::from_millis(30));
        times.begin(Wait::Room);
        std::thread::sleep(Duration::from_millis(40));
        let read = times.read();
        let total = times.micros();
        assert!(
            read.busy_micros >= 20_000 && read.idle_micros >= 30_000 && read.back_pressured_micros >= 40_000
        );
        let sum = read.busy_micros + read.idle_micros + read.back_pressured_micros;
        assert!(sum <= total && total - sum < 5_000, "{read:?} of {total}");
        times.end();
        times.end();
        assert!(times.read().back_pressured_micros >= read.back_pressured_micros);
    }

    #[test]
    fn a_reading_never_goes_back_while_the_task_writes() {
        let times = Arc::new(Times::start());
        let writer = {
            let times = Arc::clone(&times);
            std::thread::spawn(move || {
                for round in 0..200_000 {
                    times.begin(if round % 2 == 0 { Wait::Input } else { Wait::Room });
                    times.end();
                }
            })
        };
        let mut last = TimesRead::default();
        while !writer.is_finished() {
            let read = times.read();
            assert!(read.idle_micros >= last.idle_micros, "{last:?} then {read:?}");
            assert!(read.back_pressured_micros >= last.back_pressured_micros, "{last:?} then {read:?}");
            assert!(read.busy_micros >= last.busy_micros, "{last:?} then {read:?}");
            last = read;
        }
        writer.join().expect("the writer ends");
    }
}
