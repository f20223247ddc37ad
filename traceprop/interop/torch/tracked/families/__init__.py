"""The tables of torch functions, one module per family: each name with the rule that answers."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Final

_MODULES: Final = (
    "elementwise",
    "reduction",
    "lines",
    "contraction",
    "movement",
    "choosing",
    "scattering",
    "layers",
    "losses",
    "alltoall",
    "random",
    "doors",
)


@cache
def load_families() -> None:
    """Import every family, so that the table is full."""
    for module in _MODULES:
        importlib.import_module(f"{__name__}.{module}")
