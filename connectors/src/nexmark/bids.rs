//! The columns of a bid.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use weir_api::error::{Error, Result};

use super::clockwork::Clockwork;
use super::columns::Events;
use super::events::{self, Kind, Run};
use super::options::Settings;
use super::prices::Prices;
use super::texts::{ExtraLength, Pool, Texts};
use crate::random::{Lane, scale};

/// Channels that half of the bids come through.
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
/// The other channels.
const CHANNELS: u64 = 10_000;
/// Of so many other channels one has no id in its URL.
const WITHOUT_ID: u64 = 10;
/// Bytes of the numbers and the time.
const FIXED_SIZE: u64 = 8 + 8 + 8 + 8;

/// A channel's name or URL, padded to the width that it is copied at.
type Padded<const N: usize> = ([u8; N], u8);

fn padded<const N: usize>(text: &[u8]) -> Padded<N> {
    let mut bytes = [0; N];
    let len = text.len().min(N);
    bytes[..len].copy_from_slice(&text[..len]);
    (bytes, len as u8)
}

/// Makes the columns of bids.
pub struct Bids {
    hot_auctions: u64,
    hot_bidders: u64,
    auction_is_hot: Lane,
    auction: Lane,
    bidder_is_hot: Lane,
    bidder: Lane,
    price: Lane,
    channel: Lane,
    prices: Prices,
    channels: Vec<Padded<16>>,
    urls: Vec<Padded<80>>,
    extra: ExtraLength,
    pool: Pool,
}

impl Bids {
    /// For these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let lane = |name| Lane::named(settings.seed, name);
        let extra = ExtraLength::new(settings.average_sizes[2], lane("bid.extra.length"));
        let mut channels: Vec<_> = HOT_CHANNELS.iter().map(|name| padded(name.as_bytes())).collect();
        channels.extend((0..CHANNELS).map(|number| padded(format!("channel-{number}").as_bytes())));
        let words = lane("bid.url");
        Self {
            hot_auctions: settings.hot_auctions,
            hot_bidders: settings.hot_bidders,
            auction_is_hot: lane("bid.auction.hot"),
            auction: lane("bid.auction"),
            bidder_is_hot: lane("bid.bidder.hot"),
            bidder: lane("bid.bidder"),
            price: lane("bid.price"),
            channel: lane("bid.channel"),
            prices: Prices::new(),
            urls: (0..channels.len() as u64).map(|index| url(words, index)).collect(),
            channels,
            pool: Pool::new(lane("bid.extra"), extra.longest()),
            extra,
        }
    }

    /// The field `name` of the bids among `events`.
    pub fn column(
        &self,
        name: &str,
        events: &Events<'_>,
        nulls: Option<NullBuffer>,
        clock: &Clockwork,
    ) -> Result<ArrayRef> {
        let kind = Kind::Bid;
        Ok(match name {
            "auction" => events.longs(kind, nulls, |run| self.auction(run)),
            "bidder" => events.longs(kind, nulls, |run| self.bidder(run)),
            "price" => events.longs(kind, nulls, |_| |n| self.prices.price(self.price, n)),
            "dateTime" => events.times(kind, nulls, |_| |n| clock.millis(n)),
            "channel" => self.padded_texts(&self.channels, events, nulls)?,
            "url" => self.padded_texts(&self.urls, events, nulls)?,
            "extra" => {
                let average = self.extra.longest().saturating_sub(FIXED_SIZE as usize);
                events.texts(kind, nulls, average, |texts, n| {
                    self.pool.cut(texts, n, self.extra.of(n, FIXED_SIZE))
                })?
            }
            other => return Err(Error::internal(format!("nexmark has no field bid.{other}"))),
        })
    }

    fn auction(&self, run: Run) -> impl Fn(u64) -> i64 + use<> {
        let (last, hot) = (run.last_auction, events::hot_auction(run.last_auction));
        let (ratio, is_hot, lane) = (self.hot_auctions, self.auction_is_hot, self.auction);
        move |n| {
            let any = events::any_auction(last, lane, n);
            if is_hot.below(n, ratio) > 0 { hot } else { any }
        }
    }

    fn bidder(&self, run: Run) -> impl Fn(u64) -> i64 + use<> {
        let (last, hot) = (run.last_person, events::hot_bidder(run.last_person));
        let (ratio, is_hot, lane) = (self.hot_bidders, self.bidder_is_hot, self.bidder);
        move |n| {
            let any = events::any_person(last, lane, n);
            if is_hot.below(n, ratio) > 0 { hot } else { any }
        }
    }

    /// Position of event `n`'s channel: one bit says whether it is hot, the others which.
    #[inline]
    fn channel_index(&self, n: u64) -> usize {
        let bits = self.channel.bits(n);
        let (hot, which) = (bits & 1 == 1, bits & !1);
        let hot_index = scale(which, HOT_CHANNELS.len() as u64);
        let other_index = HOT_CHANNELS.len() as u64 + scale(which, CHANNELS);
        (if hot { hot_index } else { other_index }) as usize
    }

    fn padded_texts<const N: usize>(
        &self,
        table: &[Padded<N>],
        events: &Events<'_>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        events.texts(Kind::Bid, nulls, N, |texts, n| {
            if let Some((bytes, len)) = table.get(self.channel_index(n)) {
                texts.extend_fixed(bytes, usize::from(*len));
            }
        })
    }
}

/// The URL of channel `index`: three words of its own and, for most that aren't hot, its id.
fn url(words: Lane, index: u64) -> Padded<80> {
    let mut text = Vec::with_capacity(80);
    text.extend_from_slice(b"https://www.nexmark.com/");
    for part in 0..3 {
        let lane = words.part(part);
        let mut word = Texts::with_capacity(1, 8);
        word.extend_letters(lane, index, 3 + lane.part(99).below(index, 2) as usize, false);
        text.extend_from_slice(word.bytes());
        text.push(b'/');
    }
    text.extend_from_slice(b"item.htm?query=1");
    let hot = HOT_CHANNELS.len() as u64;
    if index >= hot && words.part(3).below(index, WITHOUT_ID) > 0 {
        let number = (index - hot) as u32;
        text.extend_from_slice(
            format!("&channel_id={}", (number.reverse_bits() as i32).unsigned_abs()).as_bytes(),
        );
    }
    padded(&text)
}
