CREATE TABLE roles (
    name          text    NOT NULL,
    level         bigint  NOT NULL,  -- 1 session lead, 2 peer model, 3 agent
    purpose       text    NOT NULL,
    role          jsonb   NOT NULL,  -- whole, as it was defined last
    defined_at_ns bigint  NOT NULL,
    changed_at_ns bigint  NOT NULL,
    changed_by    text    NOT NULL,
    proposal      text,              -- by which it was changed; NULL: the log began with it
    retired       boolean NOT NULL,
    reason        text,              -- why it was retired
    since         bigint  NOT NULL,
    until         bigint  NOT NULL,
    PRIMARY KEY (name, since)
);
CREATE UNIQUE INDEX ON roles (name) WHERE until = 9223372036854775807;

CREATE TABLE agent_health (
    agent         text   NOT NULL,
    state         text,             -- idle, working, failing, silent; NULL: it never reported
    doing         text,             -- in its own words
    seen_at_ns    bigint,           -- by the clock of governance, here and below
    changed_at_ns bigint,           -- when its state was told last
    failures      bigint NOT NULL,  -- how often it began to fail, or fell silent
    refusals      bigint NOT NULL,
    refused_at_ns bigint,           -- this and the next of the newest refusal
    refused_why   text,
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    PRIMARY KEY (agent, since)
);
CREATE UNIQUE INDEX ON agent_health (agent) WHERE until = 9223372036854775807;
