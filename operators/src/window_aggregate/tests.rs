//! Windowed aggregation against a model that goes row by row, and cases worth a name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod cases;
mod harness;
mod model;
mod properties;
mod state;
