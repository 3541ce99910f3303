"""The decision gate, attacked: what is refused by which rule, what is recovered, and that nothing reaches an effect
without a signature."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.governance_log import ROOT, GovernanceLog
from adapters.memory import MemoryLog
from adapters.subjects import MESSAGE_ID
from domain import gate
from domain.agents import RoleDefined, RoleRecord, RoleRetired
from domain.approval import Signed, args_hash, encoded
from domain.commands import RecordDecision
from domain.errors import Conflict, InvalidInput, Refused, Unavailable
from domain.governance import DecisionRecorded, Governance, GovernanceChanged
from domain.ports import Append, Log
from domain.proposal import Decision, ProposalApproved, ProposalCleared
from domain.verdicts import hash_of, whole
from ops.effects import Undone
from ops.gatekeeper import Gatekeeper
from ops.verify_governance import prove
from tests import logs
from tests.governing import ENTRY, ENVIRONMENT, START_NS, STOP, Governed, Person, command

HOUR_NS = 3_600 * 10**9


async def code_of(asked: Any) -> str:
    """The rule that refuses."""
    with pytest.raises(Refused) as refused:
        await asked
    return refused.value.code


async def test_a_signed_proposal_is_applied_once_and_stands_for_whoever_reads_the_log() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    assert (receipt.status, receipt.state, desk.effects.asked) == ("pending_decision", "presented", 0)
    applied = await desk.approve(receipt)
    assert (applied.state, desk.effects.done) == ("applied", {receipt.proposal: 1})
    other = desk.again()
    await other.open(ENVIRONMENT)
    assert other.state.proposal(receipt.proposal).state == "applied"
    assert other.state.position == desk.gate.state.position
    assert (await prove(desk.log, "main", [])).findings == []


async def test_a_rejection_is_signed_and_ends_it() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    rejected = await desk.gate.decide(desk.person.verdict(desk.proposal(receipt), START_NS, "rejected", reason="no"))
    assert (rejected.state, desk.effects.asked) == ("rejected", 0)
    assert await code_of(desk.gate.apply(receipt.proposal, desk.actor())) == "invalid_state"
    assert await code_of(desk.approve(receipt)) == "decided"


async def test_what_needs_no_signature_is_cleared_and_done_at_once() -> None:
    desk = await Governed().open(enrolled=False)
    receipt = await desk.draft(**STOP)
    assert (receipt.status, receipt.state, desk.effects.asked) == ("accepted", "applied", 1)


FORGERIES: dict[str, tuple[dict[str, Any], str]] = {
    "for another environment": ({"environment": "live"}, "wrong_environment"),
    "over other arguments": ({"args_sha256": "0" * 64}, "edited"),
    "over another command": ({"command": "resume"}, "edited"),
    "of an earlier presentation": ({"nonce": "f" * 32}, "replayed"),
    "with a later expiry": ({"expires_at_ns": START_NS + 999 * HOUR_NS}, "edited"),
    "under another policy": ({"policy": "v2"}, "other_policy"),
    "on another base": ({"base": "governance:0"}, "stale"),
    "over something else that was shown": ({"shown_sha256": "0" * 64}, "not_shown"),
    "long ago": ({"signed_at_ns": START_NS - HOUR_NS}, "wrong_time"),
    "in the future": ({"signed_at_ns": START_NS + HOUR_NS}, "wrong_time"),
    "by an unknown key's name": ({"key_id": "0" * 16}, "unknown_key"),
}


@pytest.mark.parametrize("forgery", FORGERIES, ids=str)
async def test_an_approval_signed_otherwise_is_refused_by_its_rule_and_changes_nothing(forgery: str) -> None:
    changes, code = FORGERIES[forgery]
    desk = await Governed().open()
    receipt = await desk.draft()
    assert await code_of(desk.approve(receipt, **changes)) == code
    assert desk.proposal(receipt).state == "presented"
    assert desk.effects.asked == 0


async def test_an_approval_that_was_edited_after_signing_is_forged() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    signed = desk.person.verdict(desk.proposal(receipt), START_NS, "rejected")
    turned = Signed(body=signed.body.model_copy(update={"verdict": "approved"}), signature=signed.signature)
    assert await code_of(desk.gate.decide(turned)) == "forged"
    stranger = Person("eve", 9)
    theirs = stranger.verdict(desk.proposal(receipt), START_NS)
    assert await code_of(desk.gate.decide(theirs)) == "unknown_key"
    claimed = Signed(body=theirs.body.model_copy(update={"key_id": desk.person.key_id}), signature=theirs.signature)
    assert await code_of(desk.gate.decide(claimed)) == "forged"
    assert desk.effects.asked == 0


async def test_an_approval_of_one_proposal_opens_no_other_one() -> None:
    desk = await Governed().open()
    first, second = await desk.draft(), await desk.draft(**ENTRY | {"what": "another"})
    signed = desk.person.verdict(desk.proposal(first), START_NS)
    moved = Signed(body=signed.body.model_copy(update={"proposal": second.proposal}), signature=signed.signature)
    assert await code_of(desk.gate.decide(moved)) in ("edited", "replayed")
    await desk.gate.decide(signed)
    assert await code_of(desk.gate.decide(signed)) == "decided"
    assert desk.effects.done == {first.proposal: 1}


async def test_an_expired_proposal_is_approved_by_nobody_and_a_granted_one_is_not_applied_late() -> None:
    desk = await Governed().open()
    receipt, other = await desk.draft(), await desk.draft(**ENTRY | {"what": "another"})
    desk.effects.fails = Unavailable("git is away")
    with pytest.raises(Unavailable):
        await desk.approve(other)
    assert desk.proposal(other).state == "applying"
    third = await desk.draft(**ENTRY | {"what": "of which something was done"})
    with pytest.raises(Unavailable):
        await desk.approve(third)
    desk.effects.done[third.proposal] = 1
    desk.now_ns += 25 * HOUR_NS
    assert await code_of(desk.approve(receipt)) == "expired"
    assert desk.proposal(receipt).pending  # until a sweep records it, and nothing depends on that
    assert receipt.proposal in await desk.gate.sweep()
    assert desk.proposal(receipt).state == "expired"
    desk.effects.fails = None
    await desk.gate.sweep()
    assert desk.proposal(other).state == "failed"  # nothing of it was done in time
    assert desk.proposal(third).state == "applied"  # it was, and is finished


async def test_a_revoked_key_decides_nothing_more_and_what_it_decided_stays_proven() -> None:
    desk = await Governed().open()
    second = Person("ana", 8)
    await desk.gate.enrol(second.enrolment(START_NS, by=desk.person))
    before = await desk.draft()
    await desk.approve(before)
    after = await desk.draft(**ENTRY | {"what": "later"})
    await desk.gate.enrol(second.revocation(desk.person, START_NS))
    assert await code_of(desk.approve(after)) == "revoked"
    found = await prove(desk.log, "main", [])
    assert (found.signatures, found.findings) == (1, [])


async def test_a_base_that_moved_makes_a_signature_stale_and_is_presented_again() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    signed = desk.person.verdict(desk.proposal(receipt), START_NS)
    desk.stands.fields = {"what": "much more now"}
    assert await code_of(desk.gate.decide(signed)) == "stale"
    assert "much more now" in (desk.proposal(receipt).presented.shown)  # type: ignore[union-attr]
    assert await code_of(desk.gate.decide(signed)) in ("stale", "not_shown")
    assert (await desk.approve(receipt)).state == "applied"


async def test_a_base_that_moved_between_approval_and_delivery_applies_nothing() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    desk.effects.fails = Undone("engine_refused", "not now", (), final=False)
    assert await code_of(desk.approve(receipt)) == "engine_refused"
    desk.effects.fails, desk.stands.fields = None, {"what": "much more now"}
    assert await code_of(desk.gate.apply(receipt.proposal, desk.actor())) == "stale"
    assert (desk.proposal(receipt).state, desk.effects.done) == ("failed", {})
    assert await code_of(desk.gate.apply(receipt.proposal, desk.actor())) == "invalid_state"


@pytest.mark.parametrize("name", ["gemini", "copilot", "codex", "nobody-i-know"])
async def test_a_peer_model_and_a_stranger_command_nothing(name: str) -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    actor = desk.actor(name)
    refusals = [
        await code_of(desk.gate.draft(gate.Draft(command=command(), reason="let me"), actor)),
        await code_of(desk.gate.withdraw(receipt.proposal, actor, "no")),
    ]
    await desk.approve(receipt)
    refusals.append(await code_of(desk.gate.apply((await desk.draft(**ENTRY | {"what": "b"})).proposal, actor)))
    assert set(refusals) <= {"not_permitted", "unknown_role"}


async def test_only_a_session_lead_takes_on_another_role_and_never_a_peers() -> None:
    desk = await Governed().open()
    assert desk.actor("session-lead", "risk-architect").role.name == "risk-architect"  # type: ignore[union-attr]
    for name, role in (("risk-architect", "session-lead"), ("session-lead", "gemini"), ("gemini", "risk-architect")):
        with pytest.raises(Refused) as refused:
            desk.actor(name, role)
        assert refused.value.code == "not_permitted"


async def test_pending_proposals_of_an_agent_are_capped_and_a_repeated_one_is_the_one_that_waits() -> None:
    desk = await Governed().open()
    first = await desk.draft()
    again = await desk.draft("risk-architect")
    assert (again.status, again.proposal) == ("duplicate", first.proposal)
    for number in range(4):
        await desk.draft(**ENTRY | {"what": f"number {number}"})
    assert await code_of(desk.draft(**ENTRY | {"what": "one too many"})) == "too_many_pending"
    await desk.draft("risk-architect", **ENTRY | {"what": "of another agent"})


async def test_of_two_writers_one_decides() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    other = desk.again()
    await other.open(ENVIRONMENT)
    await desk.approve(receipt)
    rejected = desk.person.verdict(other.state.proposal(receipt.proposal), START_NS, "rejected")
    with pytest.raises((Refused, Conflict)):
        await other.decide(rejected)
    assert other.state.proposal(receipt.proposal).state == "applied"


class Dying(logs.Wrapped):
    """A log whose process dies before or behind its n-th append."""

    def __init__(self, log: Log, appends: int, *, behind: bool) -> None:
        super().__init__(log)
        self.appends, self.behind = appends, behind

    async def append_batch(self, messages: Any) -> int:
        self.appends -= 1
        if self.appends == 0 and not self.behind:
            raise KeyboardInterrupt
        sequence = await self.log.append_batch(messages)
        if self.appends == 0:
            raise KeyboardInterrupt
        return sequence


async def drafted_and_decided(by: Gatekeeper, draft: gate.Draft, desk: Governed) -> None:
    receipt = await by.draft(draft, desk.actor())
    await by.decide(desk.person.verdict(by.state.proposal(receipt.proposal), START_NS))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("append", range(1, 5))
async def test_a_process_that_dies_anywhere_leaves_what_the_next_one_finishes_once(append: int, behind: bool) -> None:
    desk = await Governed().open()
    dying = desk.again(Dying(desk.log, append, behind=behind))
    await dying.open(ENVIRONMENT)
    draft = gate.Draft(command=command(), reason="it is time")
    with pytest.raises(KeyboardInterrupt):
        await drafted_and_decided(dying, draft, desk)
    living = desk.gate = desk.again()
    await living.open(ENVIRONMENT)
    await living.sweep()
    receipt = await living.draft(draft, desk.actor())
    if living.state.proposal(receipt.proposal).pending:
        await desk.approve(receipt)
    applied = [name for name, proposal in living.state.proposals.items() if proposal.state == "applied"]
    assert {*applied} >= {receipt.proposal} or receipt.proposal not in desk.effects.done
    assert desk.effects.done == {name: number for number, name in enumerate(applied, 1)}
    assert (await prove(desk.log, "main", [])).findings == []


async def tampered(desk: Governed, kind: str, change: Any) -> Log:
    """A copy of a log in which the one event of a type says something else."""
    copy = MemoryLog()
    for message in await logs.stored(desk.log, f"{ROOT}.>"):
        data = message.data
        if message.headers["Topic"].split(",")[0] == kind:
            content = json.loads(data)
            change(content)
            data = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
        last = await copy.last(message.subject)
        await copy.append(Append(message.subject, data, message.headers, last.sequence if last else 0))
    return copy


TAMPERINGS: dict[str, tuple[str, Any, str]] = {
    "the verdict's signature": (
        "proposal_approved", lambda said: said["signed"].update(signature=encoded(bytes(64))), "forged",
    ),
    "the signed reason": (
        "proposal_approved", lambda said: said["signed"]["body"].update(reason="of course"), "forged",
    ),
    "the verdict's key": (
        "proposal_approved", lambda said: said["signed"]["body"].update(key_id="0" * 16), "unknown_key",
    ),
    "the recorded time, behind the expiry": (
        "proposal_approved", lambda said: said.update(occurred_at_ns=START_NS + 99 * HOUR_NS), "expired",
    ),
    "the approver's key": (
        "approver_enrolled", lambda said: said.update(public_key=encoded(Person("eve", 9).public)), "other_key",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERINGS, ids=str)
async def test_verify_names_what_was_tampered_with(what: str) -> None:
    kind, change, code = TAMPERINGS[what]
    desk = await Governed().open()
    await desk.approve(await desk.draft())
    assert (await prove(desk.log, "main", [])).findings == []
    found = await prove(await tampered(desk, kind, change), "main", [])
    assert code in {finding.code for finding in found.findings}, found.findings


async def forged(desk: Governed, event: Any) -> Gatekeeper:
    """Whoever could write to the stream, past every handler, stored this; the process that folds it."""
    await GovernanceLog(desk.log).append([event])
    other = desk.again()
    await other.open(ENVIRONMENT)
    await other.sweep()
    return other


async def test_a_verdict_that_nobody_signed_is_believed_by_nobody() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    eve = Person("eve", 9).verdict(desk.proposal(receipt), START_NS)
    for event in (
        Decision.empty(receipt.proposal).happen(ProposalApproved, START_NS, "eve", signed=eve),
        Decision.empty(receipt.proposal).happen(ProposalCleared, START_NS, "gate"),
    ):
        copy = Governed(await tampered(desk, "nothing", None))
        copy.effects = desk.effects
        other = await forged(copy, event)
        assert other.state.proposal(receipt.proposal).pending
        assert len((await prove(copy.log, "main", [])).findings) == 1
    assert desk.effects.asked == 0


async def test_what_no_proposal_granted_changes_neither_roles_nor_governance() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    lead = desk.actor().role
    assert lead is not None
    wide = desk.gate.state.policy.model_copy(update={"order_notional_max_nanos": None, "version": 2})
    for event in (
        RoleRecord.empty("gemini").happen(
            RoleDefined, START_NS, "eve", role=lead.model_copy(update={"name": "gemini"}), proposal=receipt.proposal
        ),
        RoleRecord.empty("risk-architect").happen(RoleRetired, START_NS, "eve", reason="x", proposal=receipt.proposal),
        deepcopy(desk.gate.state.constitution).happen(
            GovernanceChanged, START_NS, "eve", policy=wide, proposal=receipt.proposal
        ),
        deepcopy(desk.gate.state.constitution).happen(
            DecisionRecorded, START_NS, "eve", what="x", context="", reference="", proposal=receipt.proposal
        ),
    ):
        copy = Governed(await tampered(desk, "nothing", None))
        other = await forged(copy, event)
        assert other.state.active_roles() == desk.gate.state.active_roles()
        assert other.state.policy == desk.gate.state.policy
        assert [found.code for found in (await prove(copy.log, "main", [])).findings] == ["unsigned"]


async def test_what_was_begun_and_not_done_is_not_done_on_another_base() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    desk.effects.fails = Unavailable("the engine is away")
    with pytest.raises(Unavailable):
        await desk.approve(receipt)
    desk.effects.fails, desk.stands.fields = None, {"what": "much more now"}
    await desk.gate.sweep()
    assert (desk.proposal(receipt).state, desk.effects.done) == ("failed", {})


async def test_a_process_that_missed_a_revocation_takes_no_verdict_of_that_key() -> None:
    desk = await Governed().open()
    second, late = Person("ana", 8), desk.again()
    await late.open(ENVIRONMENT)
    receipt = await desk.draft()
    await desk.gate.enrol(second.enrolment(START_NS, by=desk.person))
    await desk.gate.enrol(second.revocation(desk.person, START_NS))
    assert await code_of(late.decide(desk.person.verdict(desk.proposal(receipt), START_NS))) == "revoked"


async def test_a_rollback_is_the_one_that_was_approved_and_says_so() -> None:
    desk = await Governed().open()
    back = command(**ENTRY | {"what": "as it was"})
    draft = gate.Draft(command=command(), reason="it is time", rollback=back)
    first = await desk.gate.draft(draft, desk.actor())
    await desk.approve(first)
    other = gate.Draft(command=command(**STOP), reason="back", rolls_back=first.proposal)
    assert await code_of(desk.gate.draft(other, desk.actor())) == "edited"
    undo = await desk.gate.draft(gate.Draft(command=back, reason="back", rolls_back=first.proposal), desk.actor())
    presented = desk.proposal(undo).presented
    assert presented is not None
    assert f"proposal {first.proposal}" in presented.shown
    await desk.approve(undo)
    assert desk.proposal(first).state == "rolled_back"


async def test_a_proposal_of_an_older_governance_policy_stands_in_nobodys_way() -> None:
    desk = await Governed().open()
    old = await desk.draft()
    policy = desk.gate.state.policy.model_copy(update={"version": 2, "pending_max_per_agent": 3})
    change = {"name": "change_governance", "policy": policy.model_dump(mode="json")}
    await desk.approve(await desk.draft("risk-architect", **change))
    assert await code_of(desk.approve(old)) == "stale"
    new = await desk.draft()
    assert (new.status, new.proposal != old.proposal) == ("pending_decision", True)
    assert (await desk.approve(new)).state == "applied"
    assert await code_of(desk.gate.refuse_moved(old.proposal)) == "stale"
    assert desk.proposal(old).state == "withdrawn"


def test_a_field_that_a_later_build_knows_changes_no_hash_of_what_was_said_before() -> None:
    class Later(RecordDecision):
        weight: int = 3

    said = whole(command())
    again = Later.model_validate_json(said.model_dump_json())
    assert args_hash(again.model_dump(mode="json", exclude_unset=True)) == hash_of(said)
    assert hash_of(said) == args_hash(said.model_dump(mode="json"))


async def test_verify_names_a_message_that_is_no_event_of_governance() -> None:
    desk = await Governed().open()
    await desk.log.append(Append(f"{ROOT}.decision.p-1", b"approved, trust me", {}, 0))
    await desk.log.append(Append(f"{ROOT}.workflow.x", b"{}", {"Topic": "run_started", "First": "1", "Count": "1"}, 0))
    found = await prove(desk.log, "main", [])
    assert [finding.code for finding in found.findings] == ["unreadable", "unreadable"]
    other = desk.again()
    await other.open(ENVIRONMENT)  # and nobody is kept from going on
    assert other.state.environment == ENVIRONMENT


ACTORS = ("session-lead", "risk-architect", "strategy-engineer", "gemini", "somebody")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["draft", "apply", "withdraw", "sweep", "forge"]), st.sampled_from(ACTORS), st.integers(0, 3)
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
async def test_no_sequence_of_an_agents_commands_reaches_an_effect(steps: list[tuple[str, str, int]]) -> None:
    desk = await Governed().open()
    stranger = Person("eve", 9)
    for step, name, which in steps:
        names = [*desk.gate.state.proposals]
        picked = names[which % len(names)] if names else "p-none"
        try:
            match step:
                case "draft":
                    await desk.draft(name, **ENTRY | {"what": f"number {which}"})
                case "apply":
                    await desk.gate.apply(picked, desk.actor(name))
                case "withdraw":
                    await desk.gate.withdraw(picked, desk.actor(name), "no")
                case "forge":
                    await desk.gate.decide(stranger.verdict(desk.gate.state.proposal(picked), START_NS))
                case _:
                    await desk.gate.sweep()
        except Refused:
            pass
    assert desk.effects.asked == 0
    assert not [found for found in desk.gate.state.proposals.values() if found.state in ("approved", "applied")]


def test_an_empty_state_refuses_to_be_asked() -> None:
    with pytest.raises(Refused, match="not begun"):
        _ = Governance().policy


async def test_only_the_way_back_that_a_proposal_named_rolls_it_back() -> None:
    desk = await Governed().open()
    back = command(**ENTRY | {"what": "We trade all sessions again."})
    draft = gate.Draft(command=command(), reason="it is time", rollback=back)
    applied = await desk.gate.draft(draft, desk.actor())
    await desk.approve(applied)
    other = gate.Draft(command=command(**ENTRY | {"what": "x"}), reason="no", rolls_back=applied.proposal)
    assert await code_of(desk.gate.draft(other, desk.actor())) == "edited"
    undo = gate.Draft(command=back, reason="no", rolls_back=applied.proposal)
    await desk.approve(await desk.gate.draft(undo, desk.actor()))
    assert desk.proposal(applied).state == "rolled_back"
    assert await code_of(desk.gate.draft(undo, desk.actor())) == "invalid_state"


async def test_what_is_impossible_by_now_is_shown_as_it_was_and_rejected_but_not_approved() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    shown = desk.proposal(receipt).presented
    desk.stands.fails = InvalidInput("desk main is not halted")
    assert (await desk.gate.present(receipt.proposal)).presented == shown
    with pytest.raises(InvalidInput):
        await desk.approve(receipt)
    assert desk.proposal(receipt).pending
    assert (await desk.approve(receipt, verdict="rejected", reason="no")).state == "rejected"


async def test_what_was_approved_and_is_impossible_by_now_fails_once_and_for_all() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    desk.effects.fails = Unavailable("the engine is away")
    with pytest.raises(Unavailable):
        await desk.approve(receipt)
    desk.effects.fails, desk.stands.fails = None, InvalidInput("desk main is not halted")
    assert await desk.gate.sweep() == [receipt.proposal]
    failed = desk.proposal(receipt).failed
    assert failed
    assert (failed.code, failed.final, failed.reason) == ("impossible", True, "desk main is not halted")
    assert await desk.gate.sweep() == []


async def test_what_expired_is_told_so_before_anything_is_gathered_for_it() -> None:
    desk = await Governed().open()
    waiting, granted = await desk.draft(), await desk.draft(**ENTRY | {"what": "another"})
    desk.effects.fails = Unavailable("the engine is away")
    with pytest.raises(Unavailable):
        await desk.approve(granted)
    desk.stands.fails = Unavailable("the tape is away")
    desk.now_ns += 25 * HOUR_NS
    assert await code_of(desk.approve(waiting)) == "expired"
    assert await code_of(desk.gate.apply(granted.proposal, desk.actor())) == "expired"
    assert desk.proposal(granted).state == "failed"


async def test_who_approved_is_told_to_go_on_only_with_a_run_that_there_is() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    approved = deepcopy(desk.proposal(receipt))
    approved.state = "approved"
    assert "cdb workflow go" not in desk.gate._receipt(approved).next_step


async def test_what_a_stranger_wrote_keeps_nobody_from_writing_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    desk = await Governed().open()
    waits, spoiled = await desk.draft(), await desk.draft(**ENTRY | {"what": "b"})
    lead = desk.actor().role
    assert lead is not None
    strange = lead.model_copy(update={"name": "codex", "level": 1})
    for event in (
        RoleRecord.empty("codex").happen(RoleDefined, START_NS, "eve", role=strange, proposal=waits.proposal),
        Decision.empty(waits.proposal).happen(ProposalCleared, START_NS, "eve"),
    ):
        await GovernanceLog(desk.log).append([event])
    await desk.log.append(Append(f"{ROOT}.decision.{spoiled.proposal}", b"approved, trust me", {}, 0))
    role = await desk.draft(name="define_role", role={"name": "codex", "level": 2, "purpose": "a second opinion"})
    for receipt in (waits, role):
        assert (await desk.approve(receipt)).state == "applied"
    assert desk.actor("codex").level == 2
    third = await desk.draft(**ENTRY | {"what": "c"})
    desk.now_ns = START_NS + 99 * HOUR_NS
    assert await desk.gate.sweep() == [third.proposal]  # the spoiled one, which is older, keeps it from nothing
    await desk.gate.sweep()
    other = desk.again()
    await other.open(ENVIRONMENT)
    assert {name: found.state for name, found in other.state.proposals.items()} == {
        name: found.state for name, found in desk.gate.state.proposals.items()
    }
    about = [line for line in caplog.messages if "is no decision of governance" in line]
    assert len(about) == 2 * 3  # each of the three, once by each of the two processes


async def test_an_event_that_bears_a_version_again_is_written_behind_too() -> None:
    desk = await Governed().open()
    receipt = await desk.draft()
    founded = await desk.log.last(f"{ROOT}.constitution.main")
    assert founded is not None
    await desk.log.append(Append(founded.subject, founded.data, {**founded.headers, MESSAGE_ID: "x"}, founded.sequence))
    with pytest.raises(Conflict):  # the store goes by what it knew
        await desk.approve(receipt)
    await desk.gate.sweep()
    assert desk.proposal(receipt).state == "applied"
