"""How much recording keeps: operations alone, or what tells rows and cells apart too."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Literal

from traceprop.errors import LineageError
from traceprop.lineage.recording.setting import Setting

Granularity = Literal["op", "row", "element"]

_LEVELS: Final = ("op", "row", "element")
level: Final[ContextVar[Granularity]] = ContextVar("traceprop_granularity", default="row")


def granularity(wanted: Granularity) -> Setting:
    """Record operations alone ("op"), rows as well ("row", the default), or cells ("element").

    At "op" no mask or index is kept: what was chosen by one is answered with every row. Cells are
    worked out from an operation and its arguments when asked for, so that "element" records no
    more than "row" does. Holds in this thread from the call on: until the `with` block ends where
    it opens one, else for good.

    Raises
    ------
    LineageError
        When there is no such granularity.

    Examples
    --------
    >>> with traceprop.granularity("op"):  # doctest: +SKIP
    ...     X_filt = X[kept]
    """
    if wanted not in _LEVELS:
        raise LineageError(f"{wanted!r} is no granularity: choose one of {', '.join(_LEVELS)}.")
    return Setting(level, wanted)
