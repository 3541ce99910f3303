"""Times as people write them, ISO 8601, in the desk's nanoseconds: exact, or refused."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"[.,](\d+)")
YEARS = range(1970, 2096)  # what a time on the tape may be


def time_ns(text: str) -> int:
    """Nanoseconds since 1970 UTC; a time without a zone is UTC. Raises ValueError saying what is wrong with it."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a time such as 2018-06-13 or 2018-06-13T18:00Z") from None
    found = _FRACTION.search(text)
    digits = found[1] if found else ""  # Python reads six of them
    if digits[9:].strip("0"):
        raise ValueError("is finer than a nanosecond; round it")
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    if since < timedelta(0) or time.year not in YEARS:
        raise ValueError(f"is not of the years {YEARS[0]} to {YEARS[-1]}")
    return since // timedelta(microseconds=1) * 1_000 + int(digits[6:9].ljust(3, "0"))
