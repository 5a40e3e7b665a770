//! A source's watermarks, from its table's watermark expression.
//!
//! Each split has the largest value seen in it; the output is the smallest of the splits that count. A split that has ended
//! doesn't count, nor one that is idle, nor one whose turn has not come. A source that may still get splits is idle while it has
//! none to read. Invariant: the output never goes back, though a split that comes later starts from the beginning of time. Pure:
//! time comes in as a parameter.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use weir_api::error::{Code, Error, Result};
use weir_api::schema::is_timestamp;
use weir_api::watermark::Watermark;
use weir_proto::v1::WatermarkSpec;

use crate::event_time::largest_millis;
use crate::expression::Expression;

/// See the module.
#[derive(Debug)]
pub struct WatermarkGenerator {
    expression: Expression,
    column: String,
    idle_timeout_millis: i64,
    splits: Vec<Split>,
    /// More splits may come.
    grows: bool,
    output: Watermark,
    idle: bool,
}

#[derive(Clone, Copy, Debug)]
struct Split {
    watermark: Watermark,
    last_record_millis: i64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Its turn has not come.
    Waiting,
    Active,
    Idle,
    Finished,
}

/// What the task must pass on; see [`WatermarkGenerator::poll`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WatermarkChange {
    /// The watermark has advanced to this.
    pub watermark: Option<Watermark>,
    /// `Some(true)`: every split is idle, pass on `Idle` after the watermark; `Some(false)`: pass on `Active` before it.
    pub idle: Option<bool>,
}

impl WatermarkGenerator {
    /// A generator over the records of `splits` splits, which are of the projected `schema`; starts at `now_millis`. The
    /// session's time zone is UTC.
    pub fn new(spec: &WatermarkSpec, schema: &SchemaRef, splits: usize, now_millis: i64) -> Result<Self> {
        Self::new_in_zone(spec, schema, splits, now_millis, None)
    }

    /// [`WatermarkGenerator::new`] with the session's time zone (`table.local-time-zone`).
    pub fn new_in_zone(
        spec: &WatermarkSpec,
        schema: &SchemaRef,
        splits: usize,
        now_millis: i64,
        time_zone: Option<&str>,
    ) -> Result<Self> {
        let expression = Expression::decode(
            &spec.expression,
            schema,
            &format!("watermark of {}", spec.column),
            time_zone,
        )?;
        if !is_timestamp(expression.data_type()) {
            let message = format!("the watermark of '{}' is of type {}", spec.column, expression.data_type());
            return Err(Error::new(Code::MalformedMessage, message));
        }
        let split = Split { watermark: Watermark::MIN, last_record_millis: now_millis, state: State::Active };
        Ok(Self {
            expression,
            column: spec.column.clone(),
            idle_timeout_millis: i64::try_from(spec.idle_timeout_millis).unwrap_or(i64::MAX),
            splits: vec![split; splits],
            grows: false,
            output: Watermark::MIN,
            idle: false,
        })
    }

    /// Those splits that go on where another one has ended count from their first record on.
    #[must_use]
    pub fn with_continuations(mut self, continues: impl Fn(usize) -> bool) -> Self {
        self.wait_from(0, continues);
        self
    }

    /// Goes on where a snapshot left the splits: the watermark of each, if it had one, and whether it had been read to its end. A
    /// split that had one counts at once, whatever it continues.
    #[must_use]
    pub fn with_restored(mut self, splits: impl IntoIterator<Item = (Option<Watermark>, bool)>) -> Self {
        for (split, (watermark, ended)) in self.splits.iter_mut().zip(splits) {
            if let Some(watermark) = watermark {
                split.watermark = watermark;
                split.state = State::Active;
            }
            if ended {
                split.state = State::Finished;
            }
        }
        self
    }

    /// How far each split has come; `None` before its first record.
    pub fn split_watermarks(&self) -> impl Iterator<Item = Option<Watermark>> {
        self.splits.iter().map(|split| Some(split.watermark).filter(|&watermark| watermark > Watermark::MIN))
    }

    /// Whether more splits may come, by [`WatermarkGenerator::add_splits`]: while there is none to read, the source is idle
    /// instead of holding back those who have some.
    #[must_use]
    pub fn with_growth(mut self, grows: bool) -> Self {
        self.grows = grows;
        self
    }

    /// So many more splits have come; their positions go on where the others end.
    pub fn add_splits(&mut self, splits: usize, now_millis: i64, continues: impl Fn(usize) -> bool) {
        let split = Split { watermark: Watermark::MIN, last_record_millis: now_millis, state: State::Active };
        let first = self.splits.len();
        self.splits.resize(first + splits, split);
        self.wait_from(first, continues);
    }

    fn wait_from(&mut self, first: usize, continues: impl Fn(usize) -> bool) {
        for (position, split) in self.splits.iter_mut().enumerate().skip(first) {
            if continues(position) {
                split.state = State::Waiting;
            }
        }
    }

    /// Records of one split have come.
    pub fn on_records(&mut self, split: usize, records: &RecordBatch, now_millis: i64) -> Result<()> {
        if records.num_rows() == 0 {
            return Ok(());
        }
        let largest = largest_millis(&self.expression.evaluate(records)?, &self.column)?;
        let split = self.split(split)?;
        split.last_record_millis = now_millis;
        if matches!(split.state, State::Idle | State::Waiting) {
            split.state = State::Active;
        }
        // Null watermarks don't count, as in Flink.
        if let Some(largest) = largest {
            split.watermark = split.watermark.max(Watermark(largest));
        }
        Ok(())
    }

    /// A split has ended.
    pub fn on_finished(&mut self, split: usize) -> Result<()> {
        self.split(split)?.state = State::Finished;
        Ok(())
    }

    /// What has changed since the last call.
    ///
    /// While every split is idle or has ended the watermark stays; when all have ended there is nothing more to say, as the end
    /// of the input says it, unless more may come: then the source is idle.
    pub fn poll(&mut self, now_millis: i64) -> WatermarkChange {
        self.mark_idle(now_millis);
        let active = self.splits.iter().filter(|split| split.state == State::Active);
        let least = active.map(|split| split.watermark).min();
        let any = |state: State| self.splits.iter().any(|split| split.state == state);
        let idle = least.is_none() && (any(State::Idle) || (self.grows && !any(State::Waiting)));
        let mut change = WatermarkChange::default();
        if idle != self.idle {
            self.idle = idle;
            change.idle = Some(idle);
        }
        if let Some(least) = least.filter(|least| *least > self.output) {
            self.output = least;
            change.watermark = Some(least);
        }
        change
    }

    /// When `poll` will find a split idle if no record comes before, in milliseconds since 1970.
    #[must_use]
    pub fn next_timeout(&self) -> Option<i64> {
        if self.idle_timeout_millis == 0 {
            return None;
        }
        let active = self.splits.iter().filter(|split| split.state == State::Active);
        active.map(|split| split.last_record_millis.saturating_add(self.idle_timeout_millis)).min()
    }

    /// The watermark so far.
    #[must_use]
    pub const fn output(&self) -> Watermark {
        self.output
    }

    fn mark_idle(&mut self, now_millis: i64) {
        if self.idle_timeout_millis == 0 {
            return;
        }
        for split in &mut self.splits {
            let silent = now_millis.saturating_sub(split.last_record_millis);
            if split.state == State::Active && silent >= self.idle_timeout_millis {
                split.state = State::Idle;
            }
        }
    }

    fn split(&mut self, split: usize) -> Result<&mut Split> {
        let count = self.splits.len();
        self.splits
            .get_mut(split)
            .ok_or_else(|| Error::internal(format!("a watermark for split {split} of {count}")))
    }
}

#[cfg(test)]
mod tests;
