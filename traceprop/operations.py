"""Where operations with names of their own are found: the parts of Traceprop that record them.

A saved lineage or a pickle names an operation; the part that knows it may not be imported yet.
"""

from __future__ import annotations

import importlib
from typing import Any

from traceprop.lazy import needing_extras

_PARTS = (
    "traceprop.sources",
    "traceprop.lineage.draws",
    "traceprop.interop.returned",
    "traceprop.interop.array_api",
    "traceprop.interop.sklearn.steps",
    "traceprop.interop.sklearn.splitters",
)
_TORCH = "traceprop.interop.torch"
_DOORS = frozenset({"torch of numpy", "numpy of torch", "samples", "torch write of shared memory"})


def load_operation(name: str) -> Any:
    """Import the part that records an operation; return the operation where its name makes it.

    Raises
    ------
    MissingExtraError
        Where that part needs a library that is not installed.
    """
    if name.startswith("torch."):
        with needing_extras():
            return importlib.import_module(f"{_TORCH}.tracked.ops").op_named(name)
    if name in _DOORS:
        with needing_extras():
            importlib.import_module(_TORCH)
        return None
    for part in _PARTS:
        importlib.import_module(part)
    return None
