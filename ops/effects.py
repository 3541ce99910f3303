"""What a granted proposal does outside of governance: an instruction on the tape, a commit, a pull request.

Each carries the proposal's name, and where it stands already it is found and not done again: a crash between an effect
and its event costs a look, never a second effect.
"""

from contextlib import aclosing

from adapters.jetstream import JetStreamLog
from adapters.tape_log import StoredTape
from domain.commands import OnTape, Publication, authority, instruction_of
from domain.documents import Change, DirtyTree, Documents, Forge
from domain.errors import Conflict, InvalidInput, Unavailable
from domain.instructions import Instructed
from domain.proposal import Effect, Proposal
from ops.control import Outcome, instruct
from ops.services import halt_latch
from ops.settings import Settings
from projections.as_of import AsOf

AUTHOR = "Claire de Binare <desk@claire-de-binare.invalid>"
SECOND = 1_000_000_000


class Undone(Exception):
    """It cannot be done; `effects` is what was done before. `final`: to try again would not help."""

    def __init__(self, code: str, reason: str, effects: tuple[Effect, ...], *, final: bool) -> None:
        super().__init__(reason)
        self.code, self.effects, self.final = code, effects, final


class Effects:
    """What a proposal's command does."""

    def __init__(self, settings: Settings, store: JetStreamLog, documents: Documents, forge: Forge) -> None:
        self._settings, self._store, self._documents, self._forge = settings, store, documents, forge

    async def begun(self, proposal: Proposal) -> bool:
        """Is something of it done already, whether or not that was recorded?"""
        command = proposal.draft.command
        if proposal.effects:
            return True
        if isinstance(command, OnTape) and await self._stands(proposal, command.desk):
            return True
        if publication := command.publication:
            branch = publication.branch or await self._documents.main()
            return await self._documents.find(branch, proposal.name) is not None
        return False

    async def _stands(self, proposal: Proposal, desk: str) -> bool:
        """Does the proposal's instruction stand on the tape behind where it was presented?"""
        assert proposal.presented is not None
        tape, wanted = StoredTape(self._store, desk), authority(proposal.name)
        async with aclosing(tape.read(AsOf.parse(proposal.presented.base, desk).tape)) as pages:
            async for page in pages:
                if any(isinstance(message, Instructed) and message.instruction.id == wanted for message in page):
                    return True
        return False

    async def carry_out(self, proposal: Proposal) -> tuple[Effect, ...]:
        """All of it, what stands already included. Raises Undone; Unavailable when something it needs is away."""
        command, done = proposal.draft.command, list[Effect]()
        if isinstance(command, OnTape):
            outcome = await self._instruct(proposal, command)
            if outcome.ledger and not outcome.applied:
                raise Undone("engine_refused", outcome.reason, (), final=True)
            if not outcome.ledger:
                raise Unavailable(f"no engine of desk {command.desk} has decided on it yet: {outcome.reason}")
            done.append(Effect(kind="instruction", reference=outcome.tape))
        if command.publication:
            try:
                await self._publish(proposal, command.publication, done)
            except (Conflict, DirtyTree, InvalidInput) as error:
                final = isinstance(error, InvalidInput) and not done  # what was begun may be ended, once it is mended
                raise Undone("publication", str(error), tuple(done), final=final) from error
        return tuple(done)

    async def _instruct(self, proposal: Proposal, command: OnTape) -> Outcome:
        instruction = instruction_of(command, proposal.name, proposal.draft.actor)
        settings = self._settings.model_copy(update={"desk": command.desk})
        try:
            return await instruct(self._store, command.desk, instruction, halt_latch(settings))
        except InvalidInput as error:
            raise Undone("engine_refused", str(error), (), final=True) from error

    async def _publish(self, proposal: Proposal, publication: Publication, done: list[Effect]) -> None:
        """Commit and offer it; each that stands is put behind `done` at once."""
        branch = publication.branch or await self._documents.main()
        commit = await self._documents.find(branch, proposal.name)
        if commit is None:
            base = await self._documents.tip(branch) or await self._documents.tip() or ""
            await self._refuse_moved(publication, base, tuple(done))
            change = Change(
                branch, base, publication.documents, publication.message, AUTHOR,
                proposal.draft.occurred_at_ns // SECOND, proposal.name,
            )  # fmt: skip
            commit = await self._documents.commit(change)
        done.append(Effect(kind="commit", reference=commit.id))
        if request := publication.pull_request:
            opened = await self._forge.open_pull_request(
                branch, await self._documents.main(), request.title, request.body, proposal.name
            )
            done.append(Effect(kind="pull_request", reference=opened.url))

    async def _refuse_moved(self, publication: Publication, base: str, done: tuple[Effect, ...]) -> None:
        """A document is written whole, so it must be what the new text was made from."""
        for name in publication.documents:
            found = await self._documents.read(name, base)
            if (found.blob if found else "") != publication.before.get(name, ""):
                raise Undone("stale", f"document {name} has changed since this was drafted", done, final=True)
