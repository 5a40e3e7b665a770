-- Card transactions, twenty thousand a second without end, into the topic `transactions`.
--
-- The broker is localhost:9092; `make demo-kafka` starts one of its own and puts its address here.

CREATE TABLE generated (
    card INT,
    merchant INT,
    u DOUBLE,
    country STRING,
    happened TIMESTAMP(3)
) WITH (
    'connector' = 'datagen',
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

CREATE TABLE transactions (
    card INT, merchant INT, amount DECIMAL(10, 2), country STRING, happened TIMESTAMP(3)
) WITH (
    'connector' = 'kafka',
    'topic' = 'transactions',
    'properties.bootstrap.servers' = 'localhost:9092',
    -- What a card pays stays in one partition.
    'key.format' = 'json',
    'key.fields' = 'card',
    'value.format' = 'json'
);

-- Most amounts are small, a few are large: 1 to 10000, evenly spread by magnitude.
INSERT INTO transactions
SELECT card, merchant, CAST(POWER(10, u * 4) AS DECIMAL(10, 2)), country, happened FROM generated;
