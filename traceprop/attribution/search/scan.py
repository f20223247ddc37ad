"""Every stored row multiplied with every query, and the best rows kept: exact, at memory's speed.

Promises: the rows are read once, in the order they lie on disk, for a whole batch of queries; no
scores are kept but the best k of each; the answer doesn't depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numba_kernels.scan import scan_rows, score_rows
from numba_kernels.scan_top import MAX_ROWS, merge_heaps
from traceprop.attribution.search.question import Floats, Found, Question, ranked
from traceprop.attribution.search.threads import share_out, thread_count
from traceprop.attribution.store.rows.shards import Shard
from traceprop.errors import AttributionError, StoreError

# Bytes of rows that a thread takes at a time: a fraction of a millisecond's reading.
_PIECE_BYTES = 8 << 20
_UNSCALED = np.empty(0, np.float32)


def scan(shards: Sequence[Shard], question: Question, threads: int | None = None) -> Found:
    """Find the best rows by looking at all.

    Parameters
    ----------
    shards : sequence of Shard
        The rows, each shard with its `start`.
    question : Question
        From `ask`.
    threads : int, optional
        As many as the process has cores if not given.

    Raises
    ------
    AttributionError
        There are 2³¹ rows or more.
    StoreError
        A score is NaN: a row is damaged.
    """
    n_queries, n_threads = len(question.queries), thread_count(threads)
    n_rows = row_count(shards)
    k = min(question.k, n_rows)
    heaps = np.zeros((n_threads, n_queries, k), np.uint64)
    pieces = [
        (shard, start, start + step)
        for shard in shards
        for step in [_rows_per_piece(shard)]
        for start in range(0, len(shard), step)
    ]

    def work(thread: int, number: int) -> None:
        shard, start, stop = pieces[number]
        values, scales = for_kernel(shard.values[start:stop], shard.scales, slice(start, stop))
        bad = scan_rows(
            values,
            scales,
            question.queries,
            question.offsets,
            shard.start + start,
            question.order,
            heaps[thread],
        )
        if bad >= 0:
            raise not_a_number(shard, bad - shard.start)

    if k:
        share_out(work, len(pieces), n_threads)
    return best_of(heaps, k, question.order)


def scan_one_by_one(
    shards: Iterable[Shard], question: Question, threads: int | None = None
) -> Found:
    """As `scan`, of shards that are in memory one at a time."""
    n_queries = len(question.queries)
    rows = np.empty((n_queries, 0), np.int64)
    scores = np.empty((n_queries, 0), np.float32)
    for shard in shards:
        found = scan([shard], question, threads)
        both = np.hstack([rows, found.rows]), np.hstack([scores, found.scores])
        best = np.array([ranked(row, question.order)[: question.k] for row in both[1]])
        rows, scores = (np.take_along_axis(each, best, axis=1) for each in both)
    return Found(rows, scores)


def best_of(heaps: NDArray[np.uint64], k: int, order: int) -> Found:
    """Merge the heaps of all threads, shape `(threads, queries, k)`."""
    n_queries = heaps.shape[1]
    rows, scores = np.empty((n_queries, k), np.int64), np.empty((n_queries, k), np.float32)
    for q in range(n_queries):
        rows[q], scores[q] = merge_heaps(heaps[:, q], k, order)
    return Found(rows, scores)


def score_values(
    values: NDArray[Any], scales: Floats | None, question: Question, query: int
) -> Floats:
    """Return one query's scores of rows as they are stored, shape `(n,)`: the bits `scan` has."""
    out = np.empty(len(values), np.float32)
    offset = question.offsets[query]
    score_rows(*for_kernel(values, scales), question.queries, query, offset, out)
    return out


def not_a_number(shard: Shard, row: int) -> StoreError:
    """Return the error of a row of a shard whose score is NaN, as none is that was stored."""
    place = f" (row {row} of {shard.path})" if shard.path.name else ""
    return StoreError(
        f"The score of sample {shard.sample_ids[row]}{place} is NaN: the row is damaged, or its "
        f"numbers are too large for float32. `traceprop store verify` tells whether it is as it "
        f"was written."
    )


def for_kernel(
    values: NDArray[Any], scales: Floats | None, part: slice = slice(None)
) -> tuple[NDArray[Any], Floats]:
    """Return stored rows and scales as the kernels take them: float16 by its bits."""
    plain = np.asarray(values)
    if plain.dtype == np.float16:
        plain = plain.view(np.uint16)
    return plain, _UNSCALED if scales is None else np.asarray(scales[part])


def row_count(shards: Sequence[Shard]) -> int:
    """Return how many rows there are; `AttributionError` where they can't be numbered."""
    n_rows = sum(len(shard) for shard in shards)
    if n_rows >= MAX_ROWS:
        raise AttributionError(
            f"a store of {n_rows} rows is too large to search at once ({MAX_ROWS - 1} at most); "
            f"search its parts"
        )
    return n_rows


def _rows_per_piece(shard: Shard) -> int:
    row_bytes: int = shard.values.shape[1] * shard.values.itemsize
    return max(1, _PIECE_BYTES // max(1, row_bytes))
