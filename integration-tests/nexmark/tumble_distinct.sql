SELECT window_start, window_end, COUNT(DISTINCT bidder) AS bidders, COUNT(DISTINCT auction) AS auctions,
       COUNT(DISTINCT channel) FILTER (WHERE price > 1000000) AS channels, COUNT(*) AS bids
FROM TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND)
GROUP BY window_start, window_end
