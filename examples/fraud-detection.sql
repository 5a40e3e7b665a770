-- Fraud detection on card transactions: features per card over tumbling and hopping windows, and alerts where they stand out.
--
-- The transactions come from a seed, so every run sees the same cards and amounts; they go on until the job is stopped. Run it with
--   weir run examples/fraud-detection.sql
-- on a cluster that takes checkpoints (`execution.checkpointing.interval`, `execution.checkpointing.dir`): with each of them alerts come
-- into /tmp/weir/alerts as JSON lines. The TaskManagers print them too, at once, and after a failure some of them again.

CREATE TABLE transactions (
    card INT,
    merchant INT,
    u DOUBLE,
    country STRING,
    happened TIMESTAMP(3),
    -- Most amounts are small, a few are large: 1 to 10000, evenly spread by magnitude.
    amount AS CAST(POWER(10, u * 4) AS DECIMAL(10, 2)),
    WATERMARK FOR happened AS happened - INTERVAL '2' SECOND
) WITH (
    'connector' = 'datagen',
    'seed' = '42',
    'rows-per-second' = '20000',
    'fields.card.min' = '1',
    'fields.card.max' = '5000',
    'fields.merchant.min' = '1',
    'fields.merchant.max' = '300',
    'fields.u.min' = '0',
    'fields.u.max' = '1',
    'fields.country.length' = '1',
    'fields.happened.max-past' = '1 s'
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

CREATE VIEW alerts AS
SELECT 'probing, then a large payment' AS rule, card, window_start, window_end, spent
FROM spending WHERE probes >= 8 AND largest > 9000
UNION ALL
SELECT 'seen everywhere' AS rule, card, window_start, window_end, spent
FROM spread WHERE merchants >= 57;

CREATE TABLE alert_file (
    rule STRING, card INT, window_start TIMESTAMP(3), window_end TIMESTAMP(3), spent DECIMAL(38, 2)
) WITH ('connector' = 'filesystem', 'path' = '/tmp/weir/alerts', 'format' = 'json');

CREATE TABLE console (
    rule STRING, card INT, window_start TIMESTAMP(3), window_end TIMESTAMP(3), spent DECIMAL(38, 2)
) WITH ('connector' = 'print', 'print-identifier' = 'ALERT');

INSERT INTO alert_file SELECT rule, card, window_start, window_end, spent FROM alerts;
INSERT INTO console SELECT rule, card, window_start, window_end, spent FROM alerts;
