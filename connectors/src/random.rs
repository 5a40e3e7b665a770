//! Random numbers as a pure function of (seed, lane, n), so that value n doesn't depend on who computes it or when.
//!
//! SplitMix64 (Steele, Lea, Flood 2014) entered at position n: a lane is a stream of its own. Not for secrets.

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finaliser: a bijection that spreads every bit of `x`.
#[inline]
#[must_use]
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A stream of random numbers that can be entered anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Lane(u64);

impl Lane {
    /// The stream `lane` of `seed`.
    #[must_use]
    pub const fn new(seed: u64, lane: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(GOLDEN_GAMMA)) ^ mix(lane.wrapping_mul(GOLDEN_GAMMA).wrapping_add(1))))
    }

    /// A stream of its own for part `index` of this one.
    #[must_use]
    pub const fn part(self, index: u64) -> Self {
        Self::new(self.0, index)
    }

    /// The stream named `name` of `seed`.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        Self::new(seed, name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| mix(hash ^ u64::from(byte))))
    }

    /// 64 random bits: number `n` of the stream.
    #[inline]
    #[must_use]
    pub const fn bits(self, n: u64) -> u64 {
        mix(self.0.wrapping_add(n.wrapping_mul(GOLDEN_GAMMA)))
    }

    /// Number `n`, uniform in `0..bound`; 0 where the bound is.
    #[inline]
    #[must_use]
    pub const fn below(self, n: u64, bound: u64) -> u64 {
        scale(self.bits(n), bound)
    }

    /// Number `n`, uniform in `[0, 1)`.
    #[inline]
    #[must_use]
    pub const fn unit(self, n: u64) -> f64 {
        (self.bits(n) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Random bits as a number in `0..bound`.
#[inline]
#[must_use]
pub const fn scale(bits: u64, bound: u64) -> u64 {
    ((bits as u128 * bound as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_uniform_and_differ() {
        let (a, b) = (Lane::new(7, 1), Lane::new(7, 2));
        let mut counts = [0_u32; 10];
        let mut same = 0;
        for n in 0..100_000 {
            counts[a.below(n, 10) as usize] += 1;
            same += u32::from(a.below(n, 10) == b.below(n, 10));
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert!((9_600..10_400).contains(&same), "{same}");
        assert_eq!(a.below(5, 0), 0);
    }

    #[test]
    fn the_streams_never_change() {
        assert_eq!(mix(1), 0x5692_161D_100B_05E5);
        assert_eq!(Lane::new(0, 0).bits(0), Lane::new(0, 0).bits(0));
        assert_ne!(Lane::named(0, "a").bits(0), Lane::named(0, "b").bits(0));
    }
}
