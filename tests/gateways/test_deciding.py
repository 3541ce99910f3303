"""Deciding on proposals in a real Chromium: its own key, the real gate behind the dashboard, and who is refused."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, expect, sync_playwright

from adapters.postgres_server import PostgresServer
from domain.errors import Unavailable
from gateways.api_desk import ApiDesk
from ops.gatekeeper import Receipt
from tests.gateways.dashboards import Seen, Site, chromium, site, until

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
PATH = "/decisions"
LONG = 30_000  # ms: the projector, the gate and the page are all on the way


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


def signed_in(browser: Browser, desk: Site, role: str) -> Seen:
    """Somebody's own browser, at the decisions."""
    context = browser.new_context(viewport=WIDE)
    return Seen(context.new_page(), desk).sign_in(role, PATH)


@pytest.fixture(scope="module")
def person(browser: Browser, desk: Site) -> BrowserContext:
    """A browser whose key decides."""
    seen = signed_in(browser, desk, "approver")
    seen.page.get_by_role("button", name="Make a key").click()
    key = seen.page.locator(".public-key")
    expect(key).to_have_text(ONE_KEY)
    desk.run(desk.deciding.enrol("anna", key.inner_text()))
    expect(key_card(seen)).to_contain_text("of anna decides", timeout=LONG)
    seen.assert_clean()
    seen.page.close()
    return seen.page.context


@pytest.fixture
def seen(person: BrowserContext, desk: Site) -> Iterator[Seen]:
    page = person.new_page()
    yield Seen(page, desk).open(PATH)
    page.close()


@pytest.fixture(autouse=True)
def _nothing_waits(desk: Site) -> Iterator[None]:
    yield
    desk.run(desk.deciding.withdrawn())


ONE_KEY = re.compile(r"^[A-Za-z0-9_-]{43}$")


def key_card(seen: Seen) -> Locator:
    return seen.page.locator("[data-browser-key]")


def proposal(seen: Seen, receipt: Receipt) -> Locator:
    return seen.page.locator(f'article[data-key="{receipt.proposal}"]')


def drafted(desk: Site, what: str) -> Receipt:
    return desk.run(desk.deciding.drafted(what))


def button(seen: Seen, verdict: str, receipt: Receipt) -> Locator:
    return seen.page.get_by_role("button", name=f"{verdict} {receipt.proposal}")


def opened(seen: Seen, verdict: str, receipt: Receipt) -> Locator:
    """The dialog, once it shows what is asked."""
    button(seen, verdict, receipt).click(timeout=LONG)
    dialog = seen.page.locator("#decide-dialog")
    expect(dialog.locator("[type=submit]")).to_be_enabled()
    return dialog


def state(desk: Site, receipt: Receipt) -> str:
    return str(desk.deciding.gate.state.proposal(receipt.proposal).state)


# -- a key, and deciding with it ---------------------------------------------------------------------------------------


def test_a_key_is_made_in_the_browser_and_decides_only_once_it_is_enrolled(browser: Browser, desk: Site) -> None:
    receipt = drafted(desk, "Trade London only.")
    seen = signed_in(browser, desk, "operator")
    expect(proposal(seen, receipt)).to_contain_text("this browser needs an enrolled key", timeout=LONG)
    expect(key_card(seen)).to_contain_text("has no key")
    seen.page.get_by_role("button", name="Make a key").click()
    public_key = seen.page.locator(".public-key")
    expect(public_key).to_have_text(ONE_KEY)
    command = seen.page.locator(".command").inner_text()
    assert command == f"cdb approver enrol a-operator --public-key={public_key.inner_text()}"
    expect(key_card(seen)).to_contain_text("is not enrolled in environment golden")
    expect(button(seen, "Approve", receipt)).to_be_hidden()
    desk.run(desk.deciding.enrol("bob", public_key.inner_text()))
    expect(key_card(seen)).to_contain_text("of bob decides in environment golden", timeout=LONG)
    expect(button(seen, "Approve", receipt)).to_be_visible()
    seen.assert_clean()
    seen.page.context.close()


def test_a_proposal_is_approved_in_the_browser_and_seen_applied_on_the_page(seen: Seen, desk: Site) -> None:
    receipt = drafted(desk, "Trade <b>Frankfurt</b> only.")
    dialog = opened(seen, "Approve", receipt)
    asked = desk.deciding.proposal(receipt).presented
    assert asked is not None
    assert dialog.locator("[data-says=shown]").text_content() == asked.shown
    assert proposal(seen, receipt).locator("pre").text_content() == asked.shown
    assert "<b>Frankfurt</b>" in asked.shown
    expect(dialog.locator(".words-of")).to_contain_text("In the words of session-lead, not of the desk")
    assert state(desk, receipt) == "presented"  # one confirmation, and nothing before it
    dialog.get_by_role("button", name="Sign and approve").click()
    expect(dialog.get_by_role("alert").last).to_have_text(f"{receipt.proposal} is applied.", timeout=LONG)
    dialog.get_by_role("button", name="Close").click()
    row = seen.page.locator(f'section[aria-label="Verdicts"] tr[data-key="{receipt.proposal}"]')
    expect(row).to_contain_text("applied", timeout=LONG)
    expect(proposal(seen, receipt)).to_have_count(0)
    assert desk.deciding.effects.done[receipt.proposal]
    seen.assert_clean()


def test_a_rejection_has_its_reason_and_is_signed_too(seen: Seen, desk: Site) -> None:
    receipt = drafted(desk, "Trade at night.")
    dialog = opened(seen, "Reject", receipt)
    for words in ("", "   "):
        dialog.get_by_label("Reason").fill(words)
        dialog.get_by_role("button", name="Sign and reject").click()
        assert state(desk, receipt) == "presented"
    dialog.get_by_label("Reason").fill('spreads are "wide" 😀 then')
    dialog.get_by_role("button", name="Sign and reject").click()
    expect(dialog.get_by_role("alert").last).to_have_text(f"{receipt.proposal} is rejected.", timeout=LONG)
    dialog.get_by_role("button", name="Close").click()
    row = seen.page.locator(f'section[aria-label="Verdicts"] tr[data-key="{receipt.proposal}"]')
    expect(row).to_contain_text('spreads are "wide" 😀 then', timeout=LONG)
    assert state(desk, receipt) == "rejected"
    seen.page.get_by_role("link", name="Decision log").click()
    seen.shown()
    assert "anna" in seen.card("Decision log")


def test_a_proposal_whose_base_moved_is_shown_again_and_the_old_signature_is_refused(seen: Seen, desk: Site) -> None:
    receipt = drafted(desk, "Trade Tokyo too.")
    dialog = opened(seen, "Approve", receipt)
    before = dialog.locator("[data-says=shown]").text_content()
    desk.deciding.stands.fields = {"what": "Trade London only."}
    try:
        dialog.get_by_role("button", name="Sign and approve").click()
        expect(dialog.locator("[data-says=notice]")).to_contain_text("has moved meanwhile", timeout=LONG)
        shown = dialog.locator("[data-says=shown]").text_content()
        assert shown != before
        assert '"Trade London only." -> "Trade Tokyo too."' in str(shown)
        assert state(desk, receipt) == "presented"
        assert (desk.deciding.refused[-1].code, desk.deciding.refused[-1].command) == ("stale", "decide")
        expect(dialog.locator("[type=submit]")).to_be_enabled()
        dialog.get_by_role("button", name="Sign and approve").click()
        expect(dialog.get_by_role("alert").last).to_have_text(f"{receipt.proposal} is applied.", timeout=LONG)
    finally:
        desk.deciding.stands.fields = {}


def test_what_the_page_shows_otherwise_than_the_desk_is_not_signed(seen: Seen, desk: Site) -> None:
    receipt = drafted(desk, "Trade Sydney too.")
    dialog = opened(seen, "Approve", receipt)
    posted: list[str] = []
    seen.page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    dialog.locator("[data-says=shown]").evaluate("(shown) => { shown.textContent += ' '; }")
    dialog.get_by_role("button", name="Sign and approve").click()
    expect(dialog.get_by_role("alert").last).to_contain_text("Not signed: what this page shows")
    assert not any("/deciding/" in url for url in posted)
    assert state(desk, receipt) == "presented"


def test_a_verdict_that_was_edited_or_signed_for_another_proposal_is_refused(seen: Seen, desk: Site) -> None:
    one, other = drafted(desk, "Trade gold."), drafted(desk, "Trade silver.")
    sent: list[Any] = []

    def held_back(route: Any) -> None:
        sent.append(json.loads(route.request.post_data))
        route.fulfill(status=503, json={"says": "held back by a test"})

    seen.page.route("**/deciding/verdict", held_back)
    dialog = opened(seen, "Approve", one)
    dialog.get_by_role("button", name="Sign and approve").click()
    expect(dialog.get_by_role("alert").last).to_contain_text("held back by a test", timeout=LONG)
    (signed,) = (verdict["signed"] for verdict in sent)
    said = {"forged": {"reason": "another"}, "stale": {"base": "governance:1"}, "edited": {"args_sha256": "0" * 64}}
    for code, changed in said.items():
        answer = hand_in(seen, {**signed, "body": signed["body"] | changed})
        assert (answer.status, answer.json()["code"]) == (409, code)
    answer = hand_in(seen, {**signed, "body": signed["body"] | {"proposal": other.proposal}})
    assert answer.status == 409
    for rubbish in ({}, None, {"body": {}, "signature": "x"}, [signed], "signed"):
        assert hand_in(seen, rubbish).status == 422
    assert hand_in(seen, signed).json()["state"] == "applied"
    again = hand_in(seen, signed)
    assert again.status == 409  # a signature counts once
    assert (state(desk, one), state(desk, other)) == ("applied", "presented")


def hand_in(seen: Seen, signed: Any, **options: Any) -> Any:
    return seen.page.request.post(seen.site.url("/deciding/verdict"), data={"signed": signed}, **options)


# -- who may not, and when ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["agent", "observer"])
def test_a_token_of_no_person_sees_proposals_and_is_refused_and_recorded(
    browser: Browser, desk: Site, role: str
) -> None:
    receipt = drafted(desk, f"Trade whatever {role} likes.")
    seen = signed_in(browser, desk, role)
    expect(proposal(seen, receipt)).to_be_visible(timeout=LONG)
    assert seen.page.locator("[data-verdict], [data-browser-key], #decide-dialog").count() == 0
    signed = desk.deciding.person.verdict(desk.deciding.proposal(receipt), desk.deciding.clock())
    said, asked = desk.desk.refused, len(desk.deciding.refused)
    said.clear()
    for path, content in (
        ("verdict", {"signed": signed.model_dump(mode="json")}), ("verdict", {}),
        ("question", {"proposal": receipt.proposal}), ("approvers", {}),
    ):  # fmt: skip
        answer = seen.page.request.post(desk.url(f"/deciding/{path}"), data=content)
        assert (answer.status, answer.json()["code"]) == (403, "not_permitted")
    assert [(one.actor, one.command, one.code) for one in said] == [
        (f"a-{role}", command, "not_permitted") for command in ("decide", "decide", "ask", "ask")
    ]
    assert len(desk.deciding.refused) == asked  # it never came that far
    assert state(desk, receipt) == "presented"
    seen.page.context.close()


def test_no_token_alone_decides_and_no_other_site_does(seen: Seen, desk: Site, browser: Browser) -> None:
    stranger = browser.new_context()
    for role in ("agent", "approver"):
        headers = {"authorization": f"Bearer {desk.desk.tokens[role]}"}
        for path in ("verdict", "question", "approvers", "body"):
            answer = stranger.request.post(desk.url(f"/deciding/{path}"), data={}, headers=headers)
            assert answer.status == 401
    stranger.close()
    for path in ("verdict", "question", "approvers", "body"):
        foreign = {"origin": "http://example.com"}
        assert seen.page.request.post(desk.url(f"/deciding/{path}"), data={}, headers=foreign).status == 403


def test_nothing_of_the_api_decides(desk: Site) -> None:
    posts = {
        path: methods for path, methods in desk.desk.app.openapi()["paths"].items() if set(methods) - {"get", "head"}
    }
    assert all("halt" in path or "stop" in path for path in posts), posts
    asking = [name for name in vars(ApiDesk) if name.startswith(("govern", "decide"))]
    assert asking == ["govern"]


def test_in_the_past_nothing_can_be_decided(seen: Seen, desk: Site) -> None:
    receipt = drafted(desk, "Trade Zurich too.")
    expect(button(seen, "Approve", receipt)).to_be_visible(timeout=LONG)
    moment = desk.run(desk.desk.api.moment())
    seen.open(f"{PATH}?as_of={moment.token}")
    expect(proposal(seen, receipt)).to_be_visible()
    expect(key_card(seen)).to_contain_text("decides")
    assert seen.page.locator("[data-verdict]").count() == 0
    seen.page.get_by_role("button", name="Back to live").click()
    expect(button(seen, "Approve", receipt)).to_be_visible(timeout=LONG)


def test_without_governance_the_page_says_so_and_shows_what_it_knows(
    seen: Seen, desk: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = drafted(desk, "Trade Oslo too.")
    expect(button(seen, "Approve", receipt)).to_be_visible(timeout=LONG)

    async def away(*_: object) -> Any:
        raise Unavailable("governance did not answer: a test")

    monkeypatch.setattr(desk.desk.api, "_govern", away)
    button(seen, "Approve", receipt).click()
    dialog = seen.page.locator("#decide-dialog")
    expect(dialog.get_by_role("alert").last).to_have_text("governance did not answer: a test")
    expect(dialog.locator("[type=submit]")).to_be_disabled()


# -- how it looks ------------------------------------------------------------------------------------------------------


def test_the_keyboard_alone_decides_and_is_led_back(seen: Seen, desk: Site) -> None:
    receipt = drafted(desk, "Trade Madrid too.")
    reject = button(seen, "Reject", receipt)
    expect(reject).to_be_visible(timeout=LONG)
    reject.focus()
    keyboard = seen.page.keyboard
    keyboard.press("Enter")
    dialog = seen.page.locator("#decide-dialog")
    expect(dialog.locator("[type=submit]")).to_be_enabled()
    keyboard.press("Escape")
    expect(reject).to_be_focused()
    keyboard.press("Enter")
    expect(dialog.locator("[type=submit]")).to_be_enabled()
    dialog.get_by_label("Reason").focus()
    keyboard.type("no siesta")
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(dialog.locator("[type=submit]")).to_be_focused()
    keyboard.press("Enter")
    until(lambda: state(desk, receipt) == "rejected", seen.page, 30)
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()


def test_the_dialog_fits_a_phone(seen: Seen, desk: Site) -> None:
    receipt = drafted(desk, "Trade " + "x" * 300)
    seen.page.set_viewport_size(PHONE)
    dialog = opened(seen, "Approve", receipt)
    assert seen.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    box = dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    assert box["height"] <= PHONE["height"]
    assert dialog.evaluate("(dialog) => dialog.scrollWidth <= dialog.clientWidth")
    expect(dialog.get_by_role("button", name="Sign and approve")).to_be_in_viewport()
