"""Tuning: is any of the parameters that were tried better than chance says, and was the promise kept?

What is tried is judged in two steps, so that the best of many is not mistaken for a good one:

1. On the first two thirds of the history a candidate is eligible when nothing of `objections` stands against it; the
   bound of its win rate is widened by how many were tried (Bonferroni). The first by the aim is the best one.
2. The last third, which had no say in the choice, confirms that one or does not. If it does not, no second one is
   asked: that would be choosing again. What is promised are the figures of the last third alone.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from domain.neighbours import Aim, Change
from domain.outcome import FEW, Outcome, wilson
from domain.wording import money


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parts(_Model):
    """One parameter set over the history: all of it, the two thirds that choose, the third that confirms. A trade that
    was open at the boundary is in neither part."""

    whole: Outcome
    chosen_on: Outcome
    held_out: Outcome


class Judgement(_Model):
    """`objections` are by candidate: why it is not eligible by the first two thirds; `order` ranks them, eligible ones
    first. `best` is the first eligible one; `against` what the last third says against it."""

    tried: int
    objections: tuple[tuple[str, ...], ...]
    order: tuple[int, ...]
    best: int | None
    against: tuple[str, ...]
    says: str

    @property
    def proposed(self) -> int | None:
        """The candidate that was chosen and confirmed."""
        return None if self.against else self.best


def objections(
    baseline: Outcome, outcome: Outcome, aim: Aim, *, tests: int = 1, drawdown_max: float | None = None
) -> tuple[str, ...]:
    """What stands against an outcome beside the current parameters' in the same days. Nothing, when

    - it has 30 trades or more, earns on average, and earns no less a day than the current parameters;
    - its deepest fall is no deeper than `drawdown_max` (a share; None: than that of the current parameters), and no
      limit of the account halted it more often;
    - for frequency: it trades more often, and the lower bound of its win rate, as one of `tests`, is not below the
      lower bound of the current one; for quality: that bound is not below the current win rate itself.
    """
    if outcome.few:
        return (f"{outcome.trades:,} trades, {FEW} are needed",)
    found: list[str] = []
    expectancy = outcome.expectancy_nanos or 0
    if expectancy <= 0:
        found.append(f"it loses: {money(expectancy)} {outcome.currency} a trade")
    if outcome.net_nanos * baseline.days < baseline.net_nanos * outcome.days:
        found.append(f"it earns less: {_a_day(outcome)} a day against {_a_day(baseline)}")
    allowed = baseline.drawdown_share if drawdown_max is None else drawdown_max
    if outcome.drawdown_share > allowed:
        found.append(f"it falls deeper: {outcome.drawdown_share:.1%} against {allowed:.1%}")
    if outcome.halts > baseline.halts:
        found.append(f"limits halted it more often: {outcome.halts:,} times against {baseline.halts:,}")
    if aim == "frequency" and outcome.trades * baseline.days <= baseline.trades * outcome.days:
        found.append(f"it trades no more often: {outcome.trades:,} trades against {baseline.trades:,}")
    sure = wilson(outcome.wins, outcome.trades, tests)[0] or 0.0
    bar, named = (
        (baseline.win_rate_low or 0.0, "lower bound") if aim == "frequency" else (baseline.win_rate or 0.0, "win rate")
    )
    if sure < bar:
        found.append(f"its win rate is surely only above {sure:.1%}, the current {named} is {bar:.1%}")
    return tuple(found)


def _a_day(outcome: Outcome) -> str:
    return f"{money(outcome.net_nanos // max(outcome.days, 1))} {outcome.currency}"


def judge(baseline: Parts, candidates: Sequence[Parts], aim: Aim, drawdown_max: float | None = None) -> Judgement:
    """Choose by the first two thirds, confirm by the last. Equal candidates stay in the order of trial."""
    tried = len(candidates)
    against = tuple(
        objections(baseline.chosen_on, one.chosen_on, aim, tests=tried, drawdown_max=drawdown_max) for one in candidates
    )

    def place(index: int) -> tuple[int, float]:
        chosen = candidates[index].chosen_on
        by = chosen.trades_per_day if aim == "frequency" else chosen.win_rate_low
        return len(against[index]), -(by or 0.0)

    order = tuple(sorted(range(tried), key=place))
    best = next((index for index in order if not against[index]), None)
    later: tuple[str, ...] = ()
    if best is not None:
        later = objections(baseline.held_out, candidates[best].held_out, aim, drawdown_max=drawdown_max)
    says = _conclusion(baseline, candidates, best, later)
    return Judgement(tried=tried, objections=against, order=order, best=best, against=later, says=says)


def _conclusion(baseline: Parts, candidates: Sequence[Parts], best: int | None, against: tuple[str, ...]) -> str:
    tried = f"{len(candidates)} candidate{'' if len(candidates) == 1 else 's'} tried"
    if best is not None and not against:
        return (
            f"One candidate is better ({tried}; it was chosen on the first two thirds of the history). On the last "
            f"third, which had no say in the choice: {candidates[best].held_out.says}. The current parameters there: "
            f"{baseline.held_out.says}."
        )
    if best is not None:
        return (
            f"No candidate is better: {tried}; the best on the first two thirds of the history did not hold on the "
            f"last third ({'; '.join(against)})."
        )
    if all(one.chosen_on.few for one in candidates):
        most = max((one.chosen_on.trades for one in candidates), default=0)
        return (
            f"Nothing can be promised: the history is too short or has too few trades; {tried}, none closed more than "
            f"{most:,} trades on its first two thirds, {FEW} are needed."
        )
    also = " The current parameters lose as well." if (baseline.chosen_on.expectancy_nanos or 0) < 0 else ""
    return f"No candidate is better: {tried}, none held on the first two thirds of the history.{also}"


# -- what is promised ----------------------------------------------------------------------------------------------


class Evidence(_Model):
    """What a proposal stands on. The tape is named by its content too: the hash of its records and instructions from
    `first_ordinal` to `last_ordinal`, however they were cut into messages. Chance was drawn from `seed`. `notes` say
    what was otherwise than in the past."""

    tape: str
    tape_sha256: str
    first_ordinal: int
    last_ordinal: int
    records: int
    days: int
    held_out_days: int
    tried: int
    seed: int
    notes: tuple[str, ...]


class Promise(_Model):
    """What parameters are expected to do: their figures on days that had no say in their choice."""

    strategy: str
    parameters: dict[str, JsonValue]
    tried: int
    expected: Outcome


class Proposal(_Model):
    """A change of parameters, ready to be put before a person. `handler_version` is that of the code, which stays; the
    versions count the parameter sets that the strategy ran with on this desk. `before` are the current parameters'
    figures on the promised days. Rollback: activate `rollback` again."""

    strategy: str
    handler_version: int
    symbols: tuple[str, ...]
    aim: Aim
    current_version: int
    current_parameters: dict[str, JsonValue]
    proposed_version: int
    proposed_parameters: dict[str, JsonValue]
    changes: tuple[Change, ...]
    effects: tuple[str, ...]
    before: Outcome
    promise: Promise
    rollback: dict[str, JsonValue]
    evidence: Evidence


class Figure(_Model):
    """One promised figure beside what was observed, each with its interval. `kept` is None while too few trades say."""

    name: str
    promised: float | None
    promised_low: float | None
    promised_high: float | None
    observed: float | None
    observed_low: float | None
    observed_high: float | None
    kept: bool | None


class Comparison(_Model):
    """Whether a promise was kept, figure by figure."""

    verdict: Literal["kept", "missed", "too_early"]
    figures: tuple[Figure, ...]
    says: str


def compare(promise: Promise, observed: Outcome) -> Comparison:
    """Hold a promise against what came of it.

    Trades per day and win rate are missed when all that the observed interval allows lies below the promised interval;
    that needs 30 trades. The drawdown is missed at once when it is deeper than the promised interval's end.
    """
    expected = promise.expected
    judged = not observed.few
    figures = tuple(
        _figure(name, expected, observed, _reaches(name, expected, observed) if judged else None)
        for name in ("trades_per_day", "win_rate")
    )
    deepest = expected.drawdown_share_high
    fell = deepest is not None and observed.drawdown_share > deepest
    figures += (_figure("drawdown_share", expected, observed, False if fell else True if judged else None),)
    missed = [figure.name for figure in figures if figure.kept is False]
    if missed:
        named = " and ".join(name.replace("_", " ") for name in missed)
        return Comparison(verdict="missed", figures=figures, says=f"The promise is missed in {named}: {observed.says}.")
    if not judged:
        says = f"Too early to say: {observed.trades:,} trades, {FEW} are needed. So far: {observed.says}."
        return Comparison(verdict="too_early", figures=figures, says=says)
    return Comparison(verdict="kept", figures=figures, says=f"The promise is kept: {observed.says}.")


def _reaches(name: str, expected: Outcome, observed: Outcome) -> bool:
    low, high = getattr(expected, f"{name}_low"), getattr(observed, f"{name}_high")
    return low is None or (high is not None and high >= low)


def _figure(name: str, expected: Outcome, observed: Outcome, kept: bool | None) -> Figure:
    said = {
        f"{who}{end}": getattr(outcome, f"{name}{end}")
        for who, outcome in (("promised", expected), ("observed", observed))
        for end in ("", "_low", "_high")
    }
    return Figure(name=name, kept=kept, **said)
