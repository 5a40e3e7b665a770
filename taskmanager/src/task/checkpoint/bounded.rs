//! A memory of checkpoints that forgets the oldest when it is full: whoever sends nonsense without end fills nothing.

use std::collections::BTreeMap;

/// At most so many entries.
#[derive(Clone, Debug)]
pub(super) struct Bounded<K, V> {
    entries: BTreeMap<K, V>,
    limit: usize,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    pub(super) const fn new(limit: usize) -> Self {
        Self { entries: BTreeMap::new(), limit }
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.entries.insert(key, value);
        if self.entries.len() > self.limit {
            self.entries.pop_first();
        }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    /// Forgets everything up to this key.
    pub(super) fn forget_through(&mut self, key: &K) {
        self.entries.retain(|entry, _| entry > key);
    }
}
