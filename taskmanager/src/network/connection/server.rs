//! The producer's end of a connection: gives consumers the subpartitions that they ask for, as far as their credit goes.
//!
//! Channels take turns, a frame each. Invariant: after the end, the failure or the cancellation of a channel no frame of it
//! goes out; when the connection ends, every channel on it fails, so that its producer learns.
#![expect(clippy::disallowed_methods, reason = "the edge, where time is read")]

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use weir_api::element::StreamElement;
use weir_api::error::{Code, Error, Result};
use weir_api::schema;

use super::socket;
use crate::network::failure::Failure;
use crate::network::outgoing::{Outgoing, Remote, Sizes};
use crate::network::ready::{ReadyList, lock};
use crate::network::registry::{End, Registry};
use crate::network::subpartition::Subpartition;
use crate::network::wire::batch::Encoder;
use crate::network::wire::frame::{Header, Kind};
use crate::network::wire::message::{Credit, Hello, MAX_MESSAGE_BYTES, Message, Request};
use crate::network::wire::reader::{FrameReader, malformed};
use crate::network::wire::writer::Outbox;

/// How long a peer may take to say what it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// The most channels of one connection.
const MAX_CHANNELS: usize = 1 << 16;
/// The most answers that wait because the peer doesn't read them.
const MAX_REPLIES: usize = 1 << 16;
/// The most credit that a consumer may grant at once, in segments.
const MAX_GRANT: u32 = 1 << 20;

/// A connection from one consuming TaskManager.
pub(crate) struct Connection {
    peer: SocketAddr,
    sizes: Sizes,
    registry: Arc<Registry>,
    ready: Arc<ReadyList>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channels: HashMap<u32, Arc<Subpartition>>,
    last: u32,
    replies: VecDeque<(u32, Failure)>,
    /// Channels whose end is about to be written.
    ending: Vec<Arc<Subpartition>>,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, sizes: Sizes, registry: Arc<Registry>) -> Self {
        Self {
            peer,
            sizes,
            registry,
            ready: Arc::new(ReadyList::default()),
            state: Mutex::new(State::default()),
        }
    }

    /// Reads and writes until the connection ends; then fails its channels. An error says who broke it.
    pub(crate) async fn run(self, stream: TcpStream) -> Result<()> {
        // The guard fails the channels also when this task is aborted.
        let guard = Guard(&self);
        let ended = match socket::prepare(&stream) {
            Ok(()) => {
                let (read, write) = stream.into_split();
                let reading = std::pin::pin!(self.read(FrameReader::new(read)));
                let writing = std::pin::pin!(self.write(write));
                match select(reading, writing).await {
                    Either::Left((ended, _)) | Either::Right((ended, _)) => ended,
                }
            }
            Err(error) => Err(error.into()),
        };
        drop(guard);
        ended.map_err(|error| error.context(format!("data connection from {}", self.peer)))
    }

    fn fail_all(&self) {
        let channels: Vec<_> = {
            let mut state = lock(&self.state);
            let ending = std::mem::take(&mut state.ending);
            state.channels.drain().map(|(_, channel)| channel).chain(ending).collect()
        };
        for channel in channels {
            channel.fail(Failure::new(
                Code::ConnectionLost,
                format!(
                    "{}: the connection from the consuming TaskManager {} is lost",
                    channel.key(),
                    self.peer
                ),
            ));
            self.registry.leave(&channel, End::Consumer);
        }
    }

    async fn read(&self, mut reader: FrameReader<OwnedReadHalf>) -> Result<()> {
        match tokio::time::timeout(HELLO_TIMEOUT, self.read_hello(&mut reader)).await {
            Ok(hello) => hello?,
            Err(_) => return Err(malformed("nothing")),
        }
        while let Some(header) = reader.header().await? {
            let body = reader.body(&header, MAX_MESSAGE_BYTES).await?;
            self.on_frame(&header, &body)?;
        }
        Ok(())
    }

    async fn read_hello(&self, reader: &mut FrameReader<OwnedReadHalf>) -> Result<()> {
        let Some(header) = reader.header().await? else {
            return Ok(());
        };
        let body = reader.body(&header, MAX_MESSAGE_BYTES).await?;
        if header.kind != Kind::Hello {
            return Err(malformed(format!("a {:?} frame before Hello", header.kind)));
        }
        // The consumer compares the sizes, as it has somebody to tell.
        let _: Hello = parse(&body)?;
        Ok(())
    }

    fn on_frame(&self, header: &Header, body: &[u8]) -> Result<()> {
        let number = header.channel;
        if header.kind == Kind::Request {
            return self.on_request(number, &parse(body)?);
        }
        if number > lock(&self.state).last {
            return Err(malformed(format!(
                "a {:?} frame for channel {number}, which nobody asked for",
                header.kind
            )));
        }
        match header.kind {
            Kind::Credit => {
                let credit: Credit = parse(body)?;
                if credit.segments > MAX_GRANT {
                    return Err(malformed(format!("a credit of {} segments", credit.segments)));
                }
                let (segments, released) = (credit.segments as usize, credit.released_frames);
                self.update_credit(number, |remote| remote.grant(segments, released))
            }
            Kind::Reclaim if body.is_empty() => self.update_credit(number, |remote| {
                remote.ask_back();
                true
            }),
            Kind::Cancel if body.is_empty() => self.on_cancel(number),
            kind => Err(malformed(format!("a {kind:?} frame of {} bytes from a consumer", body.len()))),
        }
    }

    fn on_request(&self, number: u32, request: &Request) -> Result<()> {
        {
            let mut state = lock(&self.state);
            if number <= state.last || request.credit > MAX_GRANT {
                return Err(malformed(format!(
                    "a request for channel {number} with a credit of {}",
                    request.credit
                )));
            }
            state.last = number;
            if state.channels.len() >= MAX_CHANNELS {
                return Err(malformed(format!("a request for more than {MAX_CHANNELS} channels")));
            }
        }
        match self.registry.claim(request.key, End::Consumer, Instant::now()) {
            Ok(channel) => {
                lock(&self.state).channels.insert(number, Arc::clone(&channel));
                let remote = Remote::new(request.credit as usize, self.sizes);
                channel.set_remote_consumer(Arc::clone(&self.ready), number, remote);
                Ok(())
            }
            Err(error) => self.reply(number, Failure::from(&error)),
        }
    }

    fn on_cancel(&self, number: u32) -> Result<()> {
        let Some(channel) = lock(&self.state).channels.remove(&number) else {
            // It has ended in the meantime.
            return Ok(());
        };
        self.registry.leave(&channel, End::Consumer);
        self.reply(number, Failure::new(Code::ChannelClosed, format!("{} was cancelled", channel.key())))
    }

    fn update_credit(&self, number: u32, change: impl FnOnce(&mut Remote) -> bool) -> Result<()> {
        let channel = lock(&self.state).channels.get(&number).cloned();
        match channel {
            // It has ended in the meantime.
            None => Ok(()),
            Some(channel) if channel.update_credit(change) => Ok(()),
            Some(channel) => Err(malformed(format!("credit for {} that can't be", channel.key()))),
        }
    }

    fn reply(&self, number: u32, failure: Failure) -> Result<()> {
        {
            let mut state = lock(&self.state);
            if state.replies.len() >= MAX_REPLIES {
                return Err(malformed("requests without reading the answers"));
            }
            state.replies.push_back((number, failure));
        }
        self.ready.wake();
        Ok(())
    }

    async fn write(&self, mut out: OwnedWriteHalf) -> Result<()> {
        let mut outbox = Outbox::default();
        let mut encoders = HashMap::new();
        outbox.message(0, &Hello { segment_bytes: self.sizes.segment_bytes as u32 });
        loop {
            while !outbox.is_full(self.sizes.frame_bytes) && self.fill(&mut outbox, &mut encoders) {}
            if outbox.is_empty() {
                poll_fn(|cx| {
                    self.ready.register(cx);
                    let idle = self.ready.is_empty() && lock(&self.state).replies.is_empty();
                    if idle { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                continue;
            }
            outbox.write(&mut out).await?;
            let ended = std::mem::take(&mut lock(&self.state).ending);
            for channel in ended {
                channel.set_delivered();
                self.registry.leave(&channel, End::Consumer);
            }
        }
    }

    /// Adds the next frame; false if there is none.
    fn fill(&self, outbox: &mut Outbox, encoders: &mut HashMap<u32, Encoder>) -> bool {
        let reply = lock(&self.state).replies.pop_front();
        if let Some((number, failure)) = reply {
            outbox.message(number, &failure);
            return true;
        }
        let Some(number) = self.ready.pop() else {
            return false;
        };
        let channel = lock(&self.state).channels.get(&number).cloned();
        let Some(channel) = channel else {
            encoders.remove(&number);
            return true;
        };
        match self.fill_from(number, &channel, outbox, encoders) {
            Ok(true) => self.ready.push_back(number),
            Ok(false) => {}
            Err(error) => {
                // The channel's own fault: it alone fails, and says so in its next turn.
                channel.fail(Failure::from(&error));
                self.ready.push_back(number);
            }
        }
        true
    }

    /// Adds the channel's next frame; whether it may have more.
    fn fill_from(
        &self,
        number: u32,
        channel: &Arc<Subpartition>,
        outbox: &mut Outbox,
        encoders: &mut HashMap<u32, Encoder>,
    ) -> Result<bool> {
        let Some(outgoing) = channel.take_outgoing()? else {
            return Ok(false);
        };
        match outgoing {
            Outgoing::Schema(sent) => {
                encoders.insert(number, Encoder::new(&sent)?);
                outbox.body(Kind::Schema, number, &schema::encode(&sent));
            }
            Outgoing::Data(batch, prefix) => {
                let encoder = encoders.get_mut(&number).ok_or_else(|| {
                    Error::internal(format!("{}: records before their schema", channel.key()))
                })?;
                outbox.batch(number, encoder, batch, prefix)?;
            }
            Outgoing::Backlog(backlog) => outbox.message(number, &backlog),
            Outgoing::Event(event) => {
                outbox.message(number, &event);
                if matches!(event, StreamElement::EndOfInput) {
                    self.forget(number, encoders);
                    lock(&self.state).ending.push(Arc::clone(channel));
                    return Ok(false);
                }
            }
            Outgoing::Closed(failure) => {
                outbox.message(number, &failure);
                self.forget(number, encoders);
                self.registry.leave(channel, End::Consumer);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn forget(&self, number: u32, encoders: &mut HashMap<u32, Encoder>) {
        lock(&self.state).channels.remove(&number);
        encoders.remove(&number);
    }
}

/// Fails a connection's channels, however its task ends.
struct Guard<'a>(&'a Connection);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fail_all();
    }
}

fn parse<M: Message>(body: &[u8]) -> Result<M> {
    M::decode(body).ok_or_else(|| malformed(format!("a {:?} frame that isn't one", M::KIND)))
}
