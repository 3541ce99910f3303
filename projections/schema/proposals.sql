CREATE TABLE proposals (
    proposal         text    NOT NULL,
    number           bigint  NOT NULL,  -- the stream's sequence of its draft
    title            text    NOT NULL,  -- the command in one line, the desk's words
    command          text    NOT NULL,
    desk             text,              -- whose; NULL: it is about governance, or documents
    arguments        jsonb   NOT NULL,  -- the command whole, as it is stored
    args_sha256      text    NOT NULL,  -- of its canonical form
    actor            text    NOT NULL,
    level            bigint  NOT NULL,  -- of the actor, as it was drafted
    role             text,              -- that the actor acted in
    run              text,              -- the workflow run that it belongs to
    reason           text    NOT NULL,  -- this and the next in the actor's own words
    effects_expected text[]  NOT NULL,
    rollback         text,              -- the command that would undo it, in one line
    rolls_back       text,              -- the proposal that it undoes
    widens           text[]  NOT NULL,  -- what of it needs a signature; none: cleared by rule
    policy_version   bigint  NOT NULL,  -- of the governance policy
    environment      text    NOT NULL,
    taint            boolean NOT NULL,  -- its run read text of strangers
    drafted_at_ns    bigint  NOT NULL,
    expires_at_ns    bigint  NOT NULL,
    since            bigint  NOT NULL,
    until            bigint  NOT NULL,
    PRIMARY KEY (proposal, since)
);
CREATE INDEX ON proposals (number);

CREATE TABLE proposal_states (
    proposal       text   NOT NULL,
    state          text   NOT NULL,  -- drafted, presented, a verdict, applying, applied, failed, rolled_back
    changed_at_ns  bigint NOT NULL,
    verdict        text,             -- approved, rejected, expired, withdrawn, cleared
    decided_at_ns  bigint,
    decided_by     text,             -- of a signed verdict the key's id
    verdict_reason text,
    signature      text,             -- base64url, of a signed verdict
    attempts       bigint NOT NULL,  -- to apply it
    effects        jsonb  NOT NULL,  -- what was done: [{kind, reference}]
    failed_code    text,             -- this and the next of its newest failure
    failed_reason  text,
    rolled_back_by text,             -- the proposal that undid it
    since          bigint NOT NULL,
    until          bigint NOT NULL,
    PRIMARY KEY (proposal, since)
);
CREATE INDEX ON proposal_states (until, since) WHERE state IN ('drafted', 'presented');  -- pending then

CREATE TABLE presentations (
    proposal        text   NOT NULL,
    base            text   NOT NULL,  -- the as_of token that it was based on
    shown           text   NOT NULL,
    shown_sha256    text   NOT NULL,
    presented_at_ns bigint NOT NULL,
    since           bigint NOT NULL,
    until           bigint NOT NULL,
    PRIMARY KEY (proposal, since)
);
