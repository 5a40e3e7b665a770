//! The shape of Nexmark's scripts: a generated table, views on it, sinks, queries.

use super::all;
use crate::statement::{ColumnKind, Statement};

const DDL: &str = "
CREATE TABLE datagen (
    event_type int,
    person ROW<
        id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
        dateTime TIMESTAMP(3), extra VARCHAR>,
    auction ROW<
        id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
        dateTime TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
    bid ROW<
        auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
        dateTime TIMESTAMP(3), extra VARCHAR>,
    dateTime AS
        CASE
            WHEN event_type = 0 THEN person.dateTime
            WHEN event_type = 1 THEN auction.dateTime
            ELSE bid.dateTime
        END,
    WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH (
    'connector' = 'nexmark',
    'first-event.rate' = '10000',
    'next-event.rate' = '10000',
    'events.num' = '100',
    'person.proportion' = '1',
    'auction.proportion' = '3',
    'bid.proportion' = '46'
);

CREATE VIEW person AS
SELECT person.id, person.name, person.emailAddress, person.creditCard, person.city, person.state, dateTime, person.extra
FROM datagen WHERE event_type = 0;

CREATE VIEW auction AS
SELECT auction.id, auction.itemName, auction.description, auction.initialBid, auction.reserve, dateTime,
  auction.expires, auction.seller, auction.category, auction.extra
FROM datagen WHERE event_type = 1;

CREATE VIEW bid AS
SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, dateTime, bid.extra
FROM datagen WHERE event_type = 2;
";

const QUERIES: &str = "
CREATE TABLE discard_sink (
  auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), bidTimeType VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR
) WITH ('connector' = 'blackhole');

INSERT INTO discard_sink
SELECT auction, bidder, 0.908 * price as price,
  CASE WHEN HOUR(dateTime) >= 8 AND HOUR(dateTime) <= 18 THEN 'dayTime'
       WHEN HOUR(dateTime) <= 6 OR HOUR(dateTime) >= 20 THEN 'nightTime' ELSE 'otherTime' END AS bidTimeType,
  dateTime, extra
FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;

SELECT AuctionBids.auction, AuctionBids.num
FROM (
  SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
  FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
  GROUP BY auction, window_start, window_end
) AS AuctionBids
JOIN (
  SELECT max(CountBids.num) AS maxn, CountBids.starttime, CountBids.endtime
  FROM (
    SELECT count(*) AS num, window_start AS starttime, window_end AS endtime
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
  ) AS CountBids
  GROUP BY CountBids.starttime, CountBids.endtime
) AS MaxBids
ON AuctionBids.starttime = MaxBids.starttime AND AuctionBids.endtime = MaxBids.endtime AND AuctionBids.num >= MaxBids.maxn;

SELECT B.auction, B.price, B.bidder, B.dateTime, B.extra
FROM bid B
JOIN (
  SELECT MAX(price) AS maxprice, window_end as dateTime
  FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end
) B1
ON B.price = B1.maxprice
WHERE B.dateTime BETWEEN B1.dateTime - INTERVAL '10' SECOND AND B1.dateTime;

SELECT auction, id FROM (
  SELECT A.*, B.auction, ROW_NUMBER() OVER (PARTITION BY A.id ORDER BY B.price DESC, B.dateTime ASC) AS rownum
  FROM auction A, bid B WHERE A.id = B.auction AND B.dateTime BETWEEN A.dateTime AND A.expires
) WHERE rownum <= 1;

SELECT DATE_FORMAT(dateTime, 'yyyy-MM-dd') as `day`,
  count(*) filter (where price < 10000) AS rank1_bids,
  count(distinct bidder) filter (where price >= 10000 and price < 1000000) AS rank2_bidders
FROM bid GROUP BY DATE_FORMAT(dateTime, 'yyyy-MM-dd');

SELECT auction, bidder, price, channel,
  CASE WHEN lower(channel) = 'apple' THEN '0' ELSE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) END AS channel_id
FROM bid WHERE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) is not null or lower(channel) in ('apple', 'google');

SELECT B.auction, S.`value` FROM (SELECT *, PROCTIME() as p_time FROM bid) B
JOIN side_input FOR SYSTEM_TIME AS OF B.p_time AS S ON mod(B.auction, 10000) = S.key;
";

#[test]
fn the_tables_and_views_read() {
    let statements = all(DDL);
    let [Statement::CreateTable(table), Statement::CreateView(person), _, Statement::CreateView(bid)] =
        statements.as_slice()
    else {
        panic!("{statements:?}")
    };
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| match &column.kind {
            ColumnKind::Physical(data_type) => format!("{} {data_type}", column.name),
            ColumnKind::Computed(expression) => format!("{} AS {expression}", column.name),
            ColumnKind::Metadata { .. } => panic!("no metadata here"),
        })
        .collect();
    assert_eq!(columns.len(), 5);
    assert_eq!(columns[0], "event_type INT");
    assert_eq!(
        columns[3],
        "bid ROW<`auction` BIGINT, `bidder` BIGINT, `price` BIGINT, `channel` STRING, `url` STRING, \
         `dateTime` TIMESTAMP(3), `extra` STRING>"
    );
    assert_eq!(
        columns[4],
        "dateTime AS CASE WHEN event_type = 0 THEN person.dateTime WHEN event_type = 1 THEN auction.dateTime \
         ELSE bid.dateTime END"
    );
    let watermark = table.watermark.as_ref().unwrap();
    assert_eq!(watermark.column.value, "dateTime");
    assert_eq!(watermark.expression.to_string(), "dateTime - INTERVAL '4' SECOND");
    assert_eq!(table.options.len(), 7);
    assert_eq!((table.options[3].key.as_str(), table.options[3].value.as_str()), ("events.num", "100"));
    assert_eq!(person.name.to_string(), "person");
    assert!(bid.query.ast.to_string().ends_with("FROM datagen WHERE event_type = 2"));
}

#[test]
fn the_queries_read() {
    let windows: Vec<usize> = all(QUERIES)
        .iter()
        .map(|statement| match statement {
            Statement::Query(query) => query.windows.len(),
            Statement::Insert(insert) => insert.query.windows.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(windows, [0, 0, 2, 1, 0, 0, 0, 0]);
}
