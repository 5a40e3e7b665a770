SELECT max(price) AS maxprice, starttime + INTERVAL 10 SECOND AS endtime, starttime + INTERVAL 9999 MILLISECOND AS "dateTime"
FROM (SELECT price, time_bucket(INTERVAL 10 SECOND, "dateTime", TIMESTAMP '1970-01-01') AS starttime FROM bid)
GROUP BY starttime
