//! Decides which layers of a table are merged, as a problem with a solution.
//!
//! Wanted, and tested with random problems:
//! 1. a chain is at most [`Policy::max_layers`] long after what is planned has been done;
//! 2. a base is at least as large as all above it together, so a chain takes at most twice what a restore needs of it; any other
//!    layer is at least a [`GROWTH`]th as large as all above it, so a chain grows with the logarithm of its size and a byte is
//!    written again about that often, to the base [`GROWTH`] + 1: whatever merges has grown by as much;
//! 3. what isn't the job's own (restored in no-claim mode) is in no chain afterwards;
//! 4. nothing is planned where nothing is wanted.
//!
//! A merge reads layers and makes a new one; it deletes nothing. What a retained snapshot still references stays, as the
//! registry alone says what may go. Pure; sizes are those of the inputs, as nobody knows what a merge will leave.

/// Changes that are merged are at least so many times as large as the oldest layer among them. More would write less often again,
/// and give a restore more to read.
const GROWTH: u64 = 4;

/// When layers are merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// At most so many layers, at least one.
    pub max_layers: usize,
    /// A smaller layer counts as one of this size.
    pub floor_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_layers: 16, floor_bytes: 64 << 10 }
    }
}

/// A layer, as far as planning goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its size.
    pub bytes: u64,
    /// Whether it holds files of somebody else.
    pub foreign: bool,
}

/// What to merge in a chain (the oldest layer first): all layers from the given position on. `None`: nothing. Position 0 makes a
/// new base without tombstones, any other a delta.
#[must_use]
pub fn plan(chain: &[Candidate], policy: Policy) -> Option<usize> {
    let size = |layer: &Candidate| layer.bytes.max(policy.floor_bytes).max(1);
    let mut above = 0u64;
    let mut from = chain.len();
    for (at, layer) in chain.iter().enumerate().rev() {
        let most = if at == 0 { size(layer) } else { size(layer).saturating_mul(GROWTH) };
        if layer.foreign || above > most {
            from = at;
        }
        above = above.saturating_add(size(layer));
    }
    // What is merged counts as one layer.
    let most = policy.max_layers.max(1);
    if chain.len() > most {
        from = from.min(most - 1);
    }
    let single = from + 1 == chain.len() && chain.last().is_some_and(|layer| !layer.foreign);
    (from < chain.len() && !single).then_some(from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { max_layers: 16, floor_bytes: 100 };

    fn apply(chain: &mut Vec<Candidate>, from: usize) -> u64 {
        let bytes = chain.drain(from..).map(|layer| layer.bytes).sum();
        chain.push(Candidate { bytes, foreign: false });
        bytes
    }

    fn size(bytes: u64) -> u64 {
        bytes.max(POLICY.floor_bytes)
    }

    proptest! {
        #[test]
        fn chains_stay_short_and_bytes_are_seldom_written_again(
            deltas in prop::collection::vec(prop_oneof![0..200u64, 0..10_000u64, 0..1_000_000u64], 1..300),
            foreign in any::<bool>(),
        ) {
            let mut chain = vec![Candidate { bytes: deltas[0], foreign }];
            let (mut input, mut written) = (size(deltas[0]), 0);
            if let Some(from) = plan(&chain, POLICY) {
                written += apply(&mut chain, from);
            }
            for &bytes in &deltas[1..] {
                chain.push(Candidate { bytes, foreign: false });
                input += size(bytes);
                if let Some(from) = plan(&chain, POLICY) {
                    prop_assert!(from + 1 < chain.len());
                    written += apply(&mut chain, from);
                }
                prop_assert!(chain.len() <= POLICY.max_layers);
                prop_assert!(!chain.iter().any(|layer| layer.foreign));
                let total: u64 = chain.iter().map(|layer| size(layer.bytes)).sum();
                let base = size(chain[0].bytes);
                prop_assert!(total <= 2 * base, "{} layers of {total} bytes on {base}", chain.len());
                let growths = u64::from((total / POLICY.floor_bytes).max(1).ilog(GROWTH + 1));
                prop_assert!(written <= input * (growths + 4), "{written} written of {input}");
                prop_assert_eq!(plan(&chain, POLICY), None, "a second look changes nothing");
            }
        }
    }

    #[test]
    fn small_changes_to_a_large_base_leave_it_alone() {
        let layer = |bytes| Candidate { bytes, foreign: false };
        assert_eq!(plan(&[], POLICY), None);
        assert_eq!(plan(&[layer(1_000_000)], POLICY), None);
        assert_eq!(plan(&[layer(1_000_000), layer(1000)], POLICY), None);
        let mut changes = vec![layer(1_000_000)];
        changes.extend([layer(1000); 5]);
        assert_eq!(plan(&changes, POLICY), None);
        changes.push(layer(1));
        assert_eq!(plan(&changes, POLICY), Some(1));
        assert_eq!(plan(&[layer(1000), layer(1001)], POLICY), Some(0));
        assert_eq!(plan(&[Candidate { bytes: 1000, foreign: true }, layer(1)], POLICY), Some(0));
    }
}
