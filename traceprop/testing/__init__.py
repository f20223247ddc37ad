"""For your own property tests: random arrays, random programs, and a check of their lineage.

`assert_sound(function, *arrays)` runs your function on plain and on tracked arrays, nudges every
source row, and fails when an output row changes with a row that its lineage doesn't name;
`assert_cells_sound` does the same with cells, and `precision` and `cell_precision` count how much
of what the lineage names can be seen to matter. The
strategies `arrays`, `tensors`, `programs` and `torch_programs` are for hypothesis, which is
imported when one of them is first asked for; `assert_sound` works without it.

Examples
--------
>>> from hypothesis import given
>>> from traceprop.testing import arrays, assert_sound
>>> @given(arrays(dtypes=["float64"], shape=(4, 2)))
... def test_my_preparation(X):
...     assert_sound(prepare, X)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traceprop.testing.cells import assert_cells_sound as assert_cells_sound
    from traceprop.testing.cells import cell_precision as cell_precision
    from traceprop.testing.cells import perturbed_cells as perturbed_cells
    from traceprop.testing.oracle import assert_same_values as assert_same_values
    from traceprop.testing.oracle import assert_sound as assert_sound
    from traceprop.testing.oracle import perturbed as perturbed
    from traceprop.testing.oracle import precision as precision
    from traceprop.testing.program import Program as Program
    from traceprop.testing.strategies import arrays as arrays
    from traceprop.testing.strategies import programs as programs
    from traceprop.testing.strategies import tensors as tensors
    from traceprop.testing.strategies import torch_programs as torch_programs

_HOMES = {
    "Program": "program",
    "arrays": "strategies",
    "assert_cells_sound": "cells",
    "assert_same_values": "oracle",
    "assert_sound": "oracle",
    "cell_precision": "cells",
    "perturbed": "oracle",
    "perturbed_cells": "cells",
    "precision": "oracle",
    "programs": "strategies",
    "tensors": "strategies",
    "torch_programs": "strategies",
}

__all__ = [
    "Program",
    "arrays",
    "assert_cells_sound",
    "assert_same_values",
    "assert_sound",
    "cell_precision",
    "perturbed",
    "perturbed_cells",
    "precision",
    "programs",
    "tensors",
    "torch_programs",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'traceprop.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"traceprop.testing.{home}"), name)
    globals()[name] = value
    return value
