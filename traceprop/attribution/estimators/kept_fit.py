"""What an estimator was fitted to, kept in the store for the next process.

A fit reads all rows, or makes gradients of all samples; a query only solves with its factor.
Promises: what is kept is what was fitted, to the bit; it is written all or not at all, without
pickle; it is used for the weights, rows and version that it was fitted to and for no others;
whatever changes the rows (another run, compaction, erasure) drops it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.curvature.cholesky import Factor

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

VERSION = 1

_DTYPES: dict[str, np.dtype[Any]] = {"<f8": np.dtype("<f8"), "<f4": np.dtype("<f4")}


@dataclass(frozen=True, slots=True, eq=False)
class KeptFit:
    """A fit.

    Parameters
    ----------
    factor : Factor
        Of the damped curvature.
    damping : float
        What was added to its diagonal.
    arrays : mapping of str to ndarray of float32 or float64
        What else it needs.
    notes : tuple of str
        What the fit itself has to say.
    """

    factor: Factor
    damping: float
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def keep_fit(store: GradientStore, method: str, fit: KeptFit) -> None:
    """Write a fit into the store.

    Raises
    ------
    StoreError
        The store has changed since it was opened, or can't be written.
    """
    # LAPACK's factors lie by columns; so do their rows here, and no query has to turn them.
    arrays = {"upper": fit.factor.upper.T, **fit.arrays}
    about = _bound_to(store) | {
        "damping": fit.damping,
        "reciprocal_condition": fit.factor.reciprocal_condition,
        "notes": list(fit.notes),
        "arrays": [[name, _code(value), list(value.shape)] for name, value in arrays.items()],
    }
    content = (_bytes(value) for value in arrays.values())
    store.put_derived(f"fit-{method}", content, about)


def read_fit(store: GradientStore, method: str) -> KeptFit | None:
    """Return the fit that a store keeps of its rows and weights; None where it keeps none."""
    found = store.derived(f"fit-{method}")
    if found is None or {key: found.about.get(key) for key in _BOUND} != _bound_to(store):
        return None
    arrays: dict[str, NDArray[Any]] = {}
    start = 0
    for name, code, shape in found.about["arrays"]:
        dtype = _DTYPES[code]
        count = math.prod(shape)
        read = np.memmap(found.path, dtype, mode="r", offset=start, shape=(count,))
        arrays[name] = np.asarray(read).reshape(shape)
        start += count * dtype.itemsize
    factor = Factor(arrays.pop("upper").T, found.about["reciprocal_condition"])
    return KeptFit(factor, found.about["damping"], arrays, tuple(found.about["notes"]))


_BOUND = ("version", "model_sha256", "rows", "width")


def _bound_to(store: GradientStore) -> dict[str, Any]:
    """Return what a fit holds for."""
    assert store.record is not None
    rows, width = store.rows.shape
    values = (VERSION, store.record.model_digest, rows, width)
    return dict(zip(_BOUND, values, strict=True))


def _code(array: NDArray[Any]) -> str:
    return "<f4" if array.dtype == np.float32 else "<f8"


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array, _code(array)).reshape(-1).view(np.uint8).data
