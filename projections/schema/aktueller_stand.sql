CREATE TABLE account (
    name           text    NOT NULL,  -- 'account'
    at_ns          bigint  NOT NULL,
    balance        bigint,            -- money in nanos of the account's currency, here and below; NULL: not known yet
    floating       bigint,
    equity         bigint,
    margin         bigint,
    daily_room     bigint,            -- how far equity may fall; NULL: no such limit, or not known yet
    total_room     bigint,
    day_balance    bigint,            -- at the last midnight of Prague
    daily_limit    bigint,            -- equity
    total_limit    bigint,
    trading_days   bigint  NOT NULL,  -- with today, once it opened a position
    best_day       bigint  NOT NULL,  -- as the last midnight counted
    target_reached boolean NOT NULL,  -- this and the next as that midnight counted, or the passed challenge
    best_day_kept  boolean NOT NULL,
    halted         boolean NOT NULL,
    halt_number    bigint,            -- of the ledger event that halted
    halt_kind      text,              -- 'instruction', or the limit that was passed
    since          bigint  NOT NULL,
    until          bigint  NOT NULL,
    PRIMARY KEY (name, since)
);
CREATE UNIQUE INDEX ON account (name) WHERE until = 9223372036854775807;

CREATE TABLE standing (
    kind      text   NOT NULL,  -- policy, strategy, account, engine, instrument; challenge: since when a policy of this name stands
    name      text   NOT NULL,
    ordinal   bigint NOT NULL,  -- of the instruction on the tape
    at_ns     bigint NOT NULL,
    actor     text   NOT NULL,
    authority text   NOT NULL,
    content   jsonb  NOT NULL,  -- the instruction's own fields as they are stored
    since     bigint NOT NULL,
    until     bigint NOT NULL,
    PRIMARY KEY (kind, name, since)
);
CREATE UNIQUE INDEX ON standing (kind, name) WHERE until = 9223372036854775807;
