//! Cuts a range of a file into lines: those that start in the range, so that every line belongs to exactly one range. Where a
//! line's end may stand in quotes, a record of several lines counts as one line, and the range is the whole file.
//!
//! Blocks of a fixed size are read; only a line that is longer makes the buffer grow, up to the limit, after which the line is
//! reported and passed over. Knows nothing of what a line holds.

use std::io::Read;
use std::ops::Range;

use crate::formats::csv::quotes::QuoteScanner;

/// Bytes read at once: a block and what is made of it stay in the core's cache.
const BLOCK_BYTES: usize = 256 << 10;
/// What some writers put at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The next line.
#[derive(PartialEq, Eq, Debug)]
pub enum Line {
    /// A line without its end.
    Whole {
        /// Where it starts in the file.
        offset: u64,
        /// Where it is in [`Lines::bytes`].
        range: Range<usize>,
        /// Whether it is known to be UTF-8.
        is_utf8: bool,
    },
    /// A line over the limit.
    TooLong {
        /// Where it starts in the file.
        offset: u64,
    },
}

/// See the module.
pub struct Lines<R> {
    file: R,
    end: u64,
    max_line: usize,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold file.
    filled: usize,
    /// Where the next line starts in the buffer.
    next: usize,
    /// Whole lines reach so far.
    whole: usize,
    /// Whether the whole lines in the buffer are all UTF-8.
    is_utf8: bool,
    /// Where the buffer starts in the file.
    buffer_offset: u64,
    at_end: bool,
    /// The rest of the current line is passed over.
    passing_over: bool,
    /// Where the line starts that is passed over because it is too long.
    too_long: Option<u64>,
    /// Follows quotes, where a record may have several lines.
    quotes: Option<QuoteScanner>,
    /// Bytes of the next record that the scanner has seen: whole lines.
    scanned: usize,
}

/// Where reading begins for the lines that start at `start` or behind it. A range that doesn't start at a line's start leaves
/// the rest of that line to the range before: the byte before tells.
#[must_use]
pub const fn first_byte(start: u64) -> u64 {
    start.saturating_sub(1)
}

impl<R: Read> Lines<R> {
    /// The lines that start in `start..end` of a file that stands at [`first_byte`] of `start`.
    pub fn new(
        file: R,
        start: u64,
        end: u64,
        max_line: usize,
        quotes: Option<QuoteScanner>,
    ) -> std::io::Result<Self> {
        let mut lines = Self::from(file, first_byte(start), end, max_line, quotes);
        lines.passing_over = start > 0;
        if start == 0 {
            while lines.filled < BYTE_ORDER_MARK.len() && !lines.at_end {
                lines.fill()?;
            }
            if lines.buffer.get(..lines.filled).is_some_and(|bytes| bytes.starts_with(BYTE_ORDER_MARK)) {
                lines.next = BYTE_ORDER_MARK.len();
            }
        }
        Ok(lines)
    }

    /// The lines that start in `position..end` of a file that stands at `position`, where one starts.
    pub fn from(file: R, position: u64, end: u64, max_line: usize, quotes: Option<QuoteScanner>) -> Self {
        Self {
            file,
            end,
            max_line,
            buffer: vec![0; BLOCK_BYTES],
            filled: 0,
            next: 0,
            whole: 0,
            is_utf8: false,
            buffer_offset: position,
            at_end: false,
            passing_over: false,
            too_long: None,
            quotes,
            scanned: 0,
        }
    }

    /// Where the next line starts in the file; to be asked behind a call of [`Self::next`].
    pub const fn position(&self) -> u64 {
        self.buffer_offset + self.next as u64
    }

    /// What the ranges of lines refer to, until the next call of [`Self::next`].
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The next line.
    pub fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let offset = self.position();
            if !self.passing_over && offset >= self.end {
                return Ok(None);
            }
            if self.next + self.scanned < self.whole || (self.at_end && self.scanned > 0) {
                let Some((len, step)) = self.line_end() else { continue };
                let range = self.next..self.next + len;
                self.next += step;
                self.scanned = 0;
                if std::mem::take(&mut self.passing_over) {
                    match self.too_long.take() {
                        Some(offset) => return Ok(Some(Line::TooLong { offset })),
                        None => continue,
                    }
                }
                return Ok(Some(if len > self.max_line {
                    Line::TooLong { offset }
                } else {
                    Line::Whole { offset, range, is_utf8: self.is_utf8 }
                }));
            }
            if self.at_end {
                return Ok(self.too_long.take().map(|offset| Line::TooLong { offset }));
            }
            if self.passing_over {
                // Nothing of this line is kept.
                self.next = self.filled;
                self.whole = self.filled;
            } else if self.filled - self.next > self.max_line {
                self.passing_over = true;
                self.next += std::mem::take(&mut self.scanned);
                self.quotes.as_mut().map(QuoteScanner::reset);
                // It is reported when its end is found: a position within it would be none to go on from.
                self.too_long = Some(offset);
            }
            self.fill()?;
        }
    }

    /// The length of the next record and how far the one behind it is; `None` if its next line's end belongs to it.
    fn line_end(&mut self) -> Option<(usize, usize)> {
        let rest = self.buffer.get(self.next..self.whole).unwrap_or_default();
        let unseen = rest.get(self.scanned..).unwrap_or_default();
        let found = memchr::memchr(b'\n', unseen);
        let line = found.map_or(unseen, |len| unseen.get(..len).unwrap_or_default());
        if let Some(quotes) = self.quotes.as_mut().filter(|_| !self.passing_over) {
            if quotes.line(line) && found.is_some() {
                self.scanned += line.len() + 1;
                return None;
            }
            quotes.reset();
        }
        let len = self.scanned + line.len();
        Some((len, len + usize::from(found.is_some())))
    }

    /// Moves what is left to the front and reads a block behind it.
    fn fill(&mut self) -> std::io::Result<()> {
        self.buffer.copy_within(self.next..self.filled, 0);
        self.buffer_offset += self.next as u64;
        self.filled -= self.next;
        self.next = 0;
        if self.buffer.len() - self.filled < BLOCK_BYTES / 2 {
            self.buffer.resize((self.buffer.len() * 2).max(self.filled + BLOCK_BYTES), 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let searched = self.filled;
        let read = loop {
            match self.file.read(room) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.filled += read;
        self.at_end = read == 0;
        self.whole = if self.at_end {
            self.filled
        } else {
            let new = self.buffer.get(searched..self.filled).unwrap_or_default();
            memchr::memrchr(b'\n', new).map_or(0, |position| searched + position + 1)
        };
        self.is_utf8 = std::str::from_utf8(self.buffer.get(..self.whole).unwrap_or_default()).is_ok();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::formats::csv::Dialect;

    fn lines(file: &[u8], start: u64, end: u64, max_line: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let from = usize::try_from(first_byte(start)).unwrap();
        let mut lines = Lines::new(Cursor::new(&file[from..]), start, end, max_line, None).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Whole { offset, range, .. } => (offset, Some(lines.bytes()[range].to_vec())),
                Line::TooLong { offset } => (offset, None),
            });
        }
        all
    }

    proptest! {
        #[test]
        fn ranges_share_all_lines_out(file in "[a\n]{0,60}", cuts in prop::collection::vec(0_u64..61, 0..4)) {
            let len = file.len() as u64;
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(len)).chain([0, len]).collect();
            cuts.sort_unstable();
            let shared: Vec<_> = cuts.windows(2).flat_map(|cut| lines(file.as_bytes(), cut[0], cut[1], 100)).collect();
            prop_assert_eq!(&shared, &lines(file.as_bytes(), 0, len, 100));
            let text: Vec<_> = file.strip_suffix('\n').unwrap_or(&file).split('\n').map(|line| line.as_bytes().to_vec()).collect();
            let expected = if file.is_empty() { Vec::new() } else { text };
            prop_assert_eq!(shared.into_iter().map(|(_, line)| line.unwrap()).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn long_lines_grow_the_buffer_or_are_passed_over() {
        let long = "x".repeat(3 * BLOCK_BYTES);
        let file = format!("{long}\nshort\n{long}{long}\nend");
        let found = lines(file.as_bytes(), 0, file.len() as u64, 4 * BLOCK_BYTES);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0], (0, Some(long.clone().into_bytes())));
        assert_eq!(found[1].1.as_deref(), Some(b"short".as_slice()));
        assert_eq!(found[2], (long.len() as u64 + 7, None));
        assert_eq!(found[3], (3 * long.len() as u64 + 8, Some(b"end".to_vec())));
    }

    fn records(file: &[u8], max_line: usize) -> Vec<Option<String>> {
        let dialect = Dialect { delimiter: b',', quote: Some(b'"'), escape: Some(b'\\') };
        let quotes = QuoteScanner::new(dialect, true);
        let mut lines = Lines::new(Cursor::new(file), 0, file.len() as u64, max_line, quotes).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Whole { range, .. } => Some(String::from_utf8(lines.bytes()[range].to_vec()).unwrap()),
                Line::TooLong { .. } => None,
            });
        }
        all
    }

    #[test]
    fn quoted_lines_ends_belong_to_their_record() {
        let file = b"a,\"b\nc\"\"\n\",d\n5\" pipe,x\n#\"comment\n\"\\\"\n\"\n\n\"open\nend";
        let expected = ["a,\"b\nc\"\"\n\",d", "5\" pipe,x", "#\"comment", "\"\\\"\n\"", "", "\"open\nend"];
        let found: Vec<_> = records(file, 100).into_iter().map(Option::unwrap).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_record_of_many_lines_grows_the_buffer_or_is_passed_over() {
        let long = format!("\"{}\"", "xy\n".repeat(BLOCK_BYTES));
        let file = format!("{long}\nshort\n");
        let found = records(file.as_bytes(), 4 * BLOCK_BYTES);
        assert_eq!(found, [Some(long), Some("short".to_owned())]);
        let open = format!("\"{}\n", "xy\n".repeat(BLOCK_BYTES));
        assert_eq!(records(open.as_bytes(), BLOCK_BYTES)[0], None);
    }

    #[test]
    fn a_byte_order_mark_and_bad_bytes() {
        let file = b"\xEF\xBB\xBFa\n\xFFb\n";
        assert_eq!(lines(file, 0, 7, 10), [(3, Some(b"a".to_vec())), (5, Some(b"\xFFb".to_vec()))]);
        let mut read = Lines::new(Cursor::new(file), 0, 7, 10, None).unwrap();
        assert!(matches!(read.next().unwrap(), Some(Line::Whole { is_utf8: false, .. })));
    }
}
