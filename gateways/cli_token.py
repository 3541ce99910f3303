"""`cdb token`: who may ask the HTTP API and the dashboard, and as what."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

import typer
from rich.text import Text

from gateways.cli import JsonOption, app, await_result
from gateways.terminal import err, out, print_json, print_rows


class TokenOperations(Protocol):
    """What these commands ask of the desk. Mappings are ready for JSON."""

    async def create_token(self, name: str, role: str, days: int | None) -> Mapping[str, Any]: ...

    async def tokens(self) -> Sequence[Mapping[str, Any]]: ...

    async def revoke_token(self, name: str, reason: str) -> Mapping[str, Any]: ...


token = typer.Typer(name="token", help="Access to the HTTP API and the dashboard.", no_args_is_help=True)
app.add_typer(token, rich_help_panel="What there is")


@token.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose token it is; a name is given once.")],
    role: Annotated[str, typer.Option("--role", help="observer, operator, agent or approver.")],
    days: Annotated[int | None, typer.Option("--days", help="How long it holds (default: until revoked).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token. It is shown this once: the log keeps only its hash."""
    made = await_result(_operations(context).create_token(name, role, days), as_json=as_json)
    if as_json:
        print_json(made)
        return
    until = f"until {made['expires_at']}" if made["expires_at"] else "until it is revoked"
    err.print(Text(f"Token of {made['name']}, {made['role']}, {until}. It is shown this once:"), soft_wrap=True)
    out.print(made["token"], markup=False, highlight=False, soft_wrap=True)


@token.command("list")
def list_them(context: typer.Context, as_json: JsonOption = False) -> None:
    """Every token that there ever was, and whether it still opens anything."""
    rows = await_result(_operations(context).tokens(), as_json=as_json)
    shown = ("name", "role", "state", "by", "created_at", "expires_at")
    print_rows("Tokens", rows if as_json else [{name: row[name] for name in shown} for row in rows], as_json=as_json)


@token.command()
def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The token's name.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the log.")] = "revoked by hand",
    as_json: JsonOption = False,
) -> None:
    """Close a token for good."""
    revoked = await_result(_operations(context).revoke_token(name, reason), as_json=as_json)
    if as_json:
        print_json(revoked)
    else:
        out.print(Text(f"The token of {revoked['name']} opens nothing since {revoked['revoked_at']}."), soft_wrap=True)


def _operations(context: typer.Context) -> TokenOperations:
    operations: TokenOperations = context.obj.operations()
    return operations
