"""Random small NumPy programs, drawn step by step for hypothesis.

A program is a list of steps over a growing list of values, the inputs first. A step is drawn by
looking at plain values, so that most programs run; the same step then runs on tensors. Some steps
write in place, through a tensor or a view of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Env = list[Any]
Step = Callable[[Env], Any]

FLOATS = st.sampled_from([0.0, 1.0, -1.0, 2.5, -3.0, 7.0, 0.5, 4.0, np.nan, np.inf])


@dataclass
class Program:
    """Inputs, and the steps that are made of them."""

    inputs: list[np.ndarray]
    steps: list[Step] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def run(self, inputs: list[Any]) -> Env:
        env: Env = list(inputs)
        for step in self.steps:
            env.append(step(env))
        return env

    def __repr__(self) -> str:
        lines = [f"v{i} = {a!r}" for i, a in enumerate(self.inputs)]
        lines += [f"v{i} = {t}" for i, t in enumerate(self.text, start=len(self.inputs))]
        return "\n" + "\n".join(lines)


@st.composite
def input_arrays(draw: st.DrawFn) -> np.ndarray:
    """A small array with at least one row and one axis."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    kind = draw(st.sampled_from(["float", "float", "float", "int", "bool"]))
    if kind == "float":
        return draw(hnp.arrays(np.float64, shape, elements=FLOATS))
    if kind == "int":
        return draw(hnp.arrays(np.int64, shape, elements=st.integers(-3, 5)))
    return draw(hnp.arrays(np.bool_, shape))


@st.composite
def programs(draw: st.DrawFn, catalogue: dict[str, Any], max_steps: int = 12) -> Program:
    """A program of steps from a catalogue: name → function(draw, values) → (text, step) or None."""
    program = Program(draw(st.lists(input_arrays(), min_size=1, max_size=2)))
    names = st.sampled_from(sorted(catalogue))
    values: Env = [a.copy() for a in program.inputs]
    for _ in range(draw(st.integers(1, max_steps))):
        drawn = catalogue[draw(names)](draw, values)
        if drawn is None:
            continue
        text, step = drawn
        saved = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                value = step(values)
        except (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
            for value, before in zip(values, saved, strict=True):
                if isinstance(value, np.ndarray) and not np.array_equal(
                    value, before, equal_nan=value.dtype.kind in "fc"
                ):
                    value[...] = before  # a write that failed half way
            continue
        if isinstance(value, np.ndarray) and value.size > 200:
            continue
        program.steps.append(step)
        program.text.append(text)
        values.append(value)
    return program
