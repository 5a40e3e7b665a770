//! The generator as a whole: same events at any parallelism, proportions, projections, filters, pacing.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef, TimestampMillisecondType,
};
use weir_api::source::Boundedness;

use super::schema;
use crate::testing::{drain, equals, local, read_with, reader_context, runtime, source, table};

fn read(
    options: &[(&str, &str)],
    projected: SchemaRef,
    filter: Option<i64>,
    parallelism: u32,
) -> Vec<RecordBatch> {
    let io = runtime();
    let source = source(&table("nexmark", &schema::full(), options)).expect("a source");
    let splits = local(source.discover(parallelism)).expect("splits");
    splits
        .into_iter()
        .map(|split| {
            let mut context = reader_context(projected.clone(), io.handle().clone());
            context.filters = filter.map(|kind| equals("event_type", kind)).into_iter().collect();
            read_with(source.as_ref(), context, vec![split]).expect("reads")
        })
        .collect()
}

fn full(options: &[(&str, &str)]) -> RecordBatch {
    read(options, schema::full(), None, 1).remove(0)
}

/// Rows in the order of (time, kind, ids), which is total enough for a comparison of sets.
fn sorted(batches: &[RecordBatch]) -> RecordBatch {
    let all = concat_batches(&batches[0].schema(), batches).unwrap();
    let bid = all.column_by_name("bid").unwrap().as_struct();
    let columns = ["dateTime", "price", "auction", "bidder", "extra"]
        .map(|name| SortColumn { values: bid.column_by_name(name).unwrap().clone(), options: None });
    take_record_batch(&all, &lexsort_to_indices(&columns, None).unwrap()).unwrap()
}

fn projected(of: &SchemaRef, column: &str, fields: &[&str]) -> SchemaRef {
    let DataType::Struct(all) = of.field_with_name(column).unwrap().data_type() else { panic!("a ROW") };
    let fields: Fields =
        fields.iter().map(|name| all.iter().find(|field| field.name() == name).unwrap().clone()).collect();
    Arc::new(Schema::new(vec![Field::new(column, DataType::Struct(fields), true)]))
}

#[test]
fn every_parallelism_generates_the_same_events() {
    let options = [("events.num", "20_003".to_owned().replace('_', ""))];
    let options: Vec<_> = options.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let bids = |parallelism| sorted(&read(&options, schema::full(), Some(2), parallelism));
    let one = bids(1);
    assert_eq!(one.num_rows(), 20_000 / 50 * 46);
    for parallelism in [2, 3, 7] {
        assert_eq!(bids(parallelism), one, "parallelism {parallelism}");
    }
}

#[test]
fn several_splits_in_one_reader_advance_together_in_event_time() {
    let io = runtime();
    let source = source(&table("nexmark", &schema::full(), &[("events.num", "100000")])).unwrap();
    let splits = local(source.discover(4)).unwrap();
    let mut reader = source.reader(reader_context(schema::full(), io.handle().clone()), splits).unwrap();
    let batches = local(drain(reader.as_mut())).unwrap();
    let mut seen = [0_i64; 4];
    for (split, batch) in &batches {
        let bid = batch.column_by_name("bid").unwrap().as_struct();
        let times = bid.column_by_name("dateTime").unwrap().as_primitive::<TimestampMillisecondType>();
        seen[*split] = times.iter().flatten().max().unwrap();
        let behind = seen.iter().filter(|time| **time > 0).min().unwrap();
        assert!(seen.iter().max().unwrap() - behind < 8_000, "{seen:?}");
    }
    assert_eq!(batches.iter().map(|(_, batch)| batch.num_rows()).sum::<usize>(), 100_000);
}

#[test]
fn proportions_times_and_nulls() {
    let all = full(&[("events.num", "50000"), ("first-event.rate", "1000")]);
    let types = all.column(0).as_primitive::<Int32Type>();
    let count = |kind| types.iter().filter(|value| *value == Some(kind)).count();
    assert_eq!((count(0), count(1), count(2)), (1_000, 3_000, 46_000));
    for (kind, name) in [(0, "person"), (1, "auction"), (2, "bid")] {
        let row = all.column_by_name(name).unwrap().as_struct();
        let times = row.column_by_name("dateTime").unwrap().as_primitive::<TimestampMillisecondType>();
        for n in 0..all.num_rows() {
            assert_eq!(row.is_valid(n), types.value(n) == kind);
            assert!(row.columns().iter().all(|column| column.is_valid(n) == row.is_valid(n)));
            if row.is_valid(n) {
                assert_eq!(times.value(n), 1_436_918_400_000 + n as i64);
            }
        }
    }
}

#[test]
fn a_projection_or_a_filter_shows_what_the_full_scan_does() {
    let options = [("events.num", "5000")];
    let all = full(&options);
    for (kind, column) in [(0, "person"), (1, "auction"), (2, "bid")] {
        let row = all.column_by_name(column).unwrap().as_struct();
        for field in row.fields() {
            let schema = projected(&schema::full(), column, &[field.name()]);
            let alone = read(&options, schema, None, 1).remove(0);
            let alone = alone.column(0).as_struct();
            assert_eq!(
                alone.column(0),
                row.column_by_name(field.name()).unwrap(),
                "{column}.{}",
                field.name()
            );
        }
        let only = read(&options, schema::full(), Some(kind), 1).remove(0);
        let of_kind: arrow::array::BooleanArray = all
            .column(0)
            .as_primitive::<Int32Type>()
            .iter()
            .map(|value| value.map(|value| i64::from(value) == kind))
            .collect();
        let expected = arrow::compute::filter_record_batch(&all, &of_kind).unwrap();
        assert_eq!(only.num_rows(), expected.num_rows());
        let rows = |batch: &RecordBatch| {
            arrow::util::pretty::pretty_format_batches(std::slice::from_ref(batch)).unwrap().to_string()
        };
        assert_eq!(rows(&only), rows(&expected));
    }
    // Nothing but a count is wanted.
    let count = read(&options, Arc::new(Schema::empty()), Some(2), 1).remove(0);
    assert_eq!(count.num_rows(), 4_600);
}

fn texts<'a>(row: &'a StructArray, field: &str) -> Vec<&'a str> {
    row.column_by_name(field).unwrap().as_string::<i32>().iter().flatten().collect()
}

#[test]
fn bids_are_nexmarks() {
    let bids = read(&[("events.num", "500000")], schema::full(), Some(2), 1).remove(0);
    let bid = bids.column_by_name("bid").unwrap().as_struct();
    let longs = |field| bid.column_by_name(field).unwrap().as_primitive::<Int64Type>().values().to_vec();
    let (auctions, bidders) = (longs("auction"), longs("bidder"));
    let share = |count: usize| count as f64 / bids.num_rows() as f64;
    let hot = share(auctions.iter().filter(|id| *id % 100 == 0).count());
    assert!((0.50..0.52).contains(&hot), "hot auctions {hot}");
    let hot = share(bidders.iter().filter(|id| *id % 100 == 1).count());
    assert!((0.75..0.77).contains(&hot), "hot bidders {hot}");
    assert!(auctions.iter().all(|id| (1_000..1_000 + 30_000 + 11).contains(id)));
    assert!(bidders.iter().all(|id| (1_000..1_000 + 10_000 + 11).contains(id)));

    let (channels, urls) = (texts(bid, "channel"), texts(bid, "url"));
    let hot =
        share(channels.iter().filter(|name| ["Google", "Facebook", "Baidu", "Apple"].contains(name)).count());
    assert!((0.49..0.51).contains(&hot), "hot channels {hot}");
    assert!(channels.iter().collect::<HashSet<_>>().len() > 9_900);
    for (channel, url) in channels.iter().zip(&urls) {
        let path = url.strip_prefix("https://www.nexmark.com/").expect(url);
        assert_eq!(path.split('/').count(), 4, "{url}");
        let query = path.split('/').next_back().unwrap().strip_prefix("item.htm?query=1").expect(url);
        match (channel.strip_prefix("channel-"), query.strip_prefix("&channel_id=")) {
            (Some(number), Some(id)) => {
                let number: u32 = number.parse().unwrap();
                assert_eq!(id.parse::<u32>().unwrap(), (number.reverse_bits() as i32).unsigned_abs());
            }
            (_, None) => assert_eq!(query, ""),
            (None, Some(_)) => panic!("a hot channel with an id: {url}"),
        }
    }
    let with_id = share(urls.iter().filter(|url| url.contains("channel_id")).count());
    assert!((0.43..0.47).contains(&with_id), "{with_id}");
    let extra = texts(bid, "extra");
    let average = extra.iter().map(|text| text.len()).sum::<usize>() as f64 / extra.len() as f64;
    assert!((67.0..69.0).contains(&average), "{average}");
}

#[test]
fn persons_and_auctions_are_nexmarks() {
    let all = full(&[("events.num", "100000")]);
    let row = |name| {
        let row = all.column_by_name(name).unwrap().as_struct();
        arrow::compute::filter(row, &arrow::compute::is_not_null(row).unwrap()).unwrap().as_struct().clone()
    };
    let (person, auction) = (row("person"), row("auction"));
    let longs = |of: &StructArray, field| {
        of.column_by_name(field).unwrap().as_primitive::<Int64Type>().values().to_vec()
    };
    assert_eq!(longs(&person, "id"), (1_000..3_000).collect::<Vec<_>>());
    assert_eq!(longs(&auction, "id"), (1_000..7_000).collect::<Vec<_>>());
    assert!(longs(&auction, "category").iter().all(|category| (10..15).contains(category)));
    assert!(
        longs(&auction, "reserve")
            .iter()
            .zip(longs(&auction, "initialBid"))
            .all(|(reserve, bid)| *reserve > bid)
    );
    let times = |field| {
        auction.column_by_name(field).unwrap().as_primitive::<TimestampMillisecondType>().values().to_vec()
    };
    assert!(
        times("expires")
            .iter()
            .zip(times("dateTime"))
            .all(|(expires, now)| *expires > now && *expires < now + 1_000)
    );
    for text in texts(&person, "emailAddress") {
        let (user, host) = text.strip_suffix(".com").unwrap().split_once('@').unwrap();
        assert!((3..7).contains(&user.len()) && (3..5).contains(&host.len()), "{text}");
    }
    for text in texts(&person, "creditCard") {
        assert!(text.split(' ').count() == 4 && text.split(' ').all(|part| part.len() == 4), "{text}");
    }
    for (field, lengths) in [("itemName", 3..20), ("description", 3..100)] {
        for text in texts(&auction, field) {
            assert!(lengths.contains(&text.len()) && text.trim() == text, "{text}");
        }
    }
    let average = |of: &StructArray, fixed: usize, fields: &[&str]| {
        let bytes: usize = fields.iter().flat_map(|field| texts(of, field)).map(str::len).sum();
        fixed as f64 + bytes as f64 / of.len() as f64
    };
    let size = average(&person, 8, &["name", "emailAddress", "creditCard", "city", "state", "extra"]);
    assert!((197.0..203.0).contains(&size), "{size}");
    let size = average(&auction, 48, &["itemName", "description", "extra"]);
    assert!((495.0..505.0).contains(&size), "{size}");
}

#[test]
fn another_seed_gives_other_events_and_the_same_the_same() {
    let bids = |seed| {
        read(
            &[("events.num", "1000"), ("seed", seed)],
            projected(&schema::full(), "bid", &["price", "url"]),
            Some(2),
            1,
        )
        .remove(0)
    };
    assert_eq!(bids("1"), bids("1"));
    assert_ne!(bids("1"), bids("2"));
}

#[test]
fn a_paced_source_takes_as_long_as_its_rate_says() {
    let started = Instant::now();
    let all = full(&[("events.num", "500"), ("first-event.rate", "1000"), ("max-emit-speed", "false")]);
    assert_eq!(all.num_rows(), 500);
    let elapsed = started.elapsed().as_millis();
    assert!((480..2_000).contains(&elapsed), "{elapsed}");
}

#[test]
fn boundedness_and_filters() {
    let of = |options: &[(&str, &str)]| source(&table("nexmark", &schema::full(), options)).unwrap();
    assert_eq!(of(&[]).boundedness(), Boundedness::Unbounded);
    assert_eq!(of(&[("events.num", "5")]).boundedness(), Boundedness::Bounded);
    assert_eq!(of(&[("events.num", "5"), ("keep-alive", "true")]).boundedness(), Boundedness::Unbounded);
    let accepted = of(&[]).accepts(&[equals("event_type", 2), equals("price", 2)]);
    assert_eq!(accepted, [true, false]);
    let error = source(&table("nexmark", &schema::full(), &[("event.num", "5")])).err().unwrap();
    assert!(error.message().contains("did you mean 'events.num'"), "{error}");
}
