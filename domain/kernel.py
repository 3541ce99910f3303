"""`kernel`: how numeric code of the core is compiled: no Python objects, no GIL, no fastmath, cached on disk.

numba's cache on disk knows a function by its own source file only, so a change in a kernel that it *calls* would leave
old machine code running, and a replay would re-execute yesterday's rules. Ours asks for the callees too.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile on first call. Kernels name each other and their constants directly (no `module.name`)."""
    compiled: Any = njit(nogil=True)(function)
    compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return compiled  # type: ignore[no-any-return]


def fingerprint(function: FunctionType) -> str:
    """A hash of the bytecode and constants of a function and of every kernel it reaches."""
    return sha256("\n".join(_parts(function, set())).encode()).hexdigest()


def _parts(function: FunctionType, seen: set[FunctionType]) -> Iterator[str]:
    if function in seen:
        return
    seen.add(function)
    code = function.__code__
    constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
    yield f"{function.__qualname__} {code.co_code.hex()} {constants} {code.co_names}"
    for name in code.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, Dispatcher):
            yield from _parts(value.py_func, seen)
        elif isinstance(value, int | float | tuple):
            yield f"{name} = {value!r}"


class _Cache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        key: tuple[Any, ...] = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return (*key, fingerprint(self._py_func))
