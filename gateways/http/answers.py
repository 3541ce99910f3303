"""Answers of the API: the moment that is asked for, the wrapping of what is said about it, ETags, and a store of those
that were rendered. What was said of a moment never changes, so an answer is worked out once."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import DeskError
from domain.tape import position, utc
from gateways.api_desk import ApiDesk, Moment
from gateways.http.asked import At, Listed, nanos
from gateways.http.cursors import Cursor, parse
from gateways.http.problems import Problem, of_desk
from projections.queries import Page

KEPT_BYTES = 64 << 20
CACHE = "private, no-cache"  # a browser may keep it, and asks every time whether it still holds

Key = tuple[str, str, bytes]  # the moment's token, the path, the query as it came
Beside = Mapping[str, str | None]  # what a list says of itself

_NO_LIST: Beside = {"next_cursor": None}


class Rendered(NamedTuple):
    """An answer but for the end of its body, which says how far it is behind."""

    body: bytes
    etag: str

    def whole(self, stale_ms: int) -> bytes:
        return b"%b%d}" % (self.body, stale_ms)

    def headers(self) -> dict[str, str]:
        return {"etag": self.etag, "cache-control": CACHE, "x-content-type-options": "nosniff"}


class Answers:
    """The answers of one desk."""

    def __init__(self, desk: ApiDesk, kept_bytes: int = KEPT_BYTES) -> None:
        self.desk = desk
        self._most, self._bytes = kept_bytes, 0
        self._kept: OrderedDict[Key, Rendered] = OrderedDict()
        self._making: dict[Key, asyncio.Task[Rendered]] = {}

    # -- one answer ----------------------------------------------------------------------------------------------------

    async def about(self, request: Request, at: At, said: Callable[[Moment], Awaitable[Any]]) -> Response:
        """What `said` says of the moment that is asked for."""
        moment = await self.moment(at.as_of, at.market_time, at.recorded_time)
        return await self.of(request, moment, said)

    async def page(
        self,
        request: Request,
        asked: Listed,
        said: Callable[[Moment, int | None], Awaitable[Page]],
        *,
        scanned: bool = False,
    ) -> Response:
        """The page of a list that is asked for, below the key that its cursor holds. `scanned`: the key is a number of
        the ledger, and is told as `scanned_through`."""
        path = request.scope["path"]
        filters = asked.model_dump(exclude={"cursor", "limit", "as_of", "market_time", "recorded_time"})
        before = None
        if asked.cursor is None:
            moment = await self.moment(asked.as_of, asked.market_time, asked.recorded_time)
        else:
            for name in ("as_of", "market_time", "recorded_time"):
                if getattr(asked, name) is not None:
                    raise Problem(
                        422, f"{name} and cursor are two moments", "leave it out: the cursor has its moment", field=name
                    )
            before, as_of = parse(asked.cursor, path, filters)
            moment = await self.moment(as_of, None, None, "cursor")

        async def rows(moment: Moment) -> tuple[list[Any], Beside]:
            items, below = await said(moment, before)
            more = None if below is None else Cursor(below, moment.token).text(path, filters)
            through = {"scanned_through": None if below is None else position(self.desk.name, below)} if scanned else {}
            return items, {"next_cursor": more, **through}

        return await self.of(request, moment, rows, listed=True)

    async def of(
        self,
        request: Request,
        moment: Moment,
        said: Callable[[Moment], Awaitable[Any]],
        *,
        listed: bool = False,
        also: str = "",
    ) -> Response:
        """The answer about a moment, rendered or kept; 304 to whoever has it. `also` is the token of another moment
        that it is about."""
        key = moment.token + also, request.scope["path"], request.scope["query_string"]

        async def make() -> Rendered:
            data, beside = await said(moment) if listed else (await said(moment), _NO_LIST)
            return Rendered(wrapped(data, moment, beside), etag(key))

        rendered = self.kept(key) or await self._made(key, make)
        if matches(request.headers.get("if-none-match"), rendered.etag):
            return Response(status_code=304, headers=rendered.headers())
        whole = rendered.whole(self.desk.stale_ms(moment))
        return Response(whole, headers=rendered.headers(), media_type="application/json")

    async def now(self, data: Any) -> Response:
        """What is so at this very moment and no read model has; the moment stands beside it if there is one."""
        try:
            moment = await self.desk.moment()
            body = Rendered(wrapped(data, moment), "").whole(self.desk.stale_ms(moment))
        except DeskError:
            body = wrapped(data, None) + b"null}"
        headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        return Response(body, headers=headers, media_type="application/json")

    async def moment(
        self, as_of: str | None, market_time: str | None, recorded_time: str | None, prefix: str = ""
    ) -> Moment:
        """Raises Problem, with the field that is wrong: for a moment in a parameter `prefix` itself, else that word
        before the three names."""
        asked = {"as_of": as_of, "market_time": market_time, "recorded_time": recorded_time}
        given = [_named(prefix, name) for name, value in asked.items() if value is not None]
        if len(given) > 1:
            raise Problem(422, f"{' and '.join(given)} are two moments", "give one of them", field=given[1])
        try:
            return await self.desk.moment(as_of, nanos(market_time), nanos(recorded_time))
        except DeskError as error:
            raise of_desk(error, given[0] if given else None) from error

    # -- those that are kept -------------------------------------------------------------------------------------------

    def kept(self, key: Key) -> Rendered | None:
        """An answer that was rendered before."""
        rendered = self._kept.get(key)
        if rendered:
            self._kept.move_to_end(key)
        return rendered

    async def _made(self, key: Key, make: Callable[[], Awaitable[Rendered]]) -> Rendered:
        """Whoever asks the same at the same time waits for one answer, and none of them takes it from the others."""
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.ensure_future(self._keep(key, make))
            task.add_done_callback(lambda done: self._making.pop(key) and done.exception())
        return await asyncio.shield(task)

    async def _keep(self, key: Key, make: Callable[[], Awaitable[Rendered]]) -> Rendered:
        rendered = self._kept[key] = await make()
        self._bytes += _size(key, rendered)
        while self._bytes > self._most:
            self._bytes -= _size(*self._kept.popitem(last=False))
        return rendered


def wrapped(data: Any, moment: Moment | None, beside: Beside = _NO_LIST) -> bytes:
    """The body without the end that `Rendered.whole` adds."""
    market_ns, recorded_ns = (moment.market_time_ns, moment.recorded_at_ns) if moment else (None, None)
    about = {
        "data": data,
        "as_of": moment.token if moment else None,
        "market_time": None if market_ns is None else utc(market_ns),
        "recorded_time": None if recorded_ns is None else utc(recorded_ns),
        "mode": "paper",
        **beside,
    }
    return to_json(about, inf_nan_mode="null")[:-1] + b',"stale_ms":'


def etag(key: Key) -> str:
    """Weak: two answers of one moment may differ in how far they say to be behind."""
    return f'W/"{hashlib.sha256(b"|".join([key[0].encode(), key[1].encode(), key[2]])).hexdigest()[:24]}"'


def matches(header: str | None, tag: str) -> bool:
    """Does an If-None-Match name this ETag?"""
    if header is None:
        return False
    named = {part.strip().removeprefix("W/") for part in header.split(",")}
    return not named.isdisjoint({"*", tag.removeprefix("W/")})


def _named(prefix: str, name: str) -> str:
    if prefix == "cursor":
        return prefix
    if name == "as_of":
        return prefix or name
    return f"{prefix}_{name}" if prefix else name


def _size(key: Key, rendered: Rendered) -> int:
    return len(key[1]) + len(key[2]) + len(rendered.body)
