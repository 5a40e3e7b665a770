//! The source: splits, filters on `event_type`, and the generator that puts the wanted columns together.
#![expect(clippy::disallowed_methods, reason = "the edge, where time is read")]

use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use async_trait::async_trait;
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Error, Result};
use weir_api::source::{Boundedness, ReaderContext, Source, SourceReader};
use weir_proto::v1::literal::Value;
use weir_proto::v1::predicate::Operator;
use weir_proto::v1::{Predicate, Split};

use super::auctions::Auctions;
use super::bids::Bids;
use super::clockwork::Clockwork;
use super::columns::Events;
use super::events::{Kind, Rounds};
use super::options::{BaseTime, Settings};
use super::people::People;
use super::schema::EVENT_TYPE;
use crate::generator::Rows;
use crate::generator::numbers::Share;
use crate::generator::reader::{Course, Reader};

/// A `nexmark` table.
pub struct NexmarkSource {
    settings: Settings,
}

impl NexmarkSource {
    /// With checked settings.
    pub fn new(settings: Settings) -> Result<Self> {
        Ok(Self { settings })
    }
}

/// Which kinds a predicate lets through; none for a predicate that isn't on `event_type`.
fn kinds(predicate: &Predicate) -> Option<[bool; 3]> {
    let [column] = predicate.path.as_slice() else { return None };
    let Some(Value::Integer(literal)) = predicate.literal.as_ref().and_then(|literal| literal.value.as_ref())
    else {
        return None;
    };
    if column != EVENT_TYPE {
        return None;
    }
    let holds: fn(&i64, &i64) -> bool = match predicate.operator() {
        Operator::Eq => i64::eq,
        Operator::NotEq => i64::ne,
        Operator::Lt => i64::lt,
        Operator::LtEq => i64::le,
        Operator::Gt => i64::gt,
        Operator::GtEq => i64::ge,
        Operator::Unspecified => return None,
    };
    Some(Kind::ALL.map(|kind| holds(&i64::from(kind as i32), literal)))
}

#[async_trait]
impl Source for NexmarkSource {
    fn boundedness(&self) -> Boundedness {
        if self.settings.end.is_some() && !self.settings.keep_alive {
            Boundedness::Bounded
        } else {
            Boundedness::Unbounded
        }
    }

    fn accepts(&self, predicates: &[Predicate]) -> Vec<bool> {
        predicates.iter().map(|predicate| kinds(predicate).is_some()).collect()
    }

    async fn discover(&self, parallelism: u32) -> Result<Vec<Split>> {
        let base_millis = match self.settings.base_time {
            BaseTime::Fixed(millis) => millis,
            // The one look at a clock: its answer is kept in the splits, so that a restart sees the same events.
            BaseTime::Submission => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        };
        Share::deal(parallelism, self.settings.round(), base_millis, self.settings.end)
    }

    fn reader(&self, context: ReaderContext, splits: Vec<Split>) -> Result<Box<dyn SourceReader>> {
        let shares = splits.iter().map(Share::of).collect::<Result<Vec<_>>>()?;
        let base_millis = shares.first().map_or(0, |share| share.fixed);
        let generator =
            Generator::new(&self.settings, base_millis, context.projected_schema, &context.filters)?;
        let course = Course {
            end: self.settings.end,
            pace: self.settings.paced.then(|| self.settings.timeline.clone()),
            keep_alive: self.settings.keep_alive,
        };
        Ok(Box::new(Reader::new(generator, course, &splits, context.clock)?))
    }
}

/// Makes the wanted columns of the wanted events.
pub struct Generator {
    schema: SchemaRef,
    wanted: [bool; 3],
    rounds: Rounds,
    numbers_per_batch: u64,
    clock: Clockwork,
    /// Each only where its columns are wanted: tables and pools take memory.
    people: Option<People>,
    auctions: Option<Auctions>,
    bids: Option<Bids>,
}

impl Generator {
    /// A generator of `schema`'s columns of the events that pass all `filters`.
    pub fn new(
        settings: &Settings,
        base_millis: i64,
        schema: SchemaRef,
        filters: &[Predicate],
    ) -> Result<Self> {
        let mut wanted = [true; 3];
        for filter in filters {
            let passes = kinds(filter)
                .ok_or_else(|| Error::internal("nexmark was given a filter that it didn't accept"))?;
            for (wanted, passes) in wanted.iter_mut().zip(passes) {
                *wanted &= passes;
            }
        }
        let share: u64 = settings
            .proportions
            .iter()
            .zip(wanted)
            .filter(|(_, wanted)| *wanted)
            .map(|(share, _)| share)
            .sum();
        let has = |name| schema.column_with_name(name).is_some();
        Ok(Self {
            wanted,
            rounds: Rounds::new(settings),
            // Rare kinds aren't gathered for more than 64 batches' worth of events: those arrive late in a paced job.
            numbers_per_batch: (TARGET_ROWS as u64 * settings.round() / share.max(1))
                .min(64 * TARGET_ROWS as u64),
            clock: Clockwork { timeline: settings.timeline.clone(), base_millis },
            people: has("person").then(|| People::new(settings)),
            auctions: has("auction").then(|| Auctions::new(settings)),
            bids: has("bid").then(|| Bids::new(settings)),
            schema,
        })
    }

    fn row(&self, kind: Kind, fields: &Fields, events: &Events<'_>) -> Result<ArrayRef> {
        let nulls = events.nulls(kind);
        let columns = fields
            .iter()
            .map(|field| {
                let nulls = if field.is_nullable() { nulls.clone() } else { None };
                match kind {
                    Kind::Person => self
                        .people
                        .as_ref()
                        .map(|people| people.column(field.name(), events, nulls, &self.clock)),
                    Kind::Auction => self
                        .auctions
                        .as_ref()
                        .map(|auctions| auctions.column(field.name(), events, nulls, &self.clock)),
                    Kind::Bid => {
                        self.bids.as_ref().map(|bids| bids.column(field.name(), events, nulls, &self.clock))
                    }
                }
                .unwrap_or_else(|| Err(Error::internal("a kind of event whose columns weren't wanted")))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, events.len)?))
    }

    fn column(&self, name: &str, data_type: &DataType, events: &Events<'_>) -> Result<ArrayRef> {
        match (name, data_type) {
            (EVENT_TYPE, DataType::Int32) => Ok(events.types()),
            ("person", DataType::Struct(fields)) => self.row(Kind::Person, fields, events),
            ("auction", DataType::Struct(fields)) => self.row(Kind::Auction, fields, events),
            ("bid", DataType::Struct(fields)) => self.row(Kind::Bid, fields, events),
            _ => Err(Error::internal(format!("nexmark has no column {name} of type {data_type}"))),
        }
    }
}

impl Rows for Generator {
    fn generate(&self, pieces: &[Range<u64>], _now_millis: i64) -> Result<RecordBatch> {
        let mut runs = Vec::with_capacity(pieces.len() * Kind::ALL.len());
        for piece in pieces {
            self.rounds.runs(piece.clone(), self.wanted, &mut runs);
        }
        let events = Events::new(&runs);
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| self.column(field.name(), field.data_type(), &events))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(events.len));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn numbers_per_batch(&self) -> u64 {
        self.numbers_per_batch
    }
}
