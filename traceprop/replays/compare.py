"""Whether replayed values are those that a tensor holds: to the bit, or within the tolerance."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError, LineageWarning
from traceprop.lineage.graph.node import Node

Array = NDArray[Any]


def check_equal(found: Any, expected: Any, node: Node) -> None:
    """Compare replayed values with the recorded tensor's, where it is still in memory.

    Raises
    ------
    LineageError
        When they differ by more than the square root of the type's precision, relative to the
        largest value: the tensor was changed on a way that isn't recorded.

    Warns
    -----
    LineageWarning
        When they differ by less.
    """
    if expected is None:
        return
    a, b = np.asarray(found), np.asarray(expected)
    if a.dtype == b.dtype and a.shape == b.shape:
        if same_bits(a, b):
            return
        if a.dtype.kind in "fc":
            off = distance(a, b)
            if off <= np.sqrt(np.finfo(a.dtype).eps):
                warnings.warn(
                    f"the replayed {node.name} differs from the recorded one by up to {off:.1g} of "
                    "its largest value: arrays lay in memory in another order, or NumPy, the "
                    "processor or its threads are others",
                    LineageWarning,
                    stacklevel=3,
                )
                return
    raise LineageError(
        f"the replayed {node.name} {list(node.shape)} is not what the tensor holds: the tensor was "
        "written into on a way that isn't recorded, as through np.asarray(X), or took values that "
        "nobody had written, as those of np.empty_like(X)"
    )


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays of one shape and dtype hold the same; NaN is NaN, and -0.0 is not 0.0."""
    if a.dtype.names:
        return all(same_bits(a[name], b[name]) for name in a.dtype.names)
    if a.dtype.kind == "O":
        pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
        return all(x is y or (type(x) is type(y) and repr(x) == repr(y)) for x, y in pairs)
    if a.dtype.kind == "c":
        return same_bits(a.real, b.real) and same_bits(a.imag, b.imag)
    if a.dtype.kind == "f" and a.dtype.itemsize in (2, 4, 8):
        bits = np.dtype(f"u{a.dtype.itemsize}")
        if np.array_equal(_viewed(a, bits), _viewed(b, bits)):
            return True
        signs = np.array_equal(np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b))
        return signs and np.array_equal(a, b, equal_nan=True)
    if a.dtype.kind in "mM":
        return np.array_equal(_viewed(a, np.dtype(np.int64)), _viewed(b, np.dtype(np.int64)))
    return bool(np.all(a == b))


def _viewed(array: Array, dtype: np.dtype[Any]) -> Array:
    native = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return np.atleast_1d(native).view(dtype)


def distance(a: Array, b: Array) -> float:
    """Largest difference over the largest value; infinite where other cells aren't finite."""
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return float("inf")
    with np.errstate(all="ignore"):
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return float("inf")
        largest = np.abs(b[finite]).max(initial=0)
        return float(np.abs(a[finite] - b[finite]).max(initial=0) / max(largest, 1e-300))
