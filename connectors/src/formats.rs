//! What bytes mean: JSON lines and Parquet in and out, and rows as text.
//!
//! Knows no files and no runtime: decoders take bytes, encoders append to them.

pub mod calendar;
pub mod float;
pub mod json;
pub mod parquet;
pub mod row;
pub mod text;
pub mod values;
