//! The scenarios that every sink has to stand, over topics of a real broker.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use rdkafka::consumer::{BaseConsumer, Consumer};
use weir_api::Batch;
use weir_api::error::Result;
use weir_api::sink::Sink;
use weir_chaos::servers::{Kafka, Topic};
use weir_connectors::conformance::{self, Subject};

use super::{LIMIT, numbers, sink};

struct Destination {
    kafka: &'static Kafka,
    topic: Topic<'static>,
    prefix: Option<String>,
}

impl Destination {
    fn new(number: usize) -> Self {
        let kafka = Kafka::one();
        let prefix = (number % 2 == 1).then(|| Topic::fresh_name("prefix"));
        Self { kafka, topic: Topic::create(kafka, "conformance", 2), prefix }
    }

    fn ends(&self, isolation: &str) -> Vec<i64> {
        let consumer: BaseConsumer =
            self.kafka.client().set("isolation.level", isolation).create().expect("a consumer");
        let end =
            |partition| consumer.fetch_watermarks(&self.topic.name, partition, LIMIT).expect("an answer").1;
        (0..2).map(end).collect()
    }
}

impl Subject for Destination {
    fn sink(&self) -> Result<Arc<dyn Sink>> {
        let prefix = self.prefix.iter().map(|prefix| ("sink.transactional-id-prefix", prefix.as_str()));
        sink(self.kafka, &self.topic.name, &prefix.collect::<Vec<_>>())
    }

    fn batch(&self, numbers: Range<i64>) -> Batch {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(numbers.clone().map(|_| "x")));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        Batch::new(RecordBatch::try_from_iter([("n", numbers), ("text", texts)]).expect("two columns"))
    }

    fn visible(&self) -> Result<Vec<i64>> {
        Ok(numbers(&self.topic))
    }

    fn leftovers(&self) -> Result<Vec<String>> {
        let (all, committed) = (self.ends("read_uncommitted"), self.ends("read_committed"));
        Ok(if all == committed {
            Vec::new()
        } else {
            vec![format!("an open transaction: {all:?}, {committed:?}")]
        })
    }
}

#[test]
fn topics_stand_every_scenario() {
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let make = |number| Ok(Box::new(Destination::new(number)) as Box<dyn Subject>);
    if let Err(problem) = conformance::run(io.handle(), &make) {
        panic!("{problem}");
    }
}
