"""The SQL that is measured."""

EVENTS_TABLE = """CREATE TABLE events (
    event_type INT,
    person ROW<id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
               `dateTime` TIMESTAMP(3), extra VARCHAR>,
    auction ROW<id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
                `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
    bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
            `dateTime` TIMESTAMP(3), extra VARCHAR>,
    `dateTime` AS CASE WHEN event_type = 0 THEN person.`dateTime` WHEN event_type = 1 THEN auction.`dateTime`
                       ELSE bid.`dateTime` END,
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (OPTIONS);
CREATE VIEW bid AS
SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, `dateTime`, bid.extra
FROM events WHERE event_type = 2;
"""
BID_COLUMNS = "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR"
HOP_COLUMNS = "auction BIGINT, num BIGINT, starttime TIMESTAMP(3), endtime TIMESTAMP(3)"
HOP = """SELECT auction, COUNT(*) AS num, window_start AS starttime, window_end AS endtime
           FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
           GROUP BY auction, window_start, window_end"""
HOP_IN_DUCKDB = """SELECT auction, count(*) AS num, starttime, starttime + INTERVAL 10 SECOND AS endtime
FROM (
    SELECT auction, time_bucket(INTERVAL 2 SECOND, "dateTime", TIMESTAMP '1970-01-01') - to_seconds(2 * k) AS starttime
    FROM bid, range(5) AS hops(k)
)
GROUP BY auction, starttime"""

# name: (sink columns, query, target in CPU-s per million events)
GENERATED = {
    "q0": (
        "auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra VARCHAR",
        "SELECT auction, bidder, price, `dateTime`, extra FROM bid",
        0.10,
    ),
    "q1": (
        "auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), `dateTime` TIMESTAMP(3), extra VARCHAR",
        "SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra FROM bid",
        0.10,
    ),
    "q2": ("auction BIGINT, price BIGINT", "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0", 0.10),
    "q5 hopping count": (HOP_COLUMNS, HOP, 0.30),
    "q7 windowed maximum": (
        "maxprice BIGINT, endtime TIMESTAMP(3)",
        """SELECT MAX(price) AS maxprice, window_end AS endtime
           FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND)) GROUP BY window_start, window_end""",
        0.15,
    ),
    "tumbling count by auction": (
        "auction BIGINT, window_end TIMESTAMP(3), num BIGINT",
        """SELECT auction, window_end, COUNT(*) AS num
           FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
           GROUP BY auction, window_start, window_end""",
        0.15,
    ),
}

# Of those, the ones that are compared with DuckDB on the same Parquet files: name, the same in DuckDB.
FROM_PARQUET = {
    "q1": 'SELECT auction, bidder, CAST(0.908 AS DECIMAL(4, 3)) * CAST(price AS DECIMAL(19, 0)) AS price, "dateTime", extra FROM bid',
    "q2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    "tumbling count by auction": """SELECT auction, starttime + INTERVAL 10 SECOND AS window_end, count(*) AS num
        FROM (SELECT auction, time_bucket(INTERVAL 10 SECOND, "dateTime", TIMESTAMP '1970-01-01') AS starttime FROM bid)
        GROUP BY auction, starttime""",
}


def table(name, columns, options):
    return f"CREATE TABLE {name} ({columns}) WITH ({options});\n"


def sink(columns, options="'connector' = 'blackhole'"):
    return table("sink", columns, options)


def events(count, more=""):
    """Nexmark's generator with so many events, and the view of its bids."""
    return EVENTS_TABLE.replace("OPTIONS", f"'connector' = 'nexmark', 'events.num' = '{count}'{more}")


def bids(options):
    """A table of bids with a watermark, under the name of the generator's view."""
    return table("bid", f"{BID_COLUMNS}, WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND", options)


def files(folder, kind):
    return f"'connector' = 'filesystem', 'path' = '{folder}', 'format' = '{kind}'"


def topic(bootstrap, name):
    """A topic of JSON that is read from its start to where it ends now. Flink and Weir take the same."""
    return (f"'connector' = 'kafka', 'topic' = '{name}', 'properties.bootstrap.servers' = '{bootstrap}', "
            "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'json'")
