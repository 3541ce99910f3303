"""Pictures of the dashboard's pages as evidence, where a browser is on this machine: by a token of ten minutes, which
is revoked at once behind them."""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from adapters.embedded import private_folder
from adapters.token_log import TokenLog
from domain.errors import DeskError
from domain.ports import Log
from ops.settings import Settings

if TYPE_CHECKING:
    from playwright.async_api import Page

EVIDENCE = "evidence"
PANELS = {  # of gateways/dashboard/mounting.py, which takes a second to import
    "Overview": "/", "Market": "/market", "Orders": "/orders", "Decisions": "/decisions", "Decision log": "/log",
    "Metrics": "/metrics",
}  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_MS = 20_000
TOKEN_NS = 600 * 10**9


class Picture(NamedTuple):
    """A page's picture; `file` is below the data directory."""

    page: str
    file: str
    sha256: str


class Pictures(Protocol):
    """Takes pictures for a run."""

    async def take(self, run: str) -> tuple[list[Picture], str]:
        """The pictures, and why there are none, or not all."""


def panel_links(settings: Settings, as_of: str = "") -> dict[str, str]:
    """Every page's address, at a moment."""
    listening = settings.listening
    host = f"[{listening.called}]" if ":" in listening.called.strip("[]") else listening.called
    root = f"{'https' if listening.certificate else 'http'}://{host}:{listening.port}/dashboard"
    asked = f"?as_of={as_of}" if as_of else ""
    return {page: f"{root}{path}{asked}" for page, path in PANELS.items()}


class DashboardPictures:
    """Implements Pictures by playwright and the machine's own Chromium; the API must run."""

    def __init__(self, settings: Settings, store: Log, actor: str) -> None:
        self._settings, self._store, self._actor = settings, store, actor

    async def take(self, run: str) -> tuple[list[Picture], str]:
        try:
            from playwright.async_api import Error, async_playwright
        except ImportError:
            return [], "playwright is not installed: no pictures were taken"
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            return [], "there is no browser on this machine: no pictures were taken"
        taken: list[Picture] = []
        try:
            async with self._token(run) as token, async_playwright() as playwright:
                sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none for root
                async with await playwright.chromium.launch(executable_path=browser, args=sandbox) as opened:
                    context = await opened.new_context(
                        viewport={"width": 1400, "height": 1000}, ignore_https_errors=True
                    )
                    context.set_default_timeout(PATIENCE_MS)
                    await self._take(await context.new_page(), run, token, taken)
        except (Error, DeskError, OSError) as error:
            return taken, f"the dashboard could not be looked at: {str(error).splitlines()[0][:300]}"
        return taken, ""

    @asynccontextmanager
    async def _token(self, run: str) -> AsyncIterator[str]:
        """An observer's token for the time of the block. A name is given once, so each has its own."""
        tokens, name = TokenLog(self._store), f"evidence-{run}"[:25] + f"-{secrets.token_hex(3)}"
        token = await tokens.create(name, "observer", self._actor, time.time_ns() + TOKEN_NS)
        try:
            yield token
        finally:
            await tokens.revoke(name, self._actor, "the pictures were taken")

    async def _take(self, page: "Page", run: str, token: str, taken: list[Picture]) -> None:
        links = panel_links(self._settings)
        await page.goto(links["Overview"])
        await page.get_by_label("Token").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        folder = private_folder(private_folder(self._settings.data_dir, EVIDENCE), run)
        for name, link in links.items():
            await page.goto(link)
            await page.locator(".moment time").wait_for()
            file = folder / f"{name.lower().replace(' ', '-')}.png"
            picture = await page.screenshot(path=file, full_page=True)
            relative = str(file.relative_to(self._settings.data_dir))
            taken.append(Picture(name, relative, hashlib.sha256(picture).hexdigest()))
