"""Doors out of the lineage: values that left as plain arrays, numbers or text.

Every such value passes a door that we own: `np.asarray`, `float`, `.tolist`, a branch on a value.
The door notes an `Escape` on the tensor's operation and its sources, warns once per line of the
caller's code, and raises under `strict`.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from traceprop.errors import EscapeError, LineageEscapeWarning
from traceprop.lineage.graph.counted import note_count
from traceprop.lineage.graph.edges import raw_edges
from traceprop.lineage.graph.escaped import Escape as Escape
from traceprop.lineage.graph.escaped import note_escape
from traceprop.lineage.graph.node import CONSTANT, SOURCE, Node
from traceprop.lineage.recording.setting import Setting

if TYPE_CHECKING:
    from traceprop.lineage.recording.tracked import Tracked

# With a separator behind them: traceprop_user.py and numpy_financial are callers.
_not_callers: tuple[str, ...] = ()


def skip_frames_of(folder: Path) -> None:
    """Don't take code in this folder, a library's that calls us, for the user's."""
    global _not_callers
    _not_callers = (*_not_callers, f"{folder}{os.sep}")


for _folder in (Path(__file__).resolve().parents[2], Path(np.__file__).parent):
    skip_frames_of(_folder)

_ROWS: Final = (SOURCE, CONSTANT)
_LOOKED_INTO: Final = 16  # nodes; beyond that there is a row among them
_strict: ContextVar[bool] = ContextVar("traceprop_strict", default=False)
_collected: ContextVar[list[Tracked] | None] = ContextVar("traceprop_collected", default=None)
_warned: Final[set[tuple[str, int, str]]] = set()


def strict(on: bool = True) -> Setting:
    """Raise `EscapeError` where a tracked value would leave the lineage, in this thread.

    Holds from the call on: until the `with` block ends where it opens one, else for good. Other
    threads, and tasks that began before, are as they were.

    Examples
    --------
    >>> with traceprop.strict():  # doctest: +SKIP
    ...     np.asarray(X)
    EscapeError: …
    >>> traceprop.strict()  # doctest: +SKIP
    """
    return Setting(_strict, on)


def escape(
    tensor: Tracked, door: str, then: str = "what is made from them has no sources"
) -> Escape:
    """Note that the values of `tensor` leave through `door`; `then` says what that means.

    Raises
    ------
    EscapeError
        Under `strict`, before anything left.
    """
    filename, line, depth = caller()
    noted = Escape(door, filename, line)
    node = tensor._made_by()
    counted = _counted_by(node)
    if counted is not None:
        for each in counted:  # as `np.ones_like(X)`, or the folds of KFold: a count leaves alone
            note_count(each, door, filename, line)
        return noted  # as `xp.zeros(3)`: there is no lineage to leave
    collected = _collected.get()
    if collected is not None:
        collected.append(tensor)
        return noted
    if _strict.get():
        raise EscapeError(
            f"{door} at {filename}:{line} would take values out of the lineage while strict is "
            "on: keep to NumPy functions, or take them knowingly with traceprop.lineage.values."
        )
    note_escape(tensor._made_by(), noted)
    site = (filename, line, door)
    if site not in _warned:
        _warned.add(site)
        warnings.warn(
            f"{door}: the values leave the lineage here; {then}. "
            "To take them knowingly use traceprop.lineage.values(X).",
            LineageEscapeWarning,
            stacklevel=depth,
        )
    return noted


@contextmanager
def collecting() -> Iterator[list[Tracked]]:
    """Collect the tensors whose values leave, for one who gives what comes back its lineage.

    No escape is noted, and none raises. Memory is handed out read-only meanwhile.
    """
    left: list[Tracked] = []
    token = _collected.set(left)
    try:
        yield left
    finally:
        _collected.reset(token)


def is_collecting() -> bool:
    """Whether what leaves is collected, in this thread."""
    return _collected.get() is not None


def _counted_by(node: Node) -> list[Node] | None:
    """Return the nodes of which no more than the number of rows stands in a node's values.

    None where values of rows may stand in them; looked into as far as a few nodes.
    """
    seen, counted = [node], []
    for each in seen:
        if each.op in _ROWS or len(seen) > _LOOKED_INTO:
            return None
        if each.inputs and not raw_edges(each):
            counted.append(each)
        else:
            seen.extend(each.inputs)
    return counted


def forget_warned() -> None:
    """Warn again at places that were warned about, as a new process would."""
    _warned.clear()


def caller() -> tuple[str, int, int]:
    """File and line of the innermost frame outside this package and NumPy, and its stack level."""
    depth = 2
    frame = sys._getframe(depth)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_not_callers):
        frame = frame.f_back
        depth += 1
    return frame.f_code.co_filename, frame.f_lineno, depth
