//! Rows per second of the generators, one thread.
fn main() {}
