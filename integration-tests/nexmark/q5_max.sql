SELECT MAX(num) AS maxn, starttime, endtime
FROM (
    SELECT COUNT(*) AS num, window_start AS starttime, window_end AS endtime, window_start, window_end
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
)
GROUP BY window_start, window_end, starttime, endtime
