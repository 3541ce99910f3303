"""The parts of the dashboard without a browser: escaping, shared answers, candles asked for once, words of a stop."""

import asyncio
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from domain.errors import Unavailable
from domain.tape import utc
from gateways.api_desk import Moment, Principal
from gateways.dashboard.bars import Bars
from gateways.dashboard.charts import AHEAD, Times, candles
from gateways.dashboard.formats import FIGURE_SPACE, priced, result
from gateways.dashboard.guard import is_foreign
from gateways.dashboard.live import ANSWERS_KEPT, Answers, Live
from gateways.dashboard.login import said
from gateways.dashboard.markup import Column, table, tag
from gateways.dashboard.overview import limits, services, state
from gateways.dashboard.page import address, row_place
from gateways.dashboard.sessions import SESSIONS_MAX, Sessions
from projections.as_of import AsOf

MINUTE = 60 * 10**9
HOSTILE = st.text(st.sampled_from("<>&\"'/= abc{}$`\\") | st.characters(), max_size=40)


def moment(tape: int = 1, market_ns: int | None = MINUTE, *, newest: bool = True) -> Moment:
    return Moment(AsOf(tape), f"token-{tape}", market_ns, market_ns, newest)


class Read(HTMLParser):
    """What a browser makes of markup: elements with their attributes, and the text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_data(self, text: str) -> None:
        self.text += text


# -- markup ------------------------------------------------------------------------------------------------------------


@given(words=HOSTILE.filter(lambda words: "\r" not in words and "\0" not in words), value=HOSTILE)
def test_words_from_outside_stay_words_wherever_they_stand(words: str, value: str) -> None:
    row = {"id": value, "said": words}
    shown = table("Rows", [Column("Said", lambda row: row["said"])], [row], "None.", key=lambda row: row["id"])
    read = Read(tag("p", words, title=value))
    assert (read.elements, read.text) == ([("p", {"title": value})], words)
    assert [name for name, _ in Read(shown).elements] == "div table thead tr th tbody tr td".split()


def test_a_table_without_rows_says_why() -> None:
    assert Read(table("Rows", [Column("Said", str)], [], "Nothing yet.")).text == "Nothing yet."


@given(st.integers(0, 10**12), st.integers(0, 6))
def test_prices_of_one_instrument_have_their_points_below_each_other(pipettes: int, digits: int) -> None:
    whole, half = (f"{Decimal(pipettes).scaleb(-places):.9f}" for places in (digits, digits + 1))
    shown = [str(priced(text, digits)) for text in (whole, half)]
    assert [Decimal(text.rstrip(FIGURE_SPACE)) for text in shown] == [Decimal(whole), Decimal(half)]
    if digits:
        assert len({len(text) - text.index(".") for text in shown}) == 1


@pytest.mark.parametrize(
    ("text", "shown", "mood"),
    [("9.635", "+9.64", "gain"), ("-0.004", "0.00", "even"), ("-1003.21", "-1,003.21", "loss"), ("0", "0.00", "even")],
)
def test_money_that_was_made_carries_its_sign_in_words(text: str, shown: str, mood: str) -> None:
    read = Read(str(result(text)))
    assert (read.text, read.elements[0][1]["class"]) == (shown, mood)


def test_an_address_keeps_its_words_and_the_moment() -> None:
    assert address("/orders", None) == "/dashboard/orders"
    assert address("/orders", "a=b", {"why": "main:1&x"}) == "/dashboard/orders?why=main%3A1%26x&as_of=a%3Db"
    assert [row_place(text) for text in ("12", "-1", "x", "²", "9" * 30, "", None)] == [12, *[None] * 6]


# -- the overview's words ----------------------------------------------------------------------------------------------


def test_a_limit_tells_the_room_that_is_left_and_one_that_is_passed_is_full() -> None:
    limit = {"limit": "max_loss", "at_equity": "90000", "room": "-12.5", "of": "10000", "used_ratio": 1.00125}
    status = {"limits": [limit], "account": {"profit_target": None, "trading_days_min": 0, "objectives": None}}
    read = Read("".join(limits(status)))
    meter = next(attributes for _, attributes in read.elements if attributes.get("role") == "meter")
    assert meter["aria-valuenow"] == "100"
    assert "bad" in (meter["class"] or "")
    assert "-12.50 left" in read.text
    assert "halts at equity 90,000.00" in read.text


@pytest.mark.parametrize(
    ("outcome", "at", "shown"),
    [("reached", "2024-03-05T15:00:02Z", "Reached since 2024-03-05 15:00:02"), ("open", None, "Open")],
)
def test_the_objectives_of_a_challenge_tell_what_became_of_it(outcome: str, at: str | None, shown: str) -> None:
    goal = {"outcome": outcome, "at": at}
    account = {
        "profit": "12000",
        "profit_target": "10000",
        "trading_days": 4,
        "trading_days_min": 4,
        "objectives": goal,
    }
    text = Read("".join(limits({"limits": [], "account": account}))).text
    assert text.endswith(f"Trading days4 of 4Objectives{shown}")


def test_what_blocks_the_desk_says_who_why_and_what_to_do() -> None:
    trouble = {"what": "it is halted", "since": None, "who": "anna", "why": "smoke", "what_to_do": "look"}
    status = {"state": "halted", "blockers": [trouble], "alerts": [], "pending_decisions": [], "mode": "paper"}
    text = Read("".join(state(status))).text
    assert all(words in text for words in ("Blocked", "it is halted", "anna", "smoke", "look"))


def test_a_service_shows_what_it_answers_now_and_else_what_it_had_reported() -> None:
    told = {"service": "core", "state": "failed", "message": "no disk"}
    guard = {"service": "core", "dependency": "nats", "state": "open", "last_error": "refused"}
    status = {"services": [told], "breakers": [guard, {**guard, "state": "closed", "dependency": "postgres"}]}
    now = Read(services(status, [{"service": "core", "state": "ready", "reason": None}])).text
    past = Read(services(status, ())).text
    assert "ready" in now
    assert "failed" in past
    assert "no disk" in past
    assert "breaker open" in past
    assert "postgres" not in past


# -- charts ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 500), min_size=1, unique=True), st.integers(-10, 600 * 60))
def test_a_time_lies_in_the_last_candle_that_began_by_then(starts: list[int], second: int) -> None:
    starts = sorted(starts)
    at_ns = (second + 3_600) * 10**9
    bars = [{"time": utc((60 * start + 3_600) * 10**9)} for start in starts]
    begun = [place for place, start in enumerate(starts) if 60 * start <= second]
    assert Times(bars).place(utc(at_ns)) == (begun[-1] if begun else None)


def test_a_chart_marks_what_was_seen_and_done() -> None:
    bars = [
        {"time": utc(place * MINUTE), "open": "1.1", "high": "1.2", "low": "1.0", "close": "1.15"} for place in range(9)
    ]
    signal = {
        "id": "main:1", "at": utc(4 * MINUTE), "bar_time": utc(3 * MINUTE), "strategy": "bos", "side": "buy",
        "level_price": "1.11", "entry_price": "1.12", "stop_price": "1.05", "target_price": "1.19",
        "verdict": "approved", "refused_by": [],
    }  # fmt: skip
    refused = signal | {"verdict": "refused", "refused_by": ["trend"], "id": "main:2"}
    fill = {
        "id": "main:3", "at": utc(5 * MINUTE), "side": "sell", "purpose": "stop", "quantity": "1000",
        "price": "1.05", "closed": True, "trade_result": "-3",
    }  # fmt: skip
    order = {"trigger_price": "1.07", "limit_price": None, "placed_at": utc(6 * MINUTE), "purpose": "stop"}
    candle, *marks = candles(bars, [signal, refused], [fill], [order])["series"]
    assert {mark["name"]: [one["value"] for one in mark["data"]] for mark in marks} == {
        "Signal": [[4, 1.12]], "Refused": [[4, 1.12]], "Bought": [], "Sold": [[5, 1.05]],
    }  # fmt: skip
    lines = [(start["coord"], end["coord"][0]) for start, end in candle["markLine"]["data"]]
    end = len(bars) - 1 + AHEAD
    assert lines == [
        ([0, 1.11], 4), ([4, 1.12], 16), ([4, 1.05], 16), ([4, 1.19], 16), ([0, 1.11], 4), ([6, 1.07], end),
    ]  # fmt: skip


class TickDesk:
    """A desk that knows its ticks only: seconds and prices. `asked` is how many bars it was asked for."""

    def __init__(self, seconds: list[int]) -> None:
        self.seconds, self.asked = seconds, list[int]()

    async def bars(self, symbol: str, timeframe: str, at: AsOf, *, count: int) -> list[dict[str, Any]]:
        self.asked.append(count)
        now = self.seconds[at.tape - 1]
        known = [(second // 60, second) for second in self.seconds[: at.tape]]
        minutes = {minute: [one for other, one in known if other == minute] for minute, _ in known}
        return [
            {"time": utc(minute * MINUTE), "close": of[-1], "ticks": len(of), "closed": (minute + 1) * 60 <= now}
            for minute, of in minutes.items()
            if minute > now // 60 - count
        ]


@given(
    st.lists(st.integers(0, 40) | st.integers(50, 900), min_size=1, max_size=60),
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.integers(1, 12),
)
@settings(max_examples=200)
def test_candles_asked_for_piece_by_piece_are_those_asked_for_at_once(
    gaps: list[int], looks: list[int], count: int
) -> None:
    seconds = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    desk = TickDesk(seconds)
    bars = Bars(desk)  # type: ignore[arg-type]

    async def compare() -> None:
        for look in sorted(min(look, len(seconds)) for look in looks):
            now = moment(look, seconds[look - 1] * 10**9)
            found = await bars.up_to(now, "EURUSD", "M1", count)
            whole = await desk.bars("EURUSD", "M1", now.at, count=10**6)
            within = [bar for bar in whole if bar in found]
            assert found == within
            assert found == whole[-len(found) :]
            assert len(found) == count or len(found) >= len(await desk.bars("EURUSD", "M1", now.at, count=count))

    asyncio.run(compare())


async def test_a_moment_later_only_what_is_new_is_asked_for() -> None:
    desk = TickDesk(list(range(0, 6_000, 10)))
    bars = Bars(desk)  # type: ignore[arg-type]
    for tape in (500, 501, 502, 520):
        await bars.up_to(moment(tape, desk.seconds[tape - 1] * 10**9), "EURUSD", "M1", 60)
    assert desk.asked == [60, 1, 1, 4]


# -- shared answers ----------------------------------------------------------------------------------------------------


async def test_many_pages_ask_the_desk_once_for_a_moment() -> None:
    asked = []

    async def question(at: AsOf, limit: int = 1) -> int:
        asked.append((at, limit))
        await asyncio.sleep(0)
        return limit

    answers = Answers(moment())
    said = await asyncio.gather(*(answers.ask(question, limit=limit) for limit in (1, 2, 1, 1, 2)))
    assert said == [1, 2, 1, 1, 2]
    assert asked == [(AsOf(1), 1), (AsOf(1), 2)]


async def test_a_page_that_goes_away_takes_no_answer_from_the_others_and_an_error_is_not_kept() -> None:
    go, calls = asyncio.Event(), []

    async def question(_: AsOf) -> str:
        calls.append(1)
        await go.wait()
        if len(calls) == 1:
            return "said"
        raise Unavailable("away")

    answers = Answers(moment())
    first, second = (asyncio.create_task(answers.ask(question)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go.set()
    assert await second == "said"
    other = Answers(moment(2))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await other.ask(question)
    assert len(calls) == 3


async def test_a_moment_that_lasts_keeps_the_answers_asked_for_last_and_no_more() -> None:
    asked: list[int] = []

    async def question(_: AsOf, before: int) -> int:
        asked.append(before)
        return before

    answers = Answers(moment())
    for before in range(1, ANSWERS_KEPT + 1):
        assert await answers.ask(question, before=before) == before
        assert await answers.ask(question, before=0) == 0  # what every page shows stays
    assert asked == [1, 0, *range(2, ANSWERS_KEPT + 1)]
    assert await answers.ask(question, before=1) == 1
    assert asked[-1] == 1


class QuietDesk:
    """A desk of which nothing is known but its moment."""

    name = "main"

    def __init__(self) -> None:
        self.tape, self.looks = 1, 0
        self.queries = self

    async def moment(self) -> Moment:
        self.looks += 1
        if self.tape < 0:
            raise Unavailable("it is away")
        return moment(self.tape)

    async def lag(self) -> list[dict[str, Any]]:
        return []

    async def health(self) -> list[dict[str, Any]]:
        return []

    async def standing(self, at: AsOf) -> list[dict[str, Any]]:
        return [{"at": "2024-03-04T00:00:05Z"}, {"at": "2024-03-04T00:00:00Z"}]


async def test_watchers_hear_of_a_new_moment_and_of_trouble_and_of_nothing_else() -> None:
    desk = QuietDesk()
    live = Live(desk)  # type: ignore[arg-type]
    assert await live.look()
    assert not await live.look()
    assert live.began == "2024-03-04T00:00:00Z"
    desk.tape = 2
    assert await live.look()
    desk.tape = -1
    assert await live.look()
    assert (live.trouble, live.newest) == ("it is away", moment(2))
    desk.tape = 2
    assert await live.look()
    assert live.trouble is None


async def test_without_an_open_page_the_desk_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateways.dashboard.live.EVERY_S", 0.001)
    desk, heard = QuietDesk(), asyncio.Event()
    live = Live(desk)  # type: ignore[arg-type]

    async def watcher() -> None:
        heard.set()

    live.watch(watcher)
    async with asyncio.timeout(10):
        await heard.wait()
        live.leave(watcher)
        await live.watching
    looks = desk.looks
    await asyncio.sleep(0)
    assert desk.looks == looks


# -- the door ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "foreign"),
    [
        (None, False),
        ("http://desk.local:8080", False),
        ("https://DESK.local:8080", False),
        ("http://desk.local", True),
        ("http://desk.local:8080.example.com", True),
        ("http://desk.local:8080@example.com", True),
        ("null", True),
        ("", True),
    ],
)
def test_a_request_of_another_sites_page_is_known_by_its_origin(origin: str | None, foreign: bool) -> None:
    headers = {"host": "desk.local:8080"} | ({} if origin is None else {"origin": origin})
    assert is_foreign(Headers(headers)) is foreign


class DoorDesk:
    """A desk that knows every token by its own text."""

    name = "main"

    async def principal(self, token: str) -> Principal | None:
        return Principal(token, "observer")


@pytest.mark.parametrize("foreign", ['foo={"a":1}', "a b=c", "@=1", "=", "", "lone", 'q="open', "cdb_session_other=x"])
def test_no_cookie_of_another_app_on_this_host_hides_ours(foreign: str) -> None:
    sessions = Sessions(DoorDesk())  # type: ignore[arg-type]
    for header in (f"{foreign}; cdb_session_main=abc.d-e_f", f"cdb_session_main=abc.d-e_f; {foreign}"):
        assert sessions.cookie_in(header) == "abc.d-e_f"
    assert sessions.cookie_in(foreign) is None


async def test_a_token_has_so_many_sessions_and_another_one_ends_its_oldest_only() -> None:
    sessions = Sessions(DoorDesk())  # type: ignore[arg-type]
    other = await sessions.open("other")
    cookies = [await sessions.open("mine") for _ in range(SESSIONS_MAX + 3)]
    known = [await sessions.principal(cookie) is not None for cookie in cookies]
    assert known == [False] * 3 + [True] * SESSIONS_MAX
    assert await sessions.principal(other) == Principal("other", "observer")


@pytest.mark.parametrize(
    ("receipt", "stopped", "words"),
    [
        ({"applied": True, "tape": "tape:7", "ledger": "main:9", "reason": ""}, True, "Trading is halted"),
        ({"applied": False, "tape": "tape:7", "ledger": "", "reason": "no engine runs"}, True, "no engine runs"),
        ({"applied": False, "tape": "tape:7", "ledger": "main:9", "reason": "unknown"}, False, "but unknown"),
        ({"latched": "halts/main", "reason": "nobody writes the tape"}, True, "latched"),
    ],
)
def test_a_halts_receipt_says_what_is_known(receipt: dict[str, Any], stopped: bool, words: str) -> None:
    told = said(receipt)
    assert told["stopped"] is stopped
    assert words in str(told["says"])
