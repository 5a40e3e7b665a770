//! One direction of one connection: takes chunks, does to them what the rules say, hands them on.
//!
//! An error says how the whole connection is to end; without one it is closed in this direction only.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::{Counters, Rules};
use crate::random::Random;

const CHUNK: usize = 16 << 10;
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const BROKEN: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// How long a client that was refused may go on sending before its connection is closed.
const PATIENCE: Duration = Duration::from_millis(300);

/// How a connection ends before its time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Reset,
    Closed,
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Requests,
    Answers,
}

pub struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    way: Way,
    rules: watch::Receiver<Rules>,
    random: Random,
    counters: &'a Counters,
}

impl<'a> Pump<'a> {
    pub fn new(
        from: ReadHalf<'a>,
        to: WriteHalf<'a>,
        way: Way,
        rules: watch::Receiver<Rules>,
        random: Random,
        counters: &'a Counters,
    ) -> Self {
        Self { from, to, way, rules, random, counters }
    }

    /// Until the sender's end.
    pub async fn run(mut self) -> Result<(), Ending> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = read(self.from.as_ref(), &mut chunk).await?;
            self.wait_until_open().await;
            let rules = *self.rules.borrow();
            if count == 0 {
                let _ = self.to.shutdown().await;
                return Ok(());
            }
            let Some(bytes) = chunk.get_mut(..count) else { return Err(Ending::Reset) };
            self.hand_on(bytes, &rules).await?;
        }
    }

    /// While bytes of this way are held, nothing is read: what was sent waits in the system's buffers, as behind a router that
    /// drops everything.
    async fn wait_until_open(&mut self) {
        let way = self.way;
        let is_open = |rules: &Rules| match way {
            Way::Requests => !rules.holds_requests,
            Way::Answers => !rules.holds_answers,
        };
        let _ = self.rules.wait_for(is_open).await;
    }

    async fn hand_on(&mut self, bytes: &mut [u8], rules: &Rules) -> Result<(), Ending> {
        if !rules.latency.is_zero() {
            let most = u64::try_from(rules.latency.as_micros()).unwrap_or(u64::MAX);
            tokio::time::sleep(rules.latency + Duration::from_micros(self.random.below(most))).await;
        }
        if self.way == Way::Requests && begins_request(bytes) && self.draws(rules.unavailable_one_in) {
            return self.refuse().await;
        }
        if self.way == Way::Requests && rules.hangs_puts.is_some_and(|name| is_put(bytes, name)) {
            return self.hang().await;
        }
        if self.way == Way::Answers && self.draws(rules.lose_answer_one_in) {
            Counters::count(&self.counters.lost_answers);
            return Err(Ending::Reset);
        }
        if self.draws(rules.flip_one_in) {
            self.flip(bytes);
        }
        if self.way == Way::Answers && self.draws(rules.truncate_one_in) {
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            write(self.to.as_ref(), half).await?;
            Counters::count(&self.counters.truncated);
            return Err(Ending::Closed);
        }
        if self.draws(rules.reset_one_in) {
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            write(self.to.as_ref(), half).await?;
            return Err(Ending::Reset);
        }
        self.forward(bytes, rules).await
    }

    async fn forward(&self, bytes: &[u8], rules: &Rules) -> Result<(), Ending> {
        let size = if rules.is_split { 1 } else { CHUNK };
        for part in bytes.chunks(size) {
            write(self.to.as_ref(), part).await?;
            if rules.is_split {
                tokio::task::yield_now().await;
            }
        }
        if let Some(micros) = (bytes.len() as u64 * 1_000_000).checked_div(rules.bytes_per_second) {
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        Ok(())
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let at = usize::try_from(self.random.below(bytes.len() as u64)).unwrap_or(0);
        let bit = self.random.below(8);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
            Counters::count(&self.counters.flipped);
        }
    }

    /// Answers for the server, and lets the client come to the end of what it sends: a reset would hide the answer.
    async fn refuse(&mut self) -> Result<(), Ending> {
        Counters::count(&self.counters.refused);
        let answer = if self.random.one_in(2) { UNAVAILABLE } else { BROKEN };
        write(self.from.as_ref(), answer).await?;
        let mut chunk = vec![0; CHUNK];
        while let Ok(Ok(count)) = tokio::time::timeout(PATIENCE, read(self.from.as_ref(), &mut chunk)).await {
            if count == 0 {
                break;
            }
        }
        Err(Ending::Closed)
    }

    /// Takes whatever the client sends, until it goes away.
    async fn hang(&self) -> Result<(), Ending> {
        Counters::count(&self.counters.hung);
        let mut chunk = vec![0; CHUNK];
        while read(self.from.as_ref(), &mut chunk).await? > 0 {}
        Err(Ending::Closed)
    }

    fn draws(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.random.one_in(one_in)
    }
}

fn begins_request(bytes: &[u8]) -> bool {
    ["GET /", "PUT /", "POST /", "HEAD /", "DELETE /"].iter().any(|word| bytes.starts_with(word.as_bytes()))
}

/// Whether a request begins that puts something of such a name.
fn is_put(bytes: &[u8], name: &str) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.starts_with(b"PUT /") && String::from_utf8_lossy(line).contains(name)
}

async fn read(stream: &TcpStream, chunk: &mut [u8]) -> Result<usize, Ending> {
    loop {
        stream.readable().await.map_err(|_| Ending::Reset)?;
        match stream.try_read(chunk) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => (),
            Err(_) => return Err(Ending::Reset),
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> Result<(), Ending> {
    while !bytes.is_empty() {
        stream.writable().await.map_err(|_| Ending::Reset)?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => (),
            Err(_) => return Err(Ending::Reset),
        }
    }
    Ok(())
}
