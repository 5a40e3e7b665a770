//! The options of `nexmark`, as nexmark-flink names them, and ours: `base-time`, `seed`.

use std::time::Duration;

use weir_api::connector::OptionDescription;
use weir_api::error::Result;
use weir_proto::v1::TableSpec;

use crate::formats::text::parse_timestamp_millis;
use crate::generator::timeline::Timeline;
use crate::options::Options;

const fn option(
    key: &'static str,
    default: Option<&'static str>,
    description: &'static str,
) -> OptionDescription {
    OptionDescription { key, required: false, default, description }
}

/// Every option, with its default.
pub const OPTIONS: &[OptionDescription] = &[
    option(
        "first-event.rate",
        Some("10000"),
        "Events per second, of all subtasks together: event n happens n / rate seconds after the base time. 0: event times as at 10000, and never paced.",
    ),
    option(
        "next-event.rate",
        Some("10000"),
        "Events per second in the other part of each rate period, where it differs from first-event.rate. A statement that sets only one of the two rates sets both.",
    ),
    option(
        "rate.shape",
        Some("SQUARE"),
        "How the rate goes from first-event.rate to next-event.rate and back: SQUARE or SINE.",
    ),
    option("rate.period", Some("600 s"), "How long one cycle of the rate takes."),
    option("rate.limited", Some("false"), "Emit events only when they are due."),
    option(
        "max-emit-speed",
        Some("true"),
        "Emit events as fast as they are taken; false: only when they are due.",
    ),
    option("events.num", Some("0"), "How many events there are; 0: no end."),
    option("stop-at", Some("-1"), "The number of the event to stop before; negative: none."),
    option("keep-alive", Some("false"), "Stay running, silent, after the last event."),
    option("person.proportion", Some("1"), "Persons in each round of events."),
    option("auction.proportion", Some("3"), "Auctions in each round of events."),
    option("bid.proportion", Some("46"), "Bids in each round of events."),
    option("person.avg-size", Some("200b"), "Average size of a person; `extra` fills it up."),
    option("auction.avg-size", Some("500b"), "Average size of an auction; `extra` fills it up."),
    option("bid.avg-size", Some("100b"), "Average size of a bid; `extra` fills it up."),
    option(
        "bid.hot-ratio.auctions",
        Some("2"),
        "One bid in so many goes to any auction, the others to a hot one.",
    ),
    option(
        "bid.hot-ratio.bidders",
        Some("4"),
        "One bid in so many comes from any person, the others from a hot one.",
    ),
    option(
        "auction.hot-ratio.sellers",
        Some("4"),
        "One auction in so many is any person's, the others a hot one's.",
    ),
    option(
        "base-time",
        Some("2015-07-15 00:00:00"),
        "The time of event 0: a timestamp in UTC, or 'now' for the moment of submission.",
    ),
    option("seed", Some("0"), "Another seed gives other events; the same seed the same."),
];

/// When event 0 happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BaseTime {
    /// At a fixed time, in milliseconds since 1970-01-01T00:00:00Z.
    Fixed(i64),
    /// When the job is submitted.
    Submission,
}

/// The options, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Persons, auctions, bids in each round.
    pub proportions: [u64; 3],
    /// Average bytes of a person, an auction, a bid.
    pub average_sizes: [u64; 3],
    /// One in so many isn't for a hot auction.
    pub hot_auctions: u64,
    /// One in so many isn't from a hot bidder.
    pub hot_bidders: u64,
    /// One in so many isn't from a hot seller.
    pub hot_sellers: u64,
    /// How many events there are.
    pub end: Option<u64>,
    /// Whether the source stays after them.
    pub keep_alive: bool,
    /// When events happen, from the base time.
    pub timeline: Timeline,
    /// Whether they are emitted only when they are due.
    pub paced: bool,
    /// When event 0 happens.
    pub base_time: BaseTime,
    /// What all randomness comes from.
    pub seed: u64,
}

impl Settings {
    /// The settings of a table.
    pub fn of(table: &TableSpec) -> Result<Self> {
        let options = Options::new(table, OPTIONS);
        let proportion = |key| options.number::<u64>(key, 0..=1_000_000);
        let size = |key| {
            let bytes = options.bytes(key)?;
            if bytes > MAX_EVENT_BYTES { Err(options.refuse(key, "a size up to '64kb'")) } else { Ok(bytes) }
        };
        let ratio = |key| options.number::<u64>(key, 1..=1_000_000);
        let proportions = [
            proportion("person.proportion")?,
            proportion("auction.proportion")?,
            proportion("bid.proportion")?,
        ];
        if proportions.iter().sum::<u64>() == 0 {
            return Err(options.refuse("bid.proportion", "at least one proportion above 0"));
        }
        let (timeline, unlimited) = timeline(&options)?;
        let paced = !options.boolean("max-emit-speed")? || options.boolean("rate.limited")?;
        let events = options.number::<u64>("events.num", 0..=u64::MAX >> 12)?;
        let stop_at = options.number::<i64>("stop-at", i64::MIN..=i64::MAX)?;
        let end = [(events > 0).then_some(events), u64::try_from(stop_at).ok()].into_iter().flatten().min();
        Ok(Self {
            proportions,
            average_sizes: [size("person.avg-size")?, size("auction.avg-size")?, size("bid.avg-size")?],
            hot_auctions: ratio("bid.hot-ratio.auctions")?,
            hot_bidders: ratio("bid.hot-ratio.bidders")?,
            hot_sellers: ratio("auction.hot-ratio.sellers")?,
            end,
            keep_alive: options.boolean("keep-alive")?,
            timeline,
            paced: paced && !unlimited,
            base_time: base_time(&options)?,
            seed: options.number("seed", 0..=u64::MAX)?,
        })
    }

    /// Events in a round.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.proportions.iter().sum()
    }
}

/// The most that an average size may be: a batch of such events still fits a few frames.
const MAX_EVENT_BYTES: u64 = 64 << 10;

/// Steps that a sine is cut into.
const SINE_STEPS: u64 = 10;

fn timeline(options: &Options<'_>) -> Result<(Timeline, bool)> {
    let rate = |key| options.number::<u64>(key, 0..=1_000_000_000);
    let (mut first, mut next) = (rate("first-event.rate")?, rate("next-event.rate")?);
    match (options.is_given("first-event.rate"), options.is_given("next-event.rate")) {
        (true, false) => next = first,
        (false, true) => first = next,
        _ => {}
    }
    let unlimited = first == 0 || next == 0;
    let period = options.duration("rate.period")?;
    let sine = options.one_of("rate.shape", &[("SQUARE", false), ("SINE", true)])?;
    if unlimited {
        return Ok((Timeline::constant(10_000)?, true));
    }
    if first == next {
        return Ok((Timeline::constant(first)?, false));
    }
    let rates = if sine {
        (0..SINE_STEPS)
            .map(|step| {
                let angle = std::f64::consts::TAU * step as f64 / SINE_STEPS as f64;
                let (middle, swing) = ((first + next) as f64 / 2.0, (first as f64 - next as f64) / 2.0);
                (middle + swing * angle.cos()).round() as u64
            })
            .collect()
    } else {
        vec![first, next]
    };
    let step = period / u32::try_from(rates.len()).unwrap_or(1);
    if step < Duration::from_millis(1) {
        return Err(options.refuse("rate.period", "a duration of at least '10 ms'"));
    }
    let millis = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
    let timeline = Timeline::steps(rates, millis)
        .map_err(|_| options.refuse("rate.period", "a period in which each rate gives at least one event"))?;
    Ok((timeline, false))
}

fn base_time(options: &Options<'_>) -> Result<BaseTime> {
    let text = options.required("base-time")?.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(BaseTime::Submission);
    }
    parse_timestamp_millis(text)
        .map(BaseTime::Fixed)
        .ok_or_else(|| options.refuse("base-time", "a timestamp like '2015-07-15 00:00:00' or 'now'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[(&str, &str)]) -> Result<Settings> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::of(&TableSpec {
            name: "t".into(),
            connector: "nexmark".into(),
            options,
            ..TableSpec::default()
        })
    }

    #[test]
    fn defaults_are_nexmark_flinks() {
        let defaults = settings(&[]).expect("valid");
        assert_eq!(defaults.proportions, [1, 3, 46]);
        assert_eq!(defaults.average_sizes, [200, 500, 100]);
        assert_eq!((defaults.end, defaults.paced), (None, false));
        assert_eq!(defaults.base_time, BaseTime::Fixed(1_436_918_400_000));
    }

    #[test]
    fn ends_paces_and_rates() {
        assert_eq!(settings(&[("events.num", "100"), ("stop-at", "70")]).expect("valid").end, Some(70));
        assert!(settings(&[("max-emit-speed", "false")]).expect("valid").paced);
        assert!(!settings(&[("max-emit-speed", "false"), ("first-event.rate", "0")]).expect("valid").paced);
        assert_eq!(settings(&[("first-event.rate", "500")]).expect("valid").timeline.millis(500), 1_000);
        let square =
            settings(&[("first-event.rate", "100"), ("next-event.rate", "10"), ("rate.period", "20 s")]);
        let square = square.expect("valid").timeline;
        assert_eq!(
            (square.millis(1_000), square.millis(1_010), square.millis(1_100)),
            (10_000, 11_000, 20_000)
        );
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (key, value) in [
            ("bid.hot-ratio.auctions", "0"),
            ("events.num", "-1"),
            ("bid.avg-size", "1gb"),
            ("keep-alive", "maybe"),
            ("rate.shape", "TRIANGLE"),
            ("base-time", "yesterday"),
        ] {
            let error = settings(&[(key, value)]).expect_err("refused");
            assert!(error.message().contains(key) && error.message().contains(value), "{error}");
        }
    }
}
