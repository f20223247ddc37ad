"""Nudges: other values for one row of an array, of its own dtype.

One nudge shows little (a larger value changes no minimum), so a row gets several: a little more,
far more, far less, the sign reversed, zero, NaN, a neighbour's values (which makes ties), and
single cells alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def nudged(array: Array, row: int, finite: bool = False) -> Iterator[Array]:
    """Yield copies of `array` with row `row` changed, each in another way.

    Parameters
    ----------
    array : ndarray
        Of one dimension or more; of any dtype.
    row : int
    finite : bool
        Leave out the nudges to NaN and infinity.

    Yields
    ------
    ndarray
        Differs from `array` in that row alone.
    """
    cells = array[row : row + 1]
    for other in _others(array, row):
        changed = array.copy()
        changed[row : row + 1] = other
        if not finite or _is_finite(changed[row]):
            yield changed
    if cells.size > 1:
        for place in (0, cells.size - 1):
            for other in islice(_replacements(cells), 3):
                changed = array.copy()
                changed[row].flat[place] = other.flat[place]
                yield changed


def _is_finite(cells: Array) -> bool:
    return cells.dtype.kind not in "fc" or bool(np.isfinite(cells).all())


def _others(array: Array, row: int) -> Iterator[Array]:
    """Yield other values for a row: by its dtype, then those of its neighbours."""
    yield from _replacements(array[row : row + 1])
    for neighbour in (row - 1, row + 1):
        if 0 <= neighbour < len(array):
            yield array[neighbour : neighbour + 1]


def _replacements(cells: Array) -> Iterator[Array]:
    """Yield other values for the cells of one row; the first one differs in every cell."""
    kind = cells.dtype.kind
    steps = np.arange(1, cells.size + 1).reshape(cells.shape)
    if kind == "b":
        yield ~cells
        yield np.ones_like(cells)
        yield np.zeros_like(cells)
    elif kind in "iu":
        with np.errstate(all="ignore"):
            yield cells + steps.astype(cells.dtype)
            yield cells - cells.dtype.type(1)
            yield -cells if kind == "i" else cells // 2
        yield np.zeros_like(cells)
        yield np.full_like(cells, 99)
    elif kind in "fc":
        finite = np.nan_to_num(cells, nan=0.75, posinf=2.0, neginf=-2.0)
        yield (finite + 1e-3 * steps).astype(cells.dtype)
        yield (finite + 1e4 * steps).astype(cells.dtype)
        yield (finite - 1e4 * steps).astype(cells.dtype)
        yield np.where(finite == 0, -1, -finite).astype(cells.dtype)
        yield np.zeros_like(cells)
        for special in (np.nan, np.inf, -np.inf):
            yield np.full_like(cells, special)
        if kind == "c":
            yield finite + 2j
    elif kind in "mM":
        yield (np.nan_to_num(cells.astype(np.int64), nan=0) % 1000 + steps).astype(cells.dtype)
        yield np.full_like(cells, 4000)
        yield np.full_like(cells, -4000)
        yield np.full_like(cells, "NaT")
    elif kind in "UST":
        yield np.strings.add(cells.astype("U9"), "z").astype(cells.dtype)
        for text in ("", "B", "zz", "1"):
            yield np.full_like(cells, text)
    elif kind == "V" and cells.dtype.names:
        yield from _fields(cells)
    elif kind == "O":
        yield np.frompyfunc(lambda value: value + value, 1, 1)(cells)
        yield np.frompyfunc(lambda value: value * 0, 1, 1)(cells)
    else:
        raise TypeError(f"no nudges are known for {cells.dtype}")


def _fields(cells: Array) -> Iterator[Array]:
    for name in cells.dtype.names or ():
        for other in _replacements(cells[name]):
            changed = cells.copy()
            changed[name] = other
            yield changed
