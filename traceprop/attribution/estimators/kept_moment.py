"""Mean and second moment of a store's rows: what every preconditioner is made of, computed once.

A pass over a million rows of 4096 numbers takes minutes, so what comes out can be kept in the
store, which drops it when its rows change. Promise: what is kept is what a pass gives, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import StoreError

if TYPE_CHECKING:
    from traceprop.attribution.store.committing.derived import Derived
    from traceprop.attribution.store.gradient_store import GradientStore

NAME = "second-moment"
VERSION = 1

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What preconditioners need to know of n rows Φ.

    Parameters
    ----------
    mean : ndarray of float64, shape (width,)
        The mean row.
    second : ndarray of float64, shape (width, width)
        ΦᵀΦ/n.
    """

    mean: Array
    second: Array

    def buffers(self) -> Iterator[memoryview]:
        """Yield the mean, and of the symmetric second moment what is on and above its diagonal."""
        yield _bytes(self.mean)
        for i, row in enumerate(self.second):
            yield _bytes(row[i:])


def read_moment(store: GradientStore) -> Moment | None:
    """Return the moment that a store keeps of its rows; None where it keeps none.

    Raises
    ------
    StoreError
        It is of another version, or doesn't fit the rows.
    """
    found = store.derived(NAME)
    return None if found is None else _read(store, found)


def keep_moment(store: GradientStore) -> Moment:
    """Return the moment of a store's rows, computed and kept unless it was."""
    known = read_moment(store)
    if known is None:
        # Loads torch, which whoever only reads what is kept doesn't need.
        from traceprop.attribution.estimators.projected import moment_of

        known = moment_of(store.rows)
        rows, width = store.rows.shape
        about = {"version": VERSION, "rows": rows, "width": width}
        store.put_derived(NAME, known.buffers(), about)
    return known


def _read(store: GradientStore, found: Derived) -> Moment:
    rows, width = store.rows.shape
    expected = {"version": VERSION, "rows": rows, "width": width}
    size = 8 * (width + width * (width + 1) // 2)
    if found.about != expected or found.size != size:
        raise StoreError(
            f"the second moment that {store.path} keeps is {found.about}, of {found.size} bytes, "
            f"and its rows are {expected}, which makes {size}: keep it anew with "
            f"`traceprop store index {store.path}`"
        )
    numbers = np.fromfile(found.path, "<f8").astype(np.float64, copy=False)
    second = np.empty((width, width))
    start = width
    for i in range(width):
        second[i, i:] = second[i:, i] = numbers[start : start + width - i]
        start += width - i
    return Moment(numbers[:width], second)


def _bytes(numbers: Array) -> memoryview:
    return np.ascontiguousarray(numbers, "<f8").view(np.uint8).data
