//! Decides whose silence has lasted too long.
//!
//! Invariant: nobody is called silent before a whole timeout has passed *in which this process was awake*: when the process
//! itself was stopped (SIGSTOP, a suspended laptop), the pause is given back, because the heartbeats of that time still wait in
//! sockets. It knows no connection and sends nothing.

use std::collections::BTreeMap;
use std::time::Duration;

/// Watches peers of type `K`.
#[derive(Debug)]
pub struct Monitor<K> {
    timeout_millis: u64,
    last: BTreeMap<K, u64>,
}

impl<K: Ord + Clone> Monitor<K> {
    /// A monitor that calls a peer silent after `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout_millis: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1),
            last: BTreeMap::new(),
        }
    }

    /// The peer gave a sign of life, or starts to be watched.
    pub fn beat(&mut self, peer: K, now_millis: u64) {
        let last = self.last.entry(peer).or_insert(now_millis);
        *last = now_millis.max(*last);
    }

    /// The peer is watched no longer.
    pub fn forget(&mut self, peer: &K) {
        self.last.remove(peer);
    }

    /// This process slept for so long: nobody's silence in that time counts.
    pub fn pardon(&mut self, pause_millis: u64) {
        for last in self.last.values_mut() {
            *last = last.saturating_add(pause_millis);
        }
    }

    /// Takes out and returns the peers that have been silent too long.
    pub fn silent(&mut self, now_millis: u64) -> Vec<K> {
        let timeout = self.timeout_millis;
        let silent: Vec<K> = self
            .last
            .iter()
            .filter(|(_, last)| now_millis.saturating_sub(**last) >= timeout)
            .map(|(peer, _)| peer.clone())
            .collect();
        for peer in &silent {
            self.last.remove(peer);
        }
        silent
    }

    /// When the next peer will have been silent too long.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.last.values().min().map(|last| last.saturating_add(self.timeout_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_last_beat() {
        let mut monitor = Monitor::new(Duration::from_millis(50));
        monitor.beat("a", 0);
        monitor.beat("b", 0);
        monitor.beat("a", 40);
        assert_eq!(monitor.next_deadline(), Some(50));
        assert!(monitor.silent(49).is_empty());
        assert_eq!(monitor.silent(50), ["b"]);
        assert!(monitor.silent(89).is_empty(), "b was taken out, a still has time");
        assert_eq!(monitor.silent(90), ["a"]);
        assert_eq!(monitor.next_deadline(), None);
    }

    #[test]
    fn a_pause_of_this_process_is_nobodys_silence() {
        let mut monitor = Monitor::new(Duration::from_millis(50));
        monitor.beat("a", 0);
        monitor.pardon(1_000);
        assert!(monitor.silent(1_040).is_empty());
        assert_eq!(monitor.silent(1_050), ["a"]);
    }
}
