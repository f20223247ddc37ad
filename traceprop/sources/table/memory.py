"""A table that was in memory: its rows have no file, but a name and a digest of its values."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.lineage.source import Source
from traceprop.sources.columns import Column

_numbers = itertools.count(1)


class MemoryTable(Source):
    """Columns that were in memory: row i is their i-th value.

    It keeps the columns while the process lives, for replay; a saved lineage keeps the digest.
    `labels` say for each row what it was called where it came from, as ``person=ann``.
    """

    __slots__ = ("_held", "labels")

    kind: ClassVar[str] = "memory-table"

    def __init__(
        self,
        uri: str,
        *,
        held: Mapping[str, Column] | None = None,
        labels: Sequence[str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(uri, **fields)
        self._held = held
        self.labels = labels

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Column],
        name: str | None,
        n_rows: int,
        labels: Sequence[str] | None = None,
    ) -> MemoryTable:
        """Describe columns; their digest is computed when somebody asks for it."""
        uri = name or f"table-{next(_numbers)}"
        fields: dict[str, Any] = {"n_rows": n_rows, "sha256": "", "columns": columns}
        return cls(uri, held=columns, labels=labels, **fields)

    def place(self, row: int) -> str | None:
        """Return what a row was called where it came from: the label of its index."""
        return None if self.labels is None else self.labels[row]

    def to_json(self) -> dict[str, Any]:
        """Return what a saved lineage keeps: the rows' labels too."""
        stored = super().to_json()
        return stored if self.labels is None else {**stored, "labels": list(self.labels)}

    @classmethod
    def restore(cls, stored: dict[str, Any]) -> MemoryTable:
        """Make the source that `to_json` described; its columns are gone."""
        names = ("n_rows", "sha256", "columns", "path", "name")
        fields = {name: stored[name] for name in names}
        labels = stored.get("labels")
        if labels is not None and len(labels) != stored["n_rows"]:
            raise ValueError("another number of labels than of rows")
        return cls(stored["uri"], labels=labels, **fields)

    @property
    def sha256(self) -> str:
        """SHA-256 of the columns' names, dtypes, values and categories."""
        if not self._sha256 and self._held is not None:
            digest = hashlib.sha256()
            for name, column in self._held.items():
                described = (name, column.values.dtype.str, len(column.values), column.categories)
                digest.update(repr(described).encode())
                digest.update(np.ascontiguousarray(column.values).tobytes())
            self._sha256 = digest.hexdigest()
        return self._sha256

    def read(self, column: str | None = None) -> npt.NDArray[Any]:
        """Return a column again; text as category codes.

        Raises
        ------
        SourceError
            In another process than the one that made the table, or without a column's name.
        """
        if self._held is None:
            raise SourceError(f"{self.name} was in memory and is gone: load the table from a file")
        if column is None:
            raise SourceError(f"{self.name} is a table; say which column to read")
        return self._held[column].values
