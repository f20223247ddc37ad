"""Traceprop tells which rows of which files drove a model's decision, and takes rows out again.

The names below are imported when first used, so that `import traceprop` costs little more than
NumPy: torch, numba, pyarrow and scikit-learn are loaded only by the parts that need them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    import traceprop.interop.sklearn as _interop_sklearn
    import traceprop.interop.torch as _interop_torch
    from traceprop.interop.frames import from_polars as from_polars
    from traceprop.interop.pandas import from_pandas as from_pandas
    from traceprop.lineage import ProvenanceTensor as ProvenanceTensor
    from traceprop.lineage import array as array
    from traceprop.lineage import granularity as granularity
    from traceprop.lineage import load_lineage as load_lineage
    from traceprop.lineage import save_lineage as save_lineage
    from traceprop.lineage import strict as strict
    from traceprop.lineage.draws import rng as rng
    from traceprop.replays import apply as apply
    from traceprop.replays import diff as diff
    from traceprop.replays import load_pipeline as load_pipeline
    from traceprop.replays import replay as replay
    from traceprop.replays import save_pipeline as save_pipeline
    from traceprop.sources import Table as Table
    from traceprop.sources import load_csv as load_csv
    from traceprop.sources import load_parquet as load_parquet
    from traceprop.sources import load_sql as load_sql
    from traceprop.sources import read_csv as read_csv
    from traceprop.sources import read_parquet as read_parquet
    from traceprop.sources import read_sql as read_sql

    sklearn = _interop_sklearn
    torch = _interop_torch  # mypy loses `from traceprop.interop import torch` in an import cycle

# Public name -> its module; a name that equals its module's last part is the module itself.
_HOMES = {
    "attribution": "traceprop.attribution",
    "lineage": "traceprop.lineage",
    "sources": "traceprop.sources",
    "unlearn": "traceprop.unlearn",
    "ProvenanceTensor": "traceprop.lineage",
    "apply": "traceprop.replays",
    "array": "traceprop.lineage",
    "diff": "traceprop.replays",
    "from_pandas": "traceprop.interop.pandas",
    "from_polars": "traceprop.interop.frames",
    "granularity": "traceprop.lineage",
    "load_lineage": "traceprop.lineage",
    "load_pipeline": "traceprop.replays",
    "replay": "traceprop.replays",
    "rng": "traceprop.lineage.draws",
    "save_lineage": "traceprop.lineage",
    "save_pipeline": "traceprop.replays",
    "strict": "traceprop.lineage",
    "Table": "traceprop.sources",
    "load_csv": "traceprop.sources",
    "load_parquet": "traceprop.sources",
    "load_sql": "traceprop.sources",
    "read_csv": "traceprop.sources",
    "read_parquet": "traceprop.sources",
    "read_sql": "traceprop.sources",
    "sklearn": "traceprop.interop.sklearn",
    "torch": "traceprop.interop.torch",
}

__all__ = [*_HOMES, "__version__"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
