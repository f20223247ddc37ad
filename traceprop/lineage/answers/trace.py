"""Where one row came from, in words: file, row, line, and the steps on the way.

Promise: printing a trace always answers; where the line can't be looked up, since the file is gone
or has changed, the row is followed by what is wrong with the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceprop.errors import SourceError
from traceprop.lineage.answers.query import SourceMap
from traceprop.lineage.answers.verdict import Verification
from traceprop.lineage.rowset import RowSet
from traceprop.lineage.source import Source

if TYPE_CHECKING:
    from traceprop.lineage.cells.cellset import CellSet


@dataclass(frozen=True, repr=False)
class Trace:
    """The source rows that flow into some rows, and the steps they went through.

    Parameters
    ----------
    rows : mapping of Source to RowSet
    steps : tuple of str
        Readable steps, from the source on.
    cells : mapping of Source to CellSet, optional
        The cells in these rows, where cells were asked for: their columns are printed too.

    Notes
    -----
    A line is one of the file's text: what a compressed file holds, not its stored bytes, of which
    the source's digest is.

    Examples
    --------
    >>> print(X_filt[17].trace())  # doctest: +SKIP
    credit_scores.csv row 4821 (line 4823) · normalize → row_filter
    >>> print(X_filt.cells((17, 1)).trace())  # doctest: +SKIP
    credit_scores.csv row 4821 (line 4823), column income · normalize → row_filter
    """

    rows: Mapping[Source, RowSet]
    steps: tuple[str, ...]
    cells: Mapping[Source, CellSet] | None = None

    def __init__(
        self,
        rows: Mapping[Source, RowSet],
        steps: Iterable[str] = (),
        cells: Mapping[Source, CellSet] | None = None,
    ) -> None:
        object.__setattr__(self, "rows", rows if isinstance(rows, SourceMap) else SourceMap(rows))
        object.__setattr__(self, "steps", tuple(str(step) for step in steps))
        object.__setattr__(self, "cells", cells)

    def trace_to_file(self) -> str:
        """Name the file and its row: `credit_scores.csv row 4821`."""
        places = (self._what(source, repr(rows)) for source, rows in self.rows.items())
        return "; ".join(places) or _NOWHERE

    def _what(self, source: Source, row: str) -> str:
        """Name rows of a source, given in words, or its cells."""
        found = None if self.cells is None else self.cells.get(source)
        return f"{source} {row if found is None else found.in_words(row)}"

    def verify(self) -> Verification:
        """Open the sources again and say of each row whether it is still what was loaded.

        Returns
        -------
        Verification
            A verdict a row: the file has the same bytes; the file changed, but this row is the
            same, and where it stands now; this row changed; this row is gone.

        Examples
        --------
        >>> print(X_filt[17].trace().verify())  # doctest: +SKIP
        credit_scores.csv row 4821: the file has the same bytes
        """
        found = (source.verify(rows) for source, rows in self.rows.items())
        return Verification(verdict for verdicts in found for verdict in verdicts)

    def __str__(self) -> str:
        places = "; ".join(self._what(*_place(source, rows)) for source, rows in self.rows.items())
        return " · ".join(part for part in (places or _NOWHERE, " → ".join(self.steps)) if part)

    __repr__ = __str__


_NOWHERE = "no source row"


def _place(source: Source, rows: RowSet) -> tuple[Source, str]:
    """Return a source and its rows in words, with the line of a single one."""
    text = repr(rows)
    if len(rows) != 1:
        return source, text
    try:
        place = source.place(next(iter(rows)))
    except SourceError as lost:
        return source, f"{text} ({lost})"
    return source, text if place is None else f"{text} ({place})"
