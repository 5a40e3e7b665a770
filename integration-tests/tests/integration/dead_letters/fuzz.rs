//! JSON records of which it is known whether they can be decoded: half of them can, the others are broken in one of many ways.
//!
//! The same seed makes the same records. None holds a line's end, so that each is a line as well.

/// The columns of the records, for `CREATE TABLE`.
pub const COLUMNS: &str =
    "id BIGINT, name STRING, happened TIMESTAMP(3), amount DECIMAL(10, 2), tags ARRAY<STRING>,
    place ROW<city STRING, spot ROW<x DOUBLE, y DOUBLE>>";
/// The longest record that is decoded.
const LONGEST: usize = 16 << 20;
/// The longest one whose bytes a dead letter holds.
const LONGEST_LETTER: usize = 8 << 20;
/// How often a record is about as long as that, by turns a little shorter and a little longer.
const LONG_EVERY: u64 = 125_000;
/// So much shorter or longer.
const MARGIN: usize = 4096;
/// Deeper than any decoder goes, and as deep as every one should.
const TOO_DEEP: usize = 100_000;
const DEEP: usize = 50;

/// What a decoder should make of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is this row.
    Good { id: u64, name_length: usize, amount_in_cents: u64 },
    /// It is a dead letter with so many bytes; without them if they are too many.
    Bad { length: Option<usize> },
}

/// The records, one after the other.
pub struct Fuzz {
    random: u64,
    next: u64,
    count: u64,
}

impl Fuzz {
    /// So many records of this seed.
    pub fn new(seed: u64, count: u64) -> Self {
        Self { random: seed, next: 0, count }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn good(&mut self, id: u64) -> (Vec<u8>, Option<Verdict>) {
        let is_long = id % LONG_EVERY == LONG_EVERY / 2;
        let is_too_long = (id / LONG_EVERY).is_multiple_of(2);
        let long = if is_too_long { LONGEST + MARGIN } else { LONGEST - MARGIN };
        // As it stands in JSON, and how many characters it is.
        let (name, name_length) = match self.below(4) {
            _ if is_long => ("n".repeat(long), long),
            0 => (r#"a \"quoted\" one"#.to_owned(), 14),
            1 => (r"Z\u00fcrich \ud83d\ude00".to_owned(), 8),
            2 => ("Ærøskøbing".to_owned(), 10),
            _ => (String::new(), 0),
        };
        let amount_in_cents = self.below(100_000_000);
        let amount = format!("{}.{:02}", amount_in_cents / 100, amount_in_cents % 100);
        let id_text = if self.below(8) == 0 { format!("\"{id}\"") } else { id.to_string() };
        let tags = self.pick(&["[]", "[\"a\",null,\"b\"]", "null", "[ \"c\" ]"]);
        let place =
            self.pick(&["null", r#"{"city":"x","spot":{"x":1.5e3,"y":-0}}"#, r#"{"spot":null,"else":[{}]}"#]);
        let unknown = match self.below(6) {
            0 => format!(r#","unknown":{}{}"#, "[".repeat(DEEP), "]".repeat(DEEP)),
            1 => r#","unknown":{"id":"no id","tags":7}"#.to_owned(),
            _ => String::new(),
        };
        let text = format!(
            r#"{{"id":{id_text},"name":"{name}","happened":"2024-05-01 12:{:02}:{:02}.{:03}","amount":{amount},"tags":{tags},"place":{place}{unknown}}}"#,
            self.below(60),
            self.below(60),
            self.below(1000),
        );
        (text.into_bytes(), Some(Verdict::Good { id, name_length, amount_in_cents }))
    }

    fn bad(&mut self, id: u64) -> Vec<u8> {
        let (mut text, _) = self.good(id);
        match self.below(6) {
            // An object that isn't closed is no object.
            0 => {
                let length = 1 + self.below(text.len() as u64 - 1) as usize;
                text.truncate(length);
            }
            1 => return self.wrong_type(id),
            2 => text = self.nested(id),
            // No byte from 0x80 to 0xbf starts a character.
            3 => {
                let at = text.iter().position(|byte| *byte == b'{').unwrap_or(0) + 2;
                text[at] = 0x80 + self.below(0x40) as u8;
            }
            4 => text.extend_from_slice(self.pick(&["}", " {}", ",", "null", "\"", "]"]).as_bytes()),
            _ => {
                text = (0..=self.below(300)).map(|_| self.below(256) as u8).collect();
                text.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
                // Not blank, nor by chance a value.
                text[0] = 0xff;
            }
        }
        text
    }

    fn wrong_type(&mut self, id: u64) -> Vec<u8> {
        let broken = self.pick(&[
            r#""id":"no number""#,
            r#""id":1.5"#,
            r#""id":99999999999999999999"#,
            r#""id":[1]"#,
            r#""id":true"#,
            r#""happened":"yesterday""#,
            r#""happened":"2024-02-30 00:00:00""#,
            r#""happened":{}"#,
            r#""amount":"a lot""#,
            r#""amount":123456789012"#,
            r#""tags":5"#,
            r#""tags":{"a":1}"#,
            r#""tags":["a" "b"]"#,
            r#""place":"here""#,
            r#""place":[]"#,
            r#""place":{"spot":{"x":"east"}}"#,
            r#""place":{"spot":{"x":1,}}"#,
            r#""name":"\x""#,
            r#""name":"\ud83d""#,
            r#""name":nil"#,
        ]);
        if broken.contains("\"id\"") {
            return format!("{{{broken}}}").into_bytes();
        }
        format!(r#"{{"id":{id},{broken}}}"#).into_bytes()
    }

    fn nested(&mut self, id: u64) -> Vec<u8> {
        let (open, close) = if self.below(2) == 0 { ("[", "]") } else { (r#"{"a":"#, "}") };
        // Now and then very deep; as a rule deep enough to be refused, for there are many.
        let depth = if self.below(5000) == 0 { TOO_DEEP } else { 200 };
        let key = self.pick(&["unknown", "tags", "place"]);
        format!(r#"{{"id":{id},"{key}":{}1{}}}"#, open.repeat(depth), close.repeat(depth)).into_bytes()
    }
}

impl Iterator for Fuzz {
    type Item = (Vec<u8>, Verdict);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next;
        if id == self.count {
            return None;
        }
        self.next += 1;
        let (record, verdict) = if self.below(2) == 0 { self.good(id) } else { (self.bad(id), None) };
        let verdict = verdict.filter(|_| record.len() <= LONGEST).unwrap_or_else(|| {
            let length = Some(record.len()).filter(|length| *length <= LONGEST_LETTER);
            Verdict::Bad { length }
        });
        Some((record, verdict))
    }
}
