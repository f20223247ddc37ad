"""`top_k`: the samples of a store with the largest inner products, by whatever way is fastest.

Promises: without an index the answer is exact; with one, the scores are the exact ones, and what
was asked of it is said; of equal scores the row that was stored first comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.search.index import NAME, SearchIndex, open_index, scans_shards
from traceprop.attribution.search.question import Found, ask
from traceprop.attribution.search.scan import scan, scan_one_by_one
from traceprop.attribution.search.two_stage import candidate_count, pays
from traceprop.attribution.store.rows.shards import Shard

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore

# An index stays open as long as its store: opening is cheap, touching its pages anew is not.
_OPEN: WeakKeyDictionary[GradientStore, tuple[Path, SearchIndex]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The best samples of each query, best first.

    Parameters
    ----------
    samples : ndarray of int64, shape (q, m)
        m is k, or the number of samples if smaller.
    rows : ndarray of int64, shape (q, m)
        Their rows in `store.rows`.
    scores : ndarray of float32, shape (q, m)
    note : str
        How they were found, where that wasn't by looking at all; else empty.
    """

    samples: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    note: str = ""


def top_k(
    store: GradientStore,
    queries: ArrayLike,
    k: int,
    order: str = "largest",
    *,
    offsets: ArrayLike | None = None,
    use_index: bool = True,
    threads: int | None = None,
) -> Ranking:
    """Find the samples whose rows have the largest inner products with queries.

    Parameters
    ----------
    store : GradientStore
    queries : array-like, shape (q, width) or (width,)
        Vectors of as many numbers as a row: gradients, preconditioned where that is wanted. All of
        them share one pass over the rows.
    k : int
        How many samples to name for each query.
    order : {"largest", "abs", "against"}
        The largest scores first, the largest in size, or the smallest.
    offsets : array-like, shape (q,), optional
        Added to the scores of a query.
    use_index : bool
        Whether to use the store's index where it has one.
    threads : int, optional
        As many as the process has cores if not given.

    Raises
    ------
    AttributionError
        `k` is below 1, or no order is called so.
    DataError
        The queries have another width, or hold a NaN or an infinity.
    StoreError
        The store holds no run, its index doesn't fit, or its rows can't be read.

    Examples
    --------
    >>> top_k(store, vectors, 20).samples.shape  # doctest: +SKIP
    (3, 20)
    """
    rows = store.rows
    question = ask(queries, rows.shape[1], k, order, offsets)
    index = index_for(store, k) if use_index else None
    note = ""
    if index is not None:
        found = index.search(store.shards(), question, threads=threads)
        note = (
            f"The first {candidate_count(k)} of {len(rows)} rows by the store's index of 1-bit "
            f"codes were scored exactly; a row may be missing, none has another score."
        )
    elif scans_shards(store):
        found = scan(store.shards(), question, threads)
    else:
        found = scan_one_by_one(_made_rows(store), question, threads)
    return _ranking(store, found, note)


def _ranking(store: GradientStore, found: Found, note: str) -> Ranking:
    samples = np.asarray(store.sample_ids)[found.rows]
    return Ranking(samples, found.rows, found.scores, note)


def index_for(store: GradientStore, k: int) -> SearchIndex | None:
    """Return the store's index, opened once; None where it has none, or k is too many to pay."""
    found = store.derived(NAME)
    if found is None or not pays(len(store.rows), k):
        return None
    known = _OPEN.get(store)
    if known is None or known[0] != found.path:
        known = _OPEN[store] = found.path, open_index(store, found)
    return known[1]


def _made_rows(store: GradientStore) -> Iterator[Shard]:
    """Yield the rows of all samples, made of what is stored of them, in blocks."""
    start = 0
    for block in store.rows.blocks():
        ids = np.asarray(store.sample_ids[start : start + len(block)])
        yield Shard(block, None, ids, Path(), 0, start, None)
        start += len(block)
