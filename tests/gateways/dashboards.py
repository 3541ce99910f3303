"""A dashboard for tests: the golden desk behind its real API in a thread of its own, and a Chromium before it."""

import asyncio
import base64
import http.client
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Playwright

from domain.tape import utc
from gateways.api_desk import Moment
from gateways.dashboard import mount
from projections.as_of import AsOf
from tests.gateways.api_desks import Opened, Stored, caught_up, opened, projecting, served, stored
from tests.gateways.deciding import Deciding
from tests.ops.ledgers import LINES, PLAIN

CHROMIUM = Path("/usr/bin/chromium")
KEPT_BACK = 400  # lines of the golden ledger that a test may still tell
DEADLINE_S = 60.0
PAGES = {
    "/": "Overview",
    "/market": "Market",
    "/orders": "Orders",
    "/decisions": "Decisions",
    "/log": "Decision log",
    "/metrics": "Metrics",
}

Said = TypeVar("Said")


class Site:
    """The golden desk's dashboard at `address`; its projector runs."""

    def __init__(
        self, address: str, desk: Opened, told: Stored, deciding: Deciding, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.address, self.desk, self.told, self.deciding = address, desk, told, deciding
        self._loop = loop
        self.looks = 0  # how often the desk was asked for a moment
        moment = desk.api.moment

        async def counted(*args: Any, **kwargs: Any) -> Moment:
            self.looks += 1
            return await moment(*args, **kwargs)

        desk.api.moment = counted

    def run(self, work: Coroutine[Any, Any, Said]) -> Said:
        """Something of the desk, in its own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    def at(self, number: int) -> str:
        """The token of the moment at which a ledger event was decided."""
        ordinal = PLAIN[number - 1]["ordinal"]
        return AsOf(ordinal, number).token(self.desk.api.name)

    def socket_status(self, cookie: str, origin: str) -> int:
        """How a socket is answered that such a page opens with such a cookie: 101 is open."""
        place = self.address.removeprefix("http://")
        connection = http.client.HTTPConnection(place, timeout=DEADLINE_S)
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        headers = upgrade | {
            "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
            "Cookie": cookie,
            "Origin": origin,
        }
        try:
            connection.request("GET", "/dashboard/_nicegui_ws/socket.io/?EIO=4&transport=websocket", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def url(self, path: str) -> str:
        return f"{self.address}/dashboard{path}"


@contextmanager
def site(dsn: str) -> Iterator[Site]:
    """Serve it in a thread, until the block is left."""
    ready: Future[tuple[Site, asyncio.Event]] = Future()

    async def serving() -> None:
        desk, done = await stored(len(LINES) - KEPT_BACK), asyncio.Event()
        deciding = Deciding(desk.log)
        await deciding.open()
        async with projecting(desk, dsn) as projector:
            await caught_up(desk, projector)
            async with opened(desk, dsn, deciding.ask) as behind:
                mount(behind.app, behind.api)
                async with served(behind.app) as address:
                    ready.set_result((Site(address, behind, desk, deciding, asyncio.get_running_loop()), done))
                    await done.wait()

    def thread() -> None:
        try:
            asyncio.run(serving())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    running = threading.Thread(target=thread, name="dashboard")
    running.start()
    there, done = ready.result(DEADLINE_S)
    try:
        yield there
    finally:
        there.run(_set(done))
        running.join(DEADLINE_S)
        assert not running.is_alive(), "the dashboard did not stop"


async def _set(done: asyncio.Event) -> None:
    done.set()


def chromium(playwright: Playwright) -> Browser:
    """Debian's Chromium, without a window. Skips loudly where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"NOT TESTED: the dashboard: there is no {CHROMIUM}; install Debian's package chromium")
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


class Seen:
    """A browser's page and what went wrong in it: foreign requests, errors of the console."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self.site = page, site
        self.foreign: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self._requested(request.url))
        page.on("websocket", lambda socket: self._requested(socket.url.replace("ws:", "http:", 1)))
        page.on("console", lambda told: self.errors.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _requested(self, url: str) -> None:
        if not url.startswith((f"{self.site.address}/", "data:", "blob:")):
            self.foreign.append(url)

    def sign_in(self, role: str = "operator", path: str = "/") -> "Seen":
        """Open a page as somebody with a role."""
        self.page.goto(self.site.url(path))
        self.page.get_by_label("Token").fill(self.site.desk.tokens[role])
        self.page.get_by_role("button", name="Sign in").click()
        return self.shown()

    def open(self, path: str) -> "Seen":
        self.page.goto(self.site.url(path))
        return self.shown()

    def shown(self) -> "Seen":
        """Wait until the page stands and its socket is open."""
        self.page.locator(".moment time").wait_for()
        self.page.wait_for_function("window.did_handshake === true")
        return self

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def card(self, title: str) -> str:
        """What stands in a card."""
        return self.page.locator(f'section[aria-label="{title}"]').inner_text()

    def keys(self, title: str) -> list[str]:
        """The names of a table's rows."""
        rows = self.page.locator(f'section[aria-label="{title}"] tr[data-key]')
        return [str(key) for key in rows.evaluate_all("rows => rows.map((row) => row.dataset.key)")]

    def assert_clean(self) -> None:
        assert self.foreign == []
        assert self.errors == []


def until(holds: Callable[[], bool], page: Page, seconds: float = 15) -> None:
    """Wait, while the browser works, until something holds."""
    for _ in range(int(seconds * 20)):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never held")


def as_of(seen: Seen) -> str | None:
    return parse_qs(urlsplit(seen.page.url).query).get("as_of", [None])[0]


def typed(time_ns: int) -> str:
    """A time as a person types it."""
    return utc(time_ns)[:19].replace("T", " ")


def jump(seen: Seen, time_ns: int) -> str:
    """Type a time, and wait until the page is there: the moment in its address."""
    before = as_of(seen)
    seen.page.get_by_label("Jump to a time, UTC").fill(typed(time_ns))
    seen.page.keyboard.press("Enter")
    until(lambda: as_of(seen) not in (None, before), seen.page)
    return as_of(seen) or ""
