//! What a TaskManager tells about itself: to the JobManager about every second, and to Prometheus when asked.
//!
//! Owns: taking samples, rates, the text format, the process's own figures. Does not own the counters, which tasks keep
//! (`task::metrics`), nor what becomes of a report.

mod process;
mod prometheus;
mod sampler;
mod server;

pub(crate) use process::{cpu_cores, host_name, physical_memory_bytes, process_metrics};
pub(crate) use prometheus::Labels;
pub(crate) use sampler::{Sample, Sampler};
pub(crate) use server::{Process, serve};
