CREATE TABLE workflow_runs (
    run           text    NOT NULL,
    number        bigint  NOT NULL,  -- the stream's sequence of its beginning
    kind          text    NOT NULL,  -- WF1, WF2, WF3
    goal          text    NOT NULL,
    desk          text    NOT NULL,
    actor         text    NOT NULL,
    role          text,              -- that the actor acted in
    previous      text,              -- the run that it goes on from
    trigger       text    NOT NULL,
    input         jsonb   NOT NULL,
    started_at_ns bigint  NOT NULL,
    phase         text    NOT NULL,  -- analysis, plan, gate, delivery, observed, closed
    mode          text    NOT NULL,  -- analysis, delivery
    changed_at_ns bigint  NOT NULL,
    proposals     text[]  NOT NULL,
    milestones    jsonb   NOT NULL,  -- [{name, reference, at_ns}]
    taint         boolean NOT NULL,  -- it read text of strangers
    outcome       text,              -- NULL while it goes on
    report        text,              -- Markdown
    since         bigint  NOT NULL,
    until         bigint  NOT NULL,
    PRIMARY KEY (run, since)
);
CREATE INDEX ON workflow_runs (number);

CREATE TABLE workflow_steps (
    run       text    NOT NULL,
    step      text    NOT NULL,
    says      text    NOT NULL,
    reference text,
    untrusted boolean NOT NULL,
    actor     text    NOT NULL,
    mode      text    NOT NULL,
    at_ns     bigint  NOT NULL,
    since     bigint  NOT NULL,
    until     bigint  NOT NULL,
    PRIMARY KEY (run, step, since)
);
