"""`cdb why`, `cdb events` and `cdb status`: what the desk's ledger and its state say."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Protocol

import typer

from domain import errors
from gateways.asked_moment import NOW, Asked, AsOfOption, MarketTimeOption, RecordedTimeOption, asked_moment
from gateways.cli import DeskOption, JsonOption, app, await_result, time_of
from gateways.ledger_view import Listing, print_status
from gateways.terminal import err, out, print_json
from gateways.why_view import print_why


class LedgerOperations(Protocol):
    """What these commands ask of the desk. Mappings are ready for JSON."""

    async def why(self, id: str) -> Mapping[str, Any]: ...  # noqa: A002  what a person calls it

    def events(
        self,
        *,
        types: Sequence[str],
        start_ns: int | None,
        end_ns: int | None,
        after: int | None,
        last: int | None,
        correlation: str | None,
        symbol: str | None,
    ) -> AsyncGenerator[Mapping[str, Any], None]: ...

    async def status(self, asked: Asked = NOW) -> Mapping[str, Any]: ...


@app.command()
def why(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="An event (123 or main:123), or a place on the tape (tape:123).")],  # noqa: A002
    rules: Annotated[bool, typer.Option("--rules", help="Every rule of a verdict, also those that passed.")] = False,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """An order, fill, verdict or signal back to the tick that caused it, and forward to its result."""
    operations: LedgerOperations = context.obj.operations(desk)
    answer = await_result(operations.why(id), as_json=as_json)
    if as_json:
        print_json(answer)
    else:
        print_why(out, answer, rules=rules)


@app.command()
def events(
    context: typer.Context,
    type: Annotated[list[str] | None, typer.Option("--type", help="Only this type (order_filled). Repeatable.")] = None,  # noqa: A002
    start: Annotated[
        str | None, typer.Option("--from", help="Market time at or after, ISO 8601 (UTC if unnamed).")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Market time before, ISO 8601.")] = None,
    after: Annotated[int | None, typer.Option("--after", help="Only numbers above this one.")] = None,
    last: Annotated[
        int | None,
        typer.Option("--last", help="Only the newest so many (default: 50; all when something says where to begin)."),
    ] = None,
    correlation: Annotated[str | None, typer.Option("--correlation", help="Only this chain, 123 or main:123.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Only this symbol.")] = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """The events of the desk's ledger, oldest first."""
    operations: LedgerOperations = context.obj.operations(desk)
    rows = operations.events(
        types=type or [], start_ns=time_of("--from", start), end_ns=time_of("--to", end), after=after, last=last,
        correlation=correlation, symbol=symbol,
    )  # fmt: skip
    listing = Listing(out, every_mark="account_marked" in (type or []))

    async def show() -> int:
        count = 0
        async with aclosing(rows):
            async for row in rows:
                count += 1
                if as_json:
                    print_json(row)
                else:
                    listing.add(row)
        return count

    if not await_result(show(), as_json=as_json) and not as_json:
        err.print("no events match")
    listing.close()


@app.command()
def status(
    context: typer.Context,
    market_time: MarketTimeOption = None,
    recorded_time: RecordedTimeOption = None,
    as_of: AsOfOption = None,
    desk: DeskOption = None,
    as_json: JsonOption = False,
) -> None:
    """The desk now, or at any moment of its past: account, room left, positions, orders, halts; now also whether its
    services answer."""
    asked = asked_moment(as_of, market_time, recorded_time)
    operations: LedgerOperations = context.obj.operations(desk)
    found = await_result(operations.status(asked), as_json=as_json)
    if as_json:
        print_json(found)
    else:
        print_status(out, found)
    if problem := found["problem"]:
        raise typer.Exit(getattr(errors, problem["error"]).exit_code)
