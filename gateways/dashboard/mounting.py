"""Putting the dashboard on the app: NiceGUI below one path, behind the guard, with our own style and script."""

import hashlib
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from markupsafe import Markup
from nicegui import Client, ui
from nicegui import app as pages_app
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from gateways.api_desk import ApiDesk
from gateways.dashboard import deciding, login
from gateways.dashboard.decisions import Decisions, Log
from gateways.dashboard.frame import Window
from gateways.dashboard.guard import FILES, PREFIX, Guard
from gateways.dashboard.live import Live
from gateways.dashboard.market import Market
from gateways.dashboard.metrics import Metrics
from gateways.dashboard.orders import Orders
from gateways.dashboard.overview import Overview
from gateways.dashboard.page import Page
from gateways.dashboard.sessions import Sessions

PAGES: tuple[type[Page], ...] = (Overview, Market, Orders, Decisions, Log, Metrics)

_FILES = Path(__file__).parent / "files"
_HEAD_FILES = ("dashboard.css", "dashboard.js", "icon.svg", "deciding.js", "approver.js")
_HEAD = Markup(
    '<link rel="stylesheet" href="{}"><script src="{}"></script><link rel="icon" href="{}">'
    '<script type="module" src="{}" data-approver="{}"></script>'
)


def mount(app: FastAPI, desk: ApiDesk) -> None:
    """Serve the desk's dashboard below /dashboard, with / leading there. Call it after the app's other routes exist.

    NiceGUI has one app a process, so the newest mount of a process is the one that is served.
    """
    sessions, live = Sessions(desk), Live(desk)
    head = _HEAD.format(*(_address(name) for name in _HEAD_FILES))
    app.add_middleware(Guard, sessions=sessions)
    app.include_router(login.routes(desk, sessions, head), prefix=PREFIX)
    app.include_router(deciding.routes(desk, sessions), prefix=deciding.DECIDING)
    app.mount(FILES, StaticFiles(directory=_FILES))

    @app.get("/", include_in_schema=False)
    @app.get(PREFIX, include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse(f"{PREFIX}/")

    for page in PAGES:
        _serve(page, sessions, live, str(head))
    pages_app.middleware_stack = None  # a process that mounted before has built it already
    ui.run_with(app, mount_path=PREFIX, title=desk.name, language="en-US", tailwind=False, show_welcome_message=False)
    # NiceGUI's own middlewares report an error for whoever leaves a page early; the guard does what is needed of them.
    pages_app.user_middleware[:] = [Middleware(GZipMiddleware, minimum_size=500)]


def _serve(page: type[Page], sessions: Sessions, live: Live, head: str) -> None:
    @ui.page(page.path, title=f"{page.title} · {live.desk.name}", response_timeout=10)
    async def opened(request: Request, client: Client) -> None:
        cookie = request.scope["cdb_cookie"]
        principal = await sessions.principal(cookie)
        assert principal is not None, "the guard lets nobody pass without a session"
        ui.add_head_html(head)
        window = Window(live, sessions, cookie, principal, PAGES, page, request.query_params)
        await live.look()
        await window.show()
        client.on_connect(lambda: live.watch(window.show))
        client.on_delete(lambda: live.leave(window.show))


def _address(name: str) -> str:
    """Where a file is; another content has another address, so browsers may keep it for ever."""
    return f"{FILES}/{name}?{hashlib.sha256((_FILES / name).read_bytes()).hexdigest()[:12]}"
