"""A set of row numbers: sorted, unique, as small as it can be.

Consecutive rows are a `range`, anything else is a sorted integer array (int32 while the numbers
allow it), and a large dense set is a packed bit mask. Which of them it is shows nowhere: a `RowSet`
iterates ints, has a length, answers `in`, and prints as ranges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.integer[Any]]

_MOST_RANGES_PRINTED: Final = 12
_MASK_ABOVE: Final = 1 << 16  # rows; below this, a few kilobytes aren't worth the unpacking


class RowSet(Collection[int]):
    """An immutable sorted set of row numbers.

    Parameters
    ----------
    rows : iterable of int
        Row numbers, in any order, repeated or not.

    Examples
    --------
    >>> rows = RowSet([7, 3, 4, 5])
    >>> rows
    rows 3-5, 7
    >>> len(rows), 4 in rows, list(rows)
    (4, True, [3, 4, 5, 7])
    """

    __slots__ = ("_data", "_length", "_start")

    _data: range | Rows
    _length: int
    _start: int | None  # first row of a packed mask; None where `_data` lists the rows

    def __init__(self, rows: Iterable[int] = ()) -> None:
        if isinstance(rows, RowSet):
            self._data, self._length, self._start = rows._data, rows._length, rows._start
            return
        if isinstance(rows, range) and rows.step == 1:
            self._set(rows)
            return
        given = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows))
        if given.size == 0:
            self._set(range(0))
            return
        if given.dtype.kind not in "iu":
            raise TypeError("a row number is an int")
        self._set(distinct(given.ravel()))

    def _set(self, data: range | Rows) -> None:
        self._data, self._length, self._start = data, len(data), None

    @classmethod
    def from_sorted(cls, rows: Rows) -> RowSet:
        """Take an array that is sorted and unique already, without looking at it or copying it."""
        made = cls.__new__(cls)
        n = len(rows)
        if n and int(rows[-1]) - int(rows[0]) + 1 == n:
            made._set(range(int(rows[0]), int(rows[-1]) + 1))
        else:
            made._set(rows if n else range(0))
        return made

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> RowSet:
        """Take the rows where `mask` is True."""
        count = int(np.count_nonzero(mask))
        if not count:
            return EMPTY
        first = int(np.argmax(mask))
        last = len(mask) - 1 - int(np.argmax(mask[::-1]))
        if last - first + 1 == count:
            return cls.span(first, last + 1)
        if count < _MASK_ABOVE or last - first >= 32 * count:
            return cls.from_sorted(narrow(np.flatnonzero(mask)))
        made = cls.__new__(cls)
        made._data, made._length, made._start = np.packbits(mask[first : last + 1]), count, first
        return made

    @classmethod
    def span(cls, start: int, stop: int) -> RowSet:
        """Rows `start` to `stop`, `stop` excluded."""
        made = cls.__new__(cls)
        made._set(range(start, max(start, stop)))
        return made

    @property
    def as_range(self) -> range | None:
        """The rows as a `range` where they are consecutive, else None."""
        return self._data if isinstance(self._data, range) else None

    def to_numpy(self) -> Rows:
        """Return the rows as a sorted integer array."""
        if isinstance(self._data, range):
            stop = self._data.stop
            return np.arange(self._data.start, stop, dtype=row_dtype(stop))
        if self._start is None:
            return self._data
        places = np.flatnonzero(np.unpackbits(self._data.view(np.uint8)))
        return narrow(places + self._start)

    def mask(self, n_rows: int) -> NDArray[np.bool_]:
        """Return a mask over `n_rows` rows that is True at these."""
        mask = np.zeros(n_rows, dtype=bool)
        if isinstance(self._data, range):
            mask[self._data.start : self._data.stop] = True
        elif self._start is not None:
            stop = min(n_rows, self._start + 8 * len(self._data))
            mask[self._start : stop] = np.unpackbits(
                self._data.view(np.uint8), count=stop - self._start
            )
        else:
            mask[self.to_numpy()] = True
        return mask

    def packed(self) -> RowSet:
        """Return the same rows in the smallest form, for keeping."""
        data = self._data
        if isinstance(data, range) or self._start is not None or self._length < _MASK_ABOVE:
            return self
        first, last = int(data[0]), int(data[-1])
        if last - first >= 32 * self._length:
            return self
        mask = np.zeros(last + 1, dtype=bool)
        mask[data] = True
        return RowSet.from_mask(mask)

    @property
    def nbytes(self) -> int:
        """Bytes that the rows take; a range takes none."""
        return 0 if isinstance(self._data, range) else self._data.nbytes

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        if isinstance(self._data, range):
            return iter(self._data)
        return iter(self.to_numpy().tolist())

    def __contains__(self, row: object) -> bool:
        if not isinstance(row, (int, np.integer)):
            return False
        if isinstance(self._data, range):
            return row in self._data
        if self._start is not None:
            place = int(row) - self._start
            if not 0 <= place < 8 * len(self._data):
                return False
            return bool(int(self._data[place >> 3]) >> (7 - (place & 7)) & 1)
        place = int(np.searchsorted(self._data, row))
        return place < len(self._data) and int(self._data[place]) == row

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RowSet):
            if isinstance(self._data, range) and isinstance(other._data, range):
                return self._data == other._data
            if self._length != other._length or self._first != other._first:
                return False
            return bool(np.all(self.to_numpy() == other.to_numpy()))
        if isinstance(other, (set, frozenset)):
            return len(self) == len(other) and all(row in other for row in self)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self._length, self._first))

    @property
    def _first(self) -> int | None:
        if self._start is not None:  # a packed mask begins with a row
            return self._start
        return int(self._data[0]) if self._length else None

    def __or__(self, other: RowSet) -> RowSet:
        return union(self, other)

    def ranges(self) -> list[range]:
        """Return the runs of consecutive rows, in order."""
        if isinstance(self._data, range):
            return [self._data] if self._length else []
        return _runs(self.to_numpy())

    def _first_ranges(self, count: int) -> list[range]:
        """Return the first runs, more than `count` where there are, without a look at the rest."""
        if isinstance(self._data, range):
            return self.ranges()
        size = 64 * count
        while True:
            if self._start is None:
                rows = self._data[:size]
            else:
                bits = np.unpackbits(self._data[: size // 8 + 1].view(np.uint8))
                rows = np.flatnonzero(bits) + self._start
            runs = _runs(rows)
            if len(rows) == self._length or len(runs) > count + 1:
                return runs[: count + 1]  # the last run of a part may be cut short: left out
            size *= 8

    @property
    def _last(self) -> int:
        if self._start is None:
            return int(self._data[-1])
        byte = int(self._data[-1])  # its lowest bit that is set is the last row
        return self._start + 8 * len(self._data) - (byte & -byte).bit_length()

    def __str__(self) -> str:
        runs = self._first_ranges(_MOST_RANGES_PRINTED)
        shown = [
            str(run.start) if len(run) == 1 else f"{run.start}-{run.stop - 1}"
            for run in runs[:_MOST_RANGES_PRINTED]
        ]
        text = ", ".join(shown)
        if len(runs) > _MOST_RANGES_PRINTED:
            text += f", … {self._last} ({self._length} rows)"
        return text

    def __repr__(self) -> str:
        if not self._length:
            return "no rows"
        return f"row {self}" if self._length == 1 else f"rows {self}"


def _runs(rows: Rows) -> list[range]:
    """Return the runs of consecutive numbers in sorted rows, of which there are some."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts = rows[np.concatenate(([0], breaks))].tolist()
    lasts = rows[np.concatenate((breaks - 1, [len(rows) - 1]))].tolist()
    return [range(a, b + 1) for a, b in zip(firsts, lasts, strict=True)]


EMPTY: Final = RowSet()


def row_dtype(n_rows: int) -> type[np.int32 | np.int64]:
    """Return the integer type that counts `n_rows` rows: int32 until 2**31."""
    return np.int32 if n_rows <= 2**31 - 1 else np.int64


def first_rows(count: int, n_rows: int = 0) -> Rows:
    """Return rows 0 to `count`, in the integer type that counts `n_rows` where that is more."""
    rows: Rows = np.arange(count, dtype=row_dtype(max(count, n_rows)))
    return rows


def narrow(rows: Rows) -> Rows:
    """Sorted rows in the smaller integer type that can hold them."""
    return rows.astype(row_dtype(int(rows[-1]) + 1 if len(rows) else 0), copy=False)


def distinct(rows: Rows, n_rows: int | None = None) -> Rows:
    """Sort row numbers and drop repeats; by scattering where `n_rows` is small, else by sorting.

    np.unique would cost up to 60 times the scatter at a million rows.
    """
    if n_rows is not None and n_rows <= 64 * len(rows):
        mask = np.zeros(n_rows, dtype=bool)
        mask[rows] = True
        return narrow(np.flatnonzero(mask))
    ordered = np.sort(rows)
    if len(ordered) > 1:
        keep = np.empty(len(ordered), dtype=bool)
        keep[0] = True
        np.not_equal(ordered[1:], ordered[:-1], out=keep[1:])
        ordered = ordered[keep]
    return narrow(ordered)


def union(a: RowSet, b: RowSet) -> RowSet:
    """Rows in either set."""
    if a is b or not len(b):
        return a
    if not len(a):
        return b
    first, second = a.as_range, b.as_range
    if first is not None and second is not None:
        if first.start <= second.stop and second.start <= first.stop:
            return RowSet.span(min(first.start, second.start), max(first.stop, second.stop))
    elif first is not None and _covers(first, b):
        return a
    elif second is not None and _covers(second, a):
        return b
    rows = np.concatenate((a.to_numpy(), b.to_numpy()))
    return RowSet.from_sorted(distinct(rows, int(rows.max()) + 1))


def _covers(outer: range, inner: RowSet) -> bool:
    rows = inner.to_numpy()
    return outer.start <= int(rows[0]) and int(rows[-1]) < outer.stop
