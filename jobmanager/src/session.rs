//! The gRPC end of the sessions with TaskManagers.
//!
//! Decides nothing about jobs: it reads and checks messages, hands them to the service in order, and writes what the service
//! sends. Invariants: what breaks the protocol ends that session only; a TaskManager that doesn't read fills its own bounded
//! queue and is then given up, nobody waits for it; one that floods waits its turn, as each session has at most one message in
//! the service's queue.

mod outbound;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::v1::TaskManagerMessage;
use weir_proto::v1::job_manager_server::{JobManager, JobManagerServer};

use crate::control::event::{Event, SessionId};
use crate::control::managers::MAX_MANAGERS;
use crate::control::{LEFT, inbound};
use crate::service::Client;

pub(crate) use self::outbound::{Outbound, OutboundStream};

/// The largest message of the session, both ways.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How long a new session may take to register.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle connection is probed, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The gRPC service.
pub(crate) struct Sessions {
    client: Client,
    next: AtomicU64,
    places: Arc<Semaphore>,
    readers: TaskTracker,
    shutdown: CancellationToken,
}

impl Sessions {
    pub(crate) fn new(client: Client, readers: TaskTracker, shutdown: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(MAX_MANAGERS * 2));
        Self { client, next: AtomicU64::new(1), places, readers, shutdown }
    }

    /// Serves until the shutdown token is cancelled.
    pub(crate) async fn serve(
        self,
        listener: tokio::net::TcpListener,
    ) -> Result<(), tonic::transport::Error> {
        let shutdown = self.shutdown.clone();
        let service = JobManagerServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .max_concurrent_streams(Some(8))
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
            .await
    }
}

#[tonic::async_trait]
impl JobManager for Sessions {
    type SessionStream = OutboundStream;

    async fn session(
        &self,
        request: Request<Streaming<TaskManagerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(Status::resource_exhausted("too many sessions are open"));
        };
        let session = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let closed = self.shutdown.child_token();
        let (outbound, stream) = outbound::channel(closed.clone());
        let reader = Reader { session, client: self.client.clone(), messages: request.into_inner() };
        self.readers.spawn(async move {
            reader.run(outbound, closed).await;
            drop(place);
        });
        Ok(Response::new(stream))
    }
}

struct Reader {
    session: SessionId,
    client: Client,
    messages: Streaming<TaskManagerMessage>,
}

impl Reader {
    async fn run(mut self, outbound: Outbound, closed: CancellationToken) {
        let registration = tokio::select! {
            () = closed.cancelled() => return,
            first = tokio::time::timeout(REGISTER_TIMEOUT, self.messages.message()) => first,
        };
        let registration = match registration {
            Ok(Ok(Some(message))) => inbound::registration(message).map_err(|error| error.to_string()),
            Ok(Ok(None)) => Err("the session ended before it began".to_owned()),
            Ok(Err(status)) => Err(status.to_string()),
            Err(_) => Err(format!("no registration within {} s", REGISTER_TIMEOUT.as_secs())),
        };
        match registration {
            Ok((epoch, info)) => {
                tracing::debug!(session = self.session.0, task_manager = %info.id, "a TaskManager wants to join");
                if self.client.register(self.session, epoch, info, outbound).await.is_err() {
                    return;
                }
            }
            Err(reason) => {
                tracing::warn!(session = self.session.0, reason, "a session was refused");
                outbound.refuse(0, reason);
                return;
            }
        }
        let reason = tokio::select! {
            () = closed.cancelled() => return,
            reason = self.read() => reason,
        };
        // The service is gone only when everything is.
        let _ = self.client.event(Event::SessionEnded { session: self.session, reason }).await;
    }

    /// Reads until the session ends; the answer says why.
    async fn read(&mut self) -> String {
        loop {
            let message = match self.messages.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return LEFT.to_owned(),
                Err(status) => return format!("the connection broke: {}", status.message()),
            };
            match inbound::said(message) {
                Ok((epoch, said)) => {
                    let event = Event::Said { session: self.session, epoch, said };
                    if self.client.event(event).await.is_err() {
                        return "the JobManager is shutting down".to_owned();
                    }
                }
                Err(error) => return error.to_string(),
            }
        }
    }
}
