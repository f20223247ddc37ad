"""A source as a store remembers it: what it was when the run was trained, whatever became of it.

Lines and byte offsets come from the store, so the file need not be there. Promise: a file that has
changed since, or is gone, is reported, never silently cited, and never keeps the store from
answering.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceprop.attribution.store.provenance.sample_rows import SampleRows
from traceprop.errors import SourceError
from traceprop.lineage.answers.verdict import RowVerdict
from traceprop.lineage.source import Source
from traceprop.sources.inputs.files import FileStamp, file_digest, stamp_file

if TYPE_CHECKING:
    from traceprop.lineage import LineageGraph


class StoredSource(Source):
    """A source of a committed run.

    Parameters
    ----------
    stored : dict
        What `describe_source` gave at the commit.
    rows : list of SampleRows
        The rows that each part of the store was trained on, with their lines.
    lineage : callable
        Loads the lineage that was saved with the run, which has the hashes of the sources' rows;
        gives None where it was dropped.
    """

    __slots__ = ("_lineage", "_original", "_rows", "_stamp")

    def __init__(
        self,
        stored: dict[str, Any],
        rows: list[SampleRows],
        lineage: Callable[[], LineageGraph | None],
    ) -> None:
        self._original = original = Source.from_json(stored["source"])
        self._rows, self._lineage = rows, lineage
        self._stamp = None if stored["stamp"] is None else FileStamp(**stored["stamp"])
        super().__init__(
            original.uri,
            path=original.path,
            name=original.name,
            n_rows=original.n_rows,
            sha256=original.sha256,
            columns=original.columns,
        )

    @property
    def kind(self) -> str:  # type: ignore[override]  # its own kind's, though of another class
        """What kind of source it was loaded from."""
        return self._original.kind

    def locate(self, rows: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Line and byte offset of rows: stored for those trained on, else looked up in the file."""
        wanted = np.fromiter(rows, np.int64)
        located = (rows.located(wanted) for rows in self._rows)
        stored = next((found for found in located if found is not None), None)
        return stored or self._original.locate(wanted)

    def place(self, row: int) -> str | None:
        """Say where a row stands: its line, or what its own kind says."""
        return super().place(row) or self._original.place(row)

    def connect(self, connection: Any) -> None:
        """Say over which connection a query's rows are read again."""
        self._original.connect(connection)

    def read(self, column: str | None = None) -> NDArray[Any]:
        """Read the file, or a column of it, again; `SourceError` where it is gone or changed."""
        return self._original.read(column)

    def categories(self, names: Iterable[str]) -> dict[str, tuple[str, ...] | None]:
        """Read what text columns' codes number; errors as for `read`."""
        return self._original.categories(names)

    def verify(self, rows: Iterable[int]) -> list[RowVerdict]:
        """Open the source again and say what became of rows."""
        if self._original.row_hashes is None:
            graph = self._lineage()
            leaves = () if graph is None else graph.leaves
            saved = (leaf.row_hashes for leaf in leaves if leaf == self)
            self._original.row_hashes = next(saved, None)
        return [replace(each, source=self) for each in self._original.verify(rows)]

    def to_json(self) -> dict[str, Any]:
        """Return what the source itself gave."""
        return self._original.to_json()

    def change(self) -> str | None:
        """Say what became of the file that was trained on; None where it is as it was.

        Its bytes are hashed only where size and times can't vouch for them.
        """
        if self._stamp is None:
            return None
        found = self._compare(self._stamp)
        return found and f"{found}: rows and lines are those of the file as it was"

    def _compare(self, stamp: FileStamp) -> str | None:
        if not os.path.exists(self.path):
            return f"{self.path}, which was trained on, is gone"
        try:
            if stamp.vouches_for(stamp_file(self.path, self.name)):
                return None
            digest, self._stamp = file_digest(self.path, self.name)
        except SourceError as refused:
            return f"{self.path} can't be held against what was trained on ({refused})"
        if digest == self.sha256:
            return None
        return (
            f"{self.path} has changed since it was trained on (SHA-256 {self.sha256[:12]}… then, "
            f"{digest[:12]}… now)"
        )


def describe_source(source: Source, located: bool) -> dict[str, Any]:
    """Return what a manifest keeps of a source.

    Parameters
    ----------
    source : Source
    located : bool
        Whether its rows were just found in its file, which is then stamped as the one.
    """
    in_file = located and os.path.isabs(source.path)
    stamp = asdict(stamp_file(source.path, source.name)) if in_file else None
    return {"source": source.to_json(), "stamp": stamp}
