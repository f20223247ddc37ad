"""What `tp.apply` must give: the program itself, on new rows, with the recording's statistics.

Slow and plain: the program runs step by step on as many new rows as were recorded, in plain NumPy.
After each step, every variable of which the recording says that it holds no rows, or one row that
stands for all, is replaced by its recorded values. So a mean is the old mean, and what is made of
it and of a row is made of the new row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from traceprop.lineage import ProvenanceTensor, values
from traceprop.testing.program import Program


def with_statistics(
    program: Program,
    tensors: Sequence[ProvenanceTensor],
    new: Sequence[np.ndarray],
    is_frozen: Callable[[ProvenanceTensor], bool],
) -> tuple[list[Any], list[Any]]:
    """Run a program on tensors and on new rows side by side; return the variables of both."""
    recorded: list[Any] = list(tensors)
    plain: list[Any] = [each.copy() for each in new]
    for step in program.steps:
        step.run(recorded)
        step.run(plain)
        for i, tensor in enumerate(recorded):
            if is_frozen(tensor):
                plain[i] = values(tensor).copy()
    return recorded, plain
