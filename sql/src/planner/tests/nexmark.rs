//! Nexmark's queries, in the form of nexmark-flink.

use weir_proto::v1::operator_spec::Kind;

use super::{explain, names, plan, specs};

pub const TABLES: &str = "
CREATE TABLE nexmark (
  event_type INT,
  person ROW<id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
    `dateTime` TIMESTAMP(3), extra VARCHAR>,
  auction ROW<id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
    `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3),
    extra VARCHAR>,
  `dateTime` AS CASE WHEN event_type = 0 THEN person.`dateTime` WHEN event_type = 1 THEN auction.`dateTime`
    ELSE bid.`dateTime` END,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH ('connector' = 'filtering');
CREATE VIEW bid AS SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, `dateTime`, bid.extra
  FROM nexmark WHERE event_type = 2;
";

fn query(sink: &str, query: &str) -> String {
    format!(
        "{TABLES}\nCREATE TABLE sink ({sink}) WITH ('connector' = 'unbounded');\nEXPLAIN INSERT INTO sink {query};"
    )
}

#[test]
fn q0_passes_rows_through() {
    let text = query(
        "auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra VARCHAR",
        "SELECT auction, bidder, price, `dateTime`, extra FROM bid",
    );
    insta::assert_snapshot!(explain(&text));
}

#[test]
fn q1_converts_prices() {
    let text = query(
        "auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), `dateTime` TIMESTAMP(3), extra VARCHAR",
        "SELECT auction, bidder, 0.908 * price as price, `dateTime`, extra FROM bid",
    );
    insta::assert_snapshot!(explain(&text));
}

#[test]
fn q2_filters() {
    let text =
        query("auction BIGINT, price BIGINT", "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0");
    insta::assert_snapshot!(explain(&text));
}

#[test]
fn q5_counts_in_hops() {
    let text = query(
        "auction BIGINT, num BIGINT, starttime TIMESTAMP(3), endtime TIMESTAMP(3)",
        "SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
         FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
         GROUP BY auction, window_start, window_end",
    );
    insta::assert_snapshot!(explain(&text));
}

#[test]
fn q7_takes_the_largest_price_of_a_window() {
    let text = query(
        "maxprice BIGINT, `dateTime` TIMESTAMP(3)",
        "SELECT MAX(price) AS maxprice, window_end as `dateTime`
         FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end",
    );
    insta::assert_snapshot!(explain(&text));
}

#[test]
fn q14_computes_in_one_calc() {
    let text = query(
        "auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), bidTimeType VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR",
        "SELECT auction, bidder, 0.908 * price as price,
           CASE WHEN HOUR(`dateTime`) >= 8 AND HOUR(`dateTime`) <= 18 THEN 'dayTime'
                WHEN HOUR(`dateTime`) <= 6 OR HOUR(`dateTime`) >= 20 THEN 'nightTime' ELSE 'otherTime' END AS bidTimeType,
           `dateTime`, extra
         FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000",
    );
    insta::assert_snapshot!(explain(&text));
}

#[test]
fn q21_and_q22_cut_strings() {
    let text = query(
        "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, channel_id VARCHAR",
        "SELECT auction, bidder, price, channel,
           CASE WHEN lower(channel) = 'apple' THEN '0' WHEN lower(channel) = 'google' THEN '1'
                WHEN lower(channel) = 'facebook' THEN '2' WHEN lower(channel) = 'baidu' THEN '3'
                ELSE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) END AS channel_id
         FROM bid
         WHERE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) IS NOT NULL
           OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')",
    );
    insta::assert_snapshot!(explain(&text));
    let text = query(
        "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, dir1 VARCHAR, dir2 VARCHAR, dir3 VARCHAR",
        "SELECT auction, bidder, price, channel, SPLIT_INDEX(url, '/', 3) as dir1, SPLIT_INDEX(url, '/', 4) as dir2,
           SPLIT_INDEX(url, '/', 5) as dir3 FROM bid",
    );
    insta::assert_snapshot!(explain(&text));
}

#[test]
fn only_the_fields_that_are_read_are_asked_for() {
    let text =
        query("auction BIGINT, price BIGINT", "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0")
            .replace("EXPLAIN ", "");
    let graph = plan(&text);
    let Kind::Source(source) = &specs(&graph)[0] else { panic!("a source first") };
    let schema = weir_api::schema::decode(&source.projected_schema).unwrap();
    assert_eq!(names(&graph)[0], "Source: nexmark[bid(auction, price), filter=[event_type = 2]]");
    assert_eq!(schema.fields().len(), 1);
    assert_eq!(source.filters.len(), 1);
    assert!(source.watermark.is_none());
    assert_eq!(graph.vertices().len(), 1);
}
