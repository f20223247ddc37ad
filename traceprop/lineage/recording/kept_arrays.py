"""Plain arrays in a call's template: constants, and masks or indices that chose rows.

A plain array that somebody else may write into can't be protected, and copying every one would
cost up to 63 % of the operation. So a small one is copied, and a large one is kept by reference
with a mark of a few cells: when its rows are asked for and the mark no longer fits, the answer is
the sound one, every row, and a warning says why.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from numpy.typing import NDArray

from traceprop.errors import ChangedArrayError, LineageWarning
from traceprop.lineage.graph.kept import Constant, Held, fingerprint
from traceprop.lineage.recording.escapes import caller
from traceprop.lineage.recording.granularity import level

_COPIED_BELOW: Final = 4096  # bytes: a copy takes about 0.2 µs


def hold_plain(array: NDArray[Any], index: int = -1) -> Held:
    """Hold an array that chose rows, of memory that others can write into."""
    if level.get() == "op":
        return Held(index, None)
    if array.nbytes <= _COPIED_BELOW:
        return Held(index, array.copy())
    return Held(index, array, fingerprint(array))


def is_unchanged(kept: Held | Constant) -> bool:
    """Whether an array is there and still what it was, as far as its mark tells."""
    return kept.array is not None and (kept.mark is None or fingerprint(kept.array) == kept.mark)


def check_unchanged(kept: Held | Constant) -> None:
    """Refuse to answer from an array that was written into since.

    Raises
    ------
    LookupError
        After a warning at the line that asked; the rule that gets it answers with every row.
    """
    try:
        kept.read()
    except ChangedArrayError:
        if kept.array is not None:
            warnings.warn(
                "A plain array that chose rows was changed afterwards, so that every row is given "
                "as a source. Pass a copy as the index, or make it with traceprop.array.",
                LineageWarning,
                stacklevel=caller()[2],
            )
        raise


def constant(array: NDArray[Any]) -> NDArray[Any] | Constant:
    """Keep a plain operand for replay: a small one is copied, a large one is referred to."""
    return array.copy() if array.nbytes <= _COPIED_BELOW else Constant.of(array)
