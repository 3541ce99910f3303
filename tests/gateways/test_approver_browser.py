"""A browser's approver key: made in a real Chromium, it signs what the page shows, and nothing reads it."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import BrowserContext, Error, Page, sync_playwright

import gateways.dashboard.mounting as mounting
from domain.approval import SAFE_INT_MAX, Signed, canonical, decoded, encoded, key_id, to_sign, verify
from gateways.dashboard.guard import POLICY
from tests.gateways.dashboards import chromium
from tests.signing import JANA, body

FILES = Path(mounting.__file__).parent / "files"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | TEXT | st.integers(-SAFE_INT_MAX, SAFE_INT_MAX),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(lambda key: key != "$int"), inner),
    max_leaves=12,
)


class Answers(SimpleHTTPRequestHandler):
    """The dashboard's files under the dashboard's policy, and an empty page."""

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>approver</title><link rel=icon href='data:,'>")

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Answers, directory=FILES)) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser.new_context()
        browser.close()


@pytest.fixture
def page(context: BrowserContext, address: str) -> Iterator[Page]:
    """A page at the desk's address; every test's page shares the browser's one key."""
    page = context.new_page()
    page.goto(address)
    yield page
    page.close()


def call(page: Page, function: str, *arguments: Any) -> Any:
    """What a function of approver.js answers."""
    return page.evaluate(
        "async ([name, given]) => (await import('/approver.js'))[name](...given)", [function, list(arguments)]
    )


def asked(public_key: str, **changed: Any) -> tuple[Any, str, dict[str, Any]]:
    """A verdict for this key: the body, its bytes as the desk gives them, the body as a page shows it."""
    said = body(**({"key_id": key_id(decoded(public_key))} | changed))
    return said, encoded(to_sign(said)), json.loads(said.model_dump_json())


def test_a_verdict_signed_in_the_browser_verifies_at_the_desk(page: Page) -> None:
    public_key = call(page, "enrol")
    said, wanted, shown = asked(public_key, reason='naïve "quote" \\ €😀\x1f\u2028')
    verify(Signed(body=said, signature=call(page, "sign", wanted, shown)), decoded(public_key))
    assert call(page, "keyId") == key_id(decoded(public_key))


def test_a_browser_has_one_key_and_keeps_it(page: Page, context: BrowserContext, address: str) -> None:
    first = call(page, "enrol")
    page.reload()
    other = context.new_page()
    other.goto(address)
    assert [call(page, "enrol"), call(other, "enrol")] == [first, first]
    other.close()


def test_two_enrolments_at_once_make_one_key(context: BrowserContext, address: str) -> None:
    with context.browser.new_context() as fresh:  # type: ignore[union-attr]
        page = fresh.new_page()
        page.goto(address)
        assert call(page, "keyId") is None
        made = page.evaluate("""async () => {
            const { enrol } = await import("/approver.js");
            const generate = crypto.subtle.generateKey.bind(crypto.subtle);
            let calls = 0, open;
            const gate = new Promise((resolve) => { open = resolve; });
            crypto.subtle.generateKey = async (...given) => {
                if (++calls === 1) await gate; // the slower one has found no key, and holds its own back
                return generate(...given);
            };
            const both = [enrol(), enrol()];
            await Promise.race(both);
            open();
            return [calls, ...(await Promise.all(both))];
        }""")
        public_key = call(page, "enrol")
        assert made == [2, public_key, public_key]


def test_the_private_key_cannot_be_read(page: Page) -> None:
    call(page, "enrol")
    told = page.evaluate("""async () => {
        const opened = await new Promise((done) => {
            const request = indexedDB.open("cdb-approver");
            request.onsuccess = () => done(request.result);
        });
        const pair = await new Promise((done) => {
            const request = opened.transaction("keys").objectStore("keys").get("approver");
            request.onsuccess = () => done(request.result);
        });
        opened.close();
        const refused = [];
        for (const format of ["raw", "pkcs8", "jwk", "spki"]) {
            await crypto.subtle.exportKey(format, pair.privateKey).catch(() => refused.push(format));
        }
        const { extractable, usages, algorithm } = pair.privateKey;
        return { refused, extractable, usages, name: algorithm.name, json: JSON.stringify(pair.privateKey) };
    }""")
    assert told == {
        "refused": ["raw", "pkcs8", "jwk", "spki"], "extractable": False, "usages": ["sign"], "name": "Ed25519",
        "json": "{}",
    }  # fmt: skip


@pytest.mark.parametrize("field", ["verdict", "args_sha256", "reason", "environment", "expires_at_ns"])
def test_what_is_not_shown_is_not_signed(page: Page, field: str) -> None:
    _, wanted, shown = asked(call(page, "enrol"))
    for other in (shown | {field: shown[field] + "0"}, {name: shown[name] for name in shown if name != field}):
        with pytest.raises(Error, match="something else than this page shows"):
            call(page, "sign", wanted, other)


def test_bytes_that_are_no_verdict_are_not_signed(page: Page) -> None:
    _, wanted, shown = asked(call(page, "enrol"))
    enrolment = decoded(wanted).replace(b"cdb.decision.v1", b"cdb.enrolment.v1")
    for other in (encoded(enrolment), encoded(canonical(shown)), wanted + "=", wanted[:-1], ""):
        with pytest.raises(Error, match="something else than this page shows"):
            call(page, "sign", other, shown)


def test_a_verdict_for_another_key_is_not_signed(page: Page) -> None:
    _, wanted, shown = asked(call(page, "enrol"), key_id=JANA.id)
    with pytest.raises(Error, match=f"it is for key {JANA.id}"):
        call(page, "sign", wanted, shown)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, max_size=8))
def test_browser_and_desk_have_one_canonical_form(page: Page, values: list[Any]) -> None:
    assert call(page, "canonical", values) == canonical(values).decode()


@pytest.mark.parametrize("value", ["1.5", "2 ** 53", "NaN", "10n", "undefined", "'\\ud800'", "new Date()", "new Map()"])
def test_what_a_browser_cannot_say_exactly_has_no_form(page: Page, value: str) -> None:
    with pytest.raises(Error, match="has no canonical form"):
        page.evaluate(f"import('/approver.js').then((key) => key.canonical([{value}]))")
