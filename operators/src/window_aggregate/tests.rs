//! Windowed aggregation against a model that goes row by row, and cases worth a name.

mod cases;
mod harness;
mod model;
mod properties;
mod state;
