//! How much memory the data plane may hold and how patient it is.
//!
//! Invariant: [`Options::validated`] has been called before a value is used, so no size is zero and the pool holds at least one
//! frame. It doesn't know Flink's configuration keys: whoever reads the configuration fills this in.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use weir_api::error::{Code, Error, Result};

use super::outgoing::Sizes;

/// What a frame's body may take besides its records: metadata, padding.
pub(crate) const FRAME_SLACK_BYTES: usize = 64 << 10;

/// Options of the data plane. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where other TaskManagers connect to; port 0 picks a free one.
    pub bind_address: SocketAddr,
    /// All data in flight in this process: `taskmanager.memory.network.*`.
    pub pool_bytes: usize,
    /// The unit of credit: `taskmanager.memory.segment-size`. Both ends of a connection must agree on it.
    pub segment_bytes: usize,
    /// Segments that an input channel owns: `taskmanager.network.memory.buffers-per-channel`.
    pub exclusive_buffers_per_channel: usize,
    /// Segments that the channels of a gate share: `taskmanager.network.memory.floating-buffers-per-gate`.
    pub floating_buffers_per_gate: usize,
    /// What a subpartition may queue beyond which its producer is held back.
    pub max_buffers_per_channel: usize,
    /// The largest record that crosses the network.
    pub max_record_bytes: usize,
    /// The aim for one frame's body.
    pub frame_bytes: usize,
    /// How long a consumer waits for a producer that isn't deployed yet, and the other way round.
    pub partition_timeout: Duration,
    /// How long dialling another TaskManager may take, retries included.
    pub connect_timeout: Duration,
    /// The most connections that are accepted at a time.
    pub max_connections: usize,
    /// The most requests that wait for a partition that isn't deployed yet.
    pub max_waiting_requests: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            pool_bytes: 64 << 20,
            segment_bytes: 32 << 10,
            exclusive_buffers_per_channel: 2,
            floating_buffers_per_gate: 8,
            max_buffers_per_channel: 10,
            max_record_bytes: 16 << 20,
            frame_bytes: 256 << 10,
            partition_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_connections: 1024,
            max_waiting_requests: 65_536,
        }
    }
}

impl Options {
    /// Refuses sizes with which nothing could move.
    pub fn validated(self) -> Result<Self> {
        let problem = if !(1 << 10..=1 << 20).contains(&self.segment_bytes) {
            Some(format!("a segment of {} bytes is not within 1 KiB..=1 MiB", self.segment_bytes))
        } else if self.frame_bytes < self.segment_bytes || self.frame_bytes > 4 << 20 {
            Some(format!("a frame of {} bytes is not within one segment..=4 MiB", self.frame_bytes))
        } else if self.pool_bytes < self.frame_bytes {
            Some(format!("a pool of {} bytes doesn't hold one frame", self.pool_bytes))
        } else if self.max_record_bytes < self.segment_bytes || self.max_record_bytes > 256 << 20 {
            Some(format!(
                "a largest record of {} bytes is not within one segment..=256 MiB",
                self.max_record_bytes
            ))
        } else if self.floating_buffers_per_gate == 0 || self.max_buffers_per_channel == 0 {
            Some("a gate needs at least one floating buffer, a channel at least one buffer".to_owned())
        } else {
            None
        };
        match problem {
            Some(problem) => {
                Err(Error::new(Code::InvalidConfiguration, format!("network memory: {problem}")))
            }
            None => Ok(self),
        }
    }

    /// How many segments the pool has.
    #[must_use]
    pub const fn pool_segments(&self) -> usize {
        self.pool_bytes / self.segment_bytes
    }

    pub(crate) const fn sizes(&self) -> Sizes {
        Sizes { segment_bytes: self.segment_bytes, frame_bytes: self.frame_bytes }
    }
}
