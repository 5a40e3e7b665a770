//! The columns of an auction.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use weir_api::error::{Error, Result};

use super::clockwork::Clockwork;
use super::columns::Events;
use super::events::{self, FIRST_AUCTION_ID, Kind, Rounds, Run};
use super::options::Settings;
use super::prices::Prices;
use super::texts::{ExtraLength, Pool};
use crate::random::Lane;

const FIRST_CATEGORY: i64 = 10;
const CATEGORIES: u64 = 5;
/// The shortest text.
const SHORTEST: u64 = 3;
/// Texts are shorter than this.
const NAME_BELOW: u64 = 20;
const DESCRIPTION_BELOW: u64 = 100;
/// Bytes of the numbers and the times, as Nexmark counts them.
const FIXED_SIZE: u64 = 8 * 6;

/// Makes the columns of auctions.
pub struct Auctions {
    hot_sellers: u64,
    seller_is_hot: Lane,
    seller: Lane,
    category: Lane,
    initial_bid: Lane,
    reserve: Lane,
    expires: Lane,
    name: Lane,
    description: Lane,
    horizon: u64,
    prices: Prices,
    extra: ExtraLength,
    pool: Pool,
}

impl Auctions {
    /// For these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let lane = |name| Lane::named(settings.seed, name);
        let extra = ExtraLength::new(settings.average_sizes[1], lane("auction.extra.length"));
        Self {
            hot_sellers: settings.hot_sellers,
            seller_is_hot: lane("auction.seller.hot"),
            seller: lane("auction.seller"),
            category: lane("auction.category"),
            initial_bid: lane("auction.initialBid"),
            reserve: lane("auction.reserve"),
            expires: lane("auction.expires"),
            name: lane("auction.itemName"),
            description: lane("auction.description"),
            horizon: Rounds::new(settings).horizon(),
            prices: Prices::new(),
            pool: Pool::new(lane("auction.extra"), extra.longest()),
            extra,
        }
    }

    /// The field `name` of the auctions among `events`.
    pub fn column(
        &self,
        name: &str,
        events: &Events<'_>,
        nulls: Option<NullBuffer>,
        clock: &Clockwork,
    ) -> Result<ArrayRef> {
        let kind = Kind::Auction;
        let initial_bid = |n| self.prices.price(self.initial_bid, n);
        Ok(match name {
            "id" => events.longs(kind, nulls, |run| {
                let (first, id) = (run.first, run.last_auction as i64 + FIRST_AUCTION_ID);
                move |n| id + (n - first) as i64
            }),
            "initialBid" => events.longs(kind, nulls, |_| initial_bid),
            "reserve" => {
                events.longs(kind, nulls, |_| |n| initial_bid(n) + self.prices.price(self.reserve, n))
            }
            "dateTime" => events.times(kind, nulls, |_| |n| clock.millis(n)),
            "expires" => events.times(kind, nulls, |_| |n| self.expires(n, clock)),
            "seller" => events.longs(kind, nulls, |run| self.seller(run)),
            "category" => {
                events.longs(kind, nulls, |_| |n| FIRST_CATEGORY + self.category.below(n, CATEGORIES) as i64)
            }
            "itemName" => events.texts(kind, nulls, NAME_BELOW as usize, |texts, n| {
                texts.extend_letters(self.name, n, length(self.name, n, NAME_BELOW) as usize, true);
            })?,
            "description" => events.texts(kind, nulls, DESCRIPTION_BELOW as usize, |texts, n| {
                texts.extend_letters(
                    self.description,
                    n,
                    length(self.description, n, DESCRIPTION_BELOW) as usize,
                    true,
                );
            })?,
            "extra" => events.texts(kind, nulls, self.extra.longest(), |texts, n| {
                let size = FIXED_SIZE
                    + length(self.name, n, NAME_BELOW)
                    + length(self.description, n, DESCRIPTION_BELOW);
                self.pool.cut(texts, n, self.extra.of(n, size));
            })?,
            other => return Err(Error::internal(format!("nexmark has no field auction.{other}"))),
        })
    }

    fn seller(&self, run: Run) -> impl Fn(u64) -> i64 + use<> {
        let (last, hot) = (run.last_person, events::hot_seller(run.last_person));
        let (ratio, is_hot, lane) = (self.hot_sellers, self.seller_is_hot, self.seller);
        move |n| {
            let any = events::any_person(last, lane, n);
            if is_hot.below(n, ratio) > 0 { hot } else { any }
        }
    }

    /// On average when the auctions in flight have been replaced.
    fn expires(&self, n: u64, clock: &Clockwork) -> i64 {
        let now = clock.millis(n);
        let horizon = (clock.millis(n + self.horizon) - now).max(0) as u64;
        now + 1 + self.expires.below(n, (horizon * 2).max(1)) as i64
    }
}

/// The length of a text in `SHORTEST..below`.
fn length(lane: Lane, n: u64, below: u64) -> u64 {
    SHORTEST + lane.part(u64::MAX).below(n, below - SHORTEST)
}
