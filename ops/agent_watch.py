"""How the agents are: each says so by its heartbeat; who is silent for three of them is recorded, once. What was heard
last is in memory, so a service that starts knows nobody yet."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.agents import Actor, Role
from domain.operations import AgentSeen, AgentSilent
from domain.tape import utc

SERVICE = "governance"
BEATS = 3  # missed heartbeats after which an agent is silent
HEARD_MAX = 1_000  # agents without a record may have any name

State = Literal["idle", "working", "failing"]


class Heartbeat(BaseModel):
    """What an agent says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    doing: str = Field("", max_length=500)


class _Heard(NamedTuple):
    beat: Heartbeat
    at_ns: int
    silent: bool = False


class AgentWatch:
    """Every agent that was heard. `record` takes OPS events and must not block."""

    def __init__(self, record: Callable[[AgentSeen | AgentSilent], None], now_ns: Callable[[], int]) -> None:
        self._record, self._now_ns = record, now_ns
        self._heard: dict[str, _Heard] = {}

    def heard(self, actor: Actor, beat: Heartbeat) -> None:
        """Take a heartbeat; what changed by it is recorded."""
        before, now_ns, name = self._heard.get(actor.name), self._now_ns(), actor.name[:64]
        if before is None and len(self._heard) >= HEARD_MAX:
            self._heard.pop(min(self._heard, key=lambda known: self._heard[known].at_ns))
        self._heard[actor.name] = _Heard(beat, now_ns)
        if before is None or before.silent or before.beat != beat:
            seen = AgentSeen(service=SERVICE, occurred_at_ns=now_ns, agent=name, state=beat.state, doing=beat.doing)
            self._record(seen)

    def sweep(self, heartbeat_ns: int) -> None:
        """Record who has become silent."""
        now_ns = self._now_ns()
        for name, heard in self._heard.items():
            if not heard.silent and now_ns - heard.at_ns > BEATS * heartbeat_ns:
                self._heard[name] = heard._replace(silent=True)
                silent = AgentSilent(service=SERVICE, occurred_at_ns=now_ns, agent=name[:64], last_seen_ns=heard.at_ns)
                self._record(silent)

    def view(self, roles: Sequence[Role]) -> Mapping[str, Any]:
        """Every agent with a role or a heartbeat: `unknown` was not heard since this service began."""
        level = {role.name: role.level for role in roles}
        return {"agents": [self._row(name, level.get(name)) for name in sorted({*level, *self._heard})]}

    def _row(self, name: str, level: int | None) -> Mapping[str, Any]:
        heard = self._heard.get(name)
        state = "unknown" if heard is None else "silent" if heard.silent else heard.beat.state
        return {
            "agent": name,
            "level": level,
            "state": state,
            "doing": heard.beat.doing if heard else "",
            "last_seen": utc(heard.at_ns) if heard else None,
        }
