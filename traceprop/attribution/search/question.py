"""What is asked of a store's rows: vectors to multiply them with, how many to name, in what order.

Promise: a question that makes no sense is refused by a `Question` before a row is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numba_kernels.scan_top import ABS, AGAINST, LARGEST
from traceprop.errors import AttributionError, DataError

Floats = NDArray[np.float32]

ORDERS = {"largest": LARGEST, "abs": ABS, "against": AGAINST}


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A batch of queries that share a pass over the rows.

    Parameters
    ----------
    queries : ndarray of float32, shape (q, width)
        A row's score for query i is its inner product with `queries[i]`, plus `offsets[i]`.
    offsets : ndarray of float32, shape (q,)
        Numbers that are added: they matter to the order `abs`.
    k : int
        How many rows to name, at most.
    order : int
        A value of `ORDERS`.
    """

    queries: Floats
    offsets: Floats
    k: int
    order: int


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best rows of each query, best first; of equal scores the earlier row.

    Parameters
    ----------
    rows : ndarray of int64, shape (q, m)
        Numbers of stored rows, counted over all shards; m is k, or the number of rows if smaller.
    scores : ndarray of float32, shape (q, m)
        Theirs.
    """

    rows: NDArray[np.int64]
    scores: Floats


def ranked(scores: Floats, order: int) -> NDArray[np.intp]:
    """Return the places of scores `(n,)`, best first; equal ones stay in order, NaN goes last."""
    key = -scores
    if order == ABS:
        key = -np.abs(scores)
    elif order == AGAINST:
        key = scores
    return np.argsort(key, kind="stable")


def ask(
    queries: ArrayLike,
    width: int,
    k: int,
    order: str = "largest",
    offsets: ArrayLike | None = None,
) -> Question:
    """Put a question together.

    Parameters
    ----------
    queries : array-like, shape (q, width) or (width,)
    width : int
        Numbers in a row of the store.
    k, order, offsets
        As in `Question`; `order` by its name.

    Raises
    ------
    AttributionError
        `k` is below 1, or no order is called so.
    DataError
        The queries have another width, or hold a NaN or an infinity.
    """
    if order not in ORDERS:
        raise AttributionError(f"no order is called {order!r}; use one of {', '.join(ORDERS)}")
    if not _is_whole(k) or k < 1:
        raise AttributionError(f"k is {k!r}; give a whole number from 1")
    rows = _floats(queries, "query")
    if rows.ndim == 1:
        rows = rows[None]
    if rows.ndim != 2 or rows.shape[1] != width:
        raise DataError(
            f"queries of shape {rows.shape} don't fit rows of {width} numbers; give one vector of "
            f"{width} a query"
        )
    added = np.zeros(len(rows), np.float32) if offsets is None else _floats(offsets, "offset")
    if added.shape != (len(rows),):
        raise DataError(f"{added.size} offsets for {len(rows)} queries; give one a query")
    return Question(np.ascontiguousarray(rows), added, int(k), ORDERS[order])


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _floats(given: ArrayLike, what: str) -> Floats:
    """Return float32 values, all finite."""
    array: NDArray[Any] = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise DataError(f"a {what} isn't numeric: it has the dtype {array.dtype}")
    with np.errstate(over="ignore"):
        floats = array.astype(np.float32)
    if not np.isfinite(floats).all():
        at = ", ".join(map(str, np.argwhere(~np.isfinite(floats))[0]))
        raise DataError(f"a {what} is NaN, infinite or beyond float32 at [{at}]")
    return floats
