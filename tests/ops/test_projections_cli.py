"""What `cdb projections` and `cdb documents` do: on a desk that rests, on real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from adapters.nats_server import NatsServer
from adapters.postgres_server import PostgresServer
from domain.errors import InvalidInput, Unavailable
from gateways.asked_moment import NOW, Asked
from ops.projections_cli import ProjectionOperations, _replaced
from ops.settings import Settings
from projections.as_of import AsOf
from projections.catalogue import READ_MODELS
from tests import canonical, logs
from tests.ops.desks import decide, write_tape

SCRIPT = canonical.golden_script()
LAST = canonical.length(SCRIPT)
NAMES = [model.name for model in READ_MODELS]


class Asking(ProjectionOperations):
    """The operations of a desk, and what they said of their progress."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.told: list[tuple[str, int, int, str]] = []

    def progress(self, *told: Any) -> None:
        self.told.append(told)


@pytest.fixture
async def desk(nats_server: NatsServer, postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Asking]:
    """A desk that decided on the golden script and rests; no read model of it was ever built."""
    settings = Settings(
        data_dir=tmp_path / "data", desk=logs.new_name(), nats_url=nats_server.url,
        nats_monitor_url=nats_server.monitor_url, postgres_dsn=postgres_server.dsn,
    )  # fmt: skip
    async with logs.jetstream(nats_server) as log:
        await write_tape(log, SCRIPT, settings.desk)
        await decide(log, LAST, settings.desk)
    yield Asking(settings)
    await statement(settings, f'DROP SCHEMA IF EXISTS "desk_{settings.desk}" CASCADE')


async def statement(settings: Settings, sql: str) -> Any:
    connection = await asyncpg.connect(settings.postgres_dsn)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def rows_of(settings: Settings) -> dict[str, list[str]]:
    """Every row of every table."""
    names = [table.name for model in READ_MODELS for table in model.tables]
    found = {}
    for name in names:
        rows = await statement(settings, f'SELECT to_jsonb(t)::text AS row FROM "desk_{settings.desk}".{name} AS t')
        found[name] = sorted(row["row"] for row in rows)
    return found


async def test_what_was_never_built_is_listed_built_and_then_current(desk: Asking) -> None:
    before = await desk.projections()
    assert {row["model"] for row in before} == set(NAMES)
    assert {row["state"] for row in before} <= {"not built"}
    with pytest.raises(InvalidInput, match="cdb projections rebuild aktueller_stand"):
        await desk.verify_projections([], desk.progress)
    built = await desk.rebuild([], desk.progress)
    assert [row["model"] for row in built] == NAMES
    assert {stage.split()[0] for stage, *_ in desk.told} == {"building"}
    assert all(0 < done <= end and unit == "facts" for _, done, end, unit in desk.told)
    after = await desk.projections()
    assert {(row["state"], row["behind"]) for row in after} == {("current", 0)}
    assert json.loads(json.dumps([before, built, after])) == [before, built, after]


async def test_dropped_read_models_come_back_equal(desk: Asking) -> None:
    await desk.rebuild([], desk.progress)
    stood = await rows_of(desk._settings)
    assert sum(len(rows) for rows in stood.values()) > 1_000
    await statement(desk._settings, f'DROP SCHEMA "desk_{desk._settings.desk}" CASCADE')
    await desk.rebuild([], desk.progress)
    assert await rows_of(desk._settings) == stood


async def test_a_changed_row_is_found_and_a_rebuild_of_that_model_mends_it(desk: Asking) -> None:
    await desk.rebuild([], desk.progress)
    await statement(
        desk._settings, f'UPDATE "desk_{desk._settings.desk}".equity SET balance = balance + 1 WHERE number % 7 = 0'
    )
    found = {row["model"]: row for row in await desk.verify_projections([], desk.progress)}
    assert {name for name, row in found.items() if row["different"]} == {"equity"}
    assert found["equity"]["first_difference"]["table"] == "equity"
    assert json.loads(json.dumps(found)) == found
    await desk.rebuild(["equity"], desk.progress)
    [mended] = await desk.verify_projections(["equity"], desk.progress)
    assert (mended["different"], mended["checked"]) == (0, found["equity"]["checked"])


async def test_a_model_of_another_version_is_not_taken_for_this_one(desk: Asking) -> None:
    await desk.rebuild(["equity"], desk.progress)
    await statement(desk._settings, f'UPDATE "desk_{desk._settings.desk}".checkpoints SET fingerprint = $$older$$')
    [row] = [row for row in await desk.projections() if row["model"] == "equity"]
    assert row["state"] == "of another version"
    with pytest.raises(InvalidInput, match="equity is not built, or of another version"):
        await desk.verify_projections(["equity"], desk.progress)


async def test_two_rebuilds_of_the_same_models_disturb_neither(desk: Asking) -> None:
    await asyncio.gather(desk.rebuild(["equity", "blotter"], desk.progress), desk.rebuild(["equity"], desk.progress))
    found = await desk.verify_projections(["equity", "blotter"], desk.progress)
    assert [row["different"] for row in found] == [0, 0]


async def test_a_mistyped_model_or_desk_is_named(desk: Asking) -> None:
    with pytest.raises(InvalidInput, match="there is no read model 'equty'; there are aktueller_stand"):
        await desk.rebuild(["equty"], desk.progress)
    with pytest.raises(InvalidInput, match="no tape is named 'mian'"):
        await Asking(desk._settings.model_copy(update={"desk": "mian"})).projections()


async def test_documents_bring_the_read_models_up_to_date_and_are_the_same_bytes_again(
    desk: Asking, tmp_path: Path
) -> None:
    first = await desk.documents(tmp_path / "a" / "b", NOW, desk.progress)
    assert [Path(file).name for file in first["files"]] == ["AKTUELLER_STAND.md", "DECISION_LOG.md", "AGENTS.md"]
    again = await desk.documents(tmp_path / "c", Asked(as_of=first["as_of"]), desk.progress)
    for one, other in zip(first["files"], again["files"], strict=True):
        text = Path(one).read_bytes()
        assert text == Path(other).read_bytes()
        assert first["as_of"].encode() in text or one.endswith("AGENTS.md")  # that one is of its roles alone
        assert b"\r" not in text
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == sorted(
        Path(file).name for file in first["files"]
    )


async def test_documents_of_the_past_know_nothing_of_what_came_later(desk: Asking, tmp_path: Path) -> None:
    asked = Asked(as_of=AsOf(640, 0).token(desk._settings.desk))
    then = await desk.documents(tmp_path / "then", asked, desk.progress)
    await desk.documents(tmp_path / "now", NOW, desk.progress)
    for name in ("AKTUELLER_STAND.md", "DECISION_LOG.md"):
        assert (tmp_path / "then" / name).read_bytes() != (tmp_path / "now" / name).read_bytes()
    assert then["as_of"] == asked.as_of


def test_a_document_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "AKTUELLER_STAND.md"
    _replaced(path, "one\n")
    _replaced(path, "zwei: ä\n")
    assert path.read_bytes() == "zwei: ä\n".encode()
    with pytest.raises(UnicodeEncodeError):
        _replaced(path, "\ud800")
    assert path.read_bytes() == "zwei: ä\n".encode()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="choose another folder with --out"):
        _replaced(tmp_path / "file" / "AKTUELLER_STAND.md", "x")
    (tmp_path / "folder" / "AKTUELLER_STAND.md").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="choose another folder with --out"):
        _replaced(tmp_path / "folder" / "AKTUELLER_STAND.md", "x")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["AKTUELLER_STAND.md"]


async def test_a_postgres_that_is_away_is_unavailable_without_its_password(desk: Asking) -> None:
    away = desk._settings.model_copy(update={"postgres_dsn": "postgresql://a:secret@127.0.0.1:1/x"})
    with pytest.raises(Unavailable, match="did not answer") as told:
        await Asking(away).projections()
    assert "secret" not in str(told.value)
