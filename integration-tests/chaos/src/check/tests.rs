//! The judge bites: each way in which an engine can break its promise, planted into a right output, is found, and a right one passes.

use serde_json::{Value, json};

use super::*;
use crate::workload::{Record, timestamp};

const WORKLOAD: Workload = Workload::of(3, 900);

/// Rows of one partition per key, as a hash partitioner would write them.
fn rows(values: impl IntoIterator<Item = (i64, Value)>) -> Vec<Row> {
    let mut next = [0_i64; 4];
    let of = |(key, value): (i64, Value)| {
        let partition = key.rem_euclid(4);
        let offset = &mut next[partition as usize];
        *offset += 1;
        Row { partition: partition as i32, offset: *offset - 1, value }
    };
    let mut rows: Vec<Row> = values.into_iter().map(of).collect();
    rows.sort_by_key(|row| (row.partition, row.offset));
    rows
}

fn view(rows: Vec<Row>) -> View {
    View { live: rows.clone(), fresh: rows.clone(), uncommitted: rows }
}

/// What an engine without faults writes, reading partition by partition in turns; every third planted record was in time.
fn right() -> Outputs {
    let partitions: Vec<Vec<Record>> = (0..WORKLOAD.partitions).map(|p| WORKLOAD.partition(p)).collect();
    let merged: Vec<&Record> =
        (0..900).flat_map(|seq| partitions.iter().map(move |records| &records[seq])).collect();
    let mut count = std::collections::BTreeMap::new();
    let counts = merged.iter().map(|record| {
        let n = count.entry(record.key).or_insert(0_u64);
        *n += 1;
        (record.key, json!({ "key": record.key, "n": *n, "p": record.p, "seq": record.seq }))
    });
    let counts = rows(counts.collect::<Vec<_>>());
    let planted: Vec<&Record> = merged.iter().copied().filter(|record| record.is_planted()).collect();
    let (late, in_time): (Vec<&Record>, Vec<&Record>) =
        planted.into_iter().partition(|record| record.window().1 % 3 != 0);
    let late = late.iter().map(|record| {
        let row = json!({ "key": record.key, "ts": record.ts, "amount": record.amount });
        (record.key, json!({ "row": row.to_string() }))
    });
    let mut windows = WORKLOAD.windows();
    for record in &in_time {
        let amounts =
            in_time.iter().filter(|other| other.window() == record.window()).map(|other| other.amount);
        windows
            .extend(crate::workload::Aggregate::over(amounts).map(|aggregate| (record.window(), aggregate)));
    }
    let windows = windows.iter().map(|((key, start), aggregate)| {
        (*key, json!({ "key": key, "window_start": timestamp(*start), "n": aggregate.count, "total": aggregate.sum,
                       "least": aggregate.min, "greatest": aggregate.max }))
    });
    let identity = || rows(merged.iter().map(|record| (record.key, serde_json::to_value(record).unwrap())));
    let input = WORKLOAD.all().map(|record| Row {
        partition: record.p as i32,
        offset: record.seq as i64,
        value: serde_json::to_value(&record).unwrap(),
    });
    Outputs {
        input: input.collect(),
        identity: view(identity()),
        counts: view(counts),
        windows: view(rows(windows)),
        late: view(rows(late)),
    }
}

/// What is found after this has been done to a right output.
fn found(harm: impl FnOnce(&mut Outputs)) -> Vec<(&'static str, Kind, u64)> {
    let mut outputs = right();
    harm(&mut outputs);
    all(&WORKLOAD, &outputs)
        .into_iter()
        .map(|finding| (finding.invariant, finding.kind, finding.records))
        .collect()
}

/// Doubles a range of rows at the end of their partition, as a batch that is committed twice.
fn again(rows: &mut Vec<Row>, count: usize) {
    let copies: Vec<Row> = rows[10..10 + count].to_vec();
    let end = rows.iter().rposition(|row| row.partition == copies[0].partition).unwrap();
    let offset = rows[end].offset;
    rows.splice(end + 1..end + 1, (1..).zip(copies).map(|(n, row)| Row { offset: offset + n, ..row }));
}

#[test]
fn a_right_output_passes() {
    assert_eq!(found(|_| ()), []);
}

#[test]
fn a_broken_generator_is_no_fault_of_the_engine() {
    let findings = found(|outputs| {
        outputs.input.remove(5);
        outputs.identity.fresh.clear();
    });
    assert_eq!(findings, [("input", Kind::Lost, 1)]);
    let findings = found(|outputs| outputs.input.swap(5, 900));
    assert!(findings.iter().all(|(invariant, ..)| *invariant == "input") && !findings.is_empty());
}

#[test]
fn lost_and_doubled_records_are_named_by_ranges() {
    let mut outputs = right();
    let lost: Vec<Row> = outputs.identity.fresh.drain(100..107).collect();
    again(&mut outputs.identity.fresh, 3);
    let findings = identity::check(&WORKLOAD, &outputs.identity.fresh);
    assert_eq!(findings.len(), 3, "{findings:?}");
    let text = |kind| &findings.iter().find(|finding| finding.kind == kind).unwrap().text;
    assert!(text(Kind::Lost).contains(&lost[0].value["seq"].to_string()), "{}", text(Kind::Lost));
    assert!(text(Kind::Doubled).contains("again at partition 0 offsets "), "{}", text(Kind::Doubled));
    assert!(findings.iter().any(|finding| finding.invariant == "I3"));
}

#[test]
fn a_changed_record_is_wrong_and_lost() {
    let findings = found(|outputs| {
        let view = &mut outputs.identity;
        for rows in [&mut view.live, &mut view.fresh, &mut view.uncommitted] {
            rows[50].value["amount"] = json!(123_456);
        }
    });
    assert_eq!(findings, [("I1", Kind::Lost, 1), ("I1", Kind::Wrong, 1)]);
}

#[test]
fn records_of_a_key_that_change_places_break_the_order() {
    let rows = &mut right().identity.fresh;
    let hot = |row: &&mut Row| row.value["key"] == 4 && row.value["p"] == 2;
    let mut pair = rows.iter_mut().filter(hot);
    let (first, second) = (pair.next().unwrap(), pair.next().unwrap());
    std::mem::swap(&mut first.value, &mut second.value);
    let findings = identity::check(&WORKLOAD, rows);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].invariant, findings[0].records), ("I3", 1));
}

#[test]
fn counts_that_repeat_jump_or_go_back_are_found() {
    let counts = |harm: &dyn Fn(&mut Vec<Row>)| {
        let mut rows = right().counts.fresh;
        harm(&mut rows);
        counts::check(&WORKLOAD, &rows).into_iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(counts(&|rows| again(rows, 5)), [Kind::Doubled, Kind::Wrong], "committed twice");
    assert_eq!(counts(&|rows| drop(rows.drain(20..25))), [Kind::Lost, Kind::Wrong], "never committed");
    let back = |rows: &mut Vec<Row>| {
        let of_key: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].value["key"] == 0).collect();
        for (n, at) in (1..).zip(of_key.into_iter().skip(30)) {
            rows[at].value["n"] = json!(n);
        }
    };
    assert_eq!(counts(&back), [Kind::Wrong], "the state went back to nothing, the output didn't");
    let swapped = |rows: &mut Vec<Row>| {
        let of_key: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].value["key"] == 0).collect();
        let (first, second) = (rows[of_key[7]].value.clone(), rows[of_key[8]].value.clone());
        rows[of_key[7]].value = second;
        rows[of_key[8]].value = first;
    };
    assert_eq!(counts(&swapped), [Kind::Wrong], "commits in another order");
    let elsewhere = |rows: &mut Vec<Row>| rows[40].partition = (rows[40].partition + 1) % 4;
    assert!(counts(&elsewhere).contains(&Kind::Wrong), "another partition");
    let foreign = |rows: &mut Vec<Row>| rows[40].value["seq"] = json!(99_999);
    assert!(counts(&foreign).contains(&Kind::Lost));
}

#[test]
fn windows_that_are_wrong_missing_or_fire_twice_are_found() {
    assert_eq!(found(|outputs| set(&mut outputs.windows, 3, "n", 1_000)), [("I4", Kind::Wrong, 1)]);
    assert_eq!(found(|outputs| set(&mut outputs.windows, 3, "least", 1_000)), [("I4", Kind::Wrong, 1)]);
    let removed = |outputs: &mut Outputs| each(&mut outputs.windows, &|rows| drop(rows.remove(7)));
    assert_eq!(found(removed), [("I4", Kind::Lost, 1)]);
    let twice = |outputs: &mut Outputs| each(&mut outputs.windows, &|rows| again(rows, 1));
    assert_eq!(found(twice), [("I4", Kind::Doubled, 1)]);
    // A window that fires again with less in it, as after a restore without its state.
    let partial = |outputs: &mut Outputs| {
        each(&mut outputs.windows, &|rows| {
            again(rows, 1);
            let last = rows.iter().rposition(|row| row.partition == rows[10].partition).unwrap();
            rows[last].value["n"] = json!(1);
        });
    };
    assert_eq!(found(partial), [("I4", Kind::Doubled, 1)]);
}

#[test]
fn a_late_record_is_neither_dropped_nor_counted_twice() {
    let dropped = |outputs: &mut Outputs| each(&mut outputs.late, &|rows| drop(rows.remove(0)));
    assert_eq!(found(dropped), [("I4", Kind::Lost, 1)], "its window should have it");
    let twice = |outputs: &mut Outputs| each(&mut outputs.late, &|rows| again_first(rows));
    assert_eq!(found(twice), [("I5", Kind::Wrong, 1)]);
    let not_late = |outputs: &mut Outputs| {
        let record = WORKLOAD.partition(0)[3].clone();
        let row = json!({ "key": record.key, "ts": record.ts, "amount": record.amount }).to_string();
        each(&mut outputs.late, &|rows| rows[0].value["row"] = json!(row));
    };
    assert_eq!(found(not_late).len(), 2, "one that was in time, and one that is missing");
}

#[test]
fn what_is_visible_early_or_vanishes_is_found() {
    let early = |outputs: &mut Outputs| {
        let row = Row { partition: 0, offset: 77_777, value: json!({}) };
        outputs.counts.live.push(row);
    };
    assert_eq!(found(early), [("I6", Kind::Wrong, 1)]);
    assert_eq!(found(|outputs| drop(outputs.windows.live.pop())), [("I6", Kind::Lost, 1)]);
    assert_eq!(found(|outputs| outputs.late.live[0].value = json!(1)), [("I6", Kind::Wrong, 1)]);
    assert_eq!(found(|outputs| drop(outputs.identity.uncommitted.pop())), [("I7", Kind::Wrong, 1)]);
}

#[test]
fn sequences_of_any_topic_are_checked() {
    let columns = |ordered| Columns {
        keys: vec!["key".to_owned()],
        sequence: "n".to_owned(),
        first: Some(1),
        count: None,
        ordered,
    };
    let mut counted = right().counts.fresh;
    let whole = columns(true).check(&counted);
    assert_eq!((whole.findings.as_slice(), whole.records), ([].as_slice(), WORKLOAD.total()));
    again(&mut counted, 2);
    counted.remove(0);
    let kinds = |ordered| {
        let mut kinds: Vec<Kind> =
            columns(ordered).check(&counted).findings.iter().map(|finding| finding.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds(true), [Kind::Lost, Kind::Doubled, Kind::Wrong]);
    assert_eq!(kinds(false), [Kind::Lost, Kind::Doubled]);
    counted[0].value = Value::Null;
    assert!(columns(false).check(&counted).findings.iter().any(|finding| finding.invariant == "columns"));
    let one = Columns { keys: Vec::new(), count: Some(5), ..columns(false) };
    let few: Vec<Row> = rows((1..4).map(|n| (0, json!({ "n": n }))));
    assert_eq!(one.check(&few).findings[0].text, ": 4-5");
}

#[test]
fn many_ranges_are_cut_short() {
    assert_eq!(ranges(vec![3, 1, 2, 9]), "1-3, 9");
    assert!(ranges((0..100).map(|n| n * 2).collect()).ends_with("and 88 more"));
}

fn set(view: &mut View, at: usize, field: &str, value: i64) {
    each(view, &|rows| rows[at].value[field] = json!(value));
}

fn each(view: &mut View, harm: &dyn Fn(&mut Vec<Row>)) {
    for rows in [&mut view.live, &mut view.fresh, &mut view.uncommitted] {
        harm(rows);
    }
}

fn again_first(rows: &mut Vec<Row>) {
    let mut row = rows[0].clone();
    row.offset = 5_000;
    rows.push(row);
}
