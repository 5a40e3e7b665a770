SELECT auction, window_start, window_end, COUNT(*) AS bids, SUM(price) AS total, MIN(price) AS lowest, AVG(price) AS average,
       COUNT(*) FILTER (WHERE price > 1000000) AS high
FROM TABLE(TUMBLE(DATA => TABLE bid, TIMECOL => DESCRIPTOR(`dateTime`), SIZE => INTERVAL '10' SECOND))
GROUP BY auction, window_start, window_end
