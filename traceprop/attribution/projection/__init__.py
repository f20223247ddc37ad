"""From per-sample gradients to rows of k numbers whose inner products are nearly the same.

`Projector` says which map a store uses, `projector.sketch(n)` applies it to a batch, parameter by
parameter, from factors where a layer has them. One module per kind of map.
"""

from __future__ import annotations

from traceprop.attribution.projection.blocks import Block, Floats
from traceprop.attribution.projection.projector import KINDS, Kind, Projector
from traceprop.attribution.projection.sketch import Sketch

__all__ = ["KINDS", "Block", "Floats", "Kind", "Projector", "Sketch"]
