//! Running aggregates against a model that walks rows: random batches, freezes, restores, parallelisms.

mod cases;
mod harness;
mod model;
mod properties;
