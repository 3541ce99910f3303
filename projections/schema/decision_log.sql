CREATE TABLE instructions (
    ordinal        bigint NOT NULL,  -- on the tape
    id             text   NOT NULL,
    kind           text   NOT NULL,
    actor          text   NOT NULL,
    authority      text   NOT NULL,
    at_ns          bigint NOT NULL,
    reason         text,             -- of a halt and its end
    content        jsonb  NOT NULL,  -- what else it says; `entries` of a calendar is their number
    since          bigint NOT NULL,
    until          bigint NOT NULL,
    PRIMARY KEY (ordinal, since)
);
CREATE INDEX ON instructions (id);
CREATE INDEX ON instructions (at_ns);

CREATE TABLE answers (
    instruction_id text    NOT NULL,
    number         bigint  NOT NULL,  -- of the ledger event
    kind           text    NOT NULL,
    applied        boolean NOT NULL,
    reason         text,              -- why it was refused
    at_ns          bigint  NOT NULL,
    since          bigint  NOT NULL,
    until          bigint  NOT NULL,
    PRIMARY KEY (instruction_id, since)
);
CREATE INDEX ON answers (number);

CREATE TABLE breaches (
    number         bigint  NOT NULL,  -- of the ledger event
    limit_name     text    NOT NULL,  -- daily_loss, max_loss, news_trading
    value          bigint  NOT NULL,  -- equity in nanos; of news_trading ns to the release
    bound          bigint  NOT NULL,  -- what the value must not pass, in its unit
    symbol         text,              -- whose quote or fill it was; NULL at midnight
    halted         boolean NOT NULL,
    at_ns          bigint  NOT NULL,
    since          bigint  NOT NULL,
    until          bigint  NOT NULL,
    PRIMARY KEY (number, since)
);

CREATE TABLE objectives (
    number           bigint NOT NULL,  -- of the ledger event
    policy           text   NOT NULL,  -- name@version
    profit_target    bigint NOT NULL,  -- money in nanos of the account's currency, here and below
    balance          bigint NOT NULL,
    trading_days     bigint NOT NULL,
    trading_days_min bigint NOT NULL,
    best_day         bigint NOT NULL,  -- the largest profit of a day so far
    at_ns            bigint NOT NULL,
    since            bigint NOT NULL,
    until            bigint NOT NULL,
    PRIMARY KEY (number, since)
);

CREATE TABLE verdict_counts (
    policy         text   NOT NULL,  -- name@version
    rule           text   NOT NULL,  -- '': verdicts approved; 'refused': verdicts refused; else a rule
    count          bigint NOT NULL,  -- of a rule: how often it refused
    since          bigint NOT NULL,
    until          bigint NOT NULL,
    PRIMARY KEY (policy, rule, since)
);
CREATE UNIQUE INDEX ON verdict_counts (policy, rule) WHERE until = 9223372036854775807;

CREATE TABLE governance_decisions (
    number         bigint NOT NULL,  -- the stream's sequence
    version        bigint NOT NULL,  -- of its aggregate: several events of one message are several rows
    what           text   NOT NULL,
    at_ns          bigint NOT NULL,
    who            text   NOT NULL,
    authority      text   NOT NULL,  -- key, proposal, rule, workflow, operator, founding, offline
    why            text,
    reference      text   NOT NULL,
    proposal       text,             -- by which it was decided, or which it decides
    content        jsonb  NOT NULL,
    since          bigint NOT NULL,
    until          bigint NOT NULL,
    PRIMARY KEY (number, version, since)
);
CREATE INDEX ON governance_decisions (at_ns);

CREATE TABLE refusals (
    number         bigint NOT NULL,  -- the sequence of OPS
    actor          text   NOT NULL,
    command        text   NOT NULL,
    code           text   NOT NULL,  -- the rule that said no
    message        text   NOT NULL,
    subject        text,             -- what it was about: a proposal, a run
    at_ns          bigint NOT NULL,
    since          bigint NOT NULL,
    until          bigint NOT NULL,
    PRIMARY KEY (number, since)
);
CREATE INDEX ON refusals (at_ns);
