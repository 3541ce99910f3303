"""The dashboard in a real headless Chromium, before the golden desk's real API, projector and PostgreSQL."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from nicegui import Client
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from adapters.postgres_server import PostgresServer
from domain.errors import Unavailable
from gateways.dashboard.login import NO_REASON
from gateways.ledger_words import money
from projections.as_of import AsOf
from tests.gateways.dashboards import KEPT_BACK, PAGES, Seen, Site, as_of, chromium, jump, site, typed, until
from tests.ops.ledgers import LINES, PLAIN

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SECOND = 10**9
BEFORE = len(LINES) - KEPT_BACK
SAID = max(event["number"] for event in PLAIN if event["type"] == "instruction_applied")
TRADED = [event for event in PLAIN[SAID:BEFORE] if event["type"] == "fill_booked"][1]  # behind every instruction
HALT = next(event for event in PLAIN if event["type"] == "instruction_applied" and event["kind"] == "trading_halted")


@pytest.fixture(scope="module")
def desk(postgres_server: PostgresServer) -> Iterator[Site]:
    with site(postgres_server.dsn) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, desk: Site) -> BrowserContext:
    """A browser at which an operator has signed in."""
    context = browser.new_context(viewport=WIDE, color_scheme="light")
    Seen(context.new_page(), desk).sign_in().page.close()
    return context


@pytest.fixture
def seen(signed_in: BrowserContext, desk: Site) -> Iterator[Seen]:
    """A new tab of the operator."""
    page = signed_in.new_page()
    yield Seen(page, desk)
    page.close()


@pytest.fixture
def stranger(browser: Browser, desk: Site) -> Iterator[Seen]:
    """A browser at which nobody has signed in."""
    context = browser.new_context(viewport=WIDE)
    yield Seen(context.new_page(), desk)
    context.close()


# -- pages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_clean_and_asks_no_foreign_host(seen: Seen, path: str) -> None:
    seen.open(path)
    assert urlsplit(seen.page.url).path == f"/dashboard{path}"
    expect(seen.page.locator("nav a[aria-current=page]")).to_have_text(PAGES[path])
    assert "Loading" not in seen.text(".page")
    assert seen.page.locator(".troubles p").count() == 0
    looks = seen.site.looks
    until(lambda: seen.site.looks > looks + 1, seen.page)  # what a refresh breaks shows below
    seen.assert_clean()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone_without_scrolling_sideways(seen: Seen, path: str) -> None:
    seen.page.set_viewport_size(PHONE)
    for address in (path, f"{path}?as_of={seen.site.at(TRADED['number'])}&why={TRADED['number']}"):
        seen.open(address)
        assert seen.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        expect(seen.page.get_by_role("button", name="Emergency stop")).to_be_in_viewport()
        expect(seen.page.locator("nav a[aria-current=page]")).to_be_in_viewport(ratio=1)


def test_the_root_and_the_bare_path_lead_to_the_overview(seen: Seen) -> None:
    seen.open("/")
    for path in ("/", "/dashboard"):
        seen.page.goto(seen.site.address + path)
        assert seen.shown().page.url == seen.site.url("/")


def test_colours_follow_the_system_until_the_switch_says_otherwise(seen: Seen) -> None:
    seen.open("/")

    def ground() -> str:
        return str(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = ground()
    seen.page.emulate_media(color_scheme="dark")
    dark = ground()
    assert light != dark
    seen.page.get_by_label("Theme").select_option("light")
    assert ground() == light
    seen.page.reload()
    assert seen.shown()
    assert ground() == light
    assert seen.page.get_by_label("Theme").input_value() == "light"
    seen.page.get_by_label("Theme").select_option("system")
    assert ground() == dark


# -- time --------------------------------------------------------------------------------------------------------------


def test_the_slider_turns_the_page_to_what_the_queries_say_of_that_time(seen: Seen) -> None:
    seen.open("/")
    seconds = TRADED["occurred_at_ns"] // SECOND + 1
    seen.page.locator(".slider").evaluate(
        "(slider, at) => { slider.step = 1; slider.value = at; slider.dispatchEvent(new Event('input')); }", seconds
    )
    until(lambda: as_of(seen) is not None, seen.page)
    api = seen.site.desk.api
    moment = seen.site.run(api.moment(market_time_ns=seconds * SECOND))
    assert as_of(seen) == moment.token
    assert AsOf.parse(moment.token, api.name).ledger >= TRADED["number"]
    expect(seen.page.locator(".moment")).to_contain_text(
        f"As of\n{typed(moment.market_time_ns or 0)}", use_inner_text=True
    )
    status = seen.site.run(api.queries.status(moment.at))
    fills = [row["id"] for row in seen.site.run(api.queries.fills(moment.at, limit=8)).items]
    until(
        lambda: money(status["account"]["equity"]) in seen.text(".figures"), seen.page
    )  # the page is patched by parts
    until(lambda: [order["id"] for order in status["working_orders"]] == seen.keys("Working orders"), seen.page)
    until(lambda: fills == seen.keys("Last fills"), seen.page)
    seen.page.get_by_role("link", name="Orders", exact=True).click()
    seen.shown()
    assert as_of(seen) == moment.token
    orders = [row["id"] for row in seen.site.run(api.queries.orders(moment.at, limit=40)).items]
    until(lambda: orders == seen.keys("Orders"), seen.page)
    seen.page.get_by_role("button", name="Back to live").click()
    until(lambda: as_of(seen) is None, seen.page)
    expect(seen.page.locator(".moment")).to_contain_text("Live")
    seen.assert_clean()


@pytest.mark.parametrize("path", PAGES)
def test_a_link_shows_the_same_moment_and_keeps_it_on_the_way_to_other_pages(seen: Seen, path: str) -> None:
    token = seen.site.at(TRADED["number"])
    seen.open(f"{path}?as_of={token}")
    assert as_of(seen) == token
    expect(seen.page.locator(".moment")).to_contain_text(typed(TRADED["occurred_at_ns"]))
    for link in seen.page.locator("nav a").all():
        assert f"as_of={token}" in (link.get_attribute("href") or "")


def test_arrows_step_on_from_the_time_that_was_asked_for(seen: Seen) -> None:
    seen.open("/")
    at = TRADED["occurred_at_ns"] // SECOND * SECOND
    first = jump(seen, at)
    seen.page.get_by_label("Step of the arrows").select_option("1 minute")
    seen.page.get_by_role("button", name="Step later").click()
    until(lambda: as_of(seen) != first, seen.page)
    moment = seen.site.run(seen.site.desk.api.moment(market_time_ns=at + 60 * SECOND))
    assert as_of(seen) == moment.token
    seen.page.get_by_role("button", name="Step earlier").click()
    until(lambda: as_of(seen) == first, seen.page)


def test_a_time_that_is_none_and_a_moment_that_never_was_are_told(seen: Seen) -> None:
    seen.open("/orders?as_of=rubbish")
    expect(seen.page.locator(".troubles")).to_contain_text("is no moment")
    expect(seen.page.locator(".moment")).to_contain_text("Live")
    seen.page.get_by_label("Jump to a time, UTC").fill("yesterday")
    seen.page.get_by_role("button", name="Jump").click()
    expect(seen.page.locator(".jump [role=alert]")).to_contain_text("'yesterday' is not a time")


def test_a_halt_is_shown_with_who_and_why_at_its_moment(seen: Seen) -> None:
    seen.open(f"/decisions?as_of={seen.site.at(HALT['number'])}")
    state, stops = seen.card("State"), seen.card("Halts and resumes")
    assert "Halted" in state
    assert "a golden halt" in state
    assert "trading halted" in stops
    assert "a golden halt" in stops
    assert "No proposal is pending" in seen.text(".page")
    expect(seen.page.locator(".now")).to_contain_text("Now\nTrading", use_inner_text=True)


# -- live --------------------------------------------------------------------------------------------------------------


def test_a_new_fill_becomes_visible_by_itself_and_leaves_the_focus_where_it_was(seen: Seen) -> None:
    seen.open("/orders")
    row = seen.page.locator("tr[data-key]").nth(2)
    name = row.get_attribute("data-key")
    row.get_by_role("button").focus()
    told = seen.site.run(seen.site.told.tell(KEPT_BACK // 2))
    orders = [event for event in PLAIN[:told] if event["type"] == "order_placed"]
    newest = f"{seen.site.told.name}:{orders[-1]['number']}"
    until(lambda: seen.keys("Orders")[0] == newest, seen.page)
    assert seen.page.evaluate("document.activeElement.closest('tr')?.dataset.key") == name
    assert as_of(seen) is None
    seen.page.get_by_role("link", name="Overview").click()
    seen.shown()
    seen.site.run(seen.site.told.tell(KEPT_BACK))
    fill = [event for event in PLAIN if event["type"] == "order_filled"][-1]
    until(lambda: seen.keys("Last fills")[:1] == [f"{seen.site.told.name}:{fill['number']}"], seen.page)
    seen.assert_clean()


def test_what_the_desk_cannot_say_is_told_and_goes_when_it_can(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    seen.open("/")

    async def away(*_: object) -> None:
        raise Unavailable("PostgreSQL does not answer: a test")

    with monkeypatch.context() as patched:
        patched.setattr(seen.site.desk.api, "moment", away)
        expect(seen.page.locator(".troubles")).to_contain_text("PostgreSQL does not answer", timeout=15_000)
        assert "USD" in seen.text(".figures")
    expect(seen.page.locator(".troubles p")).to_have_count(0, timeout=15_000)


# -- the emergency stop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("past", [False, True])
def test_the_emergency_stop_reaches_the_desk_after_one_confirmation(seen: Seen, past: bool) -> None:
    said = seen.site.desk.halts.said
    said.clear()
    seen.open("/metrics" + (f"?as_of={seen.site.at(TRADED['number'])}" if past else ""))
    seen.page.get_by_role("button", name="Emergency stop").click()
    assert said == []
    seen.page.get_by_label("Reason").fill("  a <b>smell</b> of smoke ")
    seen.page.get_by_label("Also close all open positions").check()
    seen.page.get_by_role("button", name="Stop trading").click()
    expect(seen.page.locator("dialog [role=alert]")).to_contain_text("Trading is halted")
    assert [(by.name, by.role, reason, flatten) for by, reason, flatten in said] == [
        ("a-operator", "operator", "a <b>smell</b> of smoke", True)
    ]
    seen.assert_clean()


def test_the_keyboard_reaches_the_stop_and_is_led_back(seen: Seen) -> None:
    said = seen.site.desk.halts.said
    said.clear()
    seen.open("/")
    keyboard, names = seen.page.keyboard, []
    for _ in range(12):
        keyboard.press("Tab")
        names.append(
            seen.page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
        )
        if names[-1] == "Emergency stop":
            break
    assert names[0] == "Skip to the page"
    assert names[-1] == "Emergency stop"
    assert seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keyboard.press("Enter")
    keyboard.press("Escape")
    assert seen.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Emergency stop"
    keyboard.press("Enter")
    keyboard.press("Enter")  # the reason may stay empty
    until(lambda: len(said) == 1, seen.page)
    assert said[0][1:] == (NO_REASON, False)


def test_an_observer_sees_and_cannot_stop(stranger: Seen) -> None:
    said = stranger.site.desk.halts.said
    said.clear()
    stranger.sign_in("observer")
    expect(stranger.page.get_by_role("button", name="Emergency stop")).to_be_disabled()
    assert stranger.page.locator("dialog").count() == 0
    answer = stranger.page.request.post(stranger.site.url("/stop"), form={"reason": "all the same"})
    assert (answer.status, answer.json()["stopped"], said) == (403, False, [])


# -- the door ----------------------------------------------------------------------------------------------------------


def test_without_a_session_nothing_of_the_desk_is_told(stranger: Seen) -> None:
    said = stranger.site.desk.halts.said
    said.clear()
    stranger.page.goto(stranger.site.url("/orders?state=working"))
    assert urlsplit(stranger.page.url).path == "/dashboard/login"
    request = stranger.page.request
    assert request.post(stranger.site.url("/stop"), form={"reason": "x"}, max_redirects=0).status == 401
    assert request.get(stranger.site.url("/_nicegui_ws/socket.io/?EIO=4&transport=polling")).status == 401
    assert said == []
    stranger.page.get_by_label("Token").fill("cdb_wrong")
    stranger.page.get_by_role("button", name="Sign in").click()
    expect(stranger.page.get_by_role("alert")).to_contain_text("opens nothing")
    stranger.page.get_by_label("Token").fill(stranger.site.desk.tokens["operator"])
    stranger.page.get_by_role("button", name="Sign in").click()
    assert stranger.shown().page.url == stranger.site.url("/orders?state=working")


def test_the_token_is_in_no_address_and_no_storage_and_its_cookie_is_locked(stranger: Seen) -> None:
    addresses: list[str] = []
    stranger.page.on("request", lambda request: addresses.append(request.url))
    stranger.sign_in()
    token = stranger.site.desk.tokens["operator"]
    (cookie,) = stranger.page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert cookie["path"] == "/dashboard"
    stored = str(
        stranger.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
    )
    assert all(token not in words for words in (*addresses, stored, cookie["value"], stranger.page.content()))
    stranger.page.context.add_cookies(
        [{**cookie, "value": ("A" if cookie["value"][0] != "A" else "B") + cookie["value"][1:]}]
    )
    stranger.page.goto(stranger.site.url("/"))
    assert urlsplit(stranger.page.url).path == "/dashboard/login"


@pytest.mark.parametrize(
    "there", ["https://example.com/", "//example.com", "/dashboard/\\example.com", "/api/v1/status"]
)
def test_signing_in_leads_to_our_own_pages_only(stranger: Seen, there: str) -> None:
    form = {"token": stranger.site.desk.tokens["observer"], "next": there}
    answer = stranger.page.request.post(stranger.site.url("/login"), form=form, max_redirects=0)
    assert (answer.status, answer.headers["location"]) == (303, "/dashboard/")


def test_another_sites_page_can_neither_stop_the_desk_nor_open_its_socket(seen: Seen) -> None:
    said = seen.site.desk.halts.said
    said.clear()
    seen.open("/")
    foreign = {"origin": "http://example.com"}
    for path in ("/stop", "/login", "/logout"):
        assert seen.page.request.post(seen.site.url(path), form={"reason": "x"}, headers=foreign).status == 403
    (cookie,) = seen.page.context.cookies()
    session = f"{cookie['name']}={cookie['value']}"
    assert seen.site.socket_status(session, "http://example.com") == 403
    assert seen.site.socket_status(session, "null") == 403
    assert seen.site.socket_status("", seen.site.address) == 403
    assert seen.site.socket_status(session, seen.site.address) == 101
    assert said == []


def test_a_page_may_not_be_framed_and_may_fetch_from_nowhere_else(seen: Seen) -> None:
    seen.open("/")
    answer = seen.page.request.get(seen.site.url("/"))
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert answer.headers["cache-control"] == "no-store"
    blocked = seen.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'blocked')")
    assert blocked == "blocked"


def test_signing_out_and_revoking_a_token_end_what_it_opened(stranger: Seen) -> None:
    tokens = stranger.site.desk.token_log
    stranger.site.desk.tokens["leaver"] = stranger.site.run(tokens.create("a-leaver", "operator", "a test"))
    stranger.sign_in("leaver")
    stranger.page.goto("about:blank")  # an open page would go to the login by itself, in the middle of our going there
    stranger.site.run(tokens.revoke("a-leaver", "a test", "gone"))
    answer = stranger.page.request.post(stranger.site.url("/stop"), form={"reason": "still here?"})
    assert answer.status == 401
    stranger.page.goto(stranger.site.url("/"))
    assert urlsplit(stranger.page.url).path == "/dashboard/login"
    stranger.sign_in("observer")
    stranger.page.get_by_role("button", name="Sign out").click()
    stranger.page.wait_for_url("**/dashboard/login")
    stranger.page.goto(stranger.site.url("/"))
    assert urlsplit(stranger.page.url).path == "/dashboard/login"


def test_an_open_page_shows_nothing_more_once_its_session_is_over(
    stranger: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = set(Client.instances)
    stranger.sign_in("observer")
    (own,) = (key for key, one in Client.instances.items() if key not in others and one.has_socket_connection)
    stranger.page.route("**/dashboard/login", lambda route: route.abort())  # a browser that does not leave
    api, asked = stranger.site.desk.api, list[object]()
    moment = api.moment
    monkeypatch.setattr(api, "moment", lambda **which: asked.append(which) or moment(**which))
    assert stranger.page.request.post(stranger.site.url("/logout"), max_redirects=0).status == 303
    stranger.page.get_by_label("Jump to a time, UTC").fill(typed(TRADED["occurred_at_ns"]))
    with stranger.page.expect_request("**/dashboard/login"):
        stranger.page.keyboard.press("Enter")
    until(lambda: own not in Client.instances, stranger.page)
    assert not any(asked)  # for the newest moment only, which all pages share


def test_a_symbol_that_the_desk_does_not_know_is_not_asked_for(seen: Seen) -> None:
    seen.open("/orders")
    every = seen.keys("Orders")
    seen.open("/orders?symbol=NOSUCH")
    assert seen.keys("Orders") == every != []
    assert seen.page.get_by_label("Symbol", exact=True).input_value() == ""
