//! What tables are refused, and with which words; no broker is needed.

use arrow::datatypes::{DataType, Field, Schema};
use weir_api::error::Code;
use weir_api::source::Boundedness;
use weir_proto::v1::{MetadataColumn, TableSpec};

use crate::testing::{sink, source, table};

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("k_id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("id", DataType::Int64, true),
    ])
}

const BASE: [(&str, &str); 3] =
    [("topic", "clicks"), ("properties.bootstrap.servers", "localhost:9"), ("format", "json")];

/// A table of the base options, those in `options` instead or beside them; an empty one is left out.
fn with(options: &[(&str, &str)]) -> TableSpec {
    let mut table = table("kafka", &schema(), &BASE);
    table.options.insert("scan.startup.mode".into(), "earliest-offset".into());
    for (key, value) in options {
        if value.is_empty() {
            table.options.remove(*key);
        } else {
            table.options.insert((*key).into(), (*value).into());
        }
    }
    table
}

/// Each table is refused with a text that names what is wrong.
fn refused(read: bool, cases: &[(&[(&str, &str)], &str)]) {
    for (options, expected) in cases {
        let table = with(options);
        let error = if read { source(&table).map(|_| ()) } else { sink(&table).map(|_| ()) }
            .expect_err(&format!("{options:?}"));
        assert!(error.chain().contains(expected), "{options:?}: {}", error.chain());
        assert!(matches!(error.code(), Code::TableOptions | Code::Unsupported), "{}", error.chain());
    }
}

#[test]
fn a_plain_table_is_read_and_written() {
    assert_eq!(source(&with(&[])).unwrap().boundedness(), Boundedness::Unbounded);
    assert!(source(&with(&[])).unwrap().discovery_interval().unwrap().as_secs() == 300);
    let never = with(&[("scan.topic-partition-discovery.interval", "0 ms")]);
    assert_eq!(source(&never).unwrap().discovery_interval(), None);
    let bounded = source(&with(&[("scan.bounded.mode", "latest-offset")])).unwrap();
    assert_eq!(bounded.boundedness(), Boundedness::Bounded);
    assert_eq!(bounded.discovery_interval(), None, "what a bounded scan reads is fixed");
    assert!(!sink(&with(&[])).unwrap().accepts_changes());
}

#[test]
fn topics_are_named_or_matched() {
    source(&with(&[("topic", "a; b_1;c.d")])).unwrap();
    source(&with(&[("topic", ""), ("topic-pattern", "clicks-[0-9]+")])).unwrap();
    refused(
        true,
        &[
            (&[("topic", "")], "needs the option 'topic'"),
            (&[("topic", "a b")], "option 'topic' is 'a b'"),
            (&[("topic-pattern", "a.*")], "nothing beside 'topic'"),
            (&[("topic", ""), ("topic-pattern", "(")], "topic-pattern"),
        ],
    );
    refused(
        false,
        &[
            (&[("topic", ""), ("topic-pattern", "a.*")], "topic-pattern"),
            (&[("topic", "a;b")], "METADATA FROM 'topic'"),
        ],
    );
}

#[test]
fn bounds_need_what_they_are_made_of() {
    source(&with(&[("scan.startup.mode", ""), ("properties.group.id", "g")])).unwrap();
    source(&with(&[
        ("scan.startup.mode", "specific-offsets"),
        ("scan.startup.specific-offsets", "partition:0,offset:42"),
        ("scan.bounded.mode", "timestamp"),
        ("scan.bounded.timestamp-millis", "1700000000000"),
    ]))
    .unwrap();
    let specific = ("scan.startup.mode", "specific-offsets");
    let offsets = ("scan.startup.specific-offsets", "partition:0,offset:42");
    refused(
        true,
        &[
            (&[("scan.startup.mode", "")], "'properties.group.id'"),
            (&[("scan.startup.mode", "first")], "'earliest-offset'"),
            (&[("scan.startup.mode", "timestamp")], "scan.startup.timestamp-millis"),
            (&[specific], "scan.startup.specific-offsets"),
            (&[specific, ("scan.startup.specific-offsets", "0:42")], "partition:0,offset:42"),
            (&[specific, offsets, ("topic", "a;b")], "several topics"),
            (&[offsets], "nothing beside 'scan.startup.mode' = 'earliest-offset'"),
            (&[("scan.bounded.timestamp-millis", "1")], "'scan.bounded.mode' = 'unbounded'"),
            (&[("scan.bounded.mode", "group-offsets")], "'properties.group.id'"),
        ],
    );
}

#[test]
fn properties_are_those_of_the_allow_list() {
    source(&with(&[
        ("properties.fetch.max.wait.ms", "50"),
        ("properties.max.poll.records", "500"),
        ("properties.linger.ms", "5"),
        ("properties.security.protocol", "SASL_SSL"),
        ("properties.sasl.mechanism", "SCRAM-SHA-512"),
        (
            "properties.sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"p\";",
        ),
        ("properties.ssl.endpoint.identification.algorithm", "https"),
    ]))
    .unwrap();
    refused(
        true,
        &[
            (&[("properties.bootstrap.servers", "")], "properties.bootstrap.servers"),
            (&[("properties.enable.auto.commit", "true")], "behind the job's back"),
            (&[("properties.fetch.min.byte", "1")], "did you mean 'properties.fetch.min.bytes'?"),
            (&[("properties.fetch.min.bytes", "many")], "properties.fetch.min.bytes"),
            (&[("properties.auto.offset.reset", "smallest")], "'earliest', 'latest' or 'none'"),
            (&[("properties.ssl.truststore.location", "/t.jks")], "ssl.ca.location"),
            (&[("properties.sasl.kerberos.service.name", "kafka")], "GSSAPI"),
        ],
    );
}

#[test]
fn no_secret_is_shown() {
    for (key, value) in [
        ("properties.ssl.key.pem", "hunter2"),
        ("properties.sasl.jaas.config", "x required password=hunter2;"),
        ("properties.ssl.key.password.typo", "hunter2"),
    ] {
        // What librdkafka refuses only when the client is made is nothing to show here either.
        if let Err(error) = source(&with(&[(key, value)])) {
            assert!(!error.chain().contains("hunter2"), "{}", error.chain());
        }
    }
}

#[test]
fn keys_and_values_share_the_columns_as_in_flink() {
    let key = [("key.format", "json"), ("key.fields", "k_id")];
    let except = ("value.fields-include", "EXCEPT_KEY");
    source(&with(&[key[0], key[1]])).unwrap();
    source(&with(&[key[0], key[1], except, ("key.fields-prefix", "k_")])).unwrap();
    source(&with(&[("format", ""), ("value.format", "json"), ("value.json.fail-on-missing-field", "true")]))
        .unwrap();
    refused(
        true,
        &[
            (&[("format", "")], "'format'"),
            (&[("value.format", "json")], "value.format"),
            (&[("format", "avro")], "'json'"),
            (&[("key.format", "json")], "key.fields"),
            (&[("key.fields", "k_id")], "key.format"),
            (&[key[0], ("key.fields", "nope")], "key.fields"),
            (&[key[0], ("key.fields", "k_id;k_id")], "each column once"),
            (&[key[0], key[1], ("key.fields-prefix", "k_")], "'value.fields-include' = 'ALL'"),
            (&[key[0], ("key.fields", "id"), except, ("key.fields-prefix", "k_")], "start with 'k_'"),
        ],
    );
}

#[test]
fn metadata_columns_have_flinks_names() {
    let mut fields = schema().fields().to_vec();
    fields.push(Field::new("at", DataType::Int64, false).into());
    let spec = |key: &str| TableSpec {
        schema: weir_api::schema::encode(&Schema::new(fields.clone())),
        metadata_columns: vec![MetadataColumn { name: "at".into(), key: key.into() }],
        ..with(&[])
    };
    source(&spec("offset")).unwrap();
    let error = source(&spec("ofset")).map(|_| ()).unwrap_err();
    assert!(error.message().contains("timestamp-type"), "{}", error.message());
    let registry = crate::registry(&weir_api::config::Configuration::default());
    let of = |table: &TableSpec, key: &str| {
        let all = registry.get("kafka").unwrap().metadata(table);
        all.into_iter().find(|one| one.key == key).unwrap()
    };
    assert!(of(&with(&[]), "headers").writable && of(&with(&[]), "timestamp").writable);
    assert!(!of(&with(&[]), "topic").writable && !of(&with(&[]), "offset").writable);
    assert!(of(&with(&[("topic", "a;b")]), "topic").writable);
}

#[test]
fn sinks_say_what_they_can() {
    sink(&with(&[("sink.delivery-guarantee", "none"), ("properties.acks", "0")])).unwrap();
    sink(&with(&[("sink.partitioner", "fixed"), ("properties.acks", "1")])).unwrap();
    let once = ("sink.delivery-guarantee", "exactly-once");
    let exact = sink(&with(&[once, ("properties.acks", "all")])).unwrap();
    assert!(exact.commits_in_task() && exact.committer().is_some());
    let plain = sink(&with(&[])).unwrap();
    assert!(!plain.commits_in_task() && plain.committer().is_none());
    refused(
        false,
        &[
            (&[once, ("sink.exactly-once.mode", "2pc")], "'log' gives the same"),
            (&[once, ("properties.acks", "1")], "'all' beside"),
            (&[once, ("properties.enable.idempotence", "false")], "'true' beside"),
            (&[once, ("sink.transactional-id-prefix", " ")], "sink.transactional-id-prefix"),
            (&[once, ("sink.exactly-once.progress-topic", "clicks")], "another topic"),
            (&[("sink.transactional-id-prefix", "x")], "exactly-once"),
            (&[("sink.exactly-once.progress-topic", "x")], "exactly-once"),
            (&[("properties.transaction.timeout.ms", "1000")], "exactly-once"),
            (&[("properties.acks", "0")], "at-least-once"),
            (&[("sink.partitioner", "com.example.Mine")], "Java class"),
            (
                &[("sink.partitioner", "round-robin"), ("key.format", "json"), ("key.fields", "id")],
                "key.fields",
            ),
            (&[("properties.compression.type", "brotli")], "properties.compression.type"),
        ],
    );
}
