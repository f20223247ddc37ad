"""A table that was in memory: its rows have no file, but a name and a digest of its values."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
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
    """

    __slots__ = ("_held",)

    kind: ClassVar[str] = "memory-table"

    def __init__(
        self, uri: str, *, held: Mapping[str, Column] | None = None, **fields: Any
    ) -> None:
        super().__init__(uri, **fields)
        self._held = held

    @classmethod
    def of(cls, columns: Mapping[str, Column], name: str | None, n_rows: int) -> MemoryTable:
        """Describe columns; their digest is computed when somebody asks for it."""
        uri = name or f"table-{next(_numbers)}"
        return cls(uri, held=columns, n_rows=n_rows, sha256="", columns=columns)

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
