"""What governance may be asked over HTTP: proposals, agents and workflow runs, as of any moment. Nothing here approves,
drafts or changes anything."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from gateways.api_desk import Moment
from gateways.http import asked
from gateways.http.answers import Answers
from gateways.http.documented import about
from gateways.http.problems import found
from projections.queries import Page

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["p-0123456789ab"])]


def governance_routes(answers: Answers) -> APIRouter:
    """Proposals, agents and runs: lists, newest first, and single things by their name."""
    router, queries = APIRouter(tags=["governance"]), answers.desk.queries

    @router.get("/proposals", responses=about("proposals"))
    async def proposals(request: Request, at: Annotated[asked.Proposals, Query()]) -> Response:
        """Proposals, newest first. Only a person decides, and not over this API: `cdb approve`, or the dashboard with
        an enrolled key."""

        async def page(moment: Moment, before: int | None) -> Page:
            wanted = at.model_dump(include={"state", "actor", "run", "limit"})
            return await queries.proposals(moment.at, before=before, **wanted)

        return await answers.page(request, at, page)

    @router.get("/proposals/{id}", responses=about("proposal", missing=True))
    async def proposal(request: Request, id: Name, at: Annotated[asked.At, Query()]) -> Response:  # noqa: A002
        """One proposal: its command with all arguments, what was shown of it, its verdict, and what was done."""
        return await answers.about(request, at, lambda moment: found("proposal", id, queries.proposal(moment.at, id)))

    @router.get("/agents", responses=about("agents"))
    async def agents(request: Request, at: Annotated[asked.At, Query()]) -> Response:
        """Every role with how its agent is, and who was heard of without a role."""
        return await answers.about(request, at, lambda moment: queries.agents(moment.at))

    @router.get("/runs", responses=about("runs"))
    async def runs(request: Request, at: Annotated[asked.Runs, Query()]) -> Response:
        """Workflow runs, newest first."""

        async def page(moment: Moment, before: int | None) -> Page:
            wanted = at.model_dump(include={"state", "kind", "limit"})
            return await queries.runs(moment.at, before=before, **wanted)

        return await answers.page(request, at, page)

    @router.get("/runs/{id}", responses=about("run", missing=True))
    async def run(request: Request, id: Name, at: Annotated[asked.At, Query()]) -> Response:  # noqa: A002
        """One run with what its steps found, and its report."""
        return await answers.about(request, at, lambda moment: found("run", id, queries.run(moment.at, id)))

    return router
