//! The types of configuration values and how their text is read: Flink's notations.

use std::time::Duration;

/// A type that a configuration value can have. `parse` answers what was expected when the text doesn't fit.
pub trait Value: Sized {
    /// What the reference page calls it.
    const TYPE: &'static str;

    /// Reads the text.
    fn parse(text: &str) -> Result<Self, String>;
}

/// A size in bytes: `32kb`, `64 mb`, `1g`, or a plain number of bytes. Units are powers of 1024.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(pub u64);

impl Value for ByteSize {
    const TYPE: &'static str = "size";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" | "bytes" => 1,
            "k" | "kb" | "kibibytes" => 1 << 10,
            "m" | "mb" | "mebibytes" => 1 << 20,
            "g" | "gb" | "gibibytes" => 1 << 30,
            "t" | "tb" | "tebibytes" => 1 << 40,
            _ => return Err("a size such as 64mb belongs here (b, kb, mb, gb, tb)".to_owned()),
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| "a size such as 64mb belongs here".to_owned())
    }
}

impl Value for Duration {
    const TYPE: &'static str = "duration";

    fn parse(text: &str) -> Result<Self, String> {
        let expected = || "a duration such as 500 ms, 10 s, 5 min, 1 h or 2 d belongs here".to_owned();
        let (number, unit) = split_unit(text);
        let nanos: u64 = match unit.to_ascii_lowercase().as_str() {
            "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
            "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
            "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000_000,
            "h" | "hour" | "hours" => 3_600_000_000_000,
            "d" | "day" | "days" => 86_400_000_000_000,
            _ => return Err(expected()),
        };
        let number: u64 = number.parse().map_err(|_| expected())?;
        number.checked_mul(nanos).map(Self::from_nanos).ok_or_else(expected)
    }
}

impl Value for u32 {
    const TYPE: &'static str = "integer";

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("a whole number from 0 to {} belongs here", Self::MAX))
    }
}

impl Value for u16 {
    const TYPE: &'static str = "port";

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "a port from 0 (any free one) to 65535 belongs here".to_owned())
    }
}

/// Ports to try in turn: `9249`, or `9249-9260`; 0: any free one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortRange {
    /// The first to try.
    pub first: u16,
    /// The last to try.
    pub last: u16,
}

impl Value for PortRange {
    const TYPE: &'static str = "ports";

    fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (u16::parse(first)?, u16::parse(last)?) {
            (first, last) if first <= last && (first > 0 || last == 0) => Ok(Self { first, last }),
            _ => Err("a port, or a range of ports such as 9249-9260, belongs here".to_owned()),
        }
    }
}

impl Value for f64 {
    const TYPE: &'static str = "number";

    fn parse(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .ok()
            .filter(|number: &Self| number.is_finite())
            .ok_or_else(|| "a number such as 1.5 belongs here".to_owned())
    }
}

impl Value for bool {
    const TYPE: &'static str = "boolean";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false belongs here".to_owned()),
        }
    }
}

impl Value for String {
    const TYPE: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.trim().to_owned())
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flinks_notations() {
        assert_eq!(ByteSize::parse("32kb"), Ok(ByteSize(32 << 10)));
        assert_eq!(ByteSize::parse("1 g"), Ok(ByteSize(1 << 30)));
        assert_eq!(ByteSize::parse("17"), Ok(ByteSize(17)));
        assert!(ByteSize::parse("99999999999999999999").is_err() && ByteSize::parse("-1").is_err());
        assert_eq!(Duration::parse("10 s"), Ok(Duration::from_secs(10)));
        assert_eq!(Duration::parse("5min"), Ok(Duration::from_secs(300)));
        assert_eq!(Duration::parse("100"), Ok(Duration::from_millis(100)));
        assert_eq!(PortRange::parse("9249"), Ok(PortRange { first: 9249, last: 9249 }));
        assert_eq!(PortRange::parse("9249-9260"), Ok(PortRange { first: 9249, last: 9260 }));
        assert!(PortRange::parse("9260-9249").is_err() && PortRange::parse("0-5").is_err());
        assert!(Duration::parse("soon").is_err() && Duration::parse("999999999999 d").is_err());
    }
}
