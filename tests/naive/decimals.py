"""Plain-Python twin of `numba_kernels.decimals`: cells by `split`, numbers by `float`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_rows(
    rows: Sequence[bytes], delimiter: bytes, places: Sequence[int], missing: Sequence[bytes]
) -> list[list[float]]:
    """Read the wanted columns of the rows before the first that isn't plain."""
    read: list[list[float]] = []
    for row in rows:
        values = _row(row, delimiter, places, missing)
        if values is None:
            break
        read.append(values)
    return read


def _row(
    row: bytes, delimiter: bytes, places: Sequence[int], missing: Sequence[bytes]
) -> list[float] | None:
    cells = row.split(delimiter)
    if len(cells) != len(places):
        return None
    values = [math.nan] * (max(places) + 1)
    for place, cell in zip(places, cells, strict=True):
        if place < 0:
            if b'"' in cell or not cell.isascii():
                return None
        elif NUMBER.fullmatch(cell):
            values[place] = float(cell)
        elif cell and cell not in missing:
            return None
    return values
