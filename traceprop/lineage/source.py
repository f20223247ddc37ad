"""What a source of rows is: a name, a digest, a number of rows, and where each row stands.

This module knows no file format. `traceprop.sources` subclasses `Source` for each kind and
registers it by `kind`, so that a saved lineage finds the class again.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import RowError, SourceError, UnknownNameError
from traceprop.lineage.answers.verdict import RowVerdict
from traceprop.lineage.graph.counted import count_asked, source_count_asked
from traceprop.lineage.rowset import RowSet

if TYPE_CHECKING:
    from traceprop.lineage.cells.selected import Column, SourceCells
    from traceprop.lineage.graph.counted import CountDoor
    from traceprop.lineage.graph.lineage_graph import LineageGraph
    from traceprop.lineage.recording.tracked import Tracked


class Source:
    """A file, table or query that was loaded.

    Parameters
    ----------
    uri : str
        The name the user gave it.
    path : str, optional
        Where it is opened again: an absolute path for files, `uri` otherwise.
    name : str, optional
        Short name for people: the file's name. Default: the last part of `uri`.
    sha256 : str
        Digest of its bytes, as hexadecimal.
    columns : iterable of str
        Names of its columns.
    n_rows : int
        Number of data rows; row numbers are 0-based, as pandas would count them.

    Attributes
    ----------
    row_hashes : uint64 array, shape (n_rows,), or None
        A hash of each row as it was loaded, where its kind has one: what `verify` compares with. A
        saved lineage keeps it.

    Notes
    -----
    A source equals another one of the same `uri` and digest, and the string `uri`, by which it
    hashes. `find_source` finds it by its path and its name too.
    """

    __slots__ = (
        "_n_rows",
        "_row_hashes",
        "_sha256",
        "columns",
        "counted",
        "escaped",
        "name",
        "path",
        "uri",
    )

    kind: ClassVar[str] = "unknown"
    _kinds: ClassVar[dict[str, type[Source]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.kind, str):  # not where a subclass stands for sources of any kind
            Source._kinds[cls.kind] = cls

    def __init__(
        self,
        uri: str,
        *,
        n_rows: int,
        sha256: str,
        columns: Iterable[str] = (),
        path: str | None = None,
        name: str | None = None,
    ) -> None:
        self.uri = uri
        self.path = uri if path is None else path
        self.name = uri.rstrip("/").rpartition("/")[2] if name is None else name
        self._sha256 = sha256
        self.columns = tuple(columns)
        self._n_rows = n_rows
        self._row_hashes: NDArray[np.uint64] | None = None
        self.escaped = 0  # a bit for each place where values of its rows left (`graph.escaped`)
        self.counted: CountDoor | None = None  # where a number of rows left first

    @property
    def n_rows(self) -> int:
        """Number of data rows."""
        source_count_asked(self, "n_rows")
        return self._n_rows

    @n_rows.setter
    def n_rows(self, n_rows: int) -> None:
        self._n_rows = n_rows

    @property
    def row_hashes(self) -> NDArray[np.uint64] | None:
        """A hash of each row as it was loaded, or None."""
        source_count_asked(self, "row_hashes")
        return self._row_hashes

    @row_hashes.setter
    def row_hashes(self, hashes: NDArray[np.uint64] | None) -> None:
        self._row_hashes = hashes

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes that were read, as hexadecimal."""
        return self._sha256

    def locate(self, rows: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Physical line (from 1) and byte offset of each data row; None if this kind has none."""
        return None

    def place(self, row: int) -> str | None:
        """Say for people where a data row stands, as ``line 4823``; None if this kind can't."""
        located = self.locate([row])
        return None if located is None else f"line {int(located[0][0])}"

    def connect(self, connection: Any) -> None:
        """Say over which connection a query's rows are read again."""
        raise SourceError(
            f"{self.name} is no query, so it takes no connection; put its file where it was"
        )

    def read(self, column: str | None = None) -> NDArray[Any]:
        """Read all rows again, for replay.

        Parameters
        ----------
        column : str, optional
            The one column wanted of a source that was loaded as a table.

        Raises
        ------
        SourceError
            When this kind can't be read again, or the bytes are no longer the same.
        """
        raise SourceError(f"{self.name} ({self.kind}) can't be read again: load it as a file.")

    def read_columns(self, names: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Read several columns of a table again, in one pass where this kind can.

        Raises
        ------
        SourceError
            As `read`.
        """
        source_count_asked(self, "read_columns")
        return {name: self.read(name) for name in names}

    def categories(self, names: Iterable[str]) -> dict[str, tuple[str, ...] | None]:
        """Return what the codes of a table's text columns number; None for other columns.

        Raises
        ------
        SourceError
            As `read`.
        """
        return dict.fromkeys(names)

    def verify(self, rows: Iterable[int]) -> list[RowVerdict]:
        """Open the source again and say of each row what became of it; `Trace.verify` asks.

        Parameters
        ----------
        rows : iterable of int

        Raises
        ------
        RowError
            When a row is not one of this source's.
        """
        why = f"a source of kind {self.kind} can't be opened again"
        return [RowVerdict(self, row, "unknown", note=why) for row in self.check_rows(rows)]

    def check_rows(self, rows: Iterable[int]) -> RowSet:
        """Return `rows` as a set.

        Raises
        ------
        RowError
            When a row is not one of this source's.
        """
        if isinstance(rows, (int, np.integer)):
            raise RowError(f"{rows} is no list of rows of {self.name}: give rows=[{rows}].")
        try:
            wanted = RowSet(rows)
        except TypeError as wrong:
            raise RowError(f"{rows!r} are not row numbers of {self.name}: give ints.") from wrong
        numbers = wanted.to_numpy()
        if len(numbers) and (numbers[0] < 0 or numbers[-1] >= self.n_rows):
            outside = numbers[0] if numbers[0] < 0 else numbers[-1]
            raise RowError(
                f"{self.name} has no row {outside}: its rows are 0 to {self.n_rows - 1}."
            )
        return wanted

    def rows(self, rows: Iterable[int]) -> SourceRows:
        """Name some rows of this source, to ask what came of them.

        Examples
        --------
        >>> source.rows([4821]).descendants(X_filt)  # doctest: +SKIP
        row 2406
        """
        return SourceRows(self, self.check_rows(rows))

    def cells(
        self,
        rows: Iterable[int] | None = None,
        columns: Column | Iterable[Column] | None = None,
    ) -> SourceCells:
        """Name some cells of this source, to ask what came of them.

        Parameters
        ----------
        rows : iterable of int, optional
            Default: all rows.
        columns : str, int or a list of them, optional
            Names or numbers; where a row has several axes, a tuple is a position in it. Default:
            all columns.

        Raises
        ------
        RowError, LineageError
            When there is no such row or column.

        Examples
        --------
        >>> X = traceprop.array([[1.0, 2.0], [3.0, 4.0]], name="table", columns=("age", "debt"))
        >>> table = X.ancestors().leaves[0]
        >>> table.cells([1], "debt").descendants(X * 2)
        row 1, column debt
        >>> table.cells(columns="age").descendants(X - X.mean(axis=0))
        rows 0-1, column age
        """
        from traceprop.lineage.cells.selected import SourceCells

        return SourceCells.of(self, rows, columns)

    def to_json(self) -> dict[str, Any]:
        """Return what a saved lineage keeps; `from_json` takes it back."""
        source_count_asked(self, "to_json")
        return {
            "kind": self.kind,
            "uri": self.uri,
            "path": self.path,
            "name": self.name,
            "sha256": self.sha256,
            "columns": list(self.columns),
            "n_rows": self.n_rows,
        }

    @staticmethod
    def from_json(stored: dict[str, Any]) -> Source:
        """Make the source that `to_json` described, of its own class where that is known."""
        kind = stored["kind"]
        if kind not in Source._kinds:
            importlib.import_module("traceprop.sources")  # registers the kinds it knows
        return Source._kinds.get(kind, Source).restore(stored)

    @classmethod
    def restore(cls, stored: dict[str, Any]) -> Source:
        """Make a source of this class from `to_json`'s record; a subclass adds what it keeps."""
        return cls(
            stored["uri"],
            n_rows=stored["n_rows"],
            sha256=stored["sha256"],
            columns=stored["columns"],
            path=stored["path"],
            name=stored["name"],
        )

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, Source):
            return self.uri == other.uri and self.sha256 == other.sha256
        if isinstance(other, str):
            return self.uri == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.uri)

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


Source._kinds[Source.kind] = Source


def find_source(sources: Iterable[Source], name: str | os.PathLike[str] | Source) -> Source:
    """Return the one of `sources` that is called so: by its uri, else its path, else its name.

    Raises
    ------
    UnknownNameError
        None is; the message lists what there is. It is a KeyError too.
    SourceError
        Several are.
    """
    known = list(sources)
    if isinstance(name, Source):
        if name in known:
            return known[known.index(name)]
        raise _unknown(name.uri, known)
    called = os.fspath(name)
    for names in (
        [source.uri for source in known],
        [source.path for source in known],
        [source.name for source in known],
    ):
        for wanted in dict.fromkeys((called, os.path.abspath(called))):
            hits = [source for source, each in zip(known, names, strict=True) if each == wanted]
            if len(hits) > 1:
                paths = ", ".join(sorted(source.path for source in hits))
                raise SourceError(
                    f"{called} is the name of several sources ({paths}): give a path, or the "
                    f"source itself."
                )
            if hits:
                return hits[0]
    raise _unknown(called, known)


def is_there(sources: Iterable[Source], name: str | Source) -> bool:
    """Whether one or more of `sources` are called so."""
    try:
        find_source(sources, name)
    except UnknownNameError:
        return False
    except SourceError:
        return True
    return True


def _unknown(name: str, known: list[Source]) -> UnknownNameError:
    there = ", ".join(sorted(source.uri for source in known))
    return UnknownNameError(f"{name} is no source here: there is {there or 'none'}.")


_memory_numbers = itertools.count(1)


class MemorySource(Source):
    """An array that was in memory: its rows have no file to be found in."""

    __slots__ = ()

    kind: ClassVar[str] = "memory"

    @classmethod
    def of(cls, array: NDArray[Any], name: str | None, columns: Iterable[str]) -> MemorySource:
        """Describe an array as it is now: the source keeps its digest, not the array."""
        uri = name or f"array-{next(_memory_numbers)}"
        n_rows = array.shape[0] if array.ndim else 1
        return cls(uri, n_rows=n_rows, sha256=_digest_of(array), columns=columns)


def _digest_of(array: NDArray[Any]) -> str:
    """SHA-256 of dtype, shape and values, as hexadecimal."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    if array.dtype.hasobject or array.dtype.kind == "T":
        digest.update(repr(array.tolist()).encode())
    elif array.nbytes:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


class SourceRows:
    """Some rows of a source.

    Attributes
    ----------
    source : Source
    rows : RowSet
    """

    __slots__ = ("rows", "source")

    def __init__(self, source: Source, rows: RowSet) -> None:
        self.source = source
        self.rows = rows

    def descendants(self, tensor: Tracked | LineageGraph) -> RowSet:
        """Rows of `tensor` that depend on these rows in any way: direct, statistic or control."""
        from traceprop.lineage.answers.forward import descendants
        from traceprop.lineage.answers.query import node_of

        node = node_of(tensor)
        count_asked((node,), "descendants")
        return descendants(node, self.source, self.rows)

    def __repr__(self) -> str:
        return f"{self.source} {self.rows!r}"
