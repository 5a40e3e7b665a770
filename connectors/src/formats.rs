//! What bytes mean: records (JSON, CSV, raw) and Parquet in and out, and rows as text.
//!
//! Knows no files and no runtime: decoders take bytes, encoders append to them.

pub mod calendar;
pub mod csv;
pub mod float;
pub mod format;
pub mod json;
pub mod options;
pub mod parquet;
pub mod raw;
pub mod record;
pub mod row;
pub mod text;
pub mod values;
