"""Every stream, subject, consumer and header name of the log, in one place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import InvalidInput

# Headers that we write. `First` is the first ordinal, ledger number or version of a message, `Count` how many it holds.
TOPIC = "Topic"
FIRST = "First"
COUNT = "Count"
SIZES = "Sizes"  # byte lengths of several states in one payload
MESSAGE_ID = "Nats-Msg-Id"


@dataclass(frozen=True)
class Stream:
    """One stream. `subjects` is one wildcard (or plain) subject; its first token belongs to this stream alone."""

    name: str
    subjects: str
    atomic: bool = False  # may take batches over several subjects: about 2 ms each, and the stream waits meanwhile
    keep_per_subject: int | None = None
    work_queue: bool = False
    compressed: bool = False  # S2; measured to halve the reading speed
    in_memory: bool = False  # tests only

    @property
    def root(self) -> str:
        """The first token, by which a subject finds its stream."""
        return self.subjects.partition(".")[0]


TAPE = Stream("TAPE", "tape.*")
LEDGER = Stream("LEDGER", "ledger.*")
GOVERNANCE = Stream("GOVERNANCE", "governance.>", atomic=True)
CALLS = Stream("CALLS", "calls.*.*")
OPS = Stream("OPS", "ops.*")
RESEARCH = Stream("RESEARCH", "research.>", atomic=True)
AUDIT = Stream("AUDIT", "audit.seal")
JOBS = Stream("JOBS", "jobs.*", work_queue=True)
SNAPSHOT = Stream("SNAPSHOT", "snapshot.*", keep_per_subject=2)

STREAMS = (TAPE, LEDGER, GOVERNANCE, CALLS, OPS, RESEARCH, AUDIT, JOBS, SNAPSHOT)

AUDIT_SEAL = "audit.seal"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def token(kind: str, name: str) -> str:
    """`name` if it can be one token of a subject, else InvalidInput saying what `kind` of name is wrong."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot name a thing of kind {kind}: use 1 to 64 letters a to z or A to Z, digits, '-' or '_'"
        )
    return name


def tape(name: str) -> str:
    return f"tape.{token('tape', name)}"


def ledger(desk: str) -> str:
    return f"ledger.{token('desk', desk)}"


def snapshot(desk: str) -> str:
    return f"snapshot.{token('desk', desk)}"


def kept_state(desk: str, engine: int) -> str:
    """The state that an engine took a desk over with; no desk can have a name with `@`."""
    return f"{snapshot(desk)}@engine_{engine}"


def state_part(state: str, parts: int, number: int) -> str:
    """Where a part of the state of that subject is stored, of one of two sets of parts."""
    return f"{state}@part_{parts}_{number}"


def governance(category: str, identifier: str) -> str:
    return f"governance.{token('category', category)}.{token('aggregate', identifier)}"


def decision(proposal: str) -> str:
    """The gate's verdict on a proposal: a subject of its own, so that permissions can tell it from the proposal."""
    return governance("decision", proposal)


def research(category: str, identifier: str) -> str:
    return f"research.{token('category', category)}.{token('aggregate', identifier)}"


def calls(actor: str, day: str) -> str:
    """Tool calls of one actor on one UTC day, `YYYY-MM-DD`."""
    return f"calls.{token('actor', actor)}.{token('day', day)}"


def ops(service: str) -> str:
    return f"ops.{token('service', service)}"


def jobs(kind: str) -> str:
    return f"jobs.{token('job', kind)}"


def command(service: str, name: str, desk: str | None = None) -> str:
    """Where a service takes one kind of command: `cmd.<service>[.<desk>].<command>`."""
    scope = "" if desk is None else f".{token('desk', desk)}"
    return f"cmd.{token('service', service)}{scope}.{token('command', name)}"


def commands(service: str, desk: str | None = None) -> str:
    """All commands that a service takes for a desk (None: for no desk in particular)."""
    scope = "" if desk is None else f".{token('desk', desk)}"
    return f"cmd.{token('service', service)}{scope}.*"


def follower(identifier: str) -> str:
    """The name of a disposable consumer: positions are the reader's own, so nothing outlives the connection."""
    return f"follow-{token('consumer', identifier)}"


def aggregate(prefix: str, identifier: str) -> str:
    """The subject of an aggregate whose id is `category.id` (or one token)."""
    return ".".join([prefix, *(token("aggregate", part) for part in identifier.split("."))])


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern: `*` is one token, a last `>` one or more."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(tokens) < len(wanted):
            return False
        wanted = wanted[:-1]
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))


def stream_of(subject: str, streams: Sequence[Stream] = STREAMS) -> Stream:
    """The stream that a subject or wildcard belongs to."""
    root = subject.partition(".")[0]
    for stream in streams:
        if stream.root == root:
            return stream
    raise InvalidInput(f"subject {subject!r} lies in no stream; known: {', '.join(s.subjects for s in streams)}")
