"""SQL over versions of rows: what a table said at a position."""

from domain.ports import END

WORKING = "state IN ('placed', 'triggered', 'partially_filled')"  # in just these words an index has it


def held(place: str) -> str:
    """The condition of a version that held at a position."""
    return f"since <= {place} AND until > {place}"


def latest(table: str, keys: str, place: str) -> str:
    """What a table said of every key, where a key that is there once is there for ever: one step into an index a key,
    however many versions it has."""
    same = " AND ".join(f"version.{key} = known.{key}" for key in keys.split(", "))
    return (
        f"SELECT held.* FROM (SELECT {keys} FROM {table} WHERE until = {END}) AS known CROSS JOIN LATERAL "
        f"(SELECT * FROM {table} AS version WHERE {same} AND since <= {place} ORDER BY since DESC LIMIT 1) AS held"
    )


def open_positions(place: str) -> str:
    """The positions that are not flat."""
    return f"SELECT * FROM ({latest('positions', 'symbol', place)}) AS held WHERE quantity <> 0 ORDER BY symbol"


def working_orders(place: str) -> str:
    """The orders that may still fill, newest first."""
    return f"SELECT * FROM orders WHERE {WORKING} AND {held(place)} ORDER BY number DESC"


def standing(place: str) -> str:
    """What stands: policy, strategies, account, engine, instruments."""
    return f"SELECT * FROM standing WHERE {held(place)} ORDER BY kind, name"


def services(place: str) -> str:
    """Every service."""
    return f"{latest('services', 'service', place)} ORDER BY service"


def breakers(place: str) -> str:
    """Every breaker."""
    return f"{latest('breakers', 'service, dependency', place)} ORDER BY service, dependency"


# Up to $1, from time $2 to $3, in $4 stretches of equally many points.
CURVE = """
WITH shown AS (
    SELECT number, low, high, drawdown, ntile($4::int) OVER (ORDER BY number) AS stretch
    FROM equity WHERE since <= $1 AND at_ns >= $2 AND at_ns <= $3
), stretches AS (
    SELECT max(number) AS number, min(low) AS low, max(high) AS high, max(drawdown) AS drawdown
    FROM shown GROUP BY stretch
)
SELECT at_ns, balance, equity, stretches.low, stretches.high, stretches.drawdown
FROM stretches JOIN equity USING (number) ORDER BY number
"""
