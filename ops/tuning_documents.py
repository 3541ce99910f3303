"""What a tuning run writes: the strategy's configuration, the section on risk, the pull request, the table of variants,
the observation, the report. Pure: the same findings, the same text."""

import json
from collections.abc import Sequence
from typing import Any

from domain.neighbours import changes
from domain.outcome import Outcome
from domain.proposal import Proposal, ProposalApproved, ProposalRejected
from domain.tape import utc
from domain.tuning import Comparison, Figure
from domain.tuning import Proposal as Tuned
from domain.wording import money
from domain.workflow import Run
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


def observation(comparison: Comparison, proposal: str, *, can_be_undone: bool) -> str:
    """What came of the promise; missed, it names the way back."""
    rows = ["| Figure | Promised | Observed | Kept |", "|---|---|---|---|", *map(_figure, comparison.figures)]
    undo = f"\n\nRollback is proposed: `cdb propose rollback {proposal}`, then one approval."
    return (
        f"{comparison.says}\n\n" + "\n".join(rows) + (undo if comparison.verdict == "missed" and can_be_undone else "")
    )


def _figure(figure: Figure) -> str:
    times, places = (1, 2) if figure.name == "trades_per_day" else (100, 1)
    promised, observed = (
        _interval([getattr(figure, f"{who}{end}") for end in ("", "_low", "_high")], times, places)
        for who in ("promised", "observed")
    )
    kept = {True: "yes", False: "no", None: "too early to say"}[figure.kept]
    return f"| {figure.name.replace('_', ' ')} | {promised} | {observed} | {kept} |"


def report(run: Run, proposals: Sequence[Proposal]) -> str:
    """The run from its start to its end, with every decision."""
    start, outcome = run.start, run.closed.outcome if run.closed else "open"
    lines = [f"# {run.name}: {start.goal}", "", f"- Outcome: {outcome}", f"- Desk: {start.desk}"]
    lines += [f"- Started by {start.actor} ({start.trigger}) at {utc(start.occurred_at_ns)}"]
    lines += [f"- Goes on from run {start.previous}"] if start.previous else []
    lines += ["", "## Decisions", "", *([_decision(proposal) for proposal in proposals] or ["- none was asked for"])]
    lines += ["", "## Milestones", ""] if run.milestones else []
    lines += [f"- {name.upper()}: {reference}" for name, reference in run.milestones]
    for step, evidence in run.steps.items():
        if step != "report":
            lines += ["", f"## {step.capitalize()}", "", evidence.says]
    return "\n".join(lines) + "\n"


def _decision(proposal: Proposal) -> str:
    verdict = proposal.verdict
    said = f"- Proposal {proposal.name} is {proposal.state}"
    if verdict is None:
        return said
    said += f": {verdict.type.removeprefix('proposal_')} at {utc(verdict.occurred_at_ns)} by {verdict.actor}"
    if isinstance(verdict, ProposalApproved | ProposalRejected) and (why := verdict.signed.body.reason):
        said += f" ({why})"
    return said + "".join(f"; {effect.kind} {effect.reference}" for effect in proposal.effects)
