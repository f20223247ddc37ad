"""Writing a large result into an operand that is about to die, as NumPy does in `x * 2 + 1`.

NumPy writes the second step into the first one's result, since nobody can ever see that again. A
tensor holds its array, so NumPy sees two owners and allocates; on large arrays that costs 1.3 to
2 times the operation. Here we prove ourselves that an operand is dying, and pass it as `out=`:

1. *Nobody else has it.* Its reference count is that of a value which only the calling frame's
   stack holds, and its array's count says that only the tensor holds the array.
2. *The frame is done with it.* The calling frame's instruction is a BINARY_OP, and the bytecode
   before it is a straight way from another BINARY_OP, whose result is this one's operand: it was
   pushed there, only worked above since, and is taken off the stack here. A caller in C
   (functools.reduce, map, a callback) shows another instruction and gets no reuse, whatever it
   counts. A loop over an object array, which borrows its elements, shows the array as its operand:
   if that isn't itself the dying result of an operator, there is no reuse either.

Reference counts prove the first up to Python 3.13. From 3.14 on frames lend their locals without
counting, so the trick is off; so it is while a tracer or a debugger can move the frame about.
"""

from __future__ import annotations

import dis
import sys
import weakref
from sys import _getframe, getrefcount, gettrace
from types import CodeType
from typing import Any, Final

import numpy as np

from traceprop.lineage.recording.tracked import Tracked

_monitoring: Final[Any] = getattr(sys, "monitoring", None)  # from Python 3.12 on
_OF_OWN_KIND: Final = frozenset({np.add, np.subtract, np.multiply, np.true_divide, np.maximum})
_REAL: Final = frozenset({int, float, bool})


def dying(
    count_left: int, count_right: int, ufunc: np.ufunc, left: Tracked, right: Any, depth: int = 2
) -> Any:
    """Return the array of an operand that the result can be written into, or None.

    Called by an operator's method, with the reference counts that it found for its two arguments
    (first, before passing them on adds to the count). `depth` is how many frames above this one
    the operator stands.
    """
    # After a large operation the caches are cold, and each line of code that is run costs more
    # than usual: all is in one function, what is mostly decisive first.
    if count_left == _COUNT and left._reuse:
        operand, other, above = left, right, 1
    elif count_right == _COUNT and type(right) is type(left) and right._reuse:
        operand, other, above = right, left, 0
    else:
        return None
    array = operand._array
    if getrefcount(array) != _ARRAY_COUNT + 1 or operand._state is not None or not _WORKS:
        return None
    if ufunc not in _OF_OWN_KIND or not _fits(array, other):
        return None
    if gettrace() is not None or (_monitoring is not None and _is_debugged()):
        return None
    frame = _getframe(depth)
    code, here = frame.f_code, frame.f_lasti
    key = (id(code), here, above)
    known = _proofs.get(key)
    if known is None or known[0]() is not code:
        if len(_proofs) > 4096:
            _proofs.clear()
        known = _proofs[key] = (weakref.ref(code), _takes_a_result(code, here, above))
    return array if known[1] else None


def _fits(array: Any, other: Any) -> bool:
    """Whether the array is its own master, and the result has its dtype and shape."""
    if type(array) is not np.ndarray or array.base is not None or array.dtype.kind != "f":
        return False
    if not array.flags.writeable:
        return False
    if type(other) in _REAL:
        return True
    if not isinstance(other, Tracked) or other._array.dtype != array.dtype:
        return False
    shape, wanted = other._array.shape, array.shape
    if len(shape) > len(wanted):
        return False
    return all(n in (1, m) for n, m in zip(reversed(shape), reversed(wanted), strict=False))


def _is_debugged() -> bool:
    """Whether a debugger can move the frame about by sys.monitoring."""
    return _monitoring.get_tool(_monitoring.DEBUGGER_ID) is not None


_proofs: Final[dict[tuple[int, int, int], tuple[weakref.ref[CodeType], bool]]] = {}


def _takes_a_result(code: CodeType, here: int, above: int) -> bool:
    """Whether the BINARY_OP at `here` takes the result of another, which nothing else can see."""
    straight: list[dis.Instruction] = []
    for step in dis.get_instructions(code):
        if step.is_jump_target:
            straight.clear()  # what is on the stack may come another way
        if step.offset == here:
            if step.opname != "BINARY_OP" or step.is_jump_target:
                return False
            break
        straight.append(step)
    taken = above  # values above the operand, going back
    for step in reversed(straight):
        effect = _effect(step)
        if effect is None:
            return False
        takes, leaves = effect
        if leaves > taken:
            return step.opname == "BINARY_OP" and taken == 0
        taken += takes - leaves
    return False


# Instruction → (values it takes, values it leaves); those with an argument are in `_effect`.
_FIXED: Final = {
    "BINARY_OP": (2, 1),
    "BINARY_SUBSCR": (2, 1),
    "BINARY_SLICE": (3, 1),
    "COMPARE_OP": (2, 1),
    "UNARY_NEGATIVE": (1, 1),
    "UNARY_INVERT": (1, 1),
    "LOAD_METHOD": (1, 2),
    "PRECALL": (0, 0),
    "KW_NAMES": (0, 0),
    "CACHE": (0, 0),
    "NOP": (0, 0),
    "EXTENDED_ARG": (0, 0),
}
_PUSHING: Final = frozenset(
    {"LOAD_FAST", "LOAD_CONST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF",
     "LOAD_FAST_CHECK", "LOAD_FAST_LOAD_FAST", "PUSH_NULL"}
)  # fmt: skip


def _effect(step: dis.Instruction) -> tuple[int, int] | None:
    """Values that an instruction takes and leaves; None for one that isn't plain work."""
    name, arg = step.opname, step.arg or 0
    if name in _FIXED:
        return _FIXED[name]
    if name in _PUSHING:
        return 0, dis.stack_effect(step.opcode, step.arg)
    if name in ("BUILD_TUPLE", "BUILD_LIST", "BUILD_SLICE"):
        return arg, 1
    if name == "CALL":
        return arg + 2, 1
    if name == "CALL_KW":
        return arg + 3, 1
    if name == "LOAD_ATTR":
        return 1, 1 + dis.stack_effect(step.opcode, step.arg)
    return None


class _Probe:
    """Counts the references to itself as an operator's method sees them."""

    __slots__ = ("part",)

    def __init__(self) -> None:
        self.part = object()

    def __add__(self, other: Any) -> tuple[int, int]:
        return getrefcount(self), getrefcount(self.part)


def _calibrate() -> tuple[int, int, bool]:
    """Count for a temporary and its part, and whether a named value really counts more."""
    dead, part = _Probe() + 1
    named = _Probe()
    alive, _ = named + 1
    return dead, part, alive == dead + 1 and sys.implementation.name == "cpython"


_COUNT, _ARRAY_COUNT, _COUNTS = _calibrate()
_WORKS: Final = _COUNTS and sys.version_info < (3, 14)
