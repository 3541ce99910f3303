"""What every test may ask for: real servers on loopback, and the shared market data when it is there."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.embedded import NatsServer, PostgresServer

ROOT = Path(__file__).parents[1]

# A developer's own settings must not reach a test.
for name in [name for name in os.environ if name.startswith("CDB_")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One running server for all tests of a process; use stream or subject names of your own, never stop it."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fresh_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server of this test alone, which it may stop, kill and start."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def passable_tmp() -> Iterator[Path]:
    """A temporary folder for PostgreSQL, which as root runs under another account: every new pytest session of this
    machine closes the folders above `tmp_path` to others."""
    with tempfile.TemporaryDirectory(prefix="cdb-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One running PostgreSQL for all tests of a process; use a desk (a schema) of your own, never stop it."""
    with tempfile.TemporaryDirectory(prefix="cdb-test-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def shared_data(request: pytest.FixtureRequest) -> Path:
    """The folder of real market data beside the repository, or PYTEST_SHARED_DATA."""
    folder = Path(os.environ.get("PYTEST_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"NOT TESTED: {request.node.name}: no market data in {folder}; set PYTEST_SHARED_DATA to its folder"
        )
    return folder
