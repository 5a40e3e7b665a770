SELECT bidder, window_start, window_end, COUNT(*) AS bids, MAX(channel) AS last_channel
FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND, INTERVAL '3' SECOND)
GROUP BY bidder, window_start, window_end
