"""What a tuning run writes: the strategy's configuration, the section on risk, the pull request, the table of variants,
the observation. Pure: the same findings, the same text."""

import json
from collections.abc import Sequence
from typing import Any

from domain.neighbours import changes
from domain.outcome import Outcome
from domain.proposal import Proposal
from domain.tuning import Comparison, Figure
from domain.tuning import Proposal as Tuned
from domain.wording import money
from domain.workflow import Evidence, Run
from ops.tuning import Tuning

_HEAD = (
    "| Variant | Changes | Trades a day | Win rate % | A trade | Deepest fall % | Against it |\n"
    "|---|---|---|---|---|---|---|"
)


def configuration(desk: str, tuned: Tuned, run: str) -> str:
    """`strategies/<name>.json`: how the strategy stands once this is applied."""
    content = {
        "desk": desk,
        "strategy": tuned.strategy,
        "handler_version": tuned.handler_version,
        "version": tuned.proposed_version,
        "symbols": list(tuned.symbols),
        "parameters": tuned.proposed_parameters,
        "promise": tuned.promise.model_dump(mode="json"),
        "run": run,
    }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def with_risk_section(text: str, tuned: Tuned, widens: Sequence[str], run: str, day: str) -> str:
    """Risikomanagement_Logic with what changes of risk, behind all that it says."""
    head = text.rstrip("\n") or "# Risikomanagement Logic"
    lines = [
        f"## {day}: {tuned.strategy}, parameters version {tuned.proposed_version}",
        "",
        *(f"- {sentence}" for sentence in widens),
        *(f"- {sentence}" for sentence in tuned.effects),
        f"- Run {run}; taken back by activating parameters version {tuned.current_version} again.",
    ]
    return "\n".join([head, "", *lines]) + "\n"


def pull_request(tuned: Tuned, table: str, reason: str, run: str) -> str:
    """Its body: reason, current and wanted configuration, expected effects, every variant that was tried."""
    evidence = tuned.evidence
    parts = [
        f"Run {run}: {reason}",
        f"## Current configuration (version {tuned.current_version})\n\n{_fenced(tuned.current_parameters)}",
        f"## Wanted configuration (version {tuned.proposed_version})\n\n{_fenced(tuned.proposed_parameters)}",
        "## Expected effects\n\n" + "\n".join(f"- {sentence}" for sentence in tuned.effects),
        f"## Variants\n\nFigures of the first two thirds of the history, which chose.\n\n{table}",
        f"## Evidence\n\n- tape {evidence.tape}, records {evidence.first_ordinal} to {evidence.last_ordinal}, "
        f"sha256 `{evidence.tape_sha256}`\n- {evidence.days:,} days, the last {evidence.held_out_days:,} of them held "
        "out" + "".join(f"\n- {note}" for note in evidence.notes),
        f"## Rollback\n\nOne approved command: activate parameters version {tuned.current_version} again.",
    ]
    return "\n\n".join(parts) + "\n"


def variants(found: Tuning) -> str:
    """Every parameter set that was tried, the current one first, then in order of rank."""
    current, judgement = found.current, found.judgement
    rows = [_row("current", "-", current.parts.chosen_on, ())]
    for index in judgement.order:
        tried = found.candidates[index]
        moved = ", ".join(
            f"{c.name} {c.current} -> {c.proposed}" for c in changes(current.parameters, tried.parameters)
        )
        against = judgement.objections[index]
        if index == judgement.best:
            against = tuple(f"on the last third: {said}" for said in judgement.against)
        rows.append(_row("wanted" if index == judgement.proposed else "tried", moved, tried.parts.chosen_on, against))
    return "\n".join([_HEAD, *rows])


def _row(variant: str, moved: str, outcome: Outcome, against: Sequence[str]) -> str:
    figures = [
        _spread(outcome, "trades_per_day", 1, 2),
        _spread(outcome, "win_rate", 100, 1),
        "-" if outcome.expectancy_nanos is None else f"{money(outcome.expectancy_nanos)} {outcome.currency}",
        _spread(outcome, "drawdown_share", 100, 1),
    ]
    return f"| {' | '.join([variant, moved, *figures, '; '.join(against) or '-'])} |"


def _spread(outcome: Outcome, name: str, times: int, places: int) -> str:
    return _interval([getattr(outcome, f"{name}{end}") for end in ("", "_low", "_high")], times, places)


def _interval(values: Sequence[float | None], times: int, places: int) -> str:
    value, low, high = ("-" if one is None else f"{times * one:.{places}f}" for one in values)
    return f"{value} [{low} to {high}]"


def _fenced(parameters: dict[str, Any]) -> str:
    return f"```json\n{json.dumps(parameters, indent=2, sort_keys=True, ensure_ascii=False)}\n```"


# -- afterwards ----------------------------------------------------------------------------------------------------


def observation(found: Evidence, proposal: Proposal) -> str:
    """What came of the promise; missed, it names the way back."""
    parts = [found.says]
    if found.content:
        comparison = Comparison.model_validate(found.content)
        rows = ["| Figure | Promised | Observed | Kept |", "|---|---|---|---|", *map(_figure, comparison.figures)]
        parts.append("\n".join(rows))
        if comparison.verdict == "missed" and proposal.draft.rollback:
            parts.append(f"Rollback is proposed: `cdb propose rollback {proposal.name}`, then one approval.")
    return "\n\n".join(parts)


def _figure(figure: Figure) -> str:
    times, places = (1, 2) if figure.name == "trades_per_day" else (100, 1)
    promised, observed = (
        _interval([getattr(figure, f"{who}{end}") for end in ("", "_low", "_high")], times, places)
        for who in ("promised", "observed")
    )
    kept = {True: "yes", False: "no", None: "too early to say"}[figure.kept]
    return f"| {figure.name.replace('_', ' ')} | {promised} | {observed} | {kept} |"


def findings(run: Run, proposals: Sequence[Proposal]) -> list[str]:
    """What the report of a run has beside its checklist: the variants, and what came of the promise."""
    lines, replayed, observed = list[str](), run.steps.get("replay"), run.steps.get("observation")
    if replayed and (table := replayed.content.get("table")):
        lines += ["## Variants", "", table, ""]
    if observed and proposals:
        lines += ["## Observation", "", observation(observed, proposals[-1]), ""]
    return lines
