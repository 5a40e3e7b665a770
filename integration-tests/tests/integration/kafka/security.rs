//! TLS and SASL: a broker that asks for both.

use std::path::Path;
use std::process::Command;

use super::{LIMIT, cluster, copy, number, numbers};
use crate::servers::{Kafka, Topic, data_folder, free_port};

/// A certificate authority of our own, and the broker's key with what it signed.
fn certificates(folder: &Path) {
    let script = "
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2
        openssl req -newkey rsa:2048 -nodes -keyout broker.key -out broker.csr -subj /CN=broker
        echo subjectAltName=IP:127.0.0.1 > names
        openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out broker.pem
        cat broker.key broker.pem > store.pem";
    let output =
        Command::new("sh").args(["-ec", script]).current_dir(folder).output().expect("there is a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_broker_with_tls_and_passwords_is_read_and_written_by_who_may() {
    let (folder, port) = (data_folder("certificates"), free_port());
    certificates(&folder);
    let kafka = Kafka::with(|listeners| {
        format!(
            "listeners={listeners},SECURE://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"wonderland\";
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={}
",
            folder.join("store.pem").display()
        )
    });
    let (from, to) = (Topic::create(&kafka, "secured", 2), Topic::create(&kafka, "secured-target", 2));
    from.produce((0..100).map(|n| number(n, i32::try_from(n % 2).expect("small"))));
    let sql = |password: &str| {
        let security = format!(
            "'format' = 'json', 'properties.security.protocol' = 'SASL_SSL', 'properties.sasl.mechanism' = 'PLAIN',
             'properties.sasl.jaas.config' = 'org.apache.kafka.common.security.plain.PlainLoginModule required username=\"alice\" password=\"{password}\";',
             'properties.ssl.ca.location' = '{}'",
            folder.join("ca.pem").display()
        );
        let bounds = "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";
        copy(&format!("127.0.0.1:{port}"), &from.name, &to.name, &format!("{security}, {bounds}")).replacen(
            "'format' = 'json');\nINSERT",
            &format!("{security});\nINSERT"),
            1,
        )
    };
    cluster().run(&sql("wonderland"), 1, LIMIT);
    assert_eq!(numbers(&to), (0..100).collect::<Vec<_>>());

    let refused = match cluster().submit(&sql("looking-glass"), 1) {
        Err(error) => error,
        Ok(job) => {
            assert_eq!(cluster().wait_for_end(&job, LIMIT), "FAILED");
            super::failure(cluster(), &job)
        }
    };
    assert!(refused.contains("uthentication") && !refused.contains("looking-glass"), "{refused}");
}
