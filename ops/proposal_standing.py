"""What stands of what a command changes, gathered for the gate: the tape's standing instructions, the account, the
documents, the constitution; and what of the change needs a signature."""

from collections.abc import Mapping
from typing import Any

from adapters.jetstream import JetStreamLog
from adapters.tape_log import StoredTape
from domain.account import equity_of
from domain.commands import (
    ActivatePolicy,
    ActivateStrategy,
    ChangeGovernance,
    Command,
    DeactivateStrategy,
    DefineRole,
    OnTape,
    PlaceOrder,
    Publication,
    Resume,
    RetireRole,
    instruction_of,
)
from domain.documents import Documents, checked_branch, checked_title, commit_message, content_of, marked, path_of
from domain.engine import prepare
from domain.errors import InvalidInput, Refused
from domain.gate import Standing
from domain.governance import Governance
from domain.instruments import NANOS
from domain.market import convert, rate_is_known
from domain.proposal import Before, StrategyBefore
from gateways.halt_latch import HaltLatch
from gateways.standing import Standing as OnTheTape
from gateways.standing import read_standing
from ops.control import refuse_impossible
from ops.desk_status import engine_at, halts_since_resumed, state_of
from ops.moments import Moments
from ops.settings import Settings

HALTS_SHOWN = 20

Found = tuple[Before, Mapping[str, Any]]  # what stood, and of it what is replaced


class Standings:
    """Gathers for every command. Raises InvalidInput for one that nothing could carry out, Refused for one that the
    documents have moved under."""

    def __init__(self, settings: Settings, store: JetStreamLog, documents: Documents) -> None:
        self._settings, self._store, self._documents = settings, store, documents

    async def of(self, command: Command, governance: Governance) -> Standing:
        """What stands now."""
        base = f"governance:{governance.position}"
        if isinstance(command, OnTape):
            base = (await Moments(self._store, command.desk).newest()).token(command.desk)
            before, fields = await self._on_tape(command)
        else:
            before, fields = Before(), _constitutional(command, governance)
        diffs: dict[str, str] = {}
        if command.publication:
            before, diffs = await self._published(command.publication, before)
        return Standing(base, before, fields, diffs)

    async def _on_tape(self, command: OnTape) -> Found:
        tape = StoredTape(self._store, command.desk)
        end = await tape.end()
        if not end.ordinal:
            raise InvalidInput(f"desk {command.desk} has no tape yet: give it a feed first (`cdb up --feed ...`)")
        stands = await read_standing(tape, end)
        refuse_impossible(instruction_of(command, "draft", "draft"))
        match command:
            case ActivatePolicy():
                fields = {"policy": stands.policy.model_dump(mode="json")} if stands.policy else {}
                return Before(policy=stands.policy), fields
            case ActivateStrategy() | DeactivateStrategy():
                return _strategy(command, stands)
            case Resume():
                halts = await self._halts(command.desk)
                return Before(halts=halts), {}
            case PlaceOrder():
                return await self._worth(command), {}

    async def _halts(self, desk: str) -> tuple[str, ...]:
        """All that a resume would end, and what waits to halt the desk. Raises InvalidInput when there is neither."""
        state = await state_of(self._store, desk)
        waiting = HaltLatch(self._settings.data_dir / "halts", desk).pending()
        latched = (f"{waiting.actor}: {waiting.reason} (latched, not recorded yet: {waiting.id})",) if waiting else ()
        if not state["halted"]:
            if not latched:
                raise InvalidInput(f"desk {desk} is not halted, there is nothing to resume")
            return latched
        rows, count = await halts_since_resumed(self._store, desk, HALTS_SHOWN)
        earlier = (f"{count - len(rows)} halts before these; `cdb events` lists them",) if count > len(rows) else ()
        return (*earlier, *(map(_why, rows or [{}])), *latched)

    async def _worth(self, command: PlaceOrder) -> Before:
        """What is known of the order's worth now: with no quote, and for a currency without a rate, nothing."""
        moment = await Moments(self._store, command.desk).newest()
        engine = await engine_at(self._store, StoredTape(self._store, command.desk), moment)
        book = engine.desk.book
        equity = equity_of(book.account[0]) if engine.desk.currency else None
        known = {instrument.symbol: number for number, instrument in engine.desk.instruments.items()}
        number = known.get(command.symbol)
        if number is None or not rate_is_known(book.markets, number):
            return Before(equity_nanos=equity)
        price = int(book.markets[number]["ask" if command.side == "buy" else "bid"])
        rate = int(convert(book.markets, number, NANOS))
        return Before(price_nanos=price or None, rate_nanos=rate, equity_nanos=equity)

    async def _published(self, publication: Publication, before: Before) -> tuple[Before, dict[str, str]]:
        """The documents as they stand on the main branch, and what the publication changes. Raises Refused when they
        are not what it was made from, InvalidInput for what could never be published."""
        _refuse_unpublishable(publication)
        stands = await self.refuse_moved(publication)
        diffs = {name: await self._documents.diff(name, text) for name, text in publication.documents.items()}
        return before.model_copy(update={"documents": stands}), diffs

    async def refuse_moved(self, publication: Publication) -> dict[str, str]:
        """The documents' blob hashes. Raises Refused when they are not what the publication was made from."""
        stands: dict[str, str] = {}
        for name in publication.documents:
            found = await self._documents.read(name)
            stands[name] = found.blob if found else ""
            if publication.before.get(name, "") != stands[name]:
                raise Refused("stale", f"document {name} has changed since this was drafted; draft it from what stands")
        return stands


def _why(halt: Mapping[str, Any]) -> str:
    said = halt.get("reason") or halt.get("says") or halt.get("limit") or "the ledger does not say why yet"
    return f"{halt.get('actor') or 'engine'}: {said} ({halt.get('id', 'no place')})"


def _refuse_unpublishable(publication: Publication) -> None:
    """What the repository or the forge would refuse is refused before anybody signs it. Raises InvalidInput."""
    for name, text in publication.documents.items():
        path_of(name)
        content_of(name, text)
    if publication.branch:
        checked_branch(publication.branch)
    commit_message(publication.message, "draft")
    if request := publication.pull_request:
        checked_title(request.title)
        marked("pull-request", request.body, "draft")


def _strategy(command: ActivateStrategy | DeactivateStrategy, stands: OnTheTape) -> Found:
    """Raises InvalidInput for parameters that are not whole: a default would take effect unseen."""
    active = stands.strategies.get(command.strategy)
    if isinstance(command, ActivateStrategy):
        _, parameters, _ = prepare(command.strategy, command.version, command.parameters)
        if missing := sorted({*parameters.model_dump()} - {*command.parameters}):
            raise InvalidInput(f"parameter {missing[0]} of {command.strategy} is not given: name every one of them")
    elif active is None:
        raise InvalidInput(f"strategy {command.strategy} is not active on desk {command.desk}; nothing to stop")
    if active is None:
        return Before(policy=stands.policy), {}
    stood = StrategyBefore(version=active.version, parameters=active.parameters, symbols=active.symbols)
    return Before(policy=stands.policy, strategy=stood), {"strategy": command.strategy, **stood.model_dump(mode="json")}


def _constitutional(command: Command, governance: Governance) -> Mapping[str, Any]:
    """What is replaced of governance itself. Raises InvalidInput."""
    match command:
        case DefineRole():
            known = governance.roles.get(command.role.name)
            return {"role": known.role.model_dump(mode="json")} if known and known.role else {}
        case RetireRole():
            known = governance.roles.get(command.role)
            if known is None or known.role is None:
                raise InvalidInput(f"there is no role {command.role!r} to retire; `cdb agents` lists them")
            return {"role": known.role.model_dump(mode="json")}
        case ChangeGovernance():
            if command.policy.version != governance.policy.version + 1:
                raise InvalidInput(
                    f"the governance policy is version {governance.policy.version}, the next one is one more, not "
                    f"{command.policy.version}"
                )
            return {"policy": governance.policy.model_dump(mode="json")}
    return {}
