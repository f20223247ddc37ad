"""`factors`: a linear layer's gradient kept exactly, as the two vectors whose product it is.

A row holds, a parameter after the other, the output's gradient (p numbers) and the input (q) of
each linear layer that ran once on one vector a sample, and plain gradients for the rest; the bias
of such a layer needs nothing more, its gradient is the output's. Promise: `gradients` of the rows
are the gradients, to the rounding of one product. A sum of two samples' rows means nothing: rows
are of one visit each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.projection.blocks import Floats, starts_of
from traceprop.attribution.projection.sketch import FORMED_NUMBERS, Sketch
from traceprop.errors import CaptureError

if TYPE_CHECKING:
    from traceprop.attribution.projection.projector import Projector


@dataclass(frozen=True, slots=True)
class Place:
    """Where a parameter's numbers lie in a row.

    Parameters
    ----------
    start, stop : int
        The numbers.
    is_pair : bool
        Whether they are the factors of an outer product; else they are the gradient.
    is_shared : bool
        Whether they are the first of a pair's factors at the same time: a linear layer's bias.
    """

    start: int
    stop: int
    is_pair: bool
    is_shared: bool


def layout(projector: Projector) -> tuple[Place, ...]:
    """Return where each parameter lies in a row."""
    blocks = projector.blocks
    is_pair = [
        block.linear and len(block.shape) == 2 and sum(block.shape) < block.size for block in blocks
    ]
    weights = {block.name: i for i, block in enumerate(blocks) if is_pair[i]}
    sizes, weight_of = [], {}
    for i, block in enumerate(blocks):
        weight = weights.get(f"{block.name.removesuffix('bias')}weight")
        is_bias = block.name.rpartition(".")[2] == "bias" and weight is not None
        if is_bias and weight is not None and block.shape == blocks[weight].shape[:1]:
            weight_of[i] = weight
            sizes.append(0)
        else:
            sizes.append(sum(block.shape) if is_pair[i] else block.size)
    starts = starts_of(sizes)
    places = []
    for i, block in enumerate(blocks):
        start, size = starts[i], sizes[i]
        if i in weight_of:  # the output's gradient, which is the first of the weight's factors
            start, size = starts[weight_of[i]], block.size
        places.append(Place(start, start + size, is_pair[i], i in weight_of))
    return tuple(places)


def width_of(projector: Projector) -> int:
    """Return how many numbers a row of factors has."""
    return max(place.stop for place in projector.plan(layout))


def gradients(projector: Projector, rows: NDArray[Any]) -> NDArray[Any]:
    """Return the flat gradients, shape (n, d), of rows of factors (n, width)."""
    out = np.empty((len(rows), projector.d), rows.dtype)
    start = 0
    for block, place in zip(projector.blocks, projector.plan(layout), strict=True):
        values = rows[:, place.start : place.stop]
        if place.is_pair:
            p = block.shape[0]
            values = (values[:, :p, None] * values[:, None, p:]).reshape(len(rows), -1)
        out[:, start : start + block.size] = values
        start += block.size
    return out


def projected(projector: Projector, rows: NDArray[Any], to: Projector) -> Floats:
    """Return rows of factors as another map makes them of the gradients, some rows at a time.

    Parameters
    ----------
    projector : Projector
        What the rows were made by.
    rows : ndarray, shape (n, width)
        Rows of factors.
    to : Projector
        A linear map of the same parameters: any kind but `factors`.

    Returns
    -------
    ndarray of float32, shape (n, to.width)
    """
    out = np.empty((len(rows), to.width), np.float32)
    blocks, places = projector.blocks, projector.plan(layout)
    largest = max(max(block.size for block in blocks), to.width)
    step = max(1, 16 * FORMED_NUMBERS // largest)
    for start in range(0, len(rows), step):
        some = np.asarray(rows[start : start + step])
        sketch = to.sketch(len(some))
        for i, (block, place) in enumerate(zip(blocks, places, strict=True)):
            values = some[:, None, place.start : place.stop]
            p = block.shape[0] if block.shape else 1
            if not place.is_pair:
                sketch.add(i, values)
            elif sketch.takes_factors(i, 1):
                sketch.add_factors(i, values[:, :, :p], values[:, :, p:])
            else:
                Sketch.add_factors(sketch, i, values[:, :, :p], values[:, :, p:])
        out[start : start + step] = sketch.rows()
    return out


class FactorSketch(Sketch):
    """The rows of factors of a batch, see `Sketch`. Each parameter is added once."""

    def __init__(self, projector: Projector, n: int) -> None:
        super().__init__(projector, n)
        self._places = projector.plan(layout)
        self._rows = np.empty((n, projector.width), np.float32)
        self._added = [0] * len(projector.blocks)
        self._pairs: set[int] = set()  # where those begin that are there

    def add(self, i: int, gradients: NDArray[Any], part: slice = slice(None)) -> None:
        """Put per-sample gradients `(m, ...)` of parameter i into the batch, or into part of it."""
        place, rows = self._places[i], self._rows[part]
        if place.is_pair:
            self._refuse(i)
        self._count(i, len(rows))
        if place.is_shared and place.start in self._pairs:
            return  # the bias lies where the pair's first factor does, and is equal to it
        rows[:, place.start : place.stop] = gradients.reshape(len(rows), -1)

    def takes_factors(self, i: int, n_terms: int) -> bool:
        """Tell whether parameter i is kept as factors."""
        return self._places[i].is_pair

    def add_factors(self, i: int, left: NDArray[Any], right: NDArray[Any]) -> None:
        """Put left[:, 0] ⊗ right[:, 0] into parameter i.

        Raises
        ------
        CaptureError
            The layer ran on more than one vector a sample, or more than once.
        """
        if left.shape[1] != 1:
            self._refuse(i)
        self._count(i, self.n)
        place, p = self._places[i], left.shape[2]
        self._pairs.add(place.start)
        self._rows[:, place.start : place.start + p] = left[:, 0]
        self._rows[:, place.start + p : place.stop] = right[:, 0]

    def rows(self, factor: float = 1.0) -> Floats:
        """Return the rows, (n, width), of `factor` times the gradients."""
        for i, (place, block) in enumerate(zip(self._places, self.projector.blocks, strict=True)):
            if place.is_shared:
                continue
            if not self._added[i]:  # the layer took no part
                self._rows[:, place.start : place.stop] = 0
            stop = place.start + block.shape[0] if place.is_pair else place.stop
            self._rows[:, place.start : stop] *= np.float32(factor)
        return self._rows

    def _count(self, i: int, n: int) -> None:
        self._added[i] += n
        if self._added[i] > self.n:
            self._refuse(i)

    def _refuse(self, i: int) -> None:
        raise CaptureError(
            f"projection='factors' keeps one pair of vectors a sample, and "
            f"{self.projector.blocks[i].name} has more: its layer ran on a sequence, or more than "
            f"once. Use projection='sjlt'"
        )
