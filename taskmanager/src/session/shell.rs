//! The I/O of the session: dials, holds the stream, feeds the state machine and does what it says.
//!
//! Invariants: nothing that is waited for here can hold up a heartbeat: commands are handed to the executor without waiting,
//! and reports are taken from their channel only while the stream has room. What the JobManager sends is limited in size.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};
use weir_api::clock::Clock;
use weir_api::{Error, Result};
use weir_proto::v1::job_manager_client::JobManagerClient;
use weir_proto::v1::{JobManagerMessage, MetricsReport, TaskManagerMessage};

use super::machine::{Action, Event, Machine};
use crate::deploy::{Command, Report};
use crate::metrics::Sample;

/// The largest message on the stream, either way.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How many messages may wait to be sent.
const OUTBOUND: usize = 256;
/// How many of these places reports of metrics leave to others.
const RESERVED: usize = 64;
/// How long dialling may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The session of one TaskManager, with its ends of the channels to the rest of the process.
pub(crate) struct Session {
    pub(crate) machine: Machine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) drained: mpsc::Receiver<()>,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) samples: watch::Receiver<Sample>,
    pub(crate) stop: CancellationToken,
}

/// How far the way to the JobManager is open.
enum Link {
    Closed,
    Dialling(BoxFuture<'static, Result<Channel, String>>),
    /// Connected; the answer to the call may be yet to come.
    Open(Box<Stream>),
}

type Opening = BoxFuture<'static, Result<Response<Streaming<JobManagerMessage>>, Status>>;

struct Stream {
    outbound: mpsc::Sender<TaskManagerMessage>,
    opening: Option<Opening>,
    inbound: Option<Streaming<JobManagerMessage>>,
}

impl Session {
    /// Holds the session until it is stopped; fails when the process can't go on.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut link = Link::Closed;
        let stop = self.stop.clone();
        loop {
            let Some(event) = stop.run_until_cancelled(self.next_event(&mut link)).await else {
                return Ok(());
            };
            for action in self.machine.handle(event, self.clock.monotonic_millis()) {
                self.act(action, &mut link)?;
            }
        }
    }

    async fn next_event(&mut self, link: &mut Link) -> Event {
        let room = link.room();
        let is_active = self.machine.is_active();
        let wait = self.machine.deadline().map(|due| due.saturating_sub(self.clock.monotonic_millis()));
        let tick = OptionFuture::from(wait.map(|millis| tokio::time::sleep(Duration::from_millis(millis))));
        tokio::select! {
            event = link.next() => event,
            Some(()) = tick => Event::Tick,
            Some(()) = self.drained.recv() => {
                // What the tasks of the lost session have said concerns nobody any more.
                while self.reports.try_recv().is_ok() {}
                Event::Drained
            }
            Some(report) = self.reports.recv(), if room > 0 || !is_active => match report {
                Report::State(state) => Event::TaskState(Box::new(state)),
                Report::Acknowledged(acknowledged) => Event::Acknowledged(acknowledged),
                Report::Declined(declined) => Event::Declined(declined),
                Report::Metrics(metrics) => Event::Metrics(Box::new(metrics)),
            },
            Ok(()) = self.samples.changed(), if room > RESERVED && is_active => {
                Event::Metrics(Box::new(MetricsReport::from(&*self.samples.borrow_and_update())))
            }
        }
    }

    fn act(&mut self, action: Action, link: &mut Link) -> Result<()> {
        match action {
            Action::Dial(address) => *link = Link::dial(address),
            Action::Send(message) => link.send(*message),
            Action::Close => *link = Link::Closed,
            Action::Deploy(job, attempt, deploy) => self.command(Command::Deploy(job, attempt, deploy))?,
            Action::Cancel(job, attempt, region) => self.command(Command::Cancel(job, attempt, region))?,
            Action::AddSplits(task, first, splits) => {
                self.command(Command::AddSplits(task, first, splits))?
            }
            Action::Checkpoint(job, attempt, notice) => {
                self.command(Command::Checkpoint(job, attempt, notice))?;
            }
            Action::Drain => self.command(Command::Drain)?,
        }
        Ok(())
    }

    fn command(&self, command: Command) -> Result<()> {
        self.commands.try_send(command).map_err(|error| {
            Error::internal(format!("the executor doesn't take commands: {error}; only a new process helps"))
        })
    }
}

impl Link {
    fn dial(address: String) -> Self {
        let dialling = async move {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))
                .map_err(|error| format!("'{address}' is not an address: {error}"))?
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true);
            let connected = endpoint.connect().await;
            connected.map_err(|error| {
                format!("dial {address}: {}", Error::internal("").with_source(error).chain())
            })
        };
        Self::Dialling(dialling.boxed())
    }

    /// The call is under way at once: the JobManager may want to read the registration before it answers.
    fn open(channel: Channel) -> Self {
        let (outbound, messages) = mpsc::channel(OUTBOUND);
        let mut client = JobManagerClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let opening = async move { client.session(ReceiverStream::new(messages)).await }.boxed();
        Self::Open(Box::new(Stream { outbound, opening: Some(opening), inbound: None }))
    }

    /// What happens next on the way to the JobManager; never, while it is closed. Cancel-safe.
    async fn next(&mut self) -> Event {
        match self {
            Self::Closed => std::future::pending().await,
            Self::Dialling(dialling) => match dialling.await {
                Ok(channel) => {
                    *self = Self::open(channel);
                    Event::Opened
                }
                Err(reason) => {
                    *self = Self::Closed;
                    Event::Ended(reason)
                }
            },
            Self::Open(stream) => match stream.next().await {
                Ok(message) => Event::Received(Box::new(message)),
                Err(reason) => {
                    *self = Self::Closed;
                    Event::Ended(reason)
                }
            },
        }
    }

    /// How many messages can be sent without waiting.
    fn room(&self) -> usize {
        match self {
            Self::Open(stream) => stream.outbound.capacity(),
            Self::Closed | Self::Dialling(_) => 0,
        }
    }

    fn send(&self, message: TaskManagerMessage) {
        if let Self::Open(stream) = self
            && let Err(mpsc::error::TrySendError::Full(_)) = stream.outbound.try_send(message)
        {
            // Only heartbeats come without a look at the room: a peer that doesn't read them misses nothing by one less.
            tracing::debug!("the JobManager doesn't read; a message was left out");
        }
    }
}

impl Stream {
    async fn next(&mut self) -> Result<JobManagerMessage, String> {
        if let Some(opening) = &mut self.opening {
            let opened = opening.await;
            self.opening = None;
            self.inbound = Some(opened.map_err(|status| said(&status))?.into_inner());
        }
        match &mut self.inbound {
            Some(inbound) => match inbound.message().await {
                Ok(Some(message)) => Ok(message),
                Ok(None) => Err("the JobManager has closed the stream".to_owned()),
                Err(status) => Err(said(&status)),
            },
            None => Err("the call to the JobManager has failed before".to_owned()),
        }
    }
}

fn said(status: &Status) -> String {
    format!("the call to the JobManager has ended: {} ({:?})", status.message(), status.code())
}
