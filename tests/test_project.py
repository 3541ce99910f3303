"""The project itself: the pins, what is declared, and that every setting says what it means."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ops.settings import Settings

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = [Requirement(line) for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]]
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = [line for line in LINES if not line.startswith("#")]


@pytest.mark.parametrize("line", PINS)
def test_a_pin_is_a_name_and_a_version_and_nothing_else(line):
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_every_declared_package_is_pinned_within_its_range(requirement):
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in PINS)}
    pinned = pins.get(canonicalize_name(requirement.name))
    assert pinned, f"{requirement.name} is not pinned; run `make constraints`"
    assert Version(pinned) in requirement.specifier


def test_the_pins_name_no_place_to_download_from():
    assert not [line for line in LINES if "://" in line or line.startswith("-")]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_means(name):
    assert (Settings.model_fields[name].description or "").endswith(".")


def test_every_target_of_the_makefile_is_explained():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE).group(1).split()
    assert {"run", "test", "setup", "check", "bench", "test-slow"} <= set(targets)
    assert [target for target in targets if not re.search(rf"^{target}:.*## \w", makefile, re.MULTILINE)] == []
