//! Typed configuration under Flink's keys.
