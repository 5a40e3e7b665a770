//! What a job is: the vocabulary that every other crate speaks.
//!
//! Owns: identifiers, batches and stream elements, event time and watermarks, key encoding and key groups, the job graph, the
//! traits of operators, sources, sinks, state and connectors, typed configuration, errors. Does not own: any implementation of
//! an operator or a connector, SQL, sockets, or scheduling. Everything here is pure, without clock and I/O, but for [`storage`],
//! which hands out the clients of object stores, and [`fail_point`], which a test's environment arms.
//!
//! Read next: [`element`] for what flows, [`operator`] for what computes, [`graph`] for what is planned.

pub mod batch;
pub mod clock;
pub mod config;
pub mod connector;
pub mod element;
pub mod error;
pub mod fail_point;
pub mod graph;
pub mod id;
pub mod key;
pub mod metrics;
pub mod operator;
pub mod output;
pub mod schema;
pub mod side_output;
pub mod sink;
pub mod source;
pub mod state;
pub mod storage;
pub mod watermark;

pub use batch::Batch;
pub use element::StreamElement;
pub use error::{Error, Result};
