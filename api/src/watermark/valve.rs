//! Merges the watermarks of an input's channels into one that never goes back.
//!
//! The output is the smallest watermark of the channels that count. An idle channel doesn't count; one that comes back from
//! idleness with an old watermark isn't counted until it has caught up with the output (Flink's `StatusWatermarkValve`). A
//! channel that has ended counts as if it had reached [`Watermark::MAX`]. Pure: knows neither channels' contents nor time.

use super::Watermark;

/// What the input as a whole does after an event of one channel. At most one of the fields of each kind is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// The merged watermark has advanced to this.
    pub watermark: Option<Watermark>,
    /// `Some(true)`: every channel is now idle; `Some(false)`: one has come back. Comes before the watermark when it is
    /// `false`, after it when it is `true`.
    pub idle: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    watermark: Watermark,
    idle: bool,
    /// Counts towards the minimum: active and not behind the output.
    aligned: bool,
    ended: bool,
}

/// The valve of one input.
#[derive(Clone, Debug)]
pub struct Valve {
    channels: Vec<Channel>,
    output: Watermark,
    idle: bool,
}

impl Valve {
    /// A valve over `channels` channels, all active and without a watermark.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: Watermark::MIN, idle: false, aligned: true, ended: false };
        Self { channels: vec![channel; channels], output: Watermark::MIN, idle: false }
    }

    /// The merged watermark.
    #[must_use]
    pub const fn output(&self) -> Watermark {
        self.output
    }

    /// Whether every channel is idle.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.idle
    }

    /// A watermark arrived. One of an idle or ended channel, and one that doesn't advance the channel, is ignored.
    pub fn on_watermark(&mut self, channel: usize, watermark: Watermark) -> Change {
        let output = self.output;
        let state = &mut self.channels[channel];
        if state.idle || state.ended || watermark <= state.watermark {
            return Change::default();
        }
        state.watermark = watermark;
        state.aligned |= watermark >= output;
        Change { watermark: self.advance(), idle: None }
    }

    /// The channel is idle until it says otherwise.
    pub fn on_idle(&mut self, channel: usize) -> Change {
        let state = &mut self.channels[channel];
        if state.idle || state.ended {
            return Change::default();
        }
        state.idle = true;
        state.aligned = false;
        self.after_leaving()
    }

    /// The channel may bring records again.
    pub fn on_active(&mut self, channel: usize) -> Change {
        let output = self.output;
        let state = &mut self.channels[channel];
        if !state.idle || state.ended {
            return Change::default();
        }
        state.idle = false;
        state.aligned = state.watermark >= output;
        let was_idle = std::mem::replace(&mut self.idle, false);
        Change { watermark: None, idle: was_idle.then_some(false) }
    }

    /// Nothing comes from the channel any more.
    pub fn on_end(&mut self, channel: usize) -> Change {
        let state = &mut self.channels[channel];
        if state.ended {
            return Change::default();
        }
        *state = Channel { watermark: Watermark::MAX, idle: false, aligned: true, ended: true };
        self.after_leaving()
    }

    /// A channel has stopped holding the others back.
    fn after_leaving(&mut self) -> Change {
        let all_out = self.channels.iter().all(|channel| channel.idle || channel.ended);
        let any_idle = self.channels.iter().any(|channel| channel.idle);
        if all_out && any_idle {
            // Nobody will bring the others' last watermarks any more: the largest of them is what is true of all.
            let largest =
                self.channels.iter().filter(|channel| !channel.ended).map(|channel| channel.watermark).max();
            let watermark = largest.filter(|&largest| largest > self.output);
            self.output = watermark.unwrap_or(self.output);
            let idle = (!std::mem::replace(&mut self.idle, true)).then_some(true);
            return Change { watermark, idle };
        }
        Change { watermark: self.advance(), idle: None }
    }

    fn advance(&mut self) -> Option<Watermark> {
        let smallest =
            self.channels.iter().filter(|channel| channel.aligned).map(|channel| channel.watermark).min()?;
        if smallest <= self.output {
            return None;
        }
        self.output = smallest;
        Some(smallest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn advanced(millis: i64) -> Change {
        Change { watermark: Some(Watermark(millis)), idle: None }
    }

    #[test]
    fn the_slowest_channel_decides() {
        let mut valve = Valve::new(2);
        assert_eq!(valve.on_watermark(0, Watermark(10)), Change::default());
        assert_eq!(valve.on_watermark(1, Watermark(5)), advanced(5));
        assert_eq!(valve.on_watermark(1, Watermark(20)), advanced(10));
        assert_eq!(valve.on_end(0), advanced(20));
        assert_eq!(valve.on_end(1), Change { watermark: Some(Watermark::MAX), idle: None });
    }

    #[test]
    fn an_idle_channel_does_not_count_and_an_old_one_must_catch_up() {
        let mut valve = Valve::new(2);
        valve.on_watermark(0, Watermark(10));
        assert_eq!(valve.on_idle(1), advanced(10));
        assert_eq!(valve.on_active(1), Change::default());
        // Still behind: channel 0 alone decides.
        assert_eq!(valve.on_watermark(1, Watermark(7)), Change::default());
        assert_eq!(valve.on_watermark(0, Watermark(12)), advanced(12));
        // Caught up: it counts again.
        assert_eq!(valve.on_watermark(1, Watermark(12)), Change::default());
        assert_eq!(valve.on_watermark(0, Watermark(30)), Change::default());
        assert_eq!(valve.on_watermark(1, Watermark(20)), advanced(20));
    }

    #[test]
    fn all_idle_flushes_the_largest_and_says_so_once() {
        let mut valve = Valve::new(2);
        valve.on_watermark(0, Watermark(10));
        valve.on_watermark(1, Watermark(20));
        valve.on_idle(0);
        assert_eq!(valve.on_idle(1), Change { watermark: None, idle: Some(true) });
        assert_eq!(valve.output(), Watermark(20));
        assert_eq!(valve.on_active(0), Change { watermark: None, idle: Some(false) });
    }

    #[derive(Clone, Debug)]
    enum Event {
        Watermark(usize, i64),
        Idle(usize),
        Active(usize),
        End(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => (0_usize..4, 0_i64..100).prop_map(|(channel, millis)| Event::Watermark(channel, millis)),
            2 => (0_usize..4).prop_map(Event::Idle),
            2 => (0_usize..4).prop_map(Event::Active),
            1 => (0_usize..4).prop_map(Event::End),
        ]
    }

    proptest! {
        #[test]
        fn the_output_never_goes_back_and_never_passes_a_counting_channel(events in prop::collection::vec(event(), 0..80)) {
            let mut valve = Valve::new(4);
            let mut last = Watermark::MIN;
            let mut idle = false;
            for event in events {
                let change = match event {
                    Event::Watermark(channel, millis) => valve.on_watermark(channel, Watermark(millis)),
                    Event::Idle(channel) => valve.on_idle(channel),
                    Event::Active(channel) => valve.on_active(channel),
                    Event::End(channel) => valve.on_end(channel),
                };
                if let Some(watermark) = change.watermark {
                    prop_assert!(watermark > last);
                    last = watermark;
                }
                if let Some(now) = change.idle {
                    prop_assert_ne!(now, idle);
                    idle = now;
                }
                prop_assert_eq!(valve.output(), last);
                for channel in valve.channels.iter().filter(|channel| channel.aligned) {
                    prop_assert!(channel.watermark >= last);
                }
            }
        }
    }
}
