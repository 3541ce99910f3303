"""What a person decides: `pending`, `show`, `approve`, `reject`, `propose`, `approver`, `resume`. Deciding needs a key
file and its passphrase, typed at a terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.text import Text

from domain.errors import InvalidInput, Refused
from gateways import passphrase
from gateways.cli import DeskOption, JsonOption, app, await_result
from gateways.governing import Answer
from gateways.shown_proposal import print_proposal, refuse_other
from gateways.terminal import err, in_cell, out, print_json, print_rows, said


class GovernanceOperations(Protocol):
    """What these commands ask of the desk. Mappings are ready for JSON."""

    @property
    def desk(self) -> str: ...

    @property
    def key_file(self) -> Path: ...

    async def governance(self, command: str, content: Mapping[str, Any]) -> Answer: ...

    async def enrol(self, name: str, public_key: str | None, passphrase: str) -> Answer: ...

    async def revoke_approver(self, named: str, reason: str, passphrase: str) -> Answer: ...

    async def decide(self, question: Mapping[str, Any], verdict: str, reason: str, passphrase: str) -> Answer: ...

    def policy_of(self, named: str) -> Mapping[str, Any]: ...

    def strategy_of(self, name: str, parameters: Mapping[str, str]) -> Mapping[str, Any]: ...

    async def publication(
        self, texts: Mapping[str, str], message: str, branch: str, title: str, body: str
    ) -> Mapping[str, Any]: ...


approver = typer.Typer(name="approver", help="Keys that may decide.", no_args_is_help=True)
app.add_typer(approver, rich_help_panel="Decide")
propose = typer.Typer(name="propose", help="Propose what a person then decides.", no_args_is_help=True)
app.add_typer(propose, rich_help_panel="Decide")

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the log.")]
ProposalArgument = Annotated[str, typer.Argument(help="The proposal's name, p-...")]


# -- deciding ----------------------------------------------------------------------------------------------------------


@app.command()
def pending(context: typer.Context, as_json: JsonOption = False) -> None:
    """What waits for a decision."""
    found = await_result(_operations(context).governance("ask", {"about": "pending"}), as_json=as_json)
    shown = ("proposal", "title", "actor", "waiting_s", "expires_at", "taint")
    rows = found["proposals"]
    listed = [{name: row[name] for name in shown} | {"title": in_cell(row["title"])} for row in rows]
    print_rows("Pending", rows if as_json else listed, as_json=as_json)
    if not rows and not as_json:
        err.print("Nothing waits for a decision.", style="dim")


@app.command()
def show(context: typer.Context, proposal: ProposalArgument, as_json: JsonOption = False) -> None:
    """A proposal as it will be decided on: rendered by the desk, from what would be done."""
    found = await_result(_view(_operations(context), proposal), as_json=as_json)
    if as_json:
        print_json(found)
    else:
        print_proposal(found, out)


@app.command()
def approve(
    context: typer.Context,
    proposal: ProposalArgument,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Sign a proposal as it is shown; what it approves is done at once, unless a workflow run delivers it."""
    _decide(_operations(context), proposal, "approved", reason, as_json=as_json)


@app.command()
def reject(
    context: typer.Context, proposal: ProposalArgument, reason: ReasonOption, as_json: JsonOption = False
) -> None:
    """Decide against a proposal, signed like an approval."""
    _decide(_operations(context), proposal, "rejected", reason, as_json=as_json)


@app.command()
def withdraw(
    context: typer.Context, proposal: ProposalArgument, reason: ReasonOption = "withdrawn", as_json: JsonOption = False
) -> None:
    """Take a proposal back."""
    content = {"proposal": proposal, "reason": reason}
    _report(await_result(_operations(context).governance("withdraw", content), as_json=as_json), as_json=as_json)


@app.command("apply")
def apply_it(context: typer.Context, proposal: ProposalArgument, as_json: JsonOption = False) -> None:
    """Do what was approved, again where something failed; nothing is done twice."""
    content = {"proposal": proposal}
    _report(await_result(_operations(context).governance("apply", content), as_json=as_json), as_json=as_json)


@app.command()
def resume(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why it is right to trade again.")],
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """End every halt of a desk, also that of a breached limit: proposed, shown and signed in one go."""
    operations = _operations(context, desk)
    command = {"name": "resume", "desk": operations.desk, "reason": reason}
    drafted = await_result(operations.governance("draft", {"command": command, "reason": reason}), as_json=as_json)
    if not passphrase.can_be_typed():
        raise Refused("unsigned", f"only a person resumes a desk: at a terminal, `cdb approve {drafted['proposal']}`")
    _decide(operations, drafted["proposal"], "approved", reason, as_json=as_json)


def _decide(operations: GovernanceOperations, proposal: str, verdict: str, reason: str, *, as_json: bool) -> None:
    found = await_result(_view(operations, proposal), as_json=as_json)
    if found["question"] is None:
        raise InvalidInput(f"proposal {proposal} is {found['state']}: there is nothing to decide")
    refuse_other(found, proposal)
    print_proposal(found, err if as_json else out)
    typed = passphrase.ask(str(operations.key_file))
    _report(
        await_result(operations.decide(found["question"], verdict, reason, typed), as_json=as_json), as_json=as_json
    )


async def _view(operations: GovernanceOperations, proposal: str) -> Answer:
    return await operations.governance("ask", {"about": "proposal", "proposal": proposal})


def _report(receipt: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(receipt)
        return
    out.print(Text(f"Proposal {receipt['proposal']} is {receipt['state']}."), soft_wrap=True)
    for effect in receipt["effects"]:
        out.print(said(f"  {effect['kind']}: {effect['reference']}"), soft_wrap=True)
    if receipt["next_step"] != "nothing":
        out.print(Text(f"Next: {receipt['next_step']}"), style="dim", soft_wrap=True)


# -- keys --------------------------------------------------------------------------------------------------------------


@approver.command()
def enrol(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    public_key: Annotated[
        str | None, typer.Option("--public-key", help="Another's key, such as one made in a browser, signed by yours.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a key decide. The first one is made here; each later one is signed by a key that may decide already."""
    operations = _operations(context)
    path = operations.key_file
    typed = passphrase.ask(str(path)) if path.exists() or public_key else passphrase.ask_new(str(path))
    made = await_result(operations.enrol(name, public_key, typed), as_json=as_json)
    if as_json:
        print_json(made)
    else:
        out.print(Text(f"Key {made['key_id']} of {name} may decide from now on. Keep {path} where no agent runs."))


@approver.command("list")
def list_them(context: typer.Context, as_json: JsonOption = False) -> None:
    """Every key that there ever was."""
    found = await_result(_operations(context).governance("ask", {"about": "approvers"}), as_json=as_json)
    print_rows(f"Approvers of {found['environment']}", found["approvers"], as_json=as_json)


@approver.command()
def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The key's id.")],
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """Close a key for good; what it approved stands."""
    operations = _operations(context)
    typed = passphrase.ask(str(operations.key_file))
    made = await_result(operations.revoke_approver(key, reason, typed), as_json=as_json)
    if as_json:
        print_json(made)
    else:
        out.print(Text(f"Key {made['key_id']} decides nothing from now on."))


# -- proposing ---------------------------------------------------------------------------------------------------------


@propose.command("policy")
def propose_policy(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="A policy of this build, or a JSON file.")],
    reason: ReasonOption,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """Another policy between signals and fills."""
    operations = _operations(context, desk)
    command = {"name": "activate_policy", "desk": operations.desk, "policy": operations.policy_of(policy)}
    _draft(operations, command, reason, as_json=as_json)


@propose.command("strategy")
def propose_strategy(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(help="Its name.")],
    symbol: Annotated[list[str], typer.Option("--symbol", help="A symbol it watches; several may be given.")],
    reason: ReasonOption,
    param: Annotated[list[str] | None, typer.Option("--param", help="NAME=VALUE; the others are the defaults.")] = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """A strategy, or other parameters of one that runs."""
    operations = _operations(context, desk)
    parameters = dict(_pair(text) for text in param or [])
    chosen = operations.strategy_of(strategy, parameters)
    command = {"name": "activate_strategy", "desk": operations.desk, "symbols": symbol, **chosen}
    _draft(operations, command, reason, as_json=as_json)


@propose.command("stop-strategy")
def propose_stop(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(help="Its name.")],
    reason: ReasonOption,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """A strategy raises no more signals. Nothing in that needs a signature."""
    operations = _operations(context, desk)
    command = {"name": "deactivate_strategy", "desk": operations.desk, "strategy": strategy}
    _draft(operations, command, reason, as_json=as_json)


@propose.command("role")
def propose_role(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The role as JSON.", exists=True, dir_okay=False)],
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """A new role of an agent, or a changed one."""
    _draft(_operations(context), {"name": "define_role", "role": _json(file)}, reason, as_json=as_json)


@propose.command("retire-role")
def propose_retirement(
    context: typer.Context,
    role: Annotated[str, typer.Argument(help="Its name.")],
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """Nobody acts in a role any more."""
    _draft(_operations(context), {"name": "retire_role", "role": role, "reason": reason}, reason, as_json=as_json)


@propose.command("governance")
def propose_governance(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The governance policy as JSON.", exists=True, dir_okay=False)],
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """Another governance policy."""
    _draft(_operations(context), {"name": "change_governance", "policy": _json(file)}, reason, as_json=as_json)


@propose.command("decision")
def propose_decision(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="What is decided.")],
    reason: ReasonOption,
    about: Annotated[str, typer.Option("--context", help="In which context.")] = "",
    reference: Annotated[str, typer.Option("--reference", help="What it refers to.")] = "",
    as_json: JsonOption = False,
) -> None:
    """An entry of the decision log."""
    command = {"name": "record_decision", "what": what, "context": about, "reference": reference}
    _draft(_operations(context), command, reason, as_json=as_json)


@propose.command("document")
def propose_document(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name, such as CDB_INSIGHTS.")],
    file: Annotated[Path, typer.Argument(help="Its new text.", exists=True, dir_okay=False)],
    reason: ReasonOption,
    branch: Annotated[str, typer.Option("--branch", help="Empty: the main branch.")] = "",
    pull_request: Annotated[str, typer.Option("--pull-request", help="Its title; empty: none.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Another text of a document."""
    operations = _operations(context)
    texts = {name: file.read_text(encoding="utf-8")}
    publication = await_result(
        operations.publication(texts, f"Update {name}", branch, pull_request, reason), as_json=as_json
    )
    _draft(operations, {"name": "publish", "publication": publication}, reason, as_json=as_json)


@propose.command("rollback")
def propose_rollback(
    context: typer.Context, proposal: ProposalArgument, reason: ReasonOption, as_json: JsonOption = False
) -> None:
    """Undo what was applied, by the way back that its proposal named."""
    operations = _operations(context)
    found = await_result(_view(operations, proposal), as_json=as_json)
    if found["rollback_arguments"] is None:
        raise InvalidInput(f"proposal {proposal} names no way back; propose what shall hold instead")
    _draft(operations, found["rollback_arguments"], reason, as_json=as_json, rolls_back=proposal)


def _draft(
    operations: GovernanceOperations,
    command: Mapping[str, Any],
    reason: str,
    *,
    as_json: bool,
    rolls_back: str = "",
) -> None:
    content = {"command": command, "reason": reason, "rolls_back": rolls_back}
    _report(await_result(operations.governance("draft", content), as_json=as_json), as_json=as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"--param {text[:60]!r} is not NAME=VALUE")
    return name, value


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} is no JSON: {error}") from None


# -- agents ------------------------------------------------------------------------------------------------------------


@app.command()
def agents(context: typer.Context, as_json: JsonOption = False) -> None:
    """Every role that somebody may act in."""
    found = await_result(_operations(context).governance("ask", {"about": "roles"}), as_json=as_json)
    shown = ("name", "level", "purpose", "workflows", "capabilities")
    rows = found["roles"]
    print_rows(
        "Roles", rows if as_json else [{name: _listed(row[name]) for name in shown} for row in rows], as_json=as_json
    )


def _listed(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list | tuple) else value


def _operations(context: typer.Context, desk: str | None = None) -> GovernanceOperations:
    operations: GovernanceOperations = context.obj.operations(desk)
    return operations
