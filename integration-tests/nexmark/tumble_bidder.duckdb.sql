SELECT bidder, window_start, window_start + INTERVAL 10 SECOND AS window_end, count(*) AS bids, max(channel) AS last_channel
FROM (SELECT *, time_bucket(INTERVAL 10 SECOND, "dateTime", TIMESTAMP '1970-01-01 00:00:03') AS window_start FROM bid)
GROUP BY bidder, window_start
