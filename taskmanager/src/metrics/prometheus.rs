//! Samples in Prometheus's text format, under Flink's names.
//!
//! The names are those of Flink's reporter (`taskmanager_job_task_numRecordsIn`) behind a prefix of one's choice, so that with
//! the prefix `flink` existing dashboards work. What Flink tells of its JVM is told of the process. Pure.

use std::fmt::Write;

use weir_proto::v1::SubtaskMetrics;

use super::sampler::{Sample, TaskSample};

/// Who a task is, as labels; values are escaped when they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    pub(crate) job_id: String,
    pub(crate) job_name: String,
    pub(crate) task_id: String,
    pub(crate) task_name: String,
    pub(crate) task_attempt_id: String,
    pub(crate) task_attempt_num: u32,
    pub(crate) subtask_index: u32,
}

/// A metric of tasks: its name, what it means, its value.
type TaskMetric = (&'static str, &'static str, fn(&TaskSample) -> Option<f64>);

/// A watermark as Flink shows it: the smallest number before the first one.
fn watermark(value: Option<i64>) -> Option<f64> {
    Some(value.unwrap_or(i64::MIN) as f64)
}

fn counter(figure: fn(&SubtaskMetrics) -> u64, task: &TaskSample) -> Option<f64> {
    Some(figure(&task.metrics) as f64)
}

const TASK_METRICS: &[TaskMetric] = &[
    ("numRecordsIn", "Records received, or read by a source", |t| counter(|m| m.num_records_in, t)),
    ("numRecordsOut", "Records sent, or written by a sink", |t| counter(|m| m.num_records_out, t)),
    ("numBytesIn", "Bytes received, or read by a source", |t| counter(|m| m.num_bytes_in, t)),
    ("numBytesOut", "Bytes sent, or written by a sink", |t| counter(|m| m.num_bytes_out, t)),
    ("numRecordsInPerSecond", "Records received per second", |t| Some(t.rates.records_in)),
    ("numRecordsOutPerSecond", "Records sent per second", |t| Some(t.rates.records_out)),
    ("numBytesInPerSecond", "Bytes received per second", |t| Some(t.rates.bytes_in)),
    ("numBytesOutPerSecond", "Bytes sent per second", |t| Some(t.rates.bytes_out)),
    ("numSideOutputRecords", "Dead letters and late rows that left by side outputs", |t| {
        counter(|m| m.num_side_output_records, t)
    }),
    ("numLateRecordsDropped", "Records that came after their windows were emitted", |t| {
        counter(|m| m.num_late_records_dropped, t)
    }),
    ("numRecordsInErrors", "Records skipped because they can't be decoded", |t| {
        counter(|m| m.num_records_in_errors, t)
    }),
    ("commitsSucceeded", "Commits of a consumer group's offsets", |t| counter(|m| m.commits_succeeded, t)),
    ("commitsFailed", "Commits of a consumer group's offsets that failed", |t| {
        counter(|m| m.commits_failed, t)
    }),
    ("busyTimeMsPerSecond", "Milliseconds of each second spent working", |t| Some(t.rates.busy_millis)),
    ("idleTimeMsPerSecond", "Milliseconds of each second spent waiting for input", |t| {
        Some(t.rates.idle_millis)
    }),
    ("backPressuredTimeMsPerSecond", "Milliseconds of each second spent waiting for room downstream", |t| {
        Some(t.rates.back_pressured_millis)
    }),
    ("accumulateBusyTimeMs", "Milliseconds spent working", |t| counter(|m| m.busy_millis, t)),
    ("accumulateIdleTimeMs", "Milliseconds spent waiting for input", |t| counter(|m| m.idle_millis, t)),
    ("accumulateBackPressuredTimeMs", "Milliseconds spent waiting for room downstream", |t| {
        counter(|m| m.back_pressured_millis, t)
    }),
    ("isBackPressured", "Whether the task waited for room downstream in the last second", |t| {
        Some(f64::from(u8::from(t.rates.back_pressured_millis > 0.0)))
    }),
    ("currentInputWatermark", "The last watermark received, in milliseconds", |t| {
        watermark(t.metrics.current_input_watermark)
    }),
    ("currentOutputWatermark", "The last watermark sent, in milliseconds", |t| {
        watermark(t.metrics.current_output_watermark)
    }),
    (
        "checkpointStartDelayNanos",
        "From the last checkpoint's trigger to its first barrier, in nanoseconds",
        |t| counter(|m| m.checkpoint_start_delay_nanos, t),
    ),
    (
        "checkpointAlignmentTime",
        "From the last checkpoint's first barrier to its last, in nanoseconds",
        |t| counter(|m| m.checkpoint_alignment_nanos, t),
    ),
    (
        "checkpointFreezeNanos",
        "What freezing state for the last checkpoint took of the task, in nanoseconds",
        |t| counter(|m| m.checkpoint_freeze_nanos, t),
    ),
    ("stateSizeBytes", "Keyed state in memory at the last checkpoint, in bytes", |t| {
        counter(|m| m.state_bytes, t)
    }),
    ("Shuffle_Netty_Input_Buffers_inputQueueLength", "Buffers received and not processed", |t| {
        counter(|m| m.input_queue_length, t)
    }),
    ("Shuffle_Netty_Output_Buffers_outputQueueLength", "Buffers produced and not sent", |t| {
        counter(|m| m.output_queue_length, t)
    }),
    ("Shuffle_Netty_Input_Buffers_inPoolUsage", "Share of the input buffers in use", |t| {
        Some(f64::from(t.metrics.in_pool_usage_percent) / 100.0)
    }),
    ("Shuffle_Netty_Output_Buffers_outPoolUsage", "Share of the output buffers in use", |t| {
        Some(f64::from(t.metrics.out_pool_usage_percent) / 100.0)
    }),
];

/// A metric of the process: its name, what it means, its value.
type ProcessMetric = (&'static str, &'static str, fn(&Sample) -> f64);

const PROCESS_METRICS: &[ProcessMetric] = &[
    ("Status_JVM_CPU_Load", "Share of the machine's processors used by the process", |s| s.cpu_load),
    ("Status_JVM_CPU_Time", "Processor time used by the process, in nanoseconds", |s| {
        s.process.cpu_millis as f64 * 1e6
    }),
    ("Status_JVM_Memory_Heap_Used", "Resident memory of the process, in bytes", |s| {
        s.process.resident_bytes as f64
    }),
    ("Status_JVM_Threads_Count", "Threads of the process", |s| f64::from(s.process.threads)),
    ("Status_Shuffle_Netty_TotalMemorySegments", "Network buffers", |s| {
        s.process.network_segments_total as f64
    }),
    ("Status_Shuffle_Netty_AvailableMemorySegments", "Network buffers not in use", |s| {
        s.process.network_segments_available as f64
    }),
    ("Status_Shuffle_Netty_UsedMemorySegments", "Network buffers in use", |s| {
        s.process.network_segments_total.saturating_sub(s.process.network_segments_available) as f64
    }),
];

/// The page that a scrape gets.
pub(crate) fn render(sample: &Sample, prefix: &str, host: &str, tm_id: &str) -> String {
    let base = format!("host=\"{}\",tm_id=\"{}\"", escape(host), escape(tm_id));
    let mut page = String::with_capacity(4096 + sample.tasks.len() * TASK_METRICS.len() * 256);
    for (name, help, value) in PROCESS_METRICS {
        head(&mut page, prefix, "taskmanager", name, help);
        line(&mut page, prefix, "taskmanager", name, &base, value(sample));
    }
    let labels: Vec<String> =
        sample.tasks.iter().map(|task| format!("{base},{}", task.labels.render())).collect();
    for (name, help, value) in TASK_METRICS {
        let mut values =
            sample.tasks.iter().zip(&labels).filter_map(|(task, labels)| Some((labels, value(task)?)));
        if let Some(first) = values.next() {
            head(&mut page, prefix, "taskmanager_job_task", name, help);
            for (labels, value) in std::iter::once(first).chain(values) {
                line(&mut page, prefix, "taskmanager_job_task", name, labels, value);
            }
        }
    }
    page
}

fn head(page: &mut String, prefix: &str, scope: &str, name: &str, help: &str) {
    // Flink's reporter declares counters as gauges too; a counter's name would have to end in `_total`.
    let _ = writeln!(page, "# HELP {prefix}_{scope}_{name} {help}.\n# TYPE {prefix}_{scope}_{name} gauge");
}

fn line(page: &mut String, prefix: &str, scope: &str, name: &str, labels: &str, value: f64) {
    let _ = writeln!(page, "{prefix}_{scope}_{name}{{{labels}}} {value}");
}

impl Labels {
    fn render(&self) -> String {
        format!(
            "job_id=\"{}\",job_name=\"{}\",task_id=\"{}\",task_name=\"{}\",task_attempt_id=\"{}\",task_attempt_num=\"{}\",\
             subtask_index=\"{}\"",
            escape(&self.job_id),
            escape(&self.job_name),
            escape(&self.task_id),
            escape(&self.task_name),
            escape(&self.task_attempt_id),
            self.task_attempt_num,
            self.subtask_index
        )
    }
}

/// A label's value: quotes, backslashes and line ends are escaped, as the format says.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::sampler::Rates;
    use super::*;

    #[test]
    fn names_labels_and_values_are_flinks() {
        let labels = Labels {
            job_id: "00ff".to_owned(),
            job_name: "say \"hi\"\n".to_owned(),
            task_name: "Source: a\\b".to_owned(),
            subtask_index: 3,
            ..Labels::default()
        };
        let metrics = SubtaskMetrics {
            num_records_in: 12,
            current_input_watermark: Some(-5),
            ..SubtaskMetrics::default()
        };
        let rates = Rates { records_in: 1.5, ..Rates::default() };
        let task = TaskSample { labels: Arc::new(labels), metrics, rates };
        let sample = Sample { tasks: vec![task.clone(), task], ..Sample::default() };
        let page = render(&sample, "flink", "h", "tm-1");
        let expected = "flink_taskmanager_job_task_numRecordsIn{host=\"h\",tm_id=\"tm-1\",job_id=\"00ff\",job_name=\"say \
                        \\\"hi\\\"\\n\",task_id=\"\",task_name=\"Source: a\\\\b\",task_attempt_id=\"\",\
                        task_attempt_num=\"0\",subtask_index=\"3\"} 12\n";
        assert_eq!(page.matches(expected).count(), 2, "{page}");
        assert_eq!(page.matches("# TYPE flink_taskmanager_job_task_numRecordsIn gauge\n").count(), 1);
        assert!(page.contains("currentInputWatermark{") && page.contains("} -5\n"));
        assert!(page.contains("} -9223372036854776000\n"), "no watermark yet, as a double");
        assert!(page.contains("numRecordsInPerSecond{") && page.contains("} 1.5\n"));
        assert!(page.contains("flink_taskmanager_Status_JVM_Threads_Count{host=\"h\",tm_id=\"tm-1\"} 0\n"));
    }

    #[test]
    fn an_idle_process_tells_only_of_itself() {
        let page = render(&Sample::default(), "weir", "h", "tm");
        assert!(page.contains("weir_taskmanager_Status_JVM_CPU_Time") && !page.contains("job_task"));
        for line in page.lines() {
            assert!(line.starts_with("# ") || line.split(' ').count() == 2, "{line}");
        }
    }
}
