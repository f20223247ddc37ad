"""Plain arrays in a call's template: constants, and masks or indices that chose rows.

A plain array that somebody else may write into can't be protected, and copying every one would
cost up to 63 % of the operation. So a small one is copied, one that is small beside the result is
copied too, and of any other we keep a fingerprint of a few cells: when its rows are asked for and
the fingerprint no longer fits, the answer is the sound one, every row, and a warning says why.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from numpy.typing import NDArray

from traceprop.lineage.graph.node import Held
from traceprop.lineage.recording.granularity import level

_COPIED_BELOW: Final = 4096  # bytes: a copy takes about 0.2 µs
_COPIED_SHARE: Final = 64  # a copy of 1/64 of the result's bytes is lost in making the result
_CELLS: Final = 61


def fingerprint(array: NDArray[Any]) -> bytes:
    """Return the bytes of a few evenly spaced cells."""
    flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel()
    step = max(1, len(flat) // _CELLS)
    return flat[::step].tobytes()


def hold_plain(array: NDArray[Any], result_nbytes: int) -> Held:
    """Hold a plain array that chose rows."""
    if level.get() == "op":
        return Held(-1, None)
    if array.nbytes <= _COPIED_BELOW or array.nbytes * _COPIED_SHARE <= result_nbytes:
        return Held(-1, array.copy())
    return Held(-1, array, fingerprint(array))


def is_unchanged(held: Held) -> bool:
    """Whether a held array is still what it was, as far as its fingerprint tells."""
    return held.mark is None or held.array is None or fingerprint(held.array) == held.mark


def check_unchanged(held: Held) -> None:
    """Refuse to answer from a held array that was written into since.

    Raises
    ------
    LookupError
        After a warning; the rule that gets it answers with every row.
    """
    if not is_unchanged(held):
        warnings.warn(
            "A plain array that chose rows was changed afterwards, so that every row is given as "
            "a source. Pass a copy as the index, or make it with traceprop.array.",
            UserWarning,
            stacklevel=2,
        )
        raise LookupError


def constant(array: NDArray[Any]) -> NDArray[Any]:
    """Keep a plain operand for replay: a small one is copied, a large one is referred to."""
    return array.copy() if array.nbytes <= _COPIED_BELOW else array
