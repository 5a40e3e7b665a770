//! The one background task of the data plane: it owns every connection's task and the clock of what waits too long.
//!
//! Invariant: a connection's task lives in this task's set, so aborting this one ends them all.
#![expect(clippy::disallowed_methods, reason = "the edge, where time is read")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_api::error::Error;

use super::connection::{client, server};
use super::outgoing::Sizes;
use super::registry::Registry;

/// How often what waits too long is looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(500);
/// After a failed accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two log lines about broken connections.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What the background task needs.
pub(crate) struct Supervisor {
    pub(crate) listener: TcpListener,
    pub(crate) dials: mpsc::Receiver<Arc<client::Connection>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sizes: Sizes,
    pub(crate) max_connections: usize,
}

/// Counts broken connections between two log lines.
#[derive(Default)]
struct Broken {
    unlogged: u64,
    logged: Option<Instant>,
}

impl Supervisor {
    pub(crate) async fn run(mut self) {
        let mut accepted: JoinSet<Result<(), Error>> = JoinSet::new();
        let mut dialled = JoinSet::new();
        let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
        let mut broken = Broken::default();
        loop {
            tokio::select! {
                connection = self.listener.accept() => match connection {
                    Ok((stream, _)) => self.serve(stream, &mut accepted),
                    Err(error) => {
                        tracing::warn!(%error, "the data port accepts nothing");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(connection) = self.dials.recv() => {
                    dialled.spawn(connection.run());
                }
                Some(ended) = accepted.join_next() => {
                    if let Ok(Err(error)) = ended {
                        broken.log(&error);
                    }
                }
                Some(_) = dialled.join_next() => {}
                _ = expiry.tick() => self.registry.expire(Instant::now()),
            }
        }
    }

    fn serve(&self, stream: TcpStream, accepted: &mut JoinSet<Result<(), Error>>) {
        if accepted.len() >= self.max_connections {
            tracing::warn!(connections = accepted.len(), "too many data connections: one more is closed");
            return;
        }
        if let Ok(peer) = stream.peer_addr() {
            let connection = server::Connection::new(peer, self.sizes, Arc::clone(&self.registry));
            accepted.spawn(connection.run(stream));
        }
    }
}

impl Broken {
    fn log(&mut self, error: &Error) {
        self.unlogged += 1;
        let now = Instant::now();
        if self.logged.is_some_and(|logged| now.saturating_duration_since(logged) < LOG_INTERVAL) {
            return;
        }
        tracing::warn!(connections = self.unlogged, error = %error.chain(), "data connections broken");
        (self.unlogged, self.logged) = (0, Some(now));
    }
}
