//! Whether a line's end belongs to a quoted field: what cuts a file of comma-separated values into records.
//!
//! Invariant: says the same of a record as [`super::fields`] does. Looks at each byte once, however many lines a record has.

use super::Dialect;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// Behind a quote within a quoted field: its end, or the first of two.
    QuoteInQuoted,
}

/// Follows one record through its lines.
#[derive(Clone, Debug)]
pub struct QuoteScanner {
    dialect: Dialect,
    quote: u8,
    allow_comments: bool,
    state: State,
    is_escaped: bool,
    is_first: bool,
}

impl QuoteScanner {
    /// At the start of a record; `None` where no quotes have a meaning: then every line is a record.
    #[must_use]
    pub fn new(dialect: Dialect, allow_comments: bool) -> Option<Self> {
        let quote = dialect.quote?;
        let state = State::FieldStart;
        Some(Self { dialect, quote, allow_comments, state, is_escaped: false, is_first: true })
    }

    /// Takes the next line of the record, without its end; whether that end belongs to a field.
    pub fn line(&mut self, line: &[u8]) -> bool {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if is_first {
            let is_comment = self.allow_comments && line.first() == Some(&b'#');
            // Most lines have no quote, and then nothing to follow.
            if is_comment || memchr::memchr(self.quote, line).is_none() {
                return false;
            }
        }
        let mut at = 0;
        while let Some(byte) = line.get(at) {
            if self.state == State::Quoted && !self.is_escaped {
                let rest = line.get(at..).unwrap_or_default();
                let next = match self.dialect.escape {
                    Some(escape) => memchr::memchr2(self.quote, escape, rest),
                    None => memchr::memchr(self.quote, rest),
                };
                let Some(next) = next else { break };
                at += next;
                let is_quote = line.get(at) == Some(&self.quote);
                self.state = if is_quote { State::QuoteInQuoted } else { State::Quoted };
                self.is_escaped = !is_quote;
            } else {
                self.step(*byte);
            }
            at += 1;
        }
        // The line's end itself.
        self.is_escaped = false;
        self.state == State::Quoted
    }

    fn step(&mut self, byte: u8) {
        if std::mem::take(&mut self.is_escaped) {
            return;
        }
        self.state = match self.state {
            State::FieldStart if byte == self.quote => State::Quoted,
            State::QuoteInQuoted if byte == self.quote => State::Quoted,
            _ if byte == self.dialect.delimiter => State::FieldStart,
            State::QuoteInQuoted => State::QuoteInQuoted,
            state => {
                self.is_escaped = Some(byte) == self.dialect.escape;
                if state == State::Quoted { State::Quoted } else { State::Unquoted }
            }
        };
    }

    /// Starts with another record.
    pub fn reset(&mut self) {
        self.state = State::FieldStart;
        self.is_escaped = false;
        self.is_first = true;
    }
}
