//! Rows of a batch as records: encoded, with the topic, the partition and what stands beside them.
//!
//! Knows no producer: what becomes of a record is the caller's business.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, MapArray, StringArray, TimestampMillisecondArray};
use arrow::datatypes::Schema;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};

use super::layout::{Layout, Part};
use super::metadata::{self, Key as MetadataKey};
use super::router::Router;
use crate::formats::record::{RecordEncoder, Records};

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its topic's place among those of the table.
    pub topic: usize,
    /// None: by the hash of the key, or any.
    pub partition: Option<i32>,
    /// None: it has no key.
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970; none: when it is sent.
    pub timestamp: Option<i64>,
    /// None: it has none.
    pub headers: Option<Headers<'a>>,
}

/// The headers of one record.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    names: &'a StringArray,
    values: &'a BinaryArray,
    start: usize,
    end: usize,
}

impl<'a> Headers<'a> {
    pub(super) fn of(map: &'a MapArray, row: usize) -> Self {
        let at =
            |place: usize| map.value_offsets().get(place).map_or(0, |at| usize::try_from(*at).unwrap_or(0));
        let (names, values) = (map.keys().as_string::<i32>(), map.values().as_binary::<i32>());
        Self { names, values, start: at(row), end: at(row + 1) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let (names, values) = (self.names, self.values);
        (self.start..self.end)
            .map(move |place| (names.value(place), values.is_valid(place).then(|| values.value(place))))
    }
}

struct Encoded {
    encoder: Box<dyn RecordEncoder>,
    columns: Vec<usize>,
    records: Records,
}

impl Encoded {
    fn new(table: &str, part: &Part) -> Result<Self> {
        let schema = Arc::new(Schema::new(part.fields.clone()));
        let encoder = part.format.encoder(table, schema)?;
        Ok(Self { encoder, columns: part.columns.clone(), records: Records::default() })
    }

    fn encode(&mut self, batch: &Batch) -> Result<()> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|place| batch.records().column(*place).clone()).collect();
        self.records.clear();
        self.encoder.encode(&columns, batch.num_rows(), &mut self.records)
    }
}

/// The writable metadata columns of a batch.
#[derive(Default)]
struct Beside {
    topic: Option<StringArray>,
    timestamp: Option<TimestampMillisecondArray>,
    headers: Option<MapArray>,
}

/// See the module.
pub struct Rows {
    layout: Arc<Layout>,
    value: Encoded,
    key: Option<Encoded>,
    topics: Vec<String>,
    /// One a topic, once they have been looked up.
    routers: Vec<Router>,
}

impl Rows {
    /// For the rows of a table.
    pub fn new(layout: Arc<Layout>, topics: Vec<String>) -> Result<Self> {
        let value = Encoded::new(&layout.table, &layout.value)?;
        let key = layout.key.as_ref().map(|key| Encoded::new(&layout.table, key)).transpose()?;
        Ok(Self { layout, value, key, topics, routers: Vec::new() })
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.layout.table
    }

    /// The topics that may be written.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Routes by these from now on, one a topic.
    pub fn route_by(&mut self, routers: Vec<Router>) {
        self.routers = routers;
    }

    /// Whether [`Self::route_by`] has been called.
    pub fn is_routed(&self) -> bool {
        !self.routers.is_empty()
    }

    /// Hands each row to `take`; the bytes of keys and values.
    pub fn each(&mut self, batch: &Batch, mut take: impl FnMut(Row<'_>) -> Result<()>) -> Result<usize> {
        self.value.encode(batch)?;
        if let Some(key) = &mut self.key {
            key.encode(batch)?;
        }
        let beside = self.beside(batch)?;
        let mut routers = std::mem::take(&mut self.routers);
        for router in &mut routers {
            router.start();
        }
        let mut bytes = 0;
        for row in 0..batch.num_rows() {
            let topic = match &beside.topic {
                Some(topics) => self.topic(topics, row)?,
                None => 0,
            };
            let value = self.value.records.get(row);
            let key = self.key.as_ref().and_then(|key| key.records.get(row));
            bytes += value.map_or(0, <[u8]>::len) + key.map_or(0, <[u8]>::len);
            let timestamps = beside.timestamp.as_ref().filter(|timestamps| timestamps.is_valid(row));
            let headers = beside.headers.as_ref().filter(|headers| headers.is_valid(row));
            take(Row {
                topic,
                partition: routers.get_mut(topic).and_then(Router::route),
                key,
                value,
                timestamp: timestamps.map(|timestamps| timestamps.value(row)),
                headers: headers.map(|headers| Headers::of(headers, row)),
            })?;
        }
        self.routers = routers;
        Ok(bytes)
    }

    fn topic(&self, topics: &StringArray, row: usize) -> Result<usize> {
        let wanted = if topics.is_valid(row) { topics.value(row) } else { "NULL" };
        self.topics.iter().position(|topic| topic == wanted).ok_or_else(|| {
            Error::new(
                Code::Evaluation,
                format!(
                    "table {}: a row's topic is '{wanted}', which isn't among those of the option 'topic': {}",
                    self.table(),
                    self.topics.join(", ")
                ),
            )
        })
    }

    fn beside(&self, batch: &Batch) -> Result<Beside> {
        let mut beside = Beside::default();
        for (place, key) in &self.layout.metadata {
            let column = batch.records().column(*place);
            match key {
                MetadataKey::Topic => beside.topic = Some(metadata::written(column, "topic")?),
                MetadataKey::Timestamp => beside.timestamp = Some(metadata::written(column, "timestamp")?),
                MetadataKey::Headers => beside.headers = Some(metadata::written(column, "headers")?),
                other => return Err(Error::internal(format!("metadata {other:?} can't be written"))),
            }
        }
        Ok(beside)
    }
}
