"""`cdb workflow`: runs of WF1 status refresh, WF2 tuning and WF3 agents and decisions, from start to their report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.markdown import Markdown

from domain.errors import InvalidInput
from domain.presentation import visible
from gateways.cli import DeskOption, JsonOption, app, await_result, only
from gateways.governing import Answer
from gateways.terminal import err, in_cell, out, print_json, print_rows, said

KINDS = ("WF1", "WF2", "WF3")
OUTCOMES = ("nothing_to_do", "failed", "abandoned")


class WorkflowOperations(Protocol):
    """What these commands ask of the desk. `acting_as`: a role of an agent; empty: the person at this machine."""

    @property
    def desk(self) -> str: ...

    async def governance(self, command: str, content: Mapping[str, Any], acting_as: str = "") -> Answer: ...


workflow = typer.Typer(
    name="workflow", help="Runs that analyse, propose, and deliver once approved.", no_args_is_help=True
)
app.add_typer(workflow, rich_help_panel="Decide")

RunArgument = Annotated[str, typer.Argument(help="The run's name, wf1-...")]
InputOption = Annotated[str | None, typer.Option("--input", help="JSON, or @FILE; what the workflow works on.")]
ActingOption = Annotated[str, typer.Option("--as", help="A role of an agent; without it you act as yourself.")]


@workflow.command()
def start(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="WF1 status refresh, WF2 tuning, WF3 agents and decisions.")],
    goal: Annotated[str, typer.Option("--goal", help="What it is for; it stands in the log and in the report.")],
    given: InputOption = None,
    previous: Annotated[str, typer.Option("--previous", help="The run that it goes on from.")] = "",
    acting_as: ActingOption = "",
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a run. It goes by itself to the gate, where a person decides."""
    only("KIND", kind.upper(), KINDS)
    operations = _operations(context, desk)
    content = {
        "action": "start", "kind": kind.upper(), "goal": goal, "desk": operations.desk, "previous": previous,
        "input": _input(given),
    }  # fmt: skip
    _run(operations, content, acting_as, as_json=as_json)


@workflow.command("list")
def list_them(context: typer.Context, as_json: JsonOption = False) -> None:
    """Every run, the newest first."""
    found = await_result(_operations(context).governance("ask", {"about": "runs"}), as_json=as_json)
    shown = ("run", "kind", "phase", "outcome", "goal", "actor", "started_at")
    rows = found["runs"]
    listed = [{name: row[name] for name in shown} | {"goal": in_cell(row["goal"])} for row in rows]
    print_rows("Runs", rows if as_json else listed, as_json=as_json)
    if not rows and not as_json:
        err.print("No run yet: `cdb workflow start WF1 --goal ...` begins one.", style="dim")


@workflow.command()
def show(context: typer.Context, run: RunArgument, as_json: JsonOption = False) -> None:
    """A run's checklist with its evidence, its proposals, and its report once it is over."""
    _print(await_result(_operations(context).governance("ask", {"about": "run", "run": run}), as_json=as_json), as_json)


@workflow.command()
def give(
    context: typer.Context,
    run: RunArgument,
    given: Annotated[str, typer.Option("--input", help="JSON, or @FILE.")],
    acting_as: ActingOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give a run what it waits for."""
    content = {"action": "give", "run": run, "input": _input(given)}
    _run(_operations(context), content, acting_as, as_json=as_json)


@workflow.command()
def go(context: typer.Context, run: RunArgument, acting_as: ActingOption = "", as_json: JsonOption = False) -> None:
    """Deliver what was approved, again where it failed; nothing is done twice."""
    _run(_operations(context), {"action": "go", "run": run}, acting_as, as_json=as_json)


@workflow.command()
def close(
    context: typer.Context,
    run: RunArgument,
    outcome: Annotated[
        str | None, typer.Option("--outcome", help="nothing_to_do, failed or abandoned; without it as its phase says.")
    ] = None,
    acting_as: ActingOption = "",
    as_json: JsonOption = False,
) -> None:
    """End a run; what it proposed and nobody decided is withdrawn."""
    if outcome is not None:
        only("--outcome", outcome, OUTCOMES)
    _run(_operations(context), {"action": "close", "run": run, "outcome": outcome}, acting_as, as_json=as_json)


def _run(operations: WorkflowOperations, content: Mapping[str, Any], acting_as: str, *, as_json: bool) -> None:
    _print(await_result(operations.governance("run", content, acting_as), as_json=as_json), as_json)


def _print(found: Answer, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if found["report"]:
        out.print(Markdown("\n".join(visible(line) for line in found["report"].split("\n"))))
        return
    out.print(said(f"{found['run']} is in {found['phase']}: {found['goal']}"), style="bold", soft_wrap=True)
    for line in found["checklist"]:
        mark = "x" if line["done"] and not line["missing"] else "!" if line["missing"] else " "
        says = f": {line['says']}" if "says" in line else ""
        reference = f" ({line['reference']})" if line.get("reference") else ""
        style = "yellow" if mark == "!" else ""
        out.print(said(f"  [{mark}] {line['step']}{says}{reference}"), style=style, soft_wrap=True)
    for milestone in found["milestones"]:
        out.print(said(f"  {milestone['name']} {milestone['reference']}"), soft_wrap=True)
    if step := _next(found):
        out.print(said(f"Next: {step}"), style="dim", soft_wrap=True)


def _next(found: Answer) -> str:
    run, proposal = found["run"], found["proposals"][-1] if found["proposals"] else ""
    waits = any(line["missing"] for line in found["checklist"])
    match found["phase"]:
        case "analysis" | "plan":
            return (
                f"`cdb workflow give {run} --input JSON`" if waits else f"`cdb workflow show {run}` says how far it is"
            )
        case "gate":
            return f"`cdb show {proposal}`, `cdb approve {proposal}`, then `cdb workflow go {run}`"
        case "delivery":
            return f"`cdb show {proposal}` says what is wrong; then `cdb workflow go {run}`, or close it"
    return ""


def _input(given: str | None) -> Any:
    """Raises InvalidInput for what is no JSON object."""
    if given is None:
        return {}
    try:
        text = Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"--input {given[:60]!r} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput(f'--input {given[:60]!r} is no JSON object, such as {{"retire": "codex"}}')
    return found


def _operations(context: typer.Context, desk: str | None = None) -> WorkflowOperations:
    operations: WorkflowOperations = context.obj.operations(desk)
    return operations
