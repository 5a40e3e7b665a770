//! The demo on Kafka finds fraud, and leaves nothing running.

use std::process::Command;

use crate::process::weir;
use crate::servers::free_port;

/// A window of ten seconds and the two that its watermark waits, on a machine that has much else to do. The first alert ends it.
const SECONDS: &str = "120";

#[test]
fn the_demo_on_kafka_prints_alerts_and_ends() {
    let script = "../examples/demo-kafka/demo.sh";
    let port = free_port();
    let output = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--", script])
        .arg(weir())
        .env("WEIR_DEMO_SECONDS", SECONDS)
        .env("WEIR_DEMO_ALERTS", "1")
        .env("WEIR_DEMO_PORT", free_port().to_string())
        .env("WEIR_DEMO_KAFKA_PORT", port.to_string())
        .env("WEIR_DEMO_CONTROLLER_PORT", free_port().to_string())
        .output()
        .expect("the demo starts");
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{errors}");
    assert!(printed.contains("{\"rule\":\""), "an alert is printed:\n{printed}");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "the broker has ended with the demo");
}
