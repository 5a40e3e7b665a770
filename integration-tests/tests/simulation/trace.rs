//! What happened in a run: a hash of it always, in words when somebody wants to read it.
//!
//! Invariant: two runs of one seed have the same hash, or the simulation depends on something that it must not depend on.

/// See the module.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    in_words: bool,
}

impl Trace {
    pub(crate) fn new(in_words: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, in_words }
    }

    /// Something has happened.
    pub(crate) fn note(&mut self, now: u64, what: u64, detail: u64) {
        for part in [now, what, detail] {
            self.hash = (self.hash ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        self.events += 1;
    }

    /// Says it in words, where they are wanted.
    pub(crate) fn say(&self, now: u64, words: impl FnOnce() -> String) {
        if self.in_words {
            eprintln!("{now:>7} {}", words());
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }
}
