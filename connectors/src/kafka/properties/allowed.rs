//! The allow-list of `properties.*`: which keys go to librdkafka, under which name, and why others don't.
//!
//! Java's names are understood where they differ from librdkafka's; a table can be read and written, so a key that belongs to
//! the other side is left out quietly.

use Scope::{Both, Consumer, Producer};

/// Which client takes a property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Both.
    Both,
    /// Only the source's.
    Consumer,
    /// Only the sink's.
    Producer,
}

/// Keys that are passed on: as the user writes them, whose they are, librdkafka's name.
pub const PASSED: &[(&str, Scope, &str)] = &[
    ("bootstrap.servers", Both, "bootstrap.servers"),
    ("client.id", Both, "client.id"),
    ("client.rack", Both, "client.rack"),
    ("client.dns.lookup", Both, "client.dns.lookup"),
    ("broker.address.family", Both, "broker.address.family"),
    ("connections.max.idle.ms", Both, "connections.max.idle.ms"),
    ("metadata.max.age.ms", Both, "topic.metadata.refresh.interval.ms"),
    ("topic.metadata.refresh.interval.ms", Both, "topic.metadata.refresh.interval.ms"),
    ("reconnect.backoff.ms", Both, "reconnect.backoff.ms"),
    ("reconnect.backoff.max.ms", Both, "reconnect.backoff.max.ms"),
    ("retry.backoff.ms", Both, "retry.backoff.ms"),
    ("retry.backoff.max.ms", Both, "retry.backoff.max.ms"),
    ("socket.timeout.ms", Both, "socket.timeout.ms"),
    ("socket.keepalive.enable", Both, "socket.keepalive.enable"),
    ("socket.nagle.disable", Both, "socket.nagle.disable"),
    ("socket.connection.setup.timeout.ms", Both, "socket.connection.setup.timeout.ms"),
    ("socket.connection.setup.timeout.max.ms", Both, "socket.connection.setup.timeout.ms"),
    ("receive.buffer.bytes", Both, "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", Both, "socket.send.buffer.bytes"),
    ("socket.receive.buffer.bytes", Both, "socket.receive.buffer.bytes"),
    ("socket.send.buffer.bytes", Both, "socket.send.buffer.bytes"),
    ("debug", Both, "debug"),
    ("security.protocol", Both, "security.protocol"),
    ("sasl.mechanism", Both, "sasl.mechanism"),
    ("sasl.mechanisms", Both, "sasl.mechanism"),
    ("sasl.username", Both, "sasl.username"),
    ("sasl.password", Both, "sasl.password"),
    ("sasl.oauthbearer.method", Both, "sasl.oauthbearer.method"),
    ("sasl.oauthbearer.client.id", Both, "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.secret", Both, "sasl.oauthbearer.client.secret"),
    ("sasl.oauthbearer.scope", Both, "sasl.oauthbearer.scope"),
    ("sasl.oauthbearer.extensions", Both, "sasl.oauthbearer.extensions"),
    ("sasl.oauthbearer.token.endpoint.url", Both, "sasl.oauthbearer.token.endpoint.url"),
    ("ssl.ca.location", Both, "ssl.ca.location"),
    ("ssl.ca.pem", Both, "ssl.ca.pem"),
    ("ssl.truststore.certificates", Both, "ssl.ca.pem"),
    ("ssl.certificate.location", Both, "ssl.certificate.location"),
    ("ssl.certificate.pem", Both, "ssl.certificate.pem"),
    ("ssl.keystore.certificate.chain", Both, "ssl.certificate.pem"),
    ("ssl.key.location", Both, "ssl.key.location"),
    ("ssl.key.pem", Both, "ssl.key.pem"),
    ("ssl.keystore.key", Both, "ssl.key.pem"),
    ("ssl.key.password", Both, "ssl.key.password"),
    ("ssl.crl.location", Both, "ssl.crl.location"),
    ("ssl.cipher.suites", Both, "ssl.cipher.suites"),
    ("ssl.endpoint.identification.algorithm", Both, "ssl.endpoint.identification.algorithm"),
    ("enable.ssl.certificate.verification", Both, "enable.ssl.certificate.verification"),
    ("isolation.level", Consumer, "isolation.level"),
    ("check.crcs", Consumer, "check.crcs"),
    ("fetch.min.bytes", Consumer, "fetch.min.bytes"),
    ("fetch.max.bytes", Consumer, "fetch.max.bytes"),
    ("fetch.max.wait.ms", Consumer, "fetch.wait.max.ms"),
    ("fetch.wait.max.ms", Consumer, "fetch.wait.max.ms"),
    ("fetch.error.backoff.ms", Consumer, "fetch.error.backoff.ms"),
    ("fetch.queue.backoff.ms", Consumer, "fetch.queue.backoff.ms"),
    ("fetch.message.max.bytes", Consumer, "fetch.message.max.bytes"),
    ("max.partition.fetch.bytes", Consumer, "fetch.message.max.bytes"),
    ("queued.min.messages", Consumer, "queued.min.messages"),
    ("queued.max.messages.kbytes", Consumer, "queued.max.messages.kbytes"),
    ("receive.message.max.bytes", Consumer, "receive.message.max.bytes"),
    ("acks", Producer, "acks"),
    ("request.required.acks", Producer, "acks"),
    ("enable.idempotence", Producer, "enable.idempotence"),
    ("retries", Producer, "retries"),
    ("message.send.max.retries", Producer, "retries"),
    ("linger.ms", Producer, "linger.ms"),
    ("queue.buffering.max.ms", Producer, "linger.ms"),
    ("batch.size", Producer, "batch.size"),
    ("batch.num.messages", Producer, "batch.num.messages"),
    ("compression.type", Producer, "compression.type"),
    ("compression.codec", Producer, "compression.type"),
    ("compression.level", Producer, "compression.level"),
    ("delivery.timeout.ms", Producer, "delivery.timeout.ms"),
    ("message.timeout.ms", Producer, "delivery.timeout.ms"),
    ("max.in.flight.requests.per.connection", Producer, "max.in.flight.requests.per.connection"),
    ("max.request.size", Producer, "message.max.bytes"),
    ("message.max.bytes", Producer, "message.max.bytes"),
    ("queue.buffering.max.kbytes", Producer, "queue.buffering.max.kbytes"),
    ("queue.buffering.max.messages", Producer, "queue.buffering.max.messages"),
    ("transaction.timeout.ms", Producer, "transaction.timeout.ms"),
    ("sticky.partitioning.linger.ms", Producer, "sticky.partitioning.linger.ms"),
];

/// Keys that this connector reads itself.
pub const OWN: &[&str] = &[
    "group.id",
    "commit.offsets.on.checkpoint",
    "auto.offset.reset",
    "request.timeout.ms",
    "default.api.timeout.ms",
    "buffer.memory",
    "sasl.jaas.config",
    "ssl.truststore.type",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.keystore.type",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

/// Java client properties without a counterpart that change nothing here: accepted, so that a table's options can stay.
pub const WITHOUT_EFFECT: &[&str] = &[
    "max.poll.records",
    "max.poll.interval.ms",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.block.ms",
    "allow.auto.create.topics",
    "exclude.internal.topics",
    "client.id.prefix",
];

/// Keys that are refused, and why.
pub const REFUSED: &[(&str, &str)] = &[
    ("enable.auto.commit", "offsets are never committed behind the job's back"),
    ("auto.commit.interval.ms", "offsets are never committed behind the job's back"),
    ("enable.auto.offset.store", "offsets are never committed behind the job's back"),
    ("enable.partition.eof", "the source needs it"),
    ("group.instance.id", "partitions are assigned by the job, not by a consumer group"),
    ("partition.assignment.strategy", "partitions are assigned by the job, not by a consumer group"),
    ("group.protocol", "partitions are assigned by the job, not by a consumer group"),
    ("key.deserializer", "'key.format' says how keys are decoded"),
    ("value.deserializer", "'value.format' or 'format' says how values are decoded"),
    ("key.serializer", "'key.format' says how keys are encoded"),
    ("value.serializer", "'value.format' or 'format' says how values are encoded"),
    ("partitioner.class", "'sink.partitioner' says where records go"),
    ("partitioner", "'sink.partitioner' says where records go"),
    ("interceptor.classes", "Java classes can't be loaded"),
    ("metric.reporters", "Java classes can't be loaded"),
    ("sasl.login.class", "Java classes can't be loaded"),
    (
        "sasl.login.callback.handler.class",
        "Java classes can't be loaded; 'properties.sasl.oauthbearer.method' = 'oidc' fetches tokens",
    ),
    ("sasl.client.callback.handler.class", "Java classes can't be loaded"),
    (
        "sasl.kerberos.service.name",
        "Kerberos (GSSAPI) isn't built in; PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER are",
    ),
    ("ssl.protocol", "the TLS version is negotiated: 1.2 or 1.3"),
    ("ssl.enabled.protocols", "the TLS version is negotiated: 1.2 or 1.3"),
    ("partition.discovery.interval.ms", "the option 'scan.topic-partition-discovery.interval' says it"),
    ("transactional.id", "the sink makes its own; see 'sink.delivery-guarantee'"),
];

/// Whether a property's value is nobody's business.
pub fn is_secret(key: &str) -> bool {
    ["password", "secret", "jaas", "pem", "ssl.keystore.key"].iter().any(|part| key.contains(part))
}
