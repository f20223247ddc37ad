"""What every row map is and answers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from traceprop.errors import LineageError
from traceprop.lineage.rowset import Rows, RowSet

Groups_ = tuple[NDArray[np.int64], Rows]

MOST_ENTRIES = 1 << 31
"""Entries (output row, input row) that `groups` writes out at most: 8 GiB of int32."""


class RowMap:
    """For each of `n_out` output rows, the rows among `n_in` input rows that it came from.

    Attributes
    ----------
    functional : bool
        No output row has more than one input row, so that `index` answers.
    full : bool
        It is known that every output row has an input row.
    """

    __slots__ = ("n_in", "n_out")

    functional: ClassVar[bool] = False
    full: bool = False

    def __init__(self, n_out: int, n_in: int) -> None:
        self.n_out = n_out
        self.n_in = n_in

    def image(self, rows: RowSet) -> RowSet:
        """Input rows that any of the output rows `rows` came from."""
        raise NotImplementedError

    def preimage(self, rows: RowSet) -> RowSet:
        """Output rows that came from any of the input rows `rows`."""
        raise NotImplementedError

    def groups(self) -> Groups_:
        """Write the map out: (indptr, indices), indices sorted and distinct within each row."""
        raise NotImplementedError

    def index(self) -> Rows:
        """Input row of each output row, −1 for none; only where `functional`."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """Bytes that the map keeps per row; a map of a few numbers keeps none."""
        return 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_out} from {self.n_in})"


def check_entries(entries: int) -> None:
    """Refuse to write out a map that would fill the memory."""
    if entries > MOST_ENTRIES:
        raise LineageError(
            f"Writing out which rows each row came from would take {entries:,} entries: nearly "
            "every row depends on nearly all others. Ask for single rows: X[i].sources()."
        )
