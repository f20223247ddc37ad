"""The rows that a recorded pipeline starts from, read again: each source once, with its digest.

`Source.read` compares the digest of what it reads with the recorded one. Data that was in memory
can't be read; who has it still gives it, and its digest is compared too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError, SourceError
from traceprop.lineage.graph.node import Node
from traceprop.lineage.rowset import RowSet, row_dtype
from traceprop.lineage.source import MemorySource, Source, find_source

Array = NDArray[Any]
Rows = NDArray[np.integer[Any]]
Given = Mapping[Source | str, Any]
Without = Mapping[Source, RowSet]


class Leaves:
    """Values of the sources' tensors.

    Parameters
    ----------
    leaves : iterable of Node
        The source nodes that will be asked for, each once.
    given : mapping of Source or str to array
        Data of sources that were in memory.
    without : mapping of Source to RowSet
        Rows to leave out.
    """

    def __init__(self, leaves: Iterable[Node], given: Given, without: Without) -> None:
        leaves = list(leaves)
        self._waiting = Counter(_key(leaf) for leaf in leaves)
        self._read: dict[tuple[Source, Any], Array] = {}
        known = list({leaf.args[0]: None for leaf in leaves})
        self._given = {find_source(known, name): data for name, data in given.items()}
        self._without = without

    def rows(self, leaf: Node) -> Rows | None:
        """Return the source rows that a leaf now has, in order; None for all of its source."""
        source, rows = leaf.args[0], leaf.args[1]
        gone = self._without.get(source)
        if gone is None or not len(gone):
            known: Rows | None = rows
            return known
        keep = np.ones(source.n_rows, np.bool_)
        keep[gone.to_numpy()] = False
        if rows is None:
            return np.flatnonzero(keep).astype(row_dtype(source.n_rows))
        kept: Rows = rows[keep[rows]]
        return kept

    def value(self, leaf: Node) -> Array:
        """Return what a leaf holds, its source read again.

        Raises
        ------
        SourceError
            When the source is gone, changed, or was in memory and wasn't given.
        LineageError
            When the leaf's text categories would be others.
        """
        key = _key(leaf)
        if key not in self._read:
            self._read.update(self._wholes(leaf.args[0], key[1]))
        whole = self._read[key]
        _check_kind(leaf, whole)
        self._waiting[key] -= 1
        if not self._waiting[key]:
            del self._read[key]
        rows = self.rows(leaf)
        part = whole if rows is None else _taken(whole, rows)
        _check_categories(leaf, whole, part)
        return part

    def _wholes(self, source: Source, column: str | None) -> dict[tuple[Source, Any], Array]:
        """Read a source; of a table all columns that are waited for, in one pass."""
        given = self._given_for(source)
        if given is not None:
            return {(source, column): given}
        if isinstance(source, MemorySource):
            raise SourceError(
                f"{source} was in memory, so it can't be read again: give what it held, as "
                f"tp.replay(X, sources={{{source.uri!r}: array}}), or load it from a file"
            )
        if column is None:
            return {(source, None): source.read()}
        names = [name for each, name in self._waiting if each == source and name is not None]
        return {(source, name): data for name, data in source.read_columns(names).items()}

    def _given_for(self, source: Source) -> Array | None:
        if source not in self._given:
            return None
        array = np.array(self._given[source])
        if MemorySource.of(array, source.uri, ()).sha256 != source.sha256:
            raise SourceError(
                f"the array given for {source} is not the one that was recorded: type, shape and "
                "every value must be the same"
            )
        return array


def _key(leaf: Node) -> tuple[Source, Any]:
    column = leaf.args[2]
    return leaf.args[0], column if isinstance(column, str) else None


def _check_kind(leaf: Node, whole: Array) -> None:
    """Refuse rows that are read in another way than they were."""
    source = leaf.args[0]
    expected = (source.n_rows, *leaf.shape[1:])
    if whole.shape != expected or whole.dtype != leaf.dtype:
        raise SourceError(
            f"{source} gave {whole.dtype}{list(whole.shape)} where {leaf.dtype}{list(expected)} "
            "was recorded, although its digest is the same: its library reads it otherwise today; "
            "load it anew"
        )


def _taken(whole: Array, rows: Rows) -> Array:
    """Return some rows, without copying where they follow one another."""
    if not len(rows):
        return whole[:0]
    first, last = int(rows[0]), int(rows[-1])
    if last - first == len(rows) - 1 and bool(np.all(rows[1:] > rows[:-1])):
        return whole[first : last + 1]
    return whole[rows]


def _check_categories(leaf: Node, whole: Array, part: Array) -> None:
    """Refuse codes of texts that would be numbered otherwise, were the rest of the rows all."""
    if not isinstance(leaf.args[2], str) or leaf.dtype != np.int32 or part.shape == whole.shape:
        return
    codes = np.unique(whole)
    if not np.array_equal(codes[codes >= 0], np.arange(int((codes >= 0).sum()))):
        return  # numbers, of which some in between don't occur
    source, _, column = leaf.args
    if not np.array_equal(codes, np.unique(part)):
        if leaf.args[1] is not None and len(leaf.args[1]) == len(part):
            raise LineageError(
                f"column {column!r} of {source} was read in batches, each of which numbers its own "
                "texts, so it can't be replayed: read it whole"
            )
        raise LineageError(
            f"column {column!r} of {source} has a text, or a gap, in no other row than those left "
            "out: its codes, and the columns made of them, would be others; prepare the data anew"
        )
