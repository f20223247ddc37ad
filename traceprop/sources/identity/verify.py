"""What became of rows of a file: it is opened again, its rows hashed, and found by their hash.

Promise: a row that stands anywhere in the file with the text it had is found, wherever it moved;
"gone" is said only of a row whose hash is nowhere in the file, or of a file that is missing. Equal
rows can't be told apart: of those as many are found as there still are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceprop.errors import MissingFileError, SourceError
from traceprop.lineage.answers.verdict import RowVerdict
from traceprop.lineage.source import Source

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Present:
    """A file as it is now, read as it was loaded.

    Attributes
    ----------
    sha256 : str
        Digest of its stored bytes.
    hashes : uint64 array, shape (n,)
        A hash per row.
    lines : callable, optional
        The physical line, from 1, of each of some rows, for files that have lines.
    at : int64 array, optional
        Where each of the wanted rows is now, -1 for nowhere, for sources whose rows have keys; by
        default they are found by their hashes.
    """

    sha256: str
    hashes: npt.NDArray[np.uint64]
    lines: Callable[[Rows], Rows] | None = None
    at: Rows | None = None


#: Stands for the hash of a row that was not read yet, as when batches were left early.
UNREAD = np.uint64(0)
_NOTES = {"unknown": "the file changed, and the row was not read when it was loaded in batches"}


def verify_rows(
    source: Source, rows: Iterable[int], read: Callable[[], Present]
) -> list[RowVerdict]:
    """Say of rows of a file what became of them.

    Parameters
    ----------
    source : Source
        With `row_hashes`; without, rows of a changed file are ``unknown``.
    rows : iterable of int
    read : callable
        Reads the file as it is now; raises `SourceError` where that can't be done.

    Raises
    ------
    RowError
        Where a row isn't one of the source's.
    """
    wanted = np.asarray(source.check_rows(rows).to_numpy(), np.int64)
    try:
        present = read()
    except MissingFileError as missing:
        return [RowVerdict(source, int(row), "gone", note=str(missing)) for row in wanted]
    except SourceError as refused:
        note = f"it can't be read as it was: {refused}"
        return [RowVerdict(source, int(row), "unknown", note=note) for row in wanted]
    if present.sha256 == source.sha256:
        now, states = wanted, np.full(wanted.size, "same bytes", object)
    elif source.row_hashes is None:
        note = "the file changed, and no hash of its rows was kept"
        return [RowVerdict(source, int(row), "unknown", note=note) for row in wanted]
    else:
        old = source.row_hashes
        if present.at is None:
            now, states = _fates(old, present.hashes, wanted)
        else:
            now, states = present.at, _states(old[wanted], present.hashes, present.at)
        unread = old[wanted] == UNREAD
        now, states = np.where(unread, -1, now), np.where(unread, "unknown", states)
    lines = np.zeros(now.size, np.int64)
    if present.lines is not None:
        lines[now >= 0] = present.lines(now[now >= 0])
    return [
        RowVerdict(source, row, state, None if at < 0 else at, line or None, _NOTES.get(state, ""))
        for row, state, at, line in zip(
            wanted.tolist(), states.tolist(), now.tolist(), lines.tolist(), strict=True
        )
    ]


def _states(
    old: npt.NDArray[np.uint64], new: npt.NDArray[np.uint64], now: Rows
) -> npt.NDArray[np.object_]:
    """Return the states of rows with the hashes `old` that a key finds at `now`, -1 for nowhere."""
    states = np.full(now.size, "gone", object)
    there = np.flatnonzero(now >= 0)
    same = new[now[there]] == old[there]
    states[there] = np.where(same, "same row", "changed")
    return states


def _fates(
    old: npt.NDArray[np.uint64], new: npt.NDArray[np.uint64], rows: Rows
) -> tuple[Rows, npt.NDArray[np.object_]]:
    """Return where each of some rows is now, -1 for nowhere, and its state.

    A row whose text is nowhere has changed where between its neighbours there are as many rows as
    there were, all of them new; else it is gone.
    """
    from numba_kernels.row_matches import match_rows

    found = match_rows(old, new)
    stays = np.zeros(new.size + 1, bool)
    stays[found] = True  # those that are nowhere (-1) mark the last place, past the end
    now, states = found[rows], np.full(rows.size, "same row", object)
    kept = np.flatnonzero(found >= 0)
    for k in np.flatnonzero(now < 0):
        row = rows[k]
        i = np.searchsorted(kept, row)
        first = kept[i - 1] + 1 if i else 0
        stop = kept[i] if i < kept.size else old.size
        begin = found[first - 1] + 1 if first else 0
        end = found[stop] if stop < old.size else new.size
        if end - begin == stop - first and not stays[begin:end].any():
            now[k], states[k] = begin + row - first, "changed"
        else:
            states[k] = "gone"
    return now, states
