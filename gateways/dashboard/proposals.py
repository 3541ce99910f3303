"""Proposals as a person decides on them, what became of others, and who works here at what.

What the desk rendered, and a signature covers, stands apart from the words of whoever proposed it.
"""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from gateways.dashboard.deciding import DECIDING
from gateways.dashboard.formats import NONE, spoken, when
from gateways.dashboard.login import REASON_MAX
from gateways.dashboard.markup import Cell, Column, Row, badge, empty, facts, join, table, tag
from gateways.ledger_words import span
from gateways.times import time_ns

MINUTE_NS = 60 * 10**9
_MOODS = {
    "applied": ("good", "good"),
    "approved": ("good", "good"),
    "cleared": ("good", "good"),
    "applying": ("accent", "clock"),
    "rejected": ("bad", "bad"),
    "failed": ("bad", "warning"),
    "rolled_back": ("warning", "warning"),
}
_HEALTH = {
    "working": ("accent", "clock"),
    "idle": ("good", "good"),
    "failing": ("bad", "bad"),
    "silent": ("warning", "warning"),
}


def pending(proposals: Sequence[Row], now_ns: int, *, may_decide: bool) -> Iterator[Markup]:
    """What waits for a person, whole."""
    if not proposals:
        yield empty("No proposal is pending.")
        says = "What an agent or a person proposes waits here until somebody with an enrolled key decides."
        yield tag("p", says, class_="muted")
    for proposal in proposals:
        yield _waiting(proposal, now_ns, may_decide)


def _waiting(proposal: Row, now_ns: int, may_decide: bool) -> Markup:
    name, over = proposal["proposal"], time_ns(proposal["expires_at"]) <= now_ns
    waited = max(0, now_ns - time_ns(proposal["waiting_since"])) // MINUTE_NS * MINUTE_NS
    since = join("less than a minute" if not waited else span(waited), ", since ", when(proposal["waiting_since"]))
    marks = [
        badge("expired", "quiet", "clock") if over else None,
        badge("has read text of strangers", "warning", "warning") if proposal["taint"] else None,
    ]
    level = f"level {proposal['level']}" + (f", as {proposal['role']}" if proposal["role"] else "")
    pairs: list[tuple[str, Cell]] = [
        ("Proposed by", join(proposal["actor"], " ", tag("span", f"({level})", class_="muted"))),
        ("Waits", since),
        ("Expires", when(proposal["expires_at"])),
    ]
    if proposal["run"]:
        pairs.append(("Workflow run", proposal["run"]))
    return tag(
        "article",
        tag("header", tag("h3", proposal["title"]), *marks),
        facts([("Proposal", tag("code", name)), *pairs]),
        tag("h4", "What the desk shows, and a signature covers"),
        tag("pre", proposal["shown"], class_="shown", tabindex=0, aria_label=f"What {name} changes"),
        words_of(proposal),
        _buttons(name, proposal["title"]) if may_decide and not over else None,
        class_="proposal",
        data_key=name,
        aria_label=proposal["title"],
    )


def words_of(proposal: Row) -> Markup:
    """What whoever proposed it says: never part of what is signed."""
    effects = (tag("li", effect) for effect in proposal["effects_expected"])
    return tag(
        "blockquote",
        tag("h4", f"In the words of {proposal['actor']}, not of the desk"),
        tag("p", proposal["reason"]),
        tag("ul", *effects) if proposal["effects_expected"] else None,
        class_="words-of",
    )


def _buttons(name: str, title: str) -> Markup:
    """They are seen in a browser whose key may decide."""
    ways = (("approved", "Approve", "primary"), ("rejected", "Reject", "danger"))
    buttons = (
        tag(
            "button",
            f"{word} …",
            type="button",
            class_=class_,
            data_verdict=verdict,
            data_proposal=name,
            aria_label=f"{word} {name}: {title}",
        )
        for verdict, word, class_ in ways
    )
    keyless = tag("p", "To decide, this browser needs an enrolled key.", class_="muted keyless")
    return join(tag("div", *buttons, class_="buttons deciders"), keyless)


def browser_key(name: str) -> Markup:
    """The key of this browser, which files/deciding.js tells of: only the browser knows it."""
    command = tag("pre", class_="shown command", tabindex=0, aria_label="Command that enrols this key")
    return tag(
        "div",
        tag("p", "Looking for a key …", role="status", data_says=True),
        tag(
            "div",
            tag("h4", "Public key"),
            tag("pre", class_="shown public-key", tabindex=0, aria_label="Public key of this browser"),
            tag("h4", "A person whose key decides already runs"),
            command,
            class_="unenrolled",
            hidden=True,
        ),
        tag("button", "Make a key in this browser", type="button", data_make_key=True, hidden=True),
        data_own=True,
        data_browser_key=name,
    )


def decide_dialog() -> Markup:
    """One confirmation, of what governance asks at that moment. files/deciding.js fills and signs it."""
    reason = tag("textarea", name="reason", maxlength=REASON_MAX, rows=2, autocomplete="off")
    form = tag(
        "form",
        tag("h2", data_says="heading"),
        tag("p", data_says="notice", class_="notice", role="alert"),
        tag("h4", "What the desk shows, and you sign"),
        tag("pre", data_says="shown", class_="shown", tabindex=0, aria_label="What is signed"),
        tag("p", data_says="terms", class_="muted terms"),
        tag("blockquote", tag("h4", data_says="who"), tag("p", data_says="words"), class_="words-of"),
        tag("label", tag("span", data_says="reason-label"), reason),
        tag("p", class_="said", role="alert"),
        tag(
            "div",
            tag("button", "Cancel", type="button", data_close=True),
            tag("button", type="submit", class_="full"),
            class_="buttons",
        ),
        data_deciding=DECIDING,
    )
    return tag("dialog", form, id="decide-dialog", aria_label="Decide on a proposal", data_own=True)


def decided_proposals(proposals: Sequence[Row]) -> Markup:
    """What became of proposals that wait no more."""
    columns = [
        Column("Decided", lambda row: when(row["decided_at"])),
        Column("Proposal", lambda row: row["title"], "words"),
        Column("Verdict", lambda row: _state(row["verdict"])),
        Column("Stands", lambda row: _state(row["state"])),
        Column("By", lambda row: row["decided_by"] or NONE, narrow=False),
        Column("Why", lambda row: row["verdict_reason"] or NONE, "words", narrow=False),
        Column("Proposed by", lambda row: row["actor"], narrow=False),
        Column("Reference", lambda row: row["proposal"], narrow=False),
    ]
    nothing = "No proposal has been decided yet."
    return table("Verdicts", columns, proposals, nothing, key=lambda row: row["proposal"])


def runs(rows: Sequence[Row]) -> Markup:
    """Workflow runs, and where they are."""
    columns = [
        Column("Started", lambda row: when(row["started_at"])),
        Column("Run", lambda row: row["run"], narrow=False),
        Column("Kind", lambda row: row["kind"]),
        Column("Goal", lambda row: row["goal"], "words"),
        Column("Phase", lambda row: badge(spoken(row["phase"]), "quiet" if row["phase"] == "closed" else "accent")),
        Column("Mode", lambda row: row["mode"], narrow=False),
        Column("Outcome", lambda row: row["outcome"] or NONE, "words", narrow=False),
    ]
    return table("Workflow runs", columns, rows, "No workflow has run yet.", key=lambda row: row["run"])


def agents(rows: Sequence[Row]) -> Markup:
    """Every role with how its agent is, and who was heard of without one."""
    columns = [
        Column("Role", _role),
        Column("Level", lambda row: NONE if row["level"] is None else f"{row['level']}", "number"),
        Column("State", lambda row: badge(row["state"], *_HEALTH.get(row["state"], ("quiet", "idle")))),
        Column("Doing", lambda row: row["doing"] or NONE, "words", narrow=False),
        Column("Last seen", lambda row: when(row["last_seen"])),
        Column("Failures", lambda row: f"{row['failures']:,}", "number", narrow=False),
        Column("Refused", lambda row: f"{row['refusals']:,}", "number", narrow=False),
    ]
    return table("Roles and agents", columns, rows, "No role is defined yet.", key=lambda row: row["agent"])


def _role(row: Row) -> Cell:
    if row["retired"]:
        return join(row["agent"], " ", tag("span", "(retired)", class_="muted"))
    return tag("span", row["agent"], title=row["purpose"])


def _state(word: str) -> Markup:
    return badge(spoken(word), *_MOODS.get(word, ("quiet", "idle")))
