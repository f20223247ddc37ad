"""Traceprop tells which rows of which files drove a model's decision, and takes rows out again.

The names below are imported when first used, so that `import traceprop` costs little more than
NumPy: torch, numba, pyarrow and scikit-learn are loaded only by the parts that need them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    import traceprop.interop.torch as _interop_torch
    from traceprop.lineage import ProvenanceTensor as ProvenanceTensor
    from traceprop.lineage import array as array
    from traceprop.lineage import load_lineage as load_lineage
    from traceprop.lineage import save_lineage as save_lineage
    from traceprop.lineage import strict as strict
    from traceprop.sources import Table as Table
    from traceprop.sources import load_csv as load_csv
    from traceprop.sources import read_csv as read_csv

    torch = _interop_torch  # mypy loses `from traceprop.interop import torch` in an import cycle

# Public name -> its module; a name that equals its module's last part is the module itself.
_HOMES = {
    "ProvenanceTensor": "traceprop.lineage",
    "array": "traceprop.lineage",
    "load_lineage": "traceprop.lineage",
    "save_lineage": "traceprop.lineage",
    "strict": "traceprop.lineage",
    "Table": "traceprop.sources",
    "load_csv": "traceprop.sources",
    "read_csv": "traceprop.sources",
    "torch": "traceprop.interop.torch",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'traceprop' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home.rpartition(".")[2] == name else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
