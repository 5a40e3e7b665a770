//! The calls into librdkafka that the crate `rdkafka` doesn't offer: messages taken many at a time from one queue that several
//! partitions feed, the epoch of a record's leader, and the ids of topics.
//!
//! Invariant: what librdkafka owns is freed once, and before the client that it came from: [`Queue`] and [`Messages`] keep the
//! client alive. Nothing else of the crate needs `unsafe`.
#![expect(unsafe_code, reason = "a C library; every block says why it may")]

use std::ffi::{CStr, CString, c_void};
use std::os::raw::{c_char, c_int};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;

use super::client::Consumer;

/// A queue that partitions are forwarded to.
pub struct Queue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// Told when the queue is no longer empty; the callback's pointer points into it.
    filled: Arc<Notify>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: likewise, and from several at once.
unsafe impl Sync for Queue {}

impl Queue {
    /// An empty queue of a consumer.
    pub fn new(consumer: Arc<Consumer>) -> Option<Self> {
        // SAFETY: the client is alive; the queue is destroyed in `drop`.
        let queue = NonNull::new(unsafe { native::rd_kafka_queue_new(consumer.client().native_ptr()) })?;
        let filled = Arc::new(Notify::new());
        // SAFETY: `filled` lives until `drop` has taken the callback away.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(notify),
                Arc::as_ptr(&filled).cast_mut().cast::<c_void>(),
            );
        }
        Some(Self { queue, filled, consumer })
    }

    /// What is told when the queue is no longer empty.
    pub fn filled(&self) -> Arc<Notify> {
        Arc::clone(&self.filled)
    }

    /// Lets a partition's messages come here. To be called before the partition is assigned, or its first ones go astray.
    pub fn take_from(&self, topic: &str, partition: i32) -> bool {
        let Ok(topic) = CString::new(topic) else { return false };
        // SAFETY: client, name and queues are alive; the partition's queue is counted by reference and let go again.
        unsafe {
            let source = native::rd_kafka_queue_get_partition(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition,
            );
            if source.is_null() {
                return false;
            }
            native::rd_kafka_queue_forward(source, self.queue.as_ptr());
            native::rd_kafka_queue_destroy(source);
        }
        true
    }

    /// Room for messages of this queue.
    pub fn messages(&self) -> Messages {
        Messages { pointers: Vec::new(), _consumer: Arc::clone(&self.consumer) }
    }

    /// Moves at most `most` of the messages that are there behind those in `messages`; how many there were. Doesn't wait.
    pub fn receive(&self, messages: &mut Messages, most: usize) -> usize {
        let held = messages.pointers.len();
        messages.pointers.reserve(most);
        // SAFETY: the vector has room for `most` pointers behind its length, of which librdkafka fills the first `count`.
        unsafe {
            let free = messages.pointers.as_mut_ptr().add(held);
            let count = native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, free, most);
            let count = usize::try_from(count).unwrap_or(0).min(most);
            messages.pointers.set_len(held + count);
            count
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the callback runs under the queue's lock, so it isn't running once it has been taken away.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, std::ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

unsafe extern "C" fn notify(_client: *mut native::rd_kafka_t, filled: *mut c_void) {
    // SAFETY: `Queue` gave a pointer to its `Notify`, which outlives the callback.
    unsafe { &*filled.cast::<Notify>() }.notify_one();
}

/// Messages taken from a queue; they go back when this is cleared or dropped.
pub struct Messages {
    pointers: Vec<*mut native::rd_kafka_message_t>,
    /// Messages must go before their client does.
    _consumer: Arc<Consumer>,
}

// SAFETY: messages may be read and freed from any thread.
unsafe impl Send for Messages {}

impl Messages {
    /// The one at a position.
    pub fn get(&self, index: usize) -> Option<Message<'_>> {
        // SAFETY: the pointers are valid and unchanged until `clear`.
        self.pointers.get(index).map(|pointer| Message(unsafe { &**pointer }))
    }

    /// Gives them back.
    pub fn clear(&mut self) {
        for pointer in self.pointers.drain(..) {
            // SAFETY: each comes from `rd_kafka_consume_batch_queue` and is let go once.
            unsafe { native::rd_kafka_message_destroy(pointer) };
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What kind of time a record carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampType {
    /// None.
    None,
    /// When it was made.
    Create,
    /// When the broker took it.
    LogAppend,
}

/// One message: a record, or an error of its partition.
#[derive(Clone, Copy)]
pub struct Message<'a>(&'a native::rd_kafka_message_t);

impl<'a> Message<'a> {
    /// The error, if it is one.
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = RDKafkaErrorCode::from(self.0.err);
        (error != RDKafkaErrorCode::NoError).then_some(error)
    }

    /// What librdkafka says about the error.
    pub fn error_text(&self) -> String {
        // SAFETY: the text belongs to the message, or is a constant.
        unsafe { text(native::rd_kafka_message_errstr(self.0)) }
    }

    /// A number that stands for the topic as long as the consumer reads it.
    pub fn topic_key(&self) -> usize {
        self.0.rkt as usize
    }

    /// The topic's name.
    pub fn topic(&self) -> String {
        if self.0.rkt.is_null() {
            return String::new();
        }
        // SAFETY: the message holds its topic.
        unsafe { text(native::rd_kafka_topic_name(self.0.rkt)) }
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    /// The record's offset, or that at which the error came.
    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    /// The value; none for a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: pointer and length belong together and live as long as the message.
        unsafe { slice(self.0.payload, self.0.len) }
    }

    /// The key.
    pub fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: as above.
        unsafe { slice(self.0.key, self.0.key_len) }
    }

    /// Milliseconds since 1970 and what they say.
    pub fn timestamp(&self) -> (i64, TimestampType) {
        use native::rd_kafka_timestamp_type_t as Type;
        let mut kind = Type::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: `kind` is where the answer's second half goes.
        let millis = unsafe { native::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        let kind = match kind {
            Type::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => TimestampType::None,
            Type::RD_KAFKA_TIMESTAMP_CREATE_TIME => TimestampType::Create,
            Type::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => TimestampType::LogAppend,
        };
        (millis, kind)
    }

    /// The epoch of the leader that wrote it.
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is alive.
        Some(unsafe { native::rd_kafka_message_leader_epoch(self.0) }).filter(|epoch| *epoch >= 0)
    }

    /// Its headers, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut headers = std::ptr::null_mut();
        // SAFETY: librdkafka writes the pointer only where it answers without an error; headers live as long as the message.
        let error = unsafe {
            native::rd_kafka_message_headers(std::ptr::from_ref(self.0).cast_mut(), &raw mut headers)
        };
        let is_none = error != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        (0..).map_while(move |index| {
            if is_none {
                return None;
            }
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: the three are where the answer goes; past the last header the answer is an error.
            unsafe {
                let error = native::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                );
                if error != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                    return None;
                }
                Some((CStr::from_ptr(name).to_bytes(), slice(value, size)))
            }
        })
    }
}

/// # Safety
/// `start` is null or points to `length` bytes that live for `'a`.
unsafe fn slice<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

/// # Safety
/// `start` is null or a C string.
unsafe fn text(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned()
}

/// A topic as the cluster knows it now.
#[derive(Clone, Debug)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// Its id, which a topic of the same name that is created later doesn't share; none from brokers before 2.8.
    pub id: Option<String>,
    /// Why there is no such topic.
    pub error: Option<RDKafkaErrorCode>,
}

/// Asks for topics by name; blocks for at most `timeout` and a little.
pub fn describe_topics(
    consumer: &Consumer,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<TopicState>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX / 2);
    let client = consumer.client().native_ptr();
    // SAFETY: everything made here is destroyed below, after its last use; names outlive the request, which copies them.
    unsafe {
        let options = native::rd_kafka_AdminOptions_new(
            client,
            native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut error = [0; 256];
        native::rd_kafka_AdminOptions_set_request_timeout(options, millis, error.as_mut_ptr(), error.len());
        let wanted = native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let queue = native::rd_kafka_queue_new(client);
        native::rd_kafka_DescribeTopics(client, wanted, options, queue);
        native::rd_kafka_TopicCollection_destroy(wanted);
        native::rd_kafka_AdminOptions_destroy(options);
        let event = native::rd_kafka_queue_poll(queue, millis.saturating_add(1000));
        let answer = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            let answer = described(event);
            native::rd_kafka_event_destroy(event);
            answer
        };
        native::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `event` is the answer to DescribeTopics.
unsafe fn described(event: *mut native::rd_kafka_event_t) -> Result<Vec<TopicState>, RDKafkaErrorCode> {
    // SAFETY: the result and all in it belong to the event, which the caller keeps.
    unsafe {
        let error = RDKafkaErrorCode::from(native::rd_kafka_event_error(event));
        if error != RDKafkaErrorCode::NoError {
            return Err(error);
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let states = (0..count).map(|index| {
            let topic = *topics.add(index);
            let error = native::rd_kafka_TopicDescription_error(topic);
            let error = (!error.is_null())
                .then(|| RDKafkaErrorCode::from(native::rd_kafka_error_code(error)))
                .filter(|error| *error != RDKafkaErrorCode::NoError);
            let id = native::rd_kafka_TopicDescription_topic_id(topic);
            let has_id = !id.is_null()
                && (native::rd_kafka_Uuid_most_significant_bits(id) != 0
                    || native::rd_kafka_Uuid_least_significant_bits(id) != 0);
            TopicState {
                name: text(native::rd_kafka_TopicDescription_name(topic)),
                id: (has_id && error.is_none()).then(|| text(native::rd_kafka_Uuid_base64str(id))),
                error,
            }
        });
        Ok(states.collect())
    }
}
