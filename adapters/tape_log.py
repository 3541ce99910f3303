"""The tape over a log: blocks of 64-byte records as they are, instructions as JSON; every header is one line below.

| header      | on           | value |
|-------------|--------------|-------|
| Topic       | all          | `ticks`, `ticks+bars` (some were made from bars), or the instruction's kind |
| First Count | all          | ordinal of the first record, number of records (1 of an instruction) |
| Standing    | all          | ordinal of the newest standing instruction before this one (0: none): a chain |
| Standing-At | if known     | its stream sequence, a hint: a tape that was copied has others |
| Feed        | if from one  | `<feed>:<market ticks of this feed so far>`: where an interrupted import goes on |
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import ValidationError

from adapters import subjects
from adapters.handover import Handover
from adapters.numbered import first_number, last_number, number, sequence_before
from adapters.subjects import COUNT, FIRST, TOPIC
from domain.errors import TapeBroken
from domain.instructions import INSTRUCTION, Instructed, Instruction
from domain.ports import Append, Log, Message, TapeEnd
from domain.tape import CLOCK, FROM_BAR, TICK, Block, Ticks, decode, market

STANDING, STANDING_AT, FEED = "Standing", "Standing-At", "Feed"
TICKS, TICKS_FROM_BARS = "ticks", "ticks+bars"

# What a writer must know to go on. Of the others there may be thousands, and nobody walks past them at every start.
STANDING_KINDS = frozenset(
    "tape_opened instrument_declared engine_activated strategy_activated strategy_deactivated account_opened "
    "policy_activated calendar_imported feed_opened feed_completed".split()
)


class StoredTape:
    """One tape of that name on any Log."""

    def __init__(self, log: Log, name: str) -> None:
        self.name = name
        self.subject = subjects.tape(name)
        self._log = log
        self._handovers: set[Handover] = set()  # of the followers in this process
        self._found = 0  # the stream sequence of the instruction that was asked for last
        self._hint = (0, 0)  # an ordinal and the stream sequence at which it probably stands
        self._standing: dict[int, tuple[Instruction, int]] = {}  # read once: each opening of the tape walks over them

    async def end(self) -> TapeEnd:
        message = await self._log.last(self.subject)
        end = _end(message, self.name) if message else TapeEnd()
        self._hint = (end.standing, end.standing_at)
        return end

    async def append(self, message: Block | Instructed, end: TapeEnd, feed: str = "") -> TapeEnd:
        fed = end.fed if feed == end.feed else 0
        if isinstance(message, Block):
            records, from_market = message.records, market(message.records)
            from_bars = bool((records["flags"][from_market] & FROM_BAR).any())
            fed += int(from_market.sum()) if feed else 0
            headers = {
                TOPIC: TICKS_FROM_BARS if from_bars else TICKS,
                FIRST: str(message.first),
                COUNT: str(len(records)),
                **_chained(end),
            }
            data = records.tobytes()
            after = TapeEnd(
                ordinal=message.last,
                time_ns=int(records["receive_time"][-1]),
                after_tick=bool(records["kind"][-1] != CLOCK),
                standing=end.standing,
                standing_at=end.standing_at,
            )
        else:
            headers = {
                TOPIC: message.instruction.kind,
                FIRST: str(message.ordinal),
                COUNT: "1",
                **_chained(end),
            }
            data = message.instruction.model_dump_json().encode()
            after = TapeEnd(
                ordinal=message.ordinal,
                time_ns=message.instruction.occurred_at_ns,
                after_tick=True,
                standing=end.standing,
                standing_at=end.standing_at,
            )
        if feed:
            headers[FEED] = f"{feed}:{fed}"
        sequence = await self._log.append(Append(self.subject, data, headers, expected=end.sequence))
        if headers[TOPIC] in STANDING_KINDS:
            after = after._replace(standing=after.ordinal, standing_at=sequence)
        for handover in self._handovers:
            handover.give(Message(self.subject, sequence, 0, headers, data))  # when it was recorded, no tape asks
        return after._replace(sequence=sequence, feed=feed, fed=fed)

    async def instruction(self, ordinal: int) -> tuple[Instruction, int]:
        if ordinal in self._standing:
            return self._standing[ordinal]
        # Standing instructions of tapes without hints are often one behind the other.
        place = self._hint[1] if self._hint[0] == ordinal and self._hint[1] else self._found - 1
        message = await self._log.get(self.subject, place) if place > 0 else None
        if message is None or first_number(message) != ordinal:
            after = await sequence_before(self._log, self.subject, ordinal)
            message = await self._log.get(self.subject, after + 1)
        if message is None or first_number(message) != ordinal or message.headers.get(TOPIC, "").startswith(TICKS):
            raise TapeBroken(f"tape {self.name}: no instruction stands at ordinal {ordinal}")
        found = _instruction(message, self.name), number(message, STANDING)
        self._found, self._hint = message.sequence, (found[1], _standing_at(message))
        if found[0].kind in STANDING_KINDS:
            self._standing[ordinal] = found
        return found

    def read(self, after: int = 0) -> AsyncGenerator[list[Block | Instructed], None]:
        return self._messages(after, for_ever=False)

    async def follow(self, after: int = 0) -> AsyncGenerator[list[Block | Instructed], None]:
        """As the port says. What is written by this very object comes without its delivery, once it is durable."""
        handover = Handover()
        self._handovers.add(handover)
        try:
            while True:
                async with aclosing(self._messages(after, for_ever=True)) as delivered:
                    async for page in delivered:
                        after = _last(page, after)
                        yield page
                        if handover.follows(after):
                            break
                while handed := await handover.behind(after):
                    page = self._page(handed, after)
                    after = _last(page, after)
                    yield page
        finally:
            self._handovers.discard(handover)

    async def _messages(self, after: int, *, for_ever: bool) -> AsyncGenerator[list[Block | Instructed], None]:
        start = await sequence_before(self._log, self.subject, after + 1)
        pages = self._log.follow(self.subject, start) if for_ever else self._log.read(self.subject, start)
        async with aclosing(pages):
            async for page in pages:
                yield self._page(page, after)

    def _page(self, messages: list[Message], after: int) -> list[Block | Instructed]:
        decoded = [_decoded(message, self.name, after) for message in messages]
        return [message for message in decoded if message is not None]


def _last(page: list[Block | Instructed], after: int) -> int:
    """The ordinal that a page ends with; of an empty one, what was before."""
    if not page:
        return after
    return page[-1].last if isinstance(page[-1], Block) else page[-1].ordinal


def _decoded(message: Message, tape: str, after: int) -> Block | Instructed | None:
    """The message less what stands at or before ordinal `after`."""
    if last_number(message) <= after:
        return None
    first = first_number(message)
    if not message.headers.get(TOPIC, "").startswith(TICKS):
        return Instructed(first, _instruction(message, tape))
    records = _records(message, tape)
    skip = max(0, after + 1 - first)
    return Block(first + skip, records[skip:])


def _records(message: Message, tape: str) -> Ticks:
    count = number(message, COUNT)
    if count < 1 or len(message.data) != count * TICK.itemsize:
        raise TapeBroken(
            f"tape {tape}: the block at ordinal {first_number(message)} says {count} records, "
            f"has {len(message.data) / TICK.itemsize:g}"
        )
    return decode(message.data)


def _instruction(message: Message, tape: str) -> Instruction:
    try:
        return INSTRUCTION.validate_json(message.data)
    except ValidationError as error:
        raise TapeBroken(
            f"tape {tape}: the instruction at ordinal {first_number(message)} is not readable: {error}"
        ) from None


def _chained(end: TapeEnd) -> dict[str, str]:
    """The headers by which a message names the standing instruction before it."""
    return {STANDING: str(end.standing)} | ({STANDING_AT: str(end.standing_at)} if end.standing_at else {})


def _standing_at(message: Message) -> int:
    return number(message, STANDING_AT) if STANDING_AT in message.headers else 0


def _end(message: Message, tape: str) -> TapeEnd:
    feed, _, fed = message.headers.get(FEED, "").partition(":")
    if message.headers.get(TOPIC, "").startswith(TICKS):
        last = _records(message, tape)[-1]
        time_ns, after_tick = int(last["receive_time"]), bool(last["kind"] != CLOCK)
        standing, at = number(message, STANDING), _standing_at(message)
    else:
        time_ns, after_tick = _instruction(message, tape).occurred_at_ns, True
        standing, at = number(message, STANDING), _standing_at(message)
        if message.headers[TOPIC] in STANDING_KINDS:
            standing, at = first_number(message), message.sequence
    return TapeEnd(last_number(message), time_ns, after_tick, standing, feed, int(fed or 0), message.sequence, at)
