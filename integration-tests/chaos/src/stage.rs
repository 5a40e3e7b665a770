//! What outlives a round: one broker and one object store, each behind a proxy that the cluster under test goes through.
//!
//! The judge's own readers and the feeder go straight to the broker, by another of its listeners.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};

use crate::proxy::Proxy;
use crate::servers::{Kafka, S3, free_port};

/// The servers of all rounds.
pub struct Stage {
    /// The broker.
    pub kafka: Kafka,
    /// The way to the broker.
    pub kafka_proxy: Proxy,
    /// The object store.
    pub s3: S3,
    /// The way to the object store.
    pub s3_proxy: Proxy,
}

impl Stage {
    /// Starts them.
    pub fn start() -> Self {
        let port = free_port();
        let proxy = Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), (Ipv4Addr::LOCALHOST, port).into(), 1);
        let kafka_proxy = proxy.expect("there is a free port");
        let address = kafka_proxy.address();
        let kafka = Kafka::with(|listeners| {
            let plain = listeners.split(',').next().unwrap_or_default();
            format!(
                "listeners={listeners},PROXIED://127.0.0.1:{port}
advertised.listeners={plain},PROXIED://{address}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT
"
            )
        });
        let s3 = S3::start();
        let server = s3.endpoint().trim_start_matches("http://").parse().expect("host:port");
        let s3_proxy =
            Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), server, 2).expect("there is a free port");
        Self { kafka, kafka_proxy, s3, s3_proxy }
    }

    /// `host:port` of the broker for whoever judges.
    pub fn brokers(&self) -> &str {
        self.kafka.bootstrap()
    }

    /// `host:port` of the broker for the cluster under test.
    pub fn proxied_brokers(&self) -> String {
        self.kafka_proxy.address().to_string()
    }

    /// The options with which a cluster reaches the object store through its proxy.
    pub fn storage_options(&self) -> Vec<String> {
        let endpoint = format!("s3.endpoint=http://{}", self.s3_proxy.address());
        let others = self.s3.options().into_iter().filter(|option| !option.starts_with("s3.endpoint="));
        std::iter::once(endpoint).chain(others).collect()
    }

    /// A prefix of the object store: its URL, and the folder behind it.
    pub fn storage(&self, name: &str) -> (String, PathBuf) {
        self.s3.fresh(name)
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, partitions: u32) {
        let partitions = i32::try_from(partitions).expect("few partitions");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let admin = self.kafka.admin();
        let answer = futures::executor::block_on(admin.create_topics([&topic], &AdminOptions::new()));
        let answer = answer.expect("the broker answers");
        assert!(answer.iter().all(Result::is_ok), "{name}: {answer:?}");
    }

    /// Deletes topics, so that a long series of rounds doesn't fill the disk; what fails stays.
    pub fn delete_topics(&self, names: &[&str]) {
        let admin = self.kafka.admin();
        let _ = futures::executor::block_on(admin.delete_topics(names, &AdminOptions::new()));
    }

    /// Ends all troubles of the servers' networks.
    pub fn heal(&self) {
        self.kafka_proxy.heal();
        self.s3_proxy.heal();
    }
}
