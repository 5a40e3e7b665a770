//! The data plane: how batches get from the task that made them to the tasks that read them.
//!
//! ```text
//! task ─▶ ResultPartition ─▶ Subpartition ─────────(this process)────────▶ InputGate ─▶ task
//!                                  └─▶ connection ══ TCP, credit ══▶ inbox ─────┘
//! ```
//!
//! Owns: the pool that bounds data in flight, partitioning, credit, the frames on the wire, the sockets. Doesn't own: tasks,
//! operators, what a job is. Within a process batches pass as `Arc`s; between processes as Arrow IPC in frames.
//!
//! Read next: [`partition`] and [`gate`] for what tasks hold, [`pool`] and [`charge`] for memory, [`registry`] for how two ends
//! meet.

mod accumulator;
mod charge;
mod connection;
mod credit;
mod failure;
mod gate;
mod gate_credit;
mod id;
mod inbox;
mod measure;
mod options;
mod outgoing;
mod partition;
mod partitioner;
mod pool;
mod queue;
mod ready;
mod registry;
mod service;
mod subpartition;
mod supervisor;
mod wire;

#[cfg(test)]
mod tests;

pub use gate::InputGate;
pub use id::{ChannelIndex, ChannelKey, GateId, GateSpec, Location, PartitionId, PartitionSpec, Source};
pub use options::Options;
pub use partition::ResultPartition;
pub use service::{Handle, Network, PoolUsage};
