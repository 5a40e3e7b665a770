//! `weir verify exactly-once`: whether a topic holds each key's records once and in order, whoever wrote it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};
use weir_api::error::Result;
use weir_connectors::kafka::{Record, read_committed};

use crate::args::{ExactlyOnceArgs, Format};
use crate::output;
use crate::sequences::{Judge, Place, Verdict, Violation, Wrong};

/// Reads the topic and prints what is wrong with it.
pub fn exactly_once(arguments: &ExactlyOnceArgs, format: Format) -> Result<ExitCode> {
    let mut judge = Judge::new(arguments.from);
    let mut see = |record: Record<'_>| {
        let place = Place { partition: record.partition, offset: record.offset };
        match record.value.and_then(|bytes| fields(bytes, arguments)) {
            Some((key, number)) => judge.see(&key, number, place),
            None => judge.unreadable(place),
        }
    };
    read_committed(&arguments.topic, &options(arguments), &mut see)?;
    let verdict = judge.verdict();
    let is_whole = verdict.counts.is_empty();
    let count = |wrong: Wrong| verdict.counts.get(&wrong).copied().unwrap_or(0);
    let value = json!({
        "exactly-once": is_whole,
        "records": verdict.records,
        "keys": verdict.keys,
        "lost": count(Wrong::Lost),
        "doubled": count(Wrong::Doubled),
        "out-of-order": count(Wrong::Disordered),
        "foreign": count(Wrong::Foreign),
        "violations": verdict.violations.iter().map(document).collect::<Vec<_>>(),
    });
    output::print(format, &value, |_| text(&verdict))?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(arguments: &ExactlyOnceArgs) -> BTreeMap<String, String> {
    let property = |(key, value): &(String, String)| {
        let key = key.strip_prefix("properties.").unwrap_or(key);
        (format!("properties.{key}"), value.clone())
    };
    let mut options: BTreeMap<_, _> = arguments.define.iter().map(property).collect();
    options.insert("properties.bootstrap.servers".to_owned(), arguments.bootstrap.clone());
    options
}

/// Key and number of a record, if it is a JSON object that has both.
fn fields(bytes: &[u8], arguments: &ExactlyOnceArgs) -> Option<(String, i64)> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let key = value.get(&arguments.key).filter(|key| !key.is_null())?;
    Some((output::cell(key), value.get(&arguments.sequence)?.as_i64()?))
}

fn document(violation: &Violation) -> Value {
    let place = |place: &Place| json!({ "partition": place.partition, "offset": place.offset });
    json!({
        "kind": violation.wrong.as_str(),
        "key": violation.key,
        "first": violation.key.as_ref().map(|_| violation.numbers.0),
        "last": violation.key.as_ref().map(|_| violation.numbers.1),
        "from": violation.places.0.as_ref().map(place),
        "to": place(&violation.places.1),
    })
}

fn text(verdict: &Verdict) -> String {
    let head = format!("{} records of {} keys", verdict.records, verdict.keys);
    if verdict.counts.is_empty() {
        return format!("Exactly once: {head}, each key's numbers without gap or repeat.");
    }
    let counts = Wrong::ALL
        .iter()
        .filter_map(|wrong| verdict.counts.get(wrong).map(|count| format!("{count} {}", wrong.as_str())));
    let counts = counts.collect::<Vec<_>>().join(", ");
    let rows = verdict.violations.iter().map(|violation| {
        let (first, last) = violation.numbers;
        let numbers = match &violation.key {
            None => "-".to_owned(),
            Some(_) if first == last => first.to_string(),
            Some(_) => format!("{first}-{last}"),
        };
        let place = |place: &Place| format!("partition {} offset {}", place.partition, place.offset);
        let (from, to) = violation.places;
        let places = match (violation.wrong, from) {
            (Wrong::Lost, None) => format!("before {}", place(&to)),
            (Wrong::Lost, Some(from)) => format!("between {} and {}", place(&from), place(&to)),
            (_, Some(from)) if from != to => format!("{} to {}", place(&from), place(&to)),
            _ => place(&to),
        };
        let key = violation.key.clone().unwrap_or_else(|| "-".to_owned());
        vec![violation.wrong.as_str().to_owned(), key, numbers, places]
    });
    format!(
        "NOT exactly once: {counts} in {head}\n{}",
        output::table(&["KIND", "KEY", "NUMBERS", "WHERE"], rows)
    )
}
