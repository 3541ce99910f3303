CREATE TABLE services (
    service       text   NOT NULL,
    state         text   NOT NULL,  -- running, failed, emergency_stopped, stopped
    since_ns      bigint NOT NULL,  -- by the service's own clock, here and below
    version       text,             -- of the build; NULL when its start was never told
    error         text,             -- the class of its newest failure since it was started
    message       text,             -- of that failure; of a stopped service why it stopped
    severity      text,             -- low, medium, high, critical
    recovery      text,             -- retry, fallback, restart, emergency_stop, stand_down
    retry_seconds double precision, -- from since_ns until it runs again; NULL when it runs, or stays down
    attempt       bigint NOT NULL,  -- failures in the supervisor's window when it was started again
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    PRIMARY KEY (service, since)
);
CREATE UNIQUE INDEX ON services (service) WHERE until = 9223372036854775807;

CREATE TABLE breakers (
    service       text   NOT NULL,
    dependency    text   NOT NULL,
    state         text   NOT NULL,  -- open, half_open, closed
    since_ns      bigint NOT NULL,
    failures      bigint NOT NULL,  -- in a row, when it was opened; 0 when closed
    last_error    text,
    open_seconds  double precision,
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    PRIMARY KEY (service, dependency, since)
);
CREATE UNIQUE INDEX ON breakers (service, dependency) WHERE until = 9223372036854775807;

CREATE TABLE incidents (
    number        bigint NOT NULL,  -- the stream's sequence
    service       text   NOT NULL,
    type          text   NOT NULL,  -- of the OPS event
    at_ns         bigint NOT NULL,
    content       jsonb  NOT NULL,  -- the event's other fields
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    PRIMARY KEY (number, since)
);
