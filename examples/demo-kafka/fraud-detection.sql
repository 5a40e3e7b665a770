-- Fraud detection from topic to topic: features per card over tumbling and hopping windows of the transactions, and alerts where they
-- stand out. What stands in examples/fraud-detection.sql on generated data, on a stream.
--
-- The broker is localhost:9092; `make demo-kafka` starts one of its own and puts its address here.

CREATE TABLE transactions (
    card INT, merchant INT, amount DECIMAL(10, 2), country STRING, happened TIMESTAMP(3),
    WATERMARK FOR happened AS happened - INTERVAL '2' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = 'transactions',
    'properties.bootstrap.servers' = 'localhost:9092',
    'scan.startup.mode' = 'earliest-offset',
    -- A partition where nothing happens holds the others back no longer than this.
    'scan.watermark.idle-timeout' = '5 s',
    'format' = 'json',
    'on-error' = 'skip'
);

-- How much a card spends in ten seconds, and how often.
CREATE VIEW spending AS
SELECT card, window_start, window_end,
       COUNT(*) AS payments,
       SUM(amount) AS spent,
       MAX(amount) AS largest,
       COUNT(*) FILTER (WHERE amount < 2) AS probes
FROM TABLE(TUMBLE(TABLE transactions, DESCRIPTOR(happened), INTERVAL '10' SECOND))
GROUP BY card, window_start, window_end;

-- At how many merchants a card is seen within ten seconds, looked at every two.
CREATE VIEW spread AS
SELECT card, window_start, window_end,
       COUNT(DISTINCT merchant) AS merchants,
       SUM(amount) AS spent
FROM TABLE(HOP(TABLE transactions, DESCRIPTOR(happened), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
GROUP BY card, window_start, window_end;

CREATE TABLE alerts (
    rule STRING, card INT, window_start TIMESTAMP(3), window_end TIMESTAMP(3), spent DECIMAL(38, 2)
) WITH (
    'connector' = 'kafka',
    'topic' = 'alerts',
    'properties.bootstrap.servers' = 'localhost:9092',
    -- Whatever dies, each alert comes once: with the checkpoint that holds it, for readers of committed records.
    'sink.delivery-guarantee' = 'exactly-once',
    'format' = 'json'
);

INSERT INTO alerts
SELECT 'probing, then a large payment' AS rule, card, window_start, window_end, spent
FROM spending WHERE probes >= 8 AND largest > 9000
UNION ALL
SELECT 'seen everywhere' AS rule, card, window_start, window_end, spent
FROM spread WHERE merchants >= 57;
