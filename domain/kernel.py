"""`kernel`: how numeric code of the core is compiled: no Python objects, no GIL, no fastmath, cached on disk.

numba's cache on disk knows a function by its own source file only, so a change in a kernel that it *calls* would leave
old machine code running, and a replay would re-execute yesterday's rules. Ours asks for the callees too.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

F = TypeVar("F", bound=Callable[..., Any])

# Kernels work on arrays that somebody else holds and make none, so nobody has to count references to them: counting
# took over nine tenths of the time of a loop that hands twenty arrays on.
OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False}


def kernel(function: F) -> F:
    """Compile on first call. Kernels name each other and their constants directly (no `module.name`)."""
    return _compiled(function)


def inlined_kernel(function: F) -> F:
    """A kernel that becomes part of its callers. For the few steps of every tick that take a whole book: handing its
    arrays on costs more than what is done with them."""
    return _compiled(function, forceinline=True)


def _compiled(function: F, **more: Any) -> F:
    compiled: Any = njit(**(OPTIONS | more))(function)
    compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
    template = compiled.get_call_template
    compiled.get_call_template = lambda args, kws: template(
        _plain(args), dict(zip(kws, _plain(kws.values()), strict=True))
    )
    return compiled  # type: ignore[no-any-return]


def _plain(args: Iterable[types.Type]) -> tuple[types.Type, ...]:
    """Types without their literal values: numba would compile a callee anew for each constant that it is given."""
    return tuple(types.unliteral(arg) for arg in args)  # type: ignore[no-untyped-call]


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
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    reached = [(name, function.__globals__.get(name)) for name in code.co_names]
    for name, value in [*reached, *zip(code.co_freevars, cells, strict=True)]:
        if isinstance(value, Dispatcher):
            yield from _parts(value.py_func, seen)
        elif isinstance(value, int | float | tuple | np.generic):
            yield f"{name} = {value!r}"


class _Cache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        key: tuple[Any, ...] = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return (*key, repr(OPTIONS), fingerprint(self._py_func))
