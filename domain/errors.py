"""How a caller can be wrong: every error names the thing, the value and the next step."""


class DeskError(Exception):
    """The root: something a person can mend. The command line prints it as one line and exits with `exit_code`."""

    exit_code = 2


class InvalidInput(DeskError):
    """A file, a parameter or a name is not what it must be."""


class UnknownInstrument(InvalidInput):
    """A symbol has no instrument definition."""


class UnknownStrategy(InvalidInput):
    """No signal handler is registered under this name and version."""


class UnknownFormat(InvalidInput):
    """A file's format was not recognised, or a line is not of the format it should have."""


class IllegalTransition(InvalidInput):
    """An order was asked to enter a state that may not follow its own."""


class Overlap(DeskError):
    """Rows reach before the end of the tape they should extend."""

    exit_code = 3


class Conflict(DeskError):
    """Another writer was first: the expected last sequence of a subject does not hold. Reload and decide again."""

    exit_code = 4


class NotDurable(DeskError):
    """The server would acknowledge what is not on disk."""

    exit_code = 5


class Unavailable(DeskError):
    """A server could not be reached within the retry budget."""

    exit_code = 6


class TapeBroken(DeskError):
    """The tape itself is not whole: an ordinal is missing or a record cannot be read."""

    exit_code = 7


class Diverged(DeskError):
    """The ledger holds something else than this engine computes from the same tape."""

    exit_code = 1

    def __init__(self, number: int, position: str, recorded: str | None, recomputed: str | None) -> None:
        super().__init__(
            f"ledger event {number} at {position} diverges: recorded {recorded}, recomputed {recomputed}; "
            "nothing was appended. Run `cdb verify` and compare engine versions."
        )
        self.number, self.position, self.recorded, self.recomputed = number, position, recorded, recomputed


class Refused(DeskError):
    """Governance says no. `code` is the rule in one word, as programs read it and as it is recorded.

    Of signatures: forged, unknown_key, other_key, revoked, weak_key, edited, other_proposal, other_policy, stale,
    not_shown, replayed, wrong_environment, wrong_time, expired; of approvers also not_first, already_enrolled,
    last_approver; of commands: not_permitted, unknown_role, decided, invalid_state, too_many_pending, and others.
    """

    exit_code = 8

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
