//! Breaks a running cluster on purpose and judges what it wrote. Links nothing of the engine.

fn main() {}
