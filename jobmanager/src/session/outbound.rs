//! What waits to be sent to one TaskManager: bounded in messages and in bytes, never waited for.
//!
//! Invariant: pushing never blocks. When there is no room the TaskManager is too slow to be of use, and the caller gives it up.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use weir_api::fail_point::FailPoint;
use weir_proto::v1::{JobManagerMessage, Refused, job_manager_message::Body};

const MAX_MESSAGES: usize = 1_024;
const MAX_BYTES: usize = 128 << 20;

/// The end that the service writes to. Dropping it ends the session: what is queued is still sent.
#[derive(Debug)]
pub(crate) struct Outbound {
    sender: mpsc::Sender<JobManagerMessage>,
    queued_bytes: Arc<AtomicUsize>,
    /// Stops the session's reader.
    _closed: DropGuard,
}

/// There is no room, or nobody reads any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// The end that tonic sends from.
pub(crate) struct OutboundStream {
    receiver: mpsc::Receiver<JobManagerMessage>,
    queued_bytes: Arc<AtomicUsize>,
}

/// Both ends; `closed` is cancelled when the writing end is dropped.
pub(crate) fn channel(closed: CancellationToken) -> (Outbound, OutboundStream) {
    let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let outbound = Outbound { sender, queued_bytes: Arc::clone(&queued_bytes), _closed: closed.drop_guard() };
    (outbound, OutboundStream { receiver, queued_bytes })
}

impl Outbound {
    /// Queues a message, if there is room.
    pub(crate) fn push(&self, message: JobManagerMessage) -> Result<(), NoRoom> {
        let bytes = message.encoded_len();
        // Only one task pushes, so nothing is added between the look and the leap.
        if self.queued_bytes.load(Ordering::Relaxed).saturating_add(bytes) > MAX_BYTES {
            return Err(NoRoom);
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sender.try_send(message).map_err(|_| NoRoom)
    }

    /// Says why the session ends, if there is room, and ends it.
    pub(crate) fn refuse(self, epoch: u64, reason: String) {
        let body = Body::Refused(Refused { reason });
        // It will see the end of the stream in any case.
        let _ = self.push(JobManagerMessage { leader_epoch: epoch, body: Some(body) });
    }
}

impl futures::Stream for OutboundStream {
    type Item = Result<JobManagerMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = std::task::ready!(self.receiver.poll_recv(context));
        if let Some(message) = &message {
            self.queued_bytes.fetch_sub(message.encoded_len(), Ordering::Relaxed);
            if matches!(message.body, Some(Body::Deploy(_)))
                && let Err(error) = FailPoint::BetweenDeploys.pass()
            {
                return Poll::Ready(Some(Err(Status::internal(error.to_string()))));
            }
        }
        Poll::Ready(message.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    fn message(bytes: usize) -> JobManagerMessage {
        let reason = "x".repeat(bytes);
        JobManagerMessage { leader_epoch: 1, body: Some(Body::Refused(Refused { reason })) }
    }

    #[tokio::test]
    async fn bounded_in_messages_and_bytes_and_freed_by_reading() {
        let (outbound, mut stream) = channel(CancellationToken::new());
        let pushed = (0..2_000).take_while(|_| outbound.push(message(10)).is_ok()).count();
        assert_eq!(pushed, MAX_MESSAGES);

        let (large, mut large_stream) = channel(CancellationToken::new());
        let pushed = (0..100).take_while(|_| large.push(message(15 << 20)).is_ok()).count();
        assert_eq!(pushed, 8, "8 × 15 MiB fit into 128 MiB");
        large_stream.next().await.expect("queued").expect("a message");
        assert_eq!(large.push(message(15 << 20)), Ok(()));

        stream.next().await.expect("queued").expect("a message");
        outbound.push(message(10)).expect("room again");
    }

    #[tokio::test]
    async fn refusing_ends_the_stream_after_the_reason_and_stops_the_reader() {
        let closed = CancellationToken::new();
        let (outbound, mut stream) = channel(closed.clone());
        outbound.refuse(7, "no".to_owned());
        assert!(closed.is_cancelled());
        let last = stream.next().await.expect("the reason").expect("a message");
        assert_eq!(last.body, Some(Body::Refused(Refused { reason: "no".to_owned() })));
        assert!(stream.next().await.is_none());
    }
}
