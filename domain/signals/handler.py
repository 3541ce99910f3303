"""The contract of a signal handler, and the registry.

A handler is a name and version, a pydantic parameter model, a numpy state record and a kernel:

    step(states, ticks, out) -> int

`states` is a one-dimensional array of the state record indexed by the tape's instrument number (state 0 is unused;
a state whose `instrument` is 0 is not subscribed, and ticks beyond the array are skipped). `ticks` is an array of
domain.tape.TICK of any instruments; clock records are skipped, they never close a bar. `out` is an array of SIGNAL at
least as long as `ticks`: at most one signal a tick. The kernel fills out[0:n], in order of `tick`, and returns n.
The state's bytes are the whole state: saved, restored and continued at any cut gives the same output.
Parameters are turned into nanos and counts by `initial` and live in the state, so a step needs nothing else; a
parameter that is no whole number of nanos of this instrument is refused there (InvalidInput).
A parameter that lets signals through or holds them back says so with `json_schema_extra=LOOSER_UP` (a larger value lets
more through) or LOOSER_DOWN; domain/tuning.py moves those.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from domain.errors import UnknownStrategy
from domain.instruments import Instrument
from domain.tape import Ticks

BUY, SELL = 1, -1

LOOSER: Literal["looser"] = "looser"  # names which way of a parameter lets more signals through
LOOSER_UP: JsonDict = {LOOSER: "up"}
LOOSER_DOWN: JsonDict = {LOOSER: "down"}

SIGNAL = np.dtype(
    [
        ("tick", "<i8"),  # index into the ticks of this step
        ("bar_time", "<i8"),  # ns UTC: start of the M1 bar whose close triggered (or of the tick's minute)
        ("level", "<i8"),  # nanos
        ("entry", "<i8"),
        ("stop", "<i8"),  # 0: the strategy has none
        ("target", "<i8"),  # 0: the strategy has none
        ("instrument", "<u4"),
        ("confidence_ppm", "<i4"),
        ("side", "<i8"),  # BUY or SELL
    ]
)

Signals = npt.NDArray[np.void]
States = npt.NDArray[np.void]


def plain(value: Decimal) -> Decimal:
    """0.80 and 0.8 are one value and give one parameters' hash."""
    return Decimal(f"{value.normalize():f}")


# A decimal parameter: written as a number or a string, at most nine decimals, never a binary float.
Exact = Annotated[Decimal, Field(max_digits=18, decimal_places=9), AfterValidator(plain)]


class Parameters(BaseModel):
    """Base of every handler's parameters: frozen, unknown fields refused.

    A field may say `json_schema_extra={"tightens": "up"}` (or "down") where it is certain that moving it that way only
    leaves signals out and makes none more confident; every other change of a parameter needs a signature.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Handler(NamedTuple):
    """A registered signal handler. `initial(parameters, instrument)` fills one state record (instrument number set by
    the caller); `step` is the kernel described above."""

    name: str
    version: int
    parameters: type[Parameters]
    state: np.dtype[Any]
    initial: Callable[[Any, Instrument], npt.NDArray[np.void]]
    step: Callable[[States, Ticks, Signals], int]


REGISTRY: dict[tuple[str, int], Handler] = {}


def register(handler: Handler) -> Handler:
    """Add a handler. Old versions stay registered: what a ledger holds must stay re-executable."""
    key = (handler.name, handler.version)
    assert key not in REGISTRY, f"{key} is registered twice"
    REGISTRY[key] = handler
    return handler


def find(name: str, version: int | None = None) -> Handler:
    """The handler of that name, the newest version unless one is named. Raises UnknownStrategy."""
    versions = sorted(v for n, v in REGISTRY if n == name)
    if not versions or (version is not None and version not in versions):
        known = ", ".join(f"{n} v{v}" for n, v in sorted(REGISTRY))
        wanted = name if version is None else f"{name} v{version}"
        raise UnknownStrategy(f"strategy {wanted!r} is not in this build; registered: {known}")
    return REGISTRY[name, versions[-1] if version is None else version]
