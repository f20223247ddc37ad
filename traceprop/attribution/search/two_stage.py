"""The best rows of a large store in three steps, each over fewer rows with more bits of them.

The first 1,024 bits of all rows leave one row in 128; all their bits leave a few hundred; these are
read as they are stored and scored as a scan scores them. Promise: rows that are named have the very
scores that a scan gives them; only a row may be missing, which more `candidates` make rarer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from numba_kernels.scan_codes import refine_codes, scan_codes
from numba_kernels.scan_top import merge_heaps
from traceprop.attribution.search.codes import CodedQueries, Codes
from traceprop.attribution.search.question import Floats, Found, Question, ranked
from traceprop.attribution.search.reads import read_rows
from traceprop.attribution.search.scan import best_of, not_a_number, score_values
from traceprop.attribution.search.threads import share_out, thread_count
from traceprop.attribution.store.rows.shards import Shard

CANDIDATES = 512
"""Rows that are scored exactly, at least."""

_PER_ROW_ASKED = 8
_KEPT_SHARE = 128
_KEPT_PER_CANDIDATE = 8
# Rows that a thread takes at a time: 1 MiB of codes.
_PIECE_ROWS = 8192


def candidate_count(k: int, candidates: int | None = None) -> int:
    """Return how many rows are scored exactly for the best k."""
    return max(k, candidates or max(CANDIDATES, _PER_ROW_ASKED * k))


def pays(n_rows: int, k: int) -> bool:
    """Tell whether codes spare enough of the rows to be worth asking."""
    return _KEPT_PER_CANDIDATE * candidate_count(k) * 4 <= n_rows


def search_codes(
    codes: Codes,
    coded: CodedQueries,
    shards: Sequence[Shard],
    question: Question,
    *,
    candidates: int | None = None,
    threads: int | None = None,
) -> Found:
    """Find the best rows by their codes, then by themselves.

    Parameters
    ----------
    codes : Codes
        Of all rows of the shards.
    coded : CodedQueries
        The question's queries, coded alike.
    shards : sequence of Shard
        The rows.
    question : Question
    candidates : int, optional
        Rows that are scored exactly for each query.
    threads : int, optional
        As many as the process has cores if not given.
    """
    n_rows, n_threads = len(codes.head), thread_count(threads)
    k, wanted = min(question.k, n_rows), min(candidate_count(question.k, candidates), n_rows)
    kept = min(n_rows, max(_KEPT_PER_CANDIDATE * wanted, n_rows // _KEPT_SHARE))
    left = _first(codes, coded, question, kept, n_threads)
    rows = np.empty((len(left), k), np.int64)
    scores = np.empty((len(left), k), np.float32)
    for q, few in enumerate(left):
        fewer = few
        if codes.tail.shape[1]:
            fewer = _refined(codes, coded, question, q, few, wanted, n_threads)
        rows[q], scores[q] = _exact(shards, question, q, np.sort(fewer[:wanted]), k)
    return Found(rows, scores)


def _first(
    codes: Codes, coded: CodedQueries, question: Question, kept: int, threads: int
) -> NDArray[np.int64]:
    """Return the rows that the head leaves of each query, best first, shape `(q, kept)`."""
    n_rows = len(codes.head)
    heaps = np.zeros((threads, len(question.queries), kept), np.uint64)

    def work(thread: int, piece: int) -> None:
        start = piece * _PIECE_ROWS
        stop = min(n_rows, start + _PIECE_ROWS)
        scan_codes(
            codes.head[start:stop],
            codes.factors[0, start:stop],
            coded.head,
            coded.head_centres,
            coded.steps,
            question.offsets,
            start,
            question.order,
            heaps[thread],
        )

    share_out(work, -(-n_rows // _PIECE_ROWS), threads)
    return best_of(heaps, kept, question.order).rows


def _refined(
    codes: Codes,
    coded: CodedQueries,
    question: Question,
    q: int,
    rows: NDArray[np.int64],
    wanted: int,
    threads: int,
) -> NDArray[np.int64]:
    """Return the rows that all bits leave of some, best first."""
    heaps = np.zeros((threads, wanted), np.uint64)
    ordered = np.sort(rows)  # so that memory is read forwards
    pieces = np.array_split(ordered, 4 * threads)

    def work(thread: int, piece: int) -> None:
        refine_codes(
            pieces[piece],
            codes.head,
            codes.tail,
            codes.factors[1],
            coded.head[q : q + 1],
            coded.tail[q : q + 1],
            coded.centres[q],
            coded.steps[q],
            question.offsets[q],
            question.order,
            heaps[thread],
        )

    share_out(work, len(pieces), threads)
    best: NDArray[np.int64] = merge_heaps(heaps, wanted, question.order)[0]
    return best


def _exact(
    shards: Sequence[Shard], question: Question, q: int, rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return the best k of rows in ascending order, and their scores."""
    scores = score_values(*read_rows(shards, rows), question, q)
    bad = rows[np.isnan(scores)]
    if len(bad):
        shard = next(shard for shard in shards if bad[0] < shard.start + len(shard))
        raise not_a_number(shard, int(bad[0]) - shard.start)
    best = ranked(scores, question.order)[:k]
    return rows[best], scores[best]
