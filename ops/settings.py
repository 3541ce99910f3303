"""Every setting of the desk: a `CDB_` variable of the environment or an option of `cdb`, each with what it means.

The option wins over the variable, the variable over the default. A wrong or unknown one is refused in one line.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import platformdirs
from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from adapters.breaker import BOUNDS
from domain.errors import InvalidInput
from ops.listening import Listening
from ops.recovery import RecoveryTable

PREFIX = "CDB_"
SECRET = re.compile(r"(?<=://)\S*(?=@)|(?<=password=)[^&\s]*")


def _loopback(host: str) -> str:
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ValueError("it is not a loopback address")


def _desk(name: str) -> str:
    if name == "tape":
        raise ValueError("tape:123 is a place on the tape of every desk")
    return name


def _recoverable(changes: str) -> str:
    try:
        RecoveryTable.changed(changes)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return changes


def _port(default: int, service: str) -> int:
    port: int = Field(
        default=default, ge=1, le=65535, description=f"Port of /health and /ready of {service}, 1 to 65535."
    )
    return port


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, validate_default=True)

    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default=platformdirs.user_data_path("claire-de-binare", appauthor=False),
        description="Folder of everything the embedded servers keep; created for its owner only.",
    )
    desk: Annotated[str, AfterValidator(_desk)] = Field(
        default="main",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="Name of the desk: up to 32 lower-case letters, digits, '-' and '_'.",
    )
    environment: str = Field(
        default="local",
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="Name of this installation; an approval that was signed for another one is refused.",
    )
    approver_key: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default=platformdirs.user_config_path("claire-de-binare", appauthor=False) / "approver.key",
        description="File of the key that this person decides with; keep it where no agent runs.",
    )
    nats_url: str | None = Field(
        default=None,
        pattern=r"^(nats|tls)://[^\s/]+$",
        description="nats://host:port (or tls://) of a running NATS server; without it `cdb` starts one of its own.",
    )
    governance_nats_url: str | None = Field(
        default=None,
        pattern=r"^(nats|tls)://[^\s/]+$",
        description="That server's address with the user of the governance service; without it CDB_NATS_URL is used.",
    )
    nats_monitor_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+$",
        description="http://host:port of that server's monitoring: start-up reads there whether it fsyncs every write.",
    )
    postgres_dsn: str | None = Field(
        default=None,
        pattern=r"^postgres(ql)?://\S+$",
        description="postgresql://user:password@host:port/database; without it `cdb` starts one when it needs it.",
    )
    allow_memory_only: bool = Field(
        default=False,
        description="Accept a NATS server that acknowledges before data is on disk (true, false): for tests only.",
    )
    retry_budget_seconds: float = Field(
        default=15.0,
        ge=10,
        le=3600,
        description="How long a server may be away before `cdb` gives up, 10 to 3600 seconds.",
    )
    host: Annotated[str, AfterValidator(_loopback)] = Field(
        default="127.0.0.1",
        description="Loopback address that the services listen on, 127.0.0.1 or ::1.",
    )
    ws_port: int = _port(8000, "the feeds and the sequencer")
    core_port: int = _port(8001, "the engine")
    risk_port: int = _port(8002, "the engine's risk stage")
    execution_port: int = _port(8003, "the engine's execution stage")
    projector_port: int = _port(8004, "the projector, which writes the read models")
    governance_port: int = _port(8005, "governance, the decision gate")
    api_port: int = Field(
        default=8080, ge=1, le=65535, description="Port of the HTTP API and of the dashboard, 1 to 65535."
    )
    api_host: str = Field(
        default="127.0.0.1",
        pattern=r"^[A-Za-z0-9.:-]{1,253}$",
        description="Address of the HTTP API; one that other machines reach needs TLS, or a proxy that ends it.",
    )
    api_names: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9.,-]*$",
        description="Names beside its address that the API is called by, comma-separated; others are refused.",
    )
    api_certificate: Path | None = Field(
        default=None, description="File of the certificate (PEM) that the HTTP API serves TLS with."
    )
    api_key: Path | None = Field(default=None, description="File of that certificate's key (PEM).")
    api_proxy: str = Field(
        default="",
        pattern=r"^[0-9A-Fa-f.:,/]*$",
        description="Addresses of a proxy that ends TLS before the HTTP API, comma-separated.",
    )
    breaker_failures: int = Field(
        default=5,
        ge=BOUNDS["failures"][0],
        le=BOUNDS["failures"][1],
        description="Failures in a row after which a server is no longer asked, 1 to 100; nothing switches this off.",
    )
    breaker_open_seconds: float = Field(
        default=30.0,
        ge=BOUNDS["open_seconds"][0],
        le=BOUNDS["open_seconds"][1],
        description="How long such a server is left alone before it is tried again, 1 to 600 seconds.",
    )
    breaker_successes: int = Field(
        default=3,
        ge=BOUNDS["successes"][0],
        le=BOUNDS["successes"][1],
        description="Successes in a row after which a server that was tried again counts as well, 1 to 100.",
    )
    recovery: Annotated[str, AfterValidator(_recoverable)] = Field(
        default="",
        description="Changes of what is done about faults, as in core.high=emergency_stop,postgres.medium=retry.",
    )
    documents_repo: Annotated[Path, AfterValidator(Path.expanduser)] | None = Field(
        default=None,
        description="Git repository of the documents, bare or checked out; without it `cdb` makes one of its own.",
    )
    forge: Literal["local", "github"] = Field(
        default="local",
        description="Where pull requests are made: local (files in the data directory) or github.",
    )
    github_repository: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$",
        description="Repository that pull requests are made in, owner/name.",
    )
    github_token_file: Annotated[Path, AfterValidator(Path.expanduser)] | None = Field(
        default=None, description="File of its owner alone (chmod 600) with the token that GitHub is asked with."
    )
    github_url: str = Field(
        default="https://github.com",
        pattern=r"^(https://[A-Za-z0-9.-]+(:\d{1,5})?|http://127\.0\.0\.1:\d{1,5})$",
        description="Address of GitHub's pages, https://host; its API and its git lie beside them.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning",
        description="The least important kind of log line that is shown: debug, info, warning or error.",
    )

    @property
    def listening(self) -> Listening:
        """Where the HTTP API listens, and by which names it is called."""
        names = [name for name in self.api_names.split(",") if name]
        return Listening(self.api_host, self.api_port, names, self.api_certificate, self.api_key, self.api_proxy)


class Setting(NamedTuple):
    """One line of `cdb settings`; passwords in `value` are hidden."""

    name: str
    variable: str
    value: str
    source: Literal["option", "environment", "default"]
    description: str


def load(**options: Any) -> Settings:
    """The settings of this process. An option that is None was not given. Raises InvalidInput naming what is wrong."""
    unknown = [name for name in os.environ if name.upper().startswith(PREFIX) and not _is_known(name)]
    if unknown:
        raise InvalidInput("; ".join(_advice(name) for name in sorted(unknown)) + "; `cdb settings` lists them all")
    given = _given(options)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise InvalidInput("; ".join(_complaints(error, given))) from None
    settings.listening.refuse_open()
    if settings.governance_nats_url and not settings.nats_url:
        raise InvalidInput("CDB_GOVERNANCE_NATS_URL is set without CDB_NATS_URL: set both, or none for an own server")
    return settings


def listing(settings: Settings, **options: Any) -> list[Setting]:
    """Every setting with its value and where it came from; `options` are those that `load` got."""
    given = _given(options)
    return [
        Setting(
            name=name,
            variable=variable(name),
            value=hidden(getattr(settings, name)),
            source="option" if name in given else "environment" if name in settings.model_fields_set else "default",
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def hidden(value: object) -> str:
    """A value as text without the credentials that a URL or DSN may hold."""
    return "" if value is None else SECRET.sub("***", str(value))


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _is_known(name: str) -> bool:
    return name.upper().removeprefix(PREFIX).lower() in Settings.model_fields


def _advice(name: str) -> str:
    close = difflib.get_close_matches(name.upper(), [variable(field) for field in Settings.model_fields], n=1)
    return f"{name} is no setting" + (f", did you mean {close[0]}?" if close else "")


def _complaints(error: ValidationError, given: Mapping[str, Any]) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0])
        spelled = f"--{name.replace('_', '-')}" if name in given else variable(name)
        description = Settings.model_fields[name].description if name in Settings.model_fields else "no such setting"
        yield f"{spelled}={hidden(problem['input'])} is not allowed: {problem['msg']}. {description}"
