//! What one task reported of itself, and the rates between its last two reports.
//!
//! Invariant: counters never go back: a report whose counters are smaller than the ones before is late and ignored.

use weir_proto::v1::SubtaskMetrics;

/// The last report and the one before.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    last: Option<Report>,
    before: Option<Report>,
}

#[derive(Clone, Debug)]
struct Report {
    at_millis: u64,
    metrics: SubtaskMetrics,
}

/// How a task spent the time between its last two reports; the parts sum up to at most 1.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Shares {
    /// Processing.
    pub busy: f64,
    /// Without input.
    pub idle: f64,
    /// Without room for output.
    pub back_pressured: f64,
}

impl Measure {
    /// Takes a report that came in now.
    pub fn report(&mut self, metrics: SubtaskMetrics, now_millis: u64) {
        if let Some(last) = &self.last {
            let late = metrics.num_records_in < last.metrics.num_records_in
                || metrics.num_records_out < last.metrics.num_records_out
                || total_millis(&metrics) < total_millis(&last.metrics);
            if late {
                return;
            }
        }
        self.before = self.last.take();
        self.last = Some(Report { at_millis: now_millis, metrics });
    }

    /// The last report.
    #[must_use]
    pub fn last(&self) -> Option<&SubtaskMetrics> {
        self.last.as_ref().map(|report| &report.metrics)
    }

    /// How the task spent its time lately; over its whole life while there is one report only.
    #[must_use]
    pub fn shares(&self) -> Shares {
        let Some(last) = &self.last else { return Shares::default() };
        let zero = SubtaskMetrics::default();
        let before = self.before.as_ref().map_or(&zero, |report| &report.metrics);
        let (last, total) = (&last.metrics, total_millis(&last.metrics).saturating_sub(total_millis(before)));
        if total == 0 {
            return Shares::default();
        }
        let share = |last: u64, before: u64| last.saturating_sub(before) as f64 / total as f64;
        Shares {
            busy: share(last.busy_millis, before.busy_millis),
            idle: share(last.idle_millis, before.idle_millis),
            back_pressured: share(last.back_pressured_millis, before.back_pressured_millis),
        }
    }

    /// How fast a counter grows, per second; 0 while there is one report only.
    #[must_use]
    pub fn per_second(&self, counter: impl Fn(&SubtaskMetrics) -> u64) -> f64 {
        let (Some(last), Some(before)) = (&self.last, &self.before) else { return 0.0 };
        let millis = last.at_millis.saturating_sub(before.at_millis);
        if millis == 0 {
            return 0.0;
        }
        counter(&last.metrics).saturating_sub(counter(&before.metrics)) as f64 * 1_000.0 / millis as f64
    }
}

fn total_millis(metrics: &SubtaskMetrics) -> u64 {
    metrics.busy_millis.saturating_add(metrics.idle_millis).saturating_add(metrics.back_pressured_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(records: u64, busy: u64, idle: u64, back_pressured: u64) -> SubtaskMetrics {
        SubtaskMetrics {
            num_records_in: records,
            busy_millis: busy,
            idle_millis: idle,
            back_pressured_millis: back_pressured,
            ..Default::default()
        }
    }

    #[test]
    fn rates_are_between_the_last_two_reports() {
        let mut measure = Measure::default();
        assert_eq!(measure.shares(), Shares::default());
        measure.report(report(100, 500, 500, 0), 1_000);
        assert_eq!(measure.shares(), Shares { busy: 0.5, idle: 0.5, back_pressured: 0.0 });
        measure.report(report(300, 600, 600, 800), 2_000);
        assert_eq!(measure.shares(), Shares { busy: 0.1, idle: 0.1, back_pressured: 0.8 });
        assert!((measure.per_second(|metrics| metrics.num_records_in) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn a_late_report_changes_nothing() {
        let mut measure = Measure::default();
        measure.report(report(300, 600, 600, 800), 2_000);
        measure.report(report(100, 500, 500, 0), 2_001);
        assert_eq!(measure.last().map(|metrics| metrics.num_records_in), Some(300));
    }
}
