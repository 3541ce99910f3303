"""The sources of the read models, as facts: ledger events, the tape's instructions, OPS events, governance events.

Positions are the ledger's numbers, the tape's ordinals, and the stream's sequences for the others.
"""

import logging
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

from pydantic import ValidationError

from adapters import subjects
from adapters.governance_log import Foreign, events_of
from adapters.numbered import first_number, last_number, sequence_before
from adapters.subjects import TOPIC
from adapters.tape_log import TICKS
from adapters.token_log import CATEGORY
from domain.access import ACCESS_EVENT, AccessEvent
from domain.errors import TapeBroken
from domain.events import LEDGER_EVENT
from domain.governance import Governance, GovernanceEvent
from domain.instructions import INSTRUCTION
from domain.operations import OPS_EVENT
from domain.ports import Fact, FactPage, Log, Message, Source
from domain.tape import decode

log = logging.getLogger("cdb.facts")

_TOKENS = f"{subjects.GOVERNANCE.root}.{CATEGORY}."
_TYPE = re.compile(rb'"(?:type|kind)":"([a-z_]+)"')


class Facts:
    """What one desk's read models hear."""

    def __init__(self, log: Log, desk: str) -> None:
        self._log = log
        self._subjects: dict[Source, str] = {
            "ledger": subjects.ledger(desk),
            "tape": subjects.tape(desk),
            "ops": subjects.OPS.subjects,
            "governance": subjects.GOVERNANCE.subjects,
        }

    async def end(self, source: Source) -> int:
        """The position of the newest fact, 0 when there is none."""
        message = await self._log.last(self._subjects[source])
        if message is None:
            return 0
        return last_number(message) if source in _NUMBERED else message.sequence

    def read(self, source: Source, after: int, wanted: frozenset[str]) -> AsyncGenerator[FactPage, None]:
        """Pages of what stands behind a position, up to the end; facts of the wanted types only."""
        return self._pages(source, after, wanted, self._log.read)

    def follow(self, source: Source, after: int, wanted: frozenset[str]) -> AsyncGenerator[FactPage, None]:
        """As read, then for ever."""
        return self._pages(source, after, wanted, self._log.follow)

    async def _believed(self, after: int) -> "_Believed":
        """Governance as it stood at a sequence, to go on from."""
        believed = _Believed()
        if after:
            async with aclosing(self._log.read(self._subjects["governance"], 0, after)) as pages:
                async for messages in pages:
                    for message in messages:
                        believed.facts(message, frozenset())
        return believed

    async def _pages(
        self,
        source: Source,
        after: int,
        wanted: frozenset[str],
        opened: Callable[[str, int], AsyncGenerator[list[Message], None]],
    ) -> AsyncGenerator[FactPage, None]:
        subject = self._subjects[source]
        start = await sequence_before(self._log, subject, after + 1) if source in _NUMBERED else after
        decoded = (await self._believed(after)).facts if source == "governance" else _DECODERS[source]
        async with aclosing(opened(subject, start)) as pages:
            async for messages in pages:
                facts = [fact for message in messages for fact in decoded(message, wanted)]
                last = messages[-1]
                position = last_number(last) if source in _NUMBERED else last.sequence
                kept = facts if not facts or facts[0].position > after else [f for f in facts if f.position > after]
                yield FactPage(kept, position, _time(source, last), last.recorded_at_ns)


def _ledger(message: Message, wanted: frozenset[str]) -> list[Fact]:
    recorded, validate = message.recorded_at_ns, LEDGER_EVENT.validate_json
    lines = enumerate(message.data.split(b"\n"), first_number(message))
    try:
        return [Fact(number, recorded, validate(line)) for number, line in lines if _type(line) in wanted]
    except ValidationError as error:
        raise _unreadable(message, error) from None


def _tape(message: Message, wanted: frozenset[str]) -> list[Fact]:
    if message.headers.get(TOPIC) not in wanted:
        return []
    return [Fact(first_number(message), message.recorded_at_ns, _valid(INSTRUCTION.validate_json, message))]


def _ops(message: Message, wanted: frozenset[str]) -> list[Fact]:
    if _type(message.data) not in wanted:
        return []
    try:
        return [Fact(message.sequence, message.recorded_at_ns, OPS_EVENT.validate_json(message.data))]
    except ValidationError as error:  # it decides nothing, and must not keep the ledger's read models from going on
        log.error("the event of OPS at %d cannot be read and is left out: %s", message.sequence, error)
        return []


class _Believed:
    """Governance folded beside its facts: what it refuses is no fact of anybody's."""

    def __init__(self) -> None:
        self._governance = Governance()

    def facts(self, message: Message, wanted: frozenset[str]) -> list[Fact]:
        """The events of a message, all at its sequence. What cannot be read, or is refused, is nobody's decision: told,
        and left out."""
        try:
            if message.subject.startswith(_TOKENS):
                events: list[AccessEvent | GovernanceEvent] = [_token(message)]
            else:
                events = [event for event in _decisions(message) if self._takes(message, event)]
        except ValueError as error:
            _left_out(message, error)
            return []
        return [Fact(message.sequence, message.recorded_at_ns, event) for event in events if event.type in wanted]

    def _takes(self, message: Message, event: GovernanceEvent) -> bool:
        try:
            self._governance.take(message.sequence, event)
        except Exception as error:  # whatever it is, one event keeps nobody from folding the next
            _left_out(message, error)
            return False
        approvers = self._governance.known_approvers
        ignored = approvers.ignored[-1] if approvers and approvers.ignored else None
        if ignored and ignored.event is event:
            _left_out(message, ignored.refusal)
            return False
        return True


def _left_out(message: Message, why: Exception) -> None:
    log.error("%s at %d is no decision of governance and is left out: %s", message.subject, message.sequence, why)


def _token(message: Message) -> AccessEvent:
    event = ACCESS_EVENT.validate_json(message.data)
    if _TOKENS + event.name != message.subject:
        raise ValueError(f"it speaks of token {event.name!r}")
    return event


def _decisions(message: Message) -> Iterator[GovernanceEvent]:
    for said in events_of(message):
        if isinstance(said, Foreign):
            raise ValueError(said.why)
        yield said.event


def _valid(validate: Callable[[bytes], Any], message: Message) -> Any:
    try:
        return validate(message.data)
    except ValidationError as error:
        raise _unreadable(message, error) from None


def _unreadable(message: Message, error: ValidationError) -> TapeBroken:
    return TapeBroken(
        f"{message.subject}: what stands at stream sequence {message.sequence} is not readable: "
        f"{error.errors(include_url=False)[0]['msg']}; a newer build wrote it, or the store is damaged: "
        "run `cdb verify`"
    )


def _type(line: bytes) -> str:
    found = _TYPE.search(line)
    return found[1].decode() if found else ""


def _time(source: Source, message: Message) -> int | None:
    """The market's time at the end of a message of the tape."""
    if source != "tape":
        return None
    if message.headers.get(TOPIC, "").startswith(TICKS):
        return int(decode(message.data)["receive_time"][-1])
    return int(_valid(INSTRUCTION.validate_json, message).occurred_at_ns)


_NUMBERED = ("ledger", "tape")
_DECODERS: dict[Source, Callable[[Message, frozenset[str]], list[Fact]]] = {
    "ledger": _ledger,
    "tape": _tape,
    "ops": _ops,
}
