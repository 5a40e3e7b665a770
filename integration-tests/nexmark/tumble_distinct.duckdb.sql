SELECT window_start, window_start + INTERVAL 10 SECOND AS window_end, count(DISTINCT bidder) AS bidders,
       count(DISTINCT auction) AS auctions, count(DISTINCT channel) FILTER (WHERE price > 1000000) AS channels, count(*) AS bids
FROM (SELECT *, time_bucket(INTERVAL 10 SECOND, "dateTime", TIMESTAMP '1970-01-01') AS window_start FROM bid)
GROUP BY window_start
