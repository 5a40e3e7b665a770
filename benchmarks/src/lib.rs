//! weir-benchmarks
