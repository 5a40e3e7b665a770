SELECT auction, count(*) AS num, starttime, starttime + INTERVAL 10 SECOND AS endtime
FROM (
    SELECT auction, time_bucket(INTERVAL 2 SECOND, "dateTime", TIMESTAMP '1970-01-01') - to_seconds(2 * k) AS starttime
    FROM bid, range(5) AS hops(k)
)
GROUP BY auction, starttime
