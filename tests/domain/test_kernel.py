"""Machine code on disk is used only while the sources of a kernel and of all it calls are the same."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numba
import pytest

from domain.kernel import fingerprint

PART = "from domain.kernel import {made} as kernel\nSTEP = {step}\n@kernel\ndef part(x):\n    return x {sign} STEP\n"
SUM = (
    "from domain.kernel import kernel\nfrom kernel_part import part\n@kernel\ndef total(x):\n    return part(x) * 10\n"
)


def load(folder: Path, step: int, sign: str, made: str = "kernel") -> Any:
    """Both modules as a new process would load them."""
    (folder / "kernel_part.py").write_text(PART.format(step=step, sign=sign, made=made))
    (folder / "kernel_sum.py").write_text(SUM)
    os.utime(folder / "kernel_sum.py", ns=(10**18, 10**18))
    for name in ("kernel_part", "kernel_sum"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return importlib.import_module("kernel_sum").total


@pytest.mark.parametrize("made", ["kernel", "inlined_kernel"])
def test_a_changed_callee_or_constant_is_compiled_anew_and_an_unchanged_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "compiled"))
    assert load(tmp_path, 1, "+", made)(5) == 60
    assert load(tmp_path, 2, "+", made)(5) == 70
    assert load(tmp_path, 2, "-", made)(5) == 30
    again = load(tmp_path, 1, "+", made)
    assert again(5) == 60
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_fingerprint_follows_kernels_that_call_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    one, other, same = (fingerprint(load(tmp_path, step, "+").py_func) for step in (1, 2, 1))
    assert one == same != other
