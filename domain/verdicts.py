"""What a signed verdict must answer. It is judged when it is handed in, when it is folded, and in every replay, each
time by what stood before it."""

from domain.approval import Question, Signed, args_hash, check_answer, verify
from domain.approvers import Approvers
from domain.commands import COMMAND, Command
from domain.proposal import ProposalDrafted, ProposalPresented


def whole(command: Command) -> Command:
    """The command with every field said, as it will be stored."""
    return COMMAND.validate_json(command.model_dump_json())


def hash_of(command: Command) -> str:
    """The canonical hash of a `whole` command, or of a stored one: what was said of it, so that a field which a later
    build knows, and it did not, changes nothing."""
    return args_hash(command.model_dump(mode="json", exclude_unset=True))


def question_of(draft: ProposalDrafted, presented: ProposalPresented) -> Question:
    """What is asked of a person: the proposal as it was presented last."""
    return Question(
        proposal=draft.name, command=draft.command.name, args_sha256=hash_of(draft.command),
        policy=f"v{draft.policy_version}", base=presented.base, shown_sha256=presented.shown_sha256,
        environment=draft.environment, nonce=draft.nonce, expires_at_ns=draft.expires_at_ns,
    )  # fmt: skip


def refuse_unfounded(
    signed: Signed,
    draft: ProposalDrafted,
    presented: ProposalPresented,
    approvers: Approvers,
    position: int,
    at_ns: int,
) -> None:
    """Raises Refused unless this answers the proposal as it was presented, in time, by a key that was enrolled at a
    position of the stream."""
    check_answer(signed.body, question_of(draft, presented), at_ns)
    verify(signed, approvers.key(signed.body.key_id, position))
