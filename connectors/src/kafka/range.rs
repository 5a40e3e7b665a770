//! Where the reading of a table begins and ends, as its options say it.
//!
//! Decides what the options may be together. What they mean in offsets is [`super::discovery`]'s business.

use std::collections::BTreeMap;

use weir_api::error::{Code, Error, Result};

use super::properties::Properties;
use super::topics::Topics;
use crate::options::Options;

/// An offset of each of some partitions.
pub type Offsets = BTreeMap<i32, i64>;

/// Where reading begins (`scan.startup.mode`) or ends (`scan.bounded.mode`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bound {
    /// The first record that is kept.
    Earliest,
    /// The end, as it is when the job is submitted.
    Latest,
    /// What the consumer group has committed.
    Group,
    /// The first record that isn't older than these milliseconds since 1970.
    Timestamp(i64),
    /// These.
    Specific(Offsets),
}

const START: &str = "scan.startup.mode";
const END: &str = "scan.bounded.mode";

/// Where reading begins.
pub fn start(options: &Options<'_>, topics: &Topics, properties: &Properties) -> Result<Bound> {
    let words = [
        ("group-offsets", Mode::Group),
        ("earliest-offset", Mode::Earliest),
        ("latest-offset", Mode::Latest),
        ("timestamp", Mode::Timestamp),
        ("specific-offsets", Mode::Specific),
    ];
    let mode = options.one_of(START, &words)?;
    let names = Names {
        mode: START,
        timestamp: "scan.startup.timestamp-millis",
        offsets: "scan.startup.specific-offsets",
    };
    bound(mode, &names, options, topics, properties)
}

/// Where reading ends; none: never.
pub fn end(options: &Options<'_>, topics: &Topics, properties: &Properties) -> Result<Option<Bound>> {
    let words = [
        ("unbounded", None),
        ("latest-offset", Some(Mode::Latest)),
        ("group-offsets", Some(Mode::Group)),
        ("timestamp", Some(Mode::Timestamp)),
        ("specific-offsets", Some(Mode::Specific)),
    ];
    let names = Names {
        mode: END,
        timestamp: "scan.bounded.timestamp-millis",
        offsets: "scan.bounded.specific-offsets",
    };
    match options.one_of(END, &words)? {
        Some(mode) => bound(mode, &names, options, topics, properties).map(Some),
        None => {
            refuse_idle(options, &names, &[names.timestamp, names.offsets])?;
            Ok(None)
        }
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Earliest,
    Latest,
    Group,
    Timestamp,
    Specific,
}

/// The options that say one of the two bounds.
struct Names {
    mode: &'static str,
    timestamp: &'static str,
    offsets: &'static str,
}

fn bound(
    mode: Mode,
    names: &Names,
    options: &Options<'_>,
    topics: &Topics,
    properties: &Properties,
) -> Result<Bound> {
    let idle: &[&str] = match mode {
        Mode::Timestamp => &[names.offsets],
        Mode::Specific => &[names.timestamp],
        Mode::Earliest | Mode::Latest | Mode::Group => &[names.timestamp, names.offsets],
    };
    refuse_idle(options, names, idle)?;
    match mode {
        Mode::Earliest => Ok(Bound::Earliest),
        Mode::Latest => Ok(Bound::Latest),
        Mode::Group if properties.group_id.is_none() => Err(Error::new(
            Code::TableOptions,
            format!(
                "table {}: '{}' = 'group-offsets' needs the option 'properties.group.id': the consumer group whose offsets are meant; or say another '{}'",
                options.table().name,
                names.mode,
                names.mode
            ),
        )),
        Mode::Group => Ok(Bound::Group),
        Mode::Timestamp => options.number(names.timestamp, 0..=i64::MAX).map(Bound::Timestamp),
        Mode::Specific if topics.single().is_none() => {
            Err(options.refuse(names.mode, "another mode beside several topics"))
        }
        Mode::Specific => parse_offsets(options.required(names.offsets)?)
            .map(Bound::Specific)
            .ok_or_else(|| options.refuse(names.offsets, "'partition:0,offset:42;partition:1,offset:300'")),
    }
}

/// Refuses an option that another mode would read.
fn refuse_idle(options: &Options<'_>, names: &Names, idle: &[&str]) -> Result<()> {
    match idle.iter().find(|key| options.is_given(key)) {
        Some(key) => {
            let mode = options.text(names.mode).unwrap_or_default();
            Err(options.refuse(key, format_args!("nothing beside '{}' = '{mode}'", names.mode)))
        }
        None => Ok(()),
    }
}

/// `partition:0,offset:42;partition:1,offset:300`, each partition once.
fn parse_offsets(text: &str) -> Option<Offsets> {
    let mut offsets = Offsets::new();
    for pair in text.trim().trim_end_matches(';').split(';') {
        let (partition, offset) = pair.split_once(',')?;
        let partition: i32 = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset: i64 = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        if partition < 0 || offset < 0 || offsets.insert(partition, offset).is_some() {
            return None;
        }
    }
    Some(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specific_offsets_are_flinks_pairs() {
        let offsets = parse_offsets("partition:0,offset:42;partition:1,offset:300").unwrap();
        assert_eq!(offsets, BTreeMap::from([(0, 42), (1, 300)]));
        assert_eq!(parse_offsets(" partition: 7 , offset: 0 ; ").unwrap(), BTreeMap::from([(7, 0)]));
        for wrong in [
            "",
            "0:42",
            "partition:0",
            "partition:0,offset:x",
            "partition:-1,offset:0",
            "partition:0,offset:-2",
            "partition:0,offset:1;partition:0,offset:2",
        ] {
            assert_eq!(parse_offsets(wrong), None, "{wrong}");
        }
    }
}
