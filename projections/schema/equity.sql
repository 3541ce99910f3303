CREATE TABLE equity (
    number    bigint NOT NULL,  -- of the ledger event
    at_ns     bigint NOT NULL,
    kind      text   NOT NULL,  -- booked, marked, day
    balance   bigint NOT NULL,  -- money in nanos of the account's currency, here and below
    floating  bigint NOT NULL,
    equity    bigint NOT NULL,
    low       bigint NOT NULL,
    high      bigint NOT NULL,
    peak      bigint NOT NULL,
    drawdown  bigint NOT NULL,
    since     bigint NOT NULL,
    until     bigint NOT NULL,
    PRIMARY KEY (number, since)
);
CREATE INDEX ON equity (at_ns);
