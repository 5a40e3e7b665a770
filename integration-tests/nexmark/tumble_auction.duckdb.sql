SELECT auction, window_start, window_start + INTERVAL 10 SECOND AS window_end, count(*) AS bids,
       CAST(sum(price) AS BIGINT) AS total, min(price) AS lowest, CAST(sum(price) // count(*) AS BIGINT) AS average,
       count(*) FILTER (WHERE price > 1000000) AS high
FROM (SELECT *, time_bucket(INTERVAL 10 SECOND, "dateTime", TIMESTAMP '1970-01-01') AS window_start FROM bid)
GROUP BY auction, window_start
