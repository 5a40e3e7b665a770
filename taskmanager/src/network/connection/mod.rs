//! The sockets: one TCP connection per pair of TaskManagers and direction of data, dialled by the consumer.
//!
//! ```text
//! consumer (client)                                 producer (server)
//!   Hello, Request, Credit, Reclaim, Cancel  ───▶
//!                                            ◀───   Hello, Schema, Data, Backlog, Event, Closed
//! ```
//!
//! A connection is one task on the I/O runtime that reads and writes. Whatever breaks the protocol ends the connection, and
//! every channel on it fails with `ConnectionLost`, on both sides.

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod socket;
