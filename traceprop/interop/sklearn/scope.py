"""Whether code runs inside a call of an estimator, where all values are plain ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_inside: Final[ContextVar[bool]] = ContextVar("traceprop_inside_an_estimator", default=False)
_LIBRARIES: Final = ("sklearn", "joblib")


def is_inside() -> bool:
    """Whether this thread runs a call of an estimator that is being recorded."""
    return _inside.get()


@contextmanager
def inside() -> Iterator[None]:
    """Run a call of an estimator: what it does within is its own affair."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def is_librarys(depth: int) -> bool:
    """Whether the code `depth` frames up is scikit-learn's own, in whatever thread."""
    name = sys._getframe(depth + 1).f_globals.get("__name__", "")
    return str(name).partition(".")[0] in _LIBRARIES
