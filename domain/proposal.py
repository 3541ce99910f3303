"""A proposal: exactly what shall be done, by whom and why, and what became of it.

drafted -> presented -> approved | rejected | expired | withdrawn | cleared; approved | cleared -> applying -> applied |
failed -> rolled back. The verdict is an aggregate of its own, so that permissions can tell it from the proposal: of one
proposal it has one event, and whoever comes first decides. `cleared` is the verdict by rule: nothing in the command
needs a signature.
"""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.aggregate import Aggregate, Event
from domain.approval import Signed
from domain.commands import Command
from domain.errors import Refused
from domain.policy import Policy

State = Literal[
    "empty", "drafted", "presented", "approved", "rejected", "expired", "withdrawn", "cleared", "applying", "applied",
    "failed", "rolled_back",
]  # fmt: skip

PENDING: frozenset[State] = frozenset({"drafted", "presented"})
GRANTED: frozenset[State] = frozenset({"approved", "cleared"})
_MAY_APPLY = GRANTED | {"applying", "failed"}


class StrategyBefore(BaseModel):
    """A strategy as it stood on a desk's tape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    parameters: dict[str, object]
    symbols: tuple[str, ...]


class Before(BaseModel):
    """What stood as a command was presented, of all that says whether it needs a signature. None: there was none, or
    it is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Policy | None = None
    strategy: StrategyBefore | None = None
    halts: tuple[str, ...] = Field((), description="why the desk is halted, one sentence a halt")
    documents: dict[str, str] = Field(default_factory=dict, description="blob hash by document, '' where there is none")
    price_nanos: int | None = Field(None, description="of an order's unit, in quote currency")
    rate_nanos: int | None = Field(None, description="account money for one of the quote currency")
    equity_nanos: int | None = None


class Effect(BaseModel):
    """One thing that was done: `instruction` tape:12, `commit` its hash, `pull_request` its address, `event` its
    subject."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["instruction", "commit", "pull_request", "event"]
    reference: str = Field(max_length=500)


class Shown(NamedTuple):
    """What a person sees before deciding: rendered from the command and what stood before, never from the agent's
    words."""

    text: str
    sha256: str


# -- events --------------------------------------------------------------------------------------------------------


class ProposalDrafted(Event):
    """`command` whole, and its canonical hash. `reason` and `effects` are the actor's own words; `widens` is what the
    desk found that needs a signature (nothing: it is cleared by rule). `taint`: the run read text of strangers."""

    type: Literal["proposal_drafted"] = "proposal_drafted"
    level: int = Field(ge=0, le=3)
    role: str = ""
    run: str = ""
    command: Command
    args_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    reason: str = Field(min_length=1, max_length=4_000)
    effects: tuple[str, ...] = Field((), max_length=30)
    rollback: Command | None = None
    rolls_back: str = ""
    widens: tuple[str, ...]
    policy_version: int = Field(ge=1, lt=2**63)
    environment: str = Field(min_length=1, max_length=64)
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    expires_at_ns: int = Field(ge=0, lt=2**63)
    taint: bool = False

    def apply(self, aggregate: "Proposal") -> None:
        aggregate.drafted, aggregate.state = self, "drafted"


class ProposalPresented(Event):
    """What is shown for it, at which moment. Presented again, the newer one counts."""

    type: Literal["proposal_presented"] = "proposal_presented"
    base: str = Field(description="the as_of token of what it was based on")
    before: Before
    shown: str
    shown_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    def apply(self, aggregate: "Proposal") -> None:
        aggregate.presented = self
        if aggregate.state == "drafted":
            aggregate.state = "presented"


class ProposalApplying(Event):
    """The desk begins to do it; done twice, each effect is found and not repeated."""

    type: Literal["proposal_applying"] = "proposal_applying"
    attempt: int = Field(ge=1, lt=2**63)

    def apply(self, aggregate: "Proposal") -> None:
        aggregate.state, aggregate.attempts = "applying", self.attempt


class ProposalApplied(Event):
    """All of it is done."""

    type: Literal["proposal_applied"] = "proposal_applied"
    effects: tuple[Effect, ...]

    def apply(self, aggregate: "Proposal") -> None:
        aggregate.state, aggregate.effects = "applied", self.effects


class ProposalFailed(Event):
    """It could not be done; `effects` is what was done before. `final`: to try again would not help."""

    type: Literal["proposal_failed"] = "proposal_failed"
    code: str
    reason: str = Field(max_length=2_000)
    effects: tuple[Effect, ...] = ()
    final: bool = False

    def apply(self, aggregate: "Proposal") -> None:
        aggregate.state, aggregate.effects, aggregate.failed = "failed", self.effects, self


class ProposalRolledBack(Event):
    """Another proposal, which was approved too, undid it."""

    type: Literal["proposal_rolled_back"] = "proposal_rolled_back"
    by: str

    def apply(self, aggregate: "Proposal") -> None:
        aggregate.state = "rolled_back"


class ProposalApproved(Event):
    """A person decided, with a signature over exactly what will be done."""

    type: Literal["proposal_approved"] = "proposal_approved"
    signed: Signed

    def apply(self, aggregate: "Decision") -> None:
        aggregate.verdict = self


class ProposalRejected(Event):
    """A person decided against it, with a signature too; the reason is in what was signed."""

    type: Literal["proposal_rejected"] = "proposal_rejected"
    signed: Signed

    def apply(self, aggregate: "Decision") -> None:
        aggregate.verdict = self


class ProposalExpired(Event):
    """Nobody decided in time."""

    type: Literal["proposal_expired"] = "proposal_expired"

    def apply(self, aggregate: "Decision") -> None:
        aggregate.verdict = self


class ProposalWithdrawn(Event):
    """Who drafted it does not want it any more, or the desk found it can no longer be what was drafted."""

    type: Literal["proposal_withdrawn"] = "proposal_withdrawn"
    reason: str = Field(min_length=1, max_length=500)

    def apply(self, aggregate: "Decision") -> None:
        aggregate.verdict = self


class ProposalCleared(Event):
    """Nothing in it needs a signature."""

    type: Literal["proposal_cleared"] = "proposal_cleared"

    def apply(self, aggregate: "Decision") -> None:
        aggregate.verdict = self


Verdict = ProposalApproved | ProposalRejected | ProposalExpired | ProposalWithdrawn | ProposalCleared

_STATES: dict[str, State] = {
    "proposal_approved": "approved",
    "proposal_rejected": "rejected",
    "proposal_expired": "expired",
    "proposal_withdrawn": "withdrawn",
    "proposal_cleared": "cleared",
}


class Decision(Aggregate):
    """The verdict on a proposal: one event at the most."""

    category = "decision"

    def begin(self) -> None:
        self.verdict: Verdict | None = None


class Proposal(Aggregate):
    """A proposal as its events and its verdict say."""

    category = "proposal"

    def begin(self) -> None:
        self.state: State = "empty"
        self.drafted: ProposalDrafted | None = None
        self.presented: ProposalPresented | None = None
        self.verdict: Verdict | None = None
        self.failed: ProposalFailed | None = None
        self.effects: tuple[Effect, ...] = ()
        self.attempts = 0

    @property
    def draft(self) -> ProposalDrafted:
        """What was drafted; every proposal that is on the log has it."""
        assert self.drafted is not None
        return self.drafted

    @property
    def pending(self) -> bool:
        """Does it wait for a verdict?"""
        return self.state in PENDING

    @property
    def begun(self) -> bool:
        """Was some of it done, or may it have been?"""
        return bool(self.effects) or self.state == "applying"

    def expired(self, now_ns: int) -> bool:
        """Is its time over, whether or not that was recorded?"""
        return now_ns >= self.draft.expires_at_ns

    def decided(self, verdict: Verdict) -> None:
        """Fold the verdict; a second one cannot be."""
        if self.verdict is None:
            self.verdict = verdict
            if self.pending:
                self.state = _STATES[verdict.type]

    def refuse_decided(self) -> None:
        """Raises Refused when there is a verdict already."""
        if self.verdict is not None:
            raise Refused(
                "decided",
                f"proposal {self.name} is {self.state} already; a verdict stands once. Draft it again if it is still "
                "wanted",
            )

    def refuse_not_delivered(self) -> None:
        """Raises Refused unless it may be delivered, or is."""
        if self.state != "applied":
            self.refuse_not_granted()

    def refuse_not_granted(self) -> None:
        """Raises Refused unless it was approved, or cleared, and is not done yet."""
        granted = isinstance(self.verdict, ProposalApproved | ProposalCleared)
        if (
            not granted
            or self.state not in _MAY_APPLY
            or (self.failed and self.failed.final and self.state == "failed")
        ):
            raise Refused(
                "invalid_state",
                f"proposal {self.name} is {self.state}, only an approved one is applied; `cdb show {self.name}` says "
                "what is next",
            )
