"""Strings, cell by cell."""

from __future__ import annotations

import numpy as np

from traceprop.lineage.registry import implements
from traceprop.lineage.rules.elementwise import elementwise_rows

_STRINGS = (
    "capitalize", "center", "decode", "encode", "expandtabs", "ljust", "lower", "mod", "multiply",
    "partition", "replace", "rjust", "rpartition", "swapcase", "title", "translate", "upper",
    "zfill", "slice",
)  # fmt: skip
_CHARS = (
    "join", "split", "rsplit", "splitlines", "equal", "greater", "greater_equal", "less",
    "less_equal", "not_equal",
)  # fmt: skip

implements(
    *(getattr(np.strings, name) for name in _STRINGS if hasattr(np.strings, name)),
    *(getattr(np.char, name) for name in _CHARS),
    family="text", mixes=True,
)(elementwise_rows)  # fmt: skip
