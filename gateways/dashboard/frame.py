"""The window around every page: where one is, how the desk stands now, the time slider, and the emergency stop."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from markupsafe import Markup
from nicegui import Client, background_tasks, ui

from domain.errors import DeskError, InvalidInput
from gateways.api_desk import ASKER, Moment, Principal
from gateways.dashboard.elements import Panel
from gateways.dashboard.guard import PREFIX
from gateways.dashboard.live import Live
from gateways.dashboard.login import NO_REASON, REASON_MAX
from gateways.dashboard.markup import icon, join, tag
from gateways.dashboard.overview import state_badge
from gateways.dashboard.page import Page, address
from gateways.dashboard.sessions import Sessions
from gateways.dashboard.timebar import TimeBar
from gateways.times import time_ns

log = logging.getLogger("cdb.dashboard")


class Window:
    """One open page of a browser: turned to a moment, or following the newest. Implements page.Frame.

    However often it is asked to show something, it shows one thing after the other, and of those that wait the last.
    """

    def __init__(
        self,
        live: Live,
        sessions: Sessions,
        cookie: str,
        principal: Principal,
        pages: Sequence[type[Page]],
        page: type[Page],
        query: Mapping[str, str],
    ) -> None:
        self.live, self.principal = live, principal
        self.as_of: str | None = query.get("as_of") or None
        self._sessions, self._cookie = sessions, cookie
        self._pages = pages
        self._client: Client = ui.context.client
        self._moment: Moment | None = None
        self._to_ns: int | None = None  # where the slider wants to be
        self._refused: str | None = None  # why it is not there
        self._wanted, self._showing = False, False
        self._address = ""
        self._build(page, {name: value for name, value in query.items() if name != "as_of"})

    def _build(self, page: type[Page], asked: Mapping[str, str]) -> None:
        with ui.element("header").classes("top"):
            self._where = Panel(tag="nav").props('aria-label="Pages"')
            self._now = Panel().classes("now").props("role=status")
            Panel(_stop_button(self.principal)).classes("stop")
        self._time = TimeBar(self.turn)
        self._trouble = Panel().props("role=alert").classes("troubles")
        main = ui.element("div").classes("page").props("tabindex=-1")
        with main:
            self._page = page(self, asked)
        Panel(_foot(self.principal), tag="footer").classes("foot")
        if self.principal.may_stop:
            Panel(_stop_dialog(self.live.desk.name))
        ui.skip_link("Skip to the page", target=main)

    # -- what is asked of it -------------------------------------------------------------------------------------------

    def turn(self, market_time_ns: int | None) -> None:
        """To a market time; None: follow the newest moment."""
        self._to_ns, self._refused = market_time_ns, None
        if market_time_ns is None:
            self.as_of = None
        self.again()

    def again(self) -> None:
        background_tasks.create(self.show(), name="dashboard page")

    async def show(self) -> None:
        """Bring everything to the moment that is wanted."""
        self._wanted = True
        if self._showing:
            return
        self._showing = True
        try:
            while self._wanted:
                self._wanted = False
                await self._fill()
        finally:
            self._showing = False

    # -- filling -------------------------------------------------------------------------------------------------------

    async def _fill(self) -> None:
        trouble = self.live.trouble
        ASKER.set(self.principal.name)  # whoever woke the page
        try:
            if await self._sessions.principal(self._cookie) is None:
                background_tasks.create(self._end(), name="dashboard sign-out")
                return
            moment = await self._find()
            trouble = trouble or self._refused
            if moment is None or self.live.newest is None:
                self._trouble.show(_troubled(trouble or "The desk has not answered yet."))
                return
            answers = self.live.answers(moment)
            now = await self.live.answers(self.live.newest).ask(self.live.desk.queries.status)
            self._head(moment, now["state"])
            await self._page.show(answers)
        except DeskError as error:
            trouble = str(error)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a page of the dashboard could not be shown")
            trouble = "This page could not be shown; the log of the api service says why."
        self._trouble.show(_troubled(trouble))

    async def _find(self) -> Moment | None:
        """The moment to show. One that never was leaves the page where it is, a new one at the newest."""
        try:
            if self._to_ns is not None:
                wanted, self._to_ns = self._to_ns, None
                self._moment = await self.live.desk.moment(market_time_ns=wanted)
                self.as_of = self._moment.token
            elif self.as_of is not None and (self._moment is None or self._moment.token != self.as_of):
                self._moment = await self.live.desk.moment(as_of=self.as_of)
        except InvalidInput as error:
            self._refused = str(error)
            self.as_of = self.as_of and self._moment and self._moment.token
        if self.as_of is None:
            self._moment = self.live.newest
        return self._moment

    def _head(self, moment: Moment, state: str) -> None:
        newest, following = self.live.newest, self.as_of is None
        assert newest is not None
        began_ns = time_ns(self.live.began) if self.live.began else None
        stale_ms = self.live.desk.stale_ms(newest)
        self._time.show(moment, newest, began_ns, following=following, stale_ms=stale_ms)
        self._now.show(join(tag("span", "Now", class_="label") if not following else None, state_badge(state)))
        self._where.show(_navigation(self._pages, type(self._page), self.as_of, self.live.desk.name))
        here = address(self._page.path, self.as_of, self._page.asked)
        title = ("HALTED · " if state == "halted" else "") + f"{self._page.title} · {self.live.desk.name}"
        if self._address != here + title:
            self._address = here + title
            past = json.dumps(not following)
            self._run(
                f"history.replaceState(null, '', {json.dumps(here)}); document.title = {json.dumps(title)};"
                f"document.documentElement.toggleAttribute('data-past', {past});"
            )

    async def _end(self) -> None:
        """The session is over: the browser is sent to sign in, and the page is gone whether it goes there or not."""
        with suppress(TimeoutError):
            await self._client.run_javascript(f"location.href = {json.dumps(PREFIX + '/login')}")
        if not self._client.is_deleted:
            self._client.delete()

    def _run(self, script: str) -> None:
        self._client.run_javascript(script.replace("</", "<\\/"))


def _navigation(pages: Sequence[type[Page]], here: type[Page], as_of: str | None, desk: str) -> Markup:
    links = (
        tag("a", page.title, href=address(page.path, as_of), aria_current="page" if page is here else None)
        for page in pages
    )
    brand = tag(
        "a", tag("strong", desk), tag("span", "paper", class_="paper"), href=address("/", as_of), class_="brand"
    )
    return join(brand, tag("div", *links, class_="links"))


def _troubled(why: str | None) -> Markup:
    return tag("p", icon("warning"), " ", why) if why else Markup()


def _foot(principal: Principal) -> Markup:
    options = (tag("option", word, value=word) for word in ("system", "light", "dark"))
    theme = tag("label", "Theme ", tag("select", *options, data_theme_choice=True))
    out = tag("button", "Sign out", type="submit", class_="link")
    leave = tag("form", out, method="post", action=f"{PREFIX}/logout")
    who = tag("span", f"{principal.name}, {principal.role}")
    return join(theme, who, leave, tag("span", "Paper trading only. All times are UTC."))


def _stop_button(principal: Principal) -> Markup:
    drawn = join(icon("stop"), tag("span", "Emergency stop", class_="wide"), tag("span", "Stop", class_="narrow"))
    why = "" if principal.may_stop else f"The role {principal.role} may not stop the desk"
    return tag(
        "button",
        drawn,
        type="button",
        class_="danger",
        data_open="stop-dialog",
        disabled=bool(why),
        title=why or None,
        aria_label=f"Emergency stop. {why}" if why else "Emergency stop",
    )


def _stop_dialog(desk: str) -> Markup:
    """One confirmation. The form goes by a request of its own, so that it does not depend on the page's socket."""
    reason = tag(
        "input", name="reason", maxlength=REASON_MAX, placeholder=NO_REASON, autocomplete="off", autofocus=True
    )
    flatten = tag("input", type="checkbox", name="flatten", value="true")
    form = tag(
        "form",
        tag("h2", icon("stop"), " Stop trading on ", tag("strong", desk), "?"),
        tag("p", "Working entries are cancelled and no new one is placed. Only a person can resume the desk."),
        tag("label", "Reason", reason),
        tag("label", flatten, " Also close all open positions now", class_="check"),
        tag("p", class_="said", role="alert"),
        tag(
            "div",
            tag("button", "Cancel", type="button", data_close=True),
            tag("button", "Stop trading", type="submit", class_="danger full"),
            class_="buttons",
        ),
        data_stop=f"{PREFIX}/stop",
    )
    return tag("dialog", form, id="stop-dialog", aria_label="Emergency stop")
