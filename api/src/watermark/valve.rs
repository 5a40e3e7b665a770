//! Merges the watermarks of an input's channels into one that never goes back.

/// placeholder
#[derive(Debug)]
pub struct Valve;
