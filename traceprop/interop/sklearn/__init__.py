"""scikit-learn with lineage: `enable()` makes transformers, pipelines and splitters keep rows."""

from __future__ import annotations

from traceprop.interop.sklearn.kinds import VERSIONS
from traceprop.interop.sklearn.switch import Switch, enable

__all__ = ["VERSIONS", "Switch", "enable"]
