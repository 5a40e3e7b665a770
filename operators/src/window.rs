//! Which windows there are, and the panes that they are made of.
//!
//! A pane is the largest stretch of event time that lies in the same windows: a tumbling window is one pane, a hop's panes are
//! as long as the greatest common divisor of size and slide, a cumulating window's as long as its step. Rows are kept once per pane; windows are merged from panes. Pure
//! arithmetic on milliseconds within [`event_time::LIMIT`], rounding down, so negative times and offsets come out right.

pub(crate) mod table_function;

use weir_api::error::{Code, Error, Result};
use weir_proto::v1::Window;
use weir_proto::v1::window::Kind;

use crate::event_time::{self, LIMIT};

/// The most windows that one row may lie in.
const MAX_WINDOWS_PER_ROW: i64 = 1_000_000;

/// A stretch of event time: `start` inclusive, `end` exclusive, in milliseconds. Ordered by its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pane {
    pub(crate) end: i64,
    pub(crate) start: i64,
}

impl Pane {
    /// The one pane of a bounded input.
    pub(crate) const ALL: Self = Self { end: i64::MAX, start: i64::MIN };
}

/// How rows find their windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Windows {
    /// Tumbling, hopping and cumulating windows over a time column.
    Aligned(Aligned),
    /// The rows carry their window in two columns.
    Attached { start_column: usize, end_column: usize },
    /// One window, emitted at the end of the input.
    EndOfInput,
}

/// Windows that start at every multiple of a slide. Either all have one size, or those of one start end one step after the
/// other until the largest, whose size is the slide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Aligned {
    /// The length of the largest window.
    pub(crate) size: i64,
    /// Between the starts of windows.
    pub(crate) slide: i64,
    /// Between the ends of windows.
    pub(crate) step: i64,
    pub(crate) offset: i64,
    pane: i64,
}

impl Windows {
    pub(crate) fn new(window: Option<&Window>) -> Result<Self> {
        let malformed = |what: &str| Error::new(Code::MalformedMessage, what);
        let kind = window
            .and_then(|window| window.kind.as_ref())
            .ok_or_else(|| malformed("a window without a kind"))?;
        Ok(match kind {
            Kind::Tumble(tumble) => {
                Self::Aligned(Aligned::new(tumble.size_millis, tumble.size_millis, tumble.offset_millis)?)
            }
            Kind::Hop(hop) => {
                Self::Aligned(Aligned::new(hop.size_millis, hop.slide_millis, hop.offset_millis)?)
            }
            Kind::Cumulate(cumulate) => Self::Aligned(Aligned::cumulating(
                cumulate.size_millis,
                cumulate.step_millis,
                cumulate.offset_millis,
            )?),
            Kind::Attached(attached) => Self::Attached {
                start_column: attached.start_column as usize,
                end_column: attached.end_column as usize,
            },
            Kind::EndOfInput(_) => Self::EndOfInput,
        })
    }

    /// The pane that ends at `end`; `start` is known for attached windows only.
    pub(crate) const fn pane_with_end(&self, end: i64, start: Option<i64>) -> Pane {
        match (self, start) {
            (Self::Aligned(aligned), _) => Pane { end, start: end - aligned.pane },
            (_, Some(start)) => Pane { end, start },
            (_, None) => Pane { end, start: i64::MIN },
        }
    }

    /// The end of the last window that holds the pane; `None` if no window does.
    pub(crate) fn last_end(&self, pane: Pane) -> Option<i64> {
        match self {
            Self::Aligned(aligned) => aligned.last_end(pane),
            Self::Attached { .. } | Self::EndOfInput => Some(pane.end),
        }
    }

    /// The end of the first window that holds the pane and whose last millisecond is after `fired`.
    pub(crate) fn next_end(&self, pane: Pane, fired: i64) -> Option<i64> {
        match self {
            Self::Aligned(aligned) => aligned.next_end(pane, fired),
            Self::Attached { .. } | Self::EndOfInput => {
                (pane.end.saturating_sub(1) > fired).then_some(pane.end)
            }
        }
    }

    /// The start of the window that ends at `end` and holds `pane`.
    pub(crate) const fn start(&self, end: i64, pane: Pane) -> i64 {
        match self {
            Self::Aligned(aligned) if aligned.is_cumulating() => aligned.last_start(pane.start),
            Self::Aligned(aligned) => end - aligned.size,
            Self::Attached { .. } | Self::EndOfInput => pane.start,
        }
    }
}

impl Aligned {
    fn new(size: u64, slide: u64, offset: i64) -> Result<Self> {
        let (size, slide) = (limited("size", size)?, limited("slide", slide)?);
        check_windows_per_row(size, slide)?;
        // Offsets that differ by a slide give the same windows.
        let offset = offset.rem_euclid(slide);
        Ok(Self { size, slide, step: slide, offset, pane: greatest_common_divisor(size, slide) })
    }

    fn cumulating(size: u64, step: u64, offset: i64) -> Result<Self> {
        let (size, step) = (limited("size", size)?, limited("step", step)?);
        check_windows_per_row(size, step)?;
        if size % step != 0 {
            let what =
                format!("cumulating windows of {size} ms, which isn't a multiple of their step of {step} ms");
            return Err(Error::new(Code::Unsupported, what));
        }
        Ok(Self { size, slide: size, step, offset: offset.rem_euclid(size), pane: step })
    }

    const fn is_cumulating(&self) -> bool {
        self.step < self.slide
    }

    /// The window that ends `back` steps before the last one that holds `time`, as start and end; it may have ended by then.
    pub(crate) const fn window_before_last(&self, time: i64, back: i64) -> (i64, i64) {
        let start = self.last_start(time);
        if self.is_cumulating() {
            (start, start + self.size - back * self.step)
        } else {
            (start - back * self.slide, start - back * self.slide + self.size)
        }
    }

    /// The pane of an event time within [`event_time::LIMIT`].
    pub(crate) const fn pane_of(&self, time: i64) -> Pane {
        let start = round_down(time - self.offset, self.pane) + self.offset;
        Pane { end: start + self.pane, start }
    }

    /// The start of the last window that starts at or before `time`; it may have ended by then.
    pub(crate) const fn last_start(&self, time: i64) -> i64 {
        round_down(time - self.offset, self.slide) + self.offset
    }

    fn last_end(&self, pane: Pane) -> Option<i64> {
        let end = self.last_start(pane.start) + self.size;
        (pane.end <= end).then_some(end)
    }

    fn next_end(&self, pane: Pane, fired: i64) -> Option<i64> {
        let last = self.last_end(pane)?;
        let earliest = pane.end.max(fired.saturating_add(2));
        // Beyond every window, and so that the rounding can't overflow.
        if earliest > last {
            return None;
        }
        let phase = self.offset + self.size;
        Some(round_up(earliest - phase, self.step) + phase).filter(|&end| end <= last)
    }
}

/// A length that keeps the arithmetic within its limits.
fn limited(what: &str, value: u64) -> Result<i64> {
    i64::try_from(value).ok().filter(|&value| value > 0 && value <= LIMIT).ok_or_else(|| {
        let what = format!("a window whose {what} is {value} ms; it must be at least 1 ms and below 2^59");
        Error::new(Code::Unsupported, what)
    })
}

fn check_windows_per_row(size: i64, step: i64) -> Result<()> {
    if size / step <= MAX_WINDOWS_PER_ROW {
        return Ok(());
    }
    Err(Error::new(
        Code::Unsupported,
        format!(
            "windows of {size} ms every {step} ms put each row into {} windows; the limit is {MAX_WINDOWS_PER_ROW}",
            size / step
        ),
    ))
}

/// The largest multiple of `step` that is not above `value`.
const fn round_down(value: i64, step: i64) -> i64 {
    value - value.rem_euclid(step)
}

/// The smallest multiple of `step` that is not below `value`.
const fn round_up(value: i64, step: i64) -> i64 {
    -round_down(-value, step)
}

const fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Event times from elsewhere, such as attached windows, must keep the arithmetic within its limits.
pub(crate) fn check_bounds(ends: &[i64]) -> Result<()> {
    let (least, largest) = event_time::least_and_largest(ends);
    // One window on either side of the largest event time.
    if least < -3 * LIMIT || largest > 3 * LIMIT {
        return Err(Error::new(Code::MalformedMessage, "partial results of a pane millions of years away"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    /// Ends of all windows that hold `time`, from the definition.
    fn ends_by_definition(time: i64, size: i64, slide: i64, offset: i64) -> Vec<i64> {
        (time - size - slide..=time)
            .filter(|start| (start - offset).rem_euclid(slide) == 0 && *start <= time && time < start + size)
            .map(|start| start + size)
            .collect()
    }

    proptest! {
        #[test]
        fn cumulating_panes_lie_in_the_windows_of_their_rows(
            time in -500_i64..500, steps in 1_i64..12, step in 1_i64..20, offset in -100_i64..100, fired in -600_i64..600,
        ) {
            let size = steps * step;
            let aligned = Aligned::cumulating(size as u64, step as u64, offset).expect("valid");
            let windows = Windows::Aligned(aligned);
            let pane = aligned.pane_of(time);
            prop_assert!(pane.start <= time && time < pane.end);
            // All windows with a start at or before the time and an end after it.
            let windows_of = |time: i64| -> Vec<(i64, i64)> {
                let starts = (time - size + 1..=time).filter(|start| (start - offset).rem_euclid(size) == 0);
                starts
                    .flat_map(|start| (1..=steps).map(move |number| (start, start + number * step)))
                    .filter(|(_, end)| *end > time)
                    .collect()
            };
            let expected = windows_of(time);
            prop_assert_eq!(windows.last_end(pane), expected.last().map(|(_, end)| *end));
            let next = expected.iter().copied().find(|(_, end)| end - 1 > fired);
            prop_assert_eq!(windows.next_end(pane, fired), next.map(|(_, end)| end));
            if let Some((start, end)) = next {
                prop_assert_eq!(windows.start(end, pane), start);
            }
            for other in pane.start..pane.end {
                prop_assert_eq!(&windows_of(other), &expected);
            }
        }

        #[test]
        fn panes_lie_in_the_windows_of_their_rows(
            time in -500_i64..500, size in 1_i64..60, slide in 1_i64..60, offset in -100_i64..100, fired in -600_i64..600,
        ) {
            let aligned = Aligned::new(size as u64, slide as u64, offset).expect("valid");
            let windows = Windows::Aligned(aligned);
            let pane = aligned.pane_of(time);
            prop_assert!(pane.start <= time && time < pane.end);
            let ends = ends_by_definition(time, size, slide, offset);
            prop_assert_eq!(windows.last_end(pane), ends.last().copied());
            prop_assert_eq!(windows.next_end(pane, fired), ends.iter().copied().find(|end| end - 1 > fired));
            for other in pane.start..pane.end {
                prop_assert_eq!(&ends_by_definition(other, size, slide, offset), &ends);
            }
        }
    }

    #[test]
    fn extremes_are_refused_or_computed_without_overflow() {
        assert!(Aligned::new(0, 1, 0).is_err());
        assert!(Aligned::new(u64::MAX, 1, 0).is_err());
        assert!(Aligned::new(10_000_000, 1, 0).is_err());
        let aligned = Aligned::new(LIMIT as u64, LIMIT as u64, i64::MIN).expect("valid");
        for time in [-LIMIT, LIMIT] {
            let pane = aligned.pane_of(time);
            assert!(pane.start <= time && time < pane.end);
            for fired in [i64::MIN, 0, i64::MAX - 1, i64::MAX] {
                let _ = aligned.next_end(pane, fired);
            }
        }
    }
}
