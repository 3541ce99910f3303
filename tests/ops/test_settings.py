"""Settings: option before variable before default; what is wrong or unknown is one clear line."""

from pathlib import Path

import pytest

from adapters.breaker import Breaker
from domain.errors import InvalidInput
from ops.settings import listing, load


def refusal(**options: object) -> str:
    with pytest.raises(InvalidInput) as refused:
        load(**options)
    line = str(refused.value)
    assert "\n" not in line
    return line


def test_without_anything_the_desk_brings_its_own_servers():
    settings = load()
    assert (settings.desk, settings.nats_url, settings.postgres_dsn) == ("main", None, None)
    assert settings.data_dir.is_absolute()
    assert not settings.allow_memory_only
    assert settings.retry_budget_seconds >= 10


def test_the_services_listen_on_loopback_ports_of_their_own():
    settings = load()
    assert settings.host == "127.0.0.1"
    assert [settings.ws_port, settings.core_port, settings.risk_port, settings.execution_port] == [*range(8000, 8004)]
    assert (settings.projector_port, settings.api_port) == (8004, 8080)


def test_breakers_have_five_failures_thirty_seconds_and_three_successes():
    settings = load()
    assert (settings.breaker_failures, settings.breaker_open_seconds, settings.breaker_successes) == (5, 30, 3)
    assert Breaker("nats", failures=100, open_seconds=600, successes=100).state == "closed"


def test_an_option_wins_over_the_variable_and_the_variable_over_the_default(monkeypatch):
    monkeypatch.setenv("CDB_DESK", "from-environment")
    assert load(desk=None).desk == "from-environment"
    assert load(desk="from-option").desk == "from-option"


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("CDB_NATS_URL", "")
    assert load().nats_url is None


def test_a_home_folder_may_be_abbreviated(monkeypatch):
    monkeypatch.setenv("CDB_DATA_DIR", "~/desk")
    assert load().data_dir == Path.home() / "desk"


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("CDB_RETRY_BUDGET_SECONDS", "3", "10 to 3600"),
        ("CDB_RETRY_BUDGET_SECONDS", "soon", "10 to 3600"),
        ("CDB_DESK", "Main desk", "lower-case"),
        ("CDB_DESK", "main.other", "lower-case"),
        ("CDB_DESK", "tape", "tape:123 is a place on the tape of every desk"),
        ("CDB_NATS_URL", "localhost:4222", "nats://"),
        ("CDB_NATS_MONITOR_URL", "localhost:8222", "http://"),
        ("CDB_POSTGRES_DSN", "mysql://localhost/desk", "postgresql://"),
        ("CDB_ALLOW_MEMORY_ONLY", "perhaps", "true, false"),
        ("CDB_LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("CDB_HOST", "0.0.0.0", "127.0.0.1 or ::1"),
        ("CDB_HOST", "localhost", "127.0.0.1 or ::1"),
        ("CDB_CORE_PORT", "0", "1 to 65535"),
        ("CDB_WS_PORT", "65536", "1 to 65535"),
        *(
            ("CDB_BREAKER_FAILURES", value, "1 to 100; nothing switches this off")
            for value in ("0", "101", "-1", "inf")
        ),
        *(("CDB_BREAKER_OPEN_SECONDS", value, "1 to 600") for value in ("0", "0.5", "601", "nan", "inf")),
        *(("CDB_BREAKER_SUCCESSES", value, "1 to 100") for value in ("0", "101")),
        ("CDB_RECOVERY", "core.critical=retry", "would leave a critical fault"),
        ("CDB_RECOVERY", "core=restart", "core.high=emergency_stop"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value_and_what_is_allowed(monkeypatch, variable, value, allowed):
    monkeypatch.setenv(variable, value)
    line = refusal()
    assert f"{variable}={value}" in line
    assert allowed in line


def test_a_wrong_option_is_named_as_the_option_it_is():
    assert "--retry-budget-seconds=1 is not allowed" in refusal(retry_budget_seconds=1)


def test_an_address_for_governance_alone_would_split_the_desk_over_two_servers(monkeypatch):
    monkeypatch.setenv("CDB_GOVERNANCE_NATS_URL", "nats://governance:s3cret@127.0.0.1:4222")
    assert "CDB_GOVERNANCE_NATS_URL is set without CDB_NATS_URL" in refusal()
    assert "s3cret" not in refusal()
    settings = load(nats_url="nats://127.0.0.1:4222")
    assert "s3cret" not in "".join(line.value for line in listing(settings))


def test_several_wrong_values_are_all_named(monkeypatch):
    monkeypatch.setenv("CDB_LOG_LEVEL", "loud")
    line = refusal(desk="No Desk")
    assert "CDB_LOG_LEVEL=loud" in line
    assert "--desk=No Desk" in line


def test_a_misspelled_variable_is_named_with_the_one_that_was_meant(monkeypatch):
    monkeypatch.setenv("CDB_DATADIR", "/tmp/desk")
    assert "CDB_DATADIR is no setting, did you mean CDB_DATA_DIR?" in refusal()


def test_the_listing_tells_value_source_and_meaning_and_hides_passwords(monkeypatch):
    monkeypatch.setenv("CDB_POSTGRES_DSN", "postgresql://desk:s3/cr@t@db:5432/desk?password=s3cret")
    settings = load(desk="night")
    lines = {line.name: line for line in listing(settings, desk="night")}
    assert lines["postgres_dsn"].value == "postgresql://***@db:5432/desk?password=***"
    assert (lines["desk"].variable, lines["desk"].value, lines["desk"].source) == ("CDB_DESK", "night", "option")
    assert lines["postgres_dsn"].source == "environment"
    assert lines["log_level"].source == "default"
    assert all(line.description for line in lines.values())


def test_a_refusal_hides_passwords_too(monkeypatch):
    monkeypatch.setenv("CDB_POSTGRES_DSN", "mysql://desk:s3cret@db/desk")
    assert "s3cret" not in refusal()
