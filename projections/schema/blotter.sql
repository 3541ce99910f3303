CREATE TABLE orders (
    number         bigint NOT NULL,  -- of the ledger event that placed it
    correlation    bigint NOT NULL,
    causation      bigint,
    symbol         text   NOT NULL,
    side           text   NOT NULL,
    order_type     text   NOT NULL,
    purpose        text   NOT NULL,
    state          text   NOT NULL,  -- placed, triggered, partially_filled, filled, canceled, expired, rejected
    quantity       bigint NOT NULL,  -- nanos of units, as filled and leaves, which add up to it
    filled         bigint NOT NULL,
    leaves         bigint NOT NULL,
    average_price  bigint,           -- nanos, as every price; NULL: there is none
    fees           bigint NOT NULL,  -- nanos of the account's currency
    limit_price    bigint,
    trigger_price  bigint,
    stop_price     bigint,
    target_price   bigint,
    time_in_force  text   NOT NULL,
    expires_at_ns  bigint,
    active_from_ns bigint NOT NULL,
    oco            bigint,
    placed_at_ns   bigint NOT NULL,
    changed_at_ns  bigint NOT NULL,
    reason         text,
    since          bigint NOT NULL,
    until          bigint NOT NULL,
    PRIMARY KEY (number, since)
);
CREATE UNIQUE INDEX ON orders (number) WHERE until = 9223372036854775807;
CREATE INDEX ON orders (until, since) WHERE state IN ('placed', 'triggered', 'partially_filled');  -- working then

CREATE TABLE fills (
    number       bigint  NOT NULL,  -- of the ledger event
    order_number bigint  NOT NULL,
    execution    bigint  NOT NULL,  -- counts from 1 within the order
    correlation  bigint  NOT NULL,
    symbol       text    NOT NULL,
    side         text    NOT NULL,
    purpose      text    NOT NULL,
    price        bigint  NOT NULL,  -- nanos
    quantity     bigint  NOT NULL,  -- nanos of units
    liquidity    text    NOT NULL,
    at_ns        bigint  NOT NULL,
    realised     bigint  NOT NULL,  -- nanos of the account's currency, as fee and trade_result; 0 before its booking
    fee          bigint  NOT NULL,
    closed       boolean NOT NULL,
    trade_result bigint  NOT NULL,  -- of the whole trade when this fill closed it, else 0
    details      jsonb   NOT NULL,  -- the event's other fields as they are stored
    since        bigint  NOT NULL,
    until        bigint  NOT NULL,
    PRIMARY KEY (number, since)
);
CREATE UNIQUE INDEX ON fills (number) WHERE until = 9223372036854775807;
CREATE INDEX ON fills (order_number);
