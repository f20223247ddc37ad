"""Doors out of the lineage: values that left as plain arrays, numbers or text.

Every such value passes a door that we own: `np.asarray`, `float`, `.tolist`, a branch on a value.
The door records an `Escape` on the tensor, warns once per line of the caller's code, and raises
under `strict`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from traceprop.errors import EscapeError, LineageEscapeWarning

if TYPE_CHECKING:
    from traceprop.lineage.recording.tracked import Tracked

_NOT_CALLERS: Final = (str(Path(__file__).resolve().parents[1]), str(Path(np.__file__).parent))
_strict: ContextVar[bool] = ContextVar("traceprop_strict", default=False)
_warned: Final[set[tuple[str, int, str]]] = set()


class Escape(NamedTuple):
    """One value that left.

    Attributes
    ----------
    door : str
        What it left through, as the user wrote it: "np.asarray", "float", "tolist".
    filename, line
        Where in the caller's code.
    """

    door: str
    filename: str
    line: int

    def __str__(self) -> str:
        return f"{self.door} at {self.filename}:{self.line}"


@contextmanager
def strict(on: bool = True) -> Iterator[None]:
    """Raise `EscapeError` where a tracked value would leave the lineage.

    Examples
    --------
    >>> with traceprop.strict():  # doctest: +SKIP
    ...     np.asarray(X)
    EscapeError: …
    """
    token = _strict.set(on)
    try:
        yield
    finally:
        _strict.reset(token)


def escape(tensor: Tracked, door: str, then: str = "what is made from them has no sources") -> None:
    """Record that the values of `tensor` leave through `door`; `then` says what that means.

    Raises
    ------
    EscapeError
        Under `strict`, before anything left.
    """
    filename, line, depth = caller()
    if _strict.get():
        raise EscapeError(
            f"{door} at {filename}:{line} would take values out of the lineage while strict is "
            "on: keep to NumPy functions, or take them knowingly with traceprop.lineage.values."
        )
    state = tensor._own_state()
    if state.escapes is None:
        state.escapes = []
    state.escapes.append(Escape(door, filename, line))
    site = (filename, line, door)
    if site not in _warned:
        _warned.add(site)
        warnings.warn(
            f"{door}: the values leave the lineage here; {then}. "
            "To take them knowingly use traceprop.lineage.values(X).",
            LineageEscapeWarning,
            stacklevel=depth,
        )


def forget_warned() -> None:
    """Warn again at places that were warned about, as a new process would."""
    _warned.clear()


def caller() -> tuple[str, int, int]:
    """File and line of the innermost frame outside this package and NumPy, and its stack level."""
    depth = 2
    frame = sys._getframe(depth)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_CALLERS):
        frame = frame.f_back
        depth += 1
    return frame.f_code.co_filename, frame.f_lineno, depth
