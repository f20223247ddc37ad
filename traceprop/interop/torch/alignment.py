"""Which source rows samples stand for: naming one in a message, and matching features with labels.

Promise: features and labels whose samples come from different rows of a source they share are
refused; nothing is said where the two share no source.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import DataError
from traceprop.lineage import ProvenanceTensor, origins

_NAMED_ROWS = 3


def place(data: Any, at: tuple[int, ...]) -> str:
    """Say where a value is: the sample, its source rows and its column, as far as known."""
    sample, *rest = at
    text = f"sample {sample}"
    if isinstance(data, ProvenanceTensor):
        text += _sources_of(data, sample)
    if len(rest) == 1 and isinstance(data, ProvenanceTensor) and data.columns is not None:
        return f"{text}, column {data.columns[rest[0]]!r}"
    if rest:
        return f"{text}, column {', '.join(map(str, rest))}"
    return text


def check_aligned(X: ProvenanceTensor, y: ProvenanceTensor) -> None:
    """Check that each sample's features and label come from a common row of the sources they share.

    Raises
    ------
    DataError
        Some sample's don't; the message names the first and both rows.
    """
    labels = {origin.source: origin for origin in origins(y)}
    for origin in origins(X):
        other = labels.get(origin.source)
        if other is None:
            continue
        if np.array_equal(origin.indptr, other.indptr) and np.array_equal(origin.rows, other.rows):
            continue
        counts, other_counts = np.diff(origin.indptr), np.diff(other.indptr)
        samples = np.repeat(np.arange(len(counts)), counts)
        common = np.isin(
            _keys(samples, origin.rows),
            _keys(np.repeat(np.arange(len(counts)), other_counts), other.rows),
        )
        shared = np.bincount(samples[common], minlength=len(counts)) > 0
        apart = np.flatnonzero((counts > 0) & (other_counts > 0) & ~shared)
        if len(apart):
            sample = int(apart[0])
            raise DataError(
                f"X and y are out of step at sample {sample}: X{_sources_of(X, sample)}, "
                f"y{_sources_of(y, sample)}; filter and reorder both alike"
            )


def _keys(samples: NDArray[np.int64], rows: NDArray[Any]) -> NDArray[np.int64]:
    """Return one number a pair of sample and row; rows are below 2³²."""
    return (samples.astype(np.int64) << 32) | rows.astype(np.int64)


def _sources_of(data: ProvenanceTensor, sample: int) -> str:
    parts = []
    for origin in origins(data[sample : sample + 1]):
        rows = [str(int(row)) for row in origin.rows]
        if not rows:
            continue
        named = ", ".join(rows[:_NAMED_ROWS]) + (", …" if len(rows) > _NAMED_ROWS else "")
        parts.append(f"{origin.source} row{'s' * (len(rows) > 1)} {named}")
    return f" ({'; '.join(parts)})" if parts else ""
