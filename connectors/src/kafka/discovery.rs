//! Finds the partitions of a table and turns its bounds into offsets: in the JobManager, once and again while the job runs.
//!
//! Invariant: every split has a concrete start, and a concrete end where the table has one. All calls block; the caller puts
//! them where that is allowed. Knows nothing of reading.
#![expect(clippy::disallowed_methods, reason = "the edge, where questions to a cluster have a deadline")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use weir_api::error::{Code, Error, Result};

use super::client::{Consumer, Context, is_passing, is_refusal};
use super::native;
use super::properties::{Properties, Reset};
use super::range::{Bound, Offsets};
use super::split::PartitionSplit;
use super::topics::Topics;

/// How long one try of a question takes at most, so that a refusal is noticed in between.
const TRY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

type Partition = (String, i32);

/// What is to be found.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// The table's name, for messages.
    pub table: String,
    /// How to reach the cluster.
    pub properties: Properties,
    /// Which topics.
    pub topics: Topics,
    /// Where reading begins.
    pub start: Bound,
    /// Where it ends; none: never.
    pub end: Option<Bound>,
}

impl Discovery {
    /// The partitions there are, from the table's start to its end.
    pub fn first(&self) -> Result<Vec<PartitionSplit>> {
        let cluster = Cluster::new(&self.table, &self.properties)?;
        let partitions = cluster.partitions(&self.topics, false)?;
        let starts = cluster.resolve(&self.start, "scan.startup", &partitions)?;
        let ends = match &self.end {
            Some(end) => Some(cluster.resolve(end, "scan.bounded", &partitions)?),
            None => None,
        };
        cluster.splits(partitions, &starts, ends.as_ref())
    }

    /// The partitions that have come since, from their first record on.
    pub fn more(&self, known: &[PartitionSplit]) -> Result<Vec<PartitionSplit>> {
        let cluster = Cluster::new(&self.table, &self.properties)?;
        let known: BTreeSet<_> = known.iter().map(|split| (split.topic.as_str(), split.partition)).collect();
        let mut partitions = cluster.partitions(&self.topics, true)?;
        partitions.retain(|(topic, partition)| !known.contains(&(topic.as_str(), *partition)));
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let starts = cluster.resolve(&Bound::Earliest, "scan.startup", &partitions)?;
        cluster.splits(partitions, &starts, None)
    }
}

type Resolved = BTreeMap<Partition, i64>;

/// A cluster that is asked.
struct Cluster<'a> {
    table: &'a str,
    properties: &'a Properties,
    consumer: Consumer,
    deadline: Instant,
}

impl<'a> Cluster<'a> {
    fn new(table: &'a str, properties: &'a Properties) -> Result<Self> {
        let mut config = properties.consumer(ClientConfig::new());
        config.set("enable.auto.commit", "false");
        if let Some(group) = &properties.group_id {
            config.set("group.id", group);
        }
        let consumer = config
            .create_with_context(Context::new(table))
            .map_err(|error| properties.client_error(&error))?;
        Ok(Self { table, properties, consumer, deadline: Instant::now() + properties.api_timeout })
    }

    /// Asks until there is an answer, the cluster refuses, or time is up.
    fn ask<T>(&self, what: &str, question: impl Fn(Duration) -> KafkaResult<T>) -> Result<T> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let error = match question(left.min(TRY)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Errors of connections come as events.
            let _ = self.consumer.poll(Duration::ZERO);
            let said = self.consumer.context().last_error();
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            let refused = is_refusal(code) || said.as_ref().is_some_and(|(code, _)| is_refusal(*code));
            if refused || !is_passing(code) || Instant::now() + PAUSE >= self.deadline {
                let reason = said.map_or_else(|| code.to_string(), |(_, reason)| format!("{code}: {reason}"));
                return Err(self.error(what, &reason));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn error(&self, what: &str, reason: &str) -> Error {
        Error::new(
            Code::Io,
            format!(
                "table {}: {what} at {}: {reason}; check 'properties.bootstrap.servers', the security properties and what the user may do",
                self.table,
                self.properties.brokers()
            ),
        )
    }

    /// All partitions of the topics, in order. `later`: topics that aren't there (any more) are left out.
    fn partitions(&self, topics: &Topics, later: bool) -> Result<Vec<Partition>> {
        let mut partitions = BTreeSet::new();
        match topics {
            Topics::Matching(pattern) => {
                let metadata =
                    self.ask("list the topics", |timeout| self.consumer.fetch_metadata(None, timeout))?;
                for topic in metadata.topics().iter().filter(|topic| pattern.is_match(topic.name())) {
                    partitions
                        .extend(topic.partitions().iter().map(|one| (topic.name().to_owned(), one.id())));
                }
                if partitions.is_empty() && !later {
                    return Err(Error::new(
                        Code::NotFound,
                        format!(
                            "table {}: no topic at {} matches 'topic-pattern' = '{}'",
                            self.table,
                            self.properties.brokers(),
                            pattern.as_str()
                        ),
                    ));
                }
            }
            Topics::Named(names) => {
                for name in names {
                    let ids = self.topic(name)?;
                    if ids.is_empty() && !later {
                        return Err(Error::new(
                            Code::NotFound,
                            format!(
                                "table {}: there is no topic '{name}' at {}; create it, or mend the option 'topic'",
                                self.table,
                                self.properties.brokers()
                            ),
                        ));
                    }
                    partitions.extend(ids.into_iter().map(|id| (name.clone(), id)));
                }
            }
        }
        Ok(partitions.into_iter().collect())
    }

    /// The partitions of a topic; none if it doesn't exist.
    fn topic(&self, name: &str) -> Result<Vec<i32>> {
        let of = |metadata: &Metadata| match metadata.topics().first() {
            None => Ok(Vec::new()),
            Some(topic) => match topic.error().map(RDKafkaErrorCode::from) {
                None => Ok(topic.partitions().iter().map(|partition| partition.id()).collect()),
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition,
                ) => Ok(Vec::new()),
                Some(code) => Err(KafkaError::MetadataFetch(code)),
            },
        };
        self.ask(&format!("look up topic '{name}'"), |timeout| {
            of(&self.consumer.fetch_metadata(Some(name), timeout)?)
        })
    }

    fn resolve(&self, bound: &Bound, options: &str, partitions: &[Partition]) -> Result<Resolved> {
        match bound {
            Bound::Earliest => self.listed(partitions, Offset::Beginning),
            Bound::Latest => self.listed(partitions, Offset::End),
            Bound::Timestamp(millis) => {
                let mut found = self.listed(partitions, Offset::Offset(*millis))?;
                self.fill(&mut found, partitions, Offset::End)?;
                Ok(found)
            }
            Bound::Group => {
                let mut found = self.committed(partitions)?;
                let missing = partitions.iter().find(|partition| !found.contains_key(*partition));
                match (missing, self.properties.reset) {
                    (None, _) => {}
                    (Some(_), Reset::Earliest) => self.fill(&mut found, partitions, Offset::Beginning)?,
                    (Some(_), Reset::Latest) => self.fill(&mut found, partitions, Offset::End)?,
                    (Some((topic, partition)), Reset::None) => {
                        return Err(Error::new(
                            Code::TableOptions,
                            format!(
                                "table {}: group '{}' has committed no offset for topic {topic}, partition {partition}, which '{options}.mode' = 'group-offsets' asks for; set 'properties.auto.offset.reset' to 'earliest' or 'latest', or another '{options}.mode'",
                                self.table,
                                self.properties.group_id.as_deref().unwrap_or_default()
                            ),
                        ));
                    }
                }
                Ok(found)
            }
            Bound::Specific(offsets) => self.specific(offsets, options, partitions),
        }
    }

    fn specific(&self, offsets: &Offsets, options: &str, partitions: &[Partition]) -> Result<Resolved> {
        let key = format!("{options}.specific-offsets");
        let unknown = offsets.keys().find(|wanted| !partitions.iter().any(|(_, id)| id == *wanted));
        if let (Some(unknown), Some((topic, _))) = (unknown, partitions.first()) {
            return Err(Error::new(
                Code::TableOptions,
                format!(
                    "table {}: option '{key}' names partition {unknown}, and topic {topic} has {} partitions",
                    self.table,
                    partitions.len()
                ),
            ));
        }
        let mut found: Resolved = partitions
            .iter()
            .filter_map(|one| offsets.get(&one.1).map(|offset| (one.clone(), *offset)))
            .collect();
        if options == "scan.bounded" {
            return match partitions.iter().find(|partition| !found.contains_key(*partition)) {
                None => Ok(found),
                Some((topic, partition)) => Err(Error::new(
                    Code::TableOptions,
                    format!(
                        "table {}: option '{key}' doesn't say where topic {topic}, partition {partition} ends",
                        self.table
                    ),
                )),
            };
        }
        // As in Flink: what the group has committed, else all there is.
        if found.len() < partitions.len() && self.properties.group_id.is_some() {
            for (partition, offset) in self.committed(partitions)? {
                found.entry(partition).or_insert(offset);
            }
        }
        self.fill(&mut found, partitions, Offset::Beginning)?;
        Ok(found)
    }

    /// Adds the offsets of the partitions that have none yet.
    fn fill(&self, found: &mut Resolved, partitions: &[Partition], at: Offset) -> Result<()> {
        let missing: Vec<_> =
            partitions.iter().filter(|partition| !found.contains_key(*partition)).cloned().collect();
        if !missing.is_empty() {
            found.extend(self.listed(&missing, at)?);
        }
        Ok(())
    }

    /// The offsets at a time, the beginning or the end; those without a record at or after the time are left out.
    fn listed(&self, partitions: &[Partition], at: Offset) -> Result<Resolved> {
        let list = list(partitions, at)?;
        let answer = self.ask("list offsets", |timeout| {
            let answer = self.consumer.offsets_for_times(list.clone(), timeout)?;
            first_error(&answer)?;
            Ok(answer)
        })?;
        Ok(offsets(&answer))
    }

    fn committed(&self, partitions: &[Partition]) -> Result<Resolved> {
        let list = list(partitions, Offset::Invalid)?;
        let answer = self.ask("ask for the offsets of the consumer group", |timeout| {
            let answer = self.consumer.committed_offsets(list.clone(), timeout)?;
            first_error(&answer)?;
            Ok(answer)
        })?;
        Ok(offsets(&answer))
    }

    fn splits(
        &self,
        partitions: Vec<Partition>,
        starts: &Resolved,
        ends: Option<&Resolved>,
    ) -> Result<Vec<PartitionSplit>> {
        let topics: BTreeSet<&str> = partitions.iter().map(|(topic, _)| topic.as_str()).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let states = self.ask("describe the topics", |timeout| {
            match native::describe_topics(&self.consumer, &topics, timeout) {
                // Brokers before 0.11 don't know the question; topics have no ids there.
                Err(RDKafkaErrorCode::UnsupportedFeature) => Ok(Vec::new()),
                answer => answer.map_err(KafkaError::MetadataFetch),
            }
        })?;
        let ids: BTreeMap<String, Option<String>> =
            states.into_iter().map(|state| (state.name, state.id)).collect();
        let offset_of = |offsets: &Resolved, one: &Partition| {
            offsets.get(one).copied().ok_or_else(|| {
                self.error(
                    &format!("find an offset of topic {}, partition {}", one.0, one.1),
                    "there is none",
                )
            })
        };
        partitions
            .into_iter()
            .map(|one| {
                Ok(PartitionSplit {
                    start: offset_of(starts, &one)?,
                    end: ends.map(|ends| offset_of(ends, &one)).transpose()?,
                    topic_id: ids.get(&one.0).cloned().flatten(),
                    partition: one.1,
                    topic: one.0,
                })
            })
            .collect()
    }
}

fn list(partitions: &[Partition], at: Offset) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, at)
            .map_err(|error| Error::internal("name an offset to librdkafka").with_source(error))?;
    }
    Ok(list)
}

fn first_error(list: &TopicPartitionList) -> KafkaResult<()> {
    list.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)
}

fn offsets(list: &TopicPartitionList) -> Resolved {
    list.elements()
        .iter()
        .filter_map(|one| match one.offset() {
            Offset::Offset(offset) => Some(((one.topic().to_owned(), one.partition()), offset)),
            _ => None,
        })
        .collect()
}
