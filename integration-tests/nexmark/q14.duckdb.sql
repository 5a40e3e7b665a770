SELECT
    auction, bidder, CAST(0.908 AS DECIMAL(4, 3)) * CAST(price AS DECIMAL(19, 0)) AS price,
    CASE
        WHEN hour("dateTime") BETWEEN 8 AND 18 THEN 'dayTime'
        WHEN hour("dateTime") <= 6 OR hour("dateTime") >= 20 THEN 'nightTime'
        ELSE 'otherTime'
    END AS bidTimeType,
    "dateTime", extra, CAST(length(extra) - length(replace(extra, 'c', '')) AS BIGINT) AS c_counts
FROM bid
WHERE CAST(0.908 AS DECIMAL(4, 3)) * CAST(price AS DECIMAL(19, 0)) > 1000000
  AND CAST(0.908 AS DECIMAL(4, 3)) * CAST(price AS DECIMAL(19, 0)) < 50000000
