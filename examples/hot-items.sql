-- The busiest auctions of every ten seconds, from Nexmark's generator into JSON files.

CREATE TABLE events (
    event_type INT,
    bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR>,
    `dateTime` AS bid.`dateTime`,
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH ('connector' = 'nexmark', 'events.num' = '100000');

CREATE TABLE hot_items (
    auction BIGINT, window_start TIMESTAMP(3), window_end TIMESTAMP(3), bids BIGINT, highest BIGINT
) WITH ('connector' = 'filesystem', 'path' = '/tmp/weir/hot-items', 'format' = 'json');

INSERT INTO hot_items
SELECT auction, window_start, window_end, COUNT(*) AS bids, MAX(price) AS highest
FROM (
    SELECT bid.auction AS auction, bid.price AS price, window_start, window_end
    FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
    WHERE event_type = 2
)
GROUP BY auction, window_start, window_end
HAVING COUNT(*) > 100;
