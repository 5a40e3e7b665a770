//! A bad network between two processes: a TCP proxy that delays, throttles, splits, flips, cuts and resets, as it is told while it runs.
//!
//! What it does to a connection's bytes follows from its seed and the connection's number, not from time. It knows nothing of what
//! it carries, but for [`Rules::unavailable_one_in`] and [`Rules::hangs_puts`], which look at the first word of a chunk to see that
//! it begins a request of HTTP.

mod pump;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::random::Random;
use pump::{Ending, Pump, Way};

/// What the network does to everybody at once. The default does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Each chunk comes so much later, and up to as much again by chance.
    pub latency: Duration,
    /// The most bytes a second in each direction of a connection; 0: as many as there are.
    pub bytes_per_second: u64,
    /// Every byte is written by itself.
    pub is_split: bool,
    /// One chunk in so many has one of its bits flipped; 0: none.
    pub flip_one_in: u64,
    /// One chunk in so many is cut in half and followed by a reset of the connection; 0: none.
    pub reset_one_in: u64,
    /// One request in so many gets the answer 503 or 500 instead of the server's; 0: none.
    pub unavailable_one_in: u64,
    /// Every PUT of a name with this in it is taken and never answered, not even when the rule is lifted.
    pub hangs_puts: Option<&'static str>,
    /// One answer in so many is thrown away and the connection reset: the server has done what the client doesn't know; 0: none.
    pub lose_answer_one_in: u64,
    /// One answer in so many is cut short, and the connection closed as if that were all of it; 0: none.
    pub truncate_one_in: u64,
    /// Bytes from client to server stay where they are until it is lifted.
    pub holds_requests: bool,
    /// Bytes from server to client stay where they are until it is lifted.
    pub holds_answers: bool,
    /// All connections are reset and new ones are too.
    pub is_cut: bool,
}

impl Rules {
    /// Nothing comes through in either direction, and nobody is told.
    #[must_use]
    pub fn blackhole() -> Self {
        Self { holds_requests: true, holds_answers: true, ..Self::default() }
    }

    /// Whoever connects or is connected gets a reset.
    #[must_use]
    pub fn cut() -> Self {
        Self { is_cut: true, ..Self::default() }
    }
}

/// What has been done to bytes so far.
#[derive(Default, Debug)]
pub struct Counters {
    /// Connections made.
    pub connections: AtomicU64,
    /// Bits flipped.
    pub flipped: AtomicU64,
    /// Connections reset.
    pub resets: AtomicU64,
    /// Requests answered with 503 or 500.
    pub refused: AtomicU64,
    /// Requests taken and never answered.
    pub hung: AtomicU64,
    /// Answers thrown away.
    pub lost_answers: AtomicU64,
    /// Answers cut short.
    pub truncated: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A running proxy; its connections end with it.
pub struct Proxy {
    address: SocketAddr,
    rules: watch::Sender<Rules>,
    counters: Arc<Counters>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// A proxy that listens on `listen` and carries everything to `server`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// If the address can't be listened on.
    pub fn start(listen: SocketAddr, server: SocketAddr, seed: u64) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(listen))?;
        let address = listener.local_addr()?;
        let (rules, watched) = watch::channel(Rules::default());
        let counters = Arc::new(Counters::default());
        runtime.spawn(accept(listener, server, watched, seed, Arc::clone(&counters)));
        Ok(Self { address, rules, counters, runtime: Some(runtime) })
    }

    /// Where clients connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the network behaves like this.
    pub fn set(&self, rules: Rules) {
        self.rules.send_replace(rules);
    }

    /// The network is good again.
    pub fn heal(&self) {
        self.set(Rules::default());
    }

    /// What has been done so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Carries each connection in a task of its own; they end with the proxy's runtime.
async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    rules: watch::Receiver<Rules>,
    seed: u64,
    counters: Arc<Counters>,
) {
    for number in 0_u64.. {
        let Ok((client, _)) = listener.accept().await else { continue };
        Counters::count(&counters.connections);
        let (rules, counters) = (rules.clone(), Arc::clone(&counters));
        tokio::spawn(async move {
            let _ = client.set_nodelay(true);
            if rules.borrow().is_cut {
                reset(&client, &counters);
                return;
            }
            // A server that isn't there: the client sees its connection end.
            let Ok(server) = TcpStream::connect(server).await else { return };
            let _ = server.set_nodelay(true);
            carry(client, server, rules, Random::new(seed, number), &counters).await;
        });
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    rules: watch::Receiver<Rules>,
    mut random: Random,
    counters: &Counters,
) {
    let (forward, backward) = (Random::new(random.number(), 0), Random::new(random.number(), 0));
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let there = Pump::new(from_client, to_server, Way::Requests, rules.clone(), forward, counters);
    let back = Pump::new(from_server, to_client, Way::Answers, rules.clone(), backward, counters);
    let ended = tokio::select! {
        // A half that ends in good order lets the other one end by itself.
        ended = async { tokio::try_join!(there.run(), back.run()) } => ended.err(),
        () = cut(rules) => Some(Ending::Reset),
    };
    if ended == Some(Ending::Reset) {
        reset(&client, counters);
        let _ = server.set_zero_linger();
    }
}

/// Ends when the network is cut.
async fn cut(mut rules: watch::Receiver<Rules>) {
    if rules.wait_for(|rules| rules.is_cut).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The connection's end will be a reset.
fn reset(stream: &TcpStream, counters: &Counters) {
    let _ = stream.set_zero_linger();
    Counters::count(&counters.resets);
}
