CREATE TABLE signals (
    number          bigint NOT NULL,  -- of the signal's ledger event; of the verdict's when an order was asked for
    correlation     bigint NOT NULL,
    at_ns           bigint NOT NULL,
    strategy        text   NOT NULL,  -- request: an order was asked for
    version         bigint,           -- 0: somebody outside submitted it
    parameters_hash text,
    symbol          text   NOT NULL,
    side            text   NOT NULL,
    bar_time_ns     bigint,
    level_price     bigint,           -- nanos, as every price; NULL: there is none
    entry_price     bigint,
    stop_price      bigint,
    target_price    bigint,
    confidence_ppm  bigint,
    verdict         text,             -- approved, refused; NULL, and all that follows, while there is none
    verdict_number  bigint,
    quantity        bigint,           -- nanos of units, 0 when refused
    risk            bigint,           -- nanos of the account's currency, lost at the stop
    size_ppm        bigint,
    policy          text,
    refused_by      text[],           -- the rules that did not pass
    rules           jsonb,            -- every rule as it was evaluated, in order
    sizing          jsonb,            -- how the size came about, step by step; NULL of verdicts that did not say
    since           bigint NOT NULL,
    until           bigint NOT NULL,
    PRIMARY KEY (number, since)
);
CREATE UNIQUE INDEX ON signals (number) WHERE until = 9223372036854775807;
