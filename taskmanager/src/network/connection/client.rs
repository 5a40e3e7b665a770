//! The consumer's end of a connection: asks for subpartitions, grants credit, takes what comes.
//!
//! Invariant: a channel is known from its request until its end, its failure, or the producer's confirmation that it was
//! cancelled; a frame for any other channel breaks the protocol. Messages wait in a bounded form: one grant and one of each
//! other kind per channel.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};
use futures::task::AtomicWaker;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use weir_api::batch::Permit;
use weir_api::element::StreamElement;
use weir_api::error::{Code, Error, Result};
use weir_api::schema;

use super::socket;
use crate::network::failure::Failure;
use crate::network::inbox::Inbox;
use crate::network::outgoing::Sizes;
use crate::network::ready::lock;
use crate::network::wire::batch::{decode, decode_prefix};
use crate::network::wire::frame::{Header, Kind};
use crate::network::wire::message::{
    Backlog, Credit, Hello, MAX_MESSAGE_BYTES, MAX_SCHEMA_BYTES, Message, Request,
};
use crate::network::wire::reader::{FrameReader, malformed};
use crate::network::wire::writer::Outbox;

/// Between two attempts to dial.
const DIAL_PAUSE: Duration = Duration::from_millis(100);
/// How long a refused connection is tried again.
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of messages gathered for one write.
const WRITE_BYTES: usize = 64 << 10;

/// What a connection goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) sizes: Sizes,
    /// The longest body of a data frame.
    pub(crate) max_body_bytes: usize,
    pub(crate) connect_timeout: Duration,
}

/// A connection to one other TaskManager, from which this process consumes.
pub(crate) struct Connection {
    address: String,
    rules: Rules,
    state: Mutex<State>,
    outbound: Mutex<Outbound>,
    writer: AtomicWaker,
}

#[derive(Default)]
struct State {
    channels: HashMap<u32, Arc<Inbox>>,
    last: u32,
    failure: Option<Failure>,
}

#[derive(Default)]
struct Outbound {
    requests: VecDeque<(u32, Request)>,
    granted: VecDeque<u32>,
    grants: HashMap<u32, (usize, u64)>,
    reclaims: VecDeque<u32>,
    cancels: VecDeque<u32>,
}

impl Connection {
    /// A connection to `address` that isn't dialled yet: see [`Connection::run`].
    pub(crate) fn new(address: String, rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            address,
            rules,
            state: Mutex::new(State::default()),
            outbound: Mutex::new(Outbound::default()),
            writer: AtomicWaker::new(),
        })
    }

    /// Opens a channel. `make` gets the channel's number before anything is sent.
    pub(crate) fn open(
        &self,
        credit: u32,
        make: impl FnOnce(u32) -> Arc<Inbox>,
    ) -> std::result::Result<Arc<Inbox>, Failure> {
        let mut state = lock(&self.state);
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.last += 1;
        let number = state.last;
        let inbox = make(number);
        state.channels.insert(number, Arc::clone(&inbox));
        lock(&self.outbound).requests.push_back((number, Request { key: inbox.key(), credit }));
        drop(state);
        self.writer.wake();
        Ok(inbox)
    }

    /// Grants credit on a channel.
    pub(crate) fn grant(&self, number: u32, segments: usize, released_frames: u64) {
        {
            let mut guard = lock(&self.outbound);
            let outbound = &mut *guard;
            let grant = outbound.grants.entry(number).or_insert_with(|| {
                outbound.granted.push_back(number);
                (0, 0)
            });
            grant.0 += segments;
            grant.1 = grant.1.max(released_frames);
        }
        self.writer.wake();
    }

    /// Asks for credit that the producer doesn't need.
    pub(crate) fn reclaim(&self, number: u32) {
        lock(&self.outbound).reclaims.push_back(number);
        self.writer.wake();
    }

    /// Takes nothing more from a channel.
    pub(crate) fn cancel(&self, inbox: &Arc<Inbox>) {
        inbox.close();
        if lock(&self.state).channels.contains_key(&inbox.number()) {
            lock(&self.outbound).cancels.push_back(inbox.number());
            self.writer.wake();
        }
    }

    /// Whether new channels can be opened.
    pub(crate) fn is_usable(&self) -> bool {
        lock(&self.state).failure.is_none()
    }

    /// Dials, then reads and writes until the connection ends; all its channels fail then.
    pub(crate) async fn run(self: Arc<Self>) {
        match self.connect().await {
            Ok(stream) => self.serve(stream).await,
            Err(error) => self.fail(&error),
        }
    }

    /// Fails all channels; none can be opened any more.
    pub(crate) fn fail(&self, error: &Error) {
        let text = format!("the connection to TaskManager {}: {}", self.address, error.chain());
        let failure = Failure::new(Code::ConnectionLost, text);
        let channels: Vec<_> = {
            let mut state = lock(&self.state);
            state.failure.get_or_insert_with(|| failure.clone());
            state.channels.drain().collect()
        };
        *lock(&self.outbound) = Outbound::default();
        if !channels.is_empty() {
            tracing::warn!(address = %self.address, channels = channels.len(), error = %error.chain(), "data connection lost");
        }
        for (_, inbox) in channels {
            inbox.credit().on_end(inbox.index());
            inbox.fail(failure.clone());
        }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let dial = async {
            let mut refused = Duration::ZERO;
            loop {
                let error = match TcpStream::connect(&self.address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => error,
                };
                if refused >= REFUSED_PATIENCE {
                    return Err(error);
                }
                refused += DIAL_PAUSE;
                tokio::time::sleep(DIAL_PAUSE).await;
            }
        };
        let failed = |what: String| Error::new(Code::ConnectionLost, what);
        let stream = tokio::time::timeout(self.rules.connect_timeout, dial)
            .await
            .map_err(|_| failed(format!("no answer within {:?}", self.rules.connect_timeout)))?
            .map_err(|error| failed("it can't be reached".to_owned()).with_source(error))?;
        socket::prepare(&stream)?;
        Ok(stream)
    }

    /// Reads and writes until that ends. The socket is closed after that is known here.
    async fn serve(&self, stream: TcpStream) {
        let (read, write) = stream.into_split();
        let reading = std::pin::pin!(self.read(FrameReader::new(read)));
        let writing = std::pin::pin!(self.write(write));
        let ended = match select(reading, writing).await {
            Either::Left((ended, _)) | Either::Right((ended, _)) => ended,
        };
        match ended {
            Ok(()) => self.fail(&Error::new(Code::ConnectionLost, "the peer has closed it")),
            Err(error) => self.fail(&error),
        }
    }

    async fn write(&self, mut out: OwnedWriteHalf) -> Result<()> {
        let mut outbox = Outbox::default();
        outbox.message(0, &Hello { segment_bytes: self.rules.sizes.segment_bytes as u32 });
        loop {
            if !outbox.is_empty() {
                outbox.write(&mut out).await?;
            }
            poll_fn(|cx| {
                self.writer.register(cx.waker());
                if lock(&self.outbound).drain(&mut outbox) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    async fn read(&self, mut reader: FrameReader<OwnedReadHalf>) -> Result<()> {
        self.read_hello(&mut reader).await?;
        while let Some(header) = reader.header().await? {
            let inbox = lock(&self.state).channels.get(&header.channel).cloned();
            let Some(inbox) = inbox else {
                return Err(malformed(format!("a {:?} frame for channel {}", header.kind, header.channel)));
            };
            match header.kind {
                Kind::Data => self.read_data(&mut reader, &header, &inbox).await?,
                Kind::Schema => {
                    let body = reader.body(&header, MAX_SCHEMA_BYTES).await?;
                    self.on_schema(&body, &inbox)?;
                }
                Kind::Backlog => {
                    let body = reader.body(&header, MAX_MESSAGE_BYTES).await?;
                    self.on_backlog(&parse(&body)?, &inbox)?;
                }
                Kind::Event => {
                    let body = reader.body(&header, MAX_MESSAGE_BYTES).await?;
                    self.on_event(header.channel, parse(&body)?, &inbox)?;
                }
                Kind::Closed => {
                    let body = reader.body(&header, MAX_MESSAGE_BYTES).await?;
                    let failure: Failure = parse(&body)?;
                    lock(&self.state).channels.remove(&header.channel);
                    inbox.credit().on_end(inbox.index());
                    inbox.fail(failure);
                }
                kind => return Err(malformed(format!("a {kind:?} frame from a producer"))),
            }
        }
        Ok(())
    }

    async fn read_hello(&self, reader: &mut FrameReader<OwnedReadHalf>) -> Result<()> {
        let Some(header) = reader.header().await? else {
            return Ok(());
        };
        if header.kind != Kind::Hello {
            return Err(malformed(format!("a {:?} frame before Hello", header.kind)));
        }
        let hello: Hello = parse(&reader.body(&header, MAX_MESSAGE_BYTES).await?)?;
        let own = self.rules.sizes.segment_bytes;
        if hello.segment_bytes as usize != own {
            return Err(Error::new(
                Code::InvalidConfiguration,
                format!(
                    "taskmanager.memory.segment-size is {} there and {own} here: set the same on all TaskManagers",
                    hello.segment_bytes
                ),
            ));
        }
        Ok(())
    }

    async fn read_data(
        &self,
        reader: &mut FrameReader<OwnedReadHalf>,
        header: &Header,
        inbox: &Arc<Inbox>,
    ) -> Result<()> {
        let sizes = &self.rules.sizes;
        let least = sizes.segments(header.length as usize);
        inbox.credit().check(inbox.index(), least).map_err(malformed)?;
        let body = reader.body(header, self.rules.max_body_bytes).await?;
        let (prefix, _) = decode_prefix(&body).ok_or_else(|| malformed("a data frame without its prefix"))?;
        let cost = prefix.cost as usize;
        if cost < least {
            return Err(malformed(format!("a frame of {least} segments that claims to be {cost}")));
        }
        let demand = self.demand(prefix.backlog, prefix.need)?;
        let batch = decode(body, inbox.schema()).map_err(malformed)?;
        let held = inbox.credit().on_data(inbox.index(), cost, demand).map_err(malformed)?;
        inbox.push(batch.with_permit(Permit::new(held)), cost);
        Ok(())
    }

    fn on_schema(&self, body: &[u8], inbox: &Inbox) -> Result<()> {
        let sent = schema::decode(body)?;
        if sent.fields() != inbox.schema().fields() {
            return Err(malformed(format!(
                "records of {sent} for {} where {} belong",
                inbox.key(),
                inbox.schema()
            )));
        }
        Ok(())
    }

    fn on_backlog(&self, message: &Backlog, inbox: &Inbox) -> Result<()> {
        let demand = self.demand(message.backlog, message.need)?;
        inbox.credit().on_backlog(inbox.index(), demand, message.returned as usize).map_err(malformed)
    }

    fn on_event(&self, channel: u32, event: StreamElement, inbox: &Inbox) -> Result<()> {
        if matches!(event, StreamElement::EndOfInput) {
            lock(&self.state).channels.remove(&channel);
            inbox.credit().on_end(inbox.index());
        }
        if inbox.push_event(event) { Ok(()) } else { Err(malformed("more events than a producer can have")) }
    }

    /// Backlog and need as numbers that a sane producer can have.
    fn demand(&self, backlog: u32, need: u32) -> Result<(usize, usize)> {
        let most = self.rules.sizes.segments(self.rules.max_body_bytes);
        let frame = self.rules.sizes.segments(self.rules.sizes.frame_bytes);
        let (backlog, need) = (backlog as usize, need as usize);
        if need > most {
            return Err(malformed(format!("a record of {need} segments where {most} are allowed")));
        }
        Ok((backlog.min(2 * frame), need))
    }
}

fn parse<M: Message>(body: &[u8]) -> Result<M> {
    M::decode(body).ok_or_else(|| malformed(format!("a {:?} frame that isn't one", M::KIND)))
}

impl Outbound {
    /// Moves messages into frames; false if there are none.
    fn drain(&mut self, outbox: &mut Outbox) -> bool {
        while !outbox.is_full(WRITE_BYTES) {
            if let Some((channel, request)) = self.requests.pop_front() {
                outbox.message(channel, &request);
            } else if let Some(channel) = self.granted.pop_front() {
                let (segments, released_frames) = self.grants.remove(&channel).unwrap_or_default();
                outbox.message(channel, &Credit { segments: segments as u32, released_frames });
            } else if let Some(channel) = self.reclaims.pop_front() {
                outbox.body(Kind::Reclaim, channel, &[]);
            } else if let Some(channel) = self.cancels.pop_front() {
                outbox.body(Kind::Cancel, channel, &[]);
            } else {
                break;
            }
        }
        !outbox.is_empty()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}
