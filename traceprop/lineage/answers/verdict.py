"""What opening a source again says about rows that came from it.

Promise: a row is called the same only where the bytes of its file, or its own 64-bit hash, are what
they were when it was loaded; what can't be told is `unknown`, with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, overload

if TYPE_CHECKING:
    from traceprop.lineage.source import Source

State = Literal["same bytes", "same row", "changed", "gone", "unknown"]

_SHOWN: Final = 20  # rows that a printed verification lists
_WORDS: Final[dict[State, str]] = {
    "same bytes": "the file has the same bytes",
    "same row": "the file changed, this row is the same",
    "changed": "this row changed",
    "gone": "this row is gone",
    "unknown": "can't be told",
}
_WORDS_OF_QUERIES: Final[dict[State, str]] = {
    **_WORDS,
    "same bytes": "the query gives the same rows",
    "same row": "the query's result changed, this row is the same",
}


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What became of one row.

    Attributes
    ----------
    source : Source
    row : int
        The row as it was loaded.
    state : str
        ``"same bytes"``: the file is as it was. ``"same row"``: the file changed, the row did not.
        ``"changed"``: other text stands in the row's place. ``"gone"``: its text is nowhere in the
        file, or the file is missing. ``"unknown"``: it can't be told; `note` says why.
    now : int, optional
        The data row at which it, or what stands in its place, is now.
    line : int, optional
        The physical line of that, from 1, for sources that have lines.
    note : str
        What else a reader should know.
    """

    source: Source
    row: int
    state: State
    now: int | None = None
    line: int | None = None
    note: str = ""

    @property
    def unchanged(self) -> bool:
        """Whether the row is what it was when it was loaded."""
        return self.state in ("same bytes", "same row")

    @property
    def moved(self) -> bool:
        """Whether the row stands at another place than it did."""
        return self.state == "same row" and self.now != self.row

    def __str__(self) -> str:
        place = f"row {self.now}" + ("" if self.line is None else f" (line {self.line})")
        words = _WORDS_OF_QUERIES if self.source.kind == "sql" else _WORDS
        text = f"{self.source} row {self.row}: {words[self.state]}"
        if self.moved:
            text += f" and is {place} now"
        elif self.state == "changed" and self.now is not None:
            text += f"; {place} stands in its place"
        return f"{text} ({self.note})" if self.note else text


class Verification(Sequence[RowVerdict]):
    """A verdict for each row of a trace, in the order of sources and rows.

    Attributes
    ----------
    verdicts : tuple of RowVerdict
    unchanged : bool
        Whether every row is what it was when it was loaded.

    Examples
    --------
    >>> print(X_filt[17].trace().verify())  # doctest: +SKIP
    credit_scores.csv row 4821: the file changed, this row is the same and is row 7 (line 9) now
    """

    __slots__ = ("verdicts",)

    def __init__(self, verdicts: Iterable[RowVerdict]) -> None:
        self.verdicts = tuple(verdicts)

    @property
    def unchanged(self) -> bool:
        """Whether every row is what it was when it was loaded."""
        return all(verdict.unchanged for verdict in self.verdicts)

    @property
    def counts(self) -> dict[State, int]:
        """How many rows are in each state."""
        return dict(Counter(verdict.state for verdict in self.verdicts))

    @overload
    def __getitem__(self, i: int) -> RowVerdict: ...
    @overload
    def __getitem__(self, i: slice) -> Verification: ...
    def __getitem__(self, i: int | slice) -> RowVerdict | Verification:
        return Verification(self.verdicts[i]) if isinstance(i, slice) else self.verdicts[i]

    def __iter__(self) -> Iterator[RowVerdict]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def __str__(self) -> str:
        if not self.verdicts:
            return "no source row"
        # What went wrong is shown first where not all can be.
        shown = self.verdicts
        if len(shown) > _SHOWN:
            shown = tuple(sorted(shown, key=lambda verdict: verdict.unchanged)[:_SHOWN])
        lines = [str(verdict) for verdict in shown]
        if len(self.verdicts) > _SHOWN:
            counts = ", ".join(f"{count} {state}" for state, count in self.counts.items())
            lines.append(f"… {len(self.verdicts)} rows: {counts}")
        return "\n".join(lines)

    __repr__ = __str__
