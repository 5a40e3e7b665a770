SELECT MAX(price) AS maxprice, window_end AS endtime, window_time AS `dateTime`
FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND)
GROUP BY window_start, window_end, window_time
