CREATE TABLE metrics (
    scope                 text    NOT NULL,  -- overall, <strategy>@<version>, request
    at_ns                 bigint  NOT NULL,
    trades                bigint  NOT NULL,  -- closed: wins + zeros + losses
    wins                  bigint  NOT NULL,
    zeros                 bigint  NOT NULL,
    losses                bigint  NOT NULL,
    won                   numeric NOT NULL,  -- money in nanos of the account's currency, here and below; a sum of gains
    lost                  numeric NOT NULL,  -- or of losses (not below 0) may outgrow 64 bits, though no balance does
    net                   numeric NOT NULL,
    win_rate              double precision,  -- NULL, here and below: there is nothing yet to reckon it from
    profit_factor         double precision,
    expectancy            bigint,            -- mean net result of a trade, rounded half to even
    average_win           bigint,
    average_loss          bigint,            -- not below 0
    payoff                double precision,
    r_trades              bigint  NOT NULL,  -- trades whose verdict knew its risk
    expectancy_r          double precision,  -- their mean net result in units of that risk
    days                  bigint  NOT NULL,  -- Prague days from the scope's first to this one
    active_days           bigint  NOT NULL,  -- those of them on which a trade closed
    trades_per_day        double precision NOT NULL,
    trades_per_active_day double precision,
    samples               bigint  NOT NULL,  -- returns, one a weekday
    year_return           double precision,  -- compound; from fewer than 252 samples not annualised
    sharpe                double precision,
    sortino               double precision,
    drawdown              bigint  NOT NULL,  -- the deepest fall of the curve; 0: it never fell
    drawdown_share        double precision NOT NULL,  -- the deepest by share of the height that it fell from
    drawdown_from_ns      bigint,            -- when the curve was last at that height; NULL: it never fell
    drawdown_until_ns     bigint,            -- when it was there again; NULL: it is not yet
    drawdown_days         double precision,  -- between the two, or up to at_ns
    calmar                double precision,
    since                 bigint  NOT NULL,
    until                 bigint  NOT NULL,
    PRIMARY KEY (scope, since)
);
CREATE UNIQUE INDEX ON metrics (scope) WHERE until = 9223372036854775807;
