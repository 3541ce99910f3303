"""Who may say what on NATS: the accounts, users, exports and imports of the server, in one place.

The wall stands between the two accounts: what an agent may ask for is imported by name, nothing else of the desk's
exists for it, not even JetStream. Inside the desk's account the permissions of `desk` keep its services from speaking
for the gate by mistake. They hold JetStream's API, by which a server can be made to deliver stored bytes to any subject
of its account: so a verdict is believed for its signature alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters import subjects

DESK = "desk"  # every service of the desk but one, and the operator's command line
GOVERNANCE = "governance"  # the governance service
AGENT = "agent"  # agents, by their gateway

DESK_ACCOUNT, AGENTS_ACCOUNT = "DESK", "AGENTS"

GOVERNED = ("agent", "approver", "constitution", "decision", "proposal", "workflow")  # categories of GOVERNANCE
GATED_INSTRUCTIONS = (
    "account_opened",
    "policy_activated",
    "strategy_activated",
    "strategy_deactivated",
    "trading_resumed",
)
AGENT_COMMANDS = ("apply", "ask", "cancel", "draft", "heartbeat", "order", "record", "run", "withdraw")
HALT = "cmd.tape.*.trading_halted"  # never gated


@dataclass(frozen=True)
class User:
    """A user and its limits; without any it may say and hear everything of its account."""

    name: str
    may_publish: tuple[str, ...] = ()
    may_not_publish: tuple[str, ...] = ()
    may_subscribe: tuple[str, ...] = ()

    def rendered(self, password: str) -> dict[str, Any]:
        publish = {"allow": list(self.may_publish), "deny": list(self.may_not_publish)}
        limits = {"publish": publish, "subscribe": {"allow": list(self.may_subscribe)}}
        kept = {way: {kind: names for kind, names in rules.items() if names} for way, rules in limits.items()}
        permissions = {way: rules for way, rules in kept.items() if rules}
        return {"user": self.name, "password": password} | ({"permissions": permissions} if permissions else {})


@dataclass(frozen=True)
class Service:
    """A subject that agents may send requests to, and the one where such a request arrives in the desk's account."""

    asked: str
    arrives: str


USERS_OF_THE_DESK = (
    User(
        DESK,
        may_not_publish=(
            *(f"governance.{category}.>" for category in GOVERNED),
            *(f"cmd.tape.*.{kind}" for kind in GATED_INSTRUCTIONS),
        ),
    ),
    User(GOVERNANCE),
)
SERVICES = (
    *(
        # The token `agent` tells the governance service by whose credentials a command came.
        Service(subjects.command("governance", name), subjects.command("governance", name, AGENT))
        for name in AGENT_COMMANDS
    ),
    Service(HALT, HALT),
)
USERS_OF_AGENTS = (User(AGENT, may_publish=tuple(service.asked for service in SERVICES), may_subscribe=("_INBOX.>",)),)
USERS = tuple(user.name for user in (*USERS_OF_THE_DESK, *USERS_OF_AGENTS))


def accounts(passwords: Mapping[str, str]) -> dict[str, Any]:
    """The block `accounts` of nats-server's configuration; `passwords` by user."""
    return {
        DESK_ACCOUNT: {
            "jetstream": "enabled",
            "users": [user.rendered(passwords[user.name]) for user in USERS_OF_THE_DESK],
            "exports": [{"service": service.arrives, "accounts": [AGENTS_ACCOUNT]} for service in SERVICES],
        },
        AGENTS_ACCOUNT: {
            "users": [user.rendered(passwords[user.name]) for user in USERS_OF_AGENTS],
            "imports": [
                {"service": {"account": DESK_ACCOUNT, "subject": service.arrives}}
                | ({} if service.asked == service.arrives else {"to": service.asked})
                for service in SERVICES
            ],
        },
    }
