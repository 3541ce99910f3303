"""How a desk stands at a moment, from its read models: status, metrics, and AKTUELLER_STAND as text. Works beside a
desk that runs and on one that rests."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from adapters.read_models import ReadModels, reader_pool
from gateways.asked_moment import Asked
from ops.desk_status import moment_of
from ops.moments import Moments
from ops.projections_cli import caught_up, read_side_of
from ops.projector import Projector
from ops.session import beside
from ops.settings import Settings
from projections.answers import Answer
from projections.catalogue import READ_MODELS
from projections.queries import Queries

STAND = "AKTUELLER_STAND"


class Sight(NamedTuple):
    """A desk at the moment `as_of`; `text` is AKTUELLER_STAND of it."""

    as_of: str
    status: Answer
    metrics: Sequence[Answer]
    text: str


class Look(Protocol):
    """Looks at a desk. The same token is answered alike for ever."""

    async def __call__(self, desk: str, as_of: str | None = None) -> Sight:
        """As of a token (None: now). Raises InvalidInput for a desk without a tape, Unavailable."""


class DeskSight:
    """Implements Look by the read models, which are brought to the moment first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __call__(self, desk: str, as_of: str | None = None) -> Sight:
        async with read_side_of(self._settings.model_copy(update={"desk": desk})) as (log, facts, store, dsn):
            at = await moment_of(log, desk, Asked(as_of))
            market_ns, recorded_ns = await Moments(log, desk).times(at)
            projector = Projector(facts, store, READ_MODELS)
            await beside(projector.run(), caught_up(projector, at))
            async with reader_pool(dsn, desk) as pool:
                queries = Queries(ReadModels(pool), desk)
                status, metrics = await queries.status(at), await queries.metrics(at)
                text = await queries.document(STAND, at, market_ns, recorded_ns)
        return Sight(at.token(desk), status, metrics, text)
