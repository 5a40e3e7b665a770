//! The proxy does to a connection what it was told, and nothing else.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::*;

/// A server that sends back what it gets, and its proxy.
fn echo() -> Proxy {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut { stream }, &mut writer);
                let _ = writer.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    Proxy::start(([127, 0, 0, 1], 0).into(), address, 42).unwrap()
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// What comes back of these bytes, until the end.
fn round_trip(proxy: &Proxy, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(proxy);
    let mut writer = stream.try_clone()?;
    let sent = bytes.to_vec();
    let sender = std::thread::spawn(move || {
        let _ = writer.write_all(&sent);
        let _ = writer.shutdown(std::net::Shutdown::Write);
    });
    let mut back = Vec::new();
    let read = stream.read_to_end(&mut back);
    sender.join().unwrap();
    read.map(|_| back)
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_good_network_carries_all_bytes() {
    let proxy = echo();
    assert_eq!(round_trip(&proxy, &bytes(1 << 20)).unwrap(), bytes(1 << 20));
    proxy.set(Rules { is_split: true, ..Rules::default() });
    assert_eq!(round_trip(&proxy, &bytes(3_000)).unwrap(), bytes(3_000));
}

#[test]
fn a_flipped_bit_is_one_bit() {
    let proxy = echo();
    proxy.set(Rules { flip_one_in: 1, ..Rules::default() });
    let back = round_trip(&proxy, &bytes(1_000)).unwrap();
    let differing: u32 = back.iter().zip(bytes(1_000)).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(u64::from(differing), proxy.counters().flipped.load(Ordering::Relaxed));
    assert!((1..=4).contains(&differing), "{differing}");
}

#[test]
fn a_reset_comes_in_the_middle_of_a_chunk() {
    let proxy = echo();
    proxy.set(Rules { reset_one_in: 1, ..Rules::default() });
    let error = round_trip(&proxy, &bytes(1_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_cut_resets_who_is_connected_and_who_comes() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    stream.write_all(b"x").unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    proxy.set(Rules::cut());
    assert_eq!(stream.read(&mut byte).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // Either half of a connection may be the one that hears of the reset.
    assert!(round_trip(&proxy, b"x").unwrap_or_default().is_empty());
    proxy.heal();
    assert_eq!(round_trip(&proxy, b"x").unwrap(), b"x");
}

#[test]
fn a_blackhole_keeps_silent_and_loses_nothing() {
    let proxy = echo();
    for hole in [
        Rules { holds_requests: true, ..Rules::default() },
        Rules { holds_answers: true, ..Rules::default() },
    ] {
        let mut stream = connect(&proxy);
        proxy.set(hole);
        stream.write_all(b"silence").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut back = [0; 7];
        assert_eq!(stream.read(&mut back).unwrap_err().kind(), ErrorKind::WouldBlock);
        proxy.heal();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"silence");
    }
}

#[test]
fn latency_and_bandwidth_take_their_time() {
    let proxy = echo();
    for (rules, least) in [
        (Rules { latency: Duration::from_millis(50), ..Rules::default() }, 100),
        (Rules { bytes_per_second: 100_000, ..Rules::default() }, 200),
    ] {
        proxy.set(rules);
        let start = Instant::now();
        assert_eq!(round_trip(&proxy, &bytes(20_000)).unwrap().len(), 20_000);
        assert!(start.elapsed() >= Duration::from_millis(least), "{rules:?}: {:?}", start.elapsed());
    }
}

#[test]
fn a_request_is_refused_or_hangs_and_an_answer_gets_lost_or_short() {
    let proxy = echo();
    proxy.set(Rules { unavailable_one_in: 1, ..Rules::default() });
    let request = b"PUT /x HTTP/1.1\r\n\r\nbody";
    let answers: BTreeSet<String> =
        (0..20).map(|_| String::from_utf8(round_trip(&proxy, request).unwrap()).unwrap()).collect();
    let codes: Vec<&str> = answers.iter().filter_map(|answer| answer.get(..13)).collect();
    assert_eq!(codes, ["HTTP/1.1 500 ", "HTTP/1.1 503 "]);
    assert_eq!(round_trip(&proxy, b"not a request").unwrap(), b"not a request");
    proxy.set(Rules { hangs_puts: Some("x"), ..Rules::default() });
    assert_eq!(round_trip(&proxy, b"GET /x").unwrap(), b"GET /x");
    assert_eq!(round_trip(&proxy, b"PUT /y\r\nx").unwrap(), b"PUT /y\r\nx");
    let mut stream = connect(&proxy);
    stream.write_all(request).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(stream.read(&mut [0; 7]).unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.heal();
    assert_eq!(stream.read(&mut [0; 7]).unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.set(Rules { lose_answer_one_in: 1, ..Rules::default() });
    assert!(round_trip(&proxy, b"PUT /x").unwrap_or_default().is_empty());
    proxy.set(Rules { truncate_one_in: 1, ..Rules::default() });
    assert_eq!(round_trip(&proxy, &bytes(1_000)).unwrap(), bytes(500));
    let counters = proxy.counters();
    let counted = [&counters.refused, &counters.hung, &counters.lost_answers, &counters.truncated];
    assert!(counted.iter().all(|counter| counter.load(Ordering::Relaxed) > 0), "{counters:?}");
}
