//! Which kind event n is, and which ids exist by then. Pure arithmetic on the number of an event.
//!
//! Events come in rounds: first the persons, then the auctions, then the bids of the round.

use std::ops::Range;

use super::options::Settings;
use crate::random::Lane;

/// The first auction's id.
pub const FIRST_AUCTION_ID: i64 = 1000;
/// The first person's id.
pub const FIRST_PERSON_ID: i64 = 1000;

/// Hot auctions, bidders and sellers are one in so many ids.
const HOT_STRIDE: u64 = 100;
/// Auctions that bids can be for, before the newest.
const IN_FLIGHT_AUCTIONS: u64 = 100;
/// Persons that can be active.
const ACTIVE_PEOPLE: u64 = 1000;
/// Ids that may be named before they exist.
const ID_LEAD: u64 = 10;

/// What an event is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Kind {
    /// A new person.
    Person = 0,
    /// A new auction.
    Auction = 1,
    /// A new bid.
    Bid = 2,
}

impl Kind {
    /// All kinds, in the order of a round.
    pub const ALL: [Self; 3] = [Self::Person, Self::Auction, Self::Bid];
}

/// Consecutive events of one kind in one round.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// What they are.
    pub kind: Kind,
    /// Number of the first.
    pub first: u64,
    /// How many.
    pub len: usize,
    /// Newest auction (from 0) at the first event; for a run of auctions it grows by one with each.
    pub last_auction: u64,
    /// Newest person, likewise.
    pub last_person: u64,
}

impl Run {
    /// The numbers of its events.
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.first + self.len as u64
    }
}

/// The kinds and ids of events.
#[derive(Clone, Debug)]
pub struct Rounds {
    starts: [u64; 3],
    ends: [u64; 3],
    proportions: [u64; 3],
    total: u64,
}

impl Rounds {
    /// The rounds of these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let [persons, auctions, bids] = settings.proportions;
        let starts = [0, persons, persons + auctions];
        let ends = [persons, persons + auctions, persons + auctions + bids];
        Self { starts, ends, proportions: settings.proportions, total: settings.round() }
    }

    /// Appends the runs of the wanted kinds in these events, which lie in as many rounds as they like.
    pub fn runs(&self, piece: Range<u64>, wanted: [bool; 3], runs: &mut Vec<Run>) {
        let mut at = piece.start;
        while at < piece.end {
            let round = at / self.total;
            let base = round * self.total;
            let end = piece.end.min(base + self.total);
            for kind in Kind::ALL {
                let index = kind as usize;
                let first = at.max(base + self.starts[index]);
                let last = end.min(base + self.ends[index]);
                if wanted[index] && first < last {
                    runs.push(self.run(kind, round, first - base, first, (last - first) as usize));
                }
            }
            at = end;
        }
    }

    fn run(&self, kind: Kind, round: u64, offset: u64, first: u64, len: usize) -> Run {
        let [persons, auctions, _] = self.proportions;
        let last_auction = match kind {
            Kind::Person => (round * auctions).saturating_sub(1),
            Kind::Auction => round * auctions + offset - self.starts[1],
            Kind::Bid => ((round + 1) * auctions).saturating_sub(1),
        };
        let last_person = match kind {
            Kind::Person => round * persons + offset,
            Kind::Auction | Kind::Bid => ((round + 1) * persons).saturating_sub(1),
        };
        Run { kind, first, len, last_auction, last_person }
    }

    /// In how many events the auctions in flight have all been replaced.
    #[must_use]
    pub fn horizon(&self) -> u64 {
        IN_FLIGHT_AUCTIONS * self.total / self.proportions[1].max(1)
    }
}

/// The hot auction when `last` is the newest.
#[inline]
#[must_use]
pub const fn hot_auction(last: u64) -> i64 {
    (last / HOT_STRIDE * HOT_STRIDE) as i64 + FIRST_AUCTION_ID
}

/// The hot seller when `last` is the newest person.
#[inline]
#[must_use]
pub const fn hot_seller(last: u64) -> i64 {
    (last / HOT_STRIDE * HOT_STRIDE) as i64 + FIRST_PERSON_ID
}

/// The hot bidder: never the hot seller.
#[inline]
#[must_use]
pub const fn hot_bidder(last: u64) -> i64 {
    hot_seller(last) + 1
}

/// Any auction in flight or about to be.
#[inline]
#[must_use]
pub const fn any_auction(last: u64, lane: Lane, n: u64) -> i64 {
    let oldest = last.saturating_sub(IN_FLIGHT_AUCTIONS);
    (oldest + lane.below(n, last - oldest + 1 + ID_LEAD)) as i64 + FIRST_AUCTION_ID
}

/// Any active person, or one about to be.
#[inline]
#[must_use]
pub const fn any_person(last: u64, lane: Lane, n: u64) -> i64 {
    let people = last + 1;
    let active = if people < ACTIVE_PEOPLE { people } else { ACTIVE_PEOPLE };
    (people - active + lane.below(n, active + ID_LEAD)) as i64 + FIRST_PERSON_ID
}
