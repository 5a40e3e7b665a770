//! A map that remembers: what a key held at any version.
//!
//! Invariant: taking a version costs nothing, and what is overwritten within one version is forgotten; so a text of
//! declarations alone keeps one value a key.

use std::collections::BTreeMap;

/// Values by key and version.
#[derive(Clone, Debug)]
pub(super) struct History<K, V> {
    entries: BTreeMap<K, Vec<(u64, Option<V>)>>,
    /// How many keys hold a value now.
    present: usize,
}

impl<K, V> Default for History<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), present: 0 }
    }
}

impl<K: Ord, V> History<K, V> {
    /// What a key held at a version.
    pub(super) fn find(&self, key: &K, version: u64) -> Option<&V> {
        let values = self.entries.get(key)?;
        let behind = values.partition_point(|(since, _)| *since <= version);
        values.get(behind.checked_sub(1)?)?.1.as_ref()
    }

    /// What a key holds.
    pub(super) fn latest(&self, key: &K) -> Option<&V> {
        self.entries.get(key)?.last()?.1.as_ref()
    }

    /// How many values earlier versions keep under a key.
    pub(super) fn kept(&self, key: &K, version: u64) -> usize {
        let Some(values) = self.entries.get(key) else { return 0 };
        values.iter().filter(|(since, value)| *since < version && value.is_some()).count()
    }

    /// Sets or removes a value from `version` on, which isn't before any version set so far.
    pub(super) fn put(&mut self, key: K, version: u64, value: Option<V>) {
        let values = self.entries.entry(key).or_default();
        let before = values.last().is_some_and(|(_, value)| value.is_some());
        match (before, value.is_some()) {
            (false, true) => self.present += 1,
            (true, false) => self.present = self.present.saturating_sub(1),
            _ => {}
        }
        match values.last_mut() {
            Some((since, last)) if *since == version => *last = value,
            _ => values.push((version, value)),
        }
    }

    /// How many keys hold a value.
    pub(super) const fn len(&self) -> usize {
        self.present
    }

    /// The keys that hold a value, and what.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().filter_map(|(key, values)| Some((key, values.last()?.1.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_see_what_was_there() {
        let mut history = History::default();
        history.put("a", 0, Some(1));
        history.put("a", 0, Some(2));
        history.put("a", 3, None);
        history.put("a", 5, Some(4));
        let at = |version| history.find(&"a", version).copied();
        assert_eq!(
            [at(0), at(2), at(3), at(4), at(5), at(u64::MAX)],
            [Some(2), Some(2), None, None, Some(4), Some(4)]
        );
        assert_eq!((history.len(), history.kept(&"a", 5), history.kept(&"a", 0)), (1, 1, 0));
        assert_eq!(history.find(&"b", 9), None);
        history.put("a", 5, None);
        assert_eq!((history.len(), history.iter().count()), (0, 0));
    }
}
