CREATE TABLE positions (
    symbol        text   NOT NULL,
    quantity      bigint NOT NULL,  -- nanos of units, signed; 0: flat
    cost          bigint NOT NULL,  -- nanos of the quote currency, signed like the quantity
    average_price bigint,           -- nanos; NULL when flat
    realised      bigint NOT NULL,  -- nanos of the account's currency over all bookings, as fees
    fees          bigint NOT NULL,
    trades        bigint NOT NULL,  -- closed
    opened_at_ns  bigint,
    changed_at_ns bigint NOT NULL,
    correlation   bigint,           -- of the trade that opened it
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    PRIMARY KEY (symbol, since)
);
CREATE UNIQUE INDEX ON positions (symbol) WHERE until = 9223372036854775807;
