"""Policies for tests: every field with a few values that are near each other and near its bounds."""

from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from domain.policy import PAPER_DEFAULT, PPM, Fee, Policy
from domain.widening import policy_widens

NANO = 1_000_000_000

# Where halves and doubles of the shipped value are not what an ordinary market is near to.
USUAL: dict[str, list[Any]] = {
    "strategic.sessions": [(), ("london",), ("tokyo", "london"), ("london", "tokyo"), ("new_york",)],
    "strategic.atr_pips_max_thousandths": [None, 500, 1_000, 15_000],
    "strategic.news_impact_min": [0, 1, 2, 3],
    "strategic.performance_trades_min": [1, 30, 100],
    "strategic.shadow_drawdown_max_thousandths": [0, 5_000, 10_000],
    "sizing.fixed_quantity_nanos": [0, 10_000 * NANO, 200_000 * NANO, 10_000_000 * NANO],
    "sizing.risk_ppm": [0, 5_000, 10_000, 20_000, 100_000],
    "sizing.kelly_ppm": [0, 20_000, 250_000, PPM],
    "sizing.target_ratio_min_thousandths": [0, 2_000, 5_000],
    "risk.positions_max": [0, 1, 2, 3],
    "risk.orders_max": [0, 1, 3, 200],
    "risk.symbol_exposure_max_ppm": [None, 0, PPM, 3 * PPM, 20 * PPM],
    "risk.currency_exposure_max_ppm": [None, 0, PPM, 4 * PPM, 30 * PPM],
    "risk.signals_per_minute_max": [None, 0, 2, 60],
    "limits.daily_loss_ppm": [None, 0, 15_000, 30_000, 50_000],
    "limits.max_loss_ppm": [None, 0, 30_000, 60_000, 100_000],
    "market.slippage_thousandths": [0, 1_000, 20_000],
    "fees": [{}, {"fx": Fee()}, {"fx": Fee(taker_ppm=25, maker_ppm=25)}, {"fx": Fee(taker_ppm=25, maker_ppm=10)}],
    "name": ["paper-default", "another"],
    "version": [1, 2],
}


def leaves(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Every field below a model by its dotted path."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= leaves(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


FIELDS = leaves(Policy)


def values(path: str) -> list[Any]:
    """Some values of a field, each different in what it is, though not always in what it means."""
    if path in USUAL:
        return USUAL[path]
    field = FIELDS[path]
    if get_origin(field.annotation) is Literal:
        return list(get_args(field.annotation))
    if field.annotation is bool:
        return [False, True]
    least = next(bound.ge for bound in field.metadata if hasattr(bound, "ge"))
    most = next(bound.le for bound in field.metadata if hasattr(bound, "le"))
    shipped = value_at(PAPER_DEFAULT, path) or most // 4
    optional = [None] if type(None) in get_args(field.annotation) else []
    return [*optional, *sorted({least, max(least, shipped // 2), shipped, min(2 * shipped, most)})]


def value_at(policy: Policy, path: str) -> Any:
    """The value at a dotted path."""
    found: Any = policy
    for name in path.split("."):
        found = getattr(found, name)
    return found


def changed(policy: Policy, changes: dict[str, Any]) -> Policy:
    """A policy with other values at these paths, checked anew."""
    content = policy.model_dump()
    for path, value in changes.items():
        part, _, name = path.rpartition(".")
        (content[part] if part else content)[name] = value
    return Policy.model_validate(content)


def one_of(path: str) -> st.SearchStrategy[Any]:
    """A value of a field."""
    return st.sampled_from(values(path))


@st.composite
def policies(draw: st.DrawFn, base: Policy = PAPER_DEFAULT, most: int = 60) -> Policy:
    """A policy that differs from `base` in up to so many fields."""
    paths = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=most, unique=True))
    return changed(base, {path: draw(one_of(path)) for path in paths})


@st.composite
def tightened(draw: st.DrawFn, base: Policy) -> Policy:
    """The same policy with fields moved to values that widen nothing, each judged alone."""
    changes = {}
    for path in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=8, unique=True)):
        allowed = [value for value in values(path) if not policy_widens(base, changed(base, {path: value}))]
        changes[path] = draw(st.sampled_from([value_at(base, path), *allowed]))
    return changed(base, changes)
