"""The arrows of the house, read from the imports (also inside functions): a room imports only what DESIGN allows it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {  # folder: the rooms it may import beside itself
    "domain": set(),
    "projections": {"domain"},
    "adapters": {"domain"},
    "gateways": {"projections", "domain"},
    "mcp/cdb_mcp": {"projections", "domain"},
    "ops": {"domain", "projections", "adapters", "gateways", "cdb_mcp"},
}
OURS = {folder.rpartition("/")[2] for folder in ROOMS} | {"tests"}

# Pure modules only: nothing here reads a clock, a file, a socket or the machine, and nothing draws a random number.
DOMAIN_MAY_IMPORT = set(
    "abc base64 bisect collections contextlib copy dataclasses decimal difflib enum fractions functools hashlib heapq "
    "itertools json math operator re statistics string struct types typing uuid "
    "numpy numba pydantic pydantic_core eventsourcing".split()
)
DOMAIN_MAY_IMPORT_NAMES = {  # of modules that are pure but for some names
    "datetime": {"UTC", "date", "datetime", "time", "timedelta", "timezone"},
    "eventsourcing": {"domain", "persistence", "utils", "dispatch"},  # no application, no infrastructure
}
DOMAIN_NEVER_SAYS = {  # attribute: of what
    "now": {"datetime"},
    "utcnow": {"datetime"},
    "today": {"datetime", "date"},
    "uuid1": {"uuid"},
    "uuid4": {"uuid"},
    "random": {"np", "numpy"},
    "memmap": {"np", "numpy"},
    "fromfile": {"np", "numpy"},
    "load": {"np", "numpy"},
    "save": {"np", "numpy"},
}
DOMAIN_NEVER_CALLS = {"open", "input", "print", "exec", "eval", "__import__"}


def imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, module and imported name ("" for a whole module) of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield from ((node.lineno, ".", alias.name) for alias in node.names)
            else:
                yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from ((node.lineno, str(named.value), "") for named in node.args if isinstance(named, ast.Constant))


def forbidden_arrows(folder: str, source: str) -> list[tuple[int, str]]:
    """What a file in `folder` imports of ours and may not."""
    own = folder.rpartition("/")[2]
    wrong = []
    for line, module, _ in imports(ast.parse(source)):
        room = module.partition(".")[0]
        if room == "":
            wrong.append((line, "a relative import; name the room"))
        elif room in OURS and room != own and room not in ROOMS[folder]:
            wrong.append((line, f"{own} -> {room}"))
    return wrong


def impurities(source: str) -> list[tuple[int, str]]:
    """What a file of the domain imports or says that is not a function of its arguments."""
    tree = ast.parse(source)
    wrong = []
    for line, module, name in imports(tree):
        top, _, below = module.partition(".")
        part = below.partition(".")[0] or name
        if top in DOMAIN_MAY_IMPORT_NAMES:
            if part not in DOMAIN_MAY_IMPORT_NAMES[top]:
                wrong.append((line, f"{module} {name}".strip()))
        elif top not in DOMAIN_MAY_IMPORT and top not in OURS:
            wrong.append((line, module))
        elif top in DOMAIN_NEVER_SAYS.get(part, ()):
            wrong.append((line, f"{top}.{part}"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in DOMAIN_NEVER_SAYS.get(node.attr, ()):
            wrong.append((node.lineno, ast.unparse(node)))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in DOMAIN_NEVER_CALLS:
            wrong.append((node.lineno, f"{ast.unparse(node.func)}()"))
    return wrong


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ROOMS)
def test_a_room_imports_only_what_the_arrows_allow(folder):
    assert files(folder), f"no files in {folder}"
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {arrow}"
        for path in files(folder)
        for line, arrow in forbidden_arrows(folder, path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "arrows that are not drawn:\n" + "\n".join(wrong)


def test_the_domain_reaches_no_clock_file_socket_or_chance():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in files("domain")
        for line, what in impurities(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "not pure:\n" + "\n".join(wrong)


def test_nothing_shadows_the_sdk_of_mcp():
    assert not (ROOT / "mcp" / "__init__.py").exists(), "mcp/__init__.py hides the installed package mcp; remove it"


def test_every_package_of_ours_is_a_room():
    packages = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/__init__.py")}
    packages |= {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("mcp/*/__init__.py")}
    assert packages == set(ROOMS), "a new top-level package needs its arrows in this file"


def test_no_room_has_the_name_of_a_standard_module():
    assert not OURS & sys.stdlib_module_names


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("domain", "import adapters.embedded"),
        ("domain", "def f():\n    from ops import settings"),
        ("projections", "from adapters.subjects import TAPE"),
        ("adapters", "import gateways.cli as cli"),
        ("gateways", "if True:\n    from ops.settings import Settings"),
        ("gateways", "import importlib\nimportlib.import_module('adapters.memory')"),
        ("mcp/cdb_mcp", "from gateways import http_api"),
        ("ops", "from tests import conftest"),
        ("adapters", "from . import codec"),
    ],
)
def test_a_planted_arrow_is_found(folder, source):
    assert forbidden_arrows(folder, source)
    assert not forbidden_arrows("ops", "from adapters.memory import Memory\nimport domain.tape")


@pytest.mark.parametrize(
    "source",
    [
        *(
            f"import {module}"
            for module in ("asyncio", "time", "random", "os", "pathlib", "socket", "secrets", "threading")
        ),
        "def f():\n    import os.path",
        "from time import monotonic",
        "from eventsourcing.application import Application",
        "from eventsourcing.domain import Aggregate\nfrom datetime import datetime\ndatetime.now()",
        "from uuid import uuid4",
        "import uuid\nuuid.uuid4()",
        "import numpy as np\nnp.random.default_rng()",
        "from numpy import random",
        "open('tape')",
        "import asyncpg",
        "import nats",
    ],
)
def test_a_planted_impurity_is_found(source):
    assert impurities(source)
    assert not impurities(
        "from uuid import uuid5\nfrom datetime import UTC, datetime\nimport numpy as np\nnp.frombuffer"
    )
