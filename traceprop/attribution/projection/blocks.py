"""Where each parameter lies in the flat gradient, and which random choices are its own.

Promise: a block read from a file is one that a model can have, or is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import StoreError

Floats = NDArray[np.float32]

_MOST_NUMBERS = 1 << 48  # more than any model has: such a shape in a file is an attack or a fault


@dataclass(frozen=True, slots=True)
class Block:
    """One parameter in the flat gradient.

    Parameters
    ----------
    name : str
        The parameter's name in the model.
    shape : tuple of int
        Its shape.
    linear : bool
        Whether it is a linear layer's (out, in) weight, whose per-sample gradient is a sum of few
        outer products.
    """

    name: str
    shape: tuple[int, ...]
    linear: bool = False

    @property
    def size(self) -> int:
        """How many numbers the parameter has."""
        return math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Return the block as a JSON object."""
        return {"name": self.name, "shape": list(self.shape), "linear": self.linear}

    @classmethod
    def from_json(cls, value: Any) -> Block:
        """Read a block written by `to_json`; `StoreError` where it is none."""
        if not isinstance(value, Mapping):
            raise StoreError(f"a projection's block is {value!r}, which is no JSON object")
        name, shape, linear = value.get("name"), value.get("shape"), value.get("linear")
        if not (isinstance(name, str) and isinstance(shape, list) and isinstance(linear, bool)):
            raise StoreError(f"a projection's block {value!r} is no parameter; the file is damaged")
        if not all(type(size) is int and 0 <= size < _MOST_NUMBERS for size in shape):
            raise StoreError(f"a projection's block {name!r} can't have shape {shape}")
        block = cls(name, tuple(shape), linear)
        if block.size >= _MOST_NUMBERS or (linear and len(shape) != 2):
            raise StoreError(f"a projection's block {name!r} can't have shape {block.shape}")
        return block


def starts_of(sizes: Sequence[int]) -> list[int]:
    """Return where each of some consecutive parts begins."""
    return [0, *accumulate(sizes)][: len(sizes)]


def block_keys(seed: int, n_blocks: int) -> list[tuple[np.uint64, np.uint64]]:
    """Return two 64-bit hash keys a block, which follow from the seed and its place alone."""
    from numba_kernels.projection import hash64

    def key(parent: np.uint64, counter: int) -> np.uint64:
        with np.errstate(over="ignore"):  # the hash works modulo 2**64
            return np.uint64(hash64.py_func(parent, np.uint64(counter)))

    root = key(np.uint64(seed), 0)
    return [(key(root, 2 * i), key(root, 2 * i + 1)) for i in range(n_blocks)]
